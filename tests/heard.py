"""Transcriptions as a model would give them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from asrx.corpus.rows import Row
from asrx.scoring.transcribe import Heard, Transcription


def heard(name: str, reference: Any, hypothesis: Any, speaker: str = "", slices: dict[str, str] | None = None, **rest: Any) -> Heard:
    """One utterance; `rest`: fields of Heard."""
    fields = {"confidence": 0.9, "seconds": 3.0, "audio_digest": f"digest of {name}", **rest}
    return Heard(Row(name, Path(f"{name}.wav"), reference, speaker, slices=slices or {}), hypothesis, **fields)


def transcription(items: Sequence[Heard]) -> Transcription:
    """They as one model's, in a second."""
    return Transcription(list(items), 1.0, "CPU")
