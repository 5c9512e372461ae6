"""Metrics go to a local journal first and from there to MLflow, in batches, by a background thread.

A line of the journal is one point: {"k": key, "v": value, "s": step, "t": milliseconds}. How many lines were delivered
stands beside it, so that whoever comes next (a resumed training, `asrx sync`) delivers the rest with the original timestamps.
"""

import itertools
import json
import logging
import math
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .files import write_text

log = logging.getLogger("asrx")

BATCH = 900  # points in a request; MLflow takes 1,000
PERIOD = 2.0  # s between deliveries
CLOSING_PATIENCE = 30.0  # s that the end of a run waits for the server

Deliver = Callable[[str, list[dict[str, Any]]], None]  # points of a run to the server
StepsOf = Callable[[str, str], set[int]]  # the steps that the server has of a run's metric


class Points:
    """The journal's file: points of one MLflow run, each (key, step) once. `add` and `send` may be called from two threads.

    `steps_of`: where another machine may have delivered points of this run, what the server has of a metric; those are not sent again.
    """

    def __init__(self, folder: Path, run_id: str, steps_of: StepsOf | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path, self._mark = folder / f"{run_id}.jsonl", folder / f"{run_id}.delivered"
        self._run_id, self._steps_of = run_id, steps_of
        self._lock = threading.Lock()
        points, whole = _read_points(self.path)
        self._seen = {(point["k"], point["s"]) for point in points}
        self.recorded = len(points)
        self.delivered = min(_read_count(self._mark), len(points)) if whole else 0
        self._pending = deque(points[self.delivered :])
        self._on_server: dict[str, set[int]] = {}
        self._file = self.path.open("a", encoding="utf-8")

    @property
    def waiting(self) -> int:
        """Points that the server has not got."""
        return len(self._pending)

    def add(self, values: dict[str, float], step: int) -> None:
        """Record finite values at a step. A (key, step) that was recorded before is a replay and is left out."""
        now = int(time.time() * 1000)
        with self._lock:
            for key, value in values.items():
                if (key, step) not in self._seen and math.isfinite(value):
                    point = {"k": key, "v": float(value), "s": step, "t": now}
                    self._seen.add((key, step))
                    self._pending.append(point)
                    self.recorded += 1
                    self._file.write(json.dumps(point) + "\n")
            self._file.flush()

    def send(self, deliver: Deliver) -> int:
        """Deliver what is pending and return how many points that were. Raises what `deliver` raises: the rest stays pending."""
        sent = 0
        while self._pending:
            with self._lock:
                batch = list(itertools.islice(self._pending, BATCH))
            new = [point for point in batch if self._is_new(point)]
            if new:
                deliver(self._run_id, new)
            with self._lock:
                for _ in batch:
                    self._pending.popleft()
            sent += len(new)
            self.delivered += len(batch)
            write_text(self._mark, str(self.delivered))
        return sent

    def _is_new(self, point: dict[str, Any]) -> bool:
        key = point["k"]
        if self._steps_of and key not in self._on_server:
            self._on_server[key] = self._steps_of(self._run_id, key)
        return point["s"] not in self._on_server.get(key, ())

    def close(self) -> None:
        """Nothing is added after."""
        self._file.close()


class Journal:
    """Points of one MLflow run. `add` costs a line of local I/O and never waits for the server."""

    def __init__(self, folder: Path, run_id: str, deliver: Deliver, steps_of: StepsOf | None = None) -> None:
        self._points, self._deliver = Points(folder, run_id, steps_of), deliver
        self._lock = threading.Lock()
        self._jobs: dict[str, Callable[[], None]] = {}
        self._stop = threading.Event()
        self._complained = False
        self._thread = threading.Thread(target=self._loop, name="asrx-journal", daemon=True)
        self._thread.start()

    def add(self, values: dict[str, float], step: int) -> None:
        """As Points.add."""
        self._points.add(values, step)

    def so_far(self) -> Callable[[], bool]:
        """Tells whether the server has all that was recorded until now."""
        position = self._points.recorded
        return lambda: self._points.delivered >= position

    def later(self, name: str, job: Callable[[], None]) -> None:
        """Run `job` in the background, again after a failure; a newer job of the same name replaces it."""
        with self._lock:
            self._jobs[name] = job

    def undone(self) -> list[str]:
        """Names of the jobs that were not done."""
        with self._lock:
            return list(self._jobs)

    def close(self, patience: float | None = None) -> bool:
        """Deliver what is left, waiting at most `patience` s (default: CLOSING_PATIENCE); whether all of it arrived in time."""
        self._stop.set()
        self._thread.join(CLOSING_PATIENCE if patience is None else patience)
        self._points.close()
        return not self._thread.is_alive() and not self._jobs and not self._points.waiting

    def _loop(self) -> None:
        while not self._stop.wait(PERIOD):
            self._try()
        self._try()

    def _try(self) -> None:
        try:
            self._points.send(self._deliver)
            self._run_jobs()
            self._complained = False
        except Exception as error:  # whatever the server's client raises: the points stay in the journal
            if not self._complained:
                log.warning("MLflow does not answer (%s); metrics wait in %s", " ".join(str(error).split())[:160], self._points.path)
            self._complained = True

    def _run_jobs(self) -> None:
        with self._lock:
            jobs = dict(self._jobs)
        for name, job in jobs.items():
            job()
            with self._lock:
                if self._jobs.get(name) is job:
                    del self._jobs[name]


def undelivered(folder: Path, run_id: str) -> int:
    """Lines of a run's journal that were not delivered, without opening it for writing."""
    path = folder / f"{run_id}.jsonl"
    return max(0, path.read_bytes().count(b"\n") - _read_count(folder / f"{run_id}.delivered")) if path.exists() else 0


def _read_count(path: Path) -> int:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return 0


def _read_points(path: Path) -> tuple[list[dict[str, Any]], bool]:
    """The journal's points, and whether all lines before its end could be read: if not, nobody knows which were delivered.

    Half a last line, left by a process that was killed, is cut off. Lines that a power cut damaged are taken out.
    """
    if not path.exists():
        return [], True
    content = path.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    if len(whole) < len(content):
        os.truncate(path, len(whole))
    lines = whole.splitlines()
    points = [point for line in lines if (point := _point(line))]
    if len(points) < len(lines):
        log.warning("%d damaged lines were taken out of %s", len(lines) - len(points), path)
        write_text(path, "".join(json.dumps(point) + "\n" for point in points))
    return points, len(points) == len(lines)


def _point(line: bytes) -> dict[str, Any] | None:
    try:
        point = json.loads(line)
        return point if isinstance(point, dict) and point.keys() >= {"k", "v", "s", "t"} else None
    except ValueError:
        return None
