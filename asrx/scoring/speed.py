"""Which of two models is faster? Both transcribe the same audio, in turns."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, sqrt
from typing import Any

import numpy as np

from ..recognizer.audio import SAMPLE_RATE
from .significance import t_quantile

SECONDS = 60.0  # of audio at most
ROUNDS = 5  # at least


@dataclass(frozen=True)
class SpeedRatio:
    """Speed of the candidate relative to the baseline. RTFx is seconds of audio per second of compute."""

    ratio: float  # RTFx of the candidate / RTFx of the baseline: below 1 the candidate is slower
    upper: float  # one-sided bound of the ratio
    candidate_rtfx: float
    baseline_rtfx: float
    rounds: int
    seconds: float  # of audio in each round


def measure(old: Any, new: Any, samples: Sequence[np.ndarray], rounds: int = ROUNDS, confidence: float = 0.95) -> SpeedRatio | None:
    """Time both recognizers on the first minute of `samples` (float32, 16 kHz, shape (time,)), after a warm-up; None without audio.

    They take turns, and the one that begins changes from round to round, so that what slows the machine slows both. The ratio is the
    geometric mean over the rounds; its bound uses Student's t of the logarithms. ValueError for fewer than 5 rounds.
    """
    if rounds < ROUNDS:
        raise ValueError(f"{rounds} rounds are too few for an interval; {ROUNDS} or more")
    batch = _first_minute(samples)
    if not batch:
        return None
    old.recognize(batch), new.recognize(batch)
    spent = np.array([_round(old, new, batch, number % 2 == 1) for number in range(rounds)])
    ratios = np.log(spent[:, 0] / spent[:, 1])
    seconds = sum(map(len, batch)) / SAMPLE_RATE
    baseline, candidate = (seconds / exp(np.log(column).mean()) for column in spent.T)
    upper = exp(ratios.mean() + t_quantile(confidence, rounds - 1) * ratios.std(ddof=1) / sqrt(rounds))
    return SpeedRatio(exp(ratios.mean()), upper, candidate, baseline, rounds, round(seconds, 3))


def _first_minute(samples: Sequence[np.ndarray]) -> list[np.ndarray]:
    batch: list[np.ndarray] = []
    left = int(SECONDS * SAMPLE_RATE)
    for item in samples:
        if left and len(item):
            batch.append(item[:left])
            left -= len(batch[-1])
    return batch


def _round(old: Any, new: Any, batch: list[np.ndarray], swapped: bool) -> tuple[float, float]:
    """Seconds that the baseline and the candidate took."""
    if swapped:
        candidate = _seconds(new, batch)
        return _seconds(old, batch), candidate
    return _seconds(old, batch), _seconds(new, batch)


def _seconds(recognizer: Any, batch: list[np.ndarray]) -> float:
    started = time.perf_counter()
    recognizer.recognize(batch)
    return time.perf_counter() - started
