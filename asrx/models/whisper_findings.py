"""Whether a Whisper can learn some texts: the tokens that labels begin with, their length, the window, and the way to labels and back."""

from collections.abc import Sequence

import numpy as np

from ..findings import OK, REFUSED, WARNING, Finding, share_text
from ..hallucination import LANGUAGES, certain_language
from ..numerals import base_language
from ..recognizer.audio import SAMPLE_RATE

MOST_UNFIT = 0.5  # share of utterances that may be left out
TEXTS_IDENTIFIED = 2_000  # whose language is looked at
TRANSLATION = "en"  # what the task `translate` writes


def prefix(shown: str, problems: Sequence[str], language: str | None, task: str | None, texts: Sequence[str]) -> Finding:
    """The language and task tokens `shown` of the labels, against generation and against what the transcripts are written in."""
    if problems:
        return Finding("language and task", REFUSED, f"labels begin with {shown}. {' '.join(problems)}", "take a checkpoint whose parts belong together")
    wanted = TRANSLATION if task == "translate" else language
    step = max(1, len(texts) // TEXTS_IDENTIFIED)
    written = certain_language(texts[::step], wanted)
    if wanted and written and written != base_language(wanted):
        measured = f"labels begin with {shown}, but the transcripts are in {LANGUAGES[written]}"
        remedy = "model.task=transcribe" if task == "translate" else f"prepare the corpus with --language {written}, which sets the language token"
        return Finding("language and task", WARNING, measured, remedy)
    return Finding("language and task", OK, f"labels and generation begin with {shown}" if shown else "none: the model knows English alone")


def label_length(
    lengths: np.ndarray, empty: int, longest: int, samples: np.ndarray, window: int, stretch: float, ids: Sequence[str]
) -> Finding:
    """Labels against the decoder's `longest`, audio (times `stretch` of the augmentation) against the `window` in samples.

    `lengths`: tokens of each label, `empty` of one without text. All arrays are parallel to `ids`.
    """
    if not len(ids):
        return Finding("label length", REFUSED, "there is no utterance", "look at the corpus: asrx prepare says what it left out")
    too_long, unheard, untold = lengths > longest, samples * stretch > window, lengths <= empty
    left_out = too_long | unheard | untold
    if not left_out.any():
        return Finding("label length", OK, f"{int(lengths.max()):,} tokens at most, the decoder has {longest:,}; {_heard(samples, window, stretch)}")
    parts = []
    if unheard.any():
        worst = int(np.argmax(samples))
        slower = f", if played as slowly as augment.speed may ask for ({1 / stretch:.2f})" if stretch > 1 else ""
        parts.append(f"{int(unheard.sum()):,} training utterances are longer than the model's window of {window / SAMPLE_RATE:g} s{slower}: "
                     f"{ids[worst]} has {samples[worst] / SAMPLE_RATE:.1f} s")  # fmt: skip
    if too_long.any():
        worst = int(np.argmax(lengths))
        parts.append(f"{int(too_long.sum()):,} have more tokens than the decoder's {longest:,}: {ids[worst]} has {int(lengths[worst]):,}")
    if untold.any():
        parts.append(f"{int(untold.sum()):,} have no text")
    share = float(left_out.mean())
    verdict = REFUSED if share > MOST_UNFIT else WARNING
    advice = f"prepare the corpus with {f'data.max_seconds={window / SAMPLE_RATE / stretch:.3g}' if unheard.any() else 'shorter utterances'}"
    return Finding("label length", verdict, f"{share_text(share)} of the utterances are left out: {'; '.join(parts)}", advice)


def _heard(samples: np.ndarray, window: int, stretch: float) -> str:
    return f"{samples.max() * stretch / SAMPLE_RATE:.1f} s of audio at most, the window has {window / SAMPLE_RATE:g} s"
