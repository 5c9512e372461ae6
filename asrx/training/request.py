"""A training as a person asks for it: which corpus, which options, new or continued."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .. import tracking, workspace
from ..config import Config, of_stage, resolve
from ..corpus.shards import PreparedCorpus
from ..errors import ConfigError, InputError
from ..models import SCRATCH, loading
from ..options import VOCABULARIES, Model
from . import arguments, sampling
from . import resume as resuming
from .train import train as run_training

DEFAULTS = {"train": SCRATCH, "pretrain": "wav2vec2-pretrain-base-tiny"}  # recipes where neither a recipe nor a model is named


def train(data: str | None, recipe: str | None, options: dict[str, Any], overrides: list[str], resume: str | None, minutes: float | None = None) -> Any:
    """Train on the prepared corpus `data` (default: what the recipe names, else the built-in one), or go on with the run `resume`.

    Stops after `minutes`, if given, to be resumed. A run named in `resume` goes on with its own corpus and options; ConfigError if other ones
    are given beside it. A recipe with `pretraining.finetune` pre-trains first, by itself; the options are those of the fine-tuning. Where
    `minutes` are over before that, what comes back is the unfinished training.pretrain.Pretraining.
    """
    if resume and resume != "auto":
        return _go_on("train", run_training, resume, data, bool(recipe or options or overrides), configured(recipe, options, overrides), minutes)
    following = resolve(workspace.recipe(recipe)).pretraining.finetune if recipe else None
    if following:
        return _pretrained_first(data, recipe, following, options, overrides, resume, minutes)
    began = time.monotonic()
    chosen = configured(recipe, options, overrides)
    check(chosen)
    corpus = workspace.corpus(data, chosen)
    return run_training(corpus, chosen, resume, minutes=_left(minutes, began))


def pretrain(data: str | None, recipe: str | None, options: dict[str, Any], overrides: list[str], resume: str | None, minutes: float | None = None) -> Any:
    """Pre-train as `train` trains: a training.pretrain.Pretraining."""
    from .pretrain import pretrain as run_pretraining

    chosen = configured(recipe, options, overrides, "pretrain")
    if resume and resume != "auto":
        return _go_on("pretrain", run_pretraining, resume, data, bool(recipe or options or overrides), chosen, minutes)
    check_pretraining(chosen)
    return run_pretraining(workspace.corpus(data, chosen), chosen, resume, minutes=minutes)


def prepare_pretraining(data: str | None, recipe: str | None, options: dict[str, Any], overrides: list[str]) -> PreparedCorpus:
    """The corpus of a pre-training, prepared now if it is not there, once everything is checked that `pretrain` checks before it trains."""
    from .pretrain import load_material

    chosen = configured(recipe, options, overrides, "pretrain")
    check_pretraining(chosen)
    corpus = workspace.corpus(data, chosen)
    load_material(corpus, chosen)
    return corpus


def check_pretraining(options: Config) -> None:
    """As `check`, with what pre-training asks besides."""
    from . import pretrain

    pretrain.check(options)
    check(options)


def _pretrained_first(
    data: str | None, recipe: str, following: str, options: dict[str, Any], overrides: list[str], resume: str | None, minutes: float | None
) -> Any:
    """Pre-train, or take what was pre-trained, then fine-tune with the recipe `following`, in `minutes` together."""
    from .pretrain import pretrain as run_pretraining

    if "model.name" in options or any(override.startswith("model.name=") for override in overrides):
        raise ConfigError(f"the recipe {recipe} makes its model itself; to start from another one: asrx pretrain, or --recipe {following}")
    second = configured(following, {**options, "model.name": SCRATCH}, overrides)
    check(second)
    labelled = workspace.corpus(data, second)
    if not any(labelled.split("train").each("text")):
        raise InputError(f"{labelled.folder} has no transcripts to fine-tune on; asrx pretrain --recipe {recipe} pre-trains alone")
    sampling.chosen(labelled.split("train"), second.data)
    chosen = configured(recipe, {}, [], "pretrain")
    check_pretraining(chosen)
    began = time.monotonic()
    first = run_pretraining(workspace.corpus(data, chosen), chosen, reuse=True, minutes=minutes)
    if first.folder is None:
        return first
    return train(data, following, {**options, "model.name": first.folder}, overrides, resume, _left(minutes, began))


def _left(minutes: float | None, began: float) -> float | None:
    """What is left of a session that began at `began`."""
    return None if minutes is None else max(0.0, minutes - (time.monotonic() - began) / 60)


def check(options: Config) -> None:
    """What can be refused before a corpus is prepared: the trainer's options, a model or a vocabulary that is not to be had."""
    arguments.check(options)
    if options.model.name != SCRATCH:
        loading.locate(options.model.name)
    if options.text.vocabulary not in VOCABULARIES:
        loading.locate(options.text.vocabulary, weights=False)


def configured(recipe: str | None, options: dict[str, Any], overrides: list[str], stage: str = "train") -> Config:
    """The configuration that a person asks for: without recipe and model that of the recipe `scratch`."""
    recipe = workspace.recipe(recipe)
    if model := options.get("model.name"):
        options = {**options, "model.name": _model(model)}
    overrides = of_stage(stage, overrides)
    chosen = resolve(recipe, options, overrides)
    unnamed = recipe is None and (chosen.model.name, chosen.model.architecture) == (SCRATCH, Model.architecture)
    return resolve(DEFAULTS[stage], options, overrides) if unnamed else chosen


def _model(name: str) -> str:
    """A folder from where the command was typed, or the model of a run on this machine; a hub id as it is."""
    run = tracking.home() / "runs" / name
    places = [tracking.user_path(name), *([run / "model", run / "best"] if "/" not in name else [])]
    return str(next((place for place in places if place.is_dir()), name))


def _go_on(kind: str, stage: Callable[..., Any], run_id: str, data: str | None, has_options: bool, chosen: Config, minutes: float | None) -> Any:
    run = resuming.named(tracking.connect(), run_id, kind)
    folder = tracking.home() / "runs" / run.info.run_id
    saved = folder / "config.yaml"
    if not saved.is_file():
        raise InputError(f"run {run_id} was not trained on this machine: there is no {saved}")
    own = resolve(str(saved))
    corpus = PreparedCorpus.open(tracking.user_path(data) if data else Path(run.data.tags["asrx.corpus"]))
    for given, what in ((own, "corpus"), (chosen if has_options else own, "options")):
        if resuming.training_key(corpus, given) != run.data.tags.get(resuming.KEY):
            raise ConfigError(f"run {run_id} was started with another {what}: a resumed run goes on with its own; leave --data, --recipe and overrides out")
    return stage(corpus, own, run.info.run_id, minutes=minutes)
