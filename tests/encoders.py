"""Recordings in every container and codec for which FFmpeg has an encoder, made on the spot; needs PyAV."""

import io
from fractions import Fraction

import numpy as np


def sweep(seconds: float = 2.0, rate: int = 16_000) -> np.ndarray:
    """A tone that rises from 200 to 1,400 Hz, shape (time,), peak 0.3: unlike a hum it is like itself at one delay only."""
    time = np.arange(round(seconds * rate)) / rate
    return 0.3 * np.sin(2 * np.pi * (200 * time + 600 / seconds * time**2))


def encode(samples: np.ndarray, rate: int, codec: str, container: str, layout: str = "mono", **options: str) -> bytes:
    """Float samples, (time,) or (time, channels), as a file. `options` go to the encoder; `bit_rate` in bit/s; `muxer_…` to the muxer."""
    import av

    planes = np.ascontiguousarray(np.atleast_2d(samples.T), np.float32)
    muxer = {name.removeprefix("muxer_"): value for name, value in options.items() if name.startswith("muxer_")}
    encoder = {name: value for name, value in options.items() if not name.startswith("muxer_") and name != "bit_rate"}
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container, options=muxer) as file:
        stream = file.add_stream(codec, rate=rate, layout=layout, options={"strict": "-2", **encoder})
        stream.bit_rate = int(options.get("bit_rate", 96_000))
        stream.codec_context.open()
        whole = av.AudioFrame.from_ndarray(planes, format="fltp", layout=layout)
        whole.sample_rate, whole.pts, whole.time_base = rate, 0, Fraction(1, rate)
        cutter = av.AudioResampler(format=stream.codec_context.format, layout=layout, rate=rate, frame_size=stream.codec_context.frame_size or 1_024)
        for frame in [*cutter.resample(whole), *cutter.resample(None), None]:
            file.mux(stream.encode(frame))
    return buffer.getvalue()


def alignment(samples: np.ndarray, expected: np.ndarray) -> tuple[int, float]:
    """By how many samples the first comes later than the second, and how well they correlate then."""
    size = 1 << (len(samples) + len(expected)).bit_length()
    products = np.fft.irfft(np.fft.rfft(samples, size) * np.conj(np.fft.rfft(expected, size)))
    delay = int(np.argmax(products))
    delay -= size if delay > size // 2 else 0
    one, other = samples[max(0, delay) :], expected[max(0, -delay) :]
    length = min(len(one), len(other))
    one, other = one[:length].astype(float), other[:length].astype(float)
    return delay, float(one @ other / (np.linalg.norm(one) * np.linalg.norm(other)))
