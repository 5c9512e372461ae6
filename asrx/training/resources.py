"""Whether disk, memory and time last for a training."""

import shutil
from collections.abc import Callable
from typing import Any

import numpy as np

from ..config import Config
from ..findings import OK, REFUSED, WARNING, Finding, size_text, time_text
from ..models import Family
from ..options import ARTIFACTS
from ..stores import home
from . import processes
from .material import Material
from .memory import ran_out

MOST_MEMORY = 0.9  # share of what is free that a step should take
WAITING = 2  # checkpoints on their way to the artifacts, and about to be
STATE = {"adafactor": 0.1, "sgd": 0.0, "8bit": 0.5}  # of an optimizer by its name, over the size of the weights; AdamW: 2


def resources(options: Config, family: Family, material: Material, join: Callable[..., list[int]], settings: Any) -> list[Finding]:
    """Disk, memory and time, the last two by real steps; the model is on its device."""
    from .probe import free_memory, measure

    sharing = processes.on_this_machine() if settings.device.type == "cpu" else 1
    free, state = free_memory(settings.device) // sharing, optimizer_bytes(family.model, options) + average_bytes(family.model, options)
    try:
        probed = measure(family, material, options, join, settings)
    except (RuntimeError, MemoryError) as error:
        if not isinstance(error, MemoryError) and not ran_out(error):
            raise
        found = [Finding("memory", WARNING, f"a step of the longest batch does not fit into the {size_text(free)} that are free", _smaller(options))]
    else:
        found = [memory(probed.peak, state, gradient_bytes(family.model), free, settings.device.type, options), _time(probed)]
    return [disk(family.model, options, free_disk()), *found]


def _time(probed: Any) -> Finding:
    measured = (
        f"{time_text(probed.epoch)} for an epoch, {time_text(probed.total)} in all, forward and backward alone: "
        f"{probed.padded / probed.step:,.1f} s of audio a second, measured on {probed.utterances} utterances, {probed.padded:.0f} s padded"
    )
    if not np.isfinite(probed.loss):
        advice = "the loss of the longest batch is not finite before the first step: look at the audio, or train in float32 (trainer.fp16=false)"
        return Finding("time", WARNING, f"{measured}; loss {probed.loss}", advice)
    return Finding("time", OK, measured)


def memory(peak: int, state: int, gradients: int, free: int, device: str, options: Config) -> Finding:
    """All in bytes. `peak`: what a step took on top of the weights, `gradients` among it; `state`: of optimizer and average, which comes to that."""
    where = "of the GPU's memory" if device == "cuda" else "of memory"
    needed = max(peak, gradients) + state
    holder = "the optimizer's and the average's" if options.checkpoint.average else "the optimizer's"
    measured = f"about {size_text(needed)} on top of the model ({size_text(state)} of it {holder}), {size_text(free)} {where} are free"
    if gradients + state > free:
        advice = "gradients and optimizer alone do not fit: model.trainable=lora trains less, or take a smaller model"
        return Finding("memory", REFUSED, measured, advice)
    return Finding("memory", WARNING if needed > MOST_MEMORY * free else OK, measured, _smaller(options))


def _smaller(options: Config) -> str:
    size = options.trainer.per_device_train_batch_size
    smaller = f"batch.seconds={options.batch.seconds / 2:g}" if options.batch.seconds else f"trainer.per_device_train_batch_size={max(1, size // 2)}"
    return f"take smaller batches ({smaller}, with twice trainer.gradient_accumulation_steps), or trainer.gradient_checkpointing=true"


def disk(model: Any, options: Config, free: int) -> Finding:
    """Checkpoints, one more while the next is written, and the best model, against the bytes that are `free` where runs are kept."""
    weights = sum(tensor.numel() * tensor.element_size() for tensor in model.state_dict().values())
    checkpoint = weights + optimizer_bytes(model, options) + average_bytes(model, options)
    waiting = WAITING if options.checkpoint.store == ARTIFACTS else 0
    kept = max(options.trainer.save_total_limit, 1) + 1 + waiting
    models = 3 + options.checkpoint.average_best  # the best one, the next best as it is written, the published one, those that are averaged
    needed, least = kept * checkpoint + models * weights, checkpoint + weights
    measured = f"{size_text(needed)} for {kept} checkpoints of {size_text(checkpoint)} and the best models, {size_text(free)} are free in {home()}"
    advice = "free some space, set ASRX_HOME to another disk, or trainer.save_total_limit=1"
    return Finding("disk", REFUSED if free < least else WARNING if free < needed else OK, measured, advice)


def free_disk() -> int:
    """Bytes that are free where runs are kept."""
    folder = home()
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


def gradient_bytes(model: Any) -> int:
    """Of all weights that are trained."""
    return sum(parameter.numel() * parameter.element_size() for parameter in model.parameters() if parameter.requires_grad)


def average_bytes(model: Any, options: Config) -> int:
    """Of the moving average, if one is kept: another copy of what is trained."""
    return gradient_bytes(model) if options.checkpoint.average else 0


def optimizer_bytes(model: Any, options: Config) -> int:
    """Of the optimizer's state: two values per trained weight for AdamW (Loshchilov and Hutter 2019)."""
    name = str(options.extra["trainer"].get("optim", "adamw"))
    return int(gradient_bytes(model) * next((share for part, share in STATE.items() if part in name), 2.0))
