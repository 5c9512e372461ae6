"""Parquet files with recordings inside, as the Hugging Face hub keeps data sets, and the folders of Arrow files of `save_to_disk`."""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import InputError
from ...files import read_json
from ..containers import open_arrow, open_parquet
from ..rows import Inside, Row
from .audio_files import AudioFinder, url_problem
from .columns import AUDIO_COLUMNS, SPEAKER_COLUMNS, TEXT_COLUMNS, Columns, as_text, detect, find_column, role, slices_of
from .source import Found, Layout, Request, names_in, visible

if TYPE_CHECKING:
    import pyarrow as pa

STATE, DICT = "state.json", "dataset_dict.json"  # of save_to_disk: of a data set, of one with splits
ROWS_AT_ONCE = 1024  # of the columns without audio
RECORDINGS_AT_ONCE = 16  # where recordings have to be looked at
Part = tuple[Path, str | None]


@dataclass(frozen=True)
class _Table:
    """The columns of one file, and of what kind its audio is."""

    file: Path
    audio: str
    text: str
    speaker: str | None
    others: tuple[str, ...]  # scalar columns, text and speaker among them
    labels: dict[str, list[str]]  # names of the classes of a column that holds numbers
    kind: str  # of the audio: struct {bytes, path}, bytes, or path


def _described(file: Path, schema: "pa.Schema", columns: Columns) -> _Table:
    """InputError where a column is missing, or holds decoded samples."""
    import pyarrow as pa

    kinds = {field.name: _kind(field.type) for field in schema}
    inside = [name for name, kind in kinds.items() if kind in ("struct", "bytes")]
    audio = columns.audio or detect(inside, AUDIO_COLUMNS) or (inside[0] if len(inside) == 1 else None)
    audio = find_column("audio", schema.names, audio, AUDIO_COLUMNS, str(file))
    text = find_column("text", schema.names, columns.text, TEXT_COLUMNS, str(file))
    if not kinds[audio]:
        raise InputError(f"{file}: column {audio} holds {schema.field(audio).type}, not encoded recordings or their paths; save it with Audio(decode=False)")
    others = tuple(field.name for field in schema if field.name != audio and not pa.types.is_nested(field.type) and not pa.types.is_binary(field.type))
    return _Table(file, audio, text, detect(schema.names, SPEAKER_COLUMNS), others, _labels(schema), kinds[audio])


def _kind(kind: "pa.DataType") -> str:
    import pyarrow as pa

    if pa.types.is_struct(kind):
        return "struct" if kind.get_field_index("bytes") >= 0 else ""
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return "bytes"
    return "path" if pa.types.is_string(kind) or pa.types.is_large_string(kind) else ""


def _labels(schema: "pa.Schema") -> dict[str, list[str]]:
    """Names of classes, which `datasets` writes into the schema: gender 0 is `female`."""
    try:
        features = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))["info"]["features"]
        return {name: feature["names"] for name, feature in features.items() if isinstance(feature, dict) and "names" in feature}
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}


def rows(parts: list[Part], request: Request) -> Iterator[Row]:
    """Rows of parquet and Arrow files in their order. InputError for a damaged one, or one without the columns."""
    import pyarrow as pa

    for file, split in parts:
        try:
            yield from _rows_of_file(file, split, request)
        except (pa.ArrowException, OSError) as error:
            raise InputError(f"{file} is truncated or damaged ({error}); fetch it again") from None


def _rows_of_file(file: Path, split: str | None, request: Request) -> Iterator[Row]:
    table = _described(file, schema_of(file), request.columns)
    finder = AudioFinder(file.parent, request.audio_dir)
    number = 0
    for batch in _parquet_batches(table) if file.suffix == ".parquet" else _arrow_batches(file):
        columns = {name: batch.column(name).to_pylist() for name in table.others}
        inside, paths = _places(batch, table)
        for index in range(len(batch)):
            record = {name: _named(values[index], table.labels.get(name)) for name, values in columns.items()}
            audio = Inside(str(file), number + index, column=table.audio) if inside[index] else finder.find(paths[index] or "")
            yield _row(table, record, audio, paths[index], number + index, split, request.every_column)
        number += len(batch)


def _row(table: _Table, record: dict[str, Any], audio: Path | Inside, path: str | None, number: int, split: str | None, every_column: bool) -> Row:
    stem = os.path.splitext(path)[0] if path else f"{split or table.file.stem}-{number}"
    problem = url_problem(path) if path and isinstance(audio, Path) else ""
    return Row(
        id=as_text(stem),
        audio=Path() if problem else audio,
        text=as_text(record.get(table.text)),
        speaker=as_text(record.get(table.speaker)) if table.speaker else "",
        split=split,
        slices=slices_of(record, every_column, (table.text, table.speaker)),
        problem=problem or ("" if audio != Path() else f"row {number} of {table.file.name} has no recording"),
    )


def _named(value: Any, labels: list[str] | None) -> Any:
    return labels[value] if labels and isinstance(value, int) and 0 <= value < len(labels) else value


def _places(batch: "pa.RecordBatch", table: _Table) -> tuple[list[bool], list[str | None]]:
    """For each row whether the recording itself is there, and the path that stands beside or in place of it."""
    nothing = [None] * len(batch)
    if table.audio not in batch.schema.names:
        return [True] * len(batch), nothing
    audio = batch.column(table.audio)
    if table.kind == "bytes":
        return audio.is_valid().to_pylist(), nothing
    if table.kind == "path":
        return [False] * len(batch), audio.to_pylist()
    there = audio.is_valid().to_pylist()
    if audio.type.get_field_index("bytes") >= 0:
        there = [present and valid for present, valid in zip(there, audio.field("bytes").is_valid().to_pylist())]
    paths = audio.field("path").to_pylist() if audio.type.get_field_index("path") >= 0 else nothing
    return there, [path if isinstance(path, str) else None for path in paths]


def schema_of(file: Path) -> "pa.Schema":
    """The columns of a parquet or Arrow file."""
    import pyarrow.parquet as pq

    return pq.read_schema(file) if file.suffix == ".parquet" else open_arrow(file).schema


def names_of(file: Path) -> list[str]:
    """The names of the columns, none where the file is damaged: reading it says so."""
    import pyarrow as pa

    try:
        return schema_of(file).names
    except (pa.ArrowException, OSError):
        return []


def _arrow_batches(file: Path) -> Iterator["pa.RecordBatch"]:
    reader = open_arrow(file)
    batches = iter(reader) if hasattr(reader, "read_next_batch") else (reader.get_batch(index) for index in range(reader.num_record_batches))
    return (batch.slice(start, ROWS_AT_ONCE) for batch in batches for start in range(0, len(batch), ROWS_AT_ONCE))


def _parquet_batches(table: _Table) -> Iterator["pa.RecordBatch"]:
    """The columns that rows need. Recordings are read only of row groups in which, by their statistics, some are missing."""
    with open_parquet(table.file) as file:
        for group in range(file.num_row_groups):
            leaves = {(column := file.metadata.row_group(group).column(index)).path_in_schema: column for index in range(file.metadata.num_columns)}
            encoded = leaves.get(table.audio if table.kind == "bytes" else f"{table.audio}.bytes")
            complete = encoded is not None and encoded.statistics is not None and encoded.statistics.null_count == 0
            wanted = [name for name in (f"{table.audio}.path",) if name in leaves] if complete else [table.audio]
            yield from file.iter_batches(ROWS_AT_ONCE if complete or encoded is None else RECORDINGS_AT_ONCE, [group], [*wanted, *table.others])


def _find_parquet(request: Request) -> Found | None:
    path = request.path
    if path.is_file():
        parts = [(path, None)] if path.suffix.lower() == ".parquet" else []
    else:
        places = [path, path / "data", *(child for child in visible(path) if child.is_dir() and role(child.name))]
        files = [file for place in places for file in visible(place) if file.suffix == ".parquet" and file.is_file()]
        parts = _of_splits(files)
    return Found("parquet", tuple(file for file, _ in parts), lambda: rows(parts, request)) if parts else None


def _of_splits(files: list[Path]) -> list[Part]:
    """Each file's split, by its name (train-00000-of-00002.parquet) or its folder's (train/0000.parquet)."""
    parts = [(file, role(file.stem) or role(file.parent.name)) for file in files]
    return [(file, split) for file, split in parts if split] if any(split == "train" for _, split in parts) else parts


def _find_saved(request: Request) -> Found | None:
    path = request.path
    if path.is_file():
        return Found("save_to_disk", (path,), lambda: rows([(path, None)], request)) if path.suffix == ".arrow" else None
    if (path / DICT).is_file():
        names = read_json(path / DICT) or {}
        folders = [(path / name, role(name)) for name in names.get("splits", []) if (path / name / STATE).is_file()]
        folders = [item for item in folders if item[1]] if any(split == "train" for _, split in folders) else folders
    else:
        folders = [(path, None)] if (path / STATE).is_file() else []
    if not folders:
        return None
    parts = [(file, split) for folder, split in folders for file in _files_of(folder)]
    states = tuple(folder / STATE for folder, _ in folders)
    return Found("save_to_disk", (*states, *(file for file, _ in parts)), lambda: rows(parts, request))


def _files_of(folder: Path) -> list[Path]:
    """The Arrow files that a saved data set lists. InputError where one is missing."""
    listed = (read_json(folder / STATE) or {}).get("_data_files") or []
    files = [folder / item["filename"] for item in listed if isinstance(item, dict) and "filename" in item]
    missing = [file.name for file in files if not file.is_file()]
    if missing or not files:
        raise InputError(f"{folder} is no whole data set: {', '.join(missing) or 'its files'} missing (found: {names_in(folder)}); save it again")
    return files


PARQUET = Layout("parquet", "a parquet file with recordings or their paths and texts, or a folder of such files named for splits", _find_parquet)
SAVED = Layout("save_to_disk", "a folder that datasets' save_to_disk wrote, of a Dataset or a DatasetDict", _find_saved)
