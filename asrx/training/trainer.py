"""Hugging Face's Trainer, made to follow one batch plan and to weight utterances equally."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from accelerate.data_loader import prepare_data_loader
from torch.utils.data import DataLoader
from transformers import TrainerState
from transformers.trainer import TRAINER_STATE_NAME
from transformers.trainer_utils import rotate_checkpoints

from ..models import Family
from . import processes
from .averaging import MovingAverage
from .batching import BatchPlan, Sample
from .checkpoints import mark_complete
from .evaluation import Evaluates, Evaluation
from .incidents import Incidents
from .notices import Tells, Unheard
from .steps import RepeatableSteps

IDLE = "idle"  # key of a batch that does not count


class AsrTrainer(RepeatableSteps):
    """Trains a family's model over a batch plan; evaluates with the decoder that serves."""

    # CTC forwards take **kwargs, from which Trainer concludes that they scale their loss for accumulation; they do not.
    loss_is_scaled_for_ga = True  # compute_loss below does

    def __init__(
        self,
        family: Family,
        plan: BatchPlan,
        utterances: Any,
        evaluator: Evaluates,
        average: MovingAverage | None,
        incidents: Incidents | None = None,
        notices: Tells | None = None,
        **options: Any,
    ) -> None:
        super().__init__(family, plan, incidents or Incidents(), notices or Unheard(), train_dataset=utterances, eval_dataset=evaluator, **options)
        self._evaluator, self._average = evaluator, average
        self._waits: list[float] = []  # s, since the last log
        self.last_evaluation: Evaluation | None = None
        self.stopped_early: Callable[[int], bool] | None = None  # whether a step was the last one because nothing had become better
        self.schedule: Callable[[int, int], Callable[[int], float] | None] | None = None  # of a number of steps, of which some warm up

    def get_train_dataloader(self) -> DataLoader:
        """One pass over the plan is the whole run."""
        loader = DataLoader(
            self.train_dataset,
            batch_sampler=self._plan,
            collate_fn=self._collate,
            num_workers=self.args.dataloader_num_workers,
            pin_memory=self.args.dataloader_pin_memory and torch.cuda.is_available(),
        )
        return prepare_data_loader(loader, self.args.device, num_processes=1, process_index=0, put_on_device=True)  # the plan is divided already

    def get_batch_samples(self, *arguments: Any) -> tuple[list[dict[str, Any]], float]:
        """The micro-batches of the next optimizer step; how long they were waited for is a curve."""
        began = time.perf_counter()
        found = super().get_batch_samples(*arguments)
        self._waits.append(time.perf_counter() - began)
        return found

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
        """One of asrx's own schedules where `schedule` has one, else Trainer's."""
        curve = self.schedule and self.schedule(num_training_steps, self.args.get_warmup_steps(num_training_steps))
        if curve and self.lr_scheduler is None:
            self.lr_scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer or self.optimizer, curve)
            self._created_lr_scheduler = True
        return super().create_scheduler(num_training_steps, optimizer)

    def _collate(self, samples: list[Sample]) -> dict[str, Any]:
        batch = self._family.collate([item.waveform for item in samples], [item.labels for item in samples], [item.seed for item in samples])
        return batch if samples[0].counts else {**batch, IDLE: True}

    def _weight(self, batch: dict[str, Any]) -> int:
        """Of a batch in the loss of its optimizer step."""
        return 0 if IDLE in batch else self._family.weight(batch)

    def _get_num_items_in_batch(self, batch_samples: list[dict[str, Any]], device: torch.device) -> float:
        """The weight of the whole optimizer step, all of its micro-batches together; the mean over devices, as gradients are averaged over them."""
        weight = torch.tensor(float(sum(self._weight(batch) for batch in batch_samples)), device=device)
        return float(self.accelerator.reduce(weight, "mean"))

    def compute_loss(self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: float | None = None) -> Any:
        """The mean loss, weighted so that every utterance (or whatever the family weighs) of the optimizer step counts the same."""
        weight = self._weight(inputs)
        inputs = {name: value for name, value in inputs.items() if name != IDLE}
        outputs = model(**inputs)
        loss = self._family.loss(outputs, inputs)
        if num_items_in_batch:
            loss = loss * (weight / num_items_in_batch)
        if model.training:
            self._add_details(self._family.details(outputs, inputs), weight)
        return (loss, outputs) if return_outputs else loss

    def _add_details(self, details: dict[str, Any], weight: int) -> None:
        """Sums, on the device: reading them at every step would make the step wait."""
        for name, value in details.items():
            total, weights = self._details.get(name, (0.0, 0))
            self._details[name] = (total + value * weight, weights + weight)

    def _summed_details(self) -> dict[str, tuple[float, float]]:
        """Of all processes."""
        told = processes.gathered({name: (float(total), float(weights)) for name, (total, weights) in self._details.items()})
        return {name: (sum(each[name][0] for each in told), sum(each[name][1] for each in told)) for name in self._details}

    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        """Trainer's curves with the family's own beside the loss."""
        if "loss" in logs:
            sums = self._summed_details()
            logs = {**logs, **{f"train_{name}": total / weights for name, (total, weights) in sums.items() if weights}, **self._counted()}
            logs["train_data_wait"] = sum(self._waits) / max(1, len(self._waits))  # s of a step
            self._details.clear()
            self._waits.clear()
            self._judge_scale()
        super().log(logs, *args, **kwargs)

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        """The validation metrics, by the averaged weights if an average is kept."""
        if self._average:
            with self._average.in_place_of(self.model):
                return self._evaluate_now()
        return self._evaluate_now()

    def _evaluate_now(self) -> dict[str, float]:
        self.last_evaluation = self._evaluator(self.model)
        metrics = dict(self.last_evaluation.metrics)
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        (self.control.should_training_stop,) = processes.any_of(self.control.should_training_stop)
        return metrics

    def save_weights(self, folder: Path) -> None:
        """The model as it was evaluated, for people and for transformers."""
        if self._average:
            with self._average.in_place_of(self.model):
                self._family.save(folder)
        else:
            self._family.save(folder)

    def evaluate_the_end(self) -> None:
        """Evaluate the last step, unless it was."""
        evaluated = [entry["step"] for entry in self.state.log_history if "eval_loss" in entry]
        if self.state.global_step not in evaluated:
            self.evaluate()

    def load_average(self, checkpoint: Path) -> None:
        """The averaged weights of a checkpoint; its other state is Trainer's to load."""
        if self._average:
            self._average.load(checkpoint)

    def stand_at(self, checkpoint: Path) -> None:
        """As after the step of a checkpoint, which is not gone on from."""
        self.state = TrainerState.load_from_json(str(checkpoint / TRAINER_STATE_NAME))
        self._load_from_checkpoint(str(checkpoint))

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        limit, self.args.save_total_limit = self.args.save_total_limit, None  # older ones are there until this one is whole
        super()._save_checkpoint(model, trial)
        self.args.save_total_limit = limit
        checkpoint = Path(self.args.output_dir) / f"checkpoint-{self.state.global_step}"
        if self._average and self.args.should_save:
            self._average.save(checkpoint)
        processes.gathered(None)  # all have saved their part
        if self.args.should_save:
            mark_complete(checkpoint)
            rotate_checkpoints(self.args.output_dir, limit)
