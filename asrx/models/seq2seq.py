"""The encoder-decoder family: Whisper."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..config import Config


def load_family(folder: Path | None, options: Config, texts: Sequence[str]) -> Any:
    """The model in `folder`, or a small one from scratch."""
    raise NotImplementedError
