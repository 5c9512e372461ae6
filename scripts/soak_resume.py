"""Whether a training that is killed again and again ends as if nothing had been.

    python scripts/soak_resume.py                # 20 times SIGKILL, about six minutes on two cores
    python scripts/soak_resume.py --kills 3 --seed 7

A small model is trained once undisturbed. The same training is then killed at random moments, in the middle of steps and evaluations, every third
time while a checkpoint is written, and taken up with `--resume auto`. Compared are the sha256 of the best model, of the last checkpoint's weights,
average, optimizer, schedule and random generators, and the curves: each (key, step) once, with equal values. Exit status 1 if anything differs
or the training ended before the last kill.
"""

import argparse
import hashlib
import random
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from soaking import trainings

EVERY = 4  # steps between checkpoints, of which every second is evaluated
STEPS_PER_KILL = 16
AIMED = 3  # every so many kills, one waits for a checkpoint that is being written: at random they are too short to be hit
WRITING = 0.005  # s after it was begun, at most
COMPARED = ("model.safetensors", "average.safetensors", "optimizer.pt", "scheduler.pt", "rng_state.pth")


@dataclass(frozen=True)
class Ended:
    """What a training left."""

    run_id: str
    files: dict[str, str]  # name → sha256
    curves: dict[tuple[str, int], list[float]]


@dataclass(frozen=True)
class Verdict:
    """How the killed one differs from the undisturbed one."""

    kills: int
    half_written: int  # kills that left a checkpoint unfinished
    files: list[str]
    points: list[tuple[str, int]]

    @property
    def passed(self) -> bool:
        """Whether it does not."""
        return not self.files and not self.points


def main() -> None:
    """Print the verdict."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20, help="times that the training is killed")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        verdict = soak(Path(folder), given.kills, given.seed)
    print(f"killed {verdict.kills} of {given.kills} times, {verdict.half_written} of them while a checkpoint was written")
    print("weights, optimizer and curves are those of the undisturbed training" if verdict.passed else f"DIFFERENT: {verdict.files} {verdict.points[:10]}")
    sys.exit(not verdict.passed or verdict.kills < given.kills)


def soak(folder: Path, kills: int, seed: int) -> Verdict:
    """Train twice in `folder`."""
    steps = max(2 * EVERY, STEPS_PER_KILL * kills)
    corpus = trainings.corpus(folder)
    arguments = ("--data", corpus, "--max-steps", steps, *trainings.OPTIONS, f"trainer.logging_steps={EVERY}", f"trainer.save_steps={EVERY}",
                 f"trainer.eval_steps={2 * EVERY}")  # fmt: skip
    training = trainings.Training(folder / "whole.log", folder / "whole", _uri(folder / "whole"), *arguments)
    training.wait_for(training.has_begun)
    began = time.monotonic()
    training.wait_for(lambda: list((folder / "whole").glob(f"runs/*/checkpoints/checkpoint-{steps}/complete")))
    seconds = time.monotonic() - began
    _succeed(training)
    print(f"undisturbed: {steps} steps in {seconds:.0f} s", flush=True)
    half_written, done = _killed(folder, arguments, kills, seconds, random.Random(seed))
    whole, killed = (_ended(folder / name, steps) for name in ("whole", "killed"))
    files = [name for name, digest in whole.files.items() if killed.files.get(name) != digest]
    keys = sorted(whole.curves.keys() | killed.curves.keys())
    points = [key for key in keys if killed.curves.get(key) != whole.curves.get(key) or len(whole.curves[key]) != 1]
    return Verdict(done, half_written, files, points)


def _killed(folder: Path, arguments: tuple[object, ...], kills: int, seconds: float, moments: random.Random) -> tuple[int, int]:
    """Train in `folder`/killed; how many kills left a checkpoint unfinished, and how many there were."""
    home, half_written, done = folder / "killed", 0, 0
    for number in range(kills):
        training = trainings.Training(folder / f"{number}.log", home, _uri(home), *arguments, "--resume", "auto")
        try:
            if training.wait_for(training.has_begun):
                time.sleep(moments.uniform(0, 2 * seconds / kills))
            if number % AIMED == 0:
                training.wait_for(lambda: _unfinished(home), poll=WRITING / 10)
                time.sleep(moments.uniform(0, WRITING))
        finally:
            training.process.kill()
            training.ended()
        if training.process.returncode >= 0:  # it ended before it was killed
            _succeed(training)
            return half_written, done
        done += 1
        open_ones = _unfinished(home)
        half_written += bool(open_ones)
        last = max((int(path.parent.name.rpartition("-")[2]) for path in home.glob("runs/*/checkpoints/checkpoint-*/complete")), default=0)
        print(f"kill {number + 1}: checkpoint-{last} is whole{', ' + open_ones[0] + ' is not' if open_ones else ''}", flush=True)
    _succeed(trainings.Training(folder / "last.log", home, _uri(home), *arguments, "--resume", "auto"))
    return half_written, done


def _unfinished(home: Path) -> list[str]:
    """Checkpoints that are being written, or were when the training died."""
    return [path.name for path in home.glob("runs/*/checkpoints/*checkpoint-*") if not (path / "complete").exists()]


def _uri(home: Path) -> str:
    return f"sqlite:///{home}/mlflow.db"


def _succeed(training: trainings.Training) -> None:
    if training.ended():
        sys.exit(training.log()[-3000:])


def _ended(home: Path, steps: int) -> Ended:
    import mlflow

    runs = list((home / "runs").iterdir())
    finished = [run for run in runs if (run / "checkpoints" / f"checkpoint-{steps}").exists()]
    (run,) = finished
    checkpoint = run / "checkpoints" / f"checkpoint-{steps}"
    paths = [run / "best" / "model.safetensors", *(checkpoint / name for name in COMPARED)]
    files = {f"{path.parent.name}/{path.name}": hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}
    return Ended(run.name, files, trainings.curves(mlflow.MlflowClient(_uri(home)), run.name))


if __name__ == "__main__":
    main()
