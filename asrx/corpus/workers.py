"""Jobs over the cores of this machine."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool

from ..errors import InputError
from .decoding import Job, Outcome, build

UNDER_WAY = 2  # jobs per worker: one that is worked on, one that waits


def run(jobs: Iterable[Job], workers: int) -> Iterator[tuple[Job, Outcome]]:
    """Make all pieces in processes of their own; in the order in which they are finished.

    An error in a worker is raised here; what was finished stays. InputError if a worker was killed.
    """
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_set_up_worker) as pool:
        under_way: dict[Future[Outcome], Job] = {}
        try:
            for job in jobs:
                under_way[pool.submit(build, job)] = job
                if len(under_way) >= workers * UNDER_WAY:
                    yield from _finished(under_way)
            while under_way:
                yield from _finished(under_way)
        except BrokenProcessPool:
            raise InputError("a decoding process was killed (out of memory?); the same command goes on; try data.workers=1") from None
        finally:
            for future in under_way:
                future.cancel()


def _finished(under_way: dict[Future[Outcome], Job]) -> Iterator[tuple[Job, Outcome]]:
    done, _ = wait(under_way, return_when=FIRST_COMPLETED)
    for future in done:
        yield under_way.pop(future), future.result()


def _set_up_worker() -> None:
    """Decoders print their notes on damaged files themselves; the reasons are in rejected.csv. Ctrl-C is the parent's to handle."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A worker whose parent is killed would wait for its next job for ever."""
    multiprocessing.parent_process().join()
    os._exit(1)
