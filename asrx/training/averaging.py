"""Averages of the weights: a moving one, smoother than the last step, at the cost of one more copy; and that of the best steps, at the end."""

import logging
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from transformers import TrainerCallback

from ..files import folder_written_at_once, read_json, write_json
from ..models import Transcriber
from ..tracking import Run
from .callbacks import Recorder
from .evaluation import Evaluates

log = logging.getLogger("asrx")

FILE = "average.safetensors"
BEST_FILE, RANK = "weights.safetensors", "rank.json"  # of a step that is among the best


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


class BestWeights(TrainerCallback):
    """The weights of the best evaluated steps, as they were evaluated, on disk until the end: `count` times the weights that are trained.

    `ranking`: the evaluation's metrics that decide, lower is better.
    """

    def __init__(self, model: torch.nn.Module, folder: Path, count: int, ranking: Sequence[str]) -> None:
        self._model, self._folder, self._count, self._ranking = model, folder, count, ranking

    def on_evaluate(self, args: object, state: object, control: object, metrics: dict[str, float], **_: object) -> None:
        """Keep this step's weights if they are among the best, and drop those that no longer are."""
        from safetensors.torch import save_file

        if not state.is_world_process_zero:
            return
        rank = [*(metrics[name] for name in self._ranking), state.global_step]
        if sum(kept < rank for kept, _ in self._kept()) >= self._count:
            return
        with folder_written_at_once(self._folder / f"step-{state.global_step}") as folder:
            save_file({name: tensor.detach().contiguous() for name, tensor in _learned(self._model).items()}, str(folder / BEST_FILE))
            write_json(folder / RANK, rank)
        for _, folder in self._kept()[self._count :]:
            shutil.rmtree(folder)

    def steps(self) -> list[int]:
        """Those that are kept, best first."""
        return [int(rank[-1]) for rank, _ in self._kept()]

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """The model with the mean of what is kept, for the length of the block."""
        from safetensors.torch import load_file

        learned = _learned(self._model)
        own = {name: tensor.detach().clone() for name, tensor in learned.items()}
        folders = [folder for _, folder in self._kept()]
        mean = {name: torch.zeros_like(tensor, dtype=torch.float32, device="cpu") for name, tensor in own.items()}
        for folder in folders:
            for name, tensor in load_file(str(folder / BEST_FILE)).items():
                mean[name] += tensor.float() / len(folders)
        _fill(learned, mean)
        try:
            yield
        finally:
            _fill(learned, own)

    def remove(self) -> None:
        """Everything that is kept."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _kept(self) -> list[tuple[list[float], Path]]:
        """Rank and folder of each step, best first."""
        return sorted((rank, file.parent) for file in self._folder.glob(f"step-*/{RANK}") if (rank := read_json(file)))


def average_best(kept: BestWeights, family: Transcriber, evaluator: Evaluates, recorder: Recorder, run: Run) -> str:
    """Evaluate the mean of the best steps' weights, which becomes the best model if it ranks above the best of them. What came of it, in a sentence."""
    steps = kept.steps()
    if len(steps) < 2:
        return f"There was nothing to average: {len(steps)} step was evaluated."
    with kept.averaged():
        metrics = evaluator(family.model).metrics
        better = recorder.keep_if_best(steps[0], metrics, family.save, averaged=steps)
    run.metrics({f"averaged/{name.removeprefix('eval_')}": value for name, value in metrics.items()}, steps[0])
    verdict = "better than the best of them" if better else "no better than the best of them, which is kept"
    told = f"The average of the steps {', '.join(f'{step:,}' for step in steps)}: WER {metrics['eval_wer']:.2%}, {verdict}."
    log.info("%s", told)
    return told


def _learned(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """What training changes: parameters that are not frozen, and statistics such as those of batch normalisation."""
    trained = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    return {**trained, **{name: buffer for name, buffer in model.named_buffers() if buffer.is_floating_point()}}


def _fill(tensors: dict[str, torch.Tensor], values: dict[str, torch.Tensor]) -> None:
    with torch.no_grad():
        for name, tensor in tensors.items():
            tensor.copy_(values[name])
