"""What a command costs: run it, watch its processes, read what it says of itself."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

PERIOD = 0.02  # s between two looks at the memory
MEBIBYTE = 1 << 20


@dataclass
class Memory:
    """Peaks, in MiB. `own` is anonymous and shared memory: what processes hold besides the pages of mapped files, which the kernel can drop."""

    parent: float = 0.0  # own memory of the command's process
    worker: float = 0.0  # own memory of its biggest descendant
    parent_rss: float = 0.0  # resident, mapped files included
    worker_rss: float = 0.0


@dataclass(frozen=True)
class Cost:
    """What a preparation took."""

    wall: float  # s
    cpu: float  # s, the process and its workers
    kept: int  # utterances
    memory: Memory = field(default_factory=Memory)

    def less(self, other: "Cost") -> "Cost":
        """This cost without that of a smaller one."""
        return Cost(self.wall - other.wall, self.cpu - other.cpu, self.kept - other.kept)


def preparation(system: str, source: Path, out: Path, workers: int, watched: bool = False) -> Cost:
    """Prepare `source` into `out` with asrx or peer:DECODER in a fresh process; `watched`: sample its memory as well.

    Raises RuntimeError with the end of its error output if it fails.
    """
    said, memory = _run("measured.py", (system, source, out, workers), watched)
    return Cost(**said, memory=memory)


def opening(corpus: Path, seed: int) -> dict[str, Any]:
    """Open `corpus` in a fresh process whose files are not in the page cache and read 1,000 utterances drawn with `seed`."""
    for path in corpus.rglob("*.arrow"):
        with path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    return _run("opened.py", (corpus, seed), watched=False)[0]


def _run(script: str, arguments: tuple[object, ...], watched: bool) -> tuple[dict[str, Any], Memory]:
    """What a script of this folder says on its last line, and its peak memory."""
    command = [sys.executable, str(Path(__file__).with_name(script)), *map(str, arguments)]
    with _group(command) as process:
        watch = _Watch(process.pid) if watched else None
        output, errors = process.communicate()
    if process.returncode:
        raise RuntimeError(f"{' '.join(command[1:])} ended with status {process.returncode}:\n{errors[-2_000:]}")
    return json.loads(output.splitlines()[-1]), watch.stop() if watch else Memory()


@contextlib.contextmanager
def _group(command: list[str]) -> Iterator[subprocess.Popen]:
    """A process group of its own: whatever ends this block ends all of its processes."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True, env=environment)
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


class _Watch:
    """A thread that looks at the memory of a process and its descendants until it is stopped."""

    def __init__(self, pid: int) -> None:
        self._pid, self._peaks, self._ended = pid, Memory(), threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> Memory:
        """The peaks."""
        self._ended.set()
        self._thread.join()
        return self._peaks

    def _run(self) -> None:
        while not self._ended.wait(PERIOD):
            with contextlib.suppress(psutil.NoSuchProcess):
                parent = psutil.Process(self._pid)
                self._look("parent", parent.pid)
                for child in parent.children(recursive=True):
                    self._look("worker", child.pid)

    def _look(self, role: str, pid: int) -> None:
        own, resident = memory_of(pid)
        for name, value in ((role, own), (f"{role}_rss", resident)):
            setattr(self._peaks, name, max(getattr(self._peaks, name), value))


def memory_of(pid: int | str = "self") -> tuple[float, float]:
    """Own (anonymous and shared) and resident memory of a process in MiB; nothing if it is gone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0, 0.0
    kilobytes = dict.fromkeys(("RssAnon", "RssShmem", "VmRSS"), 0)
    kilobytes |= {name: int(value.split()[0]) for name, _, value in (line.partition(":") for line in status.splitlines()) if name in kilobytes}
    return (kilobytes["RssAnon"] + kilobytes["RssShmem"]) * 1024 / MEBIBYTE, kilobytes["VmRSS"] * 1024 / MEBIBYTE


def bytes_of(folder: Path) -> int:
    """Bytes of all files of a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
