"""Blocks of samples, as decoders give them, to 16 kHz mono: each checked, mixed and resampled in as few passes as can be."""

from typing import TYPE_CHECKING

import numpy as np

from .bounds import SAMPLE_RATE, AudioError, Limits

if TYPE_CHECKING:
    import soxr

SILENCE_PEAK = 1e-4  # full scale = 1; -80 dBFS
LOUDEST = 16.0  # full scale = 1; +24 dBFS, above it somebody stored integers as floats
INT16_SCALE = 32_768.0
CLIPPED = 1 - 1 / INT16_SCALE  # the highest 16-bit value
CLIPPED_RUN = 3  # samples in a row at full scale that are clipping and no mere peak: Audacity's Find Clipping, start threshold 3
AT_ONCE = 1 << 14  # samples resampled together: what stays in the cache takes a third less time than one call for all
NOTHING = np.zeros(0, np.float32)


class Mixdown:
    """Collects one recording: blocks (time, channels) of float32, full scale 1, or int16, at `rate` Hz.

    `channel` (from 0) is kept alone; None: their average. 16-bit mono at 16 kHz stays as it is, bit by bit.
    """

    def __init__(self, rate: int, channel: int | None, limits: Limits) -> None:
        self._rate, self._channel, self._limits = rate, channel, limits
        self._resampler = None if rate == SAMPLE_RATE else _resampler(rate)
        self._pieces: list[np.ndarray] = []
        self._values = self._clipped = self._frames = 0
        self._mono_energy = self._channel_energy = 0.0

    def add(self, block: np.ndarray) -> None:
        """The next block. Raises AudioError for samples that are not finite or far above full scale."""
        if not block.size:
            return
        self._measure(block)
        mono = self._mixed(block)
        if self._resampler is None:
            self._pieces.append(mono)
            return
        mono = np.ascontiguousarray(to_float(mono))
        for start in range(0, len(mono), AT_ONCE):
            self._pieces.append(self._resampler.resample_chunk(mono[start : start + AT_ONCE]))

    def finish(self) -> tuple[np.ndarray, float]:
        """The recording, int16 or float32 within full scale, and the share of samples that are clipped. Raises AudioError."""
        if self._resampler is not None and self._frames:
            self._pieces.append(self._resampler.resample_chunk(NOTHING, last=True))
        pieces = [piece for piece in self._pieces if len(piece)]
        if not pieces:
            raise AudioError("holds no audio (0 samples)", "empty_audio")
        self._check_cancellation()
        wave = pieces[0] if len(pieces) == 1 else np.concatenate(pieces)
        if wave.dtype != np.int16 and (wave.max() > 1 or wave.min() < -1):
            wave = np.clip(wave, -1.0, 1.0)
        return np.ascontiguousarray(wave), self._clipped / self._values

    def _measure(self, block: np.ndarray) -> None:
        low, high = block.min(), block.max()  # NaN if any sample is
        full = INT16_SCALE - 1 if block.dtype == np.int16 else CLIPPED
        if not (-LOUDEST <= low and high <= LOUDEST) and block.dtype != np.int16:
            if not np.isfinite(block).all():
                raise AudioError("holds samples that are not finite (NaN or infinity)", "not_finite")
            peak = max(-float(low), float(high))
            raise AudioError(f"reaches {peak:g} where full scale is 1: integer samples kept as floats? Divide by 32768", "out_of_scale")
        self._values += block.size
        if high >= full or low <= -full:
            self._clipped += _in_runs((block >= full) | (block <= -full))

    def _mixed(self, block: np.ndarray) -> np.ndarray:
        self._frames += len(block)
        channels = block.shape[1]
        if self._channel is not None and not 0 <= self._channel < channels:
            raise AudioError(f"has {channels} channel{'s' * (channels > 1)}; channel {self._channel} (counted from 0) is none of them")
        if channels == 1 or self._channel is not None:
            return block[:, self._channel or 0]
        block = to_float(block)
        # Column by column: numpy's mean over an axis of two takes forty times as long.
        mono = block[:, 0] + block[:, 1]
        for channel in range(2, channels):
            mono += block[:, channel]
        mono *= np.float32(1 / channels)
        self._mono_energy += float(np.vdot(mono, mono))
        self._channel_energy += float(np.vdot(block, block)) / channels
        return mono

    def _check_cancellation(self) -> None:
        """Stereo in antiphase averages to nothing: better refused than transcribed as silence."""
        if self._channel_energy > SILENCE_PEAK**2 * self._frames and self._mono_energy < self._limits.antiphase * self._channel_energy:
            raise AudioError("has channels in antiphase: mixed to mono they cancel each other out", "antiphase")


def to_float(samples: np.ndarray) -> np.ndarray:
    """16-bit PCM as float32, full scale 1; floats as they are."""
    return samples if samples.dtype == np.float32 else np.multiply(samples, np.float32(1 / INT16_SCALE), dtype=np.float32)


def _resampler(rate: int) -> "soxr.ResampleStream":
    import soxr

    return soxr.ResampleStream(rate, SAMPLE_RATE, 1, dtype="float32", quality="HQ")


def _in_runs(full: np.ndarray) -> int:
    """How many of the samples at full scale (time, channels) lie in runs of three or more along a channel."""
    starts = full[:-2] & full[1:-1] & full[2:]
    member = np.zeros_like(full)
    for shift in range(CLIPPED_RUN):
        member[shift : shift + len(starts)] |= starts
    return int(np.count_nonzero(member))
