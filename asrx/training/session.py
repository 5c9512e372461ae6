"""One session of optimisation: a trainer over the whole plan of batches, taken up where the last session left it."""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ..config import Config
from ..errors import ConfigError
from ..models import Family
from ..tracking import Run
from . import arguments, resume
from .evaluation import Evaluates
from .material import Material

log = logging.getLogger("asrx")


def make_trainer(
    run: Run, options: Config, family: Family, material: Material, evaluator: Evaluates, join: Callable[..., list[int]], callbacks: Sequence[Any] = ()
) -> tuple[Any, Any]:
    """The trainer of a run, and the recorder of its curves and best model. `join`: the labels of two utterances as those of one."""
    from transformers import PrinterCallback, ProgressCallback

    from .averaging import MovingAverage
    from .batching import TrainingUtterances, plan_batches
    from .callbacks import Progress, Recorder
    from .trainer import AsrTrainer

    chosen = options.trainer
    accumulation, size = chosen.gradient_accumulation_steps, chosen.per_device_train_batch_size
    durations, concatenate = material.seconds, options.augment.concatenate
    plan = plan_batches(durations, material.speakers, chosen.num_train_epochs, chosen.max_steps * accumulation, size, options.batch, concatenate, chosen.seed)
    batch_seconds = [float(sum(durations[item.index] + (durations[item.partner] if item.partner is not None else 0) for item in batch)) for batch in plan]
    average = MovingAverage(family.model, options.checkpoint.average) if options.checkpoint.average else None
    recorder = Recorder(run, plan, batch_seconds, accumulation, options.checkpoint.patience, evaluator.ranking)
    settings = arguments.training_arguments(options, -(-len(plan) // accumulation), run.folder / "checkpoints")
    if chosen.fp16 is True and not settings.fp16:
        log.warning("trainer.fp16=true, but there is no GPU: training in float32")
    beside = [*callbacks, *([average] if average else []), recorder, Progress(run.kind)]
    utterances = TrainingUtterances(material, join, options.augment, chosen.seed)
    trainer = AsrTrainer(family, plan, utterances, evaluator, average, args=settings, callbacks=beside)
    for printing in (PrinterCallback, ProgressCallback):
        trainer.remove_callback(printing)
    recorder.trainer = trainer
    return trainer, recorder


def optimize(trainer: Any, run: Run, minutes: float | None) -> bool:
    """Train to the end of the plan, from the last whole checkpoint if there is one; False where the session's `minutes` are over before.

    Raises KeyboardInterrupt if a signal came.
    """
    from .callbacks import Interruption

    checkpoints = Path(trainer.args.output_dir)
    resume.remove_half_written(checkpoints)
    checkpoint = resume.last_checkpoint(checkpoints)
    if checkpoint:
        log.info("from %s", checkpoint.name)
        trainer.load_average(checkpoint)
    with Interruption(minutes) as interruption:
        trainer.add_callback(interruption)
        try:
            trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
        except ImportError as error:  # an optimizer or kernel of a package that only some install
            raise ConfigError(f"trainer options: {' '.join(str(error).split())}") from None
        left = trainer.state.max_steps - trainer.state.global_step
        if interruption.requested_at is not None and left > 0:
            log.warning("stopped at step %d; continue with: asrx %s --resume %s", trainer.state.global_step, run.kind, run.id)
            raise KeyboardInterrupt
        if interruption.time_is_up and left > 0:
            log.info("the session is over at step %d; the next one: asrx %s --resume %s", trainer.state.global_step, run.kind, run.id)
            return False
        trainer.evaluate_the_end()
    return True
