"""What a layout is asked, and what it finds: which files it would read, and the rows they give."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from ..rows import Row
from .columns import Columns

AUDIO_EXTENSIONS = frozenset({"wav", "flac", "mp3", "ogg", "oga", "opus", "sph", "m4a", "mp4", "aac", "webm", "weba", "mka", "wma", "aif", "aiff", "aifc",
                              "au", "snd", "caf", "amr", "3gp", "w64", "rf64"})  # fmt: skip
NAMES_SHOWN = 8  # of a folder, in a message


@dataclass(frozen=True)
class Request:
    """A source that is there, as the user gave it."""

    path: Path
    audio_dir: Path | None = None
    columns: Columns = Columns()
    siblings: bool = True  # whether a training table brings its validation table along
    unpacked: Path | None = None  # where archives may be unpacked; None: the system's folder for temporary files
    forced: bool = False  # the user named the layout


@dataclass(frozen=True)
class Found:
    """What a source was recognised as."""

    layout: str
    inputs: tuple[Path, ...]  # tables, manifests, archives and listed folders whose size or time changes with the rows
    rows: Callable[[], Iterator[Row]]  # streams them in an order that is always the same; ids may repeat


@dataclass(frozen=True)
class Layout:
    """One way in which recordings and transcripts lie on disk."""

    name: str
    expects: str  # what its source looks like, for a message
    find: Callable[[Request], Found | None]  # None: the source is not laid out like this


@lru_cache(maxsize=512)
def visible(folder: Path) -> tuple[Path, ...]:
    """Folders and files in `folder`, sorted by name, but for recordings, which may be many, hidden files, and what macOS adds to archives.

    Remembered while one source is recognised, because every layout asks; whoever begins with another source forgets it (`cache_clear`).
    """
    try:
        return tuple(sorted(folder / name for name in os.listdir(folder) if not hidden(name) and not is_audio(name)))
    except OSError:
        return ()


def is_audio(name: str) -> bool:
    """Whether a file is named like a recording."""
    return name.rpartition(".")[2].lower() in AUDIO_EXTENSIONS and not hidden(os.path.basename(name))


def hidden(name: str) -> bool:
    """Whether a file or folder of this name is nobody's recording: `.DS_Store`, `._a.wav`, `__MACOSX`."""
    return (name.startswith(".") and name not in (".", "..")) or name == "__MACOSX"


def folders(root: Path, depth: int = 12) -> Iterator[tuple[str, list[str]]]:
    """Every folder from `root` down to `depth` levels, as (path, sorted file names), in an order that is always the same."""
    pending = [(str(root), 0)]
    while pending:
        folder, level = pending.pop()
        below, names = [], []
        try:
            for entry in os.scandir(folder):
                if not hidden(entry.name):
                    (below if entry.is_dir() else names).append(entry.name)
        except OSError:
            continue
        if level < depth:
            pending += [(os.path.join(folder, name), level + 1) for name in sorted(below, reverse=True)]
        yield folder, sorted(names)


def names_in(folder: Path) -> str:
    """The first names in a folder, for a message."""
    names = sorted(name for name in os.listdir(folder) if not hidden(name))
    more = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
    return ", ".join(names[:NAMES_SHOWN]) + more if names else "nothing"
