"""A folder of recordings that training mixes in, noises or impulse responses: decoded once under ASRX_HOME, memory-mapped from then on."""

import hashlib
import json
import logging
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from .. import tracking
from ..errors import ConfigError, InputError
from ..files import folder_written_at_once, locked
from ..options import Augment
from ..recognizer.audio import AudioError, is_silent, load, to_int16

log = logging.getLogger("asrx")

SUFFIXES = (".wav", ".flac", ".mp3", ".ogg", ".opus", ".sph", ".aif", ".aiff", ".au", ".m4a", ".webm")  # of audio; licences and lists lie beside it
SAMPLES, ENDS = "samples.i16", "ends.npy"
FOLDERS = ("noise", "reverb")  # options of `augment` that name one


@dataclass(frozen=True)
class Sounds:
    """Recordings at 16 kHz, each with its peak at full scale."""

    folder: Path  # that holds them decoded, one after another

    def draw(self, random: np.random.Generator) -> np.ndarray:
        """One of them, all alike probable: int16, shape (time,), mapped from the disk."""
        number = int(random.integers(len(self._ends)))
        return self._samples[int(self._ends[number - 1]) if number else 0 : int(self._ends[number])]

    @cached_property
    def _ends(self) -> np.ndarray:
        return np.load(self.folder / ENDS)

    @cached_property
    def _samples(self) -> np.ndarray:
        return np.memmap(self.folder / SAMPLES, np.int16, "r")


def opened(option: str, folder: str) -> Sounds:
    """The recordings in and below `folder`, which `option` names. ConfigError where there are none, InputError for one that cannot be used."""
    files = _files(option, folder)
    kept = tracking.home() / "sounds" / _digest([[str(file), file.stat().st_size, file.stat().st_mtime_ns] for file in files])
    with locked(kept):
        if not (kept / ENDS).is_file():
            log.info("decoding the %s recordings of %s, once", f"{len(files):,}", folder)
            _decode(files, kept)
        os.utime(kept)  # used now, says `prune`
    return Sounds(kept)


def content(options: Augment) -> str:
    """Digest of the names and sizes of the recordings in all folders, empty without any: another digest, another training. ConfigError as `opened`."""
    named = {name: getattr(options, name) for name in FOLDERS if getattr(options, name)}
    listed = [
        [name, str(file.relative_to(folder)), file.stat().st_size] for name, folder in named.items() for file in _files(f"augment.{name}", folder)
    ]
    return _digest(listed) if listed else ""


def decode(options: Augment) -> None:
    """Decode what the options name, so that training finds it ready. Raises what `opened` raises."""
    for name in FOLDERS:
        if folder := getattr(options, name):
            opened(f"augment.{name}", folder)


def _files(option: str, folder: str) -> list[Path]:
    root = Path(folder)
    if not root.is_dir():
        raise ConfigError(f"{option}={folder}: there is no such folder")
    files = sorted(path for path in root.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    if not files:
        raise ConfigError(f"{option}={folder}: there is no audio in or below this folder ({', '.join(SUFFIXES)})")
    return files


def _decode(files: list[Path], target: Path) -> None:
    ends = []
    with folder_written_at_once(target) as folder:
        with (folder / SAMPLES).open("wb") as file:
            for path in files:
                file.write(_full_scale(path).tobytes())
                ends.append(file.tell() // np.dtype(np.int16).itemsize)
        np.save(folder / ENDS, np.array(ends, np.int64))


def _full_scale(path: Path) -> np.ndarray:
    """The first channel: the mean of microphones that stand apart is a filter that no room has."""
    try:
        samples = load(str(path), channel=0).samples
    except AudioError as error:
        raise InputError(f"{path} {error}") from None
    if is_silent(samples):
        raise InputError(f"{path} is silent: take it out of the folder")
    return to_int16(samples / np.abs(samples).max())


def _digest(listed: list[list[str | int]]) -> str:
    return hashlib.sha256(json.dumps(listed).encode()).hexdigest()[:16]
