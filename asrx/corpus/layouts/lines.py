"""Text files of sources, line by line: UTF-8 with or without a byte order mark, plain or gzipped."""

import csv
import gzip
import io
import itertools
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from ...errors import InputError

LONGEST_FIELD = 1 << 24  # characters; Python's own limit is below some transcripts


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


def table_records(file: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """(line, fields by column) of a table with a header. Comma, semicolon, tab and bar separate.

    InputError, naming the line, for a row with more fields than the header has.
    """
    stream = enumerate(raw_lines(file), 1)
    start, header = next(((number, line) for number, line in stream if line.strip()), (0, ""))
    if not start:
        raise InputError(f"{file} is empty")
    content = itertools.chain([header], (line for _, line in stream))
    delimiter = "\t" if "\t" in header else max(",;|", key=header.count)
    rows = _split_by_tabs(content) if delimiter == "\t" else _split_by_csv(content, delimiter, f"{file}, line", start - 1)
    names = next(rows)[1]
    for number, values in rows:
        if len(values) > len(names) and any(value.strip() for value in values[len(names) :]):
            raise InputError(f"{file}, line {start - 1 + number}: more fields than the header has; a text that holds '{delimiter}' must be quoted")
        record = dict(zip(names, values))
        if len(values) < len(names):
            record.update(dict.fromkeys(names[len(values) :], ""))
        record.pop("", None)
        yield start - 1 + number, record


def _split_by_tabs(content: Iterator[str]) -> Iterator[tuple[int, list[str]]]:
    """Common Voice's tables hold bare quotation marks and tabs separate whatever these enclose; a field in quotes loses them."""
    for number, line in enumerate(content, 1):
        if line.strip():
            values = line.rstrip("\r\n").split("\t")
            yield number, [_unquote(value) for value in values] if '"' in line else values


def _split_by_csv(content: Iterator[str], delimiter: str, where: str, before: int) -> Iterator[tuple[int, list[str]]]:
    csv.field_size_limit(LONGEST_FIELD)
    reader = csv.reader(content, delimiter=delimiter)
    try:
        yield from ((reader.line_num, values) for values in reader if len(values) > 1 or (values and values[0].strip()))
    except csv.Error as error:
        raise InputError(f"{where} {before + reader.line_num}: {error}") from None


def _unquote(value: str) -> str:
    quoted = len(value) > 1 and value[0] == value[-1] == '"' and '"' not in value[1:-1].replace('""', "")
    return value[1:-1].replace('""', '"') if quoted else value


def json_records(file: Path) -> Iterator[tuple[int, dict]]:
    """(line, object) of JSON lines. InputError, naming the line, for anything else."""
    empty = True
    for number, text in lines(file):  # JSON text may hold the other line separators of Unicode: they end no line here
        empty = False
        try:
            record = json.loads(text)
            if not isinstance(record, dict):
                raise ValueError("a line must be one JSON object")
        except ValueError as error:
            raise InputError(f"{file}, line {number}: not a manifest of JSON lines ({error})") from None
        yield number, record
    if empty:
        raise InputError(f"{file} is empty")


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
    delimiter = "\t" if "\t" in header else max(",;|", key=header.count)
    return next(csv.reader([header], delimiter=delimiter), []) if header else []
