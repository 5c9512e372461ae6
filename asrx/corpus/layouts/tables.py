"""Tables with named columns and NeMo manifests: a file, a training file with its validation file, a folder with one file per split."""

import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from ...errors import InputError
from ..rows import Row
from . import arrow
from .audio_files import AudioFinder, url_problem
from .columns import (
    AUDIO_COLUMNS,
    SPEAKER_COLUMNS,
    TEXT_COLUMNS,
    Columns,
    as_text,
    detect,
    find_columns,
    identity,
    positive,
    role,
    seconds_of,
    slices_of,
    without_role,
)
from .lines import PROBLEM, delimiter_of, first_line, first_record, header_of, json_records, table_records
from .source import Found, Layout, Request, is_audio, visible

TABLES = (".csv", ".tsv")
MANIFESTS = (".json", ".jsonl")
METADATA = ("metadata.csv", "metadata.jsonl", "metadata.parquet")
ID_COLUMNS = ("id", "utt_id", "utterance_id", "uttid", "utt", "name", "clip_id")  # that may be named as recordings are
Part = tuple[Path, str | None]  # a table and the split that it is for
IsRecording = Callable[[str], bool]
Records = Callable[[Path, IsRecording], Iterator[tuple[int, dict]]]
Promise = Callable[[str, dict], float | None]  # seconds that a record's recording lasts, by its audio value


@dataclass(frozen=True)
class Reader:
    """Rows of one file after another; `records` yields (line, fields), given the file and what tells whether a name is a recording's."""

    records: Records
    request: Request
    promise: Promise = lambda value, record: None
    warns: bool = False  # whether recordings beside the table that it does not name are worth a warning

    def rows(self, parts: Iterable[Part]) -> Iterator[Row]:
        """Rows of the files in their order. InputError for a file without the columns; one without rows is empty."""
        for file, split in parts:
            yield from self._rows(file, split)

    def _rows(self, file: Path, split: str | None) -> Iterator[Row]:
        finder = _finder(file.parent, self.request)
        records = self.records(file, finder.has)
        first = next(records, None)
        if first is None:
            _refuse_headerless(header_of(file), Columns(), file, finder)
            return
        names = _columns(first[1], self.request.columns, file, finder)
        for line, record in itertools.chain([first], records):
            yield self._row(record, names, finder, f"{file}, line {line}", line, split)
        if self.warns:
            finder.warn_of_unused(str(file.parent))

    def _row(self, record: dict, names: tuple[str, str, str | None], finder: AudioFinder, where: str, line: int, split: str | None) -> Row:
        audio, text, speaker = names
        value = as_text(record.get(audio)).strip()
        problem = record.get(PROBLEM) or url_problem(value)
        if problem:  # its fields may be those of other columns
            return Row(identity(value, line), Path(), as_text(record.get(text)), split=split, problem=problem)
        offset = seconds_of(record, "offset", where) if record.get("offset") is not None else None
        return Row(
            id=identity(value, line, offset),
            audio=finder.find(value),
            text=as_text(record.get(text)),
            speaker=as_text(record.get(speaker)) if speaker else "",
            split=split,
            offset=offset or 0.0,
            seconds=seconds_of(record, "duration", where) if offset is not None else None,
            slices=slices_of(record, self.request.every_column, names),
            promised=self.promise(value, record) if offset is None else None,
        )


def _finder(beside: Path, request: Request) -> AudioFinder:
    return AudioFinder(beside, request.audio_dir, below=("clips", "wavs", "wav"))


def _columns(record: dict, given: Columns, file: Path, finder: AudioFinder) -> tuple[str, str, str | None]:
    """The columns of audio, text and speaker. Ids are taken for audio if there is a recording of the first one's name."""
    names = [name for name in record if name != PROBLEM]
    _refuse_headerless(names, given, file, finder)
    ids = detect(names, ID_COLUMNS)
    if not given.audio and not detect(names, AUDIO_COLUMNS) and ids and finder.has(as_text(record[ids]).strip()):
        given = replace(given, audio=ids)
    return *find_columns(names, given, str(file)), detect(names, SPEAKER_COLUMNS)


def _refuse_headerless(names: list[str], given: Columns, file: Path, finder: AudioFinder) -> None:
    """InputError where the first line of a table names no columns but a recording."""
    if (given.audio in names or detect(names, AUDIO_COLUMNS)) and (given.text in names or detect(names, TEXT_COLUMNS)):
        return
    audio = next((index for index, name in enumerate(names) if is_audio(name.strip()) or finder.has(name.strip())), None)
    if audio is None:
        return
    text = max((index for index in range(len(names)) if index != audio), key=lambda index: len(names[index]), default=None)
    header = ["path" if index == audio else "text" if index == text else f"column{index + 1}" for index in range(len(names))]
    delimiter = delimiter_of(first_line(file)).replace("\t", "<tab>")
    raise InputError(f"{file} has no header: its first line names the recording {names[audio]}; write the columns above it: {delimiter.join(header)}")


def found(layout: str, parts: list[Part], reader: Reader, more: tuple[Path, ...] = ()) -> Found:
    """What `reader` makes of the tables `parts`."""
    listings = (_finder(folder, reader.request).listing() for folder in dict.fromkeys(file.parent for file, _ in parts))
    return Found(layout, tuple(file for file, _ in parts) + more, lambda: reader.rows(parts), "-".join(listings))


def with_partner(path: Path, siblings: bool) -> list[Part]:
    """A table; with `siblings` a training table comes with the validation table that is named like it."""
    if siblings and role(path.stem) == "train":
        for other in visible(path.parent):
            alike = other.suffix == path.suffix and other != path and without_role(other.stem) == without_role(path.stem)
            if alike and role(other.stem) == "validation":
                return [(path, "train"), (other, "validation")]
    return [(path, None)]


def of_splits(files: list[Path], folder: Path) -> list[Part]:
    """The tables of a folder that are named for a split, if training is among them; else its only one.

    Raises InputError, listing them, where several could be meant.
    """
    candidates = sorted(files)
    named = [(file, role(file.stem)) for file in candidates if role(file.stem)]
    stems = [file.stem.lower() for file, _ in named]
    if any(split == "train" for _, split in named) and len(stems) == len(set(stems)):
        return named
    if len(candidates) == 1:
        return [(candidates[0], None)]
    raise InputError(f"{folder}: cannot tell which table to read (found: {', '.join(file.name for file in candidates)}); give the file itself as the source")


def _find_table(request: Request) -> Found | None:
    reader = Reader(records_of, request)
    if request.path.is_file():
        return found("table", with_partner(request.path, request.siblings), reader)
    tables, manifests = _tables_and_manifests(request.path)
    parts = of_splits(tables + ([] if request.forced else manifests), request.path) if tables else []
    return found("table", parts, reader) if any(file in tables for file, _ in parts) else None


def _find_manifest(request: Request) -> Found | None:
    path, reader = request.path, Reader(lambda file, _: json_records(file), request, lambda value, record: positive(record.get("duration")))
    if path.is_file():
        named = path.suffix.lower() in MANIFESTS or path.name.lower().endswith(".jsonl.gz")
        return found("nemo", with_partner(path, request.siblings), reader) if named or request.forced else None
    tables, manifests = _tables_and_manifests(path)
    parts = of_splits(([] if request.forced else tables) + manifests, path) if manifests else []
    return found("nemo", parts, reader) if parts and all(file in manifests for file, _ in parts) else None


def _tables_and_manifests(folder: Path) -> tuple[list[Path], list[Path]]:
    files = [file for file in visible(folder) if file.is_file()]
    return [file for file in files if file.suffix.lower() in TABLES], [file for file in files if is_manifest(file)]


def records_of(file: Path, is_recording: IsRecording) -> Iterator[tuple[int, dict]]:
    """(line, fields) of a table or of JSON lines."""
    return json_records(file) if file.suffix.lower() in MANIFESTS else table_records(file, is_recording)


def is_manifest(file: Path) -> bool:
    """Whether a file is JSON lines that name recordings."""
    return file.suffix.lower() in MANIFESTS and file.is_file() and bool(detect(list(first_record(file)), AUDIO_COLUMNS))


def _find_audiofolder(request: Request) -> Found | None:
    """`metadata.csv`, `.jsonl` or `.parquet` with a column `file_name`, at the top or in each folder of a split."""
    folder = request.path.parent if request.path.is_file() else request.path
    places = [folder, *visible(folder), *visible(folder / "data")]
    tables = [file for file in ([request.path] if request.path.is_file() else _metadata(places)) if _names_files(file)]
    if not tables:
        return None
    parts = [(table, role(table.parent.name) if table.parent != folder else None) for table in tables]
    reader = Reader(records_of, request, warns=True)
    return replace(found("audiofolder", parts, reader), rows=lambda: (_split_by_folder(row, folder) for part in parts for row in _audiofolder(part, reader)))


def _audiofolder(part: Part, reader: Reader) -> Iterator[Row]:
    return arrow.rows([part], reader.request) if part[0].suffix == ".parquet" else reader.rows([part])


def _metadata(places: list[Path]) -> list[Path]:
    """The metadata of each folder, of which the first counts where there are several."""
    return [files[0] for place in places if (files := [file for name in METADATA if (file := place / name).is_file()])]


def _names_files(table: Path) -> bool:
    if table.name not in METADATA:
        return False
    if table.suffix == ".parquet":
        return "file_name" in arrow.names_of(table)
    return "file_name" in (first_record(table) if table.suffix == ".jsonl" else header_of(table))


def _split_by_folder(row: Row, folder: Path) -> Row:
    """Metadata at the top names its splits in the first folder of each file name: train/a.wav."""
    if row.split or not isinstance(row.audio, Path) or not row.audio.is_relative_to(folder):
        return row
    below = row.audio.relative_to(folder).parts
    return replace(row, split=role(below[0])) if len(below) > 1 else row


TABLE = Layout("table", "a CSV, TSV or text table with named columns for audio and text, or a folder with train.csv, dev.csv, …", _find_table)
NEMO = Layout("nemo", "JSON lines with audio_filepath, text and perhaps offset and duration, or a folder of them", _find_manifest)
AUDIOFOLDER = Layout("audiofolder", "a folder with metadata.csv, .jsonl or .parquet whose column file_name names the recordings", _find_audiofolder)
