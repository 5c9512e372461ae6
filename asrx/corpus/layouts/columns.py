"""Columns of tables and keys of manifests: which one holds the audio, the text, the speaker, and what else a row carries along."""

import math
import os.path
import re
from collections.abc import Container, Mapping
from dataclasses import dataclass
from functools import lru_cache

from ...errors import InputError, nearest

AUDIO_COLUMNS = ("audio", "path", "filename", "file_name", "file", "audio_filepath", "audio_path", "filepath", "file_path",
                 "wav_filename", "wav", "audio_file", "clip", "recording")  # fmt: skip
TEXT_COLUMNS = ("text", "sentence", "transcript", "transcription", "raw_text", "normalized_text", "label", "reference", "words")
SPEAKER_COLUMNS = ("client_id", "speaker", "speaker_id", "spk_id", "spk", "user_id")
SLICE_COLUMNS = {  # what a table calls it, and the one name that the slice has
    "accent": "accent", "accents": "accent", "gender": "gender", "sex": "gender", "age": "age", "age_group": "age", "locale": "locale",
    "language": "language", "lang": "language", "variant": "variant", "dialect": "dialect", "domain": "domain", "sentence_domain": "domain",
}  # fmt: skip
SPLIT_WORDS = {"train": "train", "dev": "validation", "val": "validation", "valid": "validation", "validation": "validation", "test": "test"}


@dataclass(frozen=True)
class Columns:
    """Names of the columns, where the user gave them."""

    audio: str | None = None
    text: str | None = None


def role(name: str) -> str | None:
    """The split that a file or hub split is named for: `cv-valid-train` → train, `dev` → validation; None if for none."""
    words = [word for word in re.split(r"[-_. ]", name.lower()) if word in SPLIT_WORDS]
    return SPLIT_WORDS[words[-1]] if words else None


def without_role(stem: str) -> list[str]:
    """The words of a file name, with a gap for the last one that names a split."""
    words = re.split(r"([-_. ])", stem.lower())
    last = max((index for index, word in enumerate(words) if word in SPLIT_WORDS), default=None)
    return ["" if index == last else word for index, word in enumerate(words)]


def find_columns(names: list[str], columns: Columns, where: str) -> tuple[str, str]:
    """The audio and the text column: as given, else detected. InputError if there is none."""
    return find_column("audio", names, columns.audio, AUDIO_COLUMNS, where), find_column("text", names, columns.text, TEXT_COLUMNS, where)


def find_column(kind: str, names: list[str], given: str | None, known: tuple[str, ...], where: str) -> str:
    """The column that holds the `kind`: as given, else the first of `known`. InputError if there is none."""
    if given and given not in names:
        raise InputError(f"{where} has no column '{given}'{nearest(given, names)}; it has {', '.join(names)}")
    found = given or detect(names, known)
    if not found:
        raise InputError(f"{where}: which column holds the {kind}? It has {', '.join(names)}; name it with --{kind}-column")
    return found


def detect(names: list[str], known: tuple[str, ...]) -> str | None:
    """The name that comes first in `known`, whatever its case."""
    lowered = {name.strip().lower(): name for name in reversed(names)}
    return next((lowered[word] for word in known if word in lowered), None)


def as_text(value: object) -> str:
    """A field as text. JSON can hold halves of surrogate pairs, which nothing can store: they become `?`."""
    if isinstance(value, str) and value.isascii():
        return value
    return "" if value is None else str(value).encode(errors="replace").decode()


def slices_of(record: Mapping[str, object], everything: bool = False, but: Container[str | None] = ()) -> dict[str, str]:
    """What a record says of speaker and material, under the names of SLICE_COLUMNS; nothing for what it leaves empty.

    `everything`: all other columns, too, as they are called, except `but`; NaN is how parquet leaves a number empty.
    """
    slices: dict[str, str] = {}
    for name, key in _slice_columns(tuple(record)):
        if (value := record[name]) and key not in slices:
            slices[key] = value if isinstance(value, str) and value.isascii() else as_text(value)
    if everything:
        plain = {name: as_text(value) for name, value in record.items() if name not in but and value == value and not isinstance(value, list | dict)}
        slices |= {name.strip(): value for name, value in plain.items() if value and name.strip().lower() not in SLICE_COLUMNS}
    return slices


@lru_cache(maxsize=256)
def _slice_columns(names: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    return tuple((name, SLICE_COLUMNS[word]) for name in names if (word := name.strip().lower()) in SLICE_COLUMNS)


def seconds_of(record: Mapping[str, object], name: str, where: str) -> float | None:
    """A field in seconds, None where it is empty. InputError for what is no time."""
    value = record.get(name)
    if value is None or value == "":
        return None
    seconds = positive(value)
    if seconds is None:
        raise InputError(f"{where}: {name} is {value!r}; it must be seconds, 0 or more")
    return seconds


def positive(value: object) -> float | None:
    """A finite number of 0 or more, or None for anything else."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if 0 <= number < math.inf else None


def identity(value: str, line: int, offset: float | None = None) -> str:
    """The id of an utterance: its recording's name without the suffix, and where in it; `line-7` where it has no name."""
    if "/" in value or value.startswith("."):
        stem = os.path.splitext(os.path.normpath(value))[0] if value.strip("./") else ""
    else:
        stem = value.rpartition(".")[0] or value
    stem = as_text(stem) or f"line-{line}"
    return f"{stem}@{offset:g}" if offset else stem
