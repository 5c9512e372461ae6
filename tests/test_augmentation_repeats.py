"""A resumed training must hear what an undisturbed one hears, and hear speech."""

from pathlib import Path

import numpy as np
import pytest
import sounds

from asrx.config import Augment
from asrx.training.augmentation import Augmentation, change_speed, generator

TONE = (0.3 * np.sin(2 * np.pi * 440 * np.arange(32_000) / 16_000)).astype(np.float32)
ALL = Augment(speed=0.15, gain=6, noise_probability=1.0, noise_snr=(10, 10))


@pytest.fixture
def everything(home: Path, tmp_path: Path) -> Augmentation:
    for name in ("noise", "rooms"):
        for number in range(3):
            sounds.write(tmp_path / name / f"{number}.wav", sounds.sound(0.5 + number, pitch=100 + 50 * number))
    folders = {"noise": str(tmp_path / "noise"), "reverb": str(tmp_path / "rooms")}
    return Augmentation(Augment(speed=0.15, gain=6, noise_probability=0.8, reverb_probability=0.8, codec_probability=0.8, band_probability=0.8, **folders))


def test_the_same_utterance_in_the_same_epoch_sounds_the_same(everything: Augmentation) -> None:
    for utterance in range(20):
        first = everything(TONE, generator(1, 2, utterance))
        np.random.seed(utterance)
        assert np.array_equal(first, everything(TONE, generator(1, 2, utterance)))


@pytest.mark.parametrize("other", [(2, 2, 3), (1, 3, 3), (1, 2, 4)])
def test_seed_epoch_and_utterance_all_matter(other: tuple[int, int, int], everything: Augmentation) -> None:
    for augmented in (Augmentation(ALL), everything):
        one, two = augmented(TONE, generator(1, 2, 3)), augmented(TONE, generator(*other))
        assert len(one) != len(two) or not np.array_equal(one, two)


def test_nothing_is_changed_by_default() -> None:
    assert Augmentation(Augment())(TONE, generator(0, 0, 0)) is TONE


@pytest.mark.parametrize(("factor", "length"), [(1.1, 29_091), (0.9, 35_556), (1.0, 32_000)])
def test_speed_changes_length_and_pitch(factor: float, length: int) -> None:
    changed = change_speed(TONE, factor)
    assert len(changed) == pytest.approx(length, abs=2)
    spectrum = np.abs(np.fft.rfft(changed))
    assert np.argmax(spectrum) * 16_000 / len(changed) == pytest.approx(440 * factor, rel=0.01)


def test_a_silent_or_tiny_utterance_stays_finite(everything: Augmentation) -> None:
    for samples in (np.zeros(16_000, np.float32), np.full(3, 0.1, np.float32)):
        for utterance in range(10):
            heard = everything(samples, generator(0, 0, utterance))
            assert np.isfinite(heard).all() and heard.dtype == np.float32
