"""Train: a prepared corpus and a configuration to an MLflow run with curves, checkpoints and the best model."""

import logging
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import packaging, tracking
from ..config import Config
from ..corpus.shards import PreparedCorpus
from ..errors import InputError
from ..files import held, read_json
from ..models import Family, loading
from . import arguments, resume
from .material import Material, load_material

log = logging.getLogger("asrx")

STEPS = "asrx.steps"  # tag of a run: optimizer steps that it took

@dataclass(frozen=True)
class Training:
    """What a training ended with. Rates are fractions on the validation set, of the best model."""

    run_id: str
    model_uri: str
    wer: float
    cer: float
    best_step: int
    steps: int
    folder: str
    reused: bool = False


def train(
    corpus: PreparedCorpus, options: Config, resume_from: str | None = None, name: str | None = None, parent: str | None = None, reuse: bool = False
) -> Training:
    """Train a model on `corpus` in an MLflow run of its own, or go on in the run that `resume_from` names.

    With `reuse`, a finished run of the very same training is returned instead of being repeated, and an unfinished one continued.
    Raises InputError, ConfigError or ModelError before any run is opened if this training cannot be.
    """
    arguments.check(options)
    client = tracking.connect()
    key = resume.training_key(corpus, options)
    if done := resume.finished_run(client, resume_from, key, reuse):
        tracking.nothing_to_do(client, "train", f"Run {done.info.run_id} has finished this training.")
        log.info("run %s has finished this training", done.info.run_id)
        return _finished(done)
    run_id = resume.run_to_resume(client, "auto" if reuse else resume_from, key)
    family, material = load_material(corpus, options)
    with ExitStack() as stack:
        if run_id:
            _go_on(client, run_id, stack)
        run = stack.enter_context(tracking.run("train", name or _run_name(corpus, options), client, run_id, parent))
        if not run_id:
            stack.enter_context(held(run.folder))
            _describe(run, corpus, options, key, material)
        run.watch_system()
        return _train_and_publish(run, corpus, options, family, material)


def _go_on(client: Any, run_id: str, stack: ExitStack) -> None:
    """Take the run for this process before anything of it is touched: another one may be training it."""
    if not stack.enter_context(held(tracking.home() / "runs" / run_id)):
        raise InputError(f"run {run_id} is being trained by another process")
    tracking.retire_wrapper(client, run_id)
    log.info("continuing run %s", run_id)


def _describe(run: tracking.Run, corpus: PreparedCorpus, options: Config, key: str, material: Material) -> None:
    run.tags({resume.KEY: key, "asrx.corpus": corpus.folder, "asrx.corpus_digest": corpus.digest})
    run.configuration(options)
    profile = {"utterances": len(material.indices), "hours": round(float(material.seconds.sum()) / 3600, 3), "splits": corpus.meta["splits"]}
    run.dataset(corpus.name, corpus.digest, str(corpus.folder), profile, "training")
    rejected = corpus.folder / "rejected.csv"
    if rejected.exists():
        run.artifact(rejected, "corpus")


def _train_and_publish(run: tracking.Run, corpus: PreparedCorpus, options: Config, family: Family, material: Material) -> Training:
    trainer, recorder = _trainer(run, corpus, options, family, material)
    _optimize(trainer, run)
    best = read_json(recorder.best / "best.json")
    uri = _publish(run, corpus, options, material, recorder, best)
    run.text("checkpoints.csv", recorder.ranking(Path(trainer.args.output_dir)))
    return Training(run.id, uri, best["wer"], best["cer"], best["step"], trainer.state.global_step, str(recorder.best))


def _trainer(run: tracking.Run, corpus: PreparedCorpus, options: Config, family: Family, material: Material) -> tuple[Any, Any]:
    from transformers import PrinterCallback, ProgressCallback

    from .averaging import MovingAverage
    from .batching import TrainingUtterances, plan_batches
    from .callbacks import Progress, Recorder
    from .evaluation import Evaluator
    from .trainer import AsrTrainer

    chosen = options.trainer
    accumulation, size = chosen.gradient_accumulation_steps, chosen.per_device_train_batch_size
    micro_batches = chosen.max_steps * accumulation
    concatenate = options.augment.concatenate
    plan = plan_batches(material.seconds, material.speakers, chosen.num_train_epochs, micro_batches, size, options.batch, concatenate, chosen.seed)
    durations = material.seconds
    batch_seconds = [float(sum(durations[item.index] + (durations[item.partner] if item.partner is not None else 0) for item in batch)) for batch in plan]
    delimiter = getattr(family.tokenizer, "word_delimiter_token_id", None)
    utterances = TrainingUtterances(material.split, material.indices, material.labels, delimiter, options.augment, options.trainer.seed)
    evaluator = Evaluator(family, material.validation, options.data.eval_utterances, options.trainer.per_device_eval_batch_size)
    average = MovingAverage(family.model, options.checkpoint.average) if options.checkpoint.average else None
    recorder = Recorder(run, plan, batch_seconds, accumulation, options.checkpoint.patience)
    settings = arguments.training_arguments(options, -(-len(plan) // accumulation), run.folder / "checkpoints")
    callbacks = [*([average] if average else []), recorder, Progress("train")]
    trainer = AsrTrainer(family, plan, utterances, evaluator, average, args=settings, callbacks=callbacks)
    for printing in (PrinterCallback, ProgressCallback):
        trainer.remove_callback(printing)
    recorder.trainer = trainer
    return trainer, recorder


def _optimize(trainer: Any, run: tracking.Run) -> None:
    """Train to the end of the plan, from the last whole checkpoint if there is one. KeyboardInterrupt if a signal came."""
    from .callbacks import Interruption

    checkpoints = Path(trainer.args.output_dir)
    resume.remove_half_written(checkpoints)
    checkpoint = resume.last_checkpoint(checkpoints)
    if checkpoint:
        log.info("from %s", checkpoint.name)
        trainer.load_average(checkpoint)
    with Interruption() as interruption:
        trainer.add_callback(interruption)
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
        if interruption.requested_at is not None and trainer.state.global_step < trainer.state.max_steps:
            log.warning("stopped at step %d; continue with: asrx train --resume %s", trainer.state.global_step, run.id)
            raise KeyboardInterrupt
        trainer.evaluate_the_end()


def _publish(run: tracking.Run, corpus: PreparedCorpus, options: Config, material: Material, recorder: Any, best: dict[str, Any]) -> str:
    """Artifacts that people read, then the best model as a pyfunc."""
    from .plots import plot_training

    evaluated = len(recorder.trainer.eval_dataset)
    plot = run.folder / "training_plot.png"
    plot_training(recorder.rows(), plot, f"{_run_name(corpus, options)}: best WER {best['wer']:.2%} at step {best['step']:,}")
    run.artifact(plot)
    run.text("training_log.csv", recorder.table())
    facts = packaging.Facts(
        base=options.model.name,
        corpus=corpus.name,
        corpus_digest=corpus.digest,
        language=corpus.meta["language"],
        hours=float(material.seconds.sum()) / 3600,
        utterances=len(material.indices),
        step=best["step"],
        wer=best["wer"],
        cer=best["cer"],
        validation_utterances=evaluated,
        run_id=run.id,
    )
    uri = packaging.log_model(run, recorder.best, facts, material.digests | _inherited(options), material.validation.audio(0))
    run.metrics({"best/wer": best["wer"], "best/cer": best["cer"], "best/step": best["step"]}, best["step"])
    run.tags({STEPS: recorder.trainer.state.global_step})
    run.tags({packaging.MODEL_URI: uri})
    run.note(f"Best model: WER {best['wer']:.2%}, CER {best['cer']:.2%} on {evaluated} validation utterances at step {best['step']:,}. `{uri}`")
    return uri


def _finished(run: Any) -> Training:
    folder = tracking.home() / "runs" / run.info.run_id / "best"
    best = read_json(folder / "best.json") or {}
    metrics = run.data.metrics
    wer, cer, step = (best.get(key, metrics.get(f"best/{key}", float("nan"))) for key in ("wer", "cer", "step"))
    steps = int(run.data.tags.get(STEPS, step))
    return Training(run.info.run_id, run.data.tags[packaging.MODEL_URI], wer, cer, int(step), steps, str(folder), reused=True)


def _inherited(options: Config) -> set[str]:
    """What the model that this one starts from was trained on, as far as it remembers."""
    return set() if options.model.name == "scratch" else packaging.trained_on(loading.locate(options.model.name))


def _run_name(corpus: PreparedCorpus, options: Config) -> str:
    model = "from scratch" if options.model.name == "scratch" else Path(options.model.name).name
    return f"{corpus.name}, {model}"
