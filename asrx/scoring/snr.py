"""How noisy a recording is, estimated from the recording alone."""

import numpy as np

FRAME = 320  # samples: 20 ms at 16 kHz
QUIETEST = 0.1  # share of the frames that hold noise alone
QUIET = 1e-9  # power of the rounding to 16 bits, about -90 dBFS: what is quieter says nothing of the recording
LOWEST, HIGHEST = -10.0, 60.0  # dB; beyond them the estimate says no more


def estimate(samples: np.ndarray) -> float | None:
    """Signal-to-noise ratio in dB, -10 to 60, of (time,) float32 samples at 16 kHz; None for silence and for less than 10 frames of 20 ms.

    The noise is the power that the quietest tenth of the frames reaches, the signal what the mean power has above it: the percentiles of the short-time
    energy that NIST's `stnr` reads (Speech Quality Assurance package 2.3), with the long-term mean in place of the peaks, so that the figure is
    that of noise added at a known ratio. It needs a tenth of the recording without speech: a word cut out tightly looks noisier than it is.
    """
    frames = len(samples) // FRAME
    if frames < 1 / QUIETEST:
        return None
    power = np.square(samples[: frames * FRAME].reshape(frames, FRAME), dtype=np.float32).mean(axis=1, dtype=np.float64)
    if power.mean() <= QUIET:
        return None
    noise = max(float(np.quantile(power, QUIETEST)), QUIET)
    signal = max(float(power.mean()) - noise, QUIET * 1e-3)
    return float(np.clip(10 * np.log10(signal / noise), LOWEST, HIGHEST))
