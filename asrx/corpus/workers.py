"""Jobs over the cores of this machine."""

import contextlib
import logging
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, ThreadPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from importlib.abc import MetaPathFinder
from typing import Any

from ..errors import InputError
from .decoding import Job, Outcome, Written, write

log = logging.getLogger("asrx")

MOST_LETHAL = 4  # recordings of a piece that kill their worker; with more it is not the recordings
UNDER_WAY = 2  # jobs per worker: one that is worked on, one that waits


def run(jobs: Iterable[Job], workers: int) -> Iterator[tuple[Job, Outcome]]:
    """Make all pieces in processes of their own; in the order in which they are finished.

    Threads of this process wait for the disk while the workers go on. An error in a worker is raised here; what was finished stays.
    A recording that kills its worker is found and left out. InputError if workers are killed for another reason.
    """
    jobs = iter(jobs)
    while suspects := (yield from _together(jobs, workers)):
        for job in suspects:
            yield job, _alone(job)


def _together(jobs: Iterator[Job], workers: int) -> Generator[tuple[Job, Outcome], None, list[Job]]:
    """Make pieces until there are no more, or until a worker dies: those that were worked on then are returned."""
    with ThreadPoolExecutor(workers) as sealers, _pool(workers) as pool:
        under_way: dict[Future[Any], Job] = {}
        try:
            for job in jobs:
                under_way[_submit(pool, job)] = job
                while len(under_way) >= workers * UNDER_WAY:
                    yield from _settled(under_way, sealers)
            while under_way:
                yield from _settled(under_way, sealers)
        except BrokenProcessPool:
            return [job for job in under_way.values() if not job.record.is_file()]
        finally:
            pool.shutdown(cancel_futures=True)
    return []


def _settled(under_way: dict[Future[Any], Job], sealers: ThreadPoolExecutor) -> Iterator[tuple[Job, Outcome]]:
    """Wait until something is done: what is written is sealed, what is sealed is given out."""
    done, _ = wait(under_way, return_when=FIRST_COMPLETED)
    for future in done:
        result = future.result()
        job = under_way.pop(future)
        if isinstance(result, Written):
            under_way[sealers.submit(result.seal)] = job
        else:
            yield job, result


def _alone(job: Job) -> Outcome:
    """Make a piece whose worker may have been killed by one of its recordings, without those that do it again."""
    while True:
        with _pool(1) as pool:
            try:
                return _submit(pool, job).result().seal()
            except BrokenProcessPool:
                row = int.from_bytes(job.progress.read_bytes(), "little")
        if row in job.lethal or len(job.lethal) == MOST_LETHAL:
            raise InputError("a decoding process was killed (out of memory?); the same command goes on; try data.workers=1")
        log.warning("a recording killed the process that decoded it; it is left out")
        job = replace(job, lethal=(*job.lethal, row))


def _pool(workers: int) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"), initializer=_set_up_worker)


def _submit(pool: ProcessPoolExecutor, job: Job) -> Future[Any]:
    """Hand a job over. A worker that is started for it is started whole, and inherits that Ctrl-C is blocked: that is the parent's to handle."""
    with _uninterrupted():
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            return pool.submit(write, job)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)


@contextlib.contextmanager
def _uninterrupted() -> Iterator[None]:
    """SIGINT and SIGTERM take effect at the end of the block. Another thread than the blocked one may receive them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    arrived: list[int] = []
    handlers = {number: signal.signal(number, lambda received, _: arrived.append(received)) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    if arrived:
        signal.raise_signal(arrived[0])


def _set_up_worker() -> None:
    """Decoders print their notes on damaged files themselves; the reasons are in rejected.csv."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    sys.meta_path.insert(0, _WithoutPandas())
    threading.Thread(target=_end_with_parent, daemon=True).start()


class _WithoutPandas(MetaPathFinder):
    """pyarrow imports pandas, where it finds it, to ask whether a list is a Series: 0.4 s and 36 MB in every worker."""

    def find_spec(self, name: str, *_: Any) -> None:
        if name == "pandas":
            raise ModuleNotFoundError(name)


def _end_with_parent() -> None:
    """A worker whose parent is killed would wait for its next job for ever."""
    multiprocessing.parent_process().join()
    os._exit(1)
