"""Loops: a decoder that conditions on its own text can go on saying the same for ever."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

REPEATS = 8  # times in a row that an n-gram of tokens has to come to be a loop; people say a digit four times, hardly eight


@dataclass(frozen=True)
class Loop:
    """Where an n-gram of `period` tokens first comes of those that follow it unchanged."""

    start: int
    period: int

    @property
    def end(self) -> int:
        """Where the first repetition begins."""
        return self.start + self.period


def find_loop(tokens: Sequence[int]) -> Loop | None:
    """The first n-gram, whatever its length, that comes `REPEATS` times in a row.

    A word is many tokens in a vocabulary of characters or bytes, so no length of n-gram can be left out.
    """
    ids = np.asarray(tokens)
    found = [Loop(start, period) for period in range(1, len(ids) // REPEATS + 1) if (start := _first_run(ids, period)) is not None]
    return min(found, key=lambda loop: (loop.start, loop.period), default=None)


def ends_in_loop(tokens: list[int]) -> bool:
    """Whether the last token closes a loop."""
    last = tokens[-1:]
    for period in range(1, len(tokens) // REPEATS + 1):
        if tokens[-1 - period : -period] == last and tokens[-period * REPEATS :] == tokens[-period:] * REPEATS:
            return True
    return False


def _first_run(ids: np.ndarray, period: int) -> int | None:
    """Where tokens first equal those `period` later for long enough to be a loop."""
    differing = np.flatnonzero(np.concatenate([[True], ids[period:] != ids[:-period], [True]])) - 1
    runs = np.flatnonzero(np.diff(differing) > period * (REPEATS - 1))
    return int(differing[runs[0]]) + 1 if len(runs) else None
