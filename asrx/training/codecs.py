"""Speech as it comes out of a telephone or a compressed file: encoded and decoded in memory by libsndfile."""

import io
from dataclasses import dataclass

import numpy as np

from ..recognizer.audio import SAMPLE_RATE

TELEPHONE = 8_000  # Hz


@dataclass(frozen=True)
class Codec:
    """A codec of libsndfile. `levels`: range of its compression levels, 0 the best sound and 1 the smallest file."""

    rate: int = SAMPLE_RATE  # Hz
    container: str = ""  # none: nothing but the band of `rate` is lost
    subtype: str = ""
    levels: tuple[float, float] | None = None
    bitrate: str | None = None


CODECS = {
    "8khz": Codec(TELEPHONE),
    "mu-law": Codec(TELEPHONE, "WAV", "ULAW"),  # G.711, 64 kbit/s
    "a-law": Codec(TELEPHONE, "WAV", "ALAW"),
    "gsm": Codec(TELEPHONE, "WAV", "GSM610"),  # 06.10 full rate, 13 kbit/s
    "mp3": Codec(container="MP3", subtype="MPEG_LAYER_III", levels=(0.5, 0.98), bitrate="AVERAGE"),  # 82 to 12 kbit/s; at a constant rate the delay would stay
    "vorbis": Codec(container="OGG", subtype="VORBIS", levels=(0.3, 1.0)),  # 55 to 30 kbit/s
    "opus": Codec(container="OGG", subtype="OPUS", levels=(0.8, 0.97)),  # 59 to 16 kbit/s
}


def transmit(samples: np.ndarray, name: str, random: np.random.Generator) -> np.ndarray:
    """Float32 samples at 16 kHz after the codec `name` of CODECS: as many of them, and none later than before."""
    codec = CODECS[name]
    loudness = max(1.0, float(np.abs(samples).max(initial=0.0)))
    sent = _resampled(samples / np.float32(loudness), SAMPLE_RATE, codec.rate)
    heard = _coded(sent, codec, random) if codec.container else sent
    return _of_length(_resampled(heard, codec.rate, SAMPLE_RATE), len(samples)) * np.float32(loudness)


def _coded(samples: np.ndarray, codec: Codec, random: np.random.Generator) -> np.ndarray:
    import soundfile

    level = float(random.uniform(*codec.levels)) if codec.levels else None
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, codec.rate, codec.subtype, format=codec.container, compression_level=level, bitrate_mode=codec.bitrate)
    buffer.seek(0)
    return soundfile.read(buffer, dtype="float32")[0]


def _resampled(samples: np.ndarray, rate: int, wanted: int) -> np.ndarray:
    import soxr

    return samples if rate == wanted else soxr.resample(samples, rate, wanted, quality="MQ")


def _of_length(samples: np.ndarray, length: int) -> np.ndarray:
    """Without what a codec adds to fill its last frame."""
    return samples[:length] if len(samples) >= length else np.pad(samples, (0, length - len(samples)))
