"""Which utterances of a corpus are trained on: all, a share, or so many minutes with balanced speakers."""

import numpy as np

from ..config import Data
from ..corpus.shards import Split
from ..errors import InputError


def chosen(split: Split, options: Data) -> np.ndarray:
    """Indices into `split`, in corpus order: what `data.minutes` draws from what `data.fraction` leaves."""
    pool = _fraction(len(split), options)
    return minutes(split, pool, options.minutes, options.seed, options.sample) if options.minutes else pool


def _fraction(count: int, options: Data) -> np.ndarray:
    wanted = max(1, round(count * options.fraction))
    return np.sort(np.random.default_rng(options.seed).permutation(count)[:wanted])


def minutes(split: Split, pool: np.ndarray, wanted: float, seed: int, sample: int) -> np.ndarray:
    """At most `wanted` minutes of the utterances `pool`: speakers take turns, in random order, until no utterance fits any more.

    Raises InputError where the pool has fewer minutes than are wanted.
    """
    seconds, names = split.seconds, split.column("speaker")
    available = float(seconds[pool].sum()) / 60
    if available < wanted:
        raise InputError(f"data.minutes={wanted:g}: there are {available:.1f} minutes of training audio to draw from")
    random = np.random.default_rng((seed, sample))
    queues: dict[str, list[int]] = {}
    for index in random.permutation(pool):
        queues.setdefault(names[index], []).append(int(index))
    left, taken = wanted * 60, []
    while queues:
        for speaker in random.permutation(sorted(queues)):
            fitting = _first_that_fits(queues[speaker], seconds, left)
            if fitting is None:
                del queues[speaker]
                continue
            taken.append(fitting)
            left -= float(seconds[fitting])
    return np.sort(np.array(taken, dtype=np.int64))


def _first_that_fits(queue: list[int], seconds: np.ndarray, left: float) -> int | None:
    """Take the next utterance that is not longer than what is left, dropping those that are."""
    while queue:
        index = queue.pop(0)
        if seconds[index] <= left:
            return index
    return None
