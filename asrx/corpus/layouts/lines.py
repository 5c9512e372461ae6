"""Text files of sources, line by line: UTF-8 with or without a byte order mark, plain or gzipped."""

import csv
import gzip
import io
import json
import re
import zlib
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from ...errors import InputError
from .source import is_audio

LONGEST_FIELD = 1 << 24  # characters; Python's own limit is below some transcripts
MOST_LINES = 1000  # of one record; a quotation mark that is open for longer will not close
PROBLEM = "\0problem"  # under which a record says why it cannot be used; no column has that name
BETWEEN_OBJECTS = re.compile(r"[\s,]*")
_Values = tuple[int, list[str], str]  # line, fields, and why they cannot be used


def raw_lines(file: Path) -> Iterator[str]:
    """Lines with their ends, whatever those are. InputError for what is no UTF-8 text or cannot be read."""
    number = 0
    try:
        with _open(file) as stream:
            for line in stream:
                number += 1
                yield line
    except UnicodeDecodeError:
        raise InputError(f"{file} is not UTF-8 text (after line {number}); save it as UTF-8") from None
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(f"{file} is truncated or damaged ({error})") from None
    except OSError as error:
        raise InputError(f"{file} cannot be read: {error.strerror or error}") from None


def _open(file: Path) -> TextIO:
    if file.suffix.lower() == ".gz":
        return io.TextIOWrapper(gzip.open(file), encoding="utf-8-sig", newline="")
    return file.open(encoding="utf-8-sig", newline="")


def lines(file: Path) -> Iterator[tuple[int, str]]:
    """(number from 1, line without its end) of every line that is not blank."""
    for number, line in enumerate(raw_lines(file), 1):
        if line.strip():
            yield number, line.rstrip("\r\n")


def _never(line: str) -> bool:
    return False


class _Lines:
    """Lines of a file for one record after another. Those behind the first line of a record can be had once more."""

    def __init__(self, file: Path) -> None:
        self._stream = raw_lines(file)
        self._again: deque[str] = deque()
        self.is_row = _never  # whether a line begins a record, even where the one before did not end
        self.start = 1  # number of the record's first line
        self.record: list[str] = []
        self.ended = False  # whether a line was asked for where the record has no more

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        line = self._again.popleft() if self._again else next(self._stream, None)
        if line is not None and self.record and (len(self.record) == MOST_LINES or self.is_row(line)):
            self._again.appendleft(line)
            line = None
        if line is None:
            self.ended = True
            raise StopIteration
        self.record.append(line)
        return line

    def begin(self) -> None:
        """Begin the next record."""
        self.start += len(self.record)
        self.record.clear()
        self.ended = False

    def header(self) -> str:
        """The first line that is not blank, which comes again; an empty one if there is none."""
        line = next((line for line in self if line.strip()), "")
        if line:
            self._again.append(self.record.pop())
        return line

    def keep_first(self) -> str:
        """The record's first line; the others come again."""
        first, *others = self.record
        self._again.extendleft(reversed(others))
        self.record = [first]
        return first


def delimiter_of(header: str) -> str:
    """What separates the fields of a table: comma, semicolon, tab or bar."""
    return "\t" if "\t" in header else max(",;|", key=header.count)


def table_records(file: Path, is_recording: Callable[[str], bool] = is_audio) -> Iterator[tuple[int, dict[str, str]]]:
    """(line, fields by column) of a table with a header.

    A row that cannot be taken apart has under PROBLEM why: more fields than the header has, or a quotation mark that does not close
    before the next row. `is_recording` tells rows from lines of quoted text: only a row names a recording. InputError without a header.
    """
    source = _Lines(file)
    header = source.header()
    delimiter = delimiter_of(header)
    rows = _split_by_tabs(source) if delimiter == "\t" else _split_by_csv(source, delimiter, file, is_recording)
    _, names, problem = next(rows, (0, [], ""))
    if not names:
        raise InputError(f"{file} is empty")
    if problem:
        raise InputError(problem)
    usual = 0  # fields of a row: a table may end each with a delimiter
    for number, values, problem in rows:
        usual = usual or len(values)
        if len(values) > len(names) and (any(value.strip() for value in values[len(names) :]) or (len(names) > 2 and len(values) != usual)):
            problem = problem or f"{file.name}, line {number} has more fields than the header; a text that holds '{delimiter}' must be quoted"
        record = dict(zip(names, values))
        if len(values) < len(names):
            record.update(dict.fromkeys(names[len(values) :], ""))
        record.pop("", None)
        if problem:
            record[PROBLEM] = problem
        yield number, record


def _split_by_tabs(source: _Lines) -> Iterator[_Values]:
    """Common Voice's tables hold bare quotation marks and tabs separate whatever these enclose; a field in quotes loses them."""
    source.begin()
    for line in source:
        if line.strip():
            values = line.rstrip("\r\n").split("\t")
            yield source.start, [_unquote(value) for value in values] if '"' in line else values, ""
        source.begin()


def _split_by_csv(source: _Lines, delimiter: str, file: Path, is_recording: Callable[[str], bool]) -> Iterator[_Values]:
    """Where a quotation mark does not close before the next row, its line alone is unusable."""
    csv.field_size_limit(LONGEST_FIELD)
    reader = csv.reader(source, delimiter=delimiter)
    rows: _Rows | None = None
    while True:
        source.begin()
        try:
            values, is_open = next(reader, None), source.ended
        except csv.Error as error:  # a field is too long
            if len(source.record) == 1:
                raise InputError(f"{file}, line {source.start}: {error}") from None
            values, is_open = [], True
        if values is None:
            return
        problem = ""
        if is_open or (len(source.record) > 1 and (not _is_well_quoted(source.record, delimiter) or (rows and rows.begins(source.record[0])))):
            problem = f"{file.name}, line {source.start}: a quotation mark opens there that does not close before the next row; close it, or double it"
            values = next(csv.reader([source.keep_first()], delimiter=delimiter))
        if problem or len(values) > 1 or (values and values[0].strip()):
            if rows is None:
                rows = _Rows(delimiter, max(2, len(values)), is_recording)
                source.is_row = rows.follows
            yield source.start, values, problem


def _is_well_quoted(record: list[str], delimiter: str) -> bool:
    try:
        return len(list(csv.reader(record, delimiter=delimiter, strict=True))) == 1
    except csv.Error:
        return False


@dataclass(frozen=True)
class _Rows:
    """What tells a row of a table from a line of quoted text: as many fields as the header, and a recording named where the quotation is."""

    delimiter: str
    fields: int
    is_recording: Callable[[str], bool]

    def begins(self, line: str) -> bool:
        """Whether a line that leaves a quotation open is a row of its own."""
        return self._is_row(line, line.rpartition('"')[2])

    def follows(self, line: str) -> bool:
        """Whether a line that begins inside of a quotation is a row of its own."""
        return self._is_row(line, line.partition('"')[0])

    def _is_row(self, line: str, quoted: str) -> bool:
        values = (value.strip() for value in quoted.split(self.delimiter))
        return line.count(self.delimiter) + 1 >= self.fields and any(is_audio(value) or self.is_recording(value) for value in values)


def _unquote(value: str) -> str:
    quoted = len(value) > 1 and value[0] == value[-1] == '"' and '"' not in value[1:-1].replace('""', "")
    return value[1:-1].replace('""', '"') if quoted else value


def json_records(file: Path) -> Iterator[tuple[int, dict]]:
    """(line, object) of JSON lines, or of one array of objects. InputError, naming the line, for anything else."""
    empty = True
    for number, text in lines(file):  # JSON text may hold the other line separators of Unicode: they end no line here
        if empty and text.lstrip().startswith("["):
            yield from _array_records(file)
            return
        empty = False
        try:
            record = json.loads(text)
        except ValueError as error:
            raise _no_manifest(file, number, error) from None
        if not isinstance(record, dict):
            raise _no_manifest(file, number, "that is no object")
        yield number, record
    if empty:
        raise InputError(f"{file} is empty")


def _array_records(file: Path) -> Iterator[tuple[int, dict]]:
    """(line, object) of a JSON array, whose text is held in memory."""
    text = "".join(raw_lines(file))
    decoder, place, number, counted = json.JSONDecoder(), text.index("[") + 1, 1, 0
    while True:
        place = BETWEEN_OBJECTS.match(text, place).end()
        number, counted = number + text.count("\n", counted, place), place
        if text.startswith("]", place) and not text[place + 1 :].strip():
            return
        try:
            record, place = decoder.raw_decode(text, place)
        except ValueError as error:
            raise _no_manifest(file, number, error) from None
        if not isinstance(record, dict):
            raise _no_manifest(file, number, "that is no object")
        yield number, record


def _no_manifest(file: Path, number: int, reason: object) -> InputError:
    return InputError(f"{file}, line {number}: not a manifest, which has one JSON object per line ({reason})")


def first_record(file: Path) -> dict:
    """The first object of JSON lines, {} where the file holds something else."""
    try:
        return next(json_records(file))[1]
    except (InputError, StopIteration):
        return {}


def first_line(file: Path) -> str:
    """The first line that is not blank; an empty one where the file holds no text."""
    try:
        return next(lines(file), (0, ""))[1]
    except InputError:
        return ""


def header_of(file: Path) -> list[str]:
    """The names in a table's first line, [] where there is none."""
    header = first_line(file)
    return next(csv.reader([header], delimiter=delimiter_of(header)), []) if header else []
