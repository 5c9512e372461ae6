"""Noise and rooms from folders are mixed in as loud as asked for, where words stay in their place; what cannot be used is refused by name."""

import logging
from pathlib import Path

import numpy as np
import pytest
import sounds
from conftest import TRAINING

from asrx.config import Augment, resolve
from asrx.errors import ConfigError, InputError
from asrx.training import acoustics
from asrx.training.augmentation import Augmentation, generator
from asrx.training.sounds import content, opened

SPEECH = sounds.sound(2.0).astype(np.float32)


def power(samples: np.ndarray) -> float:
    return float(np.mean(np.square(samples, dtype=np.float64)))


@pytest.fixture
def noises(home: Path, tmp_path: Path) -> Path:
    """As MUSAN lies there: folders, a licence, recordings that are longer and shorter than speech, at other rates and levels."""
    folder = tmp_path / "musan"
    sounds.write(folder / "noise" / "long.flac", 0.01 * np.random.default_rng(0).standard_normal(80_000))
    sounds.write(folder / "music" / "short.wav", sounds.sound(0.3, rate=44_100, channels=2, pitch=500), 44_100)
    (folder / "noise" / "LICENSE").write_text("free")
    return folder


@pytest.mark.parametrize("snr", [-5.0, 0.0, 20.0])
@pytest.mark.parametrize("folder", [True, False])
def test_noise_is_as_loud_as_asked_for(snr: float, folder: bool, noises: Path) -> None:
    augmented = Augmentation(Augment(noise_probability=1.0, noise_snr=(snr, snr), noise=str(noises) if folder else None))
    heard = [augmented(SPEECH, generator(0, 0, utterance)) - SPEECH for utterance in range(8)]
    for noise in heard:
        assert 10 * np.log10(power(SPEECH) / power(noise)) == pytest.approx(snr, abs=0.1)
    assert len({noise.tobytes() for noise in heard}) == 8  # another stretch each time


def test_a_stretch_is_whole_and_a_short_recording_begins_anew() -> None:
    recording = np.arange(1, 101, dtype=np.int16) * 300
    short = {acoustics.stretch(recording, 40, generator(number)).tobytes() for number in range(50)}
    assert len(short) > 20
    looped = acoustics.stretch(recording, 350, generator(0))
    assert len(looped) == 350 and np.array_equal(looped[:250], looped[100:])
    assert set(np.round(looped * 32768).astype(int)) == set(recording.tolist())


@pytest.fixture
def impulse() -> np.ndarray:
    """A room with a T60 of 0.4 s: exponentially decaying noise behind a direct path that comes 10 ms after the file begins."""
    time = np.arange(8_000) / 16_000
    tail = 0.05 * np.random.default_rng(1).standard_normal(8_000) * 10 ** (-3 * time / 0.4)
    tail[0] = 1.0
    return np.concatenate([np.zeros(160), 0.5 * tail])


def decay(samples: np.ndarray) -> float:
    """T60 in s from Schroeder's backward integration, between -5 and -25 dB."""
    energy = np.cumsum(np.square(samples[::-1], dtype=np.float64))[::-1]
    level = 10 * np.log10(energy / energy[0] + 1e-12)
    begin, end = np.argmax(level < -5), np.argmax(level < -25)
    return 3 * float(end - begin) / 16_000


def test_a_room_keeps_length_level_and_place_and_decays_as_it_does(impulse: np.ndarray, home: Path, tmp_path: Path) -> None:
    sounds.write(tmp_path / "rooms" / "hall.wav", impulse)
    augmented = Augmentation(Augment(reverb_probability=1.0, reverb=str(tmp_path / "rooms")))
    heard = augmented(SPEECH, generator(0))
    assert heard.shape == SPEECH.shape and power(heard) == pytest.approx(power(SPEECH), rel=1e-4)
    click = np.zeros(16_000, np.float32)
    click[4_000] = 1.0
    echo = augmented(click, generator(0))
    assert int(np.argmax(np.abs(echo))) == 4_000 and np.abs(echo[:3_999]).max() < 1e-3
    assert decay(echo[4_001:]) == pytest.approx(0.4, rel=0.1)
    assert decay(click[4_000:]) < 0.01


def test_recordings_are_decoded_once(noises: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "asrx")
    first = opened("augment.noise", str(noises))
    assert "decoding the 2 recordings" in caplog.text
    caplog.clear()
    again = opened("augment.noise", str(noises))
    assert not caplog.text and again.folder == first.folder
    lengths = {len(again.draw(generator(number))) for number in range(20)}
    assert lengths == {80_000, 4_800}
    assert all(np.abs(again.draw(generator(number)).astype(int)).max() >= 32_767 for number in range(4))


def test_another_content_is_another_training(noises: Path) -> None:
    options = Augment(noise_probability=1.0, noise=str(noises))
    before = content(options)
    assert before == content(options) and not content(Augment())
    sounds.write(noises / "noise" / "more.wav")
    assert content(options) != before


def test_what_cannot_be_heard_is_refused_by_name(home: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="augment.reverb=.*nowhere: there is no such folder"):
        content(Augment(reverb=str(tmp_path / "nowhere")))
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "README").write_text("no audio")
    with pytest.raises(ConfigError, match="augment.noise=.*empty: there is no audio"):
        opened("augment.noise", str(tmp_path / "empty"))
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "torn.wav").write_bytes(b"RIFF no sound")
    with pytest.raises(InputError, match="torn.wav"):
        opened("augment.noise", str(tmp_path / "bad"))
    sounds.write(tmp_path / "still" / "still.wav", np.zeros(16_000))
    with pytest.raises(InputError, match="still.wav is silent"):
        opened("augment.reverb", str(tmp_path / "still"))
    assert not list((home / "asrx" / "sounds").glob(".*partial*"))


@pytest.mark.parametrize(("given", "said"), [
    (["augment.noise=x"], "augment.noise=x: none of it is heard with augment.noise_probability=0"),
    (["augment.reverb=x"], "augment.reverb=x: none of it is heard"),
    (["augment.reverb_probability=0.5"], "needs augment.reverb=FOLDER"),
    (["augment.codecs=[gsm,aac]"], "augment.codecs=aac: must be one of 8khz, mu-law"), (["augment.codecs=[]"], "must be some of 8khz"),
])  # fmt: skip
def test_options_without_effect_are_refused(given: list[str], said: str) -> None:
    with pytest.raises(ConfigError, match=said.replace("[", r"\[")):
        resolve(overrides=given)


def test_a_folder_is_refused_before_a_run_is_opened(corpus: Path, asrx, tmp_path: Path) -> None:
    from asrx import tracking

    def runs() -> int:
        return len(tracking.connect().search_runs([experiment.experiment_id for experiment in tracking.connect().search_experiments()]))

    before = runs()
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "torn.wav").write_bytes(b"RIFF no sound")
    for folder, said in ((tmp_path / "none", "no such folder"), (tmp_path / "bad", "torn.wav")):
        outcome = asrx("train", "--data", corpus, "--max-steps", 1, *TRAINING, f"augment.noise={folder}", "augment.noise_probability=1")
        assert outcome.status == 2 and said in outcome.complaint[-1]
    assert runs() == before


def test_bands_are_missing_and_nothing_else() -> None:
    samples = np.random.default_rng(3).standard_normal(4 * 16_000).astype(np.float32) * 0.1
    for seed in range(20):
        heard = acoustics.without_bands(samples, np.random.default_rng(seed))
        kept = np.abs(np.fft.rfft(heard)) > 1e-3
        assert heard.dtype == np.float32 and len(heard) == len(samples)
        assert np.allclose(np.fft.rfft(heard)[kept], np.fft.rfft(samples)[kept], atol=1e-2)
        edges = np.flatnonzero(np.diff(kept[1:].astype(int)))
        assert 1 <= len(edges) <= 4
        mels = 2595 * np.log10(1 + np.linspace(0, 8_000, len(kept)) / 700)
        lost = np.diff(mels, append=mels[-1])[~kept].sum() / mels[-1]
        assert 0 < lost <= 0.4 + 1e-3
