"""Memory that runs out: how it is told, how batches get smaller, and what an optimizer step needs to begin again."""

import os
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import numpy as np
import torch
from torch.nn.modules.batchnorm import _BatchNorm

from ..errors import ModelError

SIMULATED = "ASRX_SIMULATE_OOM_SECONDS"  # environment variable: training batches longer than so many seconds, padding included, run out of memory

Result = TypeVar("Result")


def ran_out(error: RuntimeError) -> bool:
    """Whether an error says that the memory of a GPU, or of the machine, was not enough."""
    from accelerate.utils.memory import should_reduce_batch_size

    return isinstance(error, torch.OutOfMemoryError) or should_reduce_batch_size(error)


def simulate(seconds: float) -> None:
    """torch.OutOfMemoryError for a batch of so many seconds, if the environment asks for it."""
    limit = os.environ.get(SIMULATED)
    if limit and seconds > float(limit):
        raise torch.OutOfMemoryError(f"{seconds:.1f} s are more than {SIMULATED}={limit}")


@contextmanager
def explained() -> Iterator[None]:
    """ModelError where memory runs out, with what can be done if smaller batches are no way out."""
    try:
        yield
    except RuntimeError as error:
        if not ran_out(error):
            raise
        raise ModelError(
            "memory ran out where smaller batches do not help: set trainer.gradient_checkpointing=true, trainer.bf16=true or "
            "trainer.optim=adamw_bnb_8bit, take a smaller model, or train fewer of its weights (model.trainable)"
        ) from error


def pieces(rows: int, number: int) -> list[list[int]]:
    """The rows of a batch in `number` pieces of nearly the same size, as far as there are rows."""
    return [piece.tolist() for piece in np.array_split(np.arange(rows), min(rows, number))]


def free() -> None:
    """Give back what nobody refers to. Nothing of a failed attempt may be referred to any more, its exception included."""
    from accelerate.utils.memory import clear_device_cache

    clear_device_cache(garbage_collection=True)


def in_halves(work: Callable[[Sequence[int]], Result], rows: Sequence[int]) -> list[tuple[Sequence[int], Result]]:
    """What `work` makes of `rows`; where memory runs out, of their halves, down to single rows. In order, each with its rows."""
    try:
        return [(rows, work(rows))]
    except RuntimeError as error:
        if not ran_out(error) or len(rows) == 1:
            raise
    free()
    middle = len(rows) // 2
    return [*in_halves(work, rows[:middle]), *in_halves(work, rows[middle:])]


class RandomStates:
    """The random number generators of Python, NumPy and torch, as they are now."""

    def __init__(self) -> None:
        self._python, self._numpy, self._torch = random.getstate(), np.random.get_state(), torch.get_rng_state()
        self._cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []

    def restore(self) -> None:
        """Bring them all back."""
        random.setstate(self._python)
        np.random.set_state(self._numpy)
        torch.set_rng_state(self._torch)
        if self._cuda:
            torch.cuda.set_rng_state_all(self._cuda)


class Beginning:
    """What an optimizer step changes before the optimizer does: random number generators and the running statistics of batch normalisation."""

    def __init__(self, model: torch.nn.Module) -> None:
        self._generators = RandomStates()
        statistics = [buffer for module in model.modules() if isinstance(module, _BatchNorm) for buffer in module.buffers(recurse=False)]
        self._statistics = [(buffer, buffer.clone()) for buffer in statistics]

    def restore(self) -> None:
        """Bring it all back."""
        self._generators.restore()
        for buffer, before in self._statistics:
            buffer.copy_(before)
