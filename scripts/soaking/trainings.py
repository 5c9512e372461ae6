"""Small trainings in processes of their own, for the soak scripts: seconds of speech, a model of seconds."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from asrx.config import resolve
from asrx.corpus import builtin
from asrx.corpus.builtin import Amount
from asrx.corpus.prepare import Source, prepare

OPTIONS = ("data.eval_utterances=4", "augment.speed=0.1", "checkpoint.average=0.9", "batch.seconds=4")
POLL = 0.02  # s


def corpus(folder: Path) -> Path:
    """36 spoken clips to train on and 6 to validate on, prepared."""
    amounts = {"train": Amount(6, 6), "validation": Amount(2, 3), "test": Amount(2, 3)}
    spoken = builtin.make(folder / "spoken", "en", 0, amounts)
    prepare(Source(str(spoken), name="spoken"), folder / "corpus", resolve(overrides=["data.workers=1"]))
    return folder / "corpus"


class Training:
    """`asrx train` with arguments of its own, its standard error in `log`."""

    def __init__(self, log: Path, home: Path, uri: str, *arguments: object) -> None:
        self._log = log
        environment = {**os.environ, "ASRX_HOME": str(home), "MLFLOW_TRACKING_URI": uri, "OMP_WAIT_POLICY": "PASSIVE"}
        with log.open("w") as file:
            self.process = subprocess.Popen([sys.executable, "-m", "asrx", "train", *map(str, arguments)], stdout=file, stderr=file, env=environment)

    def log(self) -> str:
        """What it has said so far."""
        return self._log.read_text(errors="replace")

    def wait_for(self, condition: Callable[[], Any], seconds: float = 300, poll: float = POLL) -> bool:
        """Wait until something is true, looking every `poll` s; False where the training ended before."""
        deadline = time.monotonic() + seconds
        while not condition():
            if self.process.poll() is not None:
                return False
            if time.monotonic() > deadline:
                raise TimeoutError(self.log()[-3000:])
            time.sleep(poll)
        return True

    def has_begun(self) -> bool:
        """Whether it takes steps."""
        return "train:" in self.log()

    def ended(self) -> int:
        """Its exit status, once it has one."""
        return self.process.wait()


def curves(client: Any, run_id: str, with_speed: bool = False) -> dict[tuple[str, int], list[float]]:
    """What the store has of each (key, step); of a curve's points there should be one. Without what differs from run to run."""
    found: dict[tuple[str, int], list[float]] = {}
    for key in client.get_run(run_id).data.metrics:
        if with_speed or not (key.startswith("system/") or any(word in key for word in ("second", "runtime", "wait"))):
            for point in client.get_metric_history(run_id, key):
                found.setdefault((key, point.step), []).append(point.value)
    return found
