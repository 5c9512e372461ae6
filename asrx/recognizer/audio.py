"""Audio in any form a person has it, to 16 kHz mono. Imports neither torch nor the rest of asrx."""

import base64
import binascii
import contextlib
import io
import math
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import soundfile

SAMPLE_RATE = 16_000  # Hz, of everything inside asrx
LOWEST_RATE = 4_000  # Hz; below this no speech is intelligible
HIGHEST_RATE = 384_000  # Hz; above this a header is damaged
SILENCE_PEAK = 1e-4  # full scale = 1; -80 dBFS
SPAN_TOLERANCE = 0.05  # s that a span may reach past the end
SHORTFALL = 1_152  # samples; one MPEG frame, what encoders may pad
LOUDEST = 16.0  # full scale = 1; +24 dBFS, above it somebody stored integers as floats
LONGEST_NAME = 120  # characters of a file name that a message shows
OGG_HEADER = 27  # bytes of an Ogg page before its lacing values; the last one counts them
DATA_URI = "data:"
URL_SAFE = str.maketrans("-_", "+/")  # RFC 4648, section 5
CANCELLED = 1e-3  # mono energy over stereo energy; below it the channels cancel each other out

AudioInput = str | bytes | bytearray | memoryview | Path | np.ndarray | list | tuple


class AudioError(ValueError):
    """Audio that cannot be used; the message says why."""


@dataclass(frozen=True)
class Audio:
    """Mono samples at SAMPLE_RATE."""

    samples: np.ndarray  # float32, full scale 1, shape (time,)
    source_rate: int  # Hz, before resampling

    @property
    def seconds(self) -> float:
        """Duration in seconds."""
        return len(self.samples) / SAMPLE_RATE


def load(source: AudioInput, sampling_rate: int | None = None) -> Audio:
    """Decode a path, bytes, base64 text or an array to 16 kHz mono.

    `sampling_rate` (Hz) is that of a bare array (default 16,000) and ignored for encoded audio, which knows its own.
    Arrays are (time,) or (channels, time) or (time, channels); integers are scaled to full scale 1 (lists of them, and 64-bit
    ones, are 16-bit samples).
    Raises AudioError for what is missing, damaged, not audio, not finite or of an absurd rate.
    """
    if isinstance(source, (np.ndarray, list, tuple)):
        samples, rate = _from_array(source), _rate(sampling_rate)
    else:
        samples, rate = _decode(_encoded(source))
    _check(samples, rate)
    return Audio(to_mono_16k(samples, rate), rate)


def load_span(path: Path, offset: float, seconds: float | None) -> Audio:
    """Only `seconds` from `offset` (seconds) of a file: what manifests with offsets name.

    Raises AudioError as `load` does, and where the span ends after the file does (by more than 50 ms).
    """
    if not (0 <= offset < math.inf and (seconds is None or 0 < seconds < math.inf)):
        raise AudioError(f"cannot be cut: a span of {seconds if seconds is None else f'{seconds:g}'} s from {offset:g} s is none")
    with _opened(path) as file:
        rate = file.samplerate
        file.seek(min(round(offset * rate), file.frames))
        wanted = -1 if seconds is None else round(seconds * rate)
        samples = file.read(wanted, dtype="float32", always_2d=True)
    if len(samples) < wanted - SPAN_TOLERANCE * rate:
        raise AudioError(f"ends before the span {offset:g} s + {seconds:g} s does, by {(wanted - len(samples)) / rate:.2f} s")
    _check(samples, rate)
    return Audio(to_mono_16k(samples, rate), rate)


def to_mono_16k(samples: np.ndarray, rate: int) -> np.ndarray:
    """Average the channels of (time, channels) samples and resample to 16 kHz (soxr, high quality)."""
    mono = samples.mean(axis=1, dtype=np.float32) if samples.ndim == 2 else samples.astype(np.float32)
    if samples.ndim == 2 and samples.shape[1] > 1:
        _check_cancellation(samples, mono)
    if rate != SAMPLE_RATE:
        import soxr

        mono = soxr.resample(mono, rate, SAMPLE_RATE, quality="HQ")
    if not len(mono):
        raise AudioError("holds no audio (0 samples)")
    return np.ascontiguousarray(np.clip(mono, -1.0, 1.0))


def is_silent(samples: np.ndarray) -> bool:
    """Whether no sample rises above -80 dBFS."""
    return not len(samples) or float(np.abs(samples).max()) < SILENCE_PEAK


def to_int16(samples: np.ndarray) -> np.ndarray:
    """Float samples (full scale 1) as 16-bit PCM, rounded."""
    return np.clip(np.rint(samples * 32_768.0), -32_768, 32_767).astype(np.int16)


def to_float(samples: np.ndarray) -> np.ndarray:
    """16-bit PCM as float32, full scale 1."""
    return samples.astype(np.float32) / 32_768.0


def _encoded(source: AudioInput) -> bytes | Path:
    if isinstance(source, (bytes, bytearray, memoryview)):
        return _maybe_base64(bytes(source))
    if isinstance(source, str) and _looks_like_base64(source):
        with contextlib.suppress(binascii.Error, ValueError):
            return _from_base64(source)
        if source.startswith(DATA_URI):
            raise AudioError("is a data: URI that holds no valid base64")
    if not isinstance(source, (str, Path)):
        raise AudioError(f"cannot be read from {type(source).__name__}: give a path, bytes, base64 or an array")
    return Path(os.path.expanduser(source))


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


@contextlib.contextmanager
def _opened(encoded: bytes | Path) -> Iterator["soundfile.SoundFile"]:
    """The sound in a file or in bytes, at a rate of speech. Libsndfile's and the system's errors become AudioError."""
    import soundfile

    _check_presence(encoded)
    try:
        # A descriptor and not a name: soundfile takes a file that is called .raw for headerless samples.
        with io.BytesIO(encoded) if isinstance(encoded, bytes) else encoded.open("rb") as stream:
            with soundfile.SoundFile(stream if isinstance(encoded, bytes) else stream.fileno(), closefd=False) as file:
                _check_rate(file.samplerate)
                yield file
    except soundfile.SoundFileError as error:
        raise AudioError(_why(error)) from None
    except OSError as error:
        raise AudioError(f"cannot be read ({error.strerror or error})") from None


def _decode(encoded: bytes | Path) -> tuple[np.ndarray, int]:
    with _opened(encoded) as file:
        promised, kind, rate = file.frames, file.format, file.samplerate
        samples = file.read(dtype="float32", always_2d=True)
    missing = promised - len(samples)
    if kind in ("WAV", "WAVEX"):
        missing = max(missing, _missing_wav_frames(encoded, samples.shape[1]))
    if missing > SHORTFALL or (kind == "OGG" and not _ogg_ends(encoded)):
        raise AudioError(f"is truncated or damaged: {len(samples) / rate:.2f} s could be decoded, more was recorded")
    return samples, rate


def _check_presence(encoded: bytes | Path) -> None:
    if isinstance(encoded, Path):
        if encoded == Path():
            raise AudioError("is missing (no such file: the name is empty)")
        if not os.path.exists(encoded):
            raise AudioError(f"is missing (no such file: {str(encoded)[:LONGEST_NAME]})")
        if encoded.is_dir():
            raise AudioError(f"is a folder, not an audio file: {encoded}")
    if not (encoded.stat().st_size if isinstance(encoded, Path) else len(encoded)):
        raise AudioError("is empty (0 bytes)")


def _why(error: Exception) -> str:
    text = (getattr(error, "error_string", None) or str(error)).rstrip(".")
    if "not recognised" in text:
        return "is not audio in any format that libsndfile reads"
    if "nimplemented" in text or "nsupported" in text:
        return f"cannot be decoded ({text})"
    # The mp3 decoder says that the file does not exist when it finds no frame in it.
    return "is truncated or damaged" + ("" if "does not exist" in text else f" ({text})")


def _head_and_tail(encoded: bytes | Path, head: int, tail: int) -> tuple[bytes, bytes, int]:
    if isinstance(encoded, bytes):
        return encoded[:head], encoded[-tail:], len(encoded)
    size = encoded.stat().st_size
    with encoded.open("rb") as file:
        start = file.read(head)
        file.seek(max(0, size - tail))
        return start, file.read(), size


def _missing_wav_frames(encoded: bytes | Path, channels: int) -> int:
    """Frames that the `data` chunk promises past the end of the file: libsndfile clamps them silently."""
    head, _, size = _head_and_tail(encoded, 1 << 16, 1)
    position, frame_bytes = 12, 2 * channels
    while head[:4] == b"RIFF" and position + 8 <= len(head):
        name, length = head[position : position + 4], struct.unpack_from("<I", head, position + 4)[0]
        if name == b"fmt " and position + 22 <= len(head):
            frame_bytes = max(1, struct.unpack_from("<H", head, position + 20)[0])
        if name == b"data":
            streamed = length in (0, 0xFFFFFFFF, 0x7FFFFFFF) or length >= 0x7FFFF000
            return 0 if streamed else max(0, position + 8 + length - size) // frame_bytes
        position += 8 + length + length % 2
    return 0


def _ogg_ends(encoded: bytes | Path) -> bool:
    """Whether the last Ogg page is whole and carries the end-of-stream flag (RFC 3533, header type 0x04)."""
    _, tail, _ = _head_and_tail(encoded, 1, 1 << 17)
    page = tail[max(0, tail.rfind(b"OggS")) :]
    if len(page) < OGG_HEADER or not page[5] & 0x04:
        return False
    lacing = page[OGG_HEADER : OGG_HEADER + page[OGG_HEADER - 1]]
    return len(lacing) == page[OGG_HEADER - 1] and len(page) >= OGG_HEADER + len(lacing) + sum(lacing)


def _from_array(source: np.ndarray | list | tuple) -> np.ndarray:
    try:
        array = np.asarray(source)
        if array.dtype == object:
            array = array.astype(np.float32)
    except (ValueError, TypeError):
        raise AudioError("an array of audio must hold numbers, all channels of the same length") from None
    if array.ndim not in (1, 2) or array.dtype.kind not in "fiub":
        raise AudioError(f"an array of audio has shape (time,) or (channels, time), not {array.shape} of {array.dtype}")
    if array.dtype.kind in "iu":
        array = _full_scale(array)
    if array.ndim == 2 and array.shape[0] < array.shape[1]:
        array = array.T
    return array.astype(np.float32)


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
        raise AudioError(f"has a sample rate of {given!r}; give Hz, for example {SAMPLE_RATE}") from None


def _check(samples: np.ndarray, rate: int) -> None:
    _check_rate(rate)
    if not samples.size:
        raise AudioError("holds no audio (0 samples)")
    if not np.isfinite(samples).all():
        raise AudioError("holds samples that are not finite (NaN or infinity)")
    peak = float(np.abs(samples).max())
    if peak > LOUDEST:
        raise AudioError(f"reaches {peak:g} where full scale is 1: integer samples kept as floats? Divide by 32768")


def _check_rate(rate: int) -> None:
    if not LOWEST_RATE <= rate <= HIGHEST_RATE:
        raise AudioError(f"has a sample rate of {rate:,} Hz; {LOWEST_RATE:,} to {HIGHEST_RATE:,} Hz is speech")


def _check_cancellation(samples: np.ndarray, mono: np.ndarray) -> None:
    """Stereo in antiphase averages to nothing: better refused than transcribed as silence."""
    energy = math.fsum(float(np.square(samples[:, channel], dtype=np.float64).mean()) for channel in range(samples.shape[1]))
    energy /= samples.shape[1]
    if energy > SILENCE_PEAK**2 and float(np.square(mono, dtype=np.float64).mean()) < CANCELLED * energy:
        raise AudioError("has channels in antiphase: mixed to mono they cancel each other out")
