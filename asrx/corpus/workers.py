"""Jobs over the cores of this machine."""

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, ThreadPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from importlib.abc import MetaPathFinder
from typing import Any

from ..errors import InputError
from .decoding import Job, Outcome, Written, write

UNDER_WAY = 2  # jobs per worker: one that is worked on, one that waits


def run(jobs: Iterable[Job], workers: int) -> Iterator[tuple[Job, Outcome]]:
    """Make all pieces in processes of their own; in the order in which they are finished.

    Threads of this process wait for the disk while the workers go on. An error in a worker is raised here; what was finished
    stays. InputError if a worker was killed.
    """
    context = multiprocessing.get_context("spawn")
    with ThreadPoolExecutor(workers) as sealers, ProcessPoolExecutor(workers, mp_context=context, initializer=_set_up_worker) as pool:
        under_way: set[Future[Any]] = set()
        try:
            for job in jobs:
                under_way.add(pool.submit(write, job))
                while len(under_way) >= workers * UNDER_WAY:
                    yield from _settled(under_way, sealers)
            while under_way:
                yield from _settled(under_way, sealers)
        except BrokenProcessPool:
            raise InputError("a decoding process was killed (out of memory?); the same command goes on; try data.workers=1") from None
        finally:
            for future in under_way:
                future.cancel()


def _settled(under_way: set[Future[Any]], sealers: ThreadPoolExecutor) -> Iterator[tuple[Job, Outcome]]:
    """Wait until something is done: what is written is sealed, what is sealed is given out."""
    done, _ = wait(under_way, return_when=FIRST_COMPLETED)
    for future in done:
        under_way.remove(future)
        result = future.result()
        if isinstance(result, Written):
            under_way.add(sealers.submit(lambda written=result: (written.job, written.seal())))
        else:
            yield result


def _set_up_worker() -> None:
    """Decoders print their notes on damaged files themselves; the reasons are in rejected.csv. Ctrl-C is the parent's to handle."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
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
