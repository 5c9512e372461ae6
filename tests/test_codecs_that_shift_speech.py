"""A codec takes sound away; it may not move words, change their number of samples, or come out differently a second time."""

import numpy as np
import pytest

from asrx.options import CODECS as NAMES
from asrx.training.augmentation import generator
from asrx.training.codecs import CODECS, TELEPHONE, transmit


def chirps(seconds: float = 2.0) -> np.ndarray:
    """Sweeps from 200 to 7,000 Hz, quiet but for one syllable: every shift and every missing band shows."""
    time = np.arange(round(seconds * 16_000)) / 16_000
    swept = np.sin(2 * np.pi * (200 * time + 3_400 * time**2 / seconds))
    return (swept * np.where((time > 0.7) & (time < 1.1), 0.5, 0.15)).astype(np.float32)


def lag(one: np.ndarray, other: np.ndarray) -> int:
    """By how many samples the other one comes later."""
    size = 2 * len(one)
    correlation = np.fft.irfft(np.fft.rfft(other, size) * np.conj(np.fft.rfft(one, size)), size)
    return (int(np.argmax(correlation)) + len(one)) % size - len(one)


def share_above(samples: np.ndarray, frequency: float) -> float:
    energy = np.square(np.abs(np.fft.rfft(samples)))
    return float(energy[np.fft.rfftfreq(len(samples), 1 / 16_000) > frequency].sum() / energy.sum())


def test_the_options_name_every_codec() -> None:
    assert set(NAMES) == set(CODECS)


@pytest.mark.parametrize("name", NAMES)
def test_speech_stays_where_it_was_and_as_long(name: str) -> None:
    sent = chirps()
    for draw in range(6):  # another bit rate each
        heard = transmit(sent, name, generator(draw))
        assert heard.shape == sent.shape and heard.dtype == np.float32
        assert abs(lag(sent, heard)) <= 1
        assert 0.2 < np.sum(np.square(heard)) / np.sum(np.square(sent)) < 1.3
        assert not np.array_equal(heard, sent)
    for length in (1, 100, 401, 7_001):
        assert len(transmit(sent[:length], name, generator(0))) == length


@pytest.mark.parametrize("name", NAMES)
def test_the_same_draw_sounds_the_same(name: str) -> None:
    assert np.array_equal(transmit(chirps(), name, generator(4, 2)), transmit(chirps(), name, generator(4, 2)))


@pytest.mark.parametrize("name", NAMES)
def test_a_telephone_has_no_high_frequencies(name: str) -> None:
    sent = chirps()
    above = share_above(transmit(sent, name, generator(0)), 4_100)
    assert share_above(sent, 4_100) > 0.1
    assert above < 1e-3 if CODECS[name].rate == TELEPHONE else above > 0.05


@pytest.mark.parametrize("name", NAMES)
def test_louder_than_full_scale_is_not_cut_off(name: str) -> None:
    sent = 8 * chirps()
    heard = transmit(sent, name, generator(1))
    assert np.abs(heard).max() > 2.5 and lag(sent, heard) in (-1, 0, 1)
