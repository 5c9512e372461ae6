"""`--processes`: the same command in several processes on this machine, which find each other by torchrun's variables.

Unlike torchrun's agent it leaves the processes the time that they need to finish a step and save when it is interrupted, and it ends the
run of processes that died.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

from .. import tracking
from ..errors import ConfigError, ProcessError, TrackingError
from . import request
from .checkpoints import last_checkpoint
from .processes import INTERRUPTED, LAUNCHER, LOST, OPTION, RUN, count, going_on

MISUSE = 2  # exit status
GRACE = 30.0  # s after one process failed in which the others end by themselves
CLOSING = 300.0  # s that an interrupted run has to be closed, by a server that may be slow
PERIOD = 0.1  # s between looks
LOOPBACK = "127.0.0.1"


def train(kind: str, asked: tuple[Any, ...], resume: str | None, processes: int, minutes: float | None) -> int:
    """The command that this process was started with, in so many ones; as request.ready and `launch`."""
    began = time.monotonic()
    request.ready(kind, asked, resume, processes)
    left = [] if minutes is None else ["--max-minutes", f"{max(minutes - (time.monotonic() - began) / 60, 0.01):.3f}"]
    return launch(kind, processes, [*sys.argv[1:], *left])


def needed(processes: int) -> bool:
    """Whether so many are still to be started. ConfigError where torchrun started another number, or for more than there are GPUs."""
    if count() > 1:
        if processes not in (1, count()):
            raise ConfigError(f"{OPTION} {processes}: torchrun has started {count()}; leave {OPTION} out")
        return False
    if processes > 1:
        import torch

        devices = torch.cuda.device_count()
        if 0 < devices < processes:
            raise ConfigError(f"{OPTION} {processes}: this machine has {devices} GPU{'s' if devices > 1 else ''}")
    return processes > 1


def launch(kind: str, processes: int, arguments: Sequence[str]) -> int:
    """`asrx ARGUMENTS` in so many processes; the exit status of all together, once they have ended.

    Ctrl-C and SIGTERM are passed on. Raises ProcessError where one of them died; its run is ended as failed.
    """
    from torch.distributed import TCPStore

    store = TCPStore(LOOPBACK, 0, is_master=True, wait_for_workers=False)
    workers = _started(processes, arguments, store.port)
    try:
        with _passing_signals_on(workers) as passed:
            first = _first_to_fail(workers)
            if first is not None:
                interrupted = passed or workers[first].returncode == INTERRUPTED
                _await(workers, time.monotonic() + (CLOSING if interrupted else GRACE))
    finally:
        _kill(workers)
    if first is None:
        return 0
    run_id = store.get(RUN).decode() if store.check([RUN]) else None
    status = workers[first].returncode
    if passed or status == INTERRUPTED:
        if workers[0].returncode != INTERRUPTED:  # else it has ended its run by itself
            _end_run(run_id, "interrupted")
        return INTERRUPTED
    if status == MISUSE:
        return MISUSE
    raise ProcessError(_died(kind, first, status, processes, run_id))


def _started(processes: int, arguments: Sequence[str], port: int) -> list[subprocess.Popen]:
    """Each in a session of its own: a terminal's Ctrl-C reaches the launcher alone."""
    shared = {
        "WORLD_SIZE": processes, "LOCAL_WORLD_SIZE": processes, "MASTER_ADDR": LOOPBACK, "MASTER_PORT": port,
        "TORCHELASTIC_USE_AGENT_STORE": True, LAUNCHER: os.getpid(),
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS") or max(1, (os.cpu_count() or 1) // processes),
    }  # fmt: skip
    command = [sys.executable, "-m", "asrx", *arguments]
    environments = ({**os.environ, **{name: str(value) for name, value in {**shared, "RANK": rank, "LOCAL_RANK": rank}.items()}} for rank in range(processes))
    return [subprocess.Popen(command, env=environment, start_new_session=True) for environment in environments]


@contextlib.contextmanager
def _passing_signals_on(workers: Sequence[subprocess.Popen]) -> Iterator[list[int]]:
    """What has been passed on."""
    passed: list[int] = []

    def pass_on(number: int, frame: Any) -> None:
        passed.append(number)
        for worker in workers:
            if worker.poll() is None:
                worker.send_signal(number)

    before = {number: signal.signal(number, pass_on) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield passed
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _first_to_fail(workers: Sequence[subprocess.Popen]) -> int | None:
    """The rank of the process that failed first, once one has; None once all have ended well."""
    while True:
        statuses = [worker.poll() for worker in workers]
        failed = [rank for rank, status in enumerate(statuses) if status]
        if failed:
            return min(failed, key=lambda rank: (statuses[rank] == LOST, rank))
        if all(status == 0 for status in statuses):
            return None
        time.sleep(PERIOD)


def _await(workers: Sequence[subprocess.Popen], deadline: float) -> None:
    while any(worker.poll() is None for worker in workers) and time.monotonic() < deadline:
        time.sleep(PERIOD)


def _kill(workers: Sequence[subprocess.Popen]) -> None:
    for worker in workers:
        if worker.poll() is None:
            worker.kill()
            worker.wait()


def _end_run(run_id: str | None, outcome: str, error: str = "") -> None:
    with contextlib.suppress(TrackingError):  # the run says that it is running; --resume goes on with it all the same
        if run_id:
            tracking.end_unfinished(tracking.connect(), run_id, outcome, error)


def _died(kind: str, rank: int, status: int, processes: int, run_id: str | None) -> str:
    """What to tell the person who waits for the training."""
    how = f"was ended by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
    told = f"process {rank} of {processes} {how}"
    _end_run(run_id, "failed", told)
    if run_id and last_checkpoint(tracking.home() / "runs" / run_id / "checkpoints"):
        return f"{told}; from the last checkpoint: {going_on(kind, run_id, processes)}"
    return f"{told}, before the first checkpoint{': start anew' if run_id else ''}"
