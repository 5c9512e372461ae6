"""Readers: every layout of recordings with transcripts that users have, as rows.

A source is recognised by what is there; `--layout` names a layout where that is not enough. Archives are unpacked and then recognised.
Text is passed on as it came. What a source says of speaker and material becomes slices under one name each (`columns.SLICE_COLUMNS`).
"""

import logging
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

from ...errors import ConfigError, InputError, nearest
from ..rows import Inside, Row
from . import arrow, common_voice, cuts, headerless, kaldi, librispeech, pairs, recordings, sphinx, tables
from .archives import LOOSE, is_archive, unpack
from .columns import AUDIO_COLUMNS, SLICE_COLUMNS, SPEAKER_COLUMNS, TEXT_COLUMNS, Columns, as_text, find_columns, role
from .source import Found, Layout, Request, is_recording, names_in, visible

__all__ = ["AUDIO_COLUMNS", "LAYOUTS", "SLICE_COLUMNS", "SPEAKER_COLUMNS", "TEXT_COLUMNS", "Columns", "Found", "Inside", "Row", "as_text", "find",
           "find_columns", "read", "role"]  # fmt: skip

log = logging.getLogger("asrx")

HUB = "hub"
ARCHIVE = "archive"
ON_DISK = (  # in the order in which a source is tried; what has the plainest mark comes first
    arrow.SAVED, common_voice.V1, common_voice.RELEASE, kaldi.KALDI, sphinx.SPHINX, cuts.LHOTSE, headerless.LJSPEECH, headerless.OPENSLR,
    tables.AUDIOFOLDER, librispeech.LIBRISPEECH, arrow.PARQUET, pairs.WEBDATASET, tables.NEMO, tables.TABLE, pairs.PAIRS,
)  # fmt: skip
NAMED = {layout.name: layout for layout in (*ON_DISK, recordings.RECORDINGS)}
LAYOUTS = (*NAMED, HUB)
NESTED = 3  # folders that may hold nothing but the corpus's own folder, as archives have them


def find(
    source: str,
    audio_dir: Path | None = None,
    layout: str | None = None,
    columns: Columns = Columns(),
    siblings: bool = True,
    unpacked: Path | None = None,
    untranscribed: bool = False,
    every_column: bool = False,
) -> Found:
    """What `source` is: a table, manifest, folder, archive, pattern of shards, or hub data set. Unpacks and downloads nothing.

    A folder, or with `siblings` a file that is named for the training split, brings the source's own splits along. `unpacked` is the
    folder in which `rows` may unpack archives or spool a hub data set, by default one below the system's folder for temporary files.
    With `untranscribed` a folder of recordings alone is a source, too; with `every_column` all columns of a table or manifest become slices.
    Raises InputError for what is missing, ambiguous or not recognised; ConfigError for an unknown layout.
    """
    if layout and layout not in LAYOUTS:
        raise ConfigError(f"there is no layout '{layout}'{nearest(layout, LAYOUTS)}; layouts: {', '.join(LAYOUTS)}")
    path = Path(source).expanduser()
    visible.cache_clear()
    request = Request(path, audio_dir, columns, siblings, unpacked, bool(layout), untranscribed, every_column)
    found = _found(request, source, layout)
    return replace(found, rows=partial(_at_least_one, found.rows, source))


def read(
    source: str,
    audio_dir: Path | None = None,
    layout: str | None = None,
    columns: Columns = Columns(),
    siblings: bool = True,
    unpacked: Path | None = None,
    every_column: bool = False,
) -> list[Row]:
    """Rows of `find` as a list, with unique ids; without `siblings` the held-out split is taken of a source with several."""
    rows = list(find(source, audio_dir, layout, columns, siblings, unpacked, every_column=every_column).rows())
    return _with_unique_ids(rows if siblings else _held_out(rows, source))


def _found(request: Request, source: str, layout: str | None) -> Found:
    path = request.path
    if layout == HUB or (not path.exists() and not layout and not pairs.PATTERN.search(source)):
        return _on_hub(request, source, layout)
    if not path.exists() and not pairs.PATTERN.search(path.name):
        raise InputError(f"there is no file or folder {source}")
    if path.is_file() and is_recording(path):
        raise InputError(f"{source} is a recording; give the table or folder that names it and has its text")
    if is_archive(path) and not (path.suffix.lower() == ".tar" and pairs.holds_pairs(path)):
        return Found(layout or ARCHIVE, (path,), partial(_rows_of_archives, [path], [], request, layout))
    if layout:
        return _as(NAMED[layout], request)
    found = _recognised(request, NESTED) or (recordings.RECORDINGS.find(request) if request.untranscribed else None)
    if found is None:
        known = ", ".join(LAYOUTS)
        what = f"found: {names_in(path)}" if path.is_dir() else "no such files" if not path.exists() else "no table"
        raise InputError(f"{source}: cannot tell how recordings and transcripts are laid out here ({what}); give a table, or --layout, one of {known}")
    return found


def _recognised(request: Request, nested: int) -> Found | None:
    """The first layout that fits the source, else the only folder in it, else the archives in it."""
    found = next((found for layout in ON_DISK if (found := layout.find(request))), None)
    if found or not request.path.is_dir():
        return found
    below = visible(request.path)
    inner = [child for child in below if child.is_dir()]
    if len(inner) == 1 and nested and (found := _recognised(replace(request, path=inner[0]), nested - 1)):
        return found
    archives = [file for file in below if is_archive(file)]
    loose = [file for file in below if file.suffix.lower() in LOOSE and file.is_file()]
    return Found(ARCHIVE, (*archives, *loose), partial(_rows_of_archives, archives, loose, request, None)) if archives else None


def _as(layout: Layout, request: Request) -> Found:
    """The source in the layout that the user named, or in the only folder inside. InputError that says what is missing."""
    place = request
    for _ in range(NESTED + 1):
        if found := layout.find(place):
            return found
        inner = [child for child in visible(place.path) if child.is_dir()] if place.path.is_dir() else []
        if len(inner) != 1:
            break
        place = replace(place, path=inner[0])
    what = f"it holds {names_in(request.path)}" if request.path.is_dir() else "it is a file"
    raise InputError(f"{request.path} is not of layout {layout.name}, which is {layout.expects}; {what}")


def _on_hub(request: Request, source: str, layout: str | None) -> Found:
    from .. import hub

    is_table = request.path.suffix.lower() in (*tables.TABLES, *tables.MANIFESTS, ".txt", ".parquet", *(".tar", ".gz", ".zip"))
    if not layout and (is_table or not hub.may_be_name(source, request.path)):
        raise InputError(f"there is no file or folder {source}")
    return Found(HUB, (), lambda: hub.rows(source, request.columns, request.unpacked))


def _rows_of_archives(archives: list[Path], loose: list[Path], request: Request, layout: str | None) -> Iterator[Row]:
    folder = unpack(archives, request.unpacked, loose)
    visible.cache_clear()
    try:
        yield from _found(replace(request, path=folder), str(folder), layout).rows()
    except InputError as error:
        raise InputError(f"{archives[0] if len(archives) == 1 else request.path}: {error}") from None


def _at_least_one(rows: Callable[[], Iterator[Row]], source: str) -> Iterator[Row]:
    empty = True
    for row in rows():
        empty = False
        yield row
    if empty:
        raise InputError(f"{source} holds no utterances (only a header, or nothing at all)")


def _held_out(rows: list[Row], source: str) -> list[Row]:
    """Of a source with splits of its own, what was not meant for training: test, else validation."""
    if not any(row.split for row in rows):
        return rows
    chosen = next((split for split in ("test", "validation") if any(row.split == split for row in rows)), None)
    if chosen is None:
        raise InputError(f"{source} holds training utterances only; name a held-out table")
    log.info("%s: its %s split is the held-out set", source, chosen)
    return [row for row in rows if row.split == chosen]


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
        unique.append(row if name == row.id else replace(row, id=name))
    return unique
