"""Whether a tracking server that is killed again and again loses or doubles a point, and what the journal costs a training.

    python scripts/soak_tracking.py                  # five restarts, about three minutes on two cores
    python scripts/soak_tracking.py --restarts 2 --steps 150

A small model is trained at `logging_steps=1` against a real `mlflow server`, which is killed and started again at random moments; then
`asrx sync` tells it the rest. Counted are the points that it has of each (key, step). The cost is that of Journal.add for the values that a step
of that training logs, while a background thread delivers them to that server, as a share of that training's median step. Exit status 1 if a point
was lost or doubled, a step's journal costs 1 % of it or more, or the training ended before all restarts.
"""

import argparse
import contextlib
import json
import os
import random
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from soaking import trainings

from asrx import delivery
from asrx.journal import Journal

ALLOWED = 0.01  # share of a step
TIMED = 3_000  # steps whose values are journaled


@dataclass(frozen=True)
class Verdict:
    """What the server has of a training's points, and what they cost."""

    points: int  # recorded on this machine
    lost: int
    doubled: int
    restarts: int
    asked: int  # restarts that there should have been
    step: float  # s, median
    add: float  # s per step

    @property
    def passed(self) -> bool:
        """Whether the server was restarted as often as asked, nothing is missing, and nothing costs too much."""
        return self.restarts == self.asked and not self.lost and not self.doubled and self.add < ALLOWED * self.step


class Server:
    """`mlflow server` that keeps its runs in `folder`."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        folder.mkdir()
        self.uri, self._folder = f"http://127.0.0.1:{port}", folder
        self._command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
                         "--backend-store-uri", f"sqlite:///{folder}/server.db", "--artifacts-destination", str(folder / "artifacts")]  # fmt: skip

    def start(self) -> None:
        """Until it answers."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
        with (self._folder / "log").open("a") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log, start_new_session=True, env=environment)
        for _ in range(600):
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"{self.uri}/health", timeout=2)
                return
            time.sleep(0.2)
        raise TimeoutError((self._folder / "log").read_text()[-3000:])

    def kill(self) -> None:
        """At once."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


def main() -> None:
    """Print the verdict."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--restarts", type=int, default=5, help="times that the server is killed and started again")
    parser.add_argument("--steps", type=int, default=1_000, help="of the training")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        verdict = soak(Path(folder), given.restarts, given.steps, given.seed)
    print(f"{verdict.points:,} points, {verdict.restarts} of {verdict.asked} restarts: {verdict.lost} lost, {verdict.doubled} doubled")
    print(f"journal: {1e6 * verdict.add:.0f} µs a step of {1e3 * verdict.step:.1f} ms: {verdict.add / verdict.step:.2%}")
    print("passed" if verdict.passed else "FAILED")
    sys.exit(not verdict.passed)


def soak(folder: Path, restarts: int, steps: int, seed: int) -> Verdict:
    """Train in `folder`."""
    corpus = trainings.corpus(folder)
    server = Server(folder / "server")
    server.start()
    try:
        home = folder / "home"
        every = max(1, steps // 4)
        training = trainings.Training(folder / "log", home, server.uri, "--data", corpus, "--max-steps", steps, *trainings.OPTIONS,
                                      "trainer.logging_steps=1", f"trainer.eval_steps={every}")  # fmt: skip
        training.wait_for(training.has_begun)
        done = _disturb(server, training, restarts, random.Random(seed))
        status = training.ended()
        if status not in (0, 2):  # 2: the server was away just when the model was to be published
            sys.exit(training.log()[-3000:])
        environment = {**os.environ, "ASRX_HOME": str(home), "MLFLOW_TRACKING_URI": server.uri}
        subprocess.run([sys.executable, "-m", "asrx", "sync"], env=environment, check=True)
        return _counted(home, server, folder, (done, restarts))
    finally:
        server.kill()


def _disturb(server: Server, training: trainings.Training, restarts: int, moments: random.Random) -> int:
    """How often the server was killed while the training went on."""
    for number in range(restarts):
        time.sleep(moments.uniform(0.5, 4))
        if training.process.poll() is not None:
            return number
        server.kill()
        time.sleep(moments.uniform(0, 4))
        server.start()
    return restarts


def _counted(home: Path, server: Server, folder: Path, restarts: tuple[int, int]) -> Verdict:
    import mlflow

    os.environ["MLFLOW_TRACKING_URI"] = server.uri
    client = mlflow.MlflowClient(server.uri)
    (path,) = (home / "journals").glob("*.jsonl")
    points = [json.loads(line) for line in path.read_text().splitlines()]
    there = trainings.curves(client, path.stem, with_speed=True)
    recorded = {(point["k"], point["s"]) for point in points}
    steps = [point for point in points if point["k"] == "train/loss"]
    step = statistics.median((after["t"] - before["t"]) / 1e3 for before, after in zip(steps, steps[1:]))
    values = {point["k"]: point["v"] for point in points if point["s"] == steps[len(steps) // 2]["s"] and not point["k"].startswith("system/")}
    doubled = sum(len(found) - 1 for found in there.values())
    return Verdict(len(recorded), len(recorded - there.keys()), doubled, *restarts, step, _cost(client, path.stem, folder, values, step))


def _cost(client: object, run_id: str, folder: Path, values: dict[str, float], step: float) -> float:
    """s that Journal.add takes of a step, at the pace of the training, with a delivery in the background."""
    journal = Journal(folder / "timed", run_id, partial(delivery.deliver, client))
    spent = 0.0
    for number in range(TIMED):
        began = time.perf_counter()
        journal.add({f"timed/{key}": value for key, value in values.items()}, number)
        spent += time.perf_counter() - began
        time.sleep(min(step, 0.002))
    journal.close()
    return spent / TIMED


if __name__ == "__main__":
    main()
