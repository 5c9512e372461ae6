"""Real steps of the longest batch before training: whether they fit into memory, and how long an epoch takes. They leave no trace."""

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..config import Config
from ..models import Family
from . import processes
from .batching import BatchPlan, Item, TrainingUtterances, plan_batches
from .material import Material
from .memory import RandomStates

STEPS = 3  # of which the first one warms up
SLOW = 3.0  # s; after a first step of so many there is one more, after twice as many none
CGROUPS = (  # limit, usage and what of it the kernel can take back: files of version 2, then of version 1
    ("memory.max", "memory.current", "memory.stat", "inactive_file"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "memory/memory.stat", "total_inactive_file"),
)


@dataclass(frozen=True)
class Probe:
    """What the longest batch of the first epoch took, forward and backward."""

    utterances: int
    padded: float  # s of audio that was computed on
    step: float  # s
    epoch: float  # s that an epoch takes at this speed, forward and backward alone
    total: float  # s that all steps take
    peak: int  # bytes on top of what was taken before: gradients and activations
    loss: float


def measure(family: Family, material: Material, options: Config, join: Callable[..., list[int]], settings: Any) -> Probe:
    """Probe the training of `material`; `settings` are the TrainingArguments, which say device and precision.

    The optimizer does not step: weights, random states, gradients and buffers are afterwards what they were.
    """
    plan, micro_batches = _first_epoch(material, options)
    costs = [_padded(family, material, batch) for batch in plan]
    longest = int(np.argmax(costs))
    utterances = TrainingUtterances(material, join, options.augment, options.trainer.seed)
    batch = plan.batches[longest]
    with untouched(family.model):
        collated = _collated(family, [utterances[item] for item in batch])
        with _peak(settings.device) as peak:
            step, loss = _timed_steps(family, collated, settings)
    speed = step / costs[longest]
    whole = sum(costs) * speed
    return Probe(len(batch), costs[longest], step, whole / processes.count(), whole * micro_batches / len(plan), peak(), loss)


def _first_epoch(material: Material, options: Config) -> tuple[BatchPlan, float]:
    """Its batches, each for one process, and how many of them the whole run has for a process."""
    own = options.trainer
    size, concatenate = own.per_device_train_batch_size, options.augment.concatenate
    plan = plan_batches(material.seconds, material.speakers, 1, 0, size, options.batch, concatenate, own.seed, material.values)
    whole = own.num_train_epochs * len(plan) / processes.count()
    return plan, own.max_steps * own.gradient_accumulation_steps if own.max_steps > 0 else whole


def _padded(family: Family, material: Material, batch: list[Item]) -> float:
    """Seconds of audio that a batch is computed on."""
    seconds = material.seconds
    return len(batch) * family.padded_seconds(max(item.lasts(seconds) for item in batch))


def _collated(family: Family, samples: list[Any]) -> dict[str, Any]:
    return family.collate([item.waveform for item in samples], [item.labels for item in samples], [item.seed for item in samples])


def _timed_steps(family: Family, batch: dict[str, Any], settings: Any) -> tuple[float, float]:
    """Seconds of the quickest step after the first, and the loss."""
    model, device = family.model, settings.device
    model.train()
    with _checkpointing(model, settings):
        times: list[float] = []
        while len(times) < STEPS and not (times and times[0] > SLOW * (3 - len(times))):
            began = time.perf_counter()
            moved = {name: value.to(device) for name, value in batch.items()}
            with torch.autocast(device.type, torch.float16 if settings.fp16 else torch.bfloat16, enabled=settings.fp16 or settings.bf16):
                loss = family.loss(model(**moved), moved)
            loss.backward()
            value = float(loss.detach())  # waits for the device
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            times.append(time.perf_counter() - began)
    return min(times[1:] or times), value


@contextlib.contextmanager
def _checkpointing(model: Any, settings: Any) -> Iterator[None]:
    """Activation checkpointing where the training will have it."""
    if not settings.activation_checkpointing or model.is_activation_checkpointing:
        yield
        return
    model.activation_checkpointing_enable(activation_checkpointing_kwargs=settings.activation_checkpointing_kwargs)
    try:
        yield
    finally:
        model.activation_checkpointing_disable()


@contextlib.contextmanager
def untouched(model: torch.nn.Module) -> Iterator[None]:
    """Undo what the block does to buffers, gradients, modes and the random states of Python, NumPy and torch. Weights must not change in it."""
    generators = RandomStates()
    buffers = [(buffer, buffer.detach().clone()) for buffer in model.buffers()]
    modes = [(module, module.training) for module in model.modules()]
    try:
        yield
    finally:
        model.zero_grad(set_to_none=True)
        with torch.no_grad():
            for buffer, before in buffers:
                buffer.copy_(before)
        for module, mode in modes:
            module.training = mode
        generators.restore()


def free_memory(device: torch.device) -> int:
    """Bytes that are free on a device; of a processor's memory what the system and the control group of this process leave."""
    if device.type == "cuda":
        reserved = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + reserved
    import psutil

    return min([psutil.virtual_memory().available, *_left_in_cgroups(Path("/sys/fs/cgroup"))])


def _left_in_cgroups(root: Path) -> Iterator[int]:
    """What a limit leaves, if there is one."""
    for limit, usage, statistics, reclaimable in CGROUPS:
        with contextlib.suppress(OSError, ValueError, KeyError):
            allowed, used = (int((root / name).read_text()) for name in (limit, usage))
            lines = (line.split() for line in (root / statistics).read_text().splitlines())
            yield max(0, allowed - used + int({key: value for key, value in lines}[reclaimable]))


@contextlib.contextmanager
def _peak(device: torch.device) -> Iterator[Callable[[], int]]:
    """A function that says, behind the block, how many bytes were taken in it at most on top of those before."""
    found: list[int] = []
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
    else:
        _forget_peak()
        before = _resident("VmRSS")
    yield lambda: found[0]
    after = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else _resident("VmHWM")
    found.append(max(0, after - before))


def _forget_peak() -> None:
    """Linux then counts the most that is resident from now on."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def _resident(key: str) -> int:
    """Bytes of this process in memory: now (VmRSS), or at most (VmHWM). 0 where the system does not say."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith(key):
                return 1024 * int(line.split()[1])
    return 0
