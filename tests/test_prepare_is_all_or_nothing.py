"""A preparation that fails, is killed or meets another one leaves a whole corpus or none."""

import errno
import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import wait_for
from sounds import corpus, sound, table, write

from asrx.config import Config, resolve
from asrx.corpus import prepare as stage
from asrx.corpus.decoding import build
from asrx.corpus.prepare import Source, prepare
from asrx.corpus.shards import PreparedCorpus
from asrx.errors import InputError
from asrx.files import locked, write_text

ROOT = Path(__file__).parents[1]
PROGRAM = """
import sys, time
from pathlib import Path
from asrx.config import resolve
from asrx.corpus import prepare as stage
from asrx.corpus.decoding import build

def slow(jobs):
    for job in jobs:
        yield job, build(job)
        time.sleep(0.3)

if __name__ == "__main__":
    options = resolve(overrides=["data.workers=2", "data.shard_size=2", "data.split=random"])
    print(stage.prepare(stage.Source(sys.argv[1]), Path(sys.argv[2]), options, slow if sys.argv[3] == "slow" else None)[1])
"""
WORK = ".out.work"


def options(*overrides: str) -> Config:
    return resolve(overrides=["data.workers=1", "data.shard_size=2", "data.split=random", *overrides])


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Source:
    return Source(str(corpus(tmp_path_factory.mktemp("source"))))


def start(source: Source, out: Path, pace: str = "fast") -> subprocess.Popen:
    script = out.parent / "program.py"
    script.write_text(PROGRAM)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(script), source.path, str(out), pace]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


def children(process: int) -> list[int]:
    return [int(number) for number in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_an_error_half_way_leaves_no_corpus_and_a_second_try_goes_on(source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("half way")

    with monkeypatch.context() as patch, pytest.raises(RuntimeError, match="half way"):
        patch.setattr(stage, "assemble", fail)
        prepare(source, tmp_path / "out", options())
    assert left(tmp_path) == [WORK]
    prepare(source, tmp_path / "out", options(), engine=lambda jobs: (pytest.fail("nothing is left to decode") for _ in jobs))
    assert left(tmp_path) == ["out"]


def test_an_error_leaves_the_corpus_that_was_there(source: Source, tmp_path: Path) -> None:
    prepare(source, tmp_path / "out", options())
    before = contents(tmp_path / "out")
    with pytest.raises(InputError, match="rejected"):
        prepare(source, tmp_path / "out", options("data.min_seconds=10"))
    assert contents(tmp_path / "out") == before and left(tmp_path) == ["out"]


@pytest.mark.slow
def test_killed_at_any_moment_it_goes_on_to_the_same_bytes(source: Source, tmp_path: Path) -> None:
    prepare(source, tmp_path / "undisturbed", options("data.workers=2"))
    (tmp_path / "killed").mkdir()
    out = tmp_path / "killed" / "out"
    moments = random.Random(5)
    kills = 0
    while not out.exists():
        process = start(source, out, "slow" if kills % 2 else "fast")
        try:
            process.wait(moments.uniform(0.6, 2.2))
        except subprocess.TimeoutExpired:
            kills += 1
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert kills and contents(out) == contents(tmp_path / "undisturbed")
    assert left(out.parent) == ["out", "program.py"]


def test_a_kill_takes_the_workers_along_and_costs_only_what_was_under_way(source: Source, tmp_path: Path) -> None:
    process = start(source, tmp_path / "out", "slow")
    wait_for(lambda: list((tmp_path / WORK).rglob("*.json")) if len(list((tmp_path / WORK / "pieces").rglob("*.json"))) else None, 20)
    process.send_signal(signal.SIGKILL)
    process.wait()
    made = {path: path.stat().st_mtime_ns for path in (tmp_path / WORK / "pieces").rglob("*.arrow")}
    assert made and "out" not in left(tmp_path)
    again = []
    prepare(source, tmp_path / "out", options(), engine=lambda jobs: ((job, again.append(job.target) or build(job)) for job in jobs))
    assert again and not set(again) & set(made)
    assert left(tmp_path) == ["out", "program.py"]


def test_workers_end_with_a_parent_that_is_killed(source: Source, tmp_path: Path) -> None:
    (tmp_path / "clips").mkdir()
    rows = [{"path": str(write(tmp_path / "clips" / f"{n}.mp3", sound(14, rate=48_000, pitch=100 + n), 48_000)), "text": "x" * 30} for n in range(30)]
    process = start(Source(str(table(tmp_path / "long.csv", rows))), tmp_path / "out")
    workers = wait_for(lambda: [child for child in children(process.pid) if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()], 20)
    process.send_signal(signal.SIGKILL)
    process.wait()
    wait_for(lambda: not any(is_running(worker) for worker in workers), 10, "the end of the decoding processes")


def is_running(process: int) -> bool:
    status = Path(f"/proc/{process}/stat")
    return status.exists() and "Z" not in status.read_text().split()[2]


def test_an_interrupted_worker_file_is_cleared_away(source: Source, tmp_path: Path) -> None:
    write_text(tmp_path / WORK / "pieces" / "train" / "1" / "0.partial-elsewhere-1", "half")
    prepare(source, tmp_path / "out", options())
    assert left(tmp_path) == ["out"]


def test_two_at_once_make_one_corpus(source: Source, tmp_path: Path) -> None:
    processes = [start(source, tmp_path / "out", "slow") for _ in range(2)]
    answers = sorted(process.communicate(timeout=60)[0].strip() for process in processes)
    assert answers == ["False", "True"]  # one wrote it, the other found it
    opened = PreparedCorpus.open(tmp_path / "out")
    assert len(opened.split("train")) + len(opened.split("validation")) == 6
    assert left(tmp_path) == ["out", "program.py"]


def test_the_lock_is_exclusive_and_leaves_no_file(tmp_path: Path) -> None:
    script = "import sys, time; from pathlib import Path; from asrx.files import locked\n" \
             "for _ in range(30):\n    with locked(Path(sys.argv[1])):\n" \
             "        log = Path(sys.argv[2]); number = int(log.read_text()); time.sleep(0.001); log.write_text(str(number + 1))"  # fmt: skip
    write_text(tmp_path / "count", "0")
    command = [sys.executable, "-c", script, str(tmp_path / "target"), str(tmp_path / "count")]
    for process in [subprocess.Popen(command, cwd=ROOT) for _ in range(3)]:
        assert process.wait(timeout=30) == 0
    assert (tmp_path / "count").read_text() == "90"
    assert left(tmp_path) == ["count"]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", str(folder)], capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"a disk of 400 kB cannot be mounted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_full_disk_stops_it_and_after_space_is_freed_it_goes_on(source: Source, small_disk: Path) -> None:
    (small_disk / "other").write_bytes(bytes(300_000))
    with pytest.raises(InputError, match="the disk that holds .*out is full; free some space"):
        prepare(source, small_disk / "out", options(), engine=lambda jobs: ((job, build(job)) for job in jobs))  # one after another
    assert left(small_disk) == [WORK, "other"]
    made = [path.name for path in (small_disk / WORK / "pieces").rglob("*.json")]
    (small_disk / "other").unlink()
    again = []
    corpus, _ = prepare(source, small_disk / "out", options(), engine=lambda jobs: ((job, again.append(job) or build(job)) for job in jobs))
    assert len(again) == 3 - len(made) < 3 and sum(item["utterances"] for item in corpus.meta["splits"].values()) == 6


def test_a_folder_that_is_a_disk_of_its_own_is_filled_in_place(source: Source, small_disk: Path, tmp_path: Path) -> None:
    subprocess.run(["mount", "-o", "remount,size=8m", str(small_disk)], check=True)
    before = None
    for seed in (0, 1):
        prepared, existed = prepare(source, small_disk, options(f"data.seed={seed}"))
        assert not existed and len(prepared.split("train")) == 4 and prepared.digest != before
        assert set(left(small_disk)) == stage.PARTS - {"test"} and left(tmp_path) == ["disk"]
        before = prepared.digest
    assert prepare(source, small_disk, options("data.seed=1"))[1]


def test_a_file_size_limit_is_said(source: Source, tmp_path: Path) -> None:
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, old[1]))
    try:
        with pytest.raises(OSError) as caught:
            prepare(source, tmp_path / "out", options())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
    assert caught.value.errno == errno.EFBIG
    assert left(tmp_path) == [WORK]
    prepare(source, tmp_path / "out", options())
    assert left(tmp_path) == ["out"]


@pytest.mark.parametrize("names", [["notes.txt"], ["corpus.json", "notes.txt"], ["train/part_1/x"]])
def test_a_folder_with_something_else_is_refused_and_untouched(source: Source, tmp_path: Path, names: list[str]) -> None:
    for name in names:
        write_text(tmp_path / "out" / name, "{}")
    before = contents(tmp_path / "out")
    with pytest.raises(InputError, match="not a prepared corpus"):
        prepare(source, tmp_path / "out", options())
    assert contents(tmp_path / "out") == before and left(tmp_path) == ["out"]


def test_a_file_in_the_way_is_refused(source: Source, tmp_path: Path) -> None:
    write_text(tmp_path / "out", "mine")
    for out in (tmp_path / "out", tmp_path / "out" / "below"):
        with pytest.raises(InputError, match="out"):
            prepare(source, out, options())
    assert (tmp_path / "out").read_text() == "mine" and left(tmp_path) == ["out"]


def test_a_link_to_another_disk_stays_a_link(source: Source, tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "disk")
    for seed in (0, 1):
        prepare(source, tmp_path / "out", options(f"data.seed={seed}"))
        assert (tmp_path / "out").is_symlink() and (tmp_path / "disk" / "corpus.json").exists()
    assert left(tmp_path) == ["disk", "out"]


def test_what_a_run_that_was_killed_at_the_last_moment_left_is_cleared_away(source: Source, tmp_path: Path) -> None:
    prepare(source, tmp_path / "out", options())
    for name in (".out.old-1", ".out.work"):
        write_text(tmp_path / name / "corpus.json", "{}")
    assert stage.existing(source, tmp_path / "out", options()) is None
    assert prepare(source, tmp_path / "out", options())[1]
    assert left(tmp_path) == ["out"] and stage.existing(source, tmp_path / "out", options())


def test_a_disk_that_cannot_be_written_is_said(source: Source, small_disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    for out in (small_disk / "out", small_disk, Path("/proc/asrx")):
        with pytest.raises(InputError, match="cannot be written"):
            prepare(source, out, options())


def test_ctrl_c_is_one_line_and_no_traceback(home: Path, tmp_path: Path) -> None:
    csv = corpus(tmp_path / "source", count=1_200)  # seconds of work, however busy the machine is when the signal comes
    command = [sys.executable, "-m", "asrx", "prepare", "--source", str(csv), "--out", str(tmp_path / "out"), "data.shard_size=3", "data.workers=2"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True)
    wait_for((tmp_path / WORK / "pieces").exists, 60, "the first piece")  # the workers are starting
    os.killpg(process.pid, signal.SIGINT)
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 130 and "Traceback" not in said and "Error" not in said
    assert "the same command goes on from here" in said and said.rstrip().endswith("asrx: interrupted")


def test_strange_names_are_no_patterns(source: Source, tmp_path: Path) -> None:
    (tmp_path / ".out1.work").mkdir()
    prepare(source, tmp_path / "out[1]", options())
    assert left(tmp_path) == [".out1.work", "out[1]"]


def test_write_text_leaves_nothing_half_written(tmp_path: Path) -> None:
    write_text(tmp_path / "a", "before")
    with pytest.raises(UnicodeEncodeError):
        write_text(tmp_path / "a", "after \ud800")
    assert (tmp_path / "a").read_text() == "before" and left(tmp_path) == ["a"]


def test_a_waiting_process_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    import threading

    def hold() -> None:
        with locked(tmp_path / "target"):
            held.set()
            time.sleep(0.3)

    held = threading.Event()
    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    with caplog.at_level("INFO", "asrx"), locked(tmp_path / "target"):
        assert "waiting for another process" in caplog.text and "target" in caplog.text
    thread.join()


