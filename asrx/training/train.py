"""Train: a prepared corpus and a configuration to an MLflow run with curves, checkpoints and the best model."""

import logging
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from .. import packaging, tracking
from ..config import Config
from ..corpus.shards import PreparedCorpus
from ..errors import InputError
from ..files import held, read_json
from ..models import SCRATCH, Transcriber, loading
from . import arguments, preflight, processes, resume, session
from .material import Material, load_material

log = logging.getLogger("asrx")

STEPS = "asrx.steps"  # tag of a run: optimizer steps that it took


@dataclass(frozen=True)
class Training:
    """What a training ended with, or came to in this session. Rates are fractions on the validation set, of the best model so far, if there is one."""

    run_id: str
    model_uri: str | None  # None: it is not finished
    wer: float | None
    cer: float | None
    best_step: int  # 0: there is no model yet
    steps: int
    folder: str | None  # None: there is no model yet
    reused: bool = False


def train(
    corpus: PreparedCorpus,
    options: Config,
    resume_from: str | None = None,
    name: str | None = None,
    parent: str | None = None,
    reuse: bool = False,
    deadline: float | None = None,
    pruning: Any | None = None,
) -> Training:
    """Train a model on `corpus` in an MLflow run of its own, or go on in the run that `resume_from` names, until `deadline` (time.monotonic) at the latest.

    With `reuse`, a finished run of the very same training is returned instead of being repeated, and an unfinished one continued.
    `pruning`: the search.pruning.Pruning of a search's trial; a training that it ends is not published.
    Raises InputError, ConfigError or ModelError before any run is opened if this training cannot be.
    """
    arguments.check(options)
    if not processes.leads():
        work = partial(_train_and_publish, corpus=corpus, options=options, deadline=deadline)
        return Training(**processes.assist(partial(load_material, corpus, options), work))
    result = _lead(corpus, options, resume_from, name, parent, reuse, deadline, pruning)
    processes.of_first(asdict(result))
    return result


def _lead(
    corpus: PreparedCorpus,
    options: Config,
    resume_from: str | None,
    name: str | None,
    parent: str | None,
    reuse: bool,
    deadline: float | None,
    pruning: Any | None,
) -> Training:
    client = tracking.connect()
    key = resume.training_key(corpus, options)
    if done := resume.finished_run(client, resume_from, key, reuse):
        tracking.nothing_to_do(client, "train", f"Run {done.info.run_id} has finished this training.")
        log.info("run %s has finished this training", done.info.run_id)
        processes.of_first()
        return _finished(done)
    run_id = resume.run_to_resume(client, "auto" if reuse else resume_from, key)
    family, material = load_material(corpus, options)
    if not run_id:
        checked = preflight.of_training(resume.in_language(corpus, options), family, material)
        checked.announce(whole=parent is None)
    with ExitStack() as stack:
        run = open_run("train", client, run_id, stack, name or _run_name(corpus, options), parent)
        if not run_id:
            describe(run, corpus, options, key, material)
            checked.keep(run)
        run.watch_system()
        processes.open_to_all(run)
        return _train_and_publish(run, family, material, corpus, options, deadline, pruning)


def open_run(kind: str, client: Any, run_id: str | None, stack: ExitStack, name: str, parent: str | None) -> tracking.Run:
    """A new run, or `run_id` again, held for this process before anything of it is touched: another one may be training it."""
    if run_id:
        if not stack.enter_context(held(tracking.home() / "runs" / run_id)):
            raise InputError(f"run {run_id} is being trained by another process")
        tracking.retire_wrapper(client, run_id)
        log.info("continuing run %s", run_id)
    run = stack.enter_context(tracking.run(kind, name, client, run_id, parent))
    if not run_id:
        stack.enter_context(held(run.folder))
        log.info("run %s; if it is cut off: %s", run.id, processes.going_on(kind, run.id))
    return run


def describe(run: tracking.Run, corpus: PreparedCorpus, options: Config, key: str, material: Material) -> None:
    """What a new run was started with."""
    run.tags({resume.KEY: key, "asrx.corpus": corpus.folder, "asrx.corpus_digest": corpus.digest, processes.PROCESSES: processes.count()})
    run.configuration(resume.in_language(corpus, options))
    profile = {"utterances": len(material.indices), "hours": round(float(material.seconds.sum()) / 3600, 3), "splits": corpus.meta["splits"]}
    run.dataset(corpus.name, corpus.digest, str(corpus.folder), profile, "training")
    rejected = corpus.folder / "rejected.csv"
    if rejected.exists():
        run.artifact(rejected, "corpus")
    if options.data.minutes:
        ids = material.split.column("id")
        run.text("utterances.txt", "".join(f"{ids[index]}\n" for index in material.indices))


def _train_and_publish(
    run: tracking.Run | processes.Assisted,
    family: Transcriber,
    material: Material,
    corpus: PreparedCorpus,
    options: Config,
    deadline: float | None,
    pruning: Any | None = None,
) -> Training | None:
    """None in a process beside the first one, which publishes."""
    from .averaging import BestWeights, average_best
    from .evaluation import Evaluator

    evaluator = Evaluator(family, material.validation, options.data.eval_utterances, options.trainer.per_device_eval_batch_size)
    count = options.checkpoint.average_best
    kept = BestWeights(family.model, run.folder / "best_steps", count, evaluator.ranking) if count else None
    trainer, recorder = session.make_trainer(run, options, family, material, evaluator, family.join, [item for item in (kept, pruning) if item is not None])
    finished = session.optimize(trainer, run, deadline)
    pruned = pruning is not None and pruning.pruned_at is not None
    finished = finished and not pruned
    if not processes.leads():
        return None
    with processes.alone():
        averaged = average_best(kept, family, evaluator, recorder, run) if kept and finished else ""
    best = read_json(recorder.best / "best.json") or {}
    if finished:
        run.await_server()
        uri = _publish(run, corpus, options, material, recorder, best, averaged)
        run.text("checkpoints.csv", recorder.ranking(Path(trainer.args.output_dir)))
    else:
        uri, run.outcome = None, tracking.PRUNED if pruned else tracking.PAUSED
    if kept and finished:
        kept.remove()
    return Training(run.id, uri, best.get("wer"), best.get("cer"), best.get("step", 0), trainer.state.global_step, str(recorder.best) if best else None)


def _publish(run: tracking.Run, corpus: PreparedCorpus, options: Config, material: Material, recorder: Any, best: dict[str, Any], averaged: str) -> str:
    """Artifacts that people read, then the best model as a pyfunc."""
    from .plots import plot_training

    evaluated = len(recorder.trainer.eval_dataset)
    plot = run.folder / "training_plot.png"
    plot_training(recorder.rows(), plot, f"{_run_name(corpus, options)}: best WER {best['wer']:.2%} at step {best['step']:,}")
    run.artifact(plot)
    run.text("training_log.csv", recorder.table())
    facts = packaging.Facts(
        base=options.model.name,
        architecture=recorder.trainer.model.config.model_type,
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
    uri = packaging.log_model(run, recorder.best, facts, material.digests | inherited(options), material.validation.audio(0))
    run.metrics({"best/wer": best["wer"], "best/cer": best["cer"], "best/step": best["step"]}, best["step"])
    run.tags({STEPS: recorder.trainer.state.global_step})
    run.tags({packaging.MODEL_URI: uri})
    run.note(f"Best model: WER {best['wer']:.2%}, CER {best['cer']:.2%} on {evaluated} validation utterances at step {best['step']:,}. {averaged} `{uri}`")
    return uri


def _finished(run: Any) -> Training:
    folder = tracking.home() / "runs" / run.info.run_id / "best"
    best = read_json(folder / "best.json") or {}
    metrics = run.data.metrics
    wer, cer, step = (best.get(key, metrics.get(f"best/{key}")) for key in ("wer", "cer", "step"))
    steps = int(run.data.tags.get(STEPS, step))
    return Training(run.info.run_id, run.data.tags[packaging.MODEL_URI], wer, cer, int(step), steps, str(folder), reused=True)


def inherited(options: Config) -> set[str]:
    """What the model that this one starts from was trained on, as far as it remembers."""
    return set() if options.model.name == SCRATCH else packaging.trained_on(loading.locate(options.model.name))


def _run_name(corpus: PreparedCorpus, options: Config) -> str:
    name = Path(options.model.name)
    model = f"{options.model.architecture} from scratch" if options.model.name == SCRATCH else name.name
    if name.parent.parent == tracking.home() / "runs":
        model = f"from run {name.parent.name[:8]}"
    return f"{corpus.name}, {model}"
