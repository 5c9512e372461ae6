"""Encoded recordings inside bigger files: members of uncompressed tars, cells of parquet and Arrow files.

What was opened last stays open in each thread, so that reading in the order of the file is one pass over it.
"""

import os
import threading
from bisect import bisect_right
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .rows import Inside

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

RECORDINGS_AT_ONCE = 16  # decoded from a parquet file together; a row group may hold gigabytes
_last = threading.local()


def read(place: Inside) -> bytes:
    """The encoded recording. OSError where the file is gone, cut, damaged, or holds nothing there."""
    import pyarrow as pa

    try:
        return _opened(place).read(place.start, place.length)
    except pa.ArrowException as error:
        raise OSError(f"{place.path} is damaged ({error})") from None


def _opened(place: Inside) -> "_Bytes | _Parquet | _Arrow":
    """The reader of the file, which is another one when the file changed."""
    status = os.stat(place.path)
    key = (place.path, place.column, status.st_ino, status.st_size, status.st_mtime_ns)
    if getattr(_last, "key", None) != key:
        if getattr(_last, "reader", None) is not None:
            _last.reader.close()
            _last.key = _last.reader = None
        kind = _Bytes if not place.column else _Parquet if place.path.endswith(".parquet") else _Arrow
        _last.key, _last.reader = key, kind(place.path, place.column)
    return _last.reader


def open_parquet(path: str | Path) -> "pq.ParquetFile":
    """A memory-mapped parquet file: a reader that is not mapped loads whole column chunks, which hold gigabytes of recordings."""
    import pyarrow.parquet as pq

    return pq.ParquetFile(path, memory_map=True, pre_buffer=False)


def open_arrow(path: str | Path) -> "pa.RecordBatchStreamReader | pa.RecordBatchFileReader":
    """A memory-mapped Arrow file, of the streaming kind that `datasets` writes, or of the kind with an index."""
    import pyarrow as pa

    mapped = pa.memory_map(str(path))
    try:
        return pa.ipc.open_stream(mapped)
    except pa.ArrowInvalid:
        mapped.seek(0)
        return pa.ipc.open_file(mapped)


class _Bytes:
    """A span of bytes in a file."""

    def __init__(self, path: str, column: str) -> None:
        self._path, self._file = path, open(path, "rb", buffering=0)

    def read(self, start: int, length: int) -> bytes:
        content = os.pread(self._file.fileno(), length, start)
        if len(content) < length:
            raise OSError(f"{self._path} ends {length - len(content)} bytes before the recording at byte {start} does")
        return content

    def close(self) -> None:
        self._file.close()


class _Parquet:
    """Cells of a column, fast in ascending order: a step back reads the row group from its start."""

    def __init__(self, path: str, column: str) -> None:
        self._path, self._file = path, open_parquet(path)
        group = self._file.schema_arrow.field(column).type
        self._leaf = f"{column}.bytes" if _is_struct(group) else column
        counts = (self._file.metadata.row_group(index).num_rows for index in range(self._file.num_row_groups))
        self._ends = list(accumulate(counts))
        self._batches: Iterator[pa.RecordBatch] = iter(())
        self._batch: pa.RecordBatch | None = None
        self._group, self._first = -1, 0  # of the batch: its row group, the number of its first row in the file

    def read(self, row: int, length: int) -> bytes:
        if not 0 <= row < (self._ends[-1] if self._ends else 0):
            raise OSError(f"{self._path} has no row {row}")
        group = bisect_right(self._ends, row)
        if self._batch is None or group != self._group or row < self._first:
            self._start(group)
        while row >= self._first + len(self._batch):
            self._first += len(self._batch)
            self._batch = next(self._batches)
        return _cell(self._batch.column(0)[row - self._first], self._path, row)

    def _start(self, group: int) -> None:
        self._batches = self._file.iter_batches(RECORDINGS_AT_ONCE, [group], [self._leaf])
        self._group, self._first = group, self._ends[group - 1] if group else 0
        self._batch = next(self._batches)

    def close(self) -> None:
        self._file.close()


class _Arrow:
    """Cells of a memory-mapped column, in any order."""

    def __init__(self, path: str, column: str) -> None:
        reader = open_arrow(path)
        self._path, self._column = path, reader.read_all().column(column)

    def read(self, row: int, length: int) -> bytes:
        if not 0 <= row < len(self._column):
            raise OSError(f"{self._path} has no row {row}")
        return _cell(self._column[row], self._path, row)

    def close(self) -> None:
        self._column = None


def _is_struct(kind: "pa.DataType") -> bool:
    import pyarrow as pa

    return pa.types.is_struct(kind)


def _cell(cell: Any, path: str, row: int) -> bytes:
    value = (cell["bytes"] if cell.is_valid else cell) if _is_struct(cell.type) else cell
    content = value.as_py()
    if content is None:
        raise OSError(f"row {row} of {path} holds no recording")
    return content
