"""A plan of batches for several processes: made for all of them as one, and each batch divided, so that they train as one process with batches so large."""

from dataclasses import replace

import numpy as np

from ..config import Batch, Config
from . import processes
from .batching import BatchPlan, Item


def of_all(options: Config) -> tuple[int, Batch]:
    """Utterances per batch, and how batches are put together, of all processes as one; the options are those of each."""
    number = processes.count()
    return options.trainer.per_device_train_batch_size * number, replace(options.batch, seconds=options.batch.seconds * number)


def own_share(plan: BatchPlan, seconds: np.ndarray, rank: int, number: int) -> BatchPlan:
    """What process `rank` of `number` sees of a plan: of each batch every so many utterances, in the order of their lengths.

    `seconds`: duration of each utterance in s. A batch with fewer utterances than processes has none for some of them: they take part
    with one that does not count.
    """

    def own(batch: list[Item]) -> list[Item]:
        longest_first = sorted(batch, key=lambda item: item.lasts(seconds), reverse=True)
        return longest_first[rank::number] or [replace(longest_first[-1], counts=False)]

    return plan if number == 1 else replace(plan, batches=[own(batch) for batch in plan.batches])
