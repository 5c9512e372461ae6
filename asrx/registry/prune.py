"""Prune: disk space back from runs that no registered version and no decision refers to, and from what trainings compute again when they need it."""

import logging
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import tracking
from ..delivery import Unsaid, journals
from ..files import beside, held, locked
from ..journal import undelivered
from ..ledger import Ledger
from ..packaging import MODEL_URI
from ..training.store import PLACE, UPLOADS
from .versions import SOURCE_RUN

log = logging.getLogger("asrx")

DAY = 86_400  # s
CHECKPOINTS = (PLACE, UPLOADS, "best_steps")  # folders of a run's folder: what only a training that goes on needs
CACHES = ("features", "sounds")  # folders of ASRX_HOME; each folder in them was last used when it was last touched
FAILED = ("failed", "interrupted")  # outcomes of trainings that are deleted as a whole
PARENT = "mlflow.parentRunId"


@dataclass(frozen=True)
class Pruned:
    """What was deleted, or would be."""

    run_id: str  # empty for a cache
    what: str  # checkpoints, or run: all of it; features or sounds: a cache
    outcome: str  # of the run
    days: int  # since the run ended, or the cache was used
    bytes: int  # here and in the run's artifacts
    folder: str


def prune(days: float = 30, dry_run: bool = False) -> list[Pruned]:
    """Delete the checkpoints of runs of this machine that ended `days` ago or earlier, and trainings that failed then; tell what it was.

    So go features and decoded noises that no training has opened for as long, at least a day: the next one computes them again.
    Checkpoints in the runs' artifacts go, too. A training that failed is deleted in MLflow as its pages do it: `mlflow gc` makes that final.
    Never touched: what a version of a registered model or a decision refers to, runs that a process works on, runs that MLflow has not heard
    everything of, and models.
    """
    client = tracking.connect()
    kept = _referred_to(client)
    runs = [item for folder in _folders("runs") if folder.name not in kept and (item := _pruned(client, folder, days, dry_run))]
    return runs + [item for kind in CACHES for folder in _folders(kind) if (item := _pruned_cache(folder, max(days, 1), dry_run))]


def _folders(kind: str) -> list[Path]:
    parent = tracking.home() / kind
    return sorted(path for path in parent.iterdir() if path.is_dir() and not path.name.startswith(".")) if parent.is_dir() else []


def _pruned_cache(folder: Path, days: float, dry_run: bool) -> Pruned | None:
    with locked(folder):
        age = time.time() - folder.stat().st_mtime if folder.exists() else 0.0
        if age < days * DAY:
            return None
        size = _size(folder)
        if not dry_run:
            gone = folder.rename(beside(folder, f"old-{os.getpid()}"))  # half of a cache must not be found by a training
            shutil.rmtree(gone)
        return Pruned("", folder.parent.name, "", int(age / DAY), size, str(folder))


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _pruned(client: Any, folder: Path, days: float, dry_run: bool) -> Pruned | None:
    run = _run(client, folder.name)
    if run is None or undelivered(journals(), folder.name) or Unsaid.of(folder.name) != Unsaid():
        return None
    with held(folder) as free:
        age = time.time() - _ended(run, folder)
        if not free or age < days * DAY:
            return None
        outcome = run.data.tags.get(tracking.OUTCOME, "unknown")
        failed = outcome in FAILED and run.data.tags.get(tracking.KIND) in tracking.RESUMABLE and MODEL_URI not in run.data.tags
        whole = failed or run.info.lifecycle_stage == "deleted"
        parts = [folder] if whole else [folder / name for name in CHECKPOINTS]
        size = sum(map(_size, parts))
        uploaded = 0 if whole else _uploaded(client, folder.name)
        if not whole and not uploaded and not any(part.exists() for part in parts):
            return None
        if not dry_run:
            _delete(client, run, parts, whole, uploaded > 0)
        return Pruned(folder.name, "run" if whole else "checkpoints", outcome, int(age / DAY), size + uploaded, str(folder))


def _ended(run: Any, folder: Path) -> float:
    """Seconds since the epoch; of a run that was killed when it last wrote something."""
    return run.info.end_time / 1000 if run.info.end_time else max(path.stat().st_mtime for path in (folder, *folder.rglob("*")))


def _uploaded(client: Any, run_id: str, folder: str = PLACE) -> int:
    """Bytes of the checkpoints in a run's artifacts."""
    return sum(_uploaded(client, run_id, item.path) if item.is_dir else item.file_size or 0 for item in client.list_artifacts(run_id, folder))


def _delete(client: Any, run: Any, parts: list[Path], whole: bool, uploaded: bool) -> None:
    if whole and run.info.lifecycle_stage != "deleted":
        client.delete_run(run.info.run_id)
    if uploaded:
        _delete_uploaded(run)
    for part in parts:
        shutil.rmtree(part, ignore_errors=True)


def _delete_uploaded(run: Any) -> None:
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    try:
        get_artifact_repository(run.info.artifact_uri).delete_artifacts(PLACE)
    except Exception as error:  # whatever the client of the artifact store raises; the next prune tries again
        log.warning("the checkpoints in the artifacts of run %s stay: %s", run.info.run_id, " ".join(str(error).split())[:160])


def _run(client: Any, run_id: str) -> Any | None:
    """None for a run that this tracking store does not know: it may be another one's."""
    from mlflow.exceptions import MlflowException

    try:
        return client.get_run(run_id)
    except MlflowException:
        return None


def _referred_to(client: Any) -> set[str]:
    """Runs that a version or a decision refers to, and the runs that these are part of."""
    ledger = Ledger.existing()
    found = {run_id for version in _pages(client.search_model_versions) for run_id in _of_version(client, version)}
    found |= ledger.run_ids() if ledger else set()
    runs = [run for run_id in found if (run := _run(client, run_id))]
    return found | {run.data.tags[PARENT] for run in runs if PARENT in run.data.tags}


def _of_version(client: Any, version: Any) -> Iterator[str]:
    from mlflow.exceptions import MlflowException

    yield from filter(None, (version.run_id, version.tags.get(SOURCE_RUN)))
    if version.source.startswith("models:/m-"):
        try:
            yield client.get_logged_model(version.source.removeprefix("models:/")).source_run_id
        except MlflowException:
            log.warning("the model of version %s of %s is gone", version.version, version.name)


def _pages(search: Any) -> Iterator[Any]:
    token = None
    while True:
        page = search(page_token=token)
        yield from page
        token = page.token
        if not token:
            return
