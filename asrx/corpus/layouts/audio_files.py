"""Where the recordings of a source lie. Each folder is listed once, so that 200,000 names cost no 200,000 questions to the disk."""

import logging
import os
import re
import unicodedata
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from ...errors import InputError
from .source import digest_of, folders, is_audio

log = logging.getLogger("asrx")

SUFFIXES = ("", ".mp3", ".wav", ".flac", ".ogg", ".opus", ".sph", ".m4a", ".webm")  # tried in turn behind a name; Common Voice leaves .mp3 out
URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")


@dataclass(frozen=True)
class _Folder:
    """The files of a folder, and whether a transcript names them."""

    path: Path
    used: dict[str, bool]

    @cached_property
    def respelled(self) -> dict[str, str]:
        """Names by their common spelling, where that is another one."""
        return {spelling: name for name in sorted(self.used) if (spelling := _spelling(name)) != name}


def _spelling(name: str) -> str:
    """What x.WAV and x.wav have in common, and é as one character and as e with an accent (macOS)."""
    stem, dot, suffix = name.rpartition(".")
    spelling = f"{stem}.{suffix.lower()}" if dot else name
    return spelling if spelling.isascii() else unicodedata.normalize("NFC", spelling)


def _composed(folder: str) -> list[str]:
    """The ways in which Unicode may write the letters of a path; the given one first."""
    return [folder] if folder.isascii() else list(dict.fromkeys((folder, *(unicodedata.normalize(form, folder) for form in ("NFC", "NFD")))))


def url_problem(value: str) -> str:
    """Why an audio value cannot be read, if it is a URL."""
    return f"{value[:200]} is a URL; download it first and name the file" if "://" in value and URL.match(value) else ""


class AudioFinder:
    """Finds a table's audio value: absolute, in the audio folder, beside the table, or in its `clips`.

    A name that is not there as given is looked for in other spellings: of its suffix, and of composed letters.

    Holds the names of the folders that it looked into: about 100 bytes for each file there.
    """

    def __init__(self, beside: Path, audio_dir: Path | None = None, below: tuple[str, ...] = ("clips",), suffixes: tuple[str, ...] = SUFFIXES) -> None:
        if audio_dir is not None and not audio_dir.is_dir():
            raise InputError(f"there is no audio folder {audio_dir}")
        self.roots = [str(audio_dir)] if audio_dir else [str(beside), *(str(beside / name) for name in below)]
        self._suffixes = suffixes
        self._folders: dict[str, _Folder] = {}
        self._last: tuple[str, list[str]] = "", self.roots  # a folder that values name, and the places it stands for

    def find(self, value: str) -> Path:
        """The file, or where it was expected first if it is nowhere; an empty path for an empty value."""
        if not value:
            return Path()
        folder, name = self._taken_apart(value)
        places = self._places(folder)
        return self._as_given(places, name) or self._respelled(folder, name) or Path(places[0], name)

    def has(self, value: str) -> bool:
        """Whether there is such a file."""
        folder, name = self._taken_apart(value)
        return bool(name and (self._as_given(self._places(folder), name) or self._respelled(folder, name)))

    def listing(self) -> str:
        """Digest of the names of the recordings in the folders in which values are looked for."""
        return digest_of((str(number), sorted(filter(is_audio, self._listed(root).used))) for number, root in enumerate(self.roots))

    @staticmethod
    def _taken_apart(value: str) -> tuple[str, str]:
        folder, slash, name = value.replace("\\", "/").rpartition("/")
        if folder.startswith("."):
            folder, slash = os.path.normpath(folder), ""
        return "" if folder == "." else folder or slash, name

    def _places(self, folder: str) -> list[str]:
        """Where the files of a folder may lie. Archives of Kaggle's hold it twice: cv-valid-train/cv-valid-train/sample-000000.mp3."""
        if not folder:
            return self.roots
        if folder.startswith("/"):
            return [folder]
        if folder != self._last[0]:
            twice = f"{folder}/{folder.rpartition('/')[2]}"
            self._last = folder, [*(f"{root}/{folder}" for root in self.roots), *self.roots, *(f"{root}/{twice}" for root in self.roots)]
        return self._last[1]

    def _as_given(self, places: list[str], name: str) -> Path | None:
        for suffix in self._suffixes:
            named = name + suffix
            for place in places:
                folder = self._folders.get(place) or self._listed(place)
                if named in folder.used:
                    folder.used[named] = True
                    return folder.path / named
        return None

    def _respelled(self, folder: str, name: str) -> Path | None:
        places = [place for composed in _composed(folder) for place in self._places(composed)]
        for suffix in self._suffixes:
            spelling = _spelling(name + suffix)
            for place in places:
                listed = self._folders.get(place) or self._listed(place)
                named = spelling if spelling in listed.used else listed.respelled.get(spelling)
                if named is not None:
                    listed.used[named] = True
                    return listed.path / named
        return None

    def _listed(self, place: str) -> "_Folder":
        try:
            used = {entry.name: False for entry in os.scandir(place) if entry.is_file()}
        except (OSError, ValueError):
            used = {}
        self._folders[place] = _Folder(Path(place), used)
        return self._folders[place]

    def warn_of_unused(self, where: str) -> None:
        """Say once how many recordings no transcript names."""
        unused = [name for folder in self._folders.values() for name, used in folder.used.items() if not used and is_audio(name)]
        warn_without_transcript(where, len(unused), next(iter(unused), ""))


class AudioTree:
    """Recordings anywhere below a folder, by the stem of their names. About 150 bytes each."""

    def __init__(self, root: Path, suffixes: tuple[str, ...] = ()) -> None:
        self._root = root
        self._patterns: dict[str, str] = {}  # stem to a pattern that all recordings of a folder share
        for folder, names in folders(root):
            shared: dict[str, str] = {}
            for name in names:
                stem, suffix = os.path.splitext(name)
                if is_audio(name) or suffix.lower() in suffixes:
                    self._patterns.setdefault(stem, shared.setdefault(suffix, f"{folder}/\0{suffix}"))

    def __len__(self) -> int:
        return len(self._patterns)

    def listing(self) -> str:
        """Digest of the names of the recordings and of where each lies."""
        return digest_of((pattern.removeprefix(str(self._root)), [stem]) for stem, pattern in self._patterns.items())

    def find(self, name: str) -> Path | None:
        """The recording of this name, with or without its suffix; None if there is none."""
        stem = os.path.basename(name)
        if stem not in self._patterns and is_audio(stem):
            stem = os.path.splitext(stem)[0]
        if stem not in self._patterns and not stem.isascii():
            stem = self._composed.get(unicodedata.normalize("NFC", stem), stem)
        pattern = self._patterns.get(stem)
        return Path(pattern.replace("\0", stem)) if pattern else None

    @cached_property
    def _composed(self) -> dict[str, str]:
        return {unicodedata.normalize("NFC", stem): stem for stem in self._patterns if not stem.isascii()}

    def expected(self, name: str) -> Path:
        """The recording of this name, or where somebody may look for it."""
        return self.find(name) or self._root / name


def warn_without_transcript(where: str, count: int, example: str) -> None:
    """One line about recordings that nothing can be learned from."""
    if count:
        log.warning("%s: %d recordings have no transcript and are left out, such as %s", where, count, example)
