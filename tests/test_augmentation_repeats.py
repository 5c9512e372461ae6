"""A resumed training must hear what an undisturbed one hears, and hear speech."""

import numpy as np
import pytest

from asrx.config import Augment
from asrx.training.augmentation import add_noise, augment, change_speed, generator

TONE = (0.3 * np.sin(2 * np.pi * 440 * np.arange(32_000) / 16_000)).astype(np.float32)
ALL = Augment(speed=0.15, gain=6, noise_probability=1.0, noise_snr=(10, 10))


def test_the_same_utterance_in_the_same_epoch_sounds_the_same():
    assert np.array_equal(augment(TONE, ALL, generator(1, 2, 3)), augment(TONE, ALL, generator(1, 2, 3)))


@pytest.mark.parametrize("other", [(2, 2, 3), (1, 3, 3), (1, 2, 4)])
def test_seed_epoch_and_utterance_all_matter(other):
    one, two = augment(TONE, ALL, generator(1, 2, 3)), augment(TONE, ALL, generator(*other))
    assert len(one) != len(two) or not np.array_equal(one, two)


def test_nothing_is_changed_by_default():
    assert augment(TONE, Augment(), generator(0, 0, 0)) is TONE


@pytest.mark.parametrize(("factor", "length"), [(1.1, 29_091), (0.9, 35_556), (1.0, 32_000)])
def test_speed_changes_length_and_pitch(factor, length):
    changed = change_speed(TONE, factor)
    assert len(changed) == pytest.approx(length, abs=2)
    spectrum = np.abs(np.fft.rfft(changed))
    assert np.argmax(spectrum) * 16_000 / len(changed) == pytest.approx(440 * factor, rel=0.01)


@pytest.mark.parametrize("snr", [0.0, 20.0])
def test_noise_is_as_loud_as_asked_for(snr):
    noise = add_noise(TONE, snr, generator(0, 0, 0)) - TONE
    assert 10 * np.log10(np.mean(TONE**2) / np.mean(noise**2)) == pytest.approx(snr, abs=0.1)


def test_a_silent_utterance_stays_finite():
    assert np.isfinite(augment(np.zeros(16_000, np.float32), ALL, generator(0, 0, 0))).all()
