"""What a layout is asked, and what it finds: which files it would read, and the rows they give."""

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from ..rows import Row
from .columns import Columns

AUDIO_EXTENSIONS = frozenset({"wav", "flac", "mp3", "ogg", "oga", "opus", "sph", "m4a", "mp4", "aac", "webm", "weba", "mka", "wma", "aif", "aiff", "aifc",
                              "au", "snd", "caf", "amr", "3gp", "w64", "rf64"})  # fmt: skip
FIRST_BYTES = (b"fLaC", b"OggS", b"NIST_1A", b"ID3\2", b"ID3\3", b"ID3\4", b"\xff\xfb", b"\xff\xfa", b"\xff\xf3", b"\xff\xf2", b".snd", b"\x1aE\xdf\xa3")
PREPARED = ("corpus.json", "rejected.csv")  # both are in every corpus that `prepare` wrote
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
    untranscribed: bool = False  # recordings alone are a source, too
    every_column: bool = False  # all columns of a table become slices, not only what it says of speaker and material


@dataclass(frozen=True)
class Found:
    """What a source was recognised as."""

    layout: str
    inputs: tuple[Path, ...]  # tables, manifests and archives, whose size or time changes with the rows
    rows: Callable[[], Iterator[Row]]  # streams them in an order that is always the same; ids may repeat
    listing: str = ""  # digest of the names of recordings (and of the states of their transcripts) where folders decide about the rows


@dataclass(frozen=True)
class Layout:
    """One way in which recordings and transcripts lie on disk."""

    name: str
    expects: str  # what its source looks like, for a message
    find: Callable[[Request], Found | None]  # None: the source is not laid out like this


@lru_cache(maxsize=512)
def visible(folder: Path) -> tuple[Path, ...]:
    """Folders and files in `folder`, sorted by name, but for recordings, which may be many, hidden files, what macOS adds to archives,
    and corpora that were prepared in there.

    Remembered while one source is recognised, because every layout asks; whoever begins with another source forgets it (`cache_clear`).
    """
    try:
        entries = [entry for entry in os.scandir(folder) if not hidden(entry.name) and not is_audio(entry.name)]
        return tuple(sorted(folder / entry.name for entry in entries if not (entry.is_dir() and _is_prepared(entry.path))))
    except OSError:
        return ()


def _is_prepared(folder: str) -> bool:
    return all(os.path.isfile(os.path.join(folder, name)) for name in PREPARED)


def is_recording(file: Path) -> bool:
    """Whether a file is a recording, by its name or its first bytes."""
    try:
        with file.open("rb") as stream:
            first = stream.read(12)
    except OSError:
        return False
    in_chunks = (first[:4], first[8:]) in ((b"RIFF", b"WAVE"), (b"RF64", b"WAVE"), (b"FORM", b"AIFF"), (b"FORM", b"AIFC"))
    return is_audio(file.name) or in_chunks or first.startswith(FIRST_BYTES) or first[4:8] == b"ftyp"


def is_audio(name: str) -> bool:
    """Whether a file is named like a recording."""
    return name.rpartition(".")[2].lower() in AUDIO_EXTENSIONS and not hidden(os.path.basename(name))


def hidden(name: str) -> bool:
    """Whether a file or folder of this name is nobody's recording: `.DS_Store`, `._a.wav`, `__MACOSX`."""
    return (name.startswith(".") and name not in (".", "..")) or name == "__MACOSX"


def folders(root: Path, depth: int = 12) -> Iterator[tuple[str, list[str]]]:
    """Every folder from `root` down to `depth` levels, as (path, sorted file names), in an order that is always the same.

    Corpora that were prepared somewhere below are no part of their source.
    """
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
        if level and set(PREPARED) <= set(names):
            continue
        if level < depth:
            pending += [(os.path.join(folder, name), level + 1) for name in sorted(below, reverse=True)]
        yield folder, sorted(names)


def digest_of(listed: Iterable[tuple[str, Iterable[str]]]) -> str:
    """Digest of (folder, names), in their order."""
    digest = hashlib.blake2b(digest_size=16)
    for folder, names in listed:
        digest.update("\0".join((folder, *names, "", "")).encode(errors="surrogateescape"))
    return digest.hexdigest()


def names_in(folder: Path) -> str:
    """The first names in a folder, for a message."""
    names = sorted(name for name in os.listdir(folder) if not hidden(name))
    more = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
    return ", ".join(names[:NAMES_SHOWN]) + more if names else "nothing"
