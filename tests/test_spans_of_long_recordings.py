"""Spans: where the manifest says, to the sample, without decoding what lies before them or keeping it in memory."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from encoders import alignment, encode, sweep
from sounds import FORMATS, sound, write

from asrx.recognizer.audio import SAMPLE_RATE, AudioError, Limits, load

SECONDS = 12.0


def recording(folder: Path, kind: str, rate: int) -> Path:
    """A sweep of 12 s in noise, so that no two spans are alike."""
    samples = sweep(SECONDS, rate) + 0.01 * np.random.default_rng(0).standard_normal(round(SECONDS * rate))
    path = folder / f"long.{kind}"
    if kind in FORMATS:
        return write(path, samples, rate)
    pytest.importorskip("av", reason="PyAV is not installed: pip install 'asrx[formats]'")
    codec, container = {"m4a": ("aac", "ipod"), "alac": ("alac", "ipod"), "webm": ("libopus", "webm"), "aac": ("aac", "adts"), "wma": ("wmav2", "asf")}[kind]
    path.write_bytes(encode(samples, rate, codec, container))
    return path


@pytest.mark.parametrize(("kind", "rate", "tolerance"), [
    ("wav", 16_000, 0), ("wav", 44_100, 1), ("flac", 16_000, 0), ("flac", 48_000, 1), ("alac", 16_000, 0), ("alac", 44_100, 1),
    ("mp3", 16_000, 1), ("mp3", 44_100, 1), ("ogg", 44_100, 1), ("opus", 48_000, 1), ("m4a", 44_100, 1), ("m4a", 16_000, 1),
    ("webm", 48_000, 16), ("aac", 44_100, 1), ("wma", 44_100, 32),
])  # fmt: skip
def test_forwards_backwards_and_overlapping_spans_are_those_of_the_whole(tmp_path: Path, kind: str, rate: int, tolerance: int) -> None:
    path = recording(tmp_path, kind, rate)
    whole = load(path).samples
    for offset in (0.0, 1.2345, 2.5, 2.6, 8.0, 8.0, 9.9, 0.05, 4.0, 11.0, 0.0):
        start, seconds = round(offset * SAMPLE_RATE), 0.8
        span = load(path, offset=offset, seconds=seconds).samples
        assert len(span) == seconds * SAMPLE_RATE
        expected = whole[start : start + len(span)]
        delay, correlation = alignment(span, expected)
        assert abs(delay) <= tolerance and correlation > 0.98, offset
        if not tolerance:
            assert np.array_equal(span, expected)


@pytest.mark.parametrize("kind", ("wav", "flac", "mp3", "ogg", "m4a", "webm", "aac"))
def test_a_span_to_the_end_is_the_rest(tmp_path: Path, kind: str) -> None:
    path = recording(tmp_path, kind, 48_000)
    whole = load(path)
    for offset in (9.0, 3.0):
        assert load(path, offset=offset).seconds == pytest.approx(whole.seconds - offset, abs=0.005)
    with pytest.raises(AudioError) as caught:
        load(path, offset=11.5, seconds=2.0)
    assert caught.value.rule == "bad_span"
    with pytest.raises(AudioError, match="ends before 30 s") as caught:
        load(path, offset=30.0)
    assert caught.value.rule == "bad_span"
    assert load(path, offset=1.0, seconds=1.0).seconds == 1.0


def test_a_file_that_changed_is_opened_anew(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    for pitch in (200, 450):
        write(path, sound(2.0, pitch=pitch))
        os.utime(path, ns=(pitch, pitch))
        span = load(path, offset=0.5, seconds=1.0).samples
        assert np.argmax(np.abs(np.fft.rfft(span))) == pytest.approx(pitch, abs=2)
    path.unlink()
    with pytest.raises(AudioError, match="no such file"):
        load(path, offset=0.5, seconds=1.0)


def test_two_threads_cut_one_file(tmp_path: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    path = recording(tmp_path, "flac", 16_000)
    whole = load(path).samples
    offsets = np.random.default_rng(0).uniform(0, SECONDS - 1, 200)
    with ThreadPoolExecutor(4) as pool:
        spans = list(pool.map(lambda offset: load(path, offset=offset, seconds=1.0).samples, offsets))
    for offset, span in zip(offsets, spans):
        assert np.array_equal(span, whole[round(offset * SAMPLE_RATE) :][: len(span)])


def test_a_child_process_does_not_move_its_parents_place(tmp_path: Path) -> None:
    import multiprocessing

    path = recording(tmp_path, "flac", 16_000)
    expected = load(path).samples
    load(path, offset=1.0, seconds=1.0)
    child = multiprocessing.get_context("fork").Process(target=load, args=(path,), kwargs={"offset": 6.0, "seconds": 1.0})
    child.start()
    child.join()
    assert child.exitcode == 0
    for offset in (2, 3):
        assert np.array_equal(load(path, offset=offset, seconds=1.0).samples, expected[offset * SAMPLE_RATE :][:SAMPLE_RATE])


def test_one_file_at_most_stays_open(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for number in range(30):
        path = write(tmp_path / f"{number}.flac", sound(1.0))
        load(path, offset=0.2, seconds=0.5)
        with pytest.raises(AudioError):
            load(path, offset=5.0, seconds=0.5)
        load(path)
    assert len(os.listdir("/proc/self/fd")) <= before + 1


@pytest.mark.parametrize("limit", (0.5, 2.0))
def test_what_is_too_long_is_known_from_the_header(tmp_path: Path, limit: float) -> None:
    path = recording(tmp_path, "flac", 16_000)
    for source in (path, path.read_bytes(), recording(tmp_path, "wav", 16_000), sound(SECONDS)):
        with pytest.raises(AudioError, match=f"lasts 12.000 s, longer than {limit:g} s") as caught:
            load(source, limits=Limits(max_seconds=limit))
        assert caught.value.rule == "too_long"
    with pytest.raises(AudioError) as caught:
        load(path, offset=1.0, seconds=limit + 0.1, limits=Limits(max_seconds=limit))
    assert caught.value.rule == "too_long"
    assert load(path, offset=1.0, seconds=limit, limits=Limits(max_seconds=limit)).seconds == limit
    assert load(path, limits=Limits(max_seconds=SECONDS)).seconds == SECONDS


MEMORY = """
import resource, sys
import numpy as np
from asrx.recognizer.audio import AudioError, Limits, load
load(np.zeros(4_800, np.float32), 48_000)
load(sys.argv[1], offset=0.5, seconds=1.0)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for second in range(0, 540, 3):
    assert load(sys.argv[1], offset=float(second), seconds=3.0).seconds == 3.0
try:
    load(sys.argv[1], limits=Limits(max_seconds=20.0))
    raise SystemExit("not refused")
except AudioError as error:
    assert error.rule == "too_long", error
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", ("wav", "flac", "mp3"))
def test_a_long_recording_is_not_held_in_memory(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"long.{kind}"
    minute = sound(60.0, 44_100, 2)
    container, subtype = FORMATS[kind]
    with soundfile.SoundFile(path, "w", 44_100, 2, subtype, format=container) as file:
        for _ in range(9):
            file.write(minute)
    done = subprocess.run([sys.executable, "-c", MEMORY, str(path)], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 60_000  # KiB; decoded, the nine minutes are 190 MB as int16
