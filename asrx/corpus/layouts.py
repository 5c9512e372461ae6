"""Readers: every layout of recordings with transcripts that users have, as one list of rows."""

import csv
import io
import json
import logging
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from ..errors import ConfigError, InputError, nearest

log = logging.getLogger("asrx")

AUDIO_COLUMNS = ("audio", "path", "filename", "file_name", "file", "audio_filepath", "audio_path", "filepath", "file_path",
                 "wav_filename", "wav", "audio_file", "clip", "recording")  # fmt: skip
TEXT_COLUMNS = ("text", "sentence", "transcript", "transcription", "raw_text", "normalized_text", "label", "reference", "words")
SPEAKER_COLUMNS = ("client_id", "speaker", "speaker_id", "spk_id", "spk", "user_id")
SLICE_COLUMNS = ("accent", "accents", "gender", "age", "locale", "variant", "dialect", "domain")
SPLIT_WORDS = {"train": "train", "dev": "validation", "val": "validation", "valid": "validation", "validation": "validation", "test": "test"}
TABLES = (".csv", ".tsv", ".txt")
MANIFESTS = (".json", ".jsonl")
AUDIO_SUFFIXES = ("", ".mp3", ".wav", ".flac")  # tried in turn behind a name; Common Voice leaves .mp3 out
LAYOUTS = ("table", "common_voice_v1", "common_voice", "nemo", "hub")


@dataclass(frozen=True)
class Row:
    """One utterance of a source, before its audio is looked at."""

    id: str
    audio: Path | Callable[[], bytes]
    text: str
    speaker: str = ""
    split: str | None = None  # the source's own: train, validation or test
    offset: float = 0.0  # s into the audio file
    seconds: float | None = None  # of the span from offset; None: to the end
    slices: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Columns:
    """Names of the columns, where the user gave them."""

    audio: str | None = None
    text: str | None = None


def read(
    source: str,
    audio_dir: Path | None = None,
    layout: str | None = None,
    columns: Columns = Columns(),
    siblings: bool = True,
) -> list[Row]:
    """Rows of a table, manifest, folder or hub data set, in their order, with unique ids.

    A folder, or with `siblings` a file that is named for the training split, brings the source's own splits along; without
    `siblings` the held-out one is taken of a source with several.
    Raises InputError for what is missing, empty or has no such column; ConfigError for an unknown layout.
    """
    if layout and layout not in LAYOUTS:
        raise ConfigError(f"there is no layout '{layout}'{nearest(layout, LAYOUTS)}; layouts: {', '.join(LAYOUTS)}")
    path = Path(source).expanduser()
    if not path.exists():
        if layout == "hub" or (layout is None and _may_be_hub_id(path, source)):
            from . import hub

            rows = hub.rows(source, columns)
            return _with_unique_ids(rows if siblings else _held_out(rows, source))
        raise InputError(f"there is no file or folder {source}")
    files = _files(path, siblings)
    rows = [row for file, split in files for row in _read_file(file, split, audio_dir, layout, columns)]
    if not rows:
        raise InputError(f"{source} holds no utterances (only a header, or nothing at all)")
    return _with_unique_ids(rows if siblings else _held_out(rows, source))


def role(name: str) -> str | None:
    """The split that a file or hub split is named for: `cv-valid-train` → train, `dev` → validation; None if for none."""
    words = [word for word in re.split(r"[-_. ]", name.lower()) if word in SPLIT_WORDS]
    return SPLIT_WORDS[words[-1]] if words else None


def _may_be_hub_id(path: Path, source: str) -> bool:
    is_id = re.fullmatch(r"[\w.-]+/[\w.-]+", source) and path.suffix.lower() not in (*TABLES, *MANIFESTS)
    return bool(is_id) and not path.parent.exists()


def _held_out(rows: list[Row], source: str) -> list[Row]:
    """Of a source with splits of its own, what was not meant for training: test, else validation."""
    if not any(row.split for row in rows):
        return rows
    chosen = next((split for split in ("test", "validation") if any(row.split == split for row in rows)), None)
    if chosen is None:
        raise InputError(f"{source} holds training utterances only; name a held-out table")
    log.info("%s: its %s split is the held-out set", source, chosen)
    return [row for row in rows if row.split == chosen]


def _files(path: Path, siblings: bool) -> list[tuple[Path, str | None]]:
    if path.is_dir():
        return _files_of_folder(path)
    if siblings and role(path.stem) == "train":
        partners = [other for other in _partners(path) if role(other.stem) == "validation"]
        if partners:
            return [(path, "train"), (partners[0], "validation")]
    return [(path, None)]


def _partners(path: Path) -> list[Path]:
    """Files named like `path` but for the split: cv-valid-dev.csv beside cv-valid-train.csv."""
    others = (other for other in path.parent.iterdir() if other.suffix == path.suffix and other != path)
    return sorted(other for other in others if _without_role(other.stem) == _without_role(path.stem))


def _without_role(stem: str) -> list[str]:
    """The words of a file name, with a gap for the last one that names a split."""
    words = re.split(r"([-_. ])", stem.lower())
    last = max((index for index, word in enumerate(words) if word in SPLIT_WORDS), default=None)
    return ["" if index == last else word for index, word in enumerate(words)]


def _files_of_folder(folder: Path) -> list[tuple[Path, str | None]]:
    tables = sorted(file for file in folder.iterdir() if file.suffix.lower() in (*TABLES[:2], *MANIFESTS) and file.is_file())
    split_files = [(file, role(file.stem)) for file in tables if role(file.stem)]
    if (folder / "clips").is_dir() or (folder / "validated.tsv").is_file():
        split_files = [(file, split) for file, split in split_files if file.stem in ("train", "dev", "validation", "test")]
        if not split_files and (folder / "validated.tsv").is_file():
            return [(folder / "validated.tsv", None)]
    valid = [(file, split) for file, split in split_files if file.stem.startswith("cv-valid-")]
    chosen = valid or split_files
    if any(split == "train" for _, split in chosen):
        return chosen
    if len(tables) == 1:
        return [(tables[0], None)]
    found = ", ".join(file.name for file in tables) or "none"
    raise InputError(f"{folder}: cannot tell which table to read (found: {found}); give the file itself as the source")


def _read_file(file: Path, split: str | None, audio_dir: Path | None, layout: str | None, columns: Columns) -> Iterator[Row]:
    if layout == "nemo" or (layout is None and file.suffix.lower() in MANIFESTS):
        records = _manifest_records(file)
    else:
        records = _table_records(file)
    first = next(records, None)
    if first is None:
        raise InputError(f"{file} holds no utterances (only a header, or nothing at all)")
    names = list(first[1])
    audio, text = find_columns(names, columns, str(file))
    speaker = _detect(names, SPEAKER_COLUMNS)
    finder = AudioFinder(file.parent, audio_dir)
    for line, record in _chain(first, records):
        yield _row(file, line, record, (audio, text, speaker), finder, split)


def _chain(first: tuple[int, dict], rest: Iterable[tuple[int, dict]]) -> Iterator[tuple[int, dict]]:
    yield first
    yield from rest


def find_columns(names: list[str], columns: Columns, where: str) -> tuple[str, str]:
    """The audio and the text column: as given, else detected. InputError if there is none."""
    found = []
    for kind, given, known in (("audio", columns.audio, AUDIO_COLUMNS), ("text", columns.text, TEXT_COLUMNS)):
        if given and given not in names:
            raise InputError(f"{where} has no column '{given}'{nearest(given, names)}; it has {', '.join(names)}")
        name = given or _detect(names, known)
        if not name:
            raise InputError(f"{where}: which column holds the {kind}? It has {', '.join(names)}; name it with --{kind}-column")
        found.append(name)
    return found[0], found[1]


def _detect(names: list[str], known: tuple[str, ...]) -> str | None:
    lowered = {name.strip().lower(): name for name in reversed(names)}
    return next((lowered[word] for word in known if word in lowered), None)


def _row(file: Path, line: int, record: dict, names: tuple[str, str, str | None], finder: "AudioFinder", split: str | None) -> Row:
    audio, text, speaker = names
    value = as_text(record.get(audio)).strip()
    slices = {name.lower(): as_text(record[name]) for name in record if name.lower() in SLICE_COLUMNS and record[name]}
    offset = _seconds(record, "offset", f"{file}, line {line}")
    return Row(
        id=_identity(value, line, offset),
        audio=finder.find(value),
        text=as_text(record.get(text)),
        speaker=as_text(record.get(speaker)) if speaker else "",
        split=split,
        offset=offset or 0.0,
        seconds=_seconds(record, "duration", f"{file}, line {line}") if offset is not None else None,
        slices=slices,
    )


def _identity(value: str, line: int, offset: float | None) -> str:
    stem = str(Path(value).with_suffix("")) if Path(value).name else f"line-{line}"
    return f"{stem}@{offset:g}" if offset else stem


def as_text(value: object) -> str:
    """A field as text. JSON can hold halves of surrogate pairs, which nothing can store: they become `?`."""
    return "" if value is None else str(value).encode(errors="replace").decode()


def _seconds(record: dict, name: str, where: str) -> float | None:
    value = record.get(name)
    if value is None or value == "":
        return None
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise InputError(f"{where}: {name} is {value!r}; it must be seconds, 0 or more")
    return seconds


def _with_unique_ids(rows: list[Row]) -> list[Row]:
    taken: set[str] = set()
    copies: Counter[str] = Counter()
    unique = []
    for row in rows:
        name = row.id
        while name in taken:
            copies[row.id] += 1
            name = f"{row.id}#{copies[row.id] + 1}"
        taken.add(name)
        unique.append(replace(row, id=name))
    return unique


class AudioFinder:
    """Where a table's audio value lies: absolute, in the audio folder, beside the table, or in its `clips`."""

    def __init__(self, beside: Path, audio_dir: Path | None) -> None:
        if audio_dir is not None and not audio_dir.is_dir():
            raise InputError(f"there is no audio folder {audio_dir}")
        self._roots = [audio_dir] if audio_dir else [beside, beside / "clips"]

    def find(self, value: str) -> Path:
        """The file, or where it was expected first if it is nowhere; an empty path for an empty value."""
        if not value:
            return Path()
        given = Path(value.replace("\\", "/"))
        candidates = [given] if given.is_absolute() else [root / given for root in self._roots]
        if not given.is_absolute():
            candidates += [root / given.name for root in self._roots]
        named = (Path(f"{path}{suffix}") for suffix in AUDIO_SUFFIXES for path in candidates)
        return next((path for path in named if path.is_file()), candidates[0])


def _text_of(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{file} is not UTF-8 text (byte {error.start}); save it as UTF-8") from None
    except OSError as error:
        raise InputError(f"{file} cannot be read: {error.strerror}") from None


def _table_records(file: Path) -> Iterator[tuple[int, dict]]:
    content = _text_of(file).lstrip("\r\n")
    if not content.strip():
        raise InputError(f"{file} is empty")
    header = content.splitlines()[0]
    delimiter = "\t" if "\t" in header else max(",;|", key=header.count)
    # Common Voice's TSVs hold bare quotation marks; in a CSV they quote.
    quoting = csv.QUOTE_NONE if delimiter == "\t" else csv.QUOTE_MINIMAL
    csv.field_size_limit(1 << 24)
    reader = csv.DictReader(io.StringIO(content, newline=""), delimiter=delimiter, quoting=quoting, restkey="", restval="")
    where = f"{file}, line"
    try:
        for record in reader:
            surplus = record.pop("", None)
            if isinstance(surplus, list) and any(field.strip() for field in surplus):
                raise InputError(f"{where} {reader.line_num}: more fields than the header has; a text that holds '{delimiter}' must be quoted")
            if delimiter == "\t":
                record = {name: _unquote(value) for name, value in record.items()}
            yield reader.line_num, record
    except csv.Error as error:
        raise InputError(f"{where} {reader.line_num}: {error}") from None


def _unquote(value: str) -> str:
    quoted = len(value) > 1 and value[0] == value[-1] == '"' and '"' not in value[1:-1].replace('""', "")
    return value[1:-1].replace('""', '"') if quoted else value


def _manifest_records(file: Path) -> Iterator[tuple[int, dict]]:
    content = _text_of(file).strip()
    if not content:
        raise InputError(f"{file} is empty")
    for line, text in enumerate(content.split("\n"), 1):  # JSON text may hold the other line separators of Unicode
        if not text.strip():
            continue
        try:
            record = json.loads(text)
            if not isinstance(record, dict):
                raise ValueError("a line must be one JSON object")
        except ValueError as error:
            raise InputError(f"{file}, line {line}: not a manifest of JSON lines ({error})") from None
        yield line, record
