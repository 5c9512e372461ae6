"""What MLflow could not hear while it was away reaches it once, by `asrx sync` or by whoever goes on with the run."""

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import TRAINING, Outcome, free_port, tracking_server

from asrx import delivery, journal, tracking
from asrx.errors import TrackingError
from asrx.files import held
from asrx.journal import Journal
from asrx.training import request, train


def history(run_id: str, key: str) -> list[int]:
    return sorted(point.step for point in tracking.connect().get_metric_history(run_id, key))


def left(run_id: str, *steps: int) -> None:
    """A journal of points that were never delivered."""
    points = journal.Points(delivery.journals(), run_id)
    for step in steps:
        points.add({"loss": 1.0}, step)
    points.close()


def new_run() -> str:
    client = tracking.connect()
    return client.create_run(tracking.experiment_id(client)).info.run_id


@pytest.mark.slow
def test_a_server_that_was_away_is_told_everything_once(
    asrx: Callable[..., Outcome], home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = free_port()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("ASRX_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(journal, "CLOSING_PATIENCE", 0.5)
    with tracking_server(tmp_path / "server", port) as server:
        with tracking.run("evaluate", "left behind") as run:
            run.metrics({"loss": 1.0}, 1)
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()
            run.metrics({"loss": 0.5}, 2)
            run.text_later("table.csv", "a,b\n")
            run.tags_later({"told": "late"})
            began = time.monotonic()
        assert time.monotonic() - began < 60
    refused = asrx("sync")
    assert refused.status == 2 and len(refused.complaint) == 1 and "cannot be reached" in refused.complaint[0], refused
    with tracking_server(tmp_path / "server", port):
        (told,) = json.loads(asrx("sync", "--json").out)["runs"]
        assert (told["run_id"], told["artifacts"], told["outcome"]) == (run.id, 1, "finished")
        known = tracking.connect().get_run(run.id)
        assert history(run.id, "loss") == [1, 2]
        assert (known.data.tags["asrx.outcome"], known.data.tags["told"], known.info.status) == ("finished", "late", "FINISHED")
        assert [item.path for item in tracking.connect().list_artifacts(run.id)] == ["table.csv"]
        assert "heard everything" in asrx("sync").out and history(run.id, "loss") == [1, 2]


def test_what_another_machine_delivered_is_not_doubled(tmp_path: Path) -> None:
    there = {"loss": {1, 2, 3}}
    arrived: list[tuple[str, int]] = []

    def deliver(run_id: str, points: list[dict[str, Any]]) -> None:
        arrived.extend((point["k"], point["s"]) for point in points)

    kept = Journal(tmp_path, "run", deliver, lambda run_id, key: there.get(key, set()))
    for step in range(2, 6):
        kept.add({"loss": 9.0, "wer": 0.5}, step)
    assert kept.close() is True
    assert sorted(arrived) == [("loss", 4), ("loss", 5), *(("wer", step) for step in range(2, 6))]


def test_all_runs_are_told_of_and_none_twice(asrx: Callable[..., Outcome], home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASRX_HOME", str(tmp_path))
    first, second, gone = new_run(), new_run(), new_run()
    for run_id in (first, second, gone, "0" * 32):
        left(run_id, 1, 2)
    client = tracking.connect()
    client.log_metric(second, "loss", 7.0, step=1)
    client.delete_run(gone)
    with held(tmp_path / "runs" / first) as mine:
        assert mine
        told = {item["run_id"]: item for item in json.loads(asrx("sync", "--json").out)["runs"]}
        assert told[first]["left_alone"].startswith("another process") and history(first, "loss") == []
    assert told[second]["points"] == 1 and history(second, "loss") == [1, 2]
    assert "deleted" in told[gone]["left_alone"] and "is not in sqlite" in told["0" * 32]["left_alone"]
    assert f"run {first}: 2 points" in asrx("sync", "--run", first).out
    assert history(first, "loss") == [1, 2]
    assert asrx("sync", "--run", "unheard-of").status == 2


def test_an_outcome_that_another_session_went_beyond_is_not_told(asrx: Callable[..., Outcome], home: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("ASRX_HOME", str(tmp_path))
    with tracking.run("evaluate", "went on elsewhere") as run:
        pass
    delivery.Unsaid(tags={tracking.OUTCOME: "interrupted"}, status="KILLED", session="an earlier one").keep(run.id)
    left(run.id, 5)
    assert asrx("sync").status == 0
    known = tracking.connect().get_run(run.id)
    assert (known.data.tags["asrx.outcome"], known.info.status, history(run.id, "loss")) == ("finished", "FINISHED", [5])


def test_what_is_published_late_is_not_trained_again(corpus: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A training that stopped early, too: it does not take a step more."""
    overrides = [*TRAINING, "trainer.eval_steps=2", "checkpoint.patience=1", "trainer.learning_rate=0", "trainer.logging_steps=1"]
    before = set((home / "asrx" / "runs").iterdir()) if (home / "asrx" / "runs").exists() else set()

    def unreachable(*_: Any) -> str:
        raise TrackingError("gone")

    with monkeypatch.context() as patch, pytest.raises(TrackingError):
        patch.setattr(train, "_publish", unreachable)
        request.train(str(corpus), None, {"trainer.max_steps": "12"}, overrides, None)
    (run,) = set((home / "asrx" / "runs").iterdir()) - before
    stopped = max(history(run.name, "train/loss"))
    assert stopped < 12
    stamps = {path: path.stat().st_mtime_ns for path in run.glob("checkpoints/*/model.safetensors")}
    ended = request.train(None, None, {}, [], run.name)
    assert ended.steps == stopped and ended.model_uri and max(history(run.name, "train/loss")) == stopped
    assert {path: path.stat().st_mtime_ns for path in run.glob("checkpoints/*/model.safetensors")} == stamps


def test_a_session_is_counted_from_its_command(corpus: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load = train.load_material

    def slowly(*arguments: Any) -> Any:
        time.sleep(1.5)
        return load(*arguments)

    monkeypatch.setattr(train, "load_material", slowly)
    paused = request.train(str(corpus), None, {"trainer.max_steps": "500"}, [*TRAINING, "trainer.seed=77"], None, minutes=1.5 / 60)
    assert paused.steps == 1 and paused.model_uri is None
