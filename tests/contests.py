"""Compares that cost nothing: the whole way of a decision, but for the models, which are not opened, and the verdict, which is given.

As a program it has everything imported and forks for each job, a line of JSON (`job`, `arguments`, `environment`) that it answers with a line.
"""

import hashlib
import importlib
import json
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from asrx import tracking
from asrx.config import Gate
from asrx.corpus.prepare import Source
from asrx.ledger import Ledger
from asrx.registry import evidence, promotion, settling
from asrx.registry.verdict import Verdict
from asrx.scoring.decoding import Decoding
from asrx.scoring.transcribe import Heard, Transcription

SLOW = (  # to import
    "mlflow", "mlflow.store.tracking.sqlalchemy_store", "mlflow.store.model_registry.sqlalchemy_store", "mlflow.tracing.processor.base_mlflow", "git",
    "alembic.command",
)  # fmt: skip

STEPS = {  # of a promotion: what is killed before it does its work, or after
    "insert": (Ledger, "append", "before"),
    "registry": (settling, "_move_aliases", "before"),
    "champion": (settling, "point", "after"),  # `previous` is set, `champion` is not
    "tags": (settling, "_tag", "before"),
    "mark": (settling, "_tag", "after"),
}


def register(name: str, folder: Path, versions: int, **aliases: int) -> None:
    """A registered model with versions that are never opened."""
    client = tracking.connect()
    client.create_registered_model(name)
    for _ in range(versions):
        client.create_model_version(name, str(folder))
    for alias, version in aliases.items():
        client.set_registered_model_alias(name, alias, str(version))


def stub(replace: Callable[[Any, str, Any], None], outcome: str = "promote", at_the_end: Callable[[], Any] = lambda: None) -> None:
    """Replace models, verdict and evidence."""
    replace(promotion, "_side", side)
    replace(promotion, "_verdict", lambda *_: Verdict(outcome, "because it was given", (), ()))
    replace(evidence, "record", lambda *_: at_the_end())


def side(client: Any, ledger: Ledger, name: str, version: str, clips: Any, *_: Any) -> promotion.Side:
    """What a version hears that repeats its number."""
    heard = [Heard(clip.row, f"version {version}", 1.0, clip.seconds, clip.audio_digest, clip.error) for clip in clips]
    model = SimpleNamespace(digest=hashlib.sha256(f"{name} {version}".encode()).hexdigest(), folder=Path("nowhere"))
    return promotion.Side(model, Decoding("code", "transcribe", "cpu", ()), Transcription(heard, 1.0, "CPU"))


def compare(name: str, csv: str, candidate: object = None, **options: Any) -> promotion.Decision:
    """A compare of a candidate."""
    return promotion.compare(name, Source(csv), Gate(), candidate=candidate and str(candidate), **options)


def together(csv: str, name: str, *candidates: str) -> dict[str, Any]:
    """Compares of all candidates that wait for each other before they decide: the versions that became champion and all complaints."""
    fork = multiprocessing.get_context("fork")
    barrier, told = fork.Barrier(len(candidates)), fork.SimpleQueue()

    def one(candidate: str) -> None:
        stub(setattr, at_the_end=barrier.wait)
        try:
            told.put((compare(name, csv, candidate).champion, None))
        except Exception as error:
            told.put((None, f"{type(error).__name__}: {error}"))

    running = [fork.Process(target=one, args=(candidate,)) for candidate in candidates]
    for process in running:
        process.start()
    found = [told.get() for _ in running]
    for process in running:
        process.join()
    return {"champions": [version for version, _ in found if version], "refused": [complaint for _, complaint in found if complaint]}


def killed(csv: str, *cuts: str) -> dict[str, int]:
    """A compare for each `NAME=STEP`, in a process that is killed there: how each ended."""
    fork = multiprocessing.get_context("fork")

    def one(name: str, step: str) -> None:
        stub(setattr)
        owner, method, when = STEPS[step]
        work = getattr(owner, method)

        def dies(*arguments: Any) -> Any:
            if when == "after":
                work(*arguments)
            os.kill(os.getpid(), signal.SIGKILL)

        setattr(owner, method, dies)
        compare(name, csv)

    ended = {}
    for name, _, step in (cut.partition("=") for cut in cuts):
        process = fork.Process(target=one, args=(name, step))
        process.start()
        process.join()
        ended[step] = process.exitcode
    return ended


def opened(processes: int) -> list[str]:
    """The id of the ledger that so many processes open at the same time, which none did before."""
    fork = multiprocessing.get_context("fork")
    barrier, told = fork.Barrier(processes), fork.SimpleQueue()

    def one() -> None:
        barrier.wait()
        try:
            told.put(Ledger.open().id)
        except Exception as error:
            told.put(str(error))

    running = [fork.Process(target=one) for _ in range(processes)]
    for process in running:
        process.start()
    return [told.get() for _ in running]


def _work(line: str) -> None:
    task = json.loads(line)
    os.environ.update(task["environment"])
    print(json.dumps(globals()[task["job"]](*task["arguments"])), flush=True)


if __name__ == "__main__":
    for module in SLOW:
        importlib.import_module(module)
    for task in sys.stdin:
        working = multiprocessing.get_context("fork").Process(target=_work, args=(task,))
        working.start()
        working.join()
