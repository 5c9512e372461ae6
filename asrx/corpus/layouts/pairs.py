"""Recordings with a transcript of the same name: WebDataset and other tar shards, read without unpacking, and folders of such files.

key.flac is told by key.txt, key.transcript or a key.json with `text`; the JSON may hold speaker, gender and so on as a table may.
"""

import glob
import itertools
import json
import os
import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from ...errors import InputError
from ..rows import Inside, Row
from .archives import tar_entries
from .audio_files import warn_without_transcript
from .columns import SPEAKER_COLUMNS, TEXT_COLUMNS, Columns, as_text, detect, positive, role, seconds_of, slices_of
from .source import Found, Layout, Request, digest_of, folders, is_audio, visible

TEXTS = frozenset({"txt", "text", "transcript", "transcription", "lab"})
PEEKED = 1000  # members of a tar, before it is taken for an archive of something else
LOOKED_INTO = 300  # folders, before a tree is taken for something else
RANGE = re.compile(r"\{(?:(\d+)\.\.(\d+)|([^{}]*,[^{}]*))\}")
PATTERN = re.compile(r"[{*?\[]")
Entry = tuple[str, Path | Inside]  # a name, and where its content lies


@dataclass
class _Sample:
    """What was found under one key so far."""

    audio: Path | Inside | None = None
    texts: dict[str, Path | Inside] = field(default_factory=dict)  # by extension

    def add(self, extension: str, place: Path | Inside) -> None:
        if extension in TEXTS or extension == "json":
            self.texts[extension] = place
        else:
            self.audio = place


def split_name(name: str) -> tuple[str, str]:
    """Key and extension: the key ends at the first dot of the file name, and the last word says what the file is. é is one, however composed."""
    folder, _, base = (name if name.isascii() else unicodedata.normalize("NFC", name)).rpartition("/")
    key, _, extensions = base.partition(".")
    return (f"{folder}/{key}" if folder else key), extensions.rpartition(".")[2].lower()


def holds_pairs(archive: Path) -> bool:
    """Whether a tar is a shard: a recording and a transcript of one name are among its first members."""
    try:
        return _any_pair(name for name, _, _ in itertools.islice(tar_entries(archive), PEEKED))
    except InputError:
        return False


def _any_pair(names: Iterable[str]) -> bool:
    audio, texts = set(), set()
    for name in names:
        key, extension = split_name(name)
        if is_audio(name):
            audio.add(key)
        elif extension in TEXTS or extension == "json":
            texts.add(key)
    return not audio.isdisjoint(texts)


def _samples(entries: Iterable[Entry]) -> Iterator[tuple[str, _Sample]]:
    """Samples by key. The files of a key mostly follow each other; those that do not are kept until the rest comes."""
    waiting: dict[str, _Sample] = {}
    last = ""
    for name, place in entries:
        key, extension = split_name(name)
        if not is_audio(name) and extension not in TEXTS and extension != "json":
            continue
        if key != last and last in waiting and waiting[last].audio and waiting[last].texts:
            yield last, waiting.pop(last)
        waiting.setdefault(key, _Sample()).add(extension, place)
        last = key
    yield from waiting.items()


def rows_of(entries: Iterable[Entry], split: str | None, columns: Columns, where: str) -> Iterator[Row]:
    """Rows of the pairs in a tar or folder. A transcript without a recording is a row with a problem."""
    without, example = 0, ""
    for key, sample in _samples(entries):
        if sample.texts:
            yield _row(key, sample, split, columns)
        else:
            without, example = without + 1, key
    warn_without_transcript(where, without, example)


def _row(key: str, sample: _Sample, split: str | None, columns: Columns) -> Row:
    try:
        record = json.loads(_content(sample.texts["json"])) if "json" in sample.texts else {}
        record = record if isinstance(record, dict) else {}
        plain = next((_content(place) for extension, place in sample.texts.items() if extension != "json"), None)
        problem = "" if sample.audio else "the transcript has no recording of the same name"
    except (OSError, ValueError) as error:
        record, plain, problem = {}, "", f"its transcript cannot be read ({error})"
    name = columns.text or detect(list(record), TEXT_COLUMNS)
    speaker = detect(list(record), SPEAKER_COLUMNS)
    offset = seconds_of(record, "offset", key)
    return Row(
        id=key,
        audio=sample.audio or Path(),
        text=as_text(record.get(name) if plain is None else plain).rstrip("\r\n"),
        speaker=as_text(record.get(speaker)) if speaker else "",
        split=split,
        offset=offset or 0.0,
        seconds=positive(record.get("duration")) if offset is not None else None,
        slices=slices_of(record),
        promised=positive(record.get("duration")) if offset is None else None,
        problem=problem,
    )


def _content(place: Path | Inside) -> str:
    return (place.read_bytes() if isinstance(place, Path) else place.read()).decode("utf-8-sig")


def rows_of_tars(tars: Iterable[Path], columns: Columns) -> Iterator[Row]:
    """Rows of tar shards, split by the name of each, or of its folder: train-000000.tar, train/000000.tar."""
    for tar in tars:
        entries = ((name, Inside(str(tar), start, length)) for name, start, length in tar_entries(tar))
        yield from rows_of(entries, role(tar.stem) or role(tar.parent.name), columns, str(tar))


def _find_tars(request: Request) -> Found | None:
    path = request.path
    if PATTERN.search(path.name) and not path.exists():
        tars = expand(str(path))
    elif path.is_file():
        tars = [path] if path.name.lower().endswith(".tar") and (request.forced or holds_pairs(path)) else []
    else:
        tars = _tars_below(path)
        tars = tars if request.forced or any(holds_pairs(tar) for tar in tars[:3]) else []
    return Found("webdataset", tuple(tars), partial(rows_of_tars, tars, request.columns)) if tars else None


def _tars_below(folder: Path) -> list[Path]:
    """Shards in a folder, or in its folders of splits."""
    here = visible(folder)
    top = [file for file in here if file.suffix == ".tar" and file.is_file()]
    return top or [file for child in here[:50] if child.is_dir() and role(child.name) for file in visible(child) if file.suffix == ".tar"]


def expand(pattern: str) -> list[Path]:
    """The files that `shards/train-{0000..0003}.tar`, `{train,dev}.tar` or `train-*.tar` name. InputError for one that is not there."""
    match = RANGE.search(pattern)
    if match:
        first, last, words = match.groups()
        values = words.split(",") if words is not None else [f"{number:0{len(first)}d}" for number in range(int(first), int(last) + 1)]
        return [path for value in values for path in expand(pattern[: match.start()] + value + pattern[match.end() :])]
    if PATTERN.search(pattern):
        return [Path(path) for path in sorted(glob.glob(pattern))]
    if not Path(pattern).is_file():
        raise InputError(f"there is no file {pattern}, which the pattern of shards names")
    return [Path(pattern)]


def _find_folder(request: Request) -> Found | None:
    if not request.path.is_dir():
        return None
    near = itertools.islice(folders(request.path), None if request.forced else LOOKED_INTO)
    if not any(_any_pair(names) for _, names in near):
        return None
    return Found("pairs", (), lambda: _rows_of_folder(request), digest_of(_told(request.path)))


def _told(root: Path) -> Iterator[tuple[str, list[str]]]:
    """(folder, names of recordings, and of transcripts with their size and time) of all folders."""
    for folder, names in folders(root):
        yield os.path.relpath(folder, root), [name if is_audio(name) else _state(folder, name) for name in names if is_audio(name) or _is_text(name)]


def _is_text(name: str) -> bool:
    return name.rpartition(".")[2].lower() in (*TEXTS, "json")


def _state(folder: str, name: str) -> str:
    try:
        status = os.stat(os.path.join(folder, name))
        return f"{name} {status.st_size} {status.st_mtime_ns}"
    except OSError:
        return name


def _rows_of_folder(request: Request) -> Iterator[Row]:
    for folder, names in folders(request.path):
        below = os.path.relpath(folder, request.path)
        split = next((split for part in Path(below).parts if (split := role(part))), None)
        prefix = "" if below == "." else f"{below}/"
        yield from rows_of(((prefix + name, Path(folder, name)) for name in names), split, request.columns, folder)


WEBDATASET = Layout("webdataset", "a tar, a folder of tars or a pattern train-{0000..0003}.tar with key.flac beside key.txt or key.json", _find_tars)
PAIRS = Layout("pairs", "a folder in which each recording has a .txt, .lab or .json of the same name", _find_folder)
