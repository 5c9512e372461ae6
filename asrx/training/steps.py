"""Optimizer steps that are taken again from their beginning, in smaller pieces when memory runs out, without some utterances when something is not finite."""

import math
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from transformers import Trainer

from ..errors import AsrxError, InputError, ModelError
from ..models import Family
from . import memory, processes
from .batching import BatchPlan, Item
from .checkpoints import COMPLETE
from .incidents import TOLERATED, Incidents, LeftOut
from .notices import Tells

COLLAPSED = 1.0  # scale of float16's losses below which it is not the scale that makes gradients overflow
NAMED = 8  # utterances in a sentence
LOST = 3.0  # times the loss at the beginning; where sound utterances lose more, the weights have run away
GROWN = 10.0  # times as large as at the beginning; so have weights that are larger
ORDINALS = {3: "third", 6: "sixth", 9: "ninth"}


@dataclass
class Step:
    """An optimizer step on its way. `kept`: which rows of each micro-batch are learnt from, `learnt`: those rows, None where there are none."""

    batches: list[dict[str, Any]]
    items: list[list[Item]]
    kept: list[list[int]] = field(default_factory=list)
    learnt: list[dict[str, Any] | None] = field(default_factory=list)
    weight: float = 0.0
    begun: int = 0  # micro-batches
    loss: Any = 0.0
    attempted: Sequence[Item] = ()  # the last piece
    beginning: memory.Beginning | None = None
    logged: tuple[Any, dict[str, tuple[Any, int]]] = (0.0, {})  # loss and details since the last log, before this step


class RepeatableSteps(Trainer):
    """A Trainer whose steps leave weights and optimizer alone until memory has sufficed and everything is finite.

    A step that is taken again draws the same random numbers, so that it is the step which a resumed training takes at once.
    """

    def __init__(self, family: Family, plan: BatchPlan, incidents: Incidents, notices: Tells, **options: Any) -> None:
        super().__init__(model=family.model, **options)
        self._family, self._plan, self._incidents, self._notices = family, plan, incidents, notices
        self._items = list(plan)
        self._details: dict[str, tuple[Any, int]] = {}
        self._step = Step([], [])
        self._has_collapsed = False
        self._first_loss: Any = None
        self._first_size: Any = None

    def get_batch_samples(self, epoch_iterator: Iterator[dict[str, Any]], num_batches: int, device: torch.device) -> tuple[list[dict[str, Any]], float]:
        """The micro-batches of the next optimizer step, and the weight of what is learnt from them."""
        if self._first_size is None:
            self._first_size = self._size()
        batches = list(islice(epoch_iterator, num_batches))
        first = self.state.global_step * self.args.gradient_accumulation_steps
        self._step = Step(batches, self._items[first : first + len(batches)])
        self._choose_rows()
        return batches, self._step.weight

    def training_step(self, model: Any, inputs: dict[str, Any], num_items_in_batch: float | None = None) -> torch.Tensor:
        """Adds the gradients of a micro-batch; where memory runs out, those of the step so far once more, in pieces."""
        step = self._step
        if not step.begun:
            step.beginning, step.logged = memory.Beginning(self.model), (self._tr_loss.clone(), dict(self._details))
        step.begun += 1
        loss = self._tried(model, [step.begun - 1])
        if loss is None:
            loss = self._again(model)
        else:
            step.loss = step.loss + loss
        if self._first_loss is None and step.begun == len(step.batches):
            self._first_loss = step.loss
        return self._finished_in_half(model, loss) if self._is_scaled and step.begun == len(step.batches) else loss

    def _get_grad_norm(self, model: Any, grad_norm: Any = None) -> Any:
        """Trainer's, of gradients that are finite: it asks for it before each step of the optimizer, after clipping."""
        norm = super()._get_grad_norm(model, grad_norm)
        if self._is_scaled or math.isfinite(float(self._judged(norm))):
            return norm
        loss = self._without_culprits(model)  # which begins anew with what was logged
        self._tr_loss += loss
        return super()._get_grad_norm(model, self._clip_grad_norm(model) if self.args.max_grad_norm > 0 else None)

    def _finished_in_half(self, model: Any, loss: torch.Tensor) -> torch.Tensor:
        """GradScaler wants gradients. It leaves infinite ones out, but their reason is not always the scale; several processes differ in their loss."""
        if processes.count() == 1 and not math.isfinite(float(self._step.loss)):
            loss = self._without_culprits(model)
        if all(batch is None for batch in self._step.learnt):
            for parameter in self.model.parameters():
                parameter.grad = torch.zeros_like(parameter) if parameter.requires_grad else None
        return loss

    @property
    def _is_scaled(self) -> bool:
        """float16: GradScaler overflows on purpose, and leaves such a step out by itself."""
        return getattr(self.accelerator, "scaler", None) is not None

    def _judged(self, norm: Any) -> Any:
        """Finite if all is; one value, so that a GPU is waited for once in a step. Of several processes each has the norm of all, but its own loss."""
        return norm if processes.count() > 1 else self._step.loss + norm

    def _judge_scale(self) -> None:
        """Tells, once, of float16 that overflows without finding a scale."""
        if self._is_scaled and not self._has_collapsed and self.accelerator.scaler.get_scale() < COLLAPSED:
            self._has_collapsed = True
            remedy = "set trainer.bf16=true or trainer.fp16=false, or lower trainer.learning_rate"
            self._notices.happened(self.state.global_step, f"Gradients in float16 overflow at any scale, and such steps are left out: {remedy}.")

    def _choose_rows(self) -> None:
        step, done = self._step, self.state.global_step
        step.kept = [self._incidents.rows(done, items) for items in step.items]
        step.learnt = [self._selected(batch, rows, len(items)) for batch, rows, items in zip(step.batches, step.kept, step.items)]
        step.weight = self._get_num_items_in_batch([batch for batch in step.learnt if batch is not None], self.args.device)

    def _selected(self, batch: dict[str, Any], rows: list[int], count: int) -> dict[str, Any] | None:
        if len(rows) == count:
            return batch
        return self._family.select(batch, rows) if rows else None

    def _tried(self, model: Any, numbers: Sequence[int]) -> torch.Tensor | None:
        """The loss of micro-batches, whose gradients are added; None if memory ran out, and nothing refers to what was computed any more."""
        try:
            losses = [loss for number in numbers for loss in self._learn(model, number)]
        except RuntimeError as error:
            if not memory.ran_out(error):
                raise
            return None
        return sum(losses[1:], losses[0]) if losses else torch.zeros((), device=self.args.device)

    def _learn(self, model: Any, number: int) -> Iterator[torch.Tensor]:
        """The losses of a micro-batch's pieces."""
        step = self._step
        batch, kept = step.learnt[number], step.kept[number]
        if batch is None:
            return
        for rows in memory.pieces(len(kept), self._incidents.pieces(self.state.global_step)):
            step.attempted = [step.items[number][kept[row]] for row in rows]
            memory.simulate(self._padded(step.attempted))
            yield super().training_step(model, batch if len(rows) == len(kept) else self._family.select(batch, rows), step.weight)

    def _padded(self, items: Sequence[Item]) -> float:
        return len(items) * self._family.padded_seconds(max(map(self._incidents.seconds, items)))

    def _again(self, model: Any) -> torch.Tensor:
        """The loss of the step, taken again as far as it had come: in smaller pieces, as long as memory runs out."""
        while True:
            self._divide()
            self._restart(model)
            memory.free()
            loss = self._tried(model, range(self._step.begun))
            if loss is not None:
                self._step.loss = loss
                return loss

    def _restart(self, model: Any) -> None:
        """Back to where the step began."""
        step = self._step
        model.zero_grad()
        step.beginning.restore()
        self._tr_loss, self._details = step.logged[0].clone(), dict(step.logged[1])

    def _divide(self) -> None:
        items, done = self._step.attempted, self.state.global_step
        seconds = self._padded(items)
        found = f"memory ran out in a batch of {len(items)} utterances, {seconds:.1f} s of audio with padding"
        if processes.count() > 1:
            raise ModelError(f"{found}: several processes cannot divide it; lower batch.seconds or trainer.per_device_train_batch_size")
        if len(items) == 1:
            names = " and ".join(self._names(items))
            shorter = "set augment.concatenate=0" if items[0].partner is not None else "prepare the corpus with a lower data.max_seconds"
            raise ModelError(
                f"memory ran out with one utterance alone, {names} of {seconds:.1f} s: {shorter}, "
                "set trainer.gradient_checkpointing=true or trainer.bf16=true, or take a smaller model"
            )
        number = 2 * self._incidents.pieces(done)
        self._incidents.divide(done, number)
        said = f"every micro-batch is taken in {number} pieces from this step on, with the same effective batch in the same order"
        self._notices.happened(done + 1, f"M{found[1:]}: {said}.")

    def _without_culprits(self, model: Any) -> torch.Tensor:
        """The loss of the step, taken again without the utterances that are to blame for what is not finite; without any, if that cannot be said."""
        step = self._step
        everyone = [items[row] for items, rows in zip(step.items, step.kept) for row in rows if items[row].counts]
        culprits, names = ([], []) if processes.count() > 1 else self._culprits(model)
        if culprits and (len(culprits) < len(everyone) or len(everyone) == 1):
            self._leave_out(names, "loss or gradient not finite", False)
            loss = self._taken_again(model)
        else:
            loss = torch.tensor(math.nan)
        if not math.isfinite(float(loss)):
            reason = "loss or gradient of the step not finite" + (", of none alone" if not culprits else "")
            self._leave_out([name for names in processes.gathered(self._names(everyone)) for name in names], reason, True)
            loss = self._taken_again(model)
        if self._incidents.times() % TOLERATED == 0:
            self._stop(model)
        return loss

    def _names(self, items: Sequence[Item]) -> list[str]:
        return list(dict.fromkeys(name for item in items for name in self._incidents.ids(item)))

    def _counted(self) -> dict[str, float]:
        """Curves of what has happened so far; none as long as nothing has."""
        skipped, pieces = self._incidents.utterances(self.state.global_step), self._incidents.pieces(self.state.global_step)
        return {**({"train_skipped_utterances": skipped} if skipped else {}), **({"train_micro_batch_pieces": pieces} if pieces > 1 else {})}

    def _culprits(self, model: Any) -> tuple[list[Item], list[str]]:
        """Items that are not finite when they are alone, without dropout, and the utterances to blame; none where the weights have run away."""
        step = self._step
        self._restart(model)
        model.eval()
        alone = [(items[row], self._family.select(batch, [row])) for batch, items, kept in zip(step.batches, step.items, step.kept) for row in kept]
        losses = [self._loss_alone(model, piece) for _, piece in alone]
        found = [item for (item, _), loss in zip(alone, losses) if not math.isfinite(loss)]
        names = [name for item in found for name in self._blamed(model, item)]
        model.train()
        sound = [loss for loss in losses if math.isfinite(loss)]
        return ([], []) if self._have_run_away(sound) else (found, list(dict.fromkeys(names)))

    def _have_run_away(self, sound: list[float]) -> bool:
        """Whether it is the weights that are at fault; `sound`: finite losses of utterances of the step."""
        beginning = next((entry["loss"] for entry in self.state.log_history if "loss" in entry), self._first_loss)
        lost = sound and beginning is not None and statistics.median(sound) > LOST * float(beginning)
        return bool(lost) or float(self._size()) > GROWN * float(self._first_size)

    def _size(self) -> torch.Tensor:
        """Root mean square of the weights that are trained."""
        with torch.no_grad():
            trained = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
            return torch.nn.utils.get_total_norm(trained) / math.sqrt(sum(parameter.numel() for parameter in trained))

    def _blamed(self, model: Any, item: Item) -> list[str]:
        """Of two utterances that were joined the one that is not finite by itself; both if neither is."""
        if item.partner is None:
            return self._incidents.ids(item)
        halves = [replace(item, partner=None), replace(item, index=item.partner, partner=None)]
        guilty = [half for half in halves if not math.isfinite(self._loss_alone(model, self._collate([self.train_dataset[half]])))]
        return self._names(guilty or [item])

    def _loss_alone(self, model: Any, piece: dict[str, Any]) -> float:
        """The loss of a piece; not a number where its gradient is not finite."""
        model.zero_grad()
        with self.compute_loss_context_manager():
            loss = self.compute_loss(model, self._prepare_inputs(piece))
        if math.isfinite(float(loss.detach())):
            loss.backward()
        return float(loss.detach()) if math.isfinite(float(self._norm())) else math.nan

    def _norm(self) -> Any:
        return torch.nn.utils.get_total_norm([parameter.grad for parameter in self.model.parameters() if parameter.grad is not None])

    def _leave_out(self, names: list[str], reason: str, whole_step: bool) -> None:
        done = self.state.global_step
        self._incidents.leave_out(LeftOut(done, names, reason, whole_step))
        self._choose_rows()
        shown = ", ".join(names[:NAMED]) + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")
        what = "this step is left out; it had" if whole_step else "left out from here on:"
        self._notices.happened(done + 1, f"{reason[0].upper()}{reason[1:]}; {what} '{shown}'.")
        self._notices.table("skipped.csv", self._incidents.table())

    def _taken_again(self, model: Any) -> torch.Tensor:
        """The loss of the step on the rows that are left; not finite if its gradients are not, either."""
        self._restart(model)
        loss = self._tried(model, range(self._step.begun))
        loss = self._again(model) if loss is None else loss
        self._step.loss = loss
        return loss if self._is_scaled or math.isfinite(float(self._norm())) else torch.full_like(loss, math.nan)

    def _stop(self, model: Any) -> None:
        """Keep the last good state and end the training."""
        self._restart(model)
        self.log(self._counted())
        done = self.state.global_step
        if not (Path(self.args.output_dir) / f"checkpoint-{done}" / COMPLETE).is_file():
            self._save_checkpoint(model, None)
            self.control = self.callback_handler.on_save(self.args, self.state, self.control)
        raise self._complaint(done + 1)

    def _complaint(self, step: int) -> AsrxError:
        names = dict.fromkeys(name for entry in self._incidents.left_out[-TOLERATED:] if not entry.whole_step for name in entry.ids)
        found = f"loss or gradient was not finite for the {ORDINALS.get(self._incidents.times(), f'{self._incidents.times()}th')} time, at step {step}"
        if not names:
            return ModelError(
                f"{found}, whatever the utterances: the weights have run away; start anew with a lower trainer.learning_rate, a longer "
                "trainer.warmup_steps, trainer.max_grad_norm=1, or without half precision"
            )
        shown = ", ".join(list(names)[-NAMED:])
        return InputError(
            f"{found}: look at audio and transcript of {shown} (skipped.csv); {self._incidents.resume} goes on without them from the last good state. "
            "If they are sound the weights run away: start anew with a lower trainer.learning_rate or a longer trainer.warmup_steps"
        )
