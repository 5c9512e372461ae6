"""The twins of the published experiments, and what pre-training brings, trained beside the other tests."""

import contextlib
import csv
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asrx import config

TWINS = [name for name in config.recipe_names() if name.endswith("-tiny")]
COMMAND_SECONDS = 1_200


@dataclass(frozen=True)
class Twin:
    """What the commands on a recipe answered."""

    corpus: dict[str, Any]
    training: dict[str, Any]


@dataclass(frozen=True)
class Experiments:
    """All twins, in the environment of a newcomer, and the figures of scripts/pretraining_helps.py."""

    environment: dict[str, str]
    twins: dict[str, Future[Twin]]
    pretraining: Future[list[dict[str, Any]]]

    def held_out(self, language: str) -> tuple[list[str], list[str]]:
        """Paths and references of the built-in test set."""
        folder = Path(self.environment["ASRX_HOME"]) / f"builtin-{language}"
        with (folder / "test.csv").open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        return [str(folder / row["path"]) for row in rows], [row["sentence"] for row in rows]


@contextlib.contextmanager
def started(folder: Path) -> Iterator[Experiments]:
    """One after another, each on one core, for the length of the block."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "ASRX_"))}
    store = {"ASRX_HOME": str(folder / "home"), "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db"}
    environment = {**clean, **store, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", "HF_HUB_OFFLINE": "1"}
    with ThreadPoolExecutor(1) as pool:
        twins = {name: pool.submit(_run, environment, name) for name in TWINS}
        pretraining = pool.submit(_answer, environment, str(Path(__file__).parents[1] / "scripts" / "pretraining_helps.py"), "--quick", "--json")
        yield Experiments(environment, twins, pretraining)
        for waiting in (*twins.values(), pretraining):
            waiting.cancel()


def _run(environment: dict[str, str], recipe: str) -> Twin:
    return Twin(asrx(environment, "prepare", "--recipe", recipe), asrx(environment, "train", "--recipe", recipe))


def asrx(environment: dict[str, str], *arguments: str) -> dict[str, Any]:
    """What a command answers."""
    return _answer(environment, "-m", "asrx", *arguments, "--json")


def _answer(environment: dict[str, str], *arguments: str) -> Any:
    done = subprocess.run([sys.executable, *arguments], env=environment, capture_output=True, text=True, timeout=COMMAND_SECONDS)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


def ends_below(recipe: str) -> float:
    """The WER that a twin declares, as a fraction."""
    text = (config.RECIPES / f"{recipe}.yaml").read_text(encoding="utf-8")
    found = re.search(r"^# ends below: ([\d.]+) % WER$", text, re.MULTILINE)
    assert found, f"{recipe} declares no WER"
    return float(found[1]) / 100
