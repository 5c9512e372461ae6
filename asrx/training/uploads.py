"""Every checkpoint to the run's artifacts, in the background."""

import logging
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from transformers import TrainerCallback

from ..tracking import Run, server_is_gone
from . import store

log = logging.getLogger("asrx")

PERIOD = 1.0  # s between looks at what waits
RETRY_AFTER = 15.0  # s after an upload that failed
POINTS_PATIENCE = 30.0  # s that the end of a session waits for the points that belong to the last checkpoint
PATIENCE = 900.0  # s that it waits for the checkpoint itself


class Taken(NamedTuple):
    """A snapshot, and whether the points recorded before it have arrived: whoever goes on from it never records them again."""

    folder: Path
    points_arrived: Callable[[], bool]


class Uploads(TrainerCallback):
    """Uploads the newest whole checkpoint whose points have arrived. Two wait at most: the one that has waited longest, and the newest.

    A step never waits. A server that is slow or down only means that fewer checkpoints arrive.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._lock = threading.Lock()
        self._waiting: Taken | None = None
        self._newest: Taken | None = None
        self._busy = False
        self._not_before = 0.0
        self._complained = False
        self._deletes = True
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="asrx-uploads", daemon=True)

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """What an earlier session left waiting is superfluous: its checkpoints are here, and newer ones come."""
        shutil.rmtree(self._run.folder / store.UPLOADS, ignore_errors=True)
        self._thread.start()

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """The checkpoint is whole."""
        checkpoint = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        try:
            taken = Taken(store.snapshot(self._run.folder, checkpoint), self._run.so_far())
        except OSError as error:
            log.warning("%s is not uploaded: %s", checkpoint.name, error)
            return
        with self._lock:
            replaced, self._newest = self._newest, taken
        _discard(replaced)

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """The last checkpoint is waited for."""
        if self._waiting or self._newest or self._busy:
            log.info("waiting for the last checkpoint to reach the run's artifacts")
        self._stop.set()
        self._thread.join(PATIENCE)
        if self._waiting or self._newest or self._busy:
            log.warning("the last checkpoint has not reached the artifacts of run %s: asrx sync delivers it", self._run.id)

    def _loop(self) -> None:
        while not self._stop.wait(PERIOD):
            if time.monotonic() >= self._not_before and self._is_ready():
                self._upload()
        deadline = time.monotonic() + POINTS_PATIENCE
        while (self._waiting or self._newest) and time.monotonic() < deadline:
            if self._is_ready(last=True):
                if not server_is_gone():
                    self._upload()
                return
            time.sleep(PERIOD / 10)

    def _is_ready(self, last: bool = False) -> bool:
        """Whether what waits may be uploaded. The newest takes its place once its points have arrived, or where there is none, or for the `last` one."""
        with self._lock:
            replaced = None
            if self._newest and (last or self._waiting is None or self._newest.points_arrived()):
                replaced, self._waiting, self._newest = self._waiting, self._newest, None
        _discard(replaced)
        return self._waiting is not None and self._waiting.points_arrived()

    def _upload(self) -> None:
        with self._lock:
            self._busy, taken, self._waiting = True, self._waiting, None
        try:
            store.upload(self._run.client, self._run.id, taken.folder)
            self._complained, done = False, True
            self._deletes = self._deletes and store.delete_old(self._run.client, self._run.id)
        except Exception as error:  # whatever the client of the artifact store raises: the snapshot stays
            self._not_before, done = time.monotonic() + RETRY_AFTER, False
            if not self._complained:
                log.warning("a checkpoint could not be uploaded and is tried again (%s)", " ".join(str(error).split())[:160])
            self._complained = True
        with self._lock:
            if not done and self._waiting is None:
                self._waiting, taken = taken, None
            self._busy = False
        _discard(taken)


def _discard(taken: Taken | None) -> None:
    if taken:
        shutil.rmtree(taken.folder, ignore_errors=True)
