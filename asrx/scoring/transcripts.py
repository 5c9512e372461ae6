"""Transcribe files with any model."""

from collections.abc import Sequence
from typing import Any

from .. import tracking
from ..errors import InputError
from ..recognizer.audio import AudioError, load
from .scored_models import open_model


def transcribe_files(model: str, paths: Sequence[str]) -> list[dict[str, Any]]:
    """Text, confidence, duration (s) and, where the model tells them, times (s) of words or segments of each audio file.

    InputError, before any work, for one that cannot be used.
    """
    audios = []
    for path in paths:
        try:
            audios.append(load(tracking.user_path(path)))
        except AudioError as error:
            raise InputError(f"{path}: the audio {error}") from None
    recognizer = open_model(tracking.connect(), model).recognizer
    heard = recognizer.recognize([audio.samples for audio in audios])
    return [
        {
            "audio": path, "text": item.text, "confidence": item.confidence, "duration": audio.seconds,
            "words": [{"text": word.text, "start": word.start, "end": word.end} for word in item.words],
        }
        for path, item, audio in zip(paths, heard, audios)
    ]  # fmt: skip
