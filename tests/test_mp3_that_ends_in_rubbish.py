"""An mp3 whose end is overwritten or was never written, and the files that look like one and are whole."""

import io
import struct

import numpy as np
import pytest
import soundfile
from encoders import alignment, sweep

from asrx.recognizer.audio import SAMPLE_RATE, AudioError, load

SECONDS = 8.0
FILLS = {"zeros": bytes, "0xFF": lambda length: b"\xff" * length, "noise": np.random.default_rng(0).bytes}
ID3V1 = b"TAG" + bytes(125)
ID3V1_LONGER = b"TAG+" + bytes(223) + ID3V1
APE_2 = b"APETAGEX" + struct.pack("<III", 2_000, 9_032, 1) + struct.pack("<I", 0xA0000000) + bytes(8) + b"c" * 9_000
APE_2 += b"APETAGEX" + struct.pack("<III", 2_000, 9_032, 1) + struct.pack("<I", 0x80000000) + bytes(8)
APE_1 = b"c" * 9_000 + b"APETAGEX" + struct.pack("<IIII", 1_000, 9_032, 1, 0) + bytes(8)
LYRICS_1 = b"LYRICSBEGIN" + b"la " * 1_600 + b"LYRICSEND"
LYRICS_2 = b"LYRICSBEGIN" + b"IND00002" + b"la " * 3_000 + b"009019" + b"LYRICS200"
ID3V2_LAST = b"ID3\4\0\x10\0\0\x40\0" + b"c" * 8_192 + b"3DI\4\0\x10\0\0\x40\0"
TAGS = {"ID3v1": ID3V1, "ID3v1 enlarged": ID3V1_LONGER, "APEv1": APE_1, "APEv2": APE_2, "Lyrics3v1": LYRICS_1, "Lyrics3v2": LYRICS_2, "ID3v2.4": ID3V2_LAST}
TAGS |= {f"{one}, ID3v1": TAGS[one] + ID3V1 for one in ("APEv1", "APEv2", "Lyrics3v1", "Lyrics3v2")}


def mp3(seconds: float = SECONDS, rate: int = 44_100, header: bool = True) -> bytes:
    """An mp3 as libsndfile writes it, with the Xing header or less its frame."""
    buffer = io.BytesIO()
    soundfile.write(buffer, sweep(seconds, rate), rate, format="MP3")
    data = buffer.getvalue()
    return data if header else data[data.find(data[:2], 4) :]


def refused(data: bytes) -> str:
    with pytest.raises(AudioError) as caught:
        load(data)
    assert caught.value.rule == "truncated"
    return str(caught.value)


@pytest.mark.parametrize("fill", FILLS)
@pytest.mark.parametrize("share", (0.3, 0.5, 0.85))
@pytest.mark.parametrize("rate", (16_000, 44_100))
def test_a_cut_end_that_is_filled_beyond_the_old_size_is_refused(fill: str, share: float, rate: int) -> None:
    data = mp3(rate=rate)
    kept = int(share * len(data))
    for length in (len(data) - kept + 1_500, 2 * len(data)):
        assert f"{SECONDS:.1f}" in refused(data[:kept] + FILLS[fill](length)).partition(", ")[2]


def test_a_cut_end_hidden_by_a_large_tag_is_refused() -> None:
    data = mp3()
    refused(data[: len(data) // 2] + b"APETAGEX" + struct.pack("<III", 2_000, len(data), 1) + bytes(12 + len(data)))


@pytest.mark.parametrize("fill", FILLS)
def test_a_long_tail_without_a_header_stands_for_frames(fill: str) -> None:
    data = mp3(header=False)
    refused(data[: len(data) // 2] + FILLS[fill](len(data) // 2))
    refused(mp3(2.0) + data[: len(data) // 2] + FILLS[fill](len(data)))
    if fill != "zeros":  # of which a whole block is padding
        refused(data + FILLS[fill](4_000))


@pytest.mark.parametrize("fill", FILLS)
def test_a_header_of_which_no_frame_follows_is_that_of_a_recording(fill: str) -> None:
    data = mp3()
    refused(data[: data.find(data[:2], 4)] + FILLS[fill](90_000))


@pytest.mark.parametrize("fill", FILLS)
def test_a_tail_after_all_promised_frames_is_passed_over(fill: str) -> None:
    assert load(mp3() + FILLS[fill](60_000)).seconds == pytest.approx(SECONDS, abs=0.1)


@pytest.mark.parametrize("tail", (bytes(4_096), b"\xff" * 1_000, b"a footer " * 100, mp3(1.0)[:300]))
def test_a_little_after_an_mp3_without_header_is_passed_over(tail: bytes) -> None:
    assert load(mp3(header=False) + tail).seconds == pytest.approx(SECONDS, abs=0.15)


@pytest.mark.parametrize("name", TAGS)
@pytest.mark.parametrize("header", (True, False))
def test_tags_at_the_end_are_no_lost_frames(name: str, header: bool) -> None:
    assert load(mp3(header=header) + TAGS[name]).seconds == pytest.approx(SECONDS, abs=0.15)


@pytest.mark.parametrize("name", ("", *TAGS))
def test_joined_mp3s_of_which_the_first_counts_only_itself_are_whole(name: str) -> None:
    audio = load(mp3(2.0) + mp3(3.0) + TAGS.get(name, b""))
    assert audio.seconds == pytest.approx(5.1, abs=0.15)
    assert alignment(audio.samples[-2 * SAMPLE_RATE :], sweep(3.0))[1] > 0.95
