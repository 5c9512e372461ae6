"""Transcripts in tables without a header: the corpora of OpenSLR, and LJSpeech."""

import filecmp
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from ..rows import Row
from .archives import is_archive, unpack
from .audio_files import AudioFinder, AudioTree, warn_without_transcript
from .columns import AUDIO_COLUMNS, TEXT_COLUMNS, detect, role
from .lines import first_line, lines
from .source import Found, Layout, Request, folders, visible

OPENSLR_NAMES = re.compile(r"(utt_spk_text|line_index)\w*\.(tsv|csv|txt)", re.ASCII)
TABLES = (".tsv", ".csv")
DEPTH = 2  # folders down to a table
LOOKED_INTO = 300  # folders, before a tree is taken for something else
SPEAKER_IN_ID = re.compile(r"([A-Za-z]{2,5}_\d{2,})_\d+$")  # nep_0258_0119737288: language and sex, speaker, utterance


@dataclass(frozen=True)
class _Shape:
    """Which field of a header-less table is what; the text is always the last one."""

    delimiter: str
    fields: int
    audio: int
    speaker: int | None

    def split(self, line: str) -> list[str]:
        return [field.strip() for field in line.split(self.delimiter, self.fields - 1)]


def _shape(table: Path, tree: AudioTree) -> _Shape:
    """OpenSLR 54 has id, speaker, text; 43 and 64 to 86 have id, text; the British Isles (83) have sentence, id, text."""
    header = first_line(table)
    delimiter = "\t" if "\t" in header else ","
    fields = min(header.count(delimiter), 2) + 1
    names = [field.strip() for field in header.split(delimiter, fields - 1)]
    audio = next((index for index, name in enumerate(names[:-1]) if tree.find(name)), 0)
    return _Shape(delimiter, fields, audio, 1 if fields == 3 and audio == 0 else None)


def _has_header(table: Path, tree: AudioTree) -> bool:
    """Whether the first line names columns; it does not if it names a recording, whatever that is called."""
    names = [name.strip() for name in re.split(r"[\t,]", first_line(table))]
    is_header = bool(detect(names, AUDIO_COLUMNS) and detect(names, TEXT_COLUMNS))
    return is_header and not any(tree.find(name) for name in names[:2])


def _find_openslr(request: Request) -> Found | None:
    path = request.path
    folder = path.parent if path.is_file() else path
    tables = [path] if path.is_file() else _tables(path, request.forced)
    if not tables or not (request.forced or any(OPENSLR_NAMES.fullmatch(table.name) for table in tables) or _names_no_columns(tables)):
        return None
    tree = AudioTree(request.audio_dir or folder)
    if not len(tree) and (archives := [file for file in visible(folder) if is_archive(file)]):
        return Found("openslr", (*tables, *archives), lambda: _rows_of_parts(archives, tables, request))
    if not request.forced and (not _any_recording(tables, tree) or any(_has_header(table, tree) for table in tables)):
        return None
    return Found("openslr", tuple(tables), lambda: _rows(tables, AudioTree(request.audio_dir or folder)), tree.listing())


def _rows_of_parts(archives: list[Path], tables: list[Path], request: Request) -> Iterator[Row]:
    """Rows of a table whose recordings are still in the archives beside it: asr_nepali_0.zip and on."""
    folder = unpack(archives, request.unpacked, tables)
    return _rows([folder / table.name for table in tables], AudioTree(folder))


def _tables(folder: Path, forced: bool) -> list[Path]:
    """Tables at the top or in a folder below (one for women, one for men; one in each part), without copies of each other."""
    near = islice(folders(folder, DEPTH), LOOKED_INTO)
    named = [Path(place, name) for place, names in near for name in names if OPENSLR_NAMES.fullmatch(name)]
    top = [] if named else visible(folder)
    tables = named or [file for file in top if file.suffix.lower() == ".tsv" or (forced and file.suffix.lower() in TABLES)]
    return [table for index, table in enumerate(tables) if not any(filecmp.cmp(table, other, shallow=False) for other in tables[:index])]


def _names_no_columns(tables: list[Path]) -> bool:
    """Whether no table has names of columns in its first line, or only such as a recording could have too."""
    headers = [first_line(table).split("\t") for table in tables if table.suffix.lower() == ".tsv"]
    return len(headers) == len(tables) and all(2 <= len(names) <= 3 for names in headers)


def _any_recording(tables: list[Path], tree: AudioTree) -> bool:
    """Whether a table's name is known, or one of the first ids is a recording."""
    names = [name.strip() for table in tables for name in first_line(table).split("\t")[:2]]
    return bool(OPENSLR_NAMES.fullmatch(tables[0].name)) or any(tree.find(name) for name in names)


def _rows(tables: list[Path], tree: AudioTree) -> Iterator[Row]:
    named: set[str] = set()
    for table in tables:
        shape = _shape(table, tree)
        for number, line in lines(table):
            fields = shape.split(line)
            if len(fields) < shape.fields:
                problem = f"{table.name}, line {number} has {len(fields)} of {shape.fields} fields"
                yield Row(fields[0], tree.find(fields[0]) or Path(), "", problem=problem)
                continue
            name = fields[shape.audio]
            audio = tree.find(name)
            if audio:
                named.add(audio.stem)
            yield Row(name, audio or tree.expected(name), fields[-1], _speaker(fields, shape), role(table.stem))
    warn_without_transcript(str(tables[0].parent), len(tree) - len(named), "")


def _speaker(fields: list[str], shape: _Shape) -> str:
    if shape.speaker is not None:
        return fields[shape.speaker]
    match = SPEAKER_IN_ID.match(fields[shape.audio])
    return match[1] if match else ""


def _find_ljspeech(request: Request) -> Found | None:
    """`metadata.csv` with `id|as written|as spoken` and no header. Quotation marks are text."""
    table = request.path if request.path.is_file() else request.path / "metadata.csv"
    if not table.is_file() or not (request.forced or table.name == "metadata.csv"):
        return None
    names = first_line(table).split("|")
    finder = AudioFinder(table.parent, request.audio_dir, below=("wavs", "wav"))
    if len(names) not in (2, 3) or (not request.forced and not finder.has(names[0])):
        return None
    return Found("ljspeech", (table,), lambda: _ljspeech_rows(table, request), finder.listing())


def _ljspeech_rows(table: Path, request: Request) -> Iterator[Row]:
    finder = AudioFinder(table.parent, request.audio_dir, below=("wavs", "wav"))
    for number, line in lines(table):
        name, *texts = line.split("|")
        problem = "" if texts else f"{table.name}, line {number} has no '|' and so no transcript"
        yield Row(name, finder.find(name), next((text for text in reversed(texts) if text.strip()), ""), problem=problem)
    finder.warn_of_unused(str(table.parent))


OPENSLR = Layout("openslr", "a table without a header (id, speaker, text or id, text), such as line_index.tsv, above recordings named by id", _find_openslr)
LJSPEECH = Layout("ljspeech", "metadata.csv without a header (id|text|normalised text) beside wavs/", _find_ljspeech)
