"""Checkpoint folders, and whether they are whole."""

import json
import logging
import shutil
from pathlib import Path

from ..files import read_json, sync, write_text

log = logging.getLogger("asrx")

COMPLETE = "complete"  # the last file of a checkpoint, with the sizes of the others; without it the checkpoint is half-written


def mark_complete(checkpoint: Path) -> None:
    """Bring a checkpoint to the disk, then write the mark that it is whole."""
    sync(checkpoint)
    sizes = {str(path.relative_to(checkpoint)): path.stat().st_size for path in contents(checkpoint)}
    write_text(checkpoint / COMPLETE, json.dumps({"files": sizes}))


def contents(checkpoint: Path) -> list[Path]:
    """All files of a checkpoint but its mark."""
    return sorted(path for path in checkpoint.rglob("*") if path.is_file() and path != checkpoint / COMPLETE)


def is_whole(checkpoint: Path) -> bool:
    """Whether a checkpoint has its mark and every file of the size that the mark tells."""
    mark = read_json(checkpoint / COMPLETE)
    if not isinstance(mark, dict):
        return False
    return all((checkpoint / name).is_file() and (checkpoint / name).stat().st_size == size for name, size in mark.get("files", {}).items())


def last_checkpoint(folder: Path) -> Path | None:
    """The newest whole checkpoint."""
    return max(filter(is_whole, folder.glob("checkpoint-*")), key=step_of, default=None)


def remove_half_written(folder: Path) -> None:
    """Checkpoints that a killed process left unfinished, or whose files were cut short."""
    for path in folder.glob("checkpoint-*"):
        if not is_whole(path):
            log.warning("checkpoint %s was not finished, or is damaged, and is removed", path.name)
            shutil.rmtree(path, ignore_errors=True)


def step_of(checkpoint: Path) -> int:
    """The step in a folder's name."""
    return int(checkpoint.name.rpartition("-")[2])
