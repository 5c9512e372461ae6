"""Model families behind one protocol: what training, scoring and registering may ask of a model."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ..config import Config
from ..errors import ModelError
from ..findings import Finding

SCRATCH = "scratch"  # model.name of a model with random weights
SEQ2SEQ = ("whisper",)  # architectures from scratch that are no CTC models


class Family(Protocol):
    """A model with what turns audio into its inputs and, where it is trained on text, text into its labels."""

    model: Any  # that the optimizer trains

    def fits(self, labels: Sequence[Sequence[int]], samples: np.ndarray) -> np.ndarray:
        """Which utterances (labels, number of samples at 16 kHz) can be learned from, as booleans."""

    def padded_seconds(self, longest: float) -> float:
        """Seconds of audio that the model computes on for each utterance of a batch whose longest one has `longest` s."""

    def features(self, waveform: np.ndarray) -> np.ndarray | None:
        """What the model hears of a float32 waveform at 16 kHz, shape (frames, bands), float32; None where that is the waveform, or is not to be kept."""

    def collate(self, waveforms: Sequence[np.ndarray], labels: Sequence[Sequence[int]], seeds: Sequence[tuple[int, ...]]) -> dict[str, Any]:
        """A batch for the model from float32 waveforms at 16 kHz, or from the `features` of each, labels and what random choices of each are derived from."""

    def select(self, batch: dict[str, Any], rows: Sequence[int]) -> dict[str, Any]:
        """The batch of some of a batch's utterances, as padded as they were."""

    def weight(self, batch: dict[str, Any]) -> int:
        """What the model's loss on a batch is the mean of: an optimizer step weights each of them the same."""

    def loss(self, outputs: Any, batch: dict[str, Any]) -> Any:
        """The mean loss of a batch."""

    def details(self, outputs: Any, batch: dict[str, Any]) -> dict[str, Any]:
        """Further curves of a training batch, name to mean (a tensor without gradient), logged as `train/NAME`."""

    def save(self, folder: Path) -> None:
        """Write what `from_pretrained` of plain transformers reads."""


class Transcriber(Family, Protocol):
    """A family whose model writes text."""

    case: str | None  # that transcripts are brought to
    writes: bool  # whether it wrote text before this training: its output layer is not new

    def preflight(self, ids: Sequence[str], texts: Sequence[str], labels: Sequence[Sequence[int]], samples: np.ndarray) -> list[Finding]:
        """What speaks for and against learning these transcripts from audio of so many samples at 16 kHz; all four are parallel."""

    def labels(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of transcripts."""

    def join(self, first: Sequence[int], second: Sequence[int], seconds: float) -> list[int]:
        """The labels of one utterance, `seconds` long, followed by another."""

    def evaluate(self, waveforms: Sequence[np.ndarray], labels: Sequence[Sequence[int]]) -> tuple[float, list[str]]:
        """Mean loss per utterance, and texts as serving would write them, of utterances of similar length."""


def load_family(options: Config, texts: Sequence[str]) -> Transcriber:
    """The model of `model.name` with what it needs; `texts` is the training text alone.

    Raises ModelError for what cannot be loaded, ConfigError for keys that the transformers classes do not have.
    """
    from . import ctc, loading, seq2seq

    loading.quiet_transformers()
    if options.model.name == SCRATCH:
        family = seq2seq if options.model.architecture in SEQ2SEQ else ctc
        return family.load_family(None, options, texts)
    folder = loading.locate(options.model.name)
    kind = loading.config(folder).model_type
    if kind in loading.seq2seq_types():
        return seq2seq.load_family(folder, options, texts)
    if kind in loading.ctc_types():
        return ctc.load_family(folder, options, texts)
    raise ModelError(f"the model {options.model.name} is a {kind}: neither a CTC nor an encoder-decoder speech model of transformers")
