"""An exponential moving average of the weights: smoother than the last step, at the cost of one more copy."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from transformers import TrainerCallback

FILE = "average.safetensors"


class MovingAverage(TrainerCallback):
    """w ← d·w + (1 - d)·weights after every optimizer step, with d rising to `decay`: min(decay, (1 + step) / (10 + step))."""

    def __init__(self, model: torch.nn.Module, decay: float) -> None:
        self._decay = decay
        self._parameters = [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]
        self._average = [parameter.detach().clone() for _, parameter in self._parameters]

    def on_train_begin(self, args: object, state: object, control: object, **_: object) -> None:
        """Trainer has moved the model to its device by now."""
        self._average = [average.to(parameter.device) for average, (_, parameter) in zip(self._average, self._parameters)]

    def on_step_end(self, args: object, state: object, control: object, **_: object) -> None:
        """Called by Trainer after each optimizer step."""
        decay = min(self._decay, (1 + state.global_step) / (10 + state.global_step))
        with torch.no_grad():
            torch._foreach_lerp_(self._average, [parameter.detach() for _, parameter in self._parameters], 1 - decay)

    @contextmanager
    def in_place_of(self, model: torch.nn.Module) -> Iterator[None]:
        """The model with averaged weights, for the length of the block."""
        own = [parameter.detach().clone() for _, parameter in self._parameters]
        self._copy(self._average)
        try:
            yield
        finally:
            self._copy(own)

    def _copy(self, weights: list[torch.Tensor]) -> None:
        with torch.no_grad():
            torch._foreach_copy_([parameter for _, parameter in self._parameters], weights)

    def save(self, folder: Path) -> None:
        """Beside a checkpoint's own weights."""
        from safetensors.torch import save_file

        save_file({name: tensor.contiguous() for (name, _), tensor in zip(self._parameters, self._average)}, str(folder / FILE))

    def load(self, folder: Path) -> None:
        """From a checkpoint."""
        from safetensors.torch import load_file

        saved = load_file(str(folder / FILE))
        self._average = [saved[name].to(parameter.device) for name, parameter in self._parameters]
