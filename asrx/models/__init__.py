"""Model families behind one protocol: what training, scoring and registering may ask of a model."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np


class Family(Protocol):
    """A model with what turns audio and text into its inputs and labels."""

    model: Any
    case: str | None

    def labels(self, texts: Sequence[str]) -> list[list[int]]: ...

    def frames(self, samples: np.ndarray) -> np.ndarray: ...

    def collate(self, waveforms: Sequence[np.ndarray], labels: Sequence[Sequence[int]]) -> dict[str, Any]: ...

    def recognizer(self) -> Any: ...

    def save(self, folder: Path) -> None: ...
