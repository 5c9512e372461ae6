"""Recordings as pieces that a model with a fixed window can hear."""

from collections.abc import Iterator

import numpy as np

PAUSE = 320  # samples (20 ms) that are compared for loudness
QUIET_PEAK = 1e-3  # full scale = 1; -60 dBFS


def windows(samples: np.ndarray, longest: int) -> Iterator[tuple[int, np.ndarray]]:
    """(first sample, samples) of consecutive pieces of at most `longest` samples, without overlap, shape (time,) each.

    A piece ends at the quietest 20 ms of its window's last quarter; none but the only one is shorter than a quarter of a window.
    """
    start, least = 0, longest // 4
    while len(samples) - start > longest:
        room = min(longest, len(samples) - start - least)
        cut = start + _quietest(samples[start : start + longest], longest - least, room)
        yield start, samples[start:cut]
        start = cut
    yield start, samples[start:]


def is_quiet(samples: np.ndarray) -> bool:
    """Whether float32 samples, full scale 1, stay within 60 dB below full scale of one value: nothing was said."""
    return not len(samples) or float(samples.max()) - float(samples.min()) < 2 * QUIET_PEAK


def _quietest(samples: np.ndarray, low: int, high: int) -> int:
    """The middle of the quietest 20 ms of `samples[low:high]`, the last of several; `high` where there are no 20 ms."""
    count = (high - low) // PAUSE
    if not count:
        return high
    frames = samples[low : low + count * PAUSE].reshape(count, PAUSE).astype(np.float64)
    energy = np.square(frames).sum(axis=1)
    return low + (count - 1 - int(np.argmin(energy[::-1]))) * PAUSE + PAUSE // 2
