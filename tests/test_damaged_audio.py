"""Audio that libsndfile reads without a word although something is wrong with it."""

import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile
from sounds import FORMATS, sound, write

from asrx.recognizer.audio import AudioError, load


def refused(source: Path | bytes) -> str:
    with pytest.raises(AudioError) as caught:
        load(source)
    return str(caught.value)


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("share", (0.02, 0.3, 0.6, 0.9, 0.95))
def test_truncated_audio_is_refused(tmp_path: Path, kind: str, share: float) -> None:
    whole = write(tmp_path / f"whole.{kind}", sound(3.0)).read_bytes()
    cut = tmp_path / f"cut.{kind}"
    cut.write_bytes(whole[: int(share * len(whole))])
    assert "truncated or damaged" in refused(cut)
    assert "truncated or damaged" in refused(cut.read_bytes())


@pytest.mark.parametrize("kind", ("flac", "mp3", "ogg", "opus"))
@pytest.mark.parametrize("how", ("noise", "zeros", "cut out"))
def test_damage_in_the_middle_is_refused(tmp_path: Path, kind: str, how: str) -> None:
    whole = write(tmp_path / f"whole.{kind}", sound(5.0)).read_bytes()
    middle, length = len(whole) // 2, len(whole) // 4
    damage = {"noise": np.random.default_rng(0).bytes(length), "zeros": bytes(length), "cut out": b""}[how]
    assert "damaged" in refused(whole[:middle] + damage + whole[middle + length :])


def test_a_truncated_extensible_wav_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "surround.wav"
    soundfile.write(path, sound(channels=6), 16_000, format="WAVEX")
    assert load(path).seconds == 1.5
    assert "truncated" in refused(path.read_bytes()[:-50_000])


@pytest.mark.parametrize("size", (0xFFFFFFFF, 0x7FFFFFFF, 0x7FFFF000))
def test_a_streamed_wav_without_its_size_is_whole(tmp_path: Path, size: int) -> None:
    wav = bytearray(write(tmp_path / "a.wav").read_bytes())
    struct.pack_into("<I", wav, wav.find(b"data") + 4, size)
    assert load(bytes(wav)).seconds == 1.5
    struct.pack_into("<I", wav, 4, 0xFFFFFFFF)
    assert load(bytes(wav)).seconds == 1.5


def test_chunks_after_the_samples_are_no_damage(tmp_path: Path) -> None:
    wav = write(tmp_path / "a.wav").read_bytes()
    assert load(wav + b"LIST" + struct.pack("<I", 14) + b"INFOISFT" + struct.pack("<I", 2) + b"x\0").seconds == 1.5
    assert load(write(tmp_path / "a.mp3").read_bytes() + b"TAG" + bytes(125)).seconds == pytest.approx(1.5, abs=0.08)


def test_what_is_not_audio_is_refused(tmp_path: Path) -> None:
    text = tmp_path / "a: text.wav"
    text.write_text("This is not audio.\n" * 500)
    assert "not audio" in refused(text)
    text.write_bytes(b"")
    assert "0 bytes" in refused(text)
    assert "no such file" in refused(tmp_path / "missing.wav")
    assert "folder" in refused(tmp_path)


@pytest.mark.parametrize("rate", (7, 1_000_000))
def test_absurd_rates_are_refused(tmp_path: Path, rate: int) -> None:
    assert f"{rate:,} Hz" in refused(write(tmp_path / "a.wav", rate=rate, samples=sound()))


def test_no_samples_nan_and_antiphase_are_refused(tmp_path: Path) -> None:
    assert "0 samples" in refused(write(tmp_path / "none.wav", np.zeros(0)))
    for value in (np.nan, np.inf, 20_000.0):
        samples = sound().astype(np.float32)
        samples[100] = value
        soundfile.write(tmp_path / "odd.wav", samples, 16_000, subtype="FLOAT")
        assert ("full scale" if value == 20_000 else "not finite") in refused(tmp_path / "odd.wav")
    mono = sound()
    assert "antiphase" in refused(write(tmp_path / "antiphase.wav", np.stack([mono, -mono], axis=1)))
    assert load(write(tmp_path / "left.wav", np.stack([mono, 0 * mono], axis=1))).seconds == 1.5


def test_random_damage_never_raises_anything_else(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    for kind in FORMATS:
        whole = write(tmp_path / f"a.{kind}", sound(0.5)).read_bytes()
        for _ in range(40):
            data = bytearray(whole[: rng.integers(1, len(whole) + 1)])
            for position in rng.integers(0, len(data), 8):
                data[position] = rng.integers(0, 256)
            try:
                samples = load(bytes(data)).samples
            except AudioError:
                continue
            assert len(samples) and np.isfinite(samples).all()
