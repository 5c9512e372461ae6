"""The run that `mlflow run` makes for a command, and the run of asrx that takes its place; the experiment that runs belong to."""

import logging
import os
from pathlib import Path
from typing import Any

from .errors import TrackingError
from .stores import home, tracking_uri

log = logging.getLogger("asrx")

OUTCOME, KIND, MOVED = "asrx.outcome", "asrx.kind", "asrx.moved_to"  # tags of a run
NOTE = "mlflow.note.content"  # its description
EXPERIMENT = "asrx"
EXPERIMENT_TAGS = {  # the first makes MLflow's pages those of model training, not of language-model applications
    "mlflow.experimentKind": "custom_model_development",
    NOTE: "Speech recognisers: prepare, train, evaluate, register, compare.",
}
DEFAULT_EXPERIMENT_ID = "0"
WRAPPER = "MLFLOW_RUN_ID"  # environment variable: the run that `mlflow run` made


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


def start(client: Any, kind: str, name: str, parent: str | None = None) -> str:
    """The id of a new run, or of the one that `mlflow run` made for this process."""
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
        client.set_tag(wrapper.info.run_id, NOTE, f"Superfluous: goes on as run {run_id} in experiment '{EXPERIMENT}'.")
        log.info("this run goes on as %s in experiment '%s'", run_id, EXPERIMENT)


def nothing_to_do(client: Any, kind: str, text: str) -> None:
    """Say on the run that `mlflow run` made, if there is one, why it is empty."""
    wrapper = wrapper_run(client)
    if wrapper:
        for key, value in ((KIND, kind), (OUTCOME, "finished"), (NOTE, text)):
            client.set_tag(wrapper.info.run_id, key, value)


def delete_retired(client: Any) -> None:
    """Wrapper runs that earlier commands left behind and that `mlflow run` has ended."""
    for wrapper in client.search_runs([DEFAULT_EXPERIMENT_ID], f"tags.`{MOVED}` LIKE '%' and attributes.status != 'RUNNING'"):
        client.delete_run(wrapper.info.run_id)
