"""A preparation that fails, is killed or meets another one leaves a whole corpus or none."""

import errno
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from sounds import corpus

from asrx.config import Config, resolve
from asrx.corpus import prepare as stage
from asrx.corpus.prepare import Source, prepare
from asrx.corpus.shards import PreparedCorpus, ShardWriter
from asrx.errors import InputError
from asrx.files import locked, write_text

ROOT = Path(__file__).parents[1]
PROGRAM = """
import sys
from pathlib import Path
from asrx.config import resolve
from asrx.corpus import prepare as stage
if __name__ == "__main__":
    if sys.argv[3] == "slow":
        import time
        add = stage._Writers.add
        def slow(*arguments):
            time.sleep(0.2)
            add(*arguments)
        stage._Writers.add = slow
    print(stage.prepare(stage.Source(sys.argv[1]), Path(sys.argv[2]), resolve(overrides=["data.workers=1"]))[1])
"""


def options(*overrides: str) -> Config:
    return resolve(overrides=["data.workers=1", *overrides])


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


def test_an_error_half_way_leaves_nothing_and_a_second_try_works(source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: ShardWriter) -> None:
        raise RuntimeError("half way")

    with monkeypatch.context() as patch, pytest.raises(RuntimeError, match="half way"):
        patch.setattr(ShardWriter, "close", fail)
        prepare(source, tmp_path / "out", options())
    assert left(tmp_path) == []
    prepare(source, tmp_path / "out", options())
    assert left(tmp_path) == ["out"]


def test_an_error_leaves_the_corpus_that_was_there(source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prepare(source, tmp_path / "out", options())
    before = contents(tmp_path / "out")
    with monkeypatch.context() as patch, pytest.raises(InputError, match="rejected"):
        patch.setattr(stage, "FORMAT", 99)
        prepare(source, tmp_path / "out", options("data.min_seconds=10"))
    assert contents(tmp_path / "out") == before and left(tmp_path) == ["out"]


def test_a_killed_run_leaves_no_corpus_and_the_next_one_cleans_up(source: Source, tmp_path: Path) -> None:
    process = start(source, tmp_path / "out", "slow")
    deadline = time.monotonic() + 20
    while not list(tmp_path.glob(".out.partial-*/*/*/*.arrow")):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.01)
    workers = children(process.pid)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert "out" not in left(tmp_path)
    prepare(source, tmp_path / "out", options())
    assert left(tmp_path) == ["out", "program.py"]
    deadline = time.monotonic() + 10
    while any(Path(f"/proc/{worker}").exists() and "Z" not in Path(f"/proc/{worker}/stat").read_text().split()[2] for worker in workers):
        assert time.monotonic() < deadline, "decoding processes outlive the one that started them"
        time.sleep(0.05)


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
def small_disk(tmp_path: Path) -> Path:
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=100k", "tmpfs", str(folder)], capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"a disk of 100 kB cannot be mounted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_is_said_and_left_as_it_was(source: Source, small_disk: Path) -> None:
    (small_disk / "other").write_text("mine")
    with pytest.raises(OSError) as caught:
        prepare(source, small_disk / "out", options())
    assert caught.value.errno == errno.ENOSPC
    assert left(small_disk) == ["other"]


def test_a_file_size_limit_is_said_and_nothing_is_left(source: Source, tmp_path: Path) -> None:
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, old[1]))
    try:
        with pytest.raises(OSError) as caught:
            prepare(source, tmp_path / "out", options())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
    assert caught.value.errno == errno.EFBIG
    assert left(tmp_path) == []


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


def test_strange_names_are_cleaned_up_too(source: Source, tmp_path: Path) -> None:
    (tmp_path / ".out[1].partial-1").mkdir()
    (tmp_path / ".out1.partial-1").mkdir()
    prepare(source, tmp_path / "out[1]", options())
    assert left(tmp_path) == [".out1.partial-1", "out[1]"]


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


