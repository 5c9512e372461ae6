"""One session of optimisation: a trainer over the whole plan of batches, taken up where the last session left it."""

import logging
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from ..config import Config
from ..errors import ConfigError
from ..models import Family, processor
from ..options import ARTIFACTS
from ..tracking import Run
from . import arguments, features, processes, schedules
from .checkpoints import last_checkpoint, remove_half_written, step_of
from .evaluation import Evaluates
from .material import Material

log = logging.getLogger("asrx")


def make_trainer(
    run: Run, options: Config, family: Family, material: Material, evaluator: Evaluates, join: Callable[..., list[int]], callbacks: Sequence[Any] = ()
) -> tuple[Any, Any]:
    """The trainer of a run, and the recorder of its curves and best model. `join`: the labels of two utterances as those of one."""
    from transformers import PrinterCallback, ProgressCallback, set_seed

    from .averaging import MovingAverage
    from .batching import TrainingUtterances, plan_batches
    from .callbacks import Progress, Recorder
    from .incidents import Incidents
    from .shares import of_all, own_share
    from .trainer import AsrTrainer
    from .uploads import Uploads

    chosen = options.trainer
    accumulation, (size, grouping) = chosen.gradient_accumulation_steps, of_all(options)
    durations, concatenate = material.seconds, options.augment.concatenate
    micro_batches = chosen.max_steps * accumulation
    plan = plan_batches(durations, material.speakers, chosen.num_train_epochs, micro_batches, size, grouping, concatenate, chosen.seed, material.values)
    lengths = [[item.lasts(durations) for item in batch] for batch in plan]
    average = MovingAverage(family.model, options.checkpoint.average) if options.checkpoint.average else None
    recorder = Recorder(run, plan, list(map(sum, lengths)), accumulation, options.checkpoint.patience, evaluator.ranking)
    settings = _settings(run, options, family, -(-len(plan) // accumulation))
    widest = max((len(batch) * family.padded_seconds(max(batch)) ** 2 for batch in lengths), default=0.0)
    processor.speed_up(family.model, settings, options.model.attn_implementation, widest)
    uploads = [Uploads(run)] if options.checkpoint.store == ARTIFACTS else []
    told = [recorder, Progress(run.kind), *uploads] if processes.leads() else []
    beside = [*callbacks, *([average] if average else []), *told]
    utterances = TrainingUtterances(material, join, options.augment, chosen.seed, features.kept(options, family, material))
    share = own_share(plan, durations, processes.rank(), processes.count())
    ids = material.split.column("id")
    incidents = Incidents([ids[index] for index in material.indices], durations, run.folder)
    notices = recorder.notices if processes.leads() else None
    trainer = AsrTrainer(family, share, utterances, evaluator, average, incidents, notices, args=settings, callbacks=beside)
    for printing in (PrinterCallback, ProgressCallback):
        trainer.remove_callback(printing)
    recorder.trainer = trainer
    if not processes.leads():
        set_seed(chosen.seed + processes.rank())  # dropout and masks of its own
    trainer.stopped_early = recorder.stale
    trainer.schedule = partial(schedules.curve, options)
    return trainer, recorder


def _settings(run: Run, options: Config, family: Family, steps: int) -> Any:
    """The arguments of a training of so many steps, in the arithmetic that the run was begun with."""
    kind = arguments.precision(options, family.model.num_parameters(), run.folder)
    settings = arguments.training_arguments(options, steps, run.folder / "checkpoints", kind)
    if processes.leads():
        arguments.remember_precision(kind, run.folder)
    if options.trainer.fp16 is True and not settings.fp16:
        log.warning("trainer.fp16=true, but there is no GPU: training in float32")
    return settings


def optimize(trainer: Any, run: Run, deadline: float | None) -> bool:
    """Train to the end of the plan, from the last whole checkpoint if there is one; False where the session ends before, at `deadline`.

    Raises KeyboardInterrupt if a signal came.
    """
    from .callbacks import Interruption
    from .memory import explained

    checkpoints = Path(trainer.args.output_dir)
    if processes.leads():
        remove_half_written(checkpoints)
    processes.gathered(None)
    checkpoint = last_checkpoint(checkpoints)
    if checkpoint:
        log.info("from %s", checkpoint.name)
        trainer.load_average(checkpoint)
        if trainer.stopped_early(step_of(checkpoint)):
            trainer.stand_at(checkpoint)
            return True
    with Interruption(deadline) as interruption:
        trainer.add_callback(interruption)
        try:
            with processes.met(), explained():
                trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
        except ImportError as error:  # an optimizer or kernel of a package that only some install
            raise ConfigError(f"trainer options: {' '.join(str(error).split())}") from None
        left = trainer.state.max_steps - trainer.state.global_step
        if interruption.requested_at is not None and left > 0:
            log.warning("stopped at step %d; continue with: %s", trainer.state.global_step, processes.going_on(run.kind, run.id))
            raise KeyboardInterrupt
        if interruption.time_is_up and left > 0:
            log.info("the session is over at step %d; the next one: %s", trainer.state.global_step, processes.going_on(run.kind, run.id))
            return False
        with explained():
            trainer.evaluate_the_end()
    return True
