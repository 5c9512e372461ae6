"""Writing that is never half done: beside the target, fsynced, renamed."""

import contextlib
import fcntl
import glob
import json
import logging
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

log = logging.getLogger("asrx")


def write_text(path: Path, text: str) -> None:
    """Replace `path` by `text` (UTF-8) at once."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial-{os.getpid()}")
    try:
        with partial.open("w", encoding="utf-8", newline="") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def write_json(path: Path, value: Any, indent: int | None = 2) -> None:
    """Replace `path` by `value` as JSON, readable by people."""
    write_text(path, json.dumps(value, indent=indent, ensure_ascii=False, default=str) + "\n")


def read_json(path: Path) -> Any:
    """The JSON in `path`, or None where there is none or it is damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


@contextlib.contextmanager
def folder_written_at_once(target: Path) -> Iterator[Path]:
    """A new folder to write in that becomes `target` at the end, replacing what is there; gone if anything raises."""
    partial = beside(target, f"partial-{os.getpid()}")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        yield partial
        sync(partial)
        replace_folder(partial, target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def replace_folder(new: Path, target: Path) -> None:
    """Put `new` in the place of `target`; what was there is deleted after."""
    old = beside(target, f"old-{os.getpid()}")
    if target.exists():
        os.rename(target, old)
    os.rename(new, target)
    shutil.rmtree(old, ignore_errors=True)


def beside(target: Path, kind: str) -> Path:
    """The hidden neighbour of `target` of a kind: lock, work, partial-PID, old-PID."""
    return target.with_name(f".{target.name}.{kind}")


def remove_remains(target: Path) -> None:
    """Delete what killed runs left beside `target`. Only under its lock: nobody else works on them."""
    for kind in ("partial", "old"):
        for remains in target.parent.glob(f".{glob.escape(target.name)}.{kind}-*"):
            shutil.rmtree(remains, ignore_errors=True)


def has_remains(target: Path) -> bool:
    """Whether anything is beside `target` that a run leaves when it is killed, or has while it works."""
    kinds = ("lock", "work", "partial-*", "old-*")
    return any(any(target.parent.glob(f".{glob.escape(target.name)}.{kind}")) for kind in kinds)


@contextlib.contextmanager
def locked(target: Path) -> Iterator[None]:
    """One process at a time works on `target`; the others wait. The lock file is gone at the end."""
    target.parent.mkdir(parents=True, exist_ok=True)
    lock = beside(target, "lock")
    file = _lock_file(lock)
    try:
        yield
    finally:
        lock.unlink(missing_ok=True)
        file.close()


def _lock_file(lock: Path) -> IO[str]:
    """The locked file that `lock` names now: whoever waited for one that its owner then deleted starts over."""
    while True:
        file = lock.open("w")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            log.info("waiting for another process that works on %s", lock.parent / lock.name[1 : -len(".lock")])
            fcntl.flock(file, fcntl.LOCK_EX)
        if lock.exists() and os.path.samestat(os.fstat(file.fileno()), lock.stat()):
            return file
        file.close()


def sync(folder: Path) -> None:
    """Bring every file below `folder` to the disk."""
    for path in folder.rglob("*"):
        if path.is_file():
            descriptor = os.open(path, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)


@contextlib.contextmanager
def held(folder: Path) -> Iterator[bool]:
    """Whether this process alone holds `folder` for the length of the block; never waits."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True
