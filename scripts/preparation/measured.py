"""One preparation in a process of its own: `python measured.py SYSTEM SOURCE OUT WORKERS`, with a JSON object as its last line of output.

SYSTEM is asrx, or peer:DECODER. Seconds of the wall clock and of CPU are counted from when everything is imported until the corpus is
there, CPU over this process and the workers it waited for.
"""

import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path


def main() -> None:
    """Prepare and say what it cost."""
    system, source, out, workers = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4])
    prepare = asrx_preparation(source, out, workers) if system == "asrx" else peer_preparation(system, source, out, workers)
    wall, cpu = time.perf_counter(), cpu_seconds()
    kept = prepare()
    print(json.dumps({"wall": time.perf_counter() - wall, "cpu": cpu_seconds() - cpu, "kept": kept}))


def asrx_preparation(source: Path, out: Path, workers: int) -> Callable[[], int]:
    """A function that prepares `source` with asrx and returns the number of utterances kept."""
    import soundfile  # noqa: F401
    import soxr  # noqa: F401

    from asrx.config import resolve
    from asrx.corpus.prepare import Source, prepare

    config = resolve(overrides=[f"data.workers={workers}"])

    def run() -> int:
        corpus, _ = prepare(Source(str(source)), out, config)
        return sum(split["utterances"] for split in corpus.meta["splits"].values())

    return run


def peer_preparation(system: str, source: Path, out: Path, workers: int) -> Callable[[], int]:
    """The same for the peer."""
    import peer

    return peer.preparation(source, out, workers, system.removeprefix("peer:"))


def cpu_seconds() -> float:
    """User and system time of this process and of its children that ended."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


if __name__ == "__main__":
    main()
