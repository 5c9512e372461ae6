"""Recordings of which a decoder returns a part and says nothing."""

import io
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile
from encoders import alignment, sweep
from sounds import sound

from asrx.recognizer.audio import SAMPLE_RATE, AudioError, Limits, load

ENDLESS = 0xFFFFFFFF
TAG = b"ID3\x03\0\0\0\0\x10\x0a" + b"\xff" * (16 * 128 + 10)


def encoded(kind: str, subtype: str | None = None, samples: np.ndarray | None = None, rate: int = 16_000, **options: object) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, sound(3.0, rate) if samples is None else samples, rate, format=kind, subtype=subtype, **options)
    return buffer.getvalue()


def refused(source: Path | bytes, **options: object) -> AudioError:
    with pytest.raises(AudioError) as caught:
        load(source, **options)
    return caught.value


def swings() -> np.ndarray:
    """8 s, loud, silent and soft: the frames of a variable bit rate differ by a factor of ten."""
    return np.concatenate([sweep(1.0), np.zeros(3 * SAMPLE_RATE), 0.05 * sweep(4.0)])


def without_header(mp3: bytes) -> bytes:
    """An mp3 less its first frame, which is the Xing header: what streams and cut files begin with."""
    at = mp3.find(b"\xff", 4)
    while mp3[at : at + 2] != mp3[:2]:
        at = mp3.find(b"\xff", at + 1)
    return mp3[at:]


@pytest.mark.parametrize("mode", ("VARIABLE", "AVERAGE", "CONSTANT"))
@pytest.mark.parametrize("rate", (8_000, 16_000, 24_000, 44_100, 48_000))
def test_an_mp3_without_its_header_is_heard_to_the_end(mode: str, rate: int) -> None:
    samples = np.interp(np.arange(8 * rate) / rate, np.arange(8 * SAMPLE_RATE) / SAMPLE_RATE, swings())
    audio = load(without_header(encoded("MP3", None, samples, rate, bitrate_mode=mode, compression_level=0.4)))
    assert audio.seconds == pytest.approx(8.1, abs=0.15)
    assert alignment(audio.samples[5 * SAMPLE_RATE :], swings()[5 * SAMPLE_RATE :])[1] > 0.9


def test_a_span_at_the_end_of_such_an_mp3_is_found(tmp_path: Path) -> None:
    path = tmp_path / "stream.mp3"
    path.write_bytes(without_header(encoded("MP3", None, swings(), bitrate_mode="VARIABLE", compression_level=0.4)))
    whole = load(path).samples
    span = load(path, offset=6.0, seconds=1.5).samples
    assert alignment(span, whole[6 * SAMPLE_RATE : int(7.5 * SAMPLE_RATE)]) == (0, pytest.approx(1, abs=0.01))


@pytest.mark.parametrize("between", (b"", TAG, b"TAG" + bytes(125), b"APETAGEX" + struct.pack("<III", 2_000, 300, 1) + bytes(12 + 300)))
def test_mp3s_put_together_are_heard_together(between: bytes) -> None:
    one, other = encoded("MP3", None, sweep(2.0)), encoded("MP3", None, sweep(3.0))
    audio = load(one + between + other)
    assert audio.seconds == pytest.approx(5.1, abs=0.2)
    assert alignment(audio.samples[-2 * SAMPLE_RATE :], sweep(3.0))[1] > 0.95


@pytest.mark.parametrize("before", (TAG, TAG + TAG, bytes(700), b"HTTP/1.1 200 OK\r\n\r\n", b"\xff" * 50))
@pytest.mark.parametrize("after", (b"", b"TAG" + bytes(125), bytes(2_000), b"APETAGEX" + bytes(600), b"garbage \xff\xfb" * 200))
def test_what_stands_around_an_mp3_is_passed_over(before: bytes, after: bytes) -> None:
    for data in (encoded("MP3"), without_header(encoded("MP3"))):
        assert load(before + data + after).seconds == pytest.approx(3.0, abs=0.17)


def test_an_mp3_without_header_and_middle_is_refused() -> None:
    data = without_header(encoded("MP3", None, sweep(6.0)))
    third = len(data) // 3
    for hole in (bytes(third), np.random.default_rng(0).bytes(third)):
        assert refused(data[:third] + hole + data[2 * third :]).rule == "truncated"


def test_a_small_hole_in_an_mp3_without_header_is_refused() -> None:
    """The decoder finds its way again and says nothing; a third of a second is gone."""
    data = without_header(encoded("MP3", None, sweep(6.0), bitrate_mode="CONSTANT", compression_level=0.9))
    assert len(data) < 6.2 * 3_000
    assert refused(data[:9_000] + bytes(900) + data[9_900:]).rule == "truncated"


def test_a_constant_bit_rate_cut_off_is_measured_by_the_manifest(tmp_path: Path) -> None:
    path = tmp_path / "cut.mp3"
    data = without_header(encoded("MP3", None, sweep(6.0), bitrate_mode="CONSTANT"))
    path.write_bytes(data[: len(data) // 2])
    assert load(path).seconds == pytest.approx(3.0, abs=0.2)
    assert "could be decoded, 6.00 s were recorded" in str(refused(path, promised=6.0))
    assert refused(path, promised=6.0, offset=1.0).rule == "truncated"
    assert load(path, promised=2.95).seconds == load(path, promised=None).seconds == load(path, promised=float("nan")).seconds
    assert load(path, promised=6.0, limits=Limits(max_missing=3.5)).seconds > 2.5


@pytest.mark.parametrize("subtype", ("VORBIS", "OPUS"))
def test_a_chained_ogg_is_heard_to_its_last_link(tmp_path: Path, subtype: str) -> None:
    path = tmp_path / "chained.ogg"
    path.write_bytes(encoded("OGG", subtype, sweep(2.0)) + encoded("OGG", subtype, sweep(3.0)) + encoded("OGG", subtype, sweep(2.0)))
    audio = load(path)
    assert audio.seconds == pytest.approx(7.0, abs=0.001)
    assert alignment(audio.samples, np.concatenate([sweep(2.0), sweep(3.0), sweep(2.0)]))[1] > 0.99
    for offset in (2.5, 1.5, 4.0):
        span = load(path, offset=offset, seconds=1.2).samples
        assert abs(alignment(span, audio.samples[int(offset * SAMPLE_RATE) :][: len(span)])[0]) <= 1
    assert refused(path.read_bytes()[:-4_000]).rule == "truncated"


@pytest.mark.parametrize("subtype", ("VORBIS", "OPUS"))
def test_a_lost_ogg_page_is_missed(subtype: str) -> None:
    data = encoded("OGG", subtype, sound(6.0))
    pages = [at for at in range(len(data)) if data[at : at + 4] == b"OggS"]
    assert refused(data[: pages[3]] + data[pages[4] :]).rule == "truncated"
    hurt = bytearray(data)
    hurt[pages[3] + 500] ^= 0xFF  # the page's checksum no longer fits
    assert refused(bytes(hurt)).rule == "truncated"


@pytest.mark.parametrize(("kind", "subtype"), [
    ("WAV", "PCM_U8"), ("WAV", "PCM_24"), ("WAV", "FLOAT"), ("WAV", "ALAW"), ("WAV", "MS_ADPCM"), ("WAV", "IMA_ADPCM"), ("WAV", "GSM610"), ("WAVEX", "PCM_16"),
    ("RF64", "PCM_16"), ("W64", "PCM_16"), ("AIFF", "PCM_16"), ("AIFF", "FLOAT"), ("AU", "PCM_16"), ("CAF", "PCM_16"), ("CAF", "ALAC_16"), ("NIST", "PCM_16"),
    ("VOC", "PCM_16"), ("SVX", "PCM_16"), ("AVR", "PCM_16"), ("MAT4", "PCM_16"), ("MPC2K", "PCM_16"), ("FLAC", "PCM_24"),
])  # fmt: skip
@pytest.mark.parametrize("share", (0.3, 0.9))
def test_a_container_that_promises_more_is_refused(kind: str, subtype: str, share: float) -> None:
    data = encoded(kind, subtype)
    assert load(data).seconds == pytest.approx(3.0, abs=0.06)
    assert refused(data[: int(share * len(data))]).rule == "truncated"


@pytest.mark.parametrize("samples", (0, 0xFFFFFFFFF))
def test_a_streamed_flac_has_no_length_and_is_whole(tmp_path: Path, samples: int) -> None:
    flac = bytearray(encoded("FLAC"))
    flac[21] = flac[21] & 0xF0 | samples >> 32
    flac[22:26] = (samples & 0xFFFFFFFF).to_bytes(4, "big")
    if samples:
        assert refused(bytes(flac)).rule == "truncated"
        return
    assert load(bytes(flac)).seconds == 3.0
    path = tmp_path / "streamed.flac"
    path.write_bytes(flac)
    expected = load(path).samples
    for offset in (1.5, 2.0, 0.5):
        assert np.array_equal(load(path, offset=offset, seconds=0.5).samples, expected[int(offset * SAMPLE_RATE) :][:8_000])
    assert refused(bytes(flac[: len(flac) // 2])).rule == "truncated"


@pytest.mark.parametrize("size", (0, ENDLESS, 0x7FFFFFFF, 0x80000000, 0xFFFFFF00))
@pytest.mark.parametrize("subtype", ("PCM_16", "PCM_24"))
def test_a_streamed_wav_is_read_to_the_end_of_the_file(size: int, subtype: str) -> None:
    wav = bytearray(encoded("WAV", subtype))
    struct.pack_into("<I", wav, wav.find(b"data") + 4, size)
    assert load(bytes(wav)).seconds == 3.0
    struct.pack_into("<I", wav, 4, size)
    assert load(bytes(wav)).seconds == 3.0


def test_other_streamed_containers_are_read_to_the_end_of_the_file() -> None:
    au, caf = bytearray(encoded("AU", "PCM_16")), bytearray(encoded("CAF", "PCM_16"))
    struct.pack_into(">I", au, 8, ENDLESS)
    struct.pack_into(">q", caf, caf.find(b"data") + 4, -1)
    assert load(bytes(au)).seconds == load(bytes(caf)).seconds == 3.0


@pytest.mark.parametrize("junk", [
    b"junk\5\0\0\0abcde\0", b"junk\5\0\0\0abcde", b"LIST\4\0\0\0INFO", b"bext" + struct.pack("<I", 9_001) + bytes(9_002),
    b"JUNK" + struct.pack("<I", 4_096) + bytes(4_096),
])  # fmt: skip
def test_chunks_before_the_samples_are_passed_over(junk: bytes) -> None:
    wav = encoded("WAV", "PCM_16")
    data = wav[:12] + junk + wav[12:]
    assert load(data).seconds == 3.0
    assert refused(data[:-20_000]).rule == "truncated"
