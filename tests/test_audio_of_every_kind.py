"""Every format, rate and channel count that people have comes out as the same 16 kHz mono."""

import base64
from pathlib import Path

import numpy as np
import pytest
from sounds import FORMATS, sound, write

from asrx.recognizer.audio import SAMPLE_RATE, AudioError, load, to_int16

RATES = (8_000, 16_000, 22_050, 44_100, 48_000)
OPUS_RATES = (8_000, 16_000, 48_000)


def alike(samples: np.ndarray, expected: np.ndarray) -> float:
    """Correlation of the two, which an encoder's delay of up to 150 ms does not lower."""
    best = 0.0
    length = min(len(samples), len(expected)) - 2_400
    for shift in range(0, 2_400, 2):
        for one, other in ((samples[shift:], expected), (samples, expected[shift:])):
            best = max(best, float(np.dot(one[:length], other[:length]) / (np.linalg.norm(one[:length]) * np.linalg.norm(other[:length]))))
            if best > 0.97:
                return best
    return best


@pytest.mark.parametrize(("kind", "rate"), [(kind, rate) for kind in FORMATS for rate in RATES if kind != "opus" or rate in OPUS_RATES])
def test_every_format_rate_and_channel_count_sounds_the_same(tmp_path: Path, kind: str, rate: int) -> None:
    for channels in (1, 2) if kind == "mp3" else (1, 2, 6):
        audio = load(write(tmp_path / f"{channels}.{kind}", sound(1.5, rate, channels), rate))
        assert audio.samples.dtype == np.float32 and audio.samples.ndim == 1
        assert audio.seconds == pytest.approx(1.5, abs=0.11)  # mp3 at 8 kHz pads by a frame of 72 ms
        mixed = sound(1.5) * (1 - 0.05 * (channels - 1))
        assert alike(audio.samples, mixed) > 0.95
        assert np.std(audio.samples) == pytest.approx(np.std(mixed), rel=0.1)


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("seconds", (1.0, 15.0))
def test_resampling_keeps_the_duration_to_the_sample(rate: int, seconds: float) -> None:
    assert len(load(sound(seconds, rate), rate).samples) == seconds * SAMPLE_RATE


@pytest.mark.parametrize("name", ("clip.mp3", "clip.flac", "clip.raw", "clip.m4a", "clip"))
def test_the_content_decides_and_not_the_suffix(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name, kind="wav")
    assert load(path).seconds == 1.5
    assert load(path, offset=0.5, seconds=0.5).seconds == 0.5


def test_bytes_base64_and_data_uris_are_the_file(tmp_path: Path) -> None:
    path = write(tmp_path / "clip.flac")
    data, expected = path.read_bytes(), load(path).samples
    text = base64.b64encode(data).decode()
    forms = [str(path), data, bytearray(data), memoryview(data), text, text.encode(), base64.encodebytes(data).decode(), base64.encodebytes(data),
             base64.urlsafe_b64encode(data).decode(), f"data:audio/flac;base64,{text}", f"data:audio/flac;base64,{text}".encode()]  # fmt: skip
    for form in forms:
        assert np.array_equal(load(form).samples, expected), str(form)[:40]


def test_arrays_of_every_type_are_the_file(tmp_path: Path) -> None:
    expected = to_int16(load(write(tmp_path / "clip.wav")).samples)
    floats = expected.astype(np.float64) / 32_768
    wide = expected.astype(np.int32) * 65_536
    for array in (expected, expected.tolist(), expected.astype(np.int64), wide, floats, floats.astype(np.float32), floats.tolist()):
        assert np.array_equal(to_int16(load(array).samples), expected)
    unsigned = np.round(floats * 128 + 128).astype(np.uint8)
    assert load(unsigned).samples == pytest.approx(floats, abs=0.01)


def test_both_orientations_of_stereo_are_the_same() -> None:
    stereo = sound(channels=2)
    assert np.array_equal(load(stereo).samples, load(stereo.T).samples)


@pytest.mark.parametrize(("source", "rate", "message"), [
    ([], None, "0 samples"), (np.zeros((5, 0)), None, "0 samples"), (["a", "b"], None, "shape"), (np.zeros((2, 2, 2)), None, "shape"),
    ([[0.1, 0.2], [0.1]], None, "same length"), (np.array([0.1, np.nan]), None, "not finite"), ([None, 0.5], None, "not finite"),
    (sound() * 32_768, None, "full scale"), (sound(), 7, "7 Hz"), (sound(), 1_000_000, "1,000,000 Hz"), (sound(), "fast", "'fast'"), (sound(), 0, "0 Hz"),
    (None, None, "NoneType"), ("", None, "name is empty"), ("nowhere.wav", None, "no such file"), ("no such " * 100, None, "no such file|not audio"),
    ("~nobody-here/a.wav", None, "no such file"), ("a\0b.wav", None, "no such file"), (b"", None, "0 bytes"), ("data:audio/wav;base64,####", None, "base64"),
])  # fmt: skip
def test_nonsense_is_refused_in_words(source: object, rate: object, message: str) -> None:
    with pytest.raises(AudioError, match=message):
        load(source, rate)


def test_an_empty_rate_cell_is_no_rate() -> None:
    assert load(sound(), float("nan")).source_rate == SAMPLE_RATE


@pytest.mark.parametrize("kind", ("wav", "flac", "mp3", "ogg"))
def test_a_span_is_cut_where_the_manifest_says(tmp_path: Path, kind: str) -> None:
    low, high = sound(1.0, pitch=200), sound(1.0, pitch=450)
    path = write(tmp_path / f"long.{kind}", np.concatenate([low, high]))
    cut = load(path, offset=1.1, seconds=0.8).samples
    assert len(cut) == 0.8 * SAMPLE_RATE
    assert np.argmax(np.abs(np.fft.rfft(cut))) / 0.8 == pytest.approx(450, abs=5)


@pytest.mark.parametrize(("offset", "seconds"), [(-1, 1), (0, -1), (0, 0), (float("nan"), 1), (float("inf"), 1), (5, 1), (5, None), (1.2, 1)])
def test_an_impossible_span_is_refused(tmp_path: Path, offset: float, seconds: float | None) -> None:
    with pytest.raises(AudioError):
        load(write(tmp_path / "clip.wav"), offset=offset, seconds=seconds)


def test_a_span_of_a_missing_file_is_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(AudioError, match="no such file"):
        load(tmp_path / "nowhere.wav", offset=0.5, seconds=1)
