"""A model over a held-out table: every row gets a transcript, none is filtered away."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import isfinite
from typing import Any

from ..corpus.rows import Row
from ..error_counts import ErrorCounts, count_all, pool
from ..ledger import Transcript, Transcripts
from ..progress import bar
from .clips import Clip, held_out_digest, open_clip

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
    snr: float | None = None  # dB, estimated from the audio


@dataclass(frozen=True)
class Transcription:
    """A model's transcripts of a held-out table, in its order."""

    heard: list[Heard]
    compute_seconds: float  # of features, network and decoding; reading audio is not counted
    hardware: str
    computed: float | None = None  # s of audio that were recognised in that time; None: all of it, nothing was remembered

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
        """Seconds of audio per second of compute, of what was not remembered; None if all of it was."""
        computed = self.audio_seconds if self.computed is None else self.computed
        return computed / self.compute_seconds if self.compute_seconds and computed else None

    @property
    def failed(self) -> list[Heard]:
        """Utterances whose audio could not be used."""
        return [item for item in self.heard if item.error]

    @cached_property
    def digest(self) -> str:
        """Digest of the held-out set (see `held_out_digest`)."""
        return held_out_digest(self.heard)


def transcribe(recognizer: Any, held_out: Sequence[Row | Clip], label: str, memory: Transcripts | None = None) -> Transcription:
    """Transcribe all rows with a recognizer of this or another version of the recognizer package.

    `memory`: what this very model heard before, which it does not hear again, and is told of what it hears now. The audio of a clip
    is read only if it has to be heard.
    """
    heard: list[Heard] = []
    spent = computed = 0.0
    progress = bar(total=len(held_out), label=label, unit="clip")
    for chunk in _chunks(held_out):
        loaded = [(item, None) if isinstance(item, Clip) else open_clip(item) for item in chunk]
        known = memory.known(clip.audio_digest for clip, _ in loaded) if memory else {}
        loaded = [pair if pair[1] is not None or pair[0].error or pair[0].audio_digest in known else open_clip(pair[0].row) for pair in loaded]
        unheard = [(clip, samples) for clip, samples in loaded if samples is not None and clip.audio_digest not in known]
        if unheard and not computed:
            recognizer.recognize([unheard[0][1]])  # warm-up: the first call allocates and compiles
        started = time.perf_counter()
        recognitions = recognizer.recognize([samples for _, samples in unheard]) if unheard else []
        spent += time.perf_counter() - started
        computed += sum(clip.seconds for clip, _ in unheard)
        new = {clip.audio_digest: _transcript(found) for (clip, _), found in zip(unheard, recognitions, strict=True)}
        if memory:
            memory.keep(new)
        heard += [_heard(clip, (known | new).get(clip.audio_digest)) for clip, _ in loaded]
        progress.update(len(chunk))
    progress.close()
    return Transcription(heard, spent, _hardware(recognizer), computed)


def _transcript(found: Any) -> Transcript:
    """A model whose weights are not finite is sure of nothing."""
    confidence = float(found.confidence)
    return Transcript(found.text, confidence if isfinite(confidence) else 0.0)


def _heard(clip: Clip, found: Transcript | None) -> Heard:
    if found is None:
        return Heard(clip.row, "", 0.0, 0.0, "", clip.error)
    return Heard(clip.row, found.text, found.confidence, clip.seconds, clip.audio_digest, snr=clip.snr)


def _chunks(held_out: Sequence[Row | Clip]) -> Iterator[Sequence[Row | Clip]]:
    for start in range(0, len(held_out), CHUNK):
        yield held_out[start : start + CHUNK]


def _hardware(recognizer: Any) -> str:
    import torch

    if recognizer.device.type == "cuda":
        return torch.cuda.get_device_name(recognizer.device)
    return f"CPU, {torch.get_num_threads()} threads"
