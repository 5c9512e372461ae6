"""Two processes train as one with twice the batch; when one of them is killed the others end, and the run goes on from its last checkpoint."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from conftest import start_cli, wait_for

from asrx import tracking
from asrx.errors import ConfigError, InputError

STEPS, CHECKPOINT = 12, 4
# Batches of a few utterances, some of one alone, two of them in a step; an average of the weights; nothing that chance decides within the model.
OPTIONS = (
    "trainer.logging_steps=1", f"trainer.eval_steps={CHECKPOINT}", "data.eval_utterances=5", "trainer.per_device_eval_batch_size=2",
    "trainer.gradient_accumulation_steps=2", "model.hidden_dropout=0", "model.apply_spec_augment=false", "checkpoint.average=0.9",
)  # fmt: skip
ENDS_WITHIN = 150  # s after a process was killed, on a machine that has other things to do
ONE_CORE = {"OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def killed(session_home: Path, corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """A training of two processes whose second one is killed after its first checkpoint."""
    log, folder = tmp_path_factory.mktemp("killed") / "log", session_home / "asrx" / "runs"
    before = set(folder.glob("*"))
    with pytest.MonkeyPatch.context() as patch:
        for name, value in ONE_CORE.items():
            patch.setenv(name, value)
        training = start_cli("train", "--processes", 2, "--data", corpus, "--max-steps", STEPS, *OPTIONS, "batch.seconds=3", log=log)
    try:
        made = wait_for(lambda: [run for run in set(folder.glob("*")) - before if any(run.glob("checkpoints/*/complete"))], 240, "a checkpoint")
        workers = psutil.Process(training.pid).children()
        second = next(worker for worker in workers if worker.environ().get("RANK") == "1")
        os.kill(second.pid, signal.SIGKILL)
        status = training.wait(ENDS_WITHIN)
        yield {"run": made[0], "status": status, "log": log.read_text(), "workers": workers}
    finally:
        training.kill()


def test_a_killed_process_ends_them_all(killed: dict[str, Any], home: Path) -> None:
    lines = [line for line in killed["log"].splitlines() if line.startswith("asrx: process")]
    assert killed["status"] == 2 and "Traceback" not in killed["log"], killed["log"]
    assert lines == [f"asrx: process 1 of 2 was ended by SIGKILL; from the last checkpoint: asrx train --processes 2 --resume {killed['run'].name}"]
    assert not any(worker.is_running() and worker.status() != psutil.STATUS_ZOMBIE for worker in killed["workers"])
    run = tracking.connect().get_run(killed["run"].name)
    assert (run.data.tags["asrx.outcome"], run.info.status) == ("failed", "FAILED")


def test_another_number_of_processes_cannot_go_on(killed: dict[str, Any], home: Path, asrx: Any) -> None:
    outcome = asrx("train", "--resume", killed["run"].name)
    assert outcome.status == 2 and "begun by 2 processes" in outcome.complaint[-1] and "--processes 2" in outcome.complaint[-1], outcome


def test_two_processes_give_the_curve_of_one_with_twice_the_batch(killed: dict[str, Any], corpus: Path, home: Path, asrx: Any, monkeypatch: Any) -> None:
    """The one curve of two sessions, the first of which was killed, and that of a process that was left in peace."""
    from asrx.training import request

    with monkeypatch.context() as patch:
        for name, value in ONE_CORE.items():
            patch.setenv(name, value)
        assert asrx("train", "--processes", 2, "--resume", killed["run"].name).status == 0
    alone = request.train(str(corpus), None, {"trainer.max_steps": str(STEPS)}, [*OPTIONS, "batch.seconds=6"], None)
    client = tracking.connect()
    assert client.get_run(killed["run"].name).data.tags["asrx.outcome"] == "finished"
    for key in ("train/loss", "train/grad_norm", "train/learning_rate", "eval/loss", "eval/wer", "epoch"):
        together, one = (client.get_metric_history(run, key) for run in (killed["run"].name, alone.run_id))
        assert [point.step for point in together] == [point.step for point in one] and len(one) >= STEPS / CHECKPOINT
        np.testing.assert_allclose([point.value for point in together], [point.value for point in one], rtol=2e-3, err_msg=key)


def test_what_torchrun_started_is_not_started_again(monkeypatch: pytest.MonkeyPatch) -> None:
    from asrx import search
    from asrx.training import launching

    for name, value in {"LOCAL_RANK": "0", "RANK": "0", "WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)
    assert not launching.needed(1) and not launching.needed(2)
    with pytest.raises(ConfigError, match="torchrun has started 2"):
        launching.needed(4)
    with pytest.raises(ConfigError, match="search trains in one process"):
        search.search(None, None, {}, [], 1, "median", None, None, None)


def test_a_batch_with_fewer_utterances_than_processes_leaves_none_out() -> None:
    from asrx.training.batching import BatchPlan, Item
    from asrx.training.shares import own_share

    seconds = np.array([1.0, 4.0, 2.0, 3.0, 5.0])
    plan = BatchPlan([[Item(0, 0)], [Item(0, index) for index in range(5)]], [2])
    shares = [own_share(plan, seconds, rank, 3).batches for rank in range(3)]
    assert [[item.index for item in share[0]] for share in shares] == [[0], [0], [0]]
    assert [share[0][0].counts for share in shares] == [True, False, False]
    assert [[item.index for item in share[1]] for share in shares] == [[4, 2], [1, 0], [3]]
    assert all(item.counts for share in shares for item in share[1])


def test_a_refusal_comes_before_any_process(home: Path, corpus: Path, asrx: Any) -> None:
    refused = asrx("train", "--data", corpus, "--processes", 2, "trainer.learning_rte=1")
    assert refused.status == 2 and "did you mean learning_rate" in refused.complaint[-1]
    sharded = asrx("train", "--data", corpus, "--processes", 2, "trainer.fsdp=full_shard")
    assert sharded.status == 2 and "each process holds the whole model" in sharded.complaint[-1]


def test_a_process_without_the_first_ones_folder_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from asrx.training import processes

    monkeypatch.setattr(processes, "of_first", lambda: {"id": "f00d", "kind": "train", "folder": str(tmp_path / "elsewhere")})
    with pytest.raises(InputError, match="a disk that they share"):
        processes.assist(lambda: (), lambda run: None)
