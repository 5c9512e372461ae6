"""Recordings alone, anywhere below a folder: speech without transcripts, which pre-training learns from."""

import os
from collections.abc import Iterator
from pathlib import Path

from ..rows import Row
from .columns import role
from .source import Found, Layout, Request, digest_of, folders, is_audio


def _find(request: Request) -> Found | None:
    if not request.path.is_dir() or not any(names for _, names in _recordings(request.path)):
        return None
    listing = digest_of((os.path.relpath(folder, request.path), names) for folder, names in _recordings(request.path))
    return Found(RECORDINGS.name, (), lambda: _rows(request.path), listing)


def _recordings(root: Path) -> Iterator[tuple[str, list[str]]]:
    """(folder, names of its recordings) of all folders."""
    for folder, names in folders(root):
        yield folder, list(filter(is_audio, names))


def _rows(root: Path) -> Iterator[Row]:
    """Split by the name of a folder, if one says so: train/0001.flac."""
    for folder, names in _recordings(root):
        below = os.path.relpath(folder, root)
        split = next((split for part in Path(below).parts if (split := role(part))), None)
        for name in names:
            yield Row(id=os.path.normpath(os.path.join(below, os.path.splitext(name)[0])), audio=Path(folder, name), text="", split=split)


RECORDINGS = Layout("recordings", "a folder of recordings without transcripts, with data.transcripts=optional", _find)
