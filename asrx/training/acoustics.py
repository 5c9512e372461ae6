"""What a room and its noises do to speech. Samples are float32 of full scale 1, shape (time,), at 16 kHz; their number stays."""

import numpy as np

from ..recognizer.audio import SAMPLE_RATE, to_float

LOWEST = 20.0  # Hz; below it coloured noise is no louder
BANDS, WIDEST = 2, 0.2  # that are missing; of the mel scale
SILENCE = 1e-12  # power that is added where nothing may be divided by


def coloured_noise(length: int, random: np.random.Generator) -> np.ndarray:
    """Noise of `length` samples whose power falls with 1/f^a, a uniform in 0 (white) to 1 (pink)."""
    white = np.fft.rfft(random.standard_normal(length).astype(np.float32))
    frequencies = np.maximum(np.fft.rfftfreq(length, 1 / SAMPLE_RATE), LOWEST)
    return np.fft.irfft(white * frequencies ** (-random.uniform(0, 1) / 2), n=length)


def stretch(recording: np.ndarray, length: int, random: np.random.Generator) -> np.ndarray:
    """A random stretch of `length` samples of an int16 recording, which begins anew where it is too short."""
    if len(recording) >= length:
        start = int(random.integers(len(recording) - length + 1))
        return to_float(recording[start : start + length])
    start = int(random.integers(len(recording)))
    return to_float(np.take(recording, np.arange(start, start + length), mode="wrap"))


def add_noise(samples: np.ndarray, noise: np.ndarray, snr: float) -> np.ndarray:
    """`noise`, as long as the speech, `snr` dB below it: the ratio of the mean powers of the two."""
    scale = np.sqrt((_power(samples) + SILENCE) / 10 ** (snr / 10) / (_power(noise) + SILENCE))
    return samples + (noise * scale).astype(np.float32)


def reverberate(samples: np.ndarray, impulse: np.ndarray) -> np.ndarray:
    """Speech in the room of an impulse response (int16), with the power that it had.

    The response begins at its peak, the direct path: words stay where they were.
    """
    from scipy.signal import oaconvolve

    response = to_float(impulse[int(np.argmax(np.abs(impulse.astype(np.int32)))) :])
    heard = oaconvolve(samples, response)[: len(samples)]
    return (heard * np.sqrt((_power(samples) + SILENCE) / (_power(heard) + SILENCE))).astype(np.float32)


def without_bands(samples: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Speech that lacks BANDS bands of frequencies, each of a width uniform in 0 to WIDEST of the mel scale, at a uniform place.

    The frequency masks of SpecAugment (Park et al. 2019) on the waveform, for models of any input (Kharitonov et al. 2020).
    """
    spectrum = np.fft.rfft(samples)
    mels = _mel(np.linspace(0, SAMPLE_RATE / 2, len(spectrum)))
    for width in random.uniform(0, WIDEST * mels[-1], BANDS):
        low = random.uniform(0, mels[-1] - width)
        spectrum[(mels >= low) & (mels < low + width)] = 0
    return np.fft.irfft(spectrum, n=len(samples)).astype(np.float32)


def _mel(frequency: np.ndarray) -> np.ndarray:
    """Mel of Hz (O'Shaughnessy 1987)."""
    return 2595 * np.log10(1 + frequency / 700)


def _power(samples: np.ndarray) -> float:
    return float(np.mean(np.square(samples)))
