"""A tracking server that is slow, down or killed costs a training nothing, and the journal no point."""

import json
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import TRAINING, Outcome, free_port, start_cli, tracking_server, wait_for

from asrx import journal
from asrx.journal import Journal


class Server:
    """Keeps what is delivered; can be down, or never answer."""

    def __init__(self) -> None:
        self.points: list[dict[str, Any]] = []
        self.down = False
        self.hanging = threading.Event()
        self.hangs = False

    def __call__(self, run_id: str, points: list[dict[str, Any]]) -> None:
        if self.hangs:
            self.hanging.wait()
        if self.down:
            raise ConnectionError("nobody there")
        self.points += points

    def steps(self, key: str) -> list[int]:
        return [point["s"] for point in self.points if point["k"] == key]


@pytest.fixture(autouse=True)
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "PERIOD", 0.02)


def test_points_survive_a_server_that_is_down(tmp_path: Path) -> None:
    server = Server()
    server.down = True
    first = Journal(tmp_path, "run", server)
    for step in range(5):
        first.add({"loss": step / 2}, step)
    assert first.close() is False
    stamps = [json.loads(line)["t"] for line in (tmp_path / "run.jsonl").read_text().splitlines()]
    server.down = False
    time.sleep(0.01)
    assert Journal(tmp_path, "run", server).close() is True
    assert server.steps("loss") == [0, 1, 2, 3, 4]
    assert [point["t"] for point in server.points] == stamps


def test_a_server_that_comes_back_gets_everything_in_order(tmp_path: Path) -> None:
    server = Server()
    kept = Journal(tmp_path, "run", server)
    for step in range(30):
        server.down = 5 <= step < 20
        kept.add({"loss": 1.0}, step)
        time.sleep(0.005)
    assert kept.close() is True
    assert server.steps("loss") == list(range(30))


def test_a_line_that_was_torn_is_cut_off(tmp_path: Path) -> None:
    server = Server()
    first = Journal(tmp_path, "run", server)
    first.add({"loss": 1.0}, 0)
    first.close()
    with (tmp_path / "run.jsonl").open("a") as file:
        file.write('{"k": "loss", "v": 2.0, "s"')
    second = Journal(tmp_path, "run", server)
    second.add({"loss": 2.0}, 1)
    assert second.close() is True
    assert [json.loads(line)["s"] for line in (tmp_path / "run.jsonl").read_text().splitlines()] == [0, 1]
    assert server.steps("loss") == [0, 1]


def test_a_damaged_line_loses_itself_alone(tmp_path: Path) -> None:
    """After a power cut a block of a file may read as zeros."""
    line = '{"k": "loss", "v": 1.0, "s": %d, "t": 1}\n'
    (tmp_path / "run.jsonl").write_text(line % 0 + "\0" * 40 + "\n" + line % 2)
    server = Server()
    assert Journal(tmp_path, "run", server).close() is True
    assert server.steps("loss") == [0, 2]


def test_steps_that_come_again_after_a_resume_are_not_doubled(tmp_path: Path) -> None:
    server = Server()
    first = Journal(tmp_path, "run", server)
    for step in range(10):
        first.add({"loss": float(step)}, step)
    first.close()
    second = Journal(tmp_path, "run", server)
    for step in range(6, 14):
        second.add({"loss": 100.0 + step, "wer": 0.5}, step)
    assert second.close() is True
    assert server.steps("loss") == list(range(14)) and server.steps("wer") == list(range(6, 14))
    assert server.points[7]["v"] == 7.0


def test_values_that_are_no_numbers_are_left_out(tmp_path: Path) -> None:
    server = Server()
    kept = Journal(tmp_path, "run", server)
    kept.add({"a": float("nan"), "b": float("inf"), "c": 1.0}, 0)
    assert kept.close() is True
    assert [point["k"] for point in server.points] == ["c"]


def test_closing_does_not_wait_for_a_server_that_never_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "CLOSING_PATIENCE", 0.3)
    server = Server()
    server.hangs = True
    kept = Journal(tmp_path, "run", server)
    kept.add({"loss": 1.0}, 0)
    started = time.monotonic()
    assert kept.close() is False
    assert time.monotonic() - started < 2
    server.hanging.set()


def test_adding_costs_nothing_while_the_server_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "CLOSING_PATIENCE", 0.1)
    server = Server()
    server.hangs = True
    kept = Journal(tmp_path, "run", server)
    kept.add({"loss": 1.0}, 0)
    time.sleep(0.1)  # the delivery hangs now
    started = time.monotonic()
    for step in range(1, 200):
        kept.add({"loss": 1.0}, step)
    assert time.monotonic() - started < 1
    kept.close()
    server.hanging.set()


def test_a_job_is_tried_again_and_the_newest_of_a_name_wins(tmp_path: Path) -> None:
    server, done = Server(), []
    kept = Journal(tmp_path, "run", server)

    def fails() -> None:
        done.append("failed")
        raise ConnectionError

    kept.later("table", fails)
    wait_for(lambda: done, 5)
    kept.later("table", lambda: done.append("new"))
    wait_for(lambda: "new" in done, 5)
    assert kept.close() is True and done.count("new") == 1


def test_many_points_go_in_batches_that_mlflow_takes(tmp_path: Path) -> None:
    sizes: list[int] = []
    server = Server()

    def deliver(run_id: str, points: list[dict[str, Any]]) -> None:
        sizes.append(len(points))
        server(run_id, points)

    kept = Journal(tmp_path, "run", deliver)
    kept.add({f"m{number}": 1.0 for number in range(2_500)}, 0)
    assert kept.close() is True
    assert max(sizes) <= 1_000 and len(server.points) == 2_500


@pytest.mark.slow
def test_a_training_outlives_its_server(asrx: Callable[..., Outcome], corpus: Path, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("ASRX_HOME", str(tmp_path / "home"))
    with tracking_server(tmp_path / "server", port) as server:
        log = tmp_path / "train.log"
        training = start_cli("train", "--data", corpus, "--max-steps", 40, *TRAINING, log=log)
        try:
            wait_for(lambda: list((tmp_path / "home").glob("runs/*/checkpoints/checkpoint-10/complete")), 90, "the first checkpoint")
            os.killpg(server.pid, signal.SIGKILL)
            started = time.monotonic()
            status = training.wait(150)
        finally:
            training.kill()
    assert time.monotonic() - started < 120
    run = next((tmp_path / "home" / "runs").iterdir())
    assert (run / "best" / "model.safetensors").exists() and (run / "checkpoints" / "checkpoint-40" / "complete").exists()
    assert "Traceback" not in log.read_text(), log.read_text()[-3000:]
    points = [json.loads(line) for line in (tmp_path / "home" / "journals" / f"{run.name}.jsonl").read_text().splitlines()]
    assert [point["s"] for point in points if point["k"] == "train/loss"] == list(range(5, 41, 5))
    assert status in (0, 2)
    with tracking_server(tmp_path / "server", port):  # back again: nothing is trained twice, the run gets its points and its model
        outcome = asrx("train", "--data", corpus, "--resume", run.name)
        assert outcome.status == 0, outcome
        from asrx import tracking

        client = tracking.connect()
        steps = [metric.step for metric in client.get_metric_history(run.name, "train/loss")]
        assert sorted(steps) == list(range(5, 41, 5))
        assert client.get_run(run.name).data.tags["asrx.outcome"] == "finished"
