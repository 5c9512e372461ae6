"""Search: trainings with other options each, drawn by Optuna, as runs nested in one. Several machines may share it; it goes on where it was stopped."""

import gc
import hashlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import tracking, workspace
from ..config import Config, of_stage
from ..corpus.shards import PreparedCorpus
from ..errors import AsrxError, ConfigError
from ..files import locked
from ..training import processes, request, resume
from ..training.material import load_material
from . import space
from .space import Dimension

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial

log = logging.getLogger("asrx")

KIND = "search"
STUDY, DATABASE, UID, BEST, BEST_RUN = "asrx.study", "asrx.study_database", "asrx.study_uid", "asrx.best_trial", "asrx.best_run"  # tags of the parent
LOADED = ("model", "tokenizer", "feature_extractor")  # sections whose keys are checked by the classes that receive them
RECIPE, CORPUS = "best.yaml", "asrx.corpus"


@dataclass(frozen=True)
class Found:
    """A trial. Rates are fractions on the validation set."""

    trial: int
    state: str  # running, finished, pruned, failed or withdrawn
    wer: float | None  # of a pruned one: until then
    options: dict[str, Any]
    run_id: str | None
    reason: str | None  # why it failed


@dataclass(frozen=True)
class Search:
    """What a search has come to."""

    run_id: str
    study: str
    database: str
    asked: int  # trials
    best: Found | None
    recipe: str | None  # file with which `train` repeats the best trial
    corpus: str
    trials: tuple[Found, ...]
    standing: bool = False  # nothing was left to do

    def count(self, state: str) -> int:
        """How many trials are in a state."""
        return sum(trial.state == state for trial in self.trials)


def search(
    data: str | None, recipe: str | None, options: dict[str, Any], overrides: list[str],
    trials: int, pruner: str, database: str | None, name: str | None, minutes: float | None,
) -> Search:  # fmt: skip
    """Train until the study has `trials` trials, with options drawn from the space that the overrides span (search.space), for the lowest WER.

    The study is kept in `database` under `name`, or under one that follows from recipe, corpus, options and space: whoever asks the same shares it.
    A session ends after `minutes`. Raises ConfigError or InputError before anything is trained if an end of the space cannot be.
    """
    processes.only_one(KIND)
    deadline = request.deadline_in(minutes)
    fixed, dimensions = space.split(of_stage("train", overrides))
    if not dimensions:
        raise ConfigError("there is nothing to search: give a range or choices, such as trainer.learning_rate=1e-4..1e-2:log or augment.speed=0,0.1,0.2")
    configured = partial(_configured, recipe, options, fixed)
    _check(configured, dimensions)
    client = tracking.connect()
    corpus = workspace.corpus(data, configured(_corner(dimensions)))
    _load(corpus, configured, dimensions)
    study, shown = _study(corpus, recipe, configured(_corner(dimensions)), dimensions, pruner, database, name)
    uid = study.user_attrs["uid"]
    with locked(tracking.home() / "search" / uid):
        before = tracking.latest_run(client, f"tags.`{tracking.KIND}` = '{KIND}' and tags.`{UID}` = '{uid}'")
        run_id = before.info.run_id if before else _begin(client, study, shown)
    state = partial(_state, study, shown, run_id, trials, corpus)
    if before and before.data.tags.get(tracking.OUTCOME) == "finished" and _is_over(study, trials):
        tracking.nothing_to_do(client, KIND, f"Run {run_id} has finished this search.")
        return state(standing=True)
    tracking.retire_wrapper(client, run_id)
    with tracking.run(KIND, study.study_name, client, run_id) as run:
        if not before or CORPUS not in before.data.tags:
            _describe(run, corpus, configured(_corner(dimensions)), dimensions)
        _train(run, study, corpus, dimensions, configured, trials, deadline)
        if not _is_over(study, trials):
            run.outcome = tracking.PAUSED
    return state()


def _configured(recipe: str | None, options: dict[str, Any], fixed: Sequence[str], drawn: Sequence[str]) -> Config:
    return request.configured(recipe, options, [*fixed, *drawn])


def _corner(dimensions: Sequence[Dimension], instead: str = "") -> list[str]:
    """The first end of every dimension, but for the one that `instead` is an end of."""
    return [instead if instead in dimension.ends else dimension.ends[0] for dimension in dimensions]


def _check(configured: Callable[[Sequence[str]], Config], dimensions: Sequence[Dimension]) -> None:
    """Every end of every dimension, as far as that needs no corpus."""
    for end in dict.fromkeys(end for dimension in dimensions for end in dimension.ends):
        options = configured(_corner(dimensions, end))
        if options.pretraining.finetune:
            raise ConfigError("the recipe pre-trains first: asrx pretrain, and search with --model from what comes of it")
        request.check(options)


def _load(corpus: PreparedCorpus, configured: Callable[[Sequence[str]], Config], dimensions: Sequence[Dimension]) -> None:
    """What the models and the corpus have to say about it."""
    load_material(corpus, configured(_corner(dimensions)))
    for end in (end for dimension in dimensions for end in dimension.ends[1:] if dimension.name.partition(".")[0] in LOADED):
        try:
            load_material(corpus, configured(_corner(dimensions, end)))
        except AsrxError as error:
            raise type(error)(f"{end}: {error}") from None


def _study(
    corpus: PreparedCorpus, recipe: str | None, corner: Config, dimensions: Sequence[Dimension], pruner: str, database: str | None, name: str | None
) -> tuple["Study", str]:
    """The study, and its database without a password."""
    from . import study as studies

    question = {"corpus or options": resume.training_key(corpus, corner), "space": {dimension.name: dimension.typed for dimension in dimensions}}
    digest = hashlib.sha256(repr(question).encode()).hexdigest()[:8]
    place = studies.database(database)
    stem = Path(recipe or corner.model.name).stem
    return studies.open_study(place, name or f"{corpus.name}-{stem}-{digest}", question, pruner, corner.trainer.seed), place.shown


def _begin(client: Any, study: "Study", shown: str) -> str:
    """A run for the study, found by every process that shares it and its tracking store."""
    run_id = tracking.start(client, KIND, study.study_name)
    for key, value in ((UID, study.user_attrs["uid"]), (STUDY, study.study_name), (DATABASE, shown)):
        client.set_tag(run_id, key, value)
    return run_id


def _is_over(study: "Study", trials: int) -> bool:
    from optuna.trial import TrialState

    from .study import counted

    begun = counted(study)
    return len(begun) >= trials and all(trial.state != TrialState.RUNNING for trial in begun)


def _describe(run: tracking.Run, corpus: PreparedCorpus, corner: Config, dimensions: Sequence[Dimension]) -> None:
    searched = {dimension.name: dimension.typed for dimension in dimensions}
    run.params({f"search.{name}": typed for name, typed in searched.items()})
    run.params({f"config.{key}": value for key, value in corner.flat().items() if key not in searched})
    run.dataset(corpus.name, corpus.digest, str(corpus.folder), {"splits": corpus.meta["splits"]}, "training")
    run.tags({"asrx.corpus_digest": corpus.digest, CORPUS: corpus.folder})


def _train(
    run: tracking.Run, study: "Study", corpus: PreparedCorpus, dimensions: Sequence[Dimension], configured: Callable[[Sequence[str]], Config],
    trials: int, deadline: float | None,
) -> None:  # fmt: skip
    from .trials import Trials

    def tell() -> None:
        gc.collect()  # a trainer is a cycle of references: it keeps its model, on a GPU, too, until now
        _tell(run, study, lambda drawn: resume.in_language(corpus, configured(drawn)))

    try:
        Trials(study, corpus, dimensions, configured, run.id, trials, deadline).train_all(tell)
    except KeyboardInterrupt:
        log.warning("the same command goes on with this search")
        _draw(run, study)
        raise
    tell()
    _draw(run, study)


def _tell(run: tracking.Run, study: "Study", configured: Callable[[Sequence[str]], Config]) -> None:
    """What the study has come to, whichever process brought it there. Points are the same whenever they are told: MLflow keeps each once."""
    from optuna.trial import TrialState

    from . import report

    run.client.update_run(run.id, status="RUNNING")  # another process that shares it may have ended it
    run.text("trials.csv", report.table(study))
    done = sorted(study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)), key=lambda trial: trial.datetime_complete)
    if not done:
        return
    lowest, points = float("inf"), []
    for trial in done:
        lowest = min(lowest, trial.value)
        at = int(trial.datetime_complete.timestamp() * 1000)
        points += [{"k": key, "v": value, "t": at, "s": trial.number} for key, value in (("wer", trial.value), ("best/wer", lowest))]
    tracking.deliver(run.client, run.id, points)
    best = study.best_trial
    told = f"Best of study {study.study_name}: WER {best.value:.2%}, trial {best.number}"
    run.text(RECIPE, f"# {told}\n{configured(_overrides(best)).yaml()}")
    run.tags({BEST: best.number, BEST_RUN: best.user_attrs["run_id"]})
    run.note(f"{told} of {len(study.get_trials(deepcopy=False))}: {', '.join(_overrides(best))}")


def _overrides(trial: "FrozenTrial") -> list[str]:
    return [f"{name}={value}" for name, value in trial.params.items()]


def _draw(run: tracking.Run, study: "Study") -> None:
    from . import report

    for path in report.plot(study, run.folder):
        run.artifact(path)


def _state(study: "Study", shown: str, run_id: str, asked: int, corpus: PreparedCorpus, standing: bool = False) -> Search:
    from optuna.trial import TrialState

    from . import report

    begun = (trial for trial in study.get_trials(deepcopy=False) if trial.state != TrialState.WAITING)
    found = tuple(
        Found(trial.number, report.state(trial), trial.value, trial.params, trial.user_attrs.get("run_id"), trial.user_attrs.get("reason"))
        for trial in begun
    )
    best = min((trial for trial in found if trial.state == "finished"), key=lambda trial: (trial.wer, trial.trial), default=None)
    recipe = tracking.home() / "runs" / run_id / RECIPE
    return Search(run_id, study.study_name, shown, asked, best, str(recipe) if recipe.is_file() else None, str(corpus.folder), found, standing)
