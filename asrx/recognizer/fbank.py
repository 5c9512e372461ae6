"""Log-mel features of Wav2Vec2-BERT as transformers computes them, all frames at once: several times as fast."""

from collections.abc import Sequence
from typing import Any

import numpy as np

WINDOW = 400  # samples (25 ms) of a frame
STEP = 160  # samples (10 ms) from one frame to the next
FFT = 512  # points
PREEMPHASIS = 0.97
FLOOR = 2.0**-23  # of a band's energy; float32's epsilon, as in Kaldi
FULL_SCALE = 2.0**15  # Kaldi's samples are 16-bit integers


def frames(samples: np.ndarray) -> np.ndarray:
    """Number of whole frames in numbers of samples at 16 kHz."""
    return np.maximum(0, (np.asarray(samples) - WINDOW) // STEP + 1)


def batch(extractor: Any, waveforms: Sequence[np.ndarray], multiple: int) -> Any:
    """What a SeamlessM4TFeatureExtractor makes of float32 waveforms at 16 kHz with at least two frames each, padded to a multiple of frames.

    `input_features`: (batch, frames / stride, mel bands x stride), each band with mean 0 and variance 1; `attention_mask`: (batch, frames / stride).
    """
    return stacked([features(extractor, waveform) for waveform in waveforms], extractor, multiple)


def features(extractor: Any, waveform: np.ndarray) -> np.ndarray:
    """Of one waveform, as above, before frames are stacked: (frames, bands), float32."""
    return _normalised(_log_mel(extractor, waveform))


def stacked(frames: Sequence[np.ndarray], extractor: Any, multiple: int) -> Any:
    """`batch` of what `features` made of each waveform."""
    from transformers import BatchFeature

    padded = extractor.pad(
        BatchFeature({"input_features": list(frames)}), padding=True, pad_to_multiple_of=multiple, return_attention_mask=True, return_tensors="pt"
    )
    values, mask, stride = padded["input_features"], padded["attention_mask"], extractor.stride
    whole = values.shape[1] // stride
    side_by_side = values[:, : whole * stride].reshape(len(values), whole, values.shape[2] * stride)
    return BatchFeature({"input_features": side_by_side, "attention_mask": mask[:, stride - 1 : whole * stride : stride]})


def _log_mel(extractor: Any, waveform: np.ndarray) -> np.ndarray:
    """Shape (frames, bands), float32."""
    scaled = np.asarray(waveform, np.float64) * FULL_SCALE
    framed = np.lib.stride_tricks.sliding_window_view(scaled, WINDOW)[::STEP]
    framed = framed - framed.mean(axis=1, keepdims=True)
    before = np.concatenate([framed[:, :1], framed[:, :-1]], axis=1)
    power = np.abs(np.fft.rfft((framed - PREEMPHASIS * before) * extractor.window, FFT)) ** 2
    return np.log(np.maximum(FLOOR, power @ extractor.mel_filters)).astype(np.float32)


def _normalised(features: np.ndarray) -> np.ndarray:
    return (features - features.mean(0)) / np.sqrt(features.var(0, ddof=1) + 1e-7)
