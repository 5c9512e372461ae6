"""What makes a model train faster on a processor, with the same weights and results equal to rounding. On a GPU nothing changes."""

import ctypes
import logging
import platform
from functools import partial
from typing import Any

import torch
from torch import nn

from ..options import AUTO
from . import keys

FRAMES = 50  # output frames of a second of audio, before any adapter
SCORE = 8  # bytes that a pair of frames takes in each head until its gradient is known
MOST_SCORES = 1 << 30  # bytes that eager attention may take
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of malloc.h
NEVER, LARGEST = -1, 1 << 30  # bytes

log = logging.getLogger("asrx")


def speed_up(model: Any, settings: Any, attention: str, widest: float | None = None) -> None:
    """Lay out convolutions with channels last, leave out gradients that nobody reads, choose the attention, keep freed memory.

    `settings`: transformers.TrainingArguments. `attention`: an implementation, or auto: eager in bfloat16 on a processor if its scores fit into
    1 GiB, since PyTorch's fused attention is slower there. `widest`: utterances times squared seconds of the longest, of the largest batch.
    Where torch.compile is on, it chooses the layout: its code generator fails on ours when the length of the batches changes.
    """
    on_processor = settings.device.type == "cpu"
    if attention == AUTO:
        gains = on_processor and settings.bf16 and widest is not None and scores(model.config, widest) <= MOST_SCORES
        attention = "eager" if gains else model.config._attn_implementation
    if attention != model.config._attn_implementation:
        keys.built(lambda: model.set_attn_implementation(attention))
    if on_processor:
        keep_freed_memory()
    for module in model.modules() if on_processor else ():
        if isinstance(module, nn.Conv1d) and _gains(module) and not settings.torch_compile:
            module.forward = partial(_channels_last, module)
        if hasattr(module, "conv_layers") and not settings.activation_checkpointing:
            module._requires_grad = False  # transformers ask for the gradient of the waveform, where the encoder is trained


def keep_freed_memory() -> None:
    """Have this process reuse the memory of large tensors. glibc gives each back to the system when it is freed; the next one's pages are cleared again.

    That was a tenth of a step of wav2vec 2.0 base. What the process holds stays at its peak. With another C library nothing changes.
    """
    if platform.libc_ver()[0] != "glibc":
        return
    libc = ctypes.CDLL(None)
    if not (libc.mallopt(M_MMAP_THRESHOLD, LARGEST) and libc.mallopt(M_TRIM_THRESHOLD, NEVER)):
        log.debug("glibc does not take mallopt's thresholds")


def scores(config: Any, widest: float) -> float:
    """Bytes that the attention's scores of a batch take where they are kept for the backward pass."""
    return config.num_hidden_layers * config.num_attention_heads * widest * FRAMES**2 * SCORE


def _gains(convolution: nn.Conv1d) -> bool:
    """One channel in each group is no matrix product, a kernel of 1 is one already."""
    return convolution.kernel_size[0] > 1 and convolution.groups < convolution.in_channels and convolution.padding_mode == "zeros"


def _channels_last(convolution: nn.Conv1d, states: torch.Tensor) -> torch.Tensor:
    """(batch, channels, time) → (batch, channels, frames). oneDNN takes half to three quarters of the time, and a layer norm behind it copies nothing."""
    states, weight = (tensor.unsqueeze(2).contiguous(memory_format=torch.channels_last) for tensor in (states, convolution.weight))
    sizes = ((0, *convolution.padding), (1, *convolution.dilation))
    return nn.functional.conv2d(states, weight, convolution.bias, (1, *convolution.stride), *sizes, convolution.groups).squeeze(2)
