"""A stopped training goes on in its own run and ends with the very weights of an uninterrupted one."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import TRAINING, Outcome, start_cli, wait_for

from asrx import tracking

STEPS = 50
# Everything that could come out differently after a resume: augmentation, accumulation, an average of the weights.
OPTIONS = ("--max-steps", STEPS, *TRAINING, "trainer.gradient_accumulation_steps=2", "checkpoint.average=0.9", "augment.speed=0.1", "batch.seconds=4")


@pytest.fixture
def client(home: Path) -> Any:
    from asrx import tracking

    return tracking.connect()


@pytest.fixture(scope="module")
def weights_of_the_uninterrupted(session_home: Path, corpus: Path) -> dict[str, Any]:
    from asrx.training import request

    overrides = [option for option in OPTIONS[2:]]
    result = request.train(str(corpus), None, {"trainer.max_steps": str(STEPS)}, overrides, None)
    return weights(Path(result.folder).parent)


def weights(run: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    last = run / "checkpoints" / f"checkpoint-{STEPS}"
    files = {"best": run / "best" / "model.safetensors", "last": last / "model.safetensors", "average": last / "average.safetensors"}
    return {f"{name}/{key}": tensor for name, path in files.items() for key, tensor in load_file(str(path)).items()}


def assert_equal(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert one.keys() == other.keys() and len(one) > 100
    different = [name for name in one if not (one[name] == other[name]).all()]
    assert not different


def runs(home: Path) -> set[str]:
    folder = home / "asrx" / "runs"
    return {path.name for path in folder.iterdir()} if folder.exists() else set()


def stop(number: signal.Signals, corpus: Path, home: Path, log: Path) -> tuple[str, int]:
    """Start a training, send it a signal after its first checkpoint; its run id and exit status."""
    before = runs(home)
    training = start_cli("train", "--data", corpus, *OPTIONS, log=log)
    try:
        wait_for(lambda: any((home / "asrx/runs" / run / "checkpoints/checkpoint-10/complete").exists() for run in runs(home) - before), 90, "a checkpoint")
        training.send_signal(number)
        return (runs(home) - before).pop(), training.wait(60)
    finally:
        training.kill()


def steps(client: Any, run_id: str, key: str) -> list[int]:
    return sorted(metric.step for metric in client.get_metric_history(run_id, key))


def resume(asrx: Callable[..., Outcome], run_id: str) -> dict[str, Any]:
    outcome = asrx("train", "--json", "--resume", run_id)
    assert outcome.status == 0, outcome
    return json.loads(outcome.out)


def assert_one_whole_curve(client: Any, run_id: str) -> None:
    assert steps(client, run_id, "train/loss") == list(range(5, STEPS + 1, 5))
    assert steps(client, run_id, "eval/wer") == list(range(10, STEPS + 1, 10))
    assert client.get_run(run_id).data.tags["asrx.outcome"] == "finished"
    assert client.get_run(run_id).info.status == "FINISHED"


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT])
def test_a_stopped_training_goes_on_to_the_same_weights(number, asrx, client, corpus: Path, home: Path, tmp_path: Path, weights_of_the_uninterrupted) -> None:
    run_id, status = stop(number, corpus, home, tmp_path / "log")
    log = (tmp_path / "log").read_text()
    assert status == 130 and "Traceback" not in log, log
    assert f"--resume {run_id}" in log
    assert client.get_run(run_id).data.tags["asrx.outcome"] == "interrupted"
    assert client.get_run(run_id).info.status == "KILLED"
    assert resume(asrx, run_id)["run_id"] == run_id
    assert_one_whole_curve(client, run_id)
    assert_equal(weights(home / "asrx/runs" / run_id), weights_of_the_uninterrupted)


def test_a_finished_training_is_not_repeated(asrx, trained) -> None:
    found = resume(asrx, trained.run_id)
    assert found["reused"] and (found["run_id"], found["model_uri"]) == (trained.run_id, trained.model_uri)


def test_a_run_that_another_process_trains_is_not_touched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from contextlib import ExitStack

    from asrx.errors import InputError
    from asrx.files import held
    from asrx.training.train import open_run

    monkeypatch.setenv("ASRX_HOME", str(tmp_path))
    untouchable = None  # any call on the client would raise
    with held(tmp_path / "runs" / "f00d") as mine, ExitStack() as stack:
        assert mine
        with pytest.raises(InputError, match="being trained by another process"):
            open_run("train", untouchable, "f00d", stack, "name", None)


def test_sigterm_outside_a_training_closes_the_run(home: Path, tmp_path: Path) -> None:
    program = (
        "import os, signal, sys\n"
        "from asrx import cli, tracking\n"
        "def stop(**_):\n"
        "    with tracking.run('evaluate', 'stopped') as run:\n"
        "        open(sys.argv[1], 'w').write(run.id)\n"
        "        os.kill(os.getpid(), signal.SIGTERM)\n"
        "        signal.pause()\n"
        "cli.cli.main = stop\n"
        "cli.main()\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path / "id")], capture_output=True, text=True, timeout=120)
    assert done.returncode == 130, done.stderr
    run = tracking.connect().get_run((tmp_path / "id").read_text())
    assert (run.data.tags["asrx.outcome"], run.info.status) == ("interrupted", "KILLED")
