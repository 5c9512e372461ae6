"""Pretrain: a prepared corpus, with or without transcripts, to an MLflow run with a model that fine-tuning starts from."""

import logging
import shutil
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import partial
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
from transformers import TrainerCallback

from .. import packaging, tracking
from ..config import Config
from ..config import Pretraining as PretrainingOptions
from ..corpus.shards import PreparedCorpus, Split
from ..errors import ConfigError, InputError
from ..files import folder_written_at_once, read_json
from ..models.pretraining import PretrainingFamily, load_family
from ..recognizer.audio import SAMPLE_RATE, to_float
from . import arguments, memory, preflight, processes, resume, session
from .evaluation import spread
from .material import Material, of, splits
from .sampling import chosen
from .shares import of_all
from .train import STEPS, describe, inherited, open_run

log = logging.getLogger("asrx")

KIND = "pretrain"
MODEL = "model"  # folder of a run, and its artifact
VALIDATION = 2**32  # stands where training has its seed: validation masks are the same whatever the seed


@dataclass(frozen=True)
class Pretraining:
    """What a pre-training ended with, or came to in this session. Losses are per masked frame of the validation set, at the last evaluation."""

    run_id: str
    folder: str | None  # None: it is not finished
    loss: float | None
    contrastive: float | None
    perplexity: float | None  # of all codebooks together
    accuracy: float | None  # share of masked frames that are told from their distractors
    steps: int
    reused: bool = False


def pretrain(corpus: PreparedCorpus, options: Config, resume_from: str | None = None, reuse: bool = False, deadline: float | None = None) -> Pretraining:
    """Pre-train a wav2vec 2.0 on `corpus` in an MLflow run of its own, or go on in the run that `resume_from` names, until `deadline`
    (time.monotonic) at the latest.

    With `reuse`, a finished run of the very same pre-training is returned instead of being repeated, and an unfinished one continued.
    Raises InputError, ConfigError or ModelError before any run is opened if this pre-training cannot be.
    """
    check(options)
    if not processes.leads():
        work = partial(_pretrain_and_keep, corpus=corpus, options=options, deadline=deadline)
        return Pretraining(**processes.assist(partial(load_material, corpus, options), work))
    result = _lead(corpus, options, resume_from, reuse, deadline)
    processes.of_first(asdict(result))
    return result


def _lead(corpus: PreparedCorpus, options: Config, resume_from: str | None, reuse: bool, deadline: float | None) -> Pretraining:
    client = tracking.connect()
    key = resume.training_key(corpus, options)
    if done := resume.finished_run(client, resume_from, key, reuse, KIND):
        tracking.nothing_to_do(client, KIND, f"Run {done.info.run_id} has finished this pre-training.")
        log.info("run %s has finished this pre-training", done.info.run_id)
        _bring_model(client, done.info.run_id)
        processes.of_first()
        return _result(done.info.run_id, int(done.data.tags[STEPS]), True, reused=True)
    run_id = resume.run_to_resume(client, "auto" if reuse else resume_from, key, KIND)
    family, material = load_material(corpus, options)
    if not run_id:
        checked = preflight_of(options, family, material)
        checked.announce()
    with ExitStack() as stack:
        run = open_run(KIND, client, run_id, stack, f"{corpus.name}, pre-training", None)
        if not run_id:
            describe(run, corpus, options, key, material)
            checked.keep(run)
        run.watch_system()
        processes.open_to_all(run)
        return _pretrain_and_keep(run, family, material, corpus, options, deadline)


def check(options: Config) -> None:
    """ConfigError for options that no corpus could make sense of: a warm-up that outlasts the training, an average of the weights."""
    arguments.check(options)
    for name in ("average", "average_best"):
        if value := getattr(options.checkpoint, name):
            raise ConfigError(f"checkpoint.{name}={value:g}: pre-training keeps no average of the weights; leave it at 0")
    if options.trainer.label_smoothing_factor:
        raise ConfigError(f"trainer.label_smoothing_factor={options.trainer.label_smoothing_factor:g}: pre-training has no labels to smooth; leave it at 0")
    if options.trainer.max_steps > 0:
        _check_warmup(options, options.trainer.max_steps)


def _check_warmup(options: Config, steps: int) -> None:
    warmup = options.trainer.warmup_steps
    if warmup >= 1 and warmup > steps:
        raise ConfigError(
            f"trainer.warmup_steps={warmup:,.0f} is longer than the training of {steps:,} steps: the learning rate would never get to its peak; "
            "give fewer, or a share such as trainer.warmup_steps=0.1"
        )


@dataclass(frozen=True)
class Unlabelled(Material):
    """Utterances that are listened to for at most `longest` seconds; `held_out`: those of the validation split that are evaluated on."""

    held_out: np.ndarray
    longest: float

    @property
    def seconds(self) -> np.ndarray:
        """What is heard of each utterance, in s."""
        return np.minimum(super().seconds, self.longest)


def load_material(corpus: PreparedCorpus, options: Config) -> tuple[PretrainingFamily, Unlabelled]:
    """The model and what it is trained on: utterances of `data.min_seconds` and more, whatever was said.

    Raises InputError where none is left to train or to validate on, ConfigError for a warm-up that outlasts the training.
    """
    from transformers import set_seed

    split, validation = splits(corpus)
    set_seed(options.trainer.seed)
    family = load_family(options)
    indices = usable(family, split, chosen(split, options.data), options)
    held_out = usable(family, validation, np.arange(len(validation)), options)
    if not len(indices) or not len(held_out):
        raise InputError(f"{corpus.folder} has no training, or no validation utterance of data.min_seconds={options.data.min_seconds:g} s or more")
    found = of(split, validation, indices, [[]] * len(indices), options.batch.balance)
    material = Unlabelled(**vars(found), held_out=held_out, longest=options.data.max_seconds)
    if options.trainer.max_steps <= 0:
        _check_warmup(options, _steps(material, options))
    return family, material


def preflight_of(options: Config, family: PretrainingFamily, material: Unlabelled) -> preflight.Preflight:
    """What speaks for and against this pre-training."""
    return preflight.of_pretraining(options, family, material, _join)


def usable(family: PretrainingFamily, split: Split, indices: np.ndarray, options: Config) -> np.ndarray:
    """Those of the utterances `indices` that are long enough."""
    seconds = split.seconds[indices]
    long_enough = (seconds >= options.data.min_seconds) & family.fits([], (seconds * SAMPLE_RATE).astype(np.int64))
    if not long_enough.all():
        log.info("%s utterances are left out: shorter than %g s, or than two masks", f"{int((~long_enough).sum()):,}", options.data.min_seconds)
    return indices[long_enough]


def _steps(material: Unlabelled, options: Config) -> int:
    from .batching import plan_batches

    own = options.trainer
    size, batch = of_all(options)
    concatenate = options.augment.concatenate
    plan = plan_batches(material.seconds, material.speakers, own.num_train_epochs, 0, size, batch, concatenate, own.seed, material.values)
    return ceil(len(plan) / own.gradient_accumulation_steps)


@dataclass(frozen=True)
class Guessed:
    """The result on a validation set."""

    metrics: dict[str, float]

    def samples(self, count: int = 3) -> list[tuple[str, str, str]]:
        """None: there is no text."""
        return []


class PretrainingEvaluator:
    """Evaluates on up to `limit` utterances, spread evenly over the usable ones, with masks and distractors that are always the same."""

    ranking = ("eval_loss",)

    def __init__(self, family: PretrainingFamily, split: Split, indices: np.ndarray, limit: int, batch_size: int) -> None:
        kept = indices[spread(indices, limit)]
        self._indices = kept[np.argsort(split.seconds[kept], kind="stable")]
        self._family, self._split, self._size = family, split, batch_size

    def __len__(self) -> int:
        return len(self._indices)

    def __call__(self, model: Any) -> Guessed:
        """Evaluate `model`, which is left in training mode if it was. Means over all masked frames."""
        training = model.training
        model.eval()
        totals: dict[str, float] = {}
        frames = 0
        batches = [self._indices[start : start + self._size].tolist() for start in range(0, len(self), self._size)]
        for values, masked in processes.collected(
            [found for rows in processes.divided(batches) for _, found in memory.in_halves(self._measured, rows)]
        ):
            totals = {name: totals.get(name, 0.0) + value * masked for name, value in values.items()}
            frames += masked
        model.train(training)
        return Guessed({f"eval_{name}": total / frames for name, total in totals.items()})

    def _measured(self, rows: list[int]) -> tuple[dict[str, float], int]:
        waveforms = [to_float(self._split.audio(row)) for row in rows]
        return self._family.measure(waveforms, [(VALIDATION, 0, row) for row in rows])


class Temperature(TrainerCallback):
    """The Gumbel softmax's temperature before every optimizer step, the first one after a resume included."""

    def __init__(self, model: Any, options: PretrainingOptions) -> None:
        self._model, self._options = model, options

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Called by Trainer before the micro-batches of an optimizer step."""
        options = self._options
        falling = options.temperature_start * options.temperature_decay**state.global_step
        self._model.set_gumbel_temperature(max(options.temperature_end, falling))


def _pretrain_and_keep(
    run: tracking.Run | processes.Assisted,
    family: PretrainingFamily,
    material: Unlabelled,
    corpus: PreparedCorpus,
    options: Config,
    deadline: float | None,
) -> Pretraining | None:
    """None in a process beside the first one, which keeps the model."""
    evaluator = PretrainingEvaluator(family, material.validation, material.held_out, options.data.eval_utterances, options.trainer.per_device_eval_batch_size)
    callbacks = [Temperature(family.model, options.pretraining)]
    trainer, recorder = session.make_trainer(run, options, family, material, evaluator, _join, callbacks)
    finished = session.optimize(trainer, run, deadline)
    if not processes.leads():
        return None
    steps = trainer.state.global_step
    if finished:
        run.await_server()
        _keep(run, corpus, options, family, material, recorder, steps)
    else:
        run.outcome = tracking.PAUSED
    return _result(run.id, steps, finished)


def _join(first: Sequence[int], second: Sequence[int], seconds: float) -> list[int]:
    return []


def _keep(run: tracking.Run, corpus: PreparedCorpus, options: Config, family: PretrainingFamily, material: Unlabelled, recorder: Any, steps: int) -> None:
    """The model of the last step: what the loss asks changes with the codebooks, and it is lowest where they say least."""
    from .plots import plot_pretraining

    target = run.folder / MODEL
    with folder_written_at_once(target) as folder:
        family.save(folder)
        packaging.remember_audio(folder, material.digests | inherited(options))
    plot = run.folder / "training_plot.png"
    last = _last_evaluation(run.id)
    plot_pretraining(recorder.rows(), plot, f"{corpus.name}, pre-training: accuracy {last['accuracy']:.1%} after {steps:,} steps")
    run.artifact(plot)
    run.text("training_log.csv", recorder.table())
    run.text("checkpoints.csv", recorder.ranking(Path(recorder.trainer.args.output_dir)))
    run.artifact(target)
    run.metrics({f"last/{name}": value for name, value in last.items()}, steps)
    run.tags({STEPS: steps})
    run.note(f"Pre-trained for {steps:,} steps: accuracy {last['accuracy']:.1%}, perplexity {last['perplexity']:.0f}. "
             f"Fine-tune it: `asrx train --model {target} --data CORPUS`")  # fmt: skip


def _bring_model(client: Any, run_id: str) -> None:
    """The model of a run that finished on another machine, from its artifacts."""
    if not model_folder(run_id):
        target = tracking.home() / "runs" / run_id / MODEL
        with folder_written_at_once(target) as folder:
            shutil.copytree(client.download_artifacts(run_id, MODEL), folder, dirs_exist_ok=True)


def model_folder(run_id: str) -> Path | None:
    """The pre-trained model of a run on this machine, if it is one that finished pre-training."""
    folder = tracking.home() / "runs" / run_id / MODEL
    return folder if (folder / "config.json").is_file() else None


def _last_evaluation(run_id: str) -> dict[str, float]:
    rows = read_json(tracking.home() / "runs" / run_id / "log.json") or []
    last = max((row for row in rows if "eval/loss" in row), key=lambda row: row["step"], default={})
    return {key.partition("/")[2]: value for key, value in last.items() if key.startswith("eval/")}


def _result(run_id: str, steps: int, finished: bool, reused: bool = False) -> Pretraining:
    last = _last_evaluation(run_id)
    loss, contrastive, perplexity, accuracy = (last.get(name) for name in ("loss", "contrastive", "perplexity", "accuracy"))
    folder = model_folder(run_id) if finished else None
    return Pretraining(run_id, str(folder) if folder else None, loss, contrastive, perplexity, accuracy, steps, reused)
