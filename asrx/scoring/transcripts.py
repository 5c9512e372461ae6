"""Transcribe files with any model."""

from collections.abc import Sequence
from typing import Any

from .. import tracking
from ..errors import InputError
from ..recognizer.audio import AudioError, load
from .scored_models import open_model


def transcribe_files(model: str, paths: Sequence[str]) -> list[dict[str, Any]]:
    """Text, confidence and duration (s) of each audio file. InputError, before any work, for one that cannot be used."""
    audios = []
    for path in paths:
        try:
            audios.append(load(tracking.user_path(path)))
        except AudioError as error:
            raise InputError(f"{path}: the audio {error}") from None
    recognizer = open_model(tracking.connect(), model).recognizer
    heard = recognizer.recognize([audio.samples for audio in audios])
    return [{"audio": path, "text": item.text, "confidence": item.confidence, "duration": audio.seconds} for path, item, audio in zip(paths, heard, audios)]
