"""Log-mel features of the training utterances, computed once, kept under ASRX_HOME/features and memory-mapped.

    ends.npy      where the frames of each utterance end
    values.f32    the frames of all of them one after another, float32
"""

import hashlib
import json
import logging
import os
from pathlib import Path

import numpy as np

from .. import tracking
from ..config import AUTO, Config, as_bool
from ..errors import ConfigError
from ..files import folder_written_at_once, locked, remove_remains
from ..findings import size_text
from ..models import Family
from ..progress import bar
from ..recognizer.audio import to_float
from .material import Material
from .resources import free_disk
from .shares import of_all

log = logging.getLogger("asrx")

ENDS, VALUES = "ends.npy", "values.f32"
VERSION = 1  # of how features are computed; another one makes them anew
MOST_OF_THE_DISK = 0.25  # of what is free that `auto` takes


class Features:
    """The features of each utterance of a material, shape (frames, bands), in mapped files."""

    def __init__(self, folder: Path, bands: int) -> None:
        self._ends = np.load(folder / ENDS)
        self._values = np.memmap(folder / VALUES, np.float32, "r").reshape(-1, bands)

    def __len__(self) -> int:
        return len(self._ends)

    def __getitem__(self, index: int) -> np.ndarray:
        return self._values[self._ends[index - 1] if index else 0 : self._ends[index]]


def kept(options: Config, family: Family, material: Material) -> Features | None:
    """The features of `material`, computed now if they are not there; None where the waveform is needed at each step.

    batch.cache_features=auto keeps them where nothing changes the waveform, utterances are heard more than once, and a quarter of the free disk is
    enough. ConfigError where true asks for what cannot be.
    """
    wanted = options.batch.cache_features
    reason = _against(options, family, material)
    if wanted != AUTO and as_bool("batch.cache_features", wanted):
        if reason:
            raise ConfigError(f"batch.cache_features=true: {reason}; leave it at auto")
    elif reason or wanted != AUTO or not _is_worth_it(options, family, material):
        return None
    first = family.features(_waveform(material, 0))
    folder = tracking.home() / "features" / _digest(family, material)
    with locked(folder):
        if not (folder / ENDS).is_file():
            remove_remains(folder)
            _compute(folder, family, material)
        os.utime(folder)  # used now, says `prune`
        return Features(folder, first.shape[1])


def _against(options: Config, family: Family, material: Material) -> str | None:
    """Why features of the plain waveform are not what is trained on."""
    if options.augment.changes_audio:
        return "augment changes the waveform at each step, and features with it"
    if family.features(_waveform(material, 0)) is None:
        return "this model hears the waveform, or needs more of it than features"
    return None


def _is_worth_it(options: Config, family: Family, material: Material) -> bool:
    own, seconds, (size, grouping) = options.trainer, material.seconds, of_all(options)
    batch = grouping.seconds or size * float(seconds.mean())
    epochs = own.max_steps * own.gradient_accumulation_steps * batch / float(seconds.sum()) if own.max_steps > 0 else own.num_train_epochs
    one = family.features(_waveform(material, 0)).nbytes / float(seconds[0])
    needed, free = one * float(seconds.sum()), free_disk()
    return epochs > 1 and needed <= MOST_OF_THE_DISK * free


def _digest(family: Family, material: Material) -> str:
    """Of what the features come from: the audio of each utterance and the settings of the extractor."""
    digests = material.split.column("audio_digest")
    parts = {"version": VERSION, "extractor": family.feature_extractor.to_dict(), "first": family.features(_waveform(material, 0)).shape}
    source = hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode())
    for index in material.indices:
        source.update(digests[index].encode())
    return source.hexdigest()[:16]


def _compute(folder: Path, family: Family, material: Material) -> None:
    ends, frames = np.zeros(len(material.indices), np.int64), 0
    with folder_written_at_once(folder) as partial, (partial / VALUES).open("wb") as file:
        with bar(total=len(ends), label="features", unit="utterance") as progress:
            for number in range(len(ends)):
                found = family.features(_waveform(material, number))
                found.tofile(file)
                frames += len(found)
                ends[number] = frames
                progress.update(1)
        file.flush()
        np.save(partial / ENDS, ends)
        size = os.fstat(file.fileno()).st_size
    log.info("log-mel features of %s utterances are kept in %s: %s", f"{len(ends):,}", folder, size_text(size))


def _waveform(material: Material, number: int) -> np.ndarray:
    return to_float(material.split.audio(int(material.indices[number])))
