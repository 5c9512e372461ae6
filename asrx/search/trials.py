"""The trials of a search: drawn, trained as runs nested in one, pruned, failed, interrupted, gone on with."""

import logging
import shutil
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial

from optuna import Study, Trial, TrialPruned
from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState

from ..config import Config
from ..corpus.shards import PreparedCorpus
from ..errors import AsrxError, ConfigError, TrackingError
from ..files import held
from ..training import request
from ..training.train import train
from .pruning import RUN, Pruning
from .space import Dimension
from .study import ENDED, REASON, claim, counted, database_errors, put_back, put_back_dead

log = logging.getLogger("asrx")

HOPELESS = 3  # failures, one after another, after which a search that has come to nothing yet is given up


class Failed(Exception):
    """A training that cannot be with the trial's options."""


class Withdrawn(Exception):
    """A trial that is not trained, or not to its end, in this session."""


@dataclass(frozen=True)
class Trials:
    """What the trials of a search have in common."""

    study: Study
    corpus: PreparedCorpus
    dimensions: Sequence[Dimension]
    configured: Callable[[Sequence[str]], Config]  # from the overrides of a trial
    parent: str  # run
    count: int  # that the study shall have
    deadline: float | None  # of the session, by time.monotonic

    def train_all(self, after_each: Callable[[], None]) -> None:
        """Train trials until the study has its number, all of its processes together, or the session is over.

        Raises ConfigError where nothing but failures came of it, TrackingError where the study's database is gone.
        """
        failures = 0
        while self._goes_on():
            reason = self._train_next()
            failures = failures + 1 if reason else 0
            after_each()
            if failures >= HOPELESS and not self.study.get_trials(deepcopy=False, states=ENDED):
                raise ConfigError(f"{failures} trials failed and none has come to its end; the last one: {reason}")

    @database_errors()
    def _goes_on(self) -> bool:
        time_is_up = self.deadline is not None and time.monotonic() >= self.deadline
        return not time_is_up and len(counted(self.study)) < self.count

    @database_errors()
    def _train_next(self) -> str | None:
        """Why it failed, if it did."""
        put_back_dead(self.study)
        ended: list[FrozenTrial] = []
        with ExitStack() as claims:  # until the study knows how the trial ended: without a claim it would be taken for dead
            try:
                self.study.optimize(partial(self._train, claims), n_trials=1, catch=(Failed, Withdrawn), callbacks=[lambda _, trial: ended.append(trial)])
            except (UpdateFinishedTrialError, ValueError) as error:
                if not isinstance(error, UpdateFinishedTrialError) and "Cannot tell" not in str(error):
                    raise
                log.warning("a trial was taken for dead, and given to another process, while it was trained here")
                return None
            shutil.rmtree(claim(self.study, ended[0].number), ignore_errors=True)
        return ended[0].user_attrs.get(REASON)

    def _train(self, claims: ExitStack, trial: Trial) -> float:
        """The WER of a trial. An interruption, or a store that is gone, puts it back; anything else that is raised is its failure."""
        if not claims.enter_context(held(claim(self.study, trial.number))):
            raise Withdrawn
        try:
            self._withdraw_surplus(trial)
            return self._wer(trial)
        except (TrialPruned, Withdrawn, UpdateFinishedTrialError, StorageInternalError):
            raise
        except (KeyboardInterrupt, TrackingError, OSError):
            put_back(self.study, self._frozen(trial))
            raise
        except Exception as error:  # libraries raise anything at options that do not go together; the next trial has others
            reason = " ".join(str(error).split())[:300]
            trial.set_user_attr(REASON, reason if isinstance(error, AsrxError) else f"{type(error).__name__}: {reason}")
            log.warning("trial %d failed: %s", trial.number, trial.user_attrs[REASON])
            raise Failed from error

    def _withdraw_surplus(self, trial: Trial) -> None:
        """Of the trials that processes drew at the same moment, those that make too many give way."""
        if sum(other.number <= trial.number for other in counted(self.study)) > self.count:
            raise Withdrawn

    def _wer(self, trial: Trial) -> float:
        overrides = [dimension.suggest(trial) for dimension in self.dimensions]
        options = self.configured(overrides)
        request.check(options)
        pruning = Pruning(trial)
        log.info("trial %d (%d of %d): %s", trial.number, len(counted(self.study)), self.count, " ".join(map(short, overrides)))
        name = f"trial {trial.number}: {' '.join(short(text).partition('.')[2] for text in overrides)}"
        trained = train(self.corpus, options, name=name, parent=self.parent, reuse=True, deadline=self.deadline, pruning=pruning)
        trial.set_user_attr(RUN, trained.run_id)
        if pruning.pruned_at is not None:
            log.info("trial %d is pruned at step %d, with a WER of %.2f %% so far", trial.number, pruning.pruned_at, 100 * trained.wer)
            raise TrialPruned
        if trained.model_uri is None:
            put_back(self.study, self._frozen(trial))
            raise Withdrawn
        self._tell(trial, trained.wer)
        return trained.wer

    def _tell(self, trial: Trial, wer: float) -> None:
        done = self.study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        best = min((other.value for other in done), default=wer)
        beside = "the best so far" if not done or wer < best else f"the best so far has {100 * best:.2f} %"
        log.info("trial %d: WER %.2f %%, %s", trial.number, 100 * wer, beside)

    def _frozen(self, trial: Trial) -> FrozenTrial:
        return self.study.get_trials(deepcopy=False)[trial.number]


def short(override: str) -> str:
    """An override with four digits of a number, for people."""
    name, _, value = override.partition("=")
    try:
        return f"{name}={float(value):.4g}"
    except ValueError:
        return override
