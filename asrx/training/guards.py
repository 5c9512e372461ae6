"""Hypotheses that say that training goes wrong, whatever the WER: none, always the same, ever shorter or longer than what was said."""

from collections import Counter
from collections.abc import Sequence
from math import log

BAND = (0.5, 1.5)  # characters written per character said that a model in good order keeps to
SAME, REFERENCES_SAME = 0.9, 0.5  # share of the hypotheses that are one text; of the references, at most
FEWEST = 4  # utterances that say something about all
NOTICEABLE = 1.25  # ratio, or its inverse, from which on it is worth saying that it moves away from 1
REMEDY = "lower trainer.learning_rate, lengthen trainer.warmup_steps, and look whether transcripts and audio belong together"


def length_ratio(references: Sequence[str], hypotheses: Sequence[str]) -> float | None:
    """Characters of the hypotheses per character of the references; None where nothing was said."""
    said = sum(map(len, references))
    return sum(map(len, hypotheses)) / said if said else None


def output_warnings(references: Sequence[str], hypotheses: Sequence[str], before: Sequence[float]) -> list[str]:
    """What is odd about an evaluation, in sentences for people.

    `before`: the length ratios of earlier evaluations, oldest first. A model that has just begun may say nothing, or always the same.
    """
    ratio = length_ratio(references, hypotheses)
    if ratio is None or not before:
        return []
    if not any(hypotheses):
        return [_nothing(before)]
    return [sentence for sentence in (_constant(references, hypotheses), _drift(ratio, before)) if sentence]


def _nothing(before: Sequence[float]) -> str:
    if any(before):
        return f"Every hypothesis is empty, and earlier ones were not: the model has unlearnt to write; {REMEDY}."
    return (
        f"Every hypothesis has been empty in {len(before) + 1} evaluations: a CTC model begins with nothing but blanks, but it must leave them. "
        "If this lasts, trainer.learning_rate is too low or too high, training too short, or the vocabulary does not have the letters of the transcripts "
        "(text.vocabulary, text.case)."
    )


def _constant(references: Sequence[str], hypotheses: Sequence[str]) -> str | None:
    (text, times), (_, usual) = (Counter(texts).most_common(1)[0] for texts in (hypotheses, references))
    count = len(hypotheses)
    if not text or count < FEWEST or times < SAME * count or usual > REFERENCES_SAME * count:
        return None
    shown = text if len(text) <= 60 else text[:60] + "…"
    return f"{times / count:.0%} of the hypotheses are the same text ('{shown}'), whatever was said: {REMEDY}."


def _drift(ratio: float, before: Sequence[float]) -> str | None:
    low, high = BAND
    was_inside = any(low <= earlier <= high for earlier in before)
    if was_inside and not low <= ratio <= high:
        return f"Hypotheses have {ratio:.2f} characters for each one that was said, and were within {low} to {high} before: {REMEDY}."
    last = [_away(earlier) for earlier in before[-2:]]
    if len(last) == 2 and last[0] < last[1] < _away(ratio) and _away(ratio) > log(NOTICEABLE):
        return f"Hypotheses have {ratio:.2f} characters for each one that was said, after {before[-1]:.2f} and {before[-2]:.2f}: {REMEDY}."
    return None


def _away(ratio: float) -> float:
    return abs(log(max(ratio, 1e-3)))
