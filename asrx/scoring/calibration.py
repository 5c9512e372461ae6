"""Does the confidence say how much is right? Expected calibration error, and the temperature that would mend it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..error_counts import ErrorCounts
from .transcribe import Heard

BINS = 15
CERTAIN = 1e-6  # confidences are kept so far away from 0 and 1, where the logit ends
COLDEST, HOTTEST = 0.05, 20.0  # temperatures


@dataclass(frozen=True)
class Bin:
    """The words of utterances of about the same confidence."""

    confidence: float  # mean, 0..1
    accuracy: float  # share of the words that are right, 0..1
    words: int


@dataclass(frozen=True)
class Calibration:
    """How far confidence is from accuracy, as a fraction of 1."""

    error: float  # expected calibration error
    error_scaled: float | None  # after a temperature that was fitted on other speakers; None with fewer than two utterances
    temperature: float  # fitted on all; above 1: the model is too sure of itself
    bins: tuple[Bin, ...]  # by confidence, those that hold words


def calibration(heard: Sequence[Heard], counts: Sequence[ErrorCounts]) -> Calibration | None:
    """Calibration of the confidences of utterances with their error counts; None where no word was said or heard.

    Each word of an alignment (a hit or an error: H + S + D + I of them, Morris et al. 2004) is a sample: as confident as its utterance, and
    right if it is a hit. For, the confidence is the mean probability of a token and not that of a whole sentence. Recordings that could not be
    used have no confidence and are left out. The scaled error comes from two halves of the speakers (of the utterances, where fewer than two
    speakers are known), each with the temperature of the other one.
    """
    usable = [(item, item_counts) for item, item_counts in zip(heard, counts, strict=True) if not item.error and item_counts.words + item_counts.insertions]
    if not usable:
        return None
    confidence = np.array([item.confidence for item, _ in usable])
    words = np.array([item_counts.words + item_counts.insertions for _, item_counts in usable])
    correct = np.array([item_counts.hits for _, item_counts in usable]) / words
    first = _first_half([item for item, _ in usable])
    return Calibration(
        calibration_error(confidence, correct, words),
        calibration_error(_cross_fitted(confidence, correct, words, first), correct, words) if len(usable) > 1 else None,
        fit_temperature(confidence, correct, words),
        bins(confidence, correct, words),
    )


def bins(confidence: np.ndarray, correct: np.ndarray, words: np.ndarray) -> tuple[Bin, ...]:
    """Confidences (utterances,) in 15 bins of equal width; `correct` is the share of the `words` of each that are right."""
    place = np.clip(np.ceil(confidence * BINS).astype(int) - 1, 0, BINS - 1)  # (m-1)/M < confidence <= m/M
    weight = np.bincount(place, words, BINS)
    sums = [np.bincount(place, words * values, BINS) for values in (confidence, correct)]
    return tuple(Bin(float(sums[0][m] / weight[m]), float(sums[1][m] / weight[m]), int(weight[m])) for m in np.flatnonzero(weight))


def calibration_error(confidence: np.ndarray, correct: np.ndarray, words: np.ndarray) -> float:
    """Expected calibration error, 0..1: the mean of |accuracy - confidence| over the bins, weighted by their words (Guo et al. 2017)."""
    found = bins(confidence, correct, words)
    return sum(item.words * abs(item.accuracy - item.confidence) for item in found) / sum(item.words for item in found)


def fit_temperature(confidence: np.ndarray, correct: np.ndarray, words: np.ndarray | None = None) -> float:
    """The temperature, 0.05 to 20, whose scaled confidences have the least cross-entropy (Guo et al. 2017). To be fitted on validation data.

    `confidence` (utterances,) 0..1; `correct` 0 or 1, or the share of the `words` of each utterance that are right.
    """
    from scipy.optimize import minimize_scalar

    weight = np.ones(len(confidence)) if words is None else words

    def cross_entropy(log_temperature: float) -> float:
        scaled = np.clip(scale(confidence, np.exp(log_temperature)), 1e-12, 1 - 1e-12)
        return float(-(weight * (correct * np.log(scaled) + (1 - correct) * np.log1p(-scaled))).sum())

    return float(np.exp(minimize_scalar(cross_entropy, bounds=(np.log(COLDEST), np.log(HOTTEST)), method="bounded").x))


def scale(confidence: np.ndarray, temperature: float) -> np.ndarray:
    """Confidences (utterances,) 0..1 with their logits divided by a temperature."""
    sure = np.clip(confidence, CERTAIN, 1 - CERTAIN)
    return 1 / (1 + np.exp(-np.log(sure / (1 - sure)) / temperature))


def _first_half(heard: Sequence[Heard]) -> np.ndarray:
    """Whether each utterance belongs to the first half: every other speaker by name, else every other utterance by id."""
    speakers = [item.row.speaker for item in heard]
    names = speakers if len(set(speakers)) > 1 else [item.row.id for item in heard]
    chosen = set(sorted(set(names))[::2])
    return np.array([name in chosen for name in names])


def _cross_fitted(confidence: np.ndarray, correct: np.ndarray, words: np.ndarray, first: np.ndarray) -> np.ndarray:
    scaled = np.empty(len(confidence))
    for half in (first, ~first):
        scaled[half] = scale(confidence[half], fit_temperature(confidence[~half], correct[~half], words[~half]))
    return scaled
