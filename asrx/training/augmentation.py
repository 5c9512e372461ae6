"""Changes of the waveform while training. Each is derived from (seed, epoch, utterance), never from a global state,
so that a resumed training hears the very same audio."""

import numpy as np

from ..config import Augment
from ..recognizer.audio import SAMPLE_RATE

SPEED_STEP = 0.01  # speeds are multiples of it: the resampler's kernels are few


def generator(seed: int, epoch: int, utterance: int) -> np.random.Generator:
    """The random numbers of one utterance in one epoch."""
    return np.random.default_rng((seed, epoch, utterance))


def augment(samples: np.ndarray, options: Augment, random: np.random.Generator) -> np.ndarray:
    """Speed, noise and gain, in this order, on float32 samples (full scale 1). Speed changes the length."""
    if options.speed:
        samples = change_speed(samples, 1 + random.uniform(-options.speed, options.speed))
    if options.noise_probability and random.random() < options.noise_probability:
        samples = add_noise(samples, random.uniform(*options.noise_snr), random)
    if options.gain:
        samples = samples * np.float32(10 ** (random.uniform(-options.gain, options.gain) / 20))
    return samples


def change_speed(samples: np.ndarray, factor: float) -> np.ndarray:
    """Speed perturbation by resampling (Ko et al. 2015): tempo and pitch change together."""
    import soxr

    steps = round(factor / SPEED_STEP)
    unit = round(1 / SPEED_STEP)
    return samples if steps == unit else soxr.resample(samples, steps, unit, quality="LQ")


def add_noise(samples: np.ndarray, snr: float, random: np.random.Generator) -> np.ndarray:
    """Noise at `snr` dB below the speech; its spectrum falls with 1/f^a, a uniform in 0 (white) to 1 (pink)."""
    white = np.fft.rfft(random.standard_normal(len(samples)).astype(np.float32))
    frequencies = np.maximum(np.fft.rfftfreq(len(samples), 1 / SAMPLE_RATE), 20.0)
    noise = np.fft.irfft(white * frequencies ** (-random.uniform(0, 1) / 2), n=len(samples))
    power = float(np.mean(np.square(samples))) + 1e-12
    noise *= np.sqrt(power / 10 ** (snr / 10) / (float(np.mean(np.square(noise))) + 1e-12))
    return samples + noise.astype(np.float32)
