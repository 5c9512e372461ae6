"""MLflow runs: where they are kept, their parameters, metrics, artifacts and outcome. The only writer to MLflow's tracking side."""

import json
import logging
import os
import platform
import secrets
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from . import config, journal
from .delivery import Unsaid, deliver, end, journals, steps_of
from .errors import TrackingError
from .files import write_text
from .journal import Journal
from .project_runs import KIND, MOVED, NOTE, OUTCOME, WRAPPER, delete_retired, experiment_id, nothing_to_do, retire_wrapper, start
from .stores import check_server, connect, home, tracking_uri, user_path
from .system_metrics import SystemMetrics

log = logging.getLogger("asrx")

PAUSED = "paused"  # outcome of a session that ends before its training does
PRUNED = "pruned"  # outcome of a search's trial that was not promising
SESSION = "asrx.session"  # tag: the process that works on a run, or did last
RESUMABLE = ("train", "pretrain")  # kinds of runs that --resume takes
TAGS = "tags"  # the journal's job that sets them
PAST = {PAUSED: "is paused", PRUNED: "was pruned", "interrupted": "was interrupted"}
LIBRARIES = ("mlflow", "torch", "torchaudio", "transformers", "datasets", "soundfile", "soxr", "jiwer", "numpy")


class Run:
    """One MLflow run of asrx. Metrics are journaled; what a person reads is logged as it happens."""

    def __init__(self, client: Any, run_id: str, kind: str, continued: bool = False) -> None:
        self.client, self.id, self.kind = client, run_id, kind
        self.session = secrets.token_hex(4)
        self.outcome = "finished"  # unless something is raised, or whoever uses the run says otherwise
        self.info = client.get_run(run_id).info
        self.folder = home() / "runs" / run_id
        self.folder.mkdir(parents=True, exist_ok=True)
        self._journal = Journal(journals(), run_id, partial(deliver, client), partial(steps_of, client) if continued else None)
        self._tags: dict[str, Any] = {}
        self._headline, self._remarks = "", list[str]()
        self._take_up(Unsaid.of(run_id))
        self._sampler = SystemMetrics(self.metrics, self.info.start_time / 1000)

    def metrics(self, values: dict[str, float | None], step: int = 0) -> None:
        """Record metrics; None and values that are not finite are left out."""
        self._journal.add({key: value for key, value in values.items() if value is not None}, step)

    def params(self, values: dict[str, Any]) -> None:
        """Log parameters that are not there yet; one that differs is left as it was first logged."""
        from mlflow.entities import Param

        known = self.client.get_run(self.id).data.params
        new = [Param(key, str(value)[:6000]) for key, value in values.items() if key not in known]
        for begin in range(0, len(new), 100):
            self.client.log_batch(self.id, params=new[begin : begin + 100])

    def tags(self, values: dict[str, Any]) -> None:
        """Set tags."""
        from mlflow.entities import RunTag

        self.client.log_batch(self.id, tags=[RunTag(key, str(value)) for key, value in values.items()])

    def text(self, name: str, content: str) -> None:
        """An artifact from text, now. The file is kept in the run's folder, too."""
        path = self.folder / name
        write_text(path, content)
        self.artifact(path, str(Path(name).parent) if Path(name).parent != Path(".") else None)

    def artifact(self, path: Path, folder: str | None = None) -> None:
        """Upload a file, now."""
        self.client.log_artifact(self.id, str(path), folder)

    def table(self, name: str, frame: Any) -> None:
        """A pandas frame as a .json artifact that MLflow shows as a table, now."""
        self.client.log_table(self.id, frame, name)

    def text_later(self, name: str, content: str) -> None:
        """As `text`, but in the background: a server that is down costs nothing."""
        write_text(self.folder / name, content)
        self._later(name)

    def tags_later(self, values: dict[str, Any]) -> None:
        """As `tags`, but in the background."""
        self._tags.update(values)
        self._journal.later(TAGS, lambda: self.tags(dict(self._tags)))

    def so_far(self) -> Callable[[], bool]:
        """Tells whether the server has every metric that was recorded until now."""
        return self._journal.so_far()

    def note(self, text: str) -> None:
        """The description that the run's page shows, above the remarks."""
        self._headline = text
        self.tags({NOTE: self._description()})
        if NOTE in self._tags:
            self._tags[NOTE] = self._description()

    def remarks_later(self, remarks: Sequence[str]) -> None:
        """What the run's page shows below the note, a paragraph each, in the background."""
        self._remarks = list(remarks)
        self.tags_later({NOTE: self._description()})

    def _description(self) -> str:
        return "\n\n".join(filter(None, (self._headline, *self._remarks)))

    def dataset(self, name: str, digest: str, source: str, profile: dict[str, Any], context: str) -> None:
        """Log a data set as the run's input."""
        from mlflow.entities import Dataset, DatasetInput, InputTag

        dataset = Dataset(name, digest[:36], "local", json.dumps({"uri": source}), None, json.dumps(profile))
        self.client.log_inputs(self.id, [DatasetInput(dataset, [InputTag("mlflow.data.context", context)])])

    def configuration(self, options: config.Config) -> None:
        """Resolved options, versions and config.yaml. Prefixed: `mlflow run` logs the raw parameters under their own names."""
        self.params({f"config.{key}": value for key, value in options.flat().items()})
        self.params({f"version.{name}": value for name, value in library_versions().items()})
        self.text("config.yaml", options.yaml())

    def close(self, outcome: str) -> None:
        """End the run: `finished`, `paused`, `failed` or `interrupted` in a tag, MLflow's status beside it."""
        self._sampler.stop()
        arrived = self._journal.close()
        status = self._status(outcome)
        try:
            told = not server_is_gone()
            if told:
                end(self.client, self.id, {OUTCOME: outcome}, status)
        except Exception as error:  # the run is over and its results are on disk
            told = False
            log.debug("%s", error)
        self._leave_word(None if told else outcome, status)
        if not arrived or not told:
            log.warning("MLflow has not heard everything of run %s, which %s: asrx sync tells the rest", self.id, PAST.get(outcome, outcome))

    def leave(self, outcome: str) -> None:
        """End here, without a word to a server that is gone; what it has not heard is kept for `asrx sync`."""
        self._sampler.stop()
        self._journal.close(0)
        self._leave_word(outcome, self._status(outcome))

    def _status(self, outcome: str) -> str:
        """MLflow's. SCHEDULED reads as what a paused run does; but `mlflow run` would make it FINISHED in a run of its own."""
        paused = "KILLED" if os.environ.get(WRAPPER) == self.id else "SCHEDULED"
        return {"finished": "FINISHED", PAUSED: paused, PRUNED: "KILLED", "interrupted": "KILLED"}.get(outcome, "FAILED")

    def _leave_word(self, outcome: str | None, status: str) -> None:
        """What was left unsaid to a file, for whoever can say it; `outcome`: if that, too."""
        undone = self._journal.undone()
        tags = {**(self._tags if TAGS in undone else {}), **({OUTCOME: outcome} if outcome else {})}
        ended = {"status": status, "session": self.session} if outcome else {}
        Unsaid([name for name in undone if name != TAGS], tags, **ended).keep(self.id)

    def _take_up(self, unsaid: Unsaid) -> None:
        """What an earlier process left unsaid of this run, which is not over any more."""
        for name in unsaid.artifacts:
            self._later(name)
        tags = {key: value for key, value in unsaid.tags.items() if key != OUTCOME}
        if tags:
            self.tags_later(tags)
        Unsaid().keep(self.id)

    def _later(self, name: str) -> None:
        path = self.folder / name
        self._journal.later(name, lambda: self.client.log_artifact(self.id, str(path)))

    def await_server(self) -> None:
        """Wait for a server that is being started again. TrackingError if it stays away."""
        patience = time.monotonic() + journal.CLOSING_PATIENCE
        while server_is_gone():
            if time.monotonic() > patience:
                raise TrackingError(f"the tracking server {tracking_uri()} does not answer")
            time.sleep(1)

    def watch_system(self) -> None:
        """Sample processor, memory, disk, network and GPU in the background."""
        self._sampler.start()


@contextmanager
def run(kind: str, name: str, client: Any | None = None, run_id: str | None = None, parent: str | None = None) -> Iterator[Run]:
    """A run of asrx, open for the length of the block and closed with its true outcome.

    `run_id` continues that run. Otherwise the run that `mlflow run` made is used, unless it landed in `Default` or the
    block is nested in `parent`: then a new one is made in the experiment `asrx` and the empty one retired.
    """
    client = client or connect()
    delete_retired(client)
    continued = run_id is not None
    run_id = run_id or start(client, kind, name, parent)
    current = Run(client, run_id, kind, continued)
    try:
        client.update_run(run_id, status="RUNNING")
        current.tags({KIND: kind, OUTCOME: "running", SESSION: current.session})
        yield current
    except KeyboardInterrupt:
        with _undisturbed():
            current.close("interrupted")
        raise
    except BaseException as error:
        if server_is_gone():
            raise _left_behind(current, kind) from error
        current.tags({"asrx.error": " ".join(str(error).split())[:500] or type(error).__name__})
        current.close("failed")
        raise
    current.close(current.outcome)


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Without signals: `mlflow run` sends two together, and the second must not cut the closing of a run short."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def server_is_gone() -> bool:
    """Whether the tracking server does not answer, within seconds; False for a database."""
    uri = tracking_uri()
    try:
        if uri.startswith(("http://", "https://")):
            check_server(uri)
        return False
    except TrackingError:
        return True


def _left_behind(current: Run, kind: str) -> TrackingError:
    """Leave a run whose server went away; the result is what to tell the person who started it."""
    current.leave("interrupted" if kind in RESUMABLE else "failed")
    way_on = f"asrx {kind} --resume {current.id}" if kind in RESUMABLE else "the same command again"
    return TrackingError(f"the tracking server {tracking_uri()} went away; everything so far is in {current.folder}. When it is back: {way_on}")


def end_unfinished(client: Any, run_id: str, outcome: str, error: str) -> None:
    """End a run whose process died, unless it ended it itself."""
    if client.get_run(run_id).data.tags.get(OUTCOME) == "running":
        client.set_tag(run_id, OUTCOME, outcome)
        if error:
            client.set_tag(run_id, "asrx.error", error)
        client.set_terminated(run_id, "KILLED" if outcome == "interrupted" else "FAILED")


def find_run(client: Any, run_id: str) -> Any:
    """The run with an id, or that it was moved to. TrackingError if there is none."""
    from mlflow.exceptions import MlflowException

    try:
        found = client.get_run(run_id)
        moved = found.data.tags.get(MOVED)
        return client.get_run(moved) if moved else found
    except MlflowException:
        raise TrackingError(f"there is no run {run_id} in {tracking_uri()}; `mlflow ui` shows the runs") from None


def latest_run(client: Any, filter_string: str) -> Any | None:
    """The newest run that matches, in any experiment."""
    experiments = [item.experiment_id for item in client.search_experiments()]
    found = client.search_runs(experiments, filter_string, max_results=1, order_by=["attributes.start_time DESC"])
    return found[0] if found else None


def library_versions() -> dict[str, str]:
    """Versions of Python and the libraries that results depend on."""
    versions = {"python": platform.python_version()}
    for name in LIBRARIES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions


__all__ = [
    "KIND", "MOVED", "NOTE", "OUTCOME", "WRAPPER", "Run", "connect", "experiment_id", "find_run", "home", "latest_run", "nothing_to_do", "retire_wrapper",
    "run", "start", "tracking_uri", "user_path",
]  # fmt: skip
