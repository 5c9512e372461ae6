"""A training as a person asks for it: which corpus, which options, new or continued."""

from pathlib import Path
from typing import Any

from .. import tracking, workspace
from ..config import Config, of_stage, resolve
from ..corpus.shards import PreparedCorpus
from ..errors import ConfigError, InputError
from ..models import SCRATCH, loading
from . import arguments
from . import resume as resuming
from .train import Training
from .train import train as run_training


def train(
    data: str | None, recipe: str | None, options: dict[str, Any], overrides: list[str], resume: str | None, minutes: float | None = None
) -> Training:
    """Train on the prepared corpus `data` (default: what the recipe names, else the built-in one), or go on with the run `resume`.

    Stops after `minutes`, if given, to be resumed. A run named in `resume` goes on with its own corpus and options; ConfigError if other ones
    are given beside it.
    """
    if resume and resume != "auto":
        return _go_on(resume, data, bool(recipe or options or overrides), configured(recipe, options, overrides), minutes)
    chosen = configured(recipe, options, overrides)
    check(chosen)
    return run_training(workspace.corpus(data, chosen), chosen, resume, minutes=minutes)


def check(options: Config) -> None:
    """What can be refused before a corpus is prepared: the trainer's options, a model that is not to be had."""
    arguments.check(options)
    if options.model.name != SCRATCH:
        loading.locate(options.model.name)


def configured(recipe: str | None, options: dict[str, Any], overrides: list[str], stage: str = "train") -> Config:
    """The configuration that a person asks for: without recipe and model that of the recipe `scratch`."""
    recipe = workspace.recipe(recipe)
    if model := options.get("model.name"):
        options = {**options, "model.name": str(tracking.user_path(model)) if tracking.user_path(model).is_dir() else model}
    overrides = of_stage(stage, overrides)
    chosen = resolve(recipe, options, overrides)
    return resolve(SCRATCH, options, overrides) if recipe is None and chosen.model.name == SCRATCH else chosen


def _go_on(run_id: str, data: str | None, has_options: bool, chosen: Config, minutes: float | None) -> Training:
    run = tracking.find_run(tracking.connect(), run_id)
    folder = tracking.home() / "runs" / run.info.run_id
    saved = folder / "config.yaml"
    if not saved.is_file():
        raise InputError(f"run {run_id} was not trained on this machine: there is no {saved}")
    own = resolve(str(saved))
    corpus = PreparedCorpus.open(tracking.user_path(data) if data else Path(run.data.tags["asrx.corpus"]))
    for given, what in ((own, "corpus"), (chosen if has_options else own, "options")):
        if resuming.training_key(corpus, given) != run.data.tags.get(resuming.KEY):
            raise ConfigError(f"run {run_id} was started with another {what}: a resumed run goes on with its own; leave --data, --recipe and overrides out")
    return run_training(corpus, own, run.info.run_id, minutes=minutes)
