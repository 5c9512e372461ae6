"""Channels, clipping, silence, and 16-bit samples that reach the corpus as they were."""

import io
from pathlib import Path

import numpy as np
import pytest
import soundfile
from sounds import sound, write

from asrx.recognizer.audio import Audio, Limits, is_silent, load, pcm, to_int16


def test_sixteen_bits_at_16_khz_come_out_bit_by_bit(tmp_path: Path) -> None:
    samples = np.random.default_rng(0).integers(-32_768, 32_768, 50_000).astype(np.int16)
    for kind in ("WAV", "WAVEX", "FLAC", "AIFF", "AU", "CAF", "W64", "RF64", "NIST"):
        for channels in (1, 2):
            buffer = io.BytesIO()
            soundfile.write(buffer, samples if channels == 1 else np.stack([samples[::-1], samples], axis=1), 16_000, format=kind, subtype="PCM_16")
            path = tmp_path / "clip"
            path.write_bytes(buffer.getvalue())
            for source, options in ((path, {}), (buffer.getvalue(), {}), (path, {"offset": 1.0, "seconds": 1.0})):
                audio = load(source, channel=channels - 1, **options)
                expected = samples[16_000:32_000] if options else samples
                assert np.array_equal(pcm(audio), expected), kind
                assert pcm(audio).dtype == np.int16 and audio.samples.dtype == np.float32
                assert np.array_equal(to_int16(audio.samples), expected), kind
    assert np.array_equal(pcm(load(samples)), samples)


def test_the_fast_way_and_the_decoders_agree(tmp_path: Path) -> None:
    for rate in (8_000, 16_000, 44_100):
        for channels in (1, 2, 3):
            samples = to_int16(sound(1.3, rate, channels))
            wav, flac = (write(tmp_path / f"a.{kind}", samples, rate) for kind in ("wav", "flac"))
            assert np.array_equal(pcm(load(wav)), pcm(load(flac)))


def test_one_channel_can_be_taken(tmp_path: Path) -> None:
    agent, caller = sound(pitch=200), sound(pitch=450)
    path = write(tmp_path / "call.wav", np.stack([agent, caller], axis=1))
    for channel, voice in enumerate((agent, caller)):
        for options in ({}, {"offset": 0.0, "seconds": 1.5}):
            assert np.abs(load(path, channel=channel, **options).samples - voice).max() < 1e-4
    assert np.abs(load(path).samples - (agent + caller) / 2).max() < 1e-4
    antiphase = write(tmp_path / "antiphase.wav", np.stack([agent, -agent], axis=1))
    assert np.abs(load(antiphase, channel=1).samples + agent).max() < 1e-4
    assert not is_silent(load(antiphase, limits=Limits(antiphase=0.0)).samples + agent.astype(np.float32))


def test_a_dead_channel_does_not_cancel_the_other(tmp_path: Path) -> None:
    path = write(tmp_path / "left.wav", np.stack([sound(), 0 * sound()], axis=1))
    assert np.abs(load(path).samples - sound() / 2).max() < 1e-4


@pytest.mark.parametrize("gain", (0.9, 1.5, 4.0))
@pytest.mark.parametrize("subtype", ("PCM_16", "PCM_24", "FLOAT"))
@pytest.mark.parametrize("rate", (16_000, 44_100))
def test_clipping_is_counted_in_runs(gain: float, subtype: str, rate: int) -> None:
    samples = np.clip(gain * np.sin(2 * np.pi * 100 * np.arange(rate) / rate), -1, 1)
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format="WAV", subtype=subtype)
    full = np.abs(samples) >= 1
    assert load(buffer.getvalue()).clipped == pytest.approx(full.mean(), abs=0.002)
    assert (load(buffer.getvalue()).clipped > 0) == (gain > 1)


def test_peaks_that_touch_full_scale_are_not_clipping() -> None:
    samples = np.zeros(16_000, np.int16)
    samples[[100, 101, 500, 900, 901]] = 32_767
    samples[[2_000, 2_001]] = -32_768
    assert load(samples).clipped == 0
    samples[102] = 32_767
    assert load(samples).clipped == pytest.approx(3 / 16_000)


@pytest.mark.parametrize(("samples", "silent"), [
    (np.zeros(0), True), (np.zeros(9), True), (np.full(9, 0.3), True), (0.3 + 5e-5 * sound(), True), (1e-3 * sound(), False), (0.3 + 1e-3 * sound(), False),
    (np.zeros(9, np.int16), True), (np.full(9, 900, np.int16), True), (np.arange(9, dtype=np.int16), False),
])  # fmt: skip
def test_a_constant_is_silence_and_a_whisper_on_it_is_not(samples: np.ndarray, silent: bool) -> None:
    assert is_silent(samples) is silent


def test_audio_knows_its_length_in_either_form() -> None:
    for wave in (np.zeros(8_000, np.int16), np.zeros(8_000, np.float32)):
        audio = Audio(wave, 8_000)
        assert audio.seconds == 0.5 and audio.samples is audio.samples and pcm(audio).dtype == np.int16


def test_loudness_survives_every_rate() -> None:
    for rate in (8_000, 11_025, 22_050, 32_000, 44_100, 48_000, 96_000, 192_000):
        time = np.arange(2 * rate) / rate
        audio = load(0.5 * np.sin(2 * np.pi * 3_000 * time), rate)
        assert len(audio.samples) == 32_000
        assert np.std(audio.samples[4_000:-4_000]) == pytest.approx(0.5 / np.sqrt(2), rel=1e-3)
        assert np.abs(audio.samples - 0.5 * np.sin(2 * np.pi * 3_000 * np.arange(32_000) / 16_000))[4_000:-4_000].max() < 1e-3
