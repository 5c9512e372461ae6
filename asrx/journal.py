"""Metrics go to a local journal first and from there to MLflow, in batches, by a background thread.

A line of the journal is one point: {"k": key, "v": value, "s": step, "t": milliseconds}. How many lines were delivered
stands beside it, so that whoever comes next (a resumed training, another start) delivers the rest with the original timestamps.
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


class Journal:
    """Points of one MLflow run. `add` costs a line of local I/O and never waits for the server."""

    def __init__(self, folder: Path, run_id: str, deliver: Callable[[str, list[dict[str, Any]]], None]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._path, self._mark = folder / f"{run_id}.jsonl", folder / f"{run_id}.delivered"
        self._run_id, self._deliver = run_id, deliver
        self._lock = threading.Lock()
        points, whole = _read_points(self._path)
        self._seen = {(point["k"], point["s"]) for point in points}
        self._delivered = min(_read_count(self._mark), len(points)) if whole else 0
        self._pending = deque(points[self._delivered :])
        self._file = self._path.open("a", encoding="utf-8")
        self._jobs: dict[str, Callable[[], None]] = {}
        self._stop = threading.Event()
        self._complained = False
        self._thread = threading.Thread(target=self._loop, name="asrx-journal", daemon=True)
        self._thread.start()

    def add(self, values: dict[str, float], step: int) -> None:
        """Record finite values at a step. A (key, step) that was recorded before is a replay and is left out."""
        now = int(time.time() * 1000)
        with self._lock:
            for key, value in values.items():
                if (key, step) not in self._seen and math.isfinite(value):
                    point = {"k": key, "v": float(value), "s": step, "t": now}
                    self._seen.add((key, step))
                    self._pending.append(point)
                    self._file.write(json.dumps(point) + "\n")
            self._file.flush()

    def later(self, name: str, job: Callable[[], None]) -> None:
        """Run `job` in the background, again after a failure; a newer job of the same name replaces it."""
        with self._lock:
            self._jobs[name] = job

    def close(self, patience: float | None = None) -> bool:
        """Deliver what is left, waiting at most `patience` s (default: CLOSING_PATIENCE); whether all of it arrived in time."""
        self._stop.set()
        self._thread.join(CLOSING_PATIENCE if patience is None else patience)
        self._file.close()
        return not self._thread.is_alive() and not self._jobs and not self._pending

    def _loop(self) -> None:
        while not self._stop.wait(PERIOD):
            self._try()
        self._try()

    def _try(self) -> None:
        try:
            self._send_points()
            self._run_jobs()
            self._complained = False
        except Exception as error:  # whatever the server's client raises: the points stay in the journal
            if not self._complained:
                log.warning("MLflow does not answer (%s); metrics wait in %s", " ".join(str(error).split())[:160], self._path)
            self._complained = True

    def _send_points(self) -> None:
        while self._pending:
            with self._lock:
                batch = list(itertools.islice(self._pending, BATCH))
            self._deliver(self._run_id, batch)
            with self._lock:
                for _ in batch:
                    self._pending.popleft()
            self._delivered += len(batch)
            write_text(self._mark, str(self._delivered))

    def _run_jobs(self) -> None:
        with self._lock:
            jobs = dict(self._jobs)
        for name, job in jobs.items():
            job()
            with self._lock:
                if self._jobs.get(name) is job:
                    del self._jobs[name]


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
