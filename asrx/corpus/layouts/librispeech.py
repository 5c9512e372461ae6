"""LibriSpeech: a tree of speakers and chapters, each with its recordings and one `*.trans.txt`."""

import itertools
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from ..rows import Row
from .audio_files import AudioFinder
from .columns import role
from .lines import lines
from .source import Found, Layout, Request, digest_of, folders, is_audio

TRANSCRIPTS = ".trans.txt"
SPEAKERS = "SPEAKERS.TXT"
LOOKED_INTO = 300  # folders, before a tree is taken for something else
LEVELS_ABOVE = 4  # from a chapter, or a part of the corpus, to the folder with the list of speakers
DEPTH = 8  # folders down to a chapter, from above the folders that an archive was unpacked in


def _find(request: Request) -> Found | None:
    if request.path.is_file():
        chapter = folders(request.path.parent, 0)
        return _found(request, chapter, request.path.name) if request.path.name.endswith(TRANSCRIPTS) else None
    near = itertools.islice(folders(request.path, DEPTH), None if request.forced else LOOKED_INTO)
    if not any(name.endswith(TRANSCRIPTS) for _, names in near for name in names):
        return None
    return _found(request, folders(request.path, DEPTH))


def _found(request: Request, listed: Iterable[tuple[str, list[str]]], ending: str = TRANSCRIPTS) -> Found:
    """What (folder, names) hold: transcripts with that ending of their names, and lists of speakers, of which one may stand above the source."""
    transcripts, speakers, recordings = [], [], []
    for folder, names in listed:
        transcripts += [Path(folder, name) for name in names if name.endswith(ending)]
        speakers += [Path(folder, name) for name in names if name == SPEAKERS]
        recordings.append((os.path.relpath(folder, request.path), [name for name in names if is_audio(name)]))
    above = [place / SPEAKERS for place in list(request.path.absolute().parents)[:LEVELS_ABOVE]]
    speakers += [file for file in above if file.is_file() and file not in speakers][:1]
    return Found("librispeech", (*transcripts, *speakers), lambda: _rows(request, transcripts, speakers), digest_of(recordings))


def _rows(request: Request, transcripts: list[Path], speakers: list[Path]) -> Iterator[Row]:
    genders = {speaker: gender for file in reversed(speakers) for speaker, gender in _genders(file).items()}
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
