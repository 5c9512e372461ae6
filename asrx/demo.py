"""The whole way on the built-in corpus. A second run continues from what is there."""

import logging
import os
import shlex
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from . import present, stores, tracking, workspace
from .config import resolve
from .corpus.prepare import Source
from .registry import promotion, versions
from .registry.promotion import Decision
from .training.train import Training, train

log = logging.getLogger("asrx")

BASELINE_RECIPE, CANDIDATE_RECIPE = "demo-baseline", "demo-candidate"


@dataclass(frozen=True)
class Demo:
    """What the demo did."""

    baseline: Training
    candidate: Training
    decision: Decision
    seconds: float
    clip: Path  # a held-out recording to try

    def as_dict(self) -> dict[str, Any]:
        """For --json."""
        return {"baseline": asdict(self.baseline), "candidate": asdict(self.candidate), "decision": asdict(self.decision), "seconds": round(self.seconds, 1)}

    def text(self) -> str:
        """The table and the next three commands."""
        here = stores.launch_folder()
        python = shlex.quote(os.path.relpath(sys.executable, here) if Path(sys.executable).is_relative_to(here) else sys.executable)
        uri, clip = shlex.quote(tracking.tracking_uri()), shlex.quote(str(self.clip))
        model = f"models:/{self.decision.name}@{'champion' if self.decision.champion else 'baseline'}"
        environment = f"MLFLOW_TRACKING_URI={uri} "
        load = f'{environment}{python} -c \'import mlflow, sys; print(mlflow.pyfunc.load_model("{model}").predict(sys.argv[1]))\' {clip}'
        return "\n".join([
            "", f"The whole way, in {self.seconds:.0f} s", "", present.decision(self.decision), "",
            "next:",
            f"  {python} -m mlflow ui --backend-store-uri {uri}    # curves, samples, models, decisions",
            f"  {load}",
            f"  {environment}{python} -m asrx transcribe --model {model} {clip}",
        ])  # fmt: skip


def run(name: str) -> Demo:
    """Prepare, train a baseline and a candidate, register both, compare them on held-out speakers, promote the better one."""
    started = time.perf_counter()
    client = tracking.connect()
    with tracking.run("demo", "demo", client) as parent:
        _say(1, "the built-in corpus")
        corpus = workspace.builtin_corpus()
        source = workspace.builtin_source()
        _say(2, "a baseline, trained on half of the data")
        baseline = train(corpus, resolve(BASELINE_RECIPE), name="demo baseline", parent=parent.id, reuse=True)
        versions.register(name, run_id=baseline.run_id, parent=parent.id)
        _say(3, "a candidate, trained on all of it")
        candidate = train(corpus, resolve(CANDIDATE_RECIPE), name="demo candidate", parent=parent.id, reuse=True)
        registered = versions.register(name, run_id=candidate.run_id, parent=parent.id)
        _say(4, "the two on held-out speakers")
        held_out = Source(str(source / "test.csv"))
        decision = promotion.compare(name, held_out, resolve().gate, candidate=registered.version, parent=parent.id)
        parent.note(f"{decision.outcome}: {decision.reason}")
    clip = source / "clips" / sorted(path.name for path in (source / "clips").iterdir())[0]
    return Demo(baseline, candidate, decision, time.perf_counter() - started, clip)


def _say(step: int, what: str) -> None:
    log.info("[%d/4] %s", step, what)
