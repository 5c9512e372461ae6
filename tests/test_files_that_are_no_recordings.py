"""What a manifest can point at that is no recording: nothing may hang, and each is called by its name."""

import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from sounds import sound, write

from asrx.recognizer.audio import AudioError, Limits, load


@pytest.fixture(autouse=True)
def _no_hanging() -> Iterator[None]:
    """A read that blocks for ever ends the test."""
    signal.alarm(30)
    yield
    signal.alarm(0)


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
    assert refused(path).rule in ("not_audio", "truncated")
    assert coding == "utf-16" or refused(path).rule == "not_audio"


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
