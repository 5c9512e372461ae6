"""A model over a held-out table: every row gets a transcript, none is filtered away."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ..corpus.decoding import digest
from ..corpus.rows import Row
from ..error_counts import ErrorCounts, count_all, pool
from ..progress import bar
from ..recognizer.audio import SAMPLE_RATE, AudioError, load, to_int16

CHUNK = 64  # utterances decoded and recognised together


@dataclass(frozen=True)
class Heard:
    """One held-out utterance with what a model heard. Audio that cannot be used is heard as nothing, with the reason."""

    row: Row
    hypothesis: str
    confidence: float
    seconds: float
    audio_digest: str
    error: str = ""


@dataclass(frozen=True)
class Transcription:
    """A model's transcripts of a held-out table, in its order."""

    heard: list[Heard]
    compute_seconds: float  # of features, network and decoding; reading audio is not counted
    hardware: str

    @cached_property
    def counts(self) -> list[ErrorCounts]:
        """Error counts of each utterance."""
        return count_all([item.row.text for item in self.heard], [item.hypothesis for item in self.heard])

    @cached_property
    def total(self) -> ErrorCounts:
        """Error counts of all utterances together."""
        return pool(self.counts)

    @property
    def audio_seconds(self) -> float:
        """Seconds of audio that were transcribed."""
        return sum(item.seconds for item in self.heard)

    @property
    def rtfx(self) -> float | None:
        """Seconds of audio per second of compute."""
        return self.audio_seconds / self.compute_seconds if self.compute_seconds else None

    @property
    def failed(self) -> list[Heard]:
        """Utterances whose audio could not be used."""
        return [item for item in self.heard if item.error]

    @property
    def digest(self) -> str:
        """Digest of the held-out set: ids, references, audio."""
        import hashlib

        lines = (f"{item.row.id}\t{item.row.text}\t{item.audio_digest}\n" for item in self.heard)
        return hashlib.sha256("".join(lines).encode()).hexdigest()


def transcribe(recognizer: Any, rows: list[Row], label: str) -> Transcription:
    """Transcribe all rows with a recognizer of this or another version of the recognizer package."""
    heard: list[Heard] = []
    spent = 0.0
    progress = bar(total=len(rows), label=label, unit="clip")
    for chunk in _chunks(rows):
        loaded = [_load(row) for row in chunk]
        usable = [samples for samples, _ in loaded if samples is not None]
        if not heard and usable:
            recognizer.recognize(usable[:1])  # warm-up: the first call allocates and compiles
        started = time.perf_counter()
        recognitions = iter(recognizer.recognize(usable))
        spent += time.perf_counter() - started
        for row, (samples, error) in zip(chunk, loaded, strict=True):
            heard.append(_heard(row, samples, error, None if samples is None else next(recognitions)))
        progress.update(len(chunk))
    progress.close()
    return Transcription(heard, spent, _hardware(recognizer))


def _heard(row: Row, samples: np.ndarray | None, error: str, recognition: Any) -> Heard:
    if samples is None:
        return Heard(row, "", 0.0, 0.0, "", error)
    return Heard(row, recognition.text, recognition.confidence, len(samples) / SAMPLE_RATE, digest(to_int16(samples)))


def _load(row: Row) -> tuple[np.ndarray | None, str]:
    """Samples, or the reason why there are none."""
    if row.problem:
        return None, row.problem
    try:
        source = row.audio if isinstance(row.audio, Path) else row.audio.read()
        return load(source, offset=row.offset, seconds=row.seconds, channel=row.channel).samples, ""
    except (AudioError, OSError) as error:
        return None, f"the audio {error}"


def _chunks(rows: list[Row]) -> Iterator[list[Row]]:
    for start in range(0, len(rows), CHUNK):
        yield rows[start : start + CHUNK]


def _hardware(recognizer: Any) -> str:
    import torch

    if recognizer.device.type == "cuda":
        return torch.cuda.get_device_name(recognizer.device)
    return f"CPU, {torch.get_num_threads()} threads"
