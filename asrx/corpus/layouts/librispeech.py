"""LibriSpeech: a tree of speakers and chapters, each with its recordings and one `*.trans.txt`."""

import itertools
from collections.abc import Iterator
from pathlib import Path

from ..rows import Row
from .audio_files import AudioFinder
from .columns import role
from .lines import lines
from .source import Found, Layout, Request, folders

TRANSCRIPTS = ".trans.txt"
SPEAKERS = "SPEAKERS.TXT"
LOOKED_INTO = 300  # folders, before a tree is taken for something else
DEPTH = 6  # folders down to a chapter, from above the archive's own folder


def _find(request: Request) -> Found | None:
    if request.path.is_file():
        return _found(request, [request.path]) if request.path.name.endswith(TRANSCRIPTS) else None
    near = itertools.islice(folders(request.path, DEPTH), None if request.forced else LOOKED_INTO)
    if not any(name.endswith(TRANSCRIPTS) for _, names in near for name in names):
        return None
    return _found(request, [Path(folder, name) for folder, names in folders(request.path, DEPTH) for name in names if name.endswith(TRANSCRIPTS)])


def _found(request: Request, transcripts: list[Path]) -> Found | None:
    if not transcripts:
        return None
    speakers = next((path for place in _places(request.path) if (path := place / SPEAKERS).is_file()), None)
    chapters = tuple(dict.fromkeys(file.parent for file in transcripts))
    return Found("librispeech", (*transcripts, *chapters, *([speakers] if speakers else [])), lambda: _rows(request, transcripts, speakers))


def _places(path: Path) -> list[Path]:
    """Where the list of speakers may lie: it stands above train-clean-100, and in LibriSpeech/ of an archive."""
    return [path, path / "LibriSpeech", *list(path.absolute().parents)[:4]]


def _rows(request: Request, transcripts: list[Path], speakers: Path | None) -> Iterator[Row]:
    genders = _genders(speakers) if speakers else {}
    for file in transcripts:
        finder = AudioFinder(file.parent, None, below=(), suffixes=(".flac", ".wav", ".mp3", ".ogg", ".opus"))
        split = _split(file, request.path)
        for number, line in lines(file):
            name, _, text = line.partition(" ")
            speaker = name.partition("-")[0]
            slices = {"gender": genders[speaker]} if speaker in genders else {}
            problem = "" if text.strip() else f"{file.name}, line {number} has an id and no text"
            yield Row(name, finder.find(name), text, speaker, split, slices=slices, problem=problem)
        finder.warn_of_unused(str(file.parent))


def _split(file: Path, root: Path) -> str | None:
    """By the folder that is named for a split: train-clean-100, dev-other; the source itself may be that folder."""
    parts = file.parent.relative_to(root.parent if root.is_dir() else root.parents[-1]).parts
    return next((split for part in reversed(parts) if (split := role(part))), None)


def _genders(file: Path) -> dict[str, str]:
    """F or M by speaker, from `14 | F | train-clean-360 | 25.03 | Kristin LeMoine`."""
    fields = ([field.strip() for field in line.split("|")] for _, line in lines(file) if not line.startswith(";"))
    return {values[0]: values[1] for values in fields if len(values) > 2 and values[1]}


LIBRISPEECH = Layout("librispeech", f"folders of recordings, each with a *{TRANSCRIPTS} whose lines are an id and its text", _find)
