"""Log-mel features of Whisper as transformers computes them, of the audio alone: the silence that fills its window has one value everywhere."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..recognizer.audio import SAMPLE_RATE

BEHIND = 3  # frames behind the audio: two that still hear its end, and one that hears nothing


def log_mel(feature_extractor: Any, waveform: np.ndarray) -> np.ndarray:
    """Features of a float32 waveform at 16 kHz, no longer than the window: (frames of the audio + BEHIND, bands), float32."""
    hop = feature_extractor.hop_length
    frames = -(-len(waveform) // hop)
    whole = min(feature_extractor.n_samples, (frames + BEHIND + 1) * hop)
    found = feature_extractor(waveform, sampling_rate=SAMPLE_RATE, max_length=whole, return_tensors="np").input_features[0].T
    return np.pad(found, ((0, max(0, frames + BEHIND - len(found))), (0, 0)), mode="edge")[: frames + BEHIND].astype(np.float32)


def windows(features: Sequence[np.ndarray], frames: int) -> dict[str, Any]:
    """What `log_mel` made of some waveforms as windows of so many frames: `input_features` (batch, bands, frames), `attention_mask` (batch, frames)."""
    import torch

    values = np.empty((len(features), features[0].shape[1], frames), np.float32)
    mask = np.zeros((len(features), frames), np.int32)
    for row, known in enumerate(features):
        heard = min(len(known), frames)
        values[row, :, :heard], values[row, :, heard:] = known[:heard].T, known[-1, 0]
        mask[row, : len(known) - BEHIND] = 1
    return {"input_features": torch.from_numpy(values), "attention_mask": torch.from_numpy(mask)}
