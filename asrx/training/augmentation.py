"""Changes of the waveform while training. Each is derived from (seed, epoch, utterance), never from a global state,
so that a resumed training hears the very same audio."""

import numpy as np

from ..config import Augment
from . import acoustics, codecs, sounds

SPEED_STEP = 0.01  # speeds are multiples of it: the resampler's kernels are few


def generator(*seed: int) -> np.random.Generator:
    """The random numbers of one utterance in one epoch."""
    return np.random.default_rng(seed)


class Augmentation:
    """Speed, reverberation, noise, codec, missing bands and gain, in this order: the way of speech from a mouth to a file."""

    def __init__(self, options: Augment) -> None:
        """Raises ConfigError or InputError for folders that cannot be used."""
        self._options = options
        self._noises = sounds.opened("augment.noise", options.noise) if options.noise else None
        self._rooms = sounds.opened("augment.reverb", options.reverb) if options.reverb else None

    def __call__(self, samples: np.ndarray, random: np.random.Generator) -> np.ndarray:
        """Float32 samples (full scale 1) at 16 kHz, shape (time,), changed as the options say. Speed alone changes their number."""
        options = self._options
        if options.speed:
            samples = change_speed(samples, 1 + random.uniform(-options.speed, options.speed))
        if self._rooms and random.random() < options.reverb_probability:
            samples = acoustics.reverberate(samples, self._rooms.draw(random))
        if options.noise_probability and random.random() < options.noise_probability:
            snr = random.uniform(*options.noise_snr)
            samples = acoustics.add_noise(samples, self._noise(len(samples), random), snr)
        if options.codec_probability and random.random() < options.codec_probability:
            samples = codecs.transmit(samples, options.codecs[int(random.integers(len(options.codecs)))], random)
        if options.band_probability and random.random() < options.band_probability:
            samples = acoustics.without_bands(samples, random)
        if options.gain:
            samples = samples * np.float32(10 ** (random.uniform(-options.gain, options.gain) / 20))
        return samples

    def _noise(self, length: int, random: np.random.Generator) -> np.ndarray:
        if self._noises:
            return acoustics.stretch(self._noises.draw(random), length, random)
        return acoustics.coloured_noise(length, random)


def change_speed(samples: np.ndarray, factor: float) -> np.ndarray:
    """Speed perturbation by resampling (Ko et al. 2015): tempo and pitch change together."""
    import soxr

    steps = round(factor / SPEED_STEP)
    unit = round(1 / SPEED_STEP)
    return samples if steps == unit else soxr.resample(samples, steps, unit, quality="LQ")
