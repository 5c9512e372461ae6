"""Mozilla Common Voice: the first release as Kaggle has it, and the releases since 2019, folder by folder as the tarball has them."""

from array import array
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from ...errors import InputError
from ..rows import Row
from .columns import positive, role
from .lines import raw_lines, table_records
from .source import Found, Layout, Request, visible
from .tables import Part, Reader, found, with_partner

SPLITS = ("train", "dev", "validation", "test")
VALIDATED = "validated.tsv"
DURATIONS = "clip_durations.tsv"  # `clip` and `duration[ms]`, of every clip of the release


class ClipDurations:
    """Seconds by clip. English has two million clips: 16 bytes each, by the hash of the name."""

    def __init__(self, file: Path) -> None:
        import numpy as np

        hashes, milliseconds = array("q"), array("q")
        for line in raw_lines(file):
            name, _, duration = line.partition("\t")
            if (length := positive(duration)) is not None:  # the header is none
                hashes.append(hash(name))
                milliseconds.append(round(length))
        order = np.argsort(np.array(hashes))
        self._hashes = array("q", np.array(hashes)[order].tobytes())
        self._milliseconds = array("q", np.array(milliseconds)[order].tobytes())

    def get(self, clip: str) -> float | None:
        """Seconds that a clip lasts; None where the release does not say."""
        wanted = hash(clip if clip.endswith(".mp3") else f"{clip}.mp3")
        place = bisect_left(self._hashes, wanted)
        return self._milliseconds[place] / 1000 if place < len(self._hashes) and self._hashes[place] == wanted else None


def _found(folder: Path, request: Request, parts: list[Part]) -> Found:
    durations = (folder / DURATIONS,) if (folder / DURATIONS).is_file() else ()
    plain = found("common_voice", parts, Reader(table_records, request), durations)
    return replace(plain, rows=lambda: _rows_with_durations(durations[0], request, parts)) if durations else plain


def _rows_with_durations(durations: Path, request: Request, parts: list[Part]) -> Iterator[Row]:
    seconds = ClipDurations(durations)
    return Reader(table_records, request, lambda value, _: seconds.get(value)).rows(parts)


def _find_release(request: Request) -> Found | None:
    path = request.path
    if path.is_file():
        is_part = path.suffix == ".tsv" and (path.stem in SPLITS or (path.parent / VALIDATED).is_file()) and _is_release(path.parent)
        return _found(path.parent, request, with_partner(path, request.siblings)) if is_part else None
    locales = [path] if _is_release(path) else _locales(path)
    if len(locales) > 1:
        names = ", ".join(folder.name for folder in locales)
        raise InputError(f"{path} holds Common Voice in several languages ({names}); give the folder of one, such as {locales[0]}")
    return _found(locales[0], request, _parts(locales[0])) if locales else None


def _is_release(folder: Path) -> bool:
    has_clips = (folder / "clips").is_dir() or (folder / VALIDATED).is_file()
    return has_clips and any((folder / f"{name}.tsv").is_file() for name in (*SPLITS, "validated"))


def _locales(folder: Path) -> list[Path]:
    """Folders of locales in a release, or in the folder that the tarball of one holds: cv-corpus-11.0-2022-09-21/it."""
    below = [child for child in visible(folder) if child.is_dir()]
    return [child for child in below if _is_release(child)] or [inner for child in below[:50] for inner in visible(child) if _is_release(inner)]


def _parts(folder: Path) -> list[Part]:
    """The official splits, or where there are none (small languages) all that was validated."""
    splits = [(file, role(name)) for name in SPLITS if (file := folder / f"{name}.tsv").is_file()]
    return splits if any(split == "train" for _, split in splits) or not (folder / VALIDATED).is_file() else [(folder / VALIDATED, None)]


def _find_v1(request: Request) -> Found | None:
    path, reader = request.path, Reader(table_records, request)
    if path.is_file():
        return found("common_voice_v1", with_partner(path, request.siblings), reader) if path.name.startswith("cv-") and path.suffix == ".csv" else None
    parts = [(file, role(file.stem)) for file in visible(path) if file.name.startswith("cv-valid-") and file.suffix == ".csv"]
    return found("common_voice_v1", parts, reader) if parts else None


V1 = Layout("common_voice_v1", "cv-valid-train.csv, cv-valid-dev.csv and cv-valid-test.csv beside folders of the same names", _find_v1)
RELEASE = Layout("common_voice", "train.tsv, dev.tsv, test.tsv or validated.tsv beside clips/, as a release or its tarball has them", _find_release)
