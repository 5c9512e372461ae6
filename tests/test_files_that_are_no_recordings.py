"""What a manifest can point at that is no recording: nothing may hang, and each is called by its name."""

import io
import os
import signal
import struct
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from encoders import encode
from sounds import FORMATS, sound, write

from asrx.recognizer.audio import AudioError, Limits, load


@pytest.fixture(autouse=True)
def _no_hanging() -> Iterator[None]:
    """A read that blocks for ever ends the test."""
    signal.alarm(30)
    yield
    signal.alarm(0)


def encoded(kind: str) -> bytearray:
    """A 16-bit recording of 1.5 s."""
    buffer = io.BytesIO()
    soundfile.write(buffer, sound(), 16_000, format=kind, subtype="PCM_16")
    return bytearray(buffer.getvalue())


def refused(source: object, **options: object) -> AudioError:
    with pytest.raises(AudioError) as caught:
        load(source, **options)
    return caught.value


@pytest.mark.parametrize("span", ({}, {"offset": 1.0, "seconds": 1.0}))
def test_each_is_called_by_its_name(tmp_path: Path, span: dict[str, float]) -> None:
    os.mkfifo(tmp_path / "pipe.wav")
    (tmp_path / "empty.wav").touch()
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "dangling.wav").symlink_to(tmp_path / "nowhere.wav")
    cases = [("pipe.wav", "not_audio", "pipe or a device"), ("/dev/zero", "not_audio", "pipe or a device"), (".", "not_audio", "folder"),
             ("empty.wav", "empty_audio", "0 bytes"), ("loop", "missing_audio", "no such file"), ("dangling.wav", "missing_audio", "no such file"),
             ("empty.wav/inside.wav", "missing_audio", "no such file"), ("x" * 300 + ".wav", "missing_audio", "no such file")]  # fmt: skip
    for name, rule, words in cases:
        error = refused(tmp_path / name, **span)
        assert (error.rule, words in str(error)) == (rule, True), error


def test_a_file_that_nobody_may_read_says_so() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = write(Path(folder) / "secret.wav")
        path.chmod(0)
        os.chmod(folder, 0o755)
        user = os.geteuid()
        if user == 0:
            os.seteuid(65_534)
        try:
            error = refused(path)
        finally:
            os.seteuid(user)
        assert "cannot be read (Permission denied)" in str(error) and error.rule == "bad_audio"


@pytest.mark.parametrize("name", ("new\nline.wav", "नेपाली.wav", "emoji 🎤.wav", "x" * 250 + ".wav", "-rf.wav", "a%20b#c?.wav", "http:--x.wav", " .wav"))
def test_any_name_that_a_file_can_have_is_read(tmp_path: Path, name: str) -> None:
    assert load(write(tmp_path / name)).seconds == load(str(write(tmp_path / name)), offset=0.5, seconds=1.0).seconds + 0.5
    assert "\n" not in str(refused(tmp_path / "nowhere" / name)) and len(str(refused(tmp_path / ("y" * 200) / name))) < 250


@pytest.mark.parametrize("text", [
    "<html>404 Not Found</html>\n" * 99, '{"error": "gone"}', "version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 9\n", "\0" * 5_000,
])  # fmt: skip
@pytest.mark.parametrize("coding", ("utf-8", "utf-16"))
def test_an_error_page_in_the_place_of_a_recording_is_not_audio(tmp_path: Path, text: str, coding: str) -> None:
    path = tmp_path / "clip.mp3"
    path.write_bytes(text.encode(coding))
    assert refused(path).rule == "not_audio"


@pytest.mark.parametrize(("begin", "words"), [
    (b"\xff\xfb", "MPEG frame"), (b"\xff\xf3\x48\xc4", "MPEG frame"), (b"\xff\xfd", "MPEG frame"), (b"OggS", "no Ogg page"),
    (b"OggS\0\2", "no Ogg page"), (b"fLaC", "no FLAC stream information"), (b"RIFF\0\1\0\0WEBP", "b'WEBP', not WAVE"), (b"", "not audio"),
])  # fmt: skip
def test_noise_behind_the_first_bytes_of_a_format_is_not_audio(tmp_path: Path, begin: bytes, words: str) -> None:
    path = tmp_path / "clip.mp3"
    for seed in range(5):
        path.write_bytes(begin + np.random.default_rng(seed).bytes(90_000))
        error = refused(path)
        assert error.rule == "not_audio" and ("is not audio in any format" in str(error) or words in str(error)), error


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("length", (30, 70, 150, 400, 900))
def test_the_first_bytes_of_a_recording_are_a_cut_one(tmp_path: Path, kind: str, length: int) -> None:
    assert refused(write(tmp_path / f"a.{kind}").read_bytes()[:length]).rule == "truncated"


@pytest.mark.parametrize("kind", ("wav", "flac", "ogg"))
def test_less_than_a_header_is_a_cut_one(tmp_path: Path, kind: str) -> None:
    assert refused(write(tmp_path / f"a.{kind}").read_bytes()[:7]).rule == "truncated"


def test_the_first_bytes_of_an_mp2_are_a_cut_one() -> None:
    pytest.importorskip("av")
    mp2 = encode(sound(), 16_000, "mp2", "mp2")
    assert [refused(mp2[:length]).rule for length in (30, 300, 500)] == ["truncated"] * 3


def test_the_first_bytes_of_an_mp3_without_header_or_within_its_tag_are_a_cut_one(tmp_path: Path) -> None:
    mp3 = write(tmp_path / "a.mp3").read_bytes()
    frames = mp3[mp3.find(mp3[:2], 4) :]
    tagged = b"ID3\3\0\0\0\0\x10\x0a" + bytes(2_058) + mp3
    assert {refused(data).rule for data in (frames[:100], frames[:250], tagged[:2_000], tagged[:2_100])} <= {"truncated", "not_audio"}
    assert refused(frames[:100]).rule == refused(tagged[:2_100]).rule == "truncated"


@pytest.mark.parametrize(("kind", "field", "distance", "form"), [
    ("WAV", b"fmt ", 10, "<H"), ("RF64", b"fmt ", 10, "<H"), ("W64", b"fmt ", 26, "<H"), ("AIFF", b"COMM", 8, ">H"), ("AU", b".snd", 20, ">I"),
    ("CAF", b"desc", 36, ">I"),
])  # fmt: skip
@pytest.mark.parametrize("count", (0, 1_025, 60_000))
def test_channels_that_nobody_has_are_counted(kind: str, field: bytes, distance: int, form: str, count: int) -> None:
    data = encoded(kind)
    struct.pack_into(form, data, data.find(field) + distance, count)
    error = refused(bytes(data))
    assert error.rule == "bad_audio" and f"has {count:,} channels" in str(error), error


@pytest.mark.parametrize(("kind", "distance"), [("WAV", 8), ("WAVEX", 8 + 24)])
def test_a_codec_that_nobody_knows_is_called_by_its_number(monkeypatch: pytest.MonkeyPatch, kind: str, distance: int) -> None:
    data = encoded(kind)
    struct.pack_into("<H", data, data.find(b"fmt ") + distance, 0x1234)
    for wav in (bytes(data), bytes(data[:20_000])):
        error = refused(wav)
        assert error.rule == "bad_audio" and "0x1234" in str(error), error
    monkeypatch.setitem(sys.modules, "av", None)
    error = refused(bytes(data))
    assert error.rule == "not_audio" and "0x1234" in str(error) and "pip install" in str(error), error
    assert refused(bytes(encoded("WAV")[:40])).rule == "truncated"


@pytest.mark.parametrize("over", (1, 8, 16))
def test_what_is_too_long_by_a_millisecond_does_not_read_like_the_bound(over: int) -> None:
    assert "lasts 2.001 s, longer than 2 s" in str(refused(sound(2 + over / 16_000), limits=Limits(max_seconds=2.0)))


@pytest.mark.parametrize(("source", "options", "rule"), [
    (np.zeros(0), {}, "empty_audio"), (np.array([0.1, np.inf]), {}, "not_finite"), (sound() * 32_768, {}, "out_of_scale"),
    (sound(), {"sampling_rate": 7}, "rate"), (sound(), {"sampling_rate": 1_000_000}, "rate"), (sound(), {"limits": Limits(min_rate=22_050)}, "rate"),
    (np.stack([sound(), -sound()]), {}, "antiphase"), (sound(), {"limits": Limits(max_seconds=1.0)}, "too_long"),
    (sound(), {"promised": 9.0}, "truncated"), (sound(), {"channel": 1}, "bad_audio"), (sound(), {"channel": -1}, "bad_audio"), (None, {}, "bad_audio"),
])  # fmt: skip
def test_every_refusal_has_its_rule(source: object, options: dict[str, object], rule: str) -> None:
    assert refused(source, **options).rule == rule


def test_the_rule_survives_the_way_between_processes() -> None:
    import pickle

    error = pickle.loads(pickle.dumps(refused(b"")))
    assert (error.rule, str(error)) == ("empty_audio", "is empty (0 bytes)")
