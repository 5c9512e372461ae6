"""Audio in, text out: the code that scores a model and the code that serves it, one and the same.

Self-contained: files of this folder import each other, torch, transformers, soundfile, soxr and numpy, nothing else
of asrx, so that every registered model carries a copy and runs where asrx is not installed.
"""

from pathlib import Path
from typing import Any


def load(folder: str | Path, device: str | None = None) -> Any:
    """The recognizer for a transformers folder, by the kind of decoding its model needs."""
    from .ctc import CtcRecognizer

    return CtcRecognizer.load(folder, device)
