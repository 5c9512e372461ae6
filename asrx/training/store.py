"""Checkpoints in a run's artifacts, from which another machine goes on.

    checkpoints/checkpoint-N/         what Trainer saved after step N
    checkpoints/state-N/              the small files of the run's folder at that time, config.yaml and log.json among them
    checkpoints/model-best-1f3a9c02/  a folder of the run's folder, here the best model, as it was at that time or before

The last file of each to arrive is its mark, so that one that is half-uploaded is recognised.
"""

import hashlib
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..files import beside, read_json, replace_folder, write_json
from .checkpoints import COMPLETE, contents, is_whole, mark_complete, step_of

log = logging.getLogger("asrx")

PLACE = "checkpoints"  # folder of the artifacts, and of the run's folder
CHECKPOINT, STATE = "checkpoint", "state"
FOLDERS = "folders.json"  # of a state: folder of the run's folder → name of what it held
UPLOADS = "uploads"  # folder of the run's folder: snapshots on their way
KEPT = 2  # checkpoints in the artifacts
SMALL = 64 * 2**20  # bytes; larger files beside the folders are no state


def snapshot(run_folder: Path, checkpoint: Path) -> Path:
    """A whole checkpoint with all else that a resumed run may read, linked to where nothing is deleted or replaced."""
    step = step_of(checkpoint)
    target = run_folder / UPLOADS / str(step)
    partial = beside(target, "partial")
    for old in (partial, target):
        shutil.rmtree(old, ignore_errors=True)
    _link(contents(checkpoint), partial / checkpoint.name)
    folders = {}
    for folder, files in _model_folders(run_folder):
        folders[str(folder.relative_to(run_folder))] = name = f"model-{folder.name}-{_fingerprint(files)}"
        _link(files, partial / name)
    state = partial / f"{STATE}-{step}"
    _link([path for path in _visible_files(run_folder) if path.stat().st_size <= SMALL], state)
    write_json(state / FOLDERS, folders)
    for part in partial.iterdir():
        mark_complete(part)
    os.rename(partial, target)
    return target


def _model_folders(run_folder: Path) -> Iterator[tuple[Path, list[Path]]]:
    """Folders that hold files, each with them, but for the checkpoints."""
    for folder in sorted(path for path in run_folder.rglob("*") if path.is_dir()):
        parts = folder.relative_to(run_folder).parts
        if parts[0] not in (PLACE, UPLOADS) and not any(part.startswith(".") for part in parts) and (files := _visible_files(folder)):
            yield folder, files


def _visible_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))


def _fingerprint(files: list[Path]) -> str:
    """Tells one version of a folder from another: its files are never written twice."""
    known = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    return hashlib.sha256(str(known).encode()).hexdigest()[:8]


def _link(paths: list[Path], target: Path) -> None:
    target.mkdir(parents=True)
    for path in paths:
        try:
            os.link(path, target / path.name)
        except OSError:  # a file system without hard links
            shutil.copy2(path, target / path.name)


def waiting(run_folder: Path) -> Path | None:
    """The newest snapshot that was not uploaded to its end."""
    return max((run_folder / UPLOADS).glob("[0-9]*"), key=lambda path: int(path.name), default=None)


def upload(client: Any, run_id: str, taken: Path) -> None:
    """A snapshot to the run's artifacts, unless a newer one is there. Raises what MLflow raises."""
    there = _whole(client, run_id)
    if int(taken.name) <= max(_steps(there), default=-1):
        return
    last = [f"{STATE}-{taken.name}", f"{CHECKPOINT}-{taken.name}"]
    for part in sorted(taken.iterdir(), key=lambda path: (last.index(path.name) if path.name in last else -1, path.name)):
        if part.name not in there:
            for path in (*contents(part), part / COMPLETE):
                client.log_artifact(run_id, str(path), f"{PLACE}/{part.name}")


def delete_old(client: Any, run_id: str) -> bool:
    """All but the last KEPT checkpoints away, with what belongs to them alone; False, with a warning, where the store does not delete."""
    try:
        _delete_old(client, run_id)
    except Exception as error:  # whatever the client of the artifact store raises: the checkpoint is there, and more of them only take room
        log.warning("older checkpoints stay in the artifacts: the store does not delete (%s)", " ".join(str(error).split())[:160])
        return False
    return True


def _delete_old(client: Any, run_id: str) -> None:
    kept = _steps(_whole(client, run_id))[:KEPT]
    needed = {f"{kind}-{step}" for kind in (CHECKPOINT, STATE) for step in kept}
    with tempfile.TemporaryDirectory() as temporary:
        for step in kept:
            needed.update(read_json(Path(client.download_artifacts(run_id, f"{PLACE}/{STATE}-{step}/{FOLDERS}", temporary))).values())
    old = [name for name in _names(client, run_id) if name not in needed]
    if old:
        from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

        repository = get_artifact_repository(client.get_run(run_id).info.artifact_uri)
        for name in old:
            repository.delete_artifacts(f"{PLACE}/{name}")


def _whole(client: Any, run_id: str) -> set[str]:
    """Names of the whole folders among the run's checkpoints."""
    return {name for name in _names(client, run_id) if f"{PLACE}/{name}/{COMPLETE}" in _paths(client, run_id, f"{PLACE}/{name}")}


def _names(client: Any, run_id: str) -> set[str]:
    return {path.rpartition("/")[2] for path in _paths(client, run_id, PLACE)}


def _paths(client: Any, run_id: str, folder: str) -> set[str]:
    return {item.path for item in client.list_artifacts(run_id, folder)}


def _steps(names: set[str]) -> list[int]:
    """The steps of the checkpoints that have their state, newest first."""
    found = (int(name.partition("-")[2]) for name in names if name.startswith(f"{CHECKPOINT}-"))
    return sorted((step for step in found if f"{STATE}-{step}" in names), reverse=True)


def newest(client: Any, run_id: str) -> int:
    """The step of the newest whole checkpoint in the artifacts; -1 if there is none."""
    return max(_steps(_whole(client, run_id)), default=-1)


def fetch(client: Any, run_id: str, run_folder: Path, after: int) -> bool:
    """Bring the newest whole checkpoint later than step `after`, with its state, from the artifacts; whether there was one.

    The checkpoint is put in its place last: a fetch that is killed is begun anew.
    """
    for step in _steps(_whole(client, run_id)):
        if step > after:
            log.info("fetching checkpoint-%d of run %s", step, run_id)
            if _fetch_step(client, run_id, run_folder, step):
                return True
            log.warning("checkpoint-%d in the artifacts of run %s is damaged", step, run_id)
    return False


def _fetch_step(client: Any, run_id: str, run_folder: Path, step: int) -> bool:
    partial = beside(run_folder, "partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)

    def part(name: str) -> Path:
        return Path(client.download_artifacts(run_id, f"{PLACE}/{name}", str(partial)))

    try:
        state, checkpoint = part(f"{STATE}-{step}"), part(f"{CHECKPOINT}-{step}")
        folders = {folder: part(name) for folder, name in (read_json(state / FOLDERS) or {}).items()}
        if not all(map(is_whole, (state, checkpoint, *folders.values()))):
            return False
        _put_in_place(run_folder, checkpoint, state, folders)
        return True
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _put_in_place(run_folder: Path, checkpoint: Path, state: Path, folders: dict[str, Path]) -> None:
    run_folder.mkdir(parents=True, exist_ok=True)
    for path in contents(state):
        if path.name != FOLDERS:
            os.replace(path, run_folder / path.name)
    for folder, content in folders.items():
        target = (run_folder / folder).resolve()
        if run_folder.resolve() in target.parents:
            (content / COMPLETE).unlink()
            _replace(content, target)
    _replace(checkpoint, run_folder / PLACE / checkpoint.name)


def _replace(new: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    replace_folder(new, target)
