"""A training as a person asks for it: which corpus, which options, new or continued."""

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from .. import tracking, workspace
from ..config import Config, of_stage, resolve
from ..corpus.shards import PreparedCorpus
from ..errors import ConfigError, InputError
from ..models import SCRATCH, loading
from ..options import VOCABULARIES, Model
from . import arguments, processes, sampling, sounds
from . import resume as resuming
from .material import load_material
from .preflight import Preflight, of_training
from .train import train as run_training

DEFAULTS = {"train": SCRATCH, "pretrain": "wav2vec2-pretrain-base-tiny"}  # recipes where neither a recipe nor a model is named


def train(data: str | None, recipe: str | None, options: dict[str, Any], overrides: list[str], resume: str | None, minutes: float | None = None) -> Any:
    """Train on the prepared corpus `data` (default: what the recipe names, else the built-in one), or go on with the run `resume`.

    Stops `minutes` from now, if given, to be resumed. A run named in `resume` goes on with its own corpus and options; ConfigError if other ones
    are given beside it. A recipe with `pretraining.finetune` pre-trains first, by itself; the options are those of the fine-tuning. Where
    `minutes` are over before that, what comes back is the unfinished training.pretrain.Pretraining.
    """
    return _train(data, recipe, options, overrides, resume, deadline_in(minutes))


def _train(data: str | None, recipe: str | None, options: dict[str, Any], overrides: list[str], resume: str | None, deadline: float | None) -> Any:
    if resume and resume != "auto":
        return _go_on("train", run_training, resume, data, bool(recipe or options or overrides), configured(recipe, options, overrides), deadline)
    if following := _following(recipe):
        return _pretrained_first(data, recipe, following, options, overrides, resume, deadline)
    chosen = configured(recipe, options, overrides)
    check(chosen)
    corpus = workspace.corpus(data, chosen)
    return run_training(corpus, chosen, resume, deadline=deadline)


def pretrain(data: str | None, recipe: str | None, options: dict[str, Any], overrides: list[str], resume: str | None, minutes: float | None = None) -> Any:
    """Pre-train as `train` trains: a training.pretrain.Pretraining."""
    from .pretrain import pretrain as run_pretraining

    deadline = deadline_in(minutes)
    chosen = configured(recipe, options, overrides, "pretrain")
    if resume and resume != "auto":
        return _go_on("pretrain", run_pretraining, resume, data, bool(recipe or options or overrides), chosen, deadline)
    check_pretraining(chosen)
    return run_pretraining(workspace.corpus(data, chosen), chosen, resume, deadline=deadline)


def prepare_pretraining(data: str | None, recipe: str | None, options: dict[str, Any], overrides: list[str]) -> PreparedCorpus:
    """The corpus of a pre-training, prepared now if it is not there, once everything is checked that `pretrain` checks before it trains."""
    from . import pretrain

    chosen = configured(recipe, options, overrides, "pretrain")
    check_pretraining(chosen)
    corpus = workspace.corpus(data, chosen)
    pretrain.preflight_of(chosen, *pretrain.load_material(corpus, chosen)).announce()
    return corpus


def preflight(data: str | None, recipe: str | None, options: dict[str, Any], overrides: list[str]) -> Preflight:
    """What `train` finds before its first step; the corpus is prepared if it is not there. Of a recipe that pre-trains first: of that stage."""
    from . import pretrain

    if following := _following(recipe):
        chosen = _both_stages(data, recipe, following, options, overrides)
        return pretrain.preflight_of(chosen, *pretrain.load_material(workspace.corpus(data, chosen), chosen))
    chosen = configured(recipe, options, overrides)
    check(chosen)
    corpus = workspace.corpus(data, chosen)
    return of_training(resuming.in_language(corpus, chosen), *load_material(corpus, chosen))


def ready(kind: str, asked: tuple[str | None, str | None, dict[str, Any], list[str]], resume: str | None, number: int) -> None:
    """Refuse what can be refused before `number` processes `train` or `pretrain` what is asked for, and prepare the corpus if it is not there.

    `asked`: as those take it: corpus, recipe, options, overrides.
    """
    data, recipe, options, overrides = asked
    if resume and resume != "auto":
        _own_corpus_and_options(kind, resume, data, bool(recipe or options or overrides), configured(recipe, options, overrides, kind), number)
        return
    if kind == "train" and (following := _following(recipe)):
        chosen = _both_stages(data, recipe, following, options, overrides)
    else:
        chosen = configured(recipe, options, overrides, kind)
        (check if kind == "train" else check_pretraining)(chosen)
    workspace.corpus(data, chosen)


def check_pretraining(options: Config) -> None:
    """As `check`, with what pre-training asks besides."""
    from . import pretrain

    pretrain.check(options)
    check(options)


def _pretrained_first(
    data: str | None, recipe: str, following: str, options: dict[str, Any], overrides: list[str], resume: str | None, deadline: float | None
) -> Any:
    """Pre-train, or take what was pre-trained, then fine-tune with the recipe `following`."""
    from .pretrain import pretrain as run_pretraining

    chosen = _both_stages(data, recipe, following, options, overrides)
    first = run_pretraining(workspace.corpus(data, chosen), chosen, reuse=True, deadline=deadline)
    if first.folder is None:
        return first
    return _train(data, following, {**options, "model.name": first.folder}, overrides, resume, deadline)


def _following(recipe: str | None) -> str | None:
    """The recipe that fine-tunes what this one pre-trains, if it does."""
    return resolve(workspace.recipe(recipe)).pretraining.finetune if recipe else None


def _both_stages(data: str | None, recipe: str, following: str, options: dict[str, Any], overrides: list[str]) -> Config:
    """The configuration of the pre-training, once what the second stage needs is there."""
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
    return chosen


def deadline_in(minutes: float | None) -> float | None:
    """When a session of `minutes` is over, by time.monotonic; what comes before its first step counts."""
    return None if minutes is None else time.monotonic() + 60 * minutes


def check(options: Config) -> None:
    """What can be refused before a corpus is prepared: the trainer's options, a model, a vocabulary or sounds that are not to be had."""
    arguments.check(options)
    sounds.content(options.augment)
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
    return _from_here(resolve(DEFAULTS[stage], options, overrides) if unnamed else chosen)


def _from_here(options: Config) -> Config:
    """With folders of sounds, and the list of what is left out, as they are from anywhere."""
    named = {name: getattr(options.augment, name) for name in sounds.FOLDERS}
    augment = replace(options.augment, **{name: str(tracking.user_path(folder)) for name, folder in named.items() if folder})
    listed = options.data.exclude and str(tracking.user_path(options.data.exclude))
    return replace(options, augment=augment, data=replace(options.data, exclude=listed))


def _model(name: str) -> str:
    """A folder from where the command was typed, or the model of a run on this machine; a hub id as it is."""
    run = tracking.home() / "runs" / name
    places = [tracking.user_path(name), *([run / "model", run / "best"] if "/" not in name else [])]
    return str(next((place for place in places if place.is_dir()), name))


def _go_on(kind: str, stage: Callable[..., Any], run_id: str, data: str | None, has_options: bool, chosen: Config, deadline: float | None) -> Any:
    corpus, own, run_id = _own_corpus_and_options(kind, run_id, data, has_options, chosen, processes.count())
    return stage(corpus, own, run_id, deadline=deadline)


def _own_corpus_and_options(kind: str, run_id: str, data: str | None, has_options: bool, chosen: Config, number: int) -> tuple[PreparedCorpus, Config, str]:
    """What a run that `number` processes go on with was started with, and its id."""
    client = tracking.connect()
    run = resuming.named(client, run_id, kind)
    resuming.check_processes(run, number)
    processes.join()
    own = resolve(processes.of_first(str(resuming.options_file(client, run)) if processes.leads() else None))
    corpus = PreparedCorpus.open(tracking.user_path(data)) if data else _corpus_of(run, own)
    arguments.check(chosen)  # which types what YAML took for text, as it was when the run was started
    for given, what in ((own, "another corpus"), (chosen if has_options else own, "other options")):
        if resuming.training_key(corpus, given) != run.data.tags.get(resuming.KEY):
            raise ConfigError(f"run {run_id} was started with {what}: a resumed run goes on with its own; leave --data, --recipe and overrides out")
    return corpus, own, run.info.run_id


def _corpus_of(run: Any, options: Config) -> PreparedCorpus:
    """The corpus that a run was started with; on another machine prepared from the same source, where its options or its name tell which."""
    folder = Path(run.data.tags["asrx.corpus"])
    if folder.is_dir():
        return PreparedCorpus.open(folder)
    if options.data.source or folder.name.startswith(workspace.BUILTIN):
        return workspace.corpus(None, options)
    raise InputError(f"run {run.info.run_id} was trained on {folder}, which is not on this machine: name the same corpus here with --data")
