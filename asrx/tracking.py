"""MLflow runs: where they are kept, their parameters, metrics, artifacts and outcome. The only writer to MLflow's tracking side."""

import json
import logging
import os
import platform
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from . import config
from .errors import TrackingError
from .files import write_text
from .journal import Journal
from .stores import check_server, connect, home, tracking_uri, user_path
from .system_metrics import SystemMetrics

log = logging.getLogger("asrx")

EXPERIMENT = "asrx"
EXPERIMENT_TAGS = {  # the first makes MLflow's pages those of model training, not of language-model applications
    "mlflow.experimentKind": "custom_model_development",
    "mlflow.note.content": "Speech recognisers: prepare, train, evaluate, register, compare.",
}
DEFAULT_EXPERIMENT_ID = "0"
WRAPPER = "MLFLOW_RUN_ID"  # environment variable: the run that `mlflow run` made
OUTCOME, KIND, MOVED = "asrx.outcome", "asrx.kind", "asrx.moved_to"
RESUMABLE = ("train", "pretrain")  # kinds of runs that --resume takes
LIBRARIES = ("mlflow", "torch", "torchaudio", "transformers", "datasets", "soundfile", "soxr", "jiwer", "numpy")


def experiment_id(client: Any) -> str:
    """The experiment that a new run belongs to: the one a person named, else `asrx`, made if absent."""
    named = os.environ.get("MLFLOW_EXPERIMENT_ID")
    if named and named != DEFAULT_EXPERIMENT_ID:
        return named
    name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or EXPERIMENT
    found = client.get_experiment_by_name(name)
    if found:
        if found.lifecycle_stage == "deleted":
            raise TrackingError(f"the experiment '{name}' was deleted; restore it, or name another with MLFLOW_EXPERIMENT_NAME")
        return found.experiment_id
    uri = tracking_uri()
    beside = Path(uri.removeprefix("sqlite:///")).parent if uri.startswith("sqlite:////") else home()
    location = None if uri.startswith(("http://", "https://")) else (beside / "mlruns" / name).as_uri()
    try:
        return client.create_experiment(name, artifact_location=location, tags=EXPERIMENT_TAGS)
    except Exception:  # another process made it between the two calls
        found = client.get_experiment_by_name(name)
        if not found:
            raise
        return found.experiment_id


class Run:
    """One MLflow run of asrx. Metrics are journaled; what a person reads is logged as it happens."""

    def __init__(self, client: Any, run_id: str, kind: str) -> None:
        self.client, self.id, self.kind = client, run_id, kind
        self.outcome = "finished"  # unless something is raised, or whoever uses the run says otherwise
        self.info = client.get_run(run_id).info
        self.folder = home() / "runs" / run_id
        self.folder.mkdir(parents=True, exist_ok=True)
        self._journal = Journal(home() / "journals", run_id, self._deliver)
        self._sampler = SystemMetrics(self.metrics, self.info.start_time / 1000)

    def metrics(self, values: dict[str, float | None], step: int = 0) -> None:
        """Record metrics; None and values that are not finite are left out."""
        self._journal.add({key: value for key, value in values.items() if value is not None}, step)

    def params(self, values: dict[str, Any]) -> None:
        """Log parameters that are not there yet; one that differs is left as it was first logged."""
        from mlflow.entities import Param

        known = self.client.get_run(self.id).data.params
        new = [Param(key, str(value)[:6000]) for key, value in values.items() if key not in known]
        for start in range(0, len(new), 100):
            self.client.log_batch(self.id, params=new[start : start + 100])

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

    def text_later(self, name: str, content: str) -> None:
        """As `text`, but in the background: a server that is down costs nothing."""
        path = self.folder / name
        write_text(path, content)
        self._journal.later(name, lambda: self.client.log_artifact(self.id, str(path)))

    def tags_later(self, values: dict[str, Any]) -> None:
        """As `tags`, but in the background."""
        self._journal.later(" ".join(values), lambda: self.tags(values))

    def note(self, text: str) -> None:
        """The description that the run's page shows."""
        self.tags({"mlflow.note.content": text})

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
        status = {"finished": "FINISHED", "paused": "KILLED", "interrupted": "KILLED"}.get(outcome, "FAILED")
        try:
            self.tags({OUTCOME: outcome})
            self.client.set_terminated(self.id, status)
        except Exception as error:  # the run is over and its results are on disk; the server is told by the next command
            log.warning("MLflow was not told that run %s %s (%s)", self.id, outcome, " ".join(str(error).split())[:160])
        if not arrived:
            log.warning("some metrics of run %s have not reached MLflow; they are kept in %s", self.id, home() / "journals")

    def leave(self) -> None:
        """End here, without a word to a server that is gone; the journal keeps what it has not heard."""
        self._sampler.stop()
        self._journal.close(0)

    def watch_system(self) -> None:
        """Sample processor, memory, disk, network and GPU in the background."""
        self._sampler.start()

    def _deliver(self, run_id: str, points: list[dict[str, Any]]) -> None:
        from mlflow.entities import Metric

        self.client.log_batch(run_id, metrics=[Metric(point["k"], point["v"], point["t"], point["s"]) for point in points])


@contextmanager
def run(kind: str, name: str, client: Any | None = None, run_id: str | None = None, parent: str | None = None) -> Iterator[Run]:
    """A run of asrx, open for the length of the block and closed with its true outcome.

    `run_id` continues that run. Otherwise the run that `mlflow run` made is used, unless it landed in `Default` or the
    block is nested in `parent`: then a new one is made in the experiment `asrx` and the empty one retired.
    """
    client = client or connect()
    _delete_retired(client)
    run_id = run_id or _start(client, kind, name, parent)
    current = Run(client, run_id, kind)
    try:
        client.update_run(run_id, status="RUNNING")
        current.tags({KIND: kind, OUTCOME: "running"})
        yield current
    except KeyboardInterrupt:
        with _undisturbed():
            current.close("interrupted")
        raise
    except BaseException as error:
        if _server_is_gone():
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


def _server_is_gone() -> bool:
    uri = tracking_uri()
    try:
        if uri.startswith(("http://", "https://")):
            check_server(uri)
        return False
    except TrackingError:
        return True


def _left_behind(current: Run, kind: str) -> TrackingError:
    """Leave a run whose server went away; the result is what to tell the person who started it."""
    current.leave()
    way_on = f"asrx {kind} --resume {current.id}" if kind in RESUMABLE else "the same command again"
    return TrackingError(f"the tracking server {tracking_uri()} went away; everything so far is in {current.folder}. When it is back: {way_on}")


def _start(client: Any, kind: str, name: str, parent: str | None) -> str:
    from mlflow.tracking.context.registry import resolve_tags

    wrapper = wrapper_run(client) if parent is None else None
    if wrapper and wrapper.info.experiment_id == experiment_id(client):
        return wrapper.info.run_id
    tags = {key: value for key, value in (wrapper.data.tags if wrapper else {}).items() if key.startswith(("mlflow.project", "mlflow.source"))}
    tags = {**resolve_tags(), **tags, KIND: kind, **({"mlflow.parentRunId": parent} if parent else {})}
    tags.pop("mlflow.runName", None)
    made = client.create_run(experiment_id(client), tags=tags, run_name=name)
    if wrapper:
        for key, value in wrapper.data.params.items():
            client.log_param(made.info.run_id, key, value)
        retire_wrapper(client, made.info.run_id)
    return made.info.run_id


def wrapper_run(client: Any) -> Any | None:
    """The run that `mlflow run` made for this process and that nothing was written to yet."""
    run_id = os.environ.get(WRAPPER)
    if not run_id:
        return None
    wrapper = client.get_run(run_id)
    unused = KIND not in wrapper.data.tags and MOVED not in wrapper.data.tags
    return wrapper if unused else None


def retire_wrapper(client: Any, run_id: str) -> None:
    """Point the run that `mlflow run` made to `run_id`, which goes on; commands given its id find that one.

    `mlflow run` still ends it and would fail if it were gone, so the next command deletes it.
    """
    wrapper = wrapper_run(client)
    if wrapper and wrapper.info.run_id != run_id:
        client.set_tag(wrapper.info.run_id, MOVED, run_id)
        client.set_tag(wrapper.info.run_id, "mlflow.note.content", f"Superfluous: goes on as run {run_id} in experiment '{EXPERIMENT}'.")
        log.info("this run goes on as %s in experiment '%s'", run_id, EXPERIMENT)


def nothing_to_do(client: Any, kind: str, text: str) -> None:
    """Say on the run that `mlflow run` made, if there is one, why it is empty."""
    wrapper = wrapper_run(client)
    if wrapper:
        for key, value in ((KIND, kind), (OUTCOME, "finished"), ("mlflow.note.content", text)):
            client.set_tag(wrapper.info.run_id, key, value)


def _delete_retired(client: Any) -> None:
    """Wrapper runs that earlier commands left behind and that `mlflow run` has ended."""
    for wrapper in client.search_runs([DEFAULT_EXPERIMENT_ID], f"tags.`{MOVED}` LIKE '%' and attributes.status != 'RUNNING'"):
        client.delete_run(wrapper.info.run_id)


def find_run(client: Any, run_id: str) -> Any:
    """The run with an id, or that it was moved to. TrackingError if there is none."""
    from mlflow.exceptions import MlflowException

    try:
        found = client.get_run(run_id)
        moved = found.data.tags.get(MOVED)
        return client.get_run(moved) if moved else found
    except MlflowException:
        raise TrackingError(f"there is no run {run_id} in {tracking_uri()}; `mlflow ui` or `asrx register --run latest` know the runs") from None


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


__all__ = ["Run", "connect", "find_run", "home", "latest_run", "run", "tracking_uri", "user_path"]
