"""Hugging Face's Trainer, made to follow one batch plan and to weight utterances equally."""

from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader
from transformers import Trainer

from ..models import Family
from .averaging import MovingAverage
from .batching import BatchPlan, Sample
from .evaluation import Evaluates, Evaluation
from .resume import mark_complete


class AsrTrainer(Trainer):
    """Trains a family's model over a batch plan; evaluates with the decoder that serves."""

    # CTC forwards take **kwargs, from which Trainer concludes that they scale their loss for accumulation; they do not.
    loss_is_scaled_for_ga = True  # compute_loss below does

    def __init__(
        self, family: Family, plan: BatchPlan, utterances: Any, evaluator: Evaluates, average: MovingAverage | None, **options: Any
    ) -> None:
        super().__init__(model=family.model, train_dataset=utterances, eval_dataset=evaluator, **options)
        self._family, self._plan, self._evaluator, self._average = family, plan, evaluator, average
        self._details: dict[str, tuple[Any, int]] = {}
        self.last_evaluation: Evaluation | None = None

    def get_train_dataloader(self) -> DataLoader:
        """One pass over the plan is the whole run."""
        loader = DataLoader(
            self.train_dataset,
            batch_sampler=self._plan,
            collate_fn=self._collate,
            num_workers=self.args.dataloader_num_workers,
            pin_memory=self.args.dataloader_pin_memory and torch.cuda.is_available(),
        )
        return self.accelerator.prepare(loader)

    def _collate(self, samples: list[Sample]) -> dict[str, Any]:
        return self._family.collate([item.waveform for item in samples], [item.labels for item in samples], [item.seed for item in samples])

    def _get_num_items_in_batch(self, batch_samples: list[dict[str, Any]], device: torch.device) -> float:
        """The weight of the whole optimizer step, all of its micro-batches together; the mean over devices, as gradients are averaged over them."""
        weight = torch.tensor(float(sum(self._family.weight(batch) for batch in batch_samples)), device=device)
        return float(self.accelerator.reduce(weight, "mean"))

    def compute_loss(self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: float | None = None) -> Any:
        """The mean loss, weighted so that every utterance (or whatever the family weighs) of the optimizer step counts the same."""
        outputs = model(**inputs)
        loss = self._family.loss(outputs, inputs)
        weight = self._family.weight(inputs)
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

    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        """Trainer's curves with the family's own beside the loss."""
        if "loss" in logs:
            logs = {**logs, **{f"train_{name}": float(total / weights) for name, (total, weights) in self._details.items() if weights}}
            self._details.clear()
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

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        super()._save_checkpoint(model, trial)
        checkpoint = Path(self.args.output_dir) / f"checkpoint-{self.state.global_step}"
        if self._average:
            self._average.save(checkpoint)
        mark_complete(checkpoint)
