"""An Optuna study in a database that several processes and machines may share."""

import hashlib
import logging
import os
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optuna import Study, create_study
from optuna import logging as optuna_logging
from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner, NopPruner
from optuna.samplers import BaseSampler, TPESampler
from optuna.storages import RDBStorage, RetryHeartbeatStaleTrialCallback
from optuna.trial import FrozenTrial, TrialState

from .. import tracking
from ..errors import AsrxError, ConfigError, TrackingError
from ..files import held, locked
from .pruning import REPORTS

log = logging.getLogger("asrx")

DATABASE = "ASRX_STUDY_DB"  # environment variable
HEARTBEAT, SILENCE = 20, 120  # s: a trial that was not heard of for so long has died
LOCK_PATIENCE = 60  # s that a process waits for another one that writes into the same sqlite file
ATTEMPTS = 3  # at creating the tables, which others may be creating; and at a trial whose process dies
UNTOUCHED = 3  # tenths of a training in which nothing is pruned by the median: a model from scratch hears nothing at first
REASON = "reason"  # attribute of a trial: why it failed; one without did not end by itself, and another one takes its place
UID, QUESTION = "uid", "question"  # attributes of a study: its own name in MLflow; what it searches, where, and on what
ENDED = (TrialState.COMPLETE, TrialState.PRUNED)


@dataclass(frozen=True)
class Database:
    """Where studies are kept."""

    url: str

    @property
    def shown(self) -> str:
        """Without its password."""
        from sqlalchemy import make_url

        return make_url(self.url).render_as_string(hide_password=True)


def database(given: str | None) -> Database:
    """The database that a person named, or the environment, or a sqlite file under ASRX_HOME. ConfigError for what is no URL of one."""
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError

    url = given or os.environ.get(DATABASE) or f"sqlite:///{tracking.home() / 'search.db'}"
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise ConfigError("the study's database must be a URL, such as postgresql://user@host/studies or sqlite:///search.db") from None
    if parsed.get_backend_name() == "sqlite":
        if not parsed.database or parsed.database == ":memory:":
            raise ConfigError("the study's database is to outlive this command: give a file, such as sqlite:///search.db")
        path = tracking.user_path(parsed.database)
        path.parent.mkdir(parents=True, exist_ok=True)
        parsed = parsed.set(database=str(path))
    chosen = Database(parsed.render_as_string(hide_password=False))
    if chosen.url == tracking.tracking_uri():
        raise ConfigError(f"{chosen.shown} is MLflow's own database; a study needs another one")
    return chosen


def open_study(place: Database, name: str, question: dict[str, Any], pruner: str, seed: int) -> Study:
    """The study, made if there is none of this name. `question`: what it searches; ConfigError where the study of this name searches something else.

    Raises TrackingError for a database that cannot be used.
    """
    optuna_logging.set_verbosity(optuna_logging.ERROR)
    storage = _storage(place)
    with locked(tracking.home() / "search" / f"{hashlib.sha256(f'{place.shown} {name}'.encode()).hexdigest()[:16]}"):
        study = create_study(
            storage=storage, sampler=NumberedSampler(seed), pruner=PRUNERS[pruner](), study_name=name, direction="minimize", load_if_exists=True
        )
        known = study.user_attrs.get(QUESTION)
        if known is None:
            study.set_user_attr(QUESTION, question)
            study.set_user_attr(UID, uuid.uuid4().hex)
    if known not in (None, question):
        differing = " and ".join(key for key in question if known.get(key) != question[key])
        raise ConfigError(f"the study {name} in {place.shown} has another {differing}: give another --study, or none")
    return study


@contextmanager
def database_errors() -> Iterator[None]:
    """What a database that fails makes Optuna raise, as TrackingError; it may be behind an error of Optuna's own."""
    from optuna.exceptions import StorageInternalError
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except Exception as error:
        chain: list[BaseException] = [error]
        while chain[-1].__context__:
            chain.append(chain[-1].__context__)
        causes = [cause for cause in chain if isinstance(cause, (StorageInternalError, SQLAlchemyError))]
        if not causes or isinstance(error, AsrxError):
            raise
        reason = " ".join(str(causes[-1]).partition("[SQL")[0].partition("(Background")[0].split())[:160]
        raise TrackingError(f"the study's database has failed: {reason}; when it is back, the same command goes on with the search") from None


def _storage(place: Database) -> RDBStorage:
    local = place.url.startswith("sqlite")
    options = {"connect_args": {"timeout": LOCK_PATIENCE}} if local else {"pool_pre_ping": True}
    for attempt in range(ATTEMPTS):
        try:
            return RDBStorage(
                place.url, options, heartbeat_interval=HEARTBEAT, grace_period=SILENCE, heartbeat_stale_trial_callback=put_back_after_death
            )
        except Exception as error:  # each driver has its own errors; a missing driver is an ImportError
            if isinstance(error, ImportError) or attempt == ATTEMPTS - 1:
                reason = " ".join(str(error).partition("(Background")[0].split())[:200]
                raise TrackingError(f"the study's database {place.shown} cannot be used: {reason}; see --storage and {DATABASE}") from None
            time.sleep(1)
    raise AssertionError


PRUNERS: dict[str, Callable[[], BasePruner]] = {
    "median": lambda: MedianPruner(n_warmup_steps=UNTOUCHED),
    "hyperband": lambda: HyperbandPruner(min_resource=1, max_resource=REPORTS),
    "none": NopPruner,
}


class NumberedSampler(BaseSampler):
    """The tree-structured Parzen estimator (Bergstra et al. 2011), drawing each trial from a seed of its own, derived from its number.

    A study that goes on draws what an uninterrupted one would have drawn, and no two processes draw the same.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._estimator = TPESampler(seed=seed)

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> Any:
        """A new estimator, and its space."""
        seed = int(hashlib.sha256(f"{self._seed} {trial.number}".encode()).hexdigest()[:8], 16)
        self._estimator = TPESampler(seed=seed, warn_independent_sampling=False)
        return self._estimator.infer_relative_search_space(study, trial)

    def sample_relative(self, *arguments: Any) -> dict[str, Any]:
        """The values that the estimator draws together."""
        return self._estimator.sample_relative(*arguments)

    def sample_independent(self, *arguments: Any) -> Any:
        """A value that it draws by itself."""
        return self._estimator.sample_independent(*arguments)

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Nothing to prepare."""

    def after_trial(self, *arguments: Any) -> None:
        """What the estimator keeps of a trial."""
        self._estimator.after_trial(*arguments)


def counted(study: Study) -> list[FrozenTrial]:
    """The trials that count: ended, failed by themselves, or under way somewhere."""
    trials = study.get_trials(deepcopy=False)
    return [trial for trial in trials if trial.state in (*ENDED, TrialState.RUNNING) or REASON in trial.user_attrs]


def put_back(study: Study, trial: FrozenTrial) -> None:
    """Have a trial that did not come to its end taken up by whoever asks next: this machine goes on with its run, another one starts it anew."""
    RetryHeartbeatStaleTrialCallback(inherit_intermediate_values=True)(study, trial)


def put_back_after_death(study: Study, trial: FrozenTrial) -> None:
    """The same, unless its process has died again and again."""
    if len(RetryHeartbeatStaleTrialCallback.retry_history(trial)) + 1 < ATTEMPTS:
        put_back(study, trial)


def claim(study: Study, number: int) -> Path:
    """The folder that the process of a trial holds for as long as it lives."""
    return tracking.home() / "search" / study.user_attrs[UID] / f"trial-{number}"


def put_back_dead(study: Study) -> None:
    """Put back what processes that died on this machine were training; those of other machines are known by their silence."""
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        folder = claim(study, trial.number)
        if not folder.is_dir():
            continue
        with held(folder) as free:
            if free and study.get_trials(deepcopy=False)[trial.number].state == TrialState.RUNNING:
                study.tell(trial.number, state=TrialState.FAIL)
                put_back_after_death(study, trial)
