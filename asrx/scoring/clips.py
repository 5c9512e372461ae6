"""Held-out recordings: what is known of each before any model hears it."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..corpus.decoding import digest
from ..corpus.rows import Row
from ..progress import bar
from ..recognizer.audio import SAMPLE_RATE, AudioError, load, to_int16
from . import snr


@dataclass(frozen=True)
class Clip:
    """One held-out utterance with what its audio is like."""

    row: Row
    seconds: float = 0.0
    audio_digest: str = ""  # sha256 of the int16 samples; empty where the audio cannot be used
    snr: float | None = None  # dB, estimated
    error: str = ""  # why the audio cannot be used


def listen(rows: Sequence[Row]) -> list[Clip]:
    """Look at the audio of all rows. What cannot be used stays, with its reason."""
    progress = bar(total=len(rows), label="held-out audio", unit="clip")
    clips = []
    for row in rows:
        clips.append(open_clip(row)[0])
        progress.update(1)
    progress.close()
    return clips


def open_clip(row: Row) -> tuple[Clip, np.ndarray | None]:
    """A clip and its samples, float32 at 16 kHz of shape (time,); None where they cannot be used."""
    if row.problem:
        return Clip(row, error=row.problem), None
    try:
        source = row.audio if isinstance(row.audio, Path) else row.audio.read()
        samples = load(source, offset=row.offset, seconds=row.seconds, channel=row.channel).samples
    except (AudioError, OSError) as error:
        return Clip(row, error=f"the audio {error}"), None
    return Clip(row, len(samples) / SAMPLE_RATE, digest(to_int16(samples)), snr.estimate(samples)), samples


def held_out_digest(utterances: Iterable[Any]) -> str:
    """sha256 of a held-out set: ids, references, speakers, slices and audio of its utterances (`row`, `audio_digest`), whatever their order."""
    lines = (json.dumps([item.row.id, item.row.text, item.row.speaker, sorted(item.row.slices.items()), item.audio_digest]) for item in utterances)
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()
