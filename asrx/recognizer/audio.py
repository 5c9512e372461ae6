"""Audio in any form a person has it, to 16 kHz mono. Imports neither torch nor the rest of asrx."""

import base64
import binascii
import contextlib
import math
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from . import wav
from .bounds import SAMPLE_RATE, AudioError, Limits, truncated
from .content import opened
from .decoders import kept_open, open_sound
from .mixdown import INT16_SCALE, SILENCE_PEAK, Mixdown, to_float
from .sounds import Sound

__all__ = ["SAMPLE_RATE", "Audio", "AudioError", "AudioInput", "Limits", "is_silent", "load", "pcm", "to_float", "to_int16", "to_mono_16k"]

BLOCK = 1 << 21  # values decoded at once: 8 MiB as float32, more than any clip that one trains on
PROMISE_SLACK = 0.02  # share by which audio may fall short of what a manifest says
DATA_URI = "data:"
URL_SAFE = str.maketrans("-_", "+/")  # RFC 4648, section 5
NO_LIMITS = Limits()

AudioInput = str | bytes | bytearray | memoryview | Path | np.ndarray | list | tuple


@dataclass(frozen=True)
class Audio:
    """Mono sound at SAMPLE_RATE."""

    wave: np.ndarray  # int16 or float32 of full scale 1, shape (time,): as it came
    source_rate: int  # Hz, before resampling
    clipped: float = 0.0  # share of the source's samples that lie in runs of three or more at full scale

    @cached_property
    def samples(self) -> np.ndarray:
        """float32, full scale 1, shape (time,)."""
        return to_float(self.wave)

    @property
    def seconds(self) -> float:
        """Duration in seconds."""
        return len(self.wave) / SAMPLE_RATE


def load(
    source: AudioInput,
    sampling_rate: int | None = None,
    *,
    offset: float = 0.0,
    seconds: float | None = None,
    channel: int | None = None,
    promised: float | None = None,
    limits: Limits = NO_LIMITS,
) -> Audio:
    """Decode a path, bytes, base64 text or an array to 16 kHz mono.

    `sampling_rate` (Hz) is that of a bare array (default 16,000) and ignored for encoded audio, which knows its own.
    Arrays are (time,) or (channels, time) or (time, channels); integers are scaled to full scale 1 (lists of them, and 64-bit
    ones, are 16-bit samples).
    `offset` and `seconds` cut a span (s; `seconds=None`: to the end), not out of arrays. `channel`, from 0: only that one;
    None: their average. `promised`: seconds that a manifest says the recording lasts.
    Raises AudioError for what is missing, damaged, not audio, not finite, shorter than promised, or outside the limits.
    """
    if isinstance(source, (np.ndarray, list, tuple)):
        audio = _mixed(_from_array(source), _rate(sampling_rate), channel, limits)
    elif offset or seconds is not None:
        audio = _span(_encoded(source), offset, seconds, channel, limits)
    else:
        audio = _whole(_encoded(source), channel, limits)
    _keep_promise(audio, promised, offset, seconds, limits)
    return audio


def pcm(audio: Audio) -> np.ndarray:
    """The samples as int16, shape (time,); a 16-bit recording at 16 kHz comes out bit by bit as it was."""
    return audio.wave if audio.wave.dtype == np.int16 else to_int16(audio.wave)


def to_mono_16k(samples: np.ndarray, rate: int) -> np.ndarray:
    """Average the channels of (time,) or (time, channels) samples and resample to 16 kHz (soxr, high quality). Raises AudioError."""
    return to_float(_mixed(samples, rate, None, NO_LIMITS).wave)


def is_silent(samples: np.ndarray) -> bool:
    """Whether samples, float of full scale 1 or int16, stay within 80 dB below full scale of one value: a constant is no sound."""
    scale = INT16_SCALE if samples.dtype == np.int16 else 1.0
    return not len(samples) or float(samples.max()) - float(samples.min()) < 2 * SILENCE_PEAK * scale


def to_int16(samples: np.ndarray) -> np.ndarray:
    """Float samples (full scale 1) as 16-bit PCM, rounded."""
    scaled = np.multiply(samples, np.float32(INT16_SCALE), dtype=np.float32)
    np.rint(scaled, out=scaled)
    return np.clip(scaled, -INT16_SCALE, INT16_SCALE - 1, out=scaled).astype(np.int16)


def _whole(encoded: bytes | str, channel: int | None, limits: Limits) -> Audio:
    with opened(encoded) as content:
        plain = wav.int16_frames(content)
        if plain is not None:
            return _mixed(*plain, channel, limits)
        with contextlib.closing(open_sound(content)) as sound:
            mixdown = _read(sound, None, channel, limits)
            limits.check_whole(sound.position / sound.rate, sound.missing(), sound.rate)
            return _finished(mixdown, sound.rate)


def _span(encoded: bytes | str, offset: float, seconds: float | None, channel: int | None, limits: Limits) -> Audio:
    if not (0 <= offset < math.inf and (seconds is None or 0 < seconds < math.inf)):
        raise AudioError(f"cannot be cut: a span of {seconds if seconds is None else f'{seconds:g}'} s from {offset:g} s is none", "bad_span")
    with kept_open(encoded) as sound:
        wanted = None if seconds is None else round(seconds * sound.rate)
        limits.check_length(wanted or 0, sound.rate)
        sound.seek(round(offset * sound.rate))
        start = sound.position
        mixdown = _read(sound, wanted, channel, limits)
        got = sound.position - start
        if wanted is not None and wanted - got > limits.max_missing * sound.rate:
            raise AudioError(f"ends before the span {offset:g} s + {seconds:g} s does, by {(wanted - got) / sound.rate:.2f} s", "bad_span")
        if not got:
            raise AudioError(f"ends before {offset:g} s, where the span begins", "bad_span")
        return _finished(mixdown, sound.rate)


def _read(sound: Sound, wanted: int | None, channel: int | None, limits: Limits) -> Mixdown:
    """Decode `wanted` frames, or all, but never more than one block beyond what may be."""
    limits.check_rate(sound.rate)
    mixdown = Mixdown(sound.rate, channel, limits)
    begun, most = sound.position, limits.most_frames(sound.rate)
    while wanted is None or sound.position - begun < wanted:
        asked = BLOCK // sound.channels
        for bound in (wanted, None if most is None else most + 1):
            asked = asked if bound is None else min(asked, begun + bound - sound.position)
        if sound.frames is not None:
            asked = min(asked, max(0, sound.frames - sound.position) + 1)
        block = sound.read(asked)
        limits.check_length(sound.position - begun, sound.rate, None if sound.frames is None else sound.frames - begun)
        mixdown.add(block)
        if len(block) < asked:
            break
    return mixdown


def _mixed(frames: np.ndarray, rate: int, channel: int | None, limits: Limits) -> Audio:
    """Frames (time,) or (time, channels) that are in memory."""
    limits.check_rate(rate)
    limits.check_length(len(frames), rate, len(frames))
    mixdown = Mixdown(rate, channel, limits)
    mixdown.add(frames if frames.ndim == 2 else frames[:, None])
    return _finished(mixdown, rate)


def _finished(mixdown: Mixdown, rate: int) -> Audio:
    wave, clipped = mixdown.finish()
    return Audio(wave, rate, clipped)


def _keep_promise(audio: Audio, promised: float | None, offset: float, seconds: float | None, limits: Limits) -> None:
    """A recording much shorter than its manifest says lost its end, even where its format cannot tell."""
    if promised is None or seconds is not None or not promised > 0:
        return
    missing = promised - offset - audio.seconds
    if missing > max(limits.max_missing, PROMISE_SLACK * promised):
        raise truncated(audio.seconds, missing)


def _encoded(source: AudioInput) -> bytes | str:
    """Bytes of a recording, or a file's name."""
    if isinstance(source, (bytes, bytearray, memoryview)):
        return _maybe_base64(bytes(source))
    if isinstance(source, str) and _looks_like_base64(source):
        with contextlib.suppress(binascii.Error, ValueError):
            return _from_base64(source)
        if source.startswith(DATA_URI):
            raise AudioError("is a data: URI that holds no valid base64", "not_audio")
    if not isinstance(source, (str, Path)):
        raise AudioError(f"cannot be read from {type(source).__name__}: give a path, bytes, base64 or an array")
    return os.path.expanduser(source)


def _looks_like_base64(text: str) -> bool:
    """A path is short or has a suffix; base64 of any audio file is longer than a name can be."""
    return text.startswith(DATA_URI) or (len(text) > 255 and not os.path.isfile(text))


def _from_base64(text: str) -> bytes:
    """Standard or URL-safe base64, wrapped into lines or not, with or without `data:…;base64,` before it."""
    return base64.b64decode("".join(text.rpartition(",")[2].split()).translate(URL_SAFE), validate=True)


def _maybe_base64(data: bytes) -> bytes:
    """REST callers send base64 in binary columns undecoded: audio headers hold bytes that base64 never has."""
    if len(data) > 64 and data.isascii() and b"\0" not in data:
        with contextlib.suppress(binascii.Error, ValueError):
            return _from_base64(data.decode("ascii"))
    return data


def _from_array(source: np.ndarray | list | tuple) -> np.ndarray:
    """An array as float32 of full scale 1, or as int16 if it is, shape (time,) or (time, channels)."""
    try:
        array = np.asarray(source)
        if array.dtype == object:
            array = array.astype(np.float32)
    except (ValueError, TypeError):
        raise AudioError("an array of audio must hold numbers, all channels of the same length") from None
    if array.ndim not in (1, 2) or array.dtype.kind not in "fiub":
        raise AudioError(f"an array of audio has shape (time,) or (channels, time), not {array.shape} of {array.dtype}")
    if array.dtype.kind in "iu" and array.dtype != np.int16:
        array = _full_scale(array)
    if array.ndim == 2 and array.shape[0] < array.shape[1]:
        array = array.T
    return np.ascontiguousarray(array, np.int16 if array.dtype == np.int16 else np.float32)


def _full_scale(array: np.ndarray) -> np.ndarray:
    """Integer PCM as floats: signed by its width, 8-bit and other unsigned around the middle, 64-bit as 16-bit samples."""
    bits = 16 if array.dtype.itemsize == 8 else 8 * array.dtype.itemsize
    middle = 2 ** (bits - 1)
    return (array.astype(np.float64) - (middle if array.dtype.kind == "u" else 0)) / middle


def _rate(given: float | None) -> int:
    """The rate of a bare array in Hz; a table's empty cell (NaN) is as good as none."""
    try:
        return SAMPLE_RATE if given is None or math.isnan(given) else int(given)
    except (TypeError, ValueError, OverflowError):
        raise AudioError(f"has a sample rate of {given!r}; give Hz, for example {SAMPLE_RATE}", "rate") from None
