"""Held-out utterances by what their table says of them, by length and by noise; and how well each slice was heard."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from .significance import ratio_interval
from .transcribe import Heard, Transcription

DURATION, NOISE = "duration", "estimated SNR"
SECONDS = (2, 5, 10, 20)
DECIBELS = (10, 20, 30, 40)
BIG = 0.025  # share of the utterances; a column tells groups if values so big hold at least half of them, else it names utterances
MOST_VALUES = 40  # of a column, the most frequent ones
FEW_NUMBERS = 8  # numbers that are taken one by one; more are banded by their quartiles


@dataclass(frozen=True)
class SliceScore:
    """How well the utterances with one value of a column were heard. Rates are fractions, None where no word was said."""

    column: str
    value: str
    utterances: int
    words: int
    speakers: int  # 0 where none is known
    wer: float | None
    low: float | None  # of the 95 % interval, clustered by speaker, by utterance where none is known; None with a single one
    high: float | None


def of(heard: Sequence[Heard]) -> dict[str, dict[str, np.ndarray]]:
    """Column → value → indices of the utterances that have it.

    Every column that came with the table, numbers of many values in quarters; bands of duration (s) and of the estimated signal-to-noise ratio (dB).
    Left out are columns that divide nothing, because they are the same for all or name utterances rather than groups, and values that one utterance has.
    """
    names = dict.fromkeys(name for item in heard for name in item.row.slices if name not in (DURATION, NOISE))
    found = {name: _of_column([item.row.slices.get(name, "").strip() for item in heard]) for name in names}
    found[DURATION] = _banded([None if item.error else item.seconds for item in heard], SECONDS, "s")
    found[NOISE] = _banded([item.snr for item in heard], DECIBELS, "dB")
    return {name: values for name, values in found.items() if _divides(values, len(heard))}


def score(result: Transcription) -> tuple[SliceScore, ...]:
    """Each slice's utterances, words, speakers and WER with its interval."""
    errors, words = np.array([item.errors for item in result.counts]), np.array([item.words for item in result.counts])
    known = any(item.row.speaker for item in result.heard)
    clusters = np.array([item.row.speaker if known else item.row.id for item in result.heard], object)
    scores = []
    for column, values in of(result.heard).items():
        for value, indices in values.items():
            inside = clusters[indices].tolist()
            found = ratio_interval(errors[indices], words[indices], inside)
            rates = (found.rate, found.low, found.high) if found else (None, None, None)
            scores.append(SliceScore(column, value, len(indices), int(words[indices].sum()), len(set(inside)) if known else 0, *rates))
    return tuple(scores)


def _of_column(values: Sequence[str]) -> dict[str, np.ndarray]:
    counts = Counter(filter(None, values))
    numbers = {value: _number(value) for value in counts}
    are_numbers = None not in numbers.values()
    if are_numbers and len(counts) > FEW_NUMBERS:
        names_utterances = max(counts.values()) == 1 and all(number.is_integer() for number in numbers.values())
        return {} if names_utterances else _quarters([numbers.get(value) for value in values])
    if 2 * sum(count for count in counts.values() if count >= max(2, BIG * len(values))) < counts.total():
        return {}
    kept = sorted((value for value in counts if counts[value] > 1), key=lambda value: (-counts[value], value))[:MOST_VALUES]
    return _by_value(values, sorted(kept, key=numbers.get if are_numbers else None))


def _quarters(numbers: Sequence[float | None]) -> dict[str, np.ndarray]:
    edges = np.unique(np.quantile([number for number in numbers if number is not None], (0.25, 0.5, 0.75)))
    return _banded(numbers, edges.tolist())


def _banded(numbers: Sequence[float | None], edges: Sequence[float], unit: str = "") -> dict[str, np.ndarray]:
    """Bands [lower, upper) between the edges, the open ones at the ends included; who has no number is in none."""
    unit = f" {unit}" if unit else ""
    between = [f"{low:.10g} to {high:.10g}{unit}" for low, high in zip(edges, edges[1:])]
    names = [f"below {edges[0]:.10g}{unit}", *between, f"{edges[-1]:.10g}{unit} and more"]
    values = ["" if number is None else names[int(np.searchsorted(edges, number, "right"))] for number in numbers]
    return _by_value(values, names)


def _by_value(values: Sequence[str], order: Iterable[str]) -> dict[str, np.ndarray]:
    place = np.array(values, object)
    return {value: indices for value in order if len(indices := np.flatnonzero(place == value))}


def _divides(values: Mapping[str, np.ndarray], utterances: int) -> bool:
    return len(values) > 1 or sum(map(len, values.values())) not in (0, utterances)


def _number(value: str) -> float | None:
    try:
        number = float(value)
    except ValueError:
        return None
    return number if np.isfinite(number) else None
