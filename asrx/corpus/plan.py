"""The plan of a preparation: the rows of a source on disk, in a file that is mapped and never held in memory."""

import hashlib
import json
import math
import os
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from ..config import Data
from ..errors import InputError
from .rows import Inside, Row
from .splits import SPLITS, UNNAMED, assign, hash64

ROWS_PER_BATCH = 4096
UNPACKED = "unpacked"  # folder beside a plan
NOWHERE = -1  # size of an audio file that is not there; start of one that is a file of its own
KEY_BYTES = 16

SCHEMA = pa.schema([
    ("id", pa.string()), ("split", pa.int8()), ("text", pa.string()), ("speaker", pa.string()), ("slices", pa.string()),
    ("path", pa.binary()), ("start", pa.int64()), ("length", pa.int64()), ("column", pa.string()),
    ("offset", pa.float64()), ("seconds", pa.float64()), ("promised", pa.float64()), ("channel", pa.int16()), ("problem", pa.string()),
    ("size", pa.int64()), ("mtime", pa.int64()), ("key", pa.binary(KEY_BYTES)),
])  # fmt: skip
PLANNED = ["id", "text", "speaker", "slices", "path", "start", "length", "column", "offset", "seconds", "promised", "channel", "problem"]


def state_of(path: str) -> tuple[int, int]:
    """Size in bytes and time of the last change in ns; NOWHERE for what is not there."""
    try:
        status = os.stat(path)
        return status.st_size, status.st_mtime_ns
    except (OSError, ValueError):
        return NOWHERE, 0


@dataclass(frozen=True)
class Unpacked:
    """A folder beside the plan that archives are unpacked in. Its files are told by their place in it, and share their archive's state."""

    folder: Path
    state: tuple[int, int] = (0, 0)

    def name_of(self, path: str) -> str:
        """The path as a plan has it: from the root, of an unpacked file from this folder."""
        return path.removeprefix(f"{self.folder}{os.sep}")

    def state_of(self, name: str) -> tuple[int, int]:
        """Size and time of the last change of what a plan names."""
        return state_of(name) if name.startswith(os.sep) else self.state


@dataclass(frozen=True, slots=True)
class Planned:
    """One row of a plan: what a worker needs to decode and store it."""

    id: str
    text: str
    speaker: str
    slices: str  # JSON object
    audio: Path | Inside
    offset: float  # s
    seconds: float | None  # s of the span; None: to the end
    promised: float | None  # s that the source says it lasts
    channel: int | None
    problem: str

    @property
    def where(self) -> str:
        """The file that the audio is in."""
        return self.audio.path if isinstance(self.audio, Inside) else "" if self.audio == Path() else str(self.audio)


class Plan:
    """All rows, with unique ids and their split. Read a batch at a time: nothing of it stays in memory."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._unpacked = str(file.parent / UNPACKED)
        self._reader = _open(file)
        self._batches = self._reader.num_record_batches
        self._last: tuple[int, pa.RecordBatch] = (0, self._reader.get_batch(0))

    def __len__(self) -> int:
        return (self._batches - 1) * ROWS_PER_BATCH + self._batch(self._batches - 1).num_rows

    def of_split(self, split: int) -> np.ndarray:
        """Numbers of the rows of a split (an index into SPLITS), in their order."""
        return np.flatnonzero(self._column("split") == split)

    def table(self, numbers: np.ndarray, columns: list[str]) -> pa.Table:
        """Columns of the rows with these numbers, which ascend."""
        batches = []
        for batch in np.unique(numbers // ROWS_PER_BATCH):
            here = numbers[numbers // ROWS_PER_BATCH == batch] - batch * ROWS_PER_BATCH
            batches.append(self._batch(int(batch)).select(columns).take(pa.array(here)))
        return pa.Table.from_batches(batches)

    def rows(self, numbers: np.ndarray) -> list[Planned]:
        """The rows with these numbers, which ascend."""
        return [_planned(self._unpacked, **record) for record in self.table(numbers, PLANNED).to_pylist()]

    def keys(self) -> np.ndarray:
        """What each row's decoded audio depends on, as (rows, 2) uint64."""
        return np.concatenate([np.frombuffer(batch.column(0).buffers()[1], np.uint64).copy() for batch in _batches(self.file, ["key"])]).reshape(-1, 2)

    def unchanged(self, unpacked: Unpacked) -> bool:
        """Whether every audio file is as it was when the plan was made."""
        known: dict[bytes, tuple[int, int]] = {}  # many rows may be cut from one recording
        for batch in _batches(self.file, ["path", "size", "mtime"]):
            for path, size, mtime in zip(*(batch.column(name).to_pylist() for name in ("path", "size", "mtime"))):
                if path and path not in known:
                    known = {} if len(known) > ROWS_PER_BATCH else known
                    known[path] = unpacked.state_of(os.fsdecode(path))
                    if known[path] != (size, mtime):
                        return False
        return True

    def unusable(self) -> np.ndarray:
        """Numbers of the rows that are known to be rejected before anything is decoded."""
        columns = ((batch.column("size").to_numpy(), batch.column("problem").to_pylist()) for batch in _batches(self.file, ["problem", "size"]))
        return np.flatnonzero(np.concatenate([(sizes == NOWHERE) | np.array([bool(text) for text in problems]) for sizes, problems in columns]))

    def _column(self, name: str) -> np.ndarray:
        return np.concatenate([batch.column(0).to_numpy().copy() for batch in _batches(self.file, [name])])  # a view would keep its batch

    def _batch(self, number: int) -> pa.RecordBatch:
        if self._last[0] != number:
            self._last = number, self._reader.get_batch(number)
        return self._last[1]


def _open(file: Path, columns: list[str] | None = None) -> pa.ipc.RecordBatchFileReader:
    included = [SCHEMA.get_field_index(name) for name in columns] if columns else None
    return pa.ipc.open_file(pa.OSFile(str(file)), options=pa.ipc.IpcReadOptions(included_fields=included))


def _batches(file: Path, columns: list[str]) -> Iterator[pa.RecordBatch]:
    """Batches with some columns only."""
    reader = _open(file, columns)
    return (reader.get_batch(number) for number in range(reader.num_record_batches))


def make(rows: Iterable[Row], file: Path, data: Data, unpacked: Unpacked) -> Plan:
    """Write the plan of `rows` to `file`. Memory stays at a few bytes a row.

    Raises InputError if there are no rows, and where the split that was asked for is impossible.
    """
    draft = file.with_suffix(".draft")
    hashes = np.frombuffer(_write(_records(rows, unpacked), draft), np.uint64)
    if not len(hashes):
        raise InputError("the source holds no utterances (only a header, or nothing at all)")
    plan = Plan(draft)
    splits = assign(plan._column("split"), *_speakers(draft), hashes, data)
    partial = file.with_suffix(".partial")
    _rewrite(plan, splits, _renamed(hashes, plan), partial)
    os.replace(partial, file)
    draft.unlink()
    return Plan(file)


def _records(rows: Iterable[Row], unpacked: Unpacked) -> Iterator[tuple[Any, ...]]:
    codes = {name: code for code, name in enumerate(SPLITS)}
    for row in rows:
        inside = row.audio if isinstance(row.audio, Inside) else None
        name = unpacked.name_of(_absolute(inside.path if inside else str(row.audio)))
        size, mtime = unpacked.state_of(name) if name else (NOWHERE, 0)
        start, length, column = (inside.start, inside.length, inside.column) if inside else (NOWHERE, 0, "")
        what = (name, size, mtime, start, length, column, row.offset, row.seconds, row.channel, row.promised)
        key = hashlib.blake2b(repr(what).encode(errors="surrogateescape"), digest_size=KEY_BYTES).digest()
        yield (
            _storable(row.id), codes.get(row.split or "", UNNAMED), row.text, row.speaker, _json(tuple(row.slices.items())),
            os.fsencode(name), start, length, column, row.offset, math.nan if row.seconds is None else row.seconds,
            math.nan if row.promised is None else row.promised, NOWHERE if row.channel is None else row.channel, row.problem, size, mtime, key,
        )  # fmt: skip


def _absolute(path: str) -> str:
    """The path from the root; empty for `Path()`, which names nothing."""
    return path if path.startswith(os.sep) else "" if path == os.curdir else os.path.abspath(path)


def _storable(name: str) -> str:
    """File names can hold bytes that are no UTF-8, which an id cannot."""
    return name if name.isascii() else name.encode(errors="backslashreplace").decode()


@lru_cache(maxsize=4096)
def _json(slices: tuple[tuple[str, str], ...]) -> str:
    return json.dumps(dict(slices), ensure_ascii=False, sort_keys=True)


def _write(records: Iterable[tuple[Any, ...]], file: Path) -> array:
    """Records to an Arrow file; the hashes of their ids."""
    hashes = array("Q")
    with pa.OSFile(str(file), "wb") as sink, pa.ipc.new_file(sink, SCHEMA) as writer:
        pending: list[tuple[Any, ...]] = []
        for record in records:
            hashes.append(hash64(record[0]))
            pending.append(record)
            if len(pending) == ROWS_PER_BATCH:
                writer.write_batch(_batch(pending))
                pending.clear()
        if pending:
            writer.write_batch(_batch(pending))
    return hashes


def _batch(records: list[tuple[Any, ...]]) -> pa.RecordBatch:
    return pa.record_batch([pa.array(column, field.type) for column, field in zip(zip(*records), SCHEMA)], schema=SCHEMA)


def _speakers(file: Path) -> tuple[np.ndarray, list[str]]:
    """Indices of the speakers, UNNAMED for the empty one, and their names."""
    codes: dict[str, int] = {"": UNNAMED}
    indices = [
        np.array([codes.setdefault(name, len(codes) - 1) for name in batch.column(0).to_pylist()], np.int64)
        for batch in _batches(file, ["speaker"])
    ]  # fmt: skip
    return np.concatenate(indices), list(codes)[1:]


def _renamed(hashes: np.ndarray, plan: Plan) -> dict[int, str]:
    """New ids for the rows whose id an earlier row has: `#2`, `#3`, …"""
    order = np.argsort(hashes, kind="stable")
    taken = hashes[order]
    repeated = np.sort(order[1:][taken[1:] == taken[:-1]])
    added: set[int] = set()
    copies: dict[int, int] = {}
    renamed = {}
    for number in repeated.tolist():
        name, known = plan.table(np.array([number]), ["id"])["id"][0].as_py(), int(hashes[number])
        candidate = name
        while _is_taken(hash64(candidate), taken, added):
            copies[known] = copies.get(known, 1) + 1
            candidate = f"{name}#{copies[known]}"
        added.add(hash64(candidate))
        renamed[number] = candidate
    return renamed


def _is_taken(value: int, taken: np.ndarray, added: set[int]) -> bool:
    place = int(np.searchsorted(taken, np.uint64(value)))
    return value in added or (place < len(taken) and int(taken[place]) == value)


def _rewrite(plan: Plan, splits: np.ndarray, renamed: dict[int, str], file: Path) -> None:
    """The draft with the final ids and splits."""
    changed = list(renamed)  # ascends
    with pa.OSFile(str(file), "wb") as sink, pa.ipc.new_file(sink, SCHEMA) as writer:
        for start in range(0, len(plan), ROWS_PER_BATCH):
            batch = plan._batch(start // ROWS_PER_BATCH)
            here = changed[bisect_left(changed, start) : bisect_left(changed, start + ROWS_PER_BATCH)]
            if here:
                ids = batch.column("id").to_pylist()
                for number in here:
                    ids[number - start] = renamed[number]
                batch = batch.set_column(0, SCHEMA.field("id"), pa.array(ids, pa.string()))
            writer.write_batch(batch.set_column(1, SCHEMA.field("split"), pa.array(splits[start : start + ROWS_PER_BATCH])))


def _planned(unpacked: str, path: bytes, start: int, length: int, column: str, seconds: float, promised: float, channel: int, **same: Any) -> Planned:
    name = os.fsdecode(path)
    name = os.path.join(unpacked, name) if name else ""  # join leaves a path from the root alone
    audio = Inside(name, start, length, column) if start != NOWHERE else Path(name)
    return Planned(
        audio=audio,
        seconds=None if math.isnan(seconds) else seconds,
        promised=None if math.isnan(promised) else promised,
        channel=None if channel == NOWHERE else channel,
        **same,
    )
