"""How fast and how small asrx's preparation is, beside the published CTC script of Hugging Face's transformers.

    python scripts/bench_prepare.py                                    # a few minutes on two cores
    python scripts/bench_prepare.py --parts --large 200000 --long 3 --open 1000000

What is counted. Each preparation runs in a fresh process and is counted from when everything is imported. From its cost that of the
first 20 clips of the same table is subtracted, which takes the start of workers, lazy imports and fixed work out in the same way
for both systems. CPU seconds are those of the process and its workers. Both use one worker for the comparison, in turn and in alternating order;
figures are medians over the rounds, ratios medians of each round's ratio. Audio is in the page cache for both.

Everything made lies in a folder under TMPDIR that is deleted at the end: 1 GB, with --large 200000 14 GB, with --open 1000000 4 GB.
"""

import argparse
import json
import os
import platform
import shutil
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path

from preparation import meter, peer, sources
from preparation.meter import Cost

KINDS = {"mp3": 8.0, "wav": 10.0}  # recordings and how many times the peer's clips per CPU second asrx is to prepare
DISK_TARGET = 0.55  # of the peer's bytes
CORES = os.cpu_count() or 1
TIMES = {"mp3": 1, "wav": 4}  # as many clips: those of wav cost so little that fixed work and its noise would show
FEWEST = 200  # clips; with fewer the cost of the first 20 and its noise are not small beside that of the others
NAMES = {"mp3": "mp3 48 kHz", "wav": "wav 16 kHz"}


@dataclass(frozen=True)
class Figure:
    """One line of the result."""

    part: str
    what: str
    value: float
    unit: str
    target: str = ""
    met: bool | None = None


class Bench:
    """The recordings and the folder that the parts share. A part is a method that yields figures as they are known."""

    def __init__(self, folder: Path, options: argparse.Namespace) -> None:
        self.folder, self.options = folder, options
        self.peer = f"peer:{options.decoder}"

    @cached_property
    def speech(self) -> list[Path]:
        """Recordings to join clips from."""
        return sources.recordings(self.folder / "speech")

    def table(self, kind: str) -> Path:
        """The table of the clips of a kind, made when it is first asked for."""
        table = self.folder / kind / "all.csv"
        if not table.exists():
            say(f"making {self.count(kind):,} clips, {NAMES[kind]}")
            sources.clips(table.parent, kind, self.count(kind), self.speech)
        return table

    def count(self, kind: str) -> int:
        """Clips of a kind."""
        return self.options.clips * TIMES[kind]

    def prepared(self, system: str, source: Path, workers: int = 1, watched: bool = False) -> tuple[Cost, int]:
        """The cost of a preparation from nothing, and the bytes of what it left."""
        with tempfile.TemporaryDirectory(dir=self.folder) as out:
            cost = meter.preparation(system, source, Path(out) / "out", workers, watched)
            return cost, meter.bytes_of(Path(out))

    def marginal(self, system: str, kind: str, workers: int = 1) -> tuple[Cost, int]:
        """The cost of the clips of a kind after the first 20, and the bytes of all."""
        table = self.table(kind)
        few, _ = self.prepared(system, table.with_name("few.csv"), workers)
        all_of_them, size = self.prepared(system, table, workers)
        if all_of_them.kept != self.count(kind):
            raise RuntimeError(f"{system} kept {all_of_them.kept} of {self.count(kind)} clips: its figures would flatter it")
        return all_of_them.less(few), size

    def speed(self) -> Iterator[Figure]:
        """Clips per second and core, and bytes, of both."""
        for kind, target in KINDS.items():
            rounds: list[dict[str, tuple[Cost, int]]] = []
            for number in range(self.options.rounds):
                order = ("asrx", self.peer) if number % 2 == 0 else (self.peer, "asrx")
                say(f"speed, {NAMES[kind]}: round {number + 1} of {self.options.rounds}")
                rounds.append({system: self.marginal(system, kind) for system in order})
            yield from self._speed_of(NAMES[kind], rounds, target)

    def _speed_of(self, name: str, rounds: list[dict[str, tuple[Cost, int]]], target: float) -> Iterator[Figure]:
        for system in ("asrx", self.peer):
            costs = [done[system][0] for done in rounds]
            yield Figure("speed", f"{name}: {system}, by CPU", median(cost.kept / cost.cpu for cost in costs), "clips/s/core")
            yield Figure("speed", f"{name}: {system}, by the clock", median(cost.kept / cost.wall for cost in costs), "clips/s")
        ratio = median(done[self.peer][0].cpu / done["asrx"][0].cpu for done in rounds)
        yield Figure("speed", f"{name}: asrx over the peer, by CPU", ratio, "times", f">= {target:g}", ratio >= target)
        yield Figure("speed", f"{name}: asrx over the peer, by the clock", median(done[self.peer][0].wall / done["asrx"][0].wall for done in rounds), "times")
        disk = rounds[-1]["asrx"][1] / rounds[-1][self.peer][1]
        yield Figure("disk", f"{name}: bytes of asrx over the peer's", disk, "times", f"<= {DISK_TARGET}", disk <= DISK_TARGET)

    def scaling(self) -> Iterator[Figure]:
        """Clips per second with more and more workers."""
        for kind in KINDS:
            for workers in range(1, CORES + 1):
                say(f"scaling, {NAMES[kind]}: workers {workers} of {CORES}")
                costs = [self.marginal("asrx", kind, workers)[0] for _ in range(self.options.rounds)]
                yield Figure("scaling", f"{NAMES[kind]}: workers {workers}", median(cost.kept / cost.wall for cost in costs), "clips/s")
                used = median(100 * cost.cpu / cost.wall / CORES for cost in costs)
                yield Figure("scaling", f"{NAMES[kind]}: workers {workers}, CPU used", used, "% of cores")

    def repeat(self) -> Iterator[Figure]:
        """The same command again."""
        say("repeat")
        out = self.folder / "repeated"
        meter.preparation("asrx", self.table("wav"), out, CORES)
        again = [meter.preparation("asrx", self.table("wav"), out, CORES).wall for _ in range(self.options.rounds)]
        yield Figure("repeat", f"second call, {self.count('wav'):,} clips", 1000 * median(again), "ms")
        shutil.rmtree(out)

    def memory(self) -> Iterator[Figure]:
        """Peaks with one worker per core."""
        for system in ("asrx", self.peer):
            say(f"memory: {system}")
            cost, _ = self.prepared(system, self.table("mp3"), CORES, watched=True)
            yield from self._memory_of(f"{self.options.clips:,} clips, {system}", cost)

    def _memory_of(self, name: str, cost: Cost) -> Iterator[Figure]:
        memory = cost.memory
        yield Figure("memory", f"{name}: parent", memory.parent, "MiB own")
        yield Figure("memory", f"{name}: biggest worker", memory.worker, "MiB own")
        yield Figure("memory", f"{name}: parent, with mapped files", memory.parent_rss, "MiB resident")
        yield Figure("memory", f"{name}: biggest worker, with mapped files", memory.worker_rss, "MiB resident")

    def large(self) -> Iterator[Figure]:
        """A table of many short clips."""
        count = self.options.large
        say(f"making {count:,} clips of 1 s")
        source = sources.tiny_clips(self.folder / "large", count)
        say(f"preparing {count:,} clips")
        cost, _ = self.prepared("asrx", source, CORES, watched=True)
        yield from self._memory_of(f"{cost.kept:,} clips of 1 s, asrx", cost)
        yield Figure("large", f"{cost.kept:,} clips of 1 s with {CORES} workers", cost.wall, "s")
        shutil.rmtree(source.parent)

    def long(self) -> Iterator[Figure]:
        """A recording of hours, cut by a manifest with offsets."""
        for kind in ("mp3", "flac"):
            name = f"{self.options.long:g} h of {kind} in spans"
            say(f"making {name}")
            source = sources.long_recording(self.folder / f"long-{kind}", kind, self.options.long, self.speech)
            say(f"preparing {name}")
            cost, _ = self.prepared("asrx", source, CORES, watched=True)
            yield from self._memory_of(f"{name}, asrx", cost)
            yield Figure("long", f"{name} with {CORES} workers", cost.kept / cost.wall, "clips/s")
            shutil.rmtree(source.parent)

    def open(self) -> Iterator[Figure]:
        """A big finished corpus in a process that has just started, its files out of the page cache."""
        say(f"making a corpus of {self.options.open:,} utterances")
        corpus = sources.many_utterances(self.folder / "opened", self.options.open)
        say("opening it")
        found = [meter.opening(corpus, seed) for seed in range(self.options.rounds)]
        name = f"{found[0]['utterances']:,} utterances, {meter.bytes_of(corpus) / meter.MEBIBYTE:,.0f} MiB"
        yield Figure("open", f"{name}: until the first audio", 1000 * median(run["first_audio"] for run in found), "ms")
        yield Figure("open", f"{name}: one at random, from the disk", 1e6 * median(run["access"] for run in found), "us")
        yield Figure("open", f"{name}: the same once more", 1e6 * median(run["again"] for run in found), "us")
        yield Figure("open", f"{name}: growth of own memory", median(run["own"] for run in found), "MiB")
        yield Figure("open", f"{name}: growth with mapped files", median(run["resident"] for run in found), "MiB")
        mapped = all(run["mapped"] for run in found)
        yield Figure("open", f"{name}: samples lie in the mapped file", float(mapped), "yes = 1", "1", mapped)
        shutil.rmtree(corpus)


def median(values: Iterator[float]) -> float:
    """The median of what is given one by one."""
    return statistics.median(values)


def say(what: str) -> None:
    """Progress, on standard error."""
    print(f"{time.strftime('%H:%M:%S')}  {what}", file=sys.stderr, flush=True)


def main() -> int:
    """Run the parts asked for; what was measured is shown even if it is interrupted."""
    options = _options()
    settings, status, figures = _settings(options), 0, []
    for number in (signal.SIGINT, signal.SIGTERM):  # a script in the background is started with SIGINT ignored
        signal.signal(number, signal.default_int_handler)
    with tempfile.TemporaryDirectory(prefix="bench-prepare-") as folder:
        bench = Bench(Path(folder), options)
        try:
            for part in _parts(bench, options):
                figures.extend(part())
        except KeyboardInterrupt:
            say("interrupted; this is what was measured before")
            status = 130
    _report(figures, settings, options.json)
    return status


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    usual = ("speed", "scaling", "repeat", "memory")
    parser.add_argument("--parts", nargs="*", choices=usual, default=usual, help="of those that take minutes; none: only what follows")
    parser.add_argument("--large", type=int, default=0, metavar="N", help="also the peak memory and time of N clips of 1 s")
    parser.add_argument("--long", type=float, default=0, metavar="HOURS", help="also one mp3 and one flac of so many hours, cut by a manifest")
    parser.add_argument("--open", type=int, default=0, metavar="N", help="also opening a corpus of N utterances")
    parser.add_argument("--clips", type=int, default=1_000, help="mp3 clips of 3 to 7 s, and a quarter of the wav clips (default %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="repetitions of each timing (default %(default)s)")
    parser.add_argument("--decoder", choices=peer.DECODERS, default=peer.decoder(), help="of the peer (default: %(default)s, what is installed)")
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    options = parser.parse_args()
    if options.clips < FEWEST:
        parser.error(f"--clips {options.clips}: the difference from the first {sources.FEW} needs {FEWEST} or more to stand out")
    return options


def _parts(bench: Bench, options: argparse.Namespace) -> list[Callable[[], Iterator[Figure]]]:
    extra = [name for name in ("large", "long", "open") if getattr(options, name)]
    return [getattr(bench, name) for name in (*options.parts, *extra)]


def _settings(options: argparse.Namespace) -> dict[str, str | float]:
    """What the figures hold for."""
    libraries = {name: version(name) for name in ("datasets", "transformers", "soundfile", "soxr", "numpy", "pyarrow")}
    return {
        "processor": _processor(), "cores": CORES, "load at the start": round(os.getloadavg()[0], 1), "python": platform.python_version(),
        "clips": options.clips, "rounds": options.rounds, "speech": sources.speaker(), "peer decodes with": options.decoder, **libraries,
    }  # fmt: skip


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine())


def _report(figures: list[Figure], settings: dict[str, str | float], as_json: bool) -> None:
    if as_json:
        print(json.dumps({"settings": settings, "figures": [asdict(figure) for figure in figures]}, indent=2))
        return
    print(", ".join(f"{name} {value}" for name, value in settings.items()) + "\n")
    width = max((len(figure.what) for figure in figures), default=0)
    for figure in figures:
        verdict = {True: "met", False: "MISSED", None: ""}[figure.met]
        print(f"{figure.part:8} {figure.what:{width}} {figure.value:12,.2f} {figure.unit:13} {figure.target:8} {verdict}".rstrip())


if __name__ == "__main__":
    sys.exit(main())
