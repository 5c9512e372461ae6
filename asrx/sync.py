"""Sync: what a tracking server has not heard of the runs on this machine, told now."""

import logging
import shutil
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from . import tracking
from .delivery import Unsaid, deliver, end, journals, steps_of
from .errors import InputError, TrackingError
from .files import held
from .journal import Points, undelivered
from .training import store
from .training.processes import PROCESSES, going_on

log = logging.getLogger("asrx")


@dataclass(frozen=True)
class Delivered:
    """What was told of a run."""

    run_id: str
    points: int = 0  # of metrics
    artifacts: int = 0
    checkpoint: int | None = None  # step of the checkpoint that was uploaded
    outcome: str | None = None  # that the server had not heard of
    way_on: str | None = None  # command that goes on with the run, where it is not finished
    left_alone: str | None = None  # why nothing was told


def sync(run_id: str | None = None) -> list[Delivered]:
    """Tell MLflow what is left of `run_id`, or of every run of ASRX_HOME that it has not heard everything of.

    Raises TrackingError if the server is down: nothing is lost, and what was told before is not told again.
    """
    client = tracking.connect()
    if run_id and not (journals() / f"{run_id}.jsonl").exists():
        raise InputError(f"run {run_id} was not recorded on this machine: there is no journal of it in {journals()}")
    waiting = [run_id] if run_id else [name for name in _recorded() if _has_more_to_say(name)]
    try:
        return [_tell(client, name) for name in waiting]
    except TrackingError:
        raise
    except Exception as error:  # whatever the client raises when a server goes away
        if not tracking.server_is_gone():
            raise
        raise TrackingError(f"the tracking server {tracking.tracking_uri()} went away; what it has not heard is kept: asrx sync again") from error


def _recorded() -> list[str]:
    return sorted(path.stem for path in journals().glob("*.jsonl"))


def _has_more_to_say(run_id: str) -> bool:
    return undelivered(journals(), run_id) > 0 or Unsaid.of(run_id) != Unsaid() or store.waiting(_folder(run_id)) is not None


def _folder(run_id: str) -> Path:
    return tracking.home() / "runs" / run_id


def _tell(client: Any, run_id: str) -> Delivered:
    from mlflow.exceptions import MlflowException, RestException

    with held(_folder(run_id)) as free:
        if not free:
            return Delivered(run_id, left_alone="another process works on it and tells MLflow itself")
        try:
            run = client.get_run(run_id)
        except (MlflowException, RestException) as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return Delivered(run_id, left_alone=f"it is not in {tracking.tracking_uri()}")
        if run.info.lifecycle_stage == "deleted":
            return Delivered(run_id, left_alone="it was deleted")
        return _tell_all(client, run)


def _tell_all(client: Any, run: Any) -> Delivered:
    run_id = run.info.run_id
    points = Points(journals(), run_id, partial(steps_of, client))
    try:
        sent = points.send(partial(deliver, client))
    finally:
        points.close()
    unsaid = Unsaid.of(run_id)
    files = [path for name in unsaid.artifacts if (path := _folder(run_id) / name).is_file()]
    for path in files:
        client.log_artifact(run_id, str(path))
    step = _tell_checkpoint(client, run_id)
    outcome = unsaid.tags.get(tracking.OUTCOME) if unsaid.session == run.data.tags.get(tracking.SESSION) else None
    if outcome or tracking.OUTCOME not in unsaid.tags:
        end(client, run_id, unsaid.tags, unsaid.status)
    Unsaid().keep(run_id)
    tags = client.get_run(run_id).data.tags
    unfinished = tags.get(tracking.KIND) in tracking.RESUMABLE and tags.get(tracking.OUTCOME) != "finished"
    way_on = going_on(tags[tracking.KIND], run_id, int(tags.get(PROCESSES, 1))) if unfinished else None
    return Delivered(run_id, sent, len(files), step, outcome, way_on)


def _tell_checkpoint(client: Any, run_id: str) -> int | None:
    """The step of the checkpoint that waited, uploaded now."""
    taken = store.waiting(_folder(run_id))
    if not taken:
        return None
    log.info("uploading checkpoint-%s of run %s", taken.name, run_id)
    store.upload(client, run_id, taken)
    store.delete_old(client, run_id)
    shutil.rmtree(taken.parent)
    return int(taken.name)
