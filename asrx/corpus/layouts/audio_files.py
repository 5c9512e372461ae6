"""Where the recordings of a source lie. Each folder is listed once, so that 200,000 names cost no 200,000 questions to the disk."""

import logging
import os
from dataclasses import dataclass
from pathlib import Path

from ...errors import InputError
from .source import folders, is_audio

log = logging.getLogger("asrx")

SUFFIXES = ("", ".mp3", ".wav", ".flac", ".ogg", ".opus", ".sph", ".m4a", ".webm")  # tried in turn behind a name; Common Voice leaves .mp3 out


@dataclass(frozen=True)
class _Folder:
    """The files of a folder, and whether a transcript names them."""

    path: Path
    used: dict[str, bool]


class AudioFinder:
    """Finds a table's audio value: absolute, in the audio folder, beside the table, or in its `clips`.

    Holds the names of the folders that it looked into: about 100 bytes for each file there.
    """

    def __init__(self, beside: Path, audio_dir: Path | None = None, below: tuple[str, ...] = ("clips",), suffixes: tuple[str, ...] = SUFFIXES) -> None:
        if audio_dir is not None and not audio_dir.is_dir():
            raise InputError(f"there is no audio folder {audio_dir}")
        self.roots = [str(audio_dir)] if audio_dir else [str(beside), *(str(beside / name) for name in below)]
        self._suffixes = suffixes
        self._folders: dict[str, _Folder] = {}

    def find(self, value: str) -> Path:
        """The file, or where it was expected first if it is nowhere; an empty path for an empty value."""
        if not value:
            return Path()
        given = value.replace("\\", "/")
        folder, slash, name = given.rpartition("/")
        if given.startswith("/"):
            places = [folder or "/"]
        else:
            places = [f"{root}/{folder}" for root in self.roots] + self.roots if slash else self.roots
        for suffix in self._suffixes:
            named = name + suffix
            for place in places:
                folder = self._folders.get(place) or self._listed(place)
                if named in folder.used:
                    folder.used[named] = True
                    return folder.path / named
        return Path(places[0], name)

    def has(self, value: str) -> bool:
        """Whether there is such a file."""
        return self.find(value).is_file()

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
        self.listed: list[Path] = []
        self._root = root
        self._patterns: dict[str, str] = {}  # stem to a pattern that all recordings of a folder share
        for folder, names in folders(root):
            self.listed.append(Path(folder))
            shared: dict[str, str] = {}
            for name in names:
                stem, suffix = os.path.splitext(name)
                if is_audio(name) or suffix.lower() in suffixes:
                    self._patterns.setdefault(stem, shared.setdefault(suffix, f"{folder}/\0{suffix}"))

    def __len__(self) -> int:
        return len(self._patterns)

    def find(self, name: str) -> Path | None:
        """The recording of this name, with or without its suffix; None if there is none."""
        stem = os.path.basename(name)
        if stem not in self._patterns and is_audio(stem):
            stem = os.path.splitext(stem)[0]
        pattern = self._patterns.get(stem)
        return Path(pattern.replace("\0", stem)) if pattern else None

    def expected(self, name: str) -> Path:
        """The recording of this name, or where somebody may look for it."""
        return self.find(name) or self._root / name


def warn_without_transcript(where: str, count: int, example: str) -> None:
    """One line about recordings that nothing can be learned from."""
    if count:
        log.warning("%s: %d recordings have no transcript and are left out, such as %s", where, count, example)
