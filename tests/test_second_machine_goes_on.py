"""With the tracking URI alone another machine goes on with a training, to the same weights and one curve."""

import json
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from conftest import TRAINING, Outcome, free_port, start_cli, tracking_server, wait_for

from asrx import tracking
from asrx.errors import InputError
from asrx.training import checkpoints, request, resume, store
from asrx.training.callbacks import Interruption

STEPS = 120  # some seconds, in which a checkpoint arrives
OPTIONS = ("--max-steps", STEPS, *TRAINING, "checkpoint.store=artifacts", "checkpoint.average=0.9", "augment.speed=0.1")


def weights(run: Path) -> dict[str, bytes]:
    files = (run / "best" / "model.safetensors", run / "checkpoints" / f"checkpoint-{STEPS}" / "model.safetensors")
    return {path.parent.name: path.read_bytes() for path in files}


def times(client: Any, run_id: str) -> dict[tuple[str, int], int]:
    """How often the server has each (key, step)."""
    counts: dict[tuple[str, int], int] = {}
    for key in client.get_run(run_id).data.metrics:
        for point in client.get_metric_history(run_id, key):
            counts[key, point.step] = counts.get((key, point.step), 0) + 1
    return counts


@pytest.mark.slow
def test_a_training_goes_on_where_another_machine_was_lost(
    asrx: Callable[..., Outcome], corpus: Path, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = request.train(str(corpus), None, {"trainer.max_steps": str(STEPS)}, list(OPTIONS[2:]), None)
    port = free_port()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
    with tracking_server(tmp_path / "server", port):
        monkeypatch.setenv("ASRX_HOME", str(tmp_path / "first"))
        training = start_cli("train", "--data", corpus, *OPTIONS, log=tmp_path / "log")
        try:
            wait_for(lambda: training.poll() is not None or list((tmp_path / "server").rglob("checkpoint-*/complete")), 150, "an uploaded checkpoint")
            assert training.poll() is None, (tmp_path / "log").read_text()[-3000:]
            training.send_signal(signal.SIGKILL)
        finally:
            training.kill()
            training.wait()
        (run,) = (tmp_path / "first" / "runs").iterdir()
        monkeypatch.setenv("ASRX_HOME", str(tmp_path / "second"))
        monkeypatch.setattr(resume, "SILENCE", 0.5)
        ended = asrx("train", "--json", "--data", corpus, "--resume", "auto", *OPTIONS)
        assert ended.status == 0 and json.loads(ended.out)["run_id"] == run.name, ended
        assert f" 0/{STEPS} " not in ended.err
        client = tracking.connect()
        counts = times(client, run.name)
        assert [count for count in counts.values() if count != 1] == []
        assert sorted(step for key, step in counts if key == "train/loss") == list(range(5, STEPS + 1, 5))
        assert sorted(step for key, step in counts if key == "eval/wer") == list(range(10, STEPS + 1, 10))
        kept = [Path(item.path).name for item in client.list_artifacts(run.name, "checkpoints")]
        assert f"checkpoint-{STEPS}" in kept and len([name for name in kept if name.startswith("checkpoint-")]) == 2
        assert weights(tmp_path / "second" / "runs" / run.name) == weights(Path(whole.folder).parent)

        monkeypatch.setenv("ASRX_HOME", str(tmp_path / "first"))  # comes back with what it had not delivered
        told = asrx("sync", "--json", "--run", run.name)
        assert told.status == 0, told
        assert [count for count in times(client, run.name).values() if count != 1] == []
        assert client.get_run(run.name).data.tags["asrx.outcome"] == "finished"


def test_a_pretraining_goes_on_in_another_home(corpus: Path, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    overrides = ["trainer.eval_steps=4", "trainer.logging_steps=2", "batch.seconds=4", "data.eval_utterances=4", "data.max_seconds=2",
                 "checkpoint.store=artifacts"]  # fmt: skip
    asked = (str(corpus), None, {"trainer.max_steps": "8"}, overrides)
    with monkeypatch.context() as patch:
        patch.setenv("ASRX_HOME", str(tmp_path / "first"))
        patch.setattr(Interruption, "on_step_end", _over_after_five)
        first = request.pretrain(*asked, None, minutes=1_000)
    run = tracking.connect().get_run(first.run_id)
    assert (run.data.tags["asrx.outcome"], run.info.status) == ("paused", "SCHEDULED")
    monkeypatch.setenv("ASRX_HOME", str(tmp_path / "second"))
    second = request.pretrain(None, None, {}, [], first.run_id)
    assert (first.steps, second.steps, second.run_id) == (5, 8, first.run_id)
    assert str(tmp_path / "second") in second.folder
    assert set(times(tracking.connect(), first.run_id).values()) == {1}
    monkeypatch.setenv("ASRX_HOME", str(tmp_path / "third"))
    third = request.pretrain(*asked, first.run_id)
    assert third.reused and (Path(third.folder) / "model.safetensors").read_bytes() == (Path(second.folder) / "model.safetensors").read_bytes()


def _over_after_five(self: Interruption, args: Any, state: Any, control: Any, **_: Any) -> None:
    self.time_is_up = state.global_step % 5 == 0
    control.should_save = control.should_training_stop = self.time_is_up


def test_a_run_without_stored_checkpoints_says_how_it_could_have_had_some(trained: Any, corpus: Path, home: Path, tmp_path: Path, monkeypatch, asrx) -> None:
    client = tracking.connect()
    client.set_tag(trained.run_id, tracking.OUTCOME, "interrupted")
    monkeypatch.setenv("ASRX_HOME", str(tmp_path))
    try:
        refused = asrx("train", "--resume", trained.run_id)
    finally:
        client.set_tag(trained.run_id, tracking.OUTCOME, "finished")
    assert refused.status == 2 and len(refused.complaint) == 1 and "checkpoint.store=artifacts" in refused.complaint[0], refused


def test_a_run_that_another_machine_trains_is_not_touched(kept: tuple[Any, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    client, run_id = kept
    put(client, run_id, tmp_path / "there", 10)
    client.set_tag(run_id, tracking.OUTCOME, "running")
    monkeypatch.setenv("ASRX_HOME", str(tmp_path / "here"))
    with monkeypatch.context() as patch:
        patch.setattr(resume, "time", SimpleNamespace(sleep=lambda _: client.log_metric(run_id, resume.SIGN_OF_LIFE, 50.0, step=10)))
        with pytest.raises(InputError, match="is being trained on another machine"):
            resume.bring_checkpoint(client, run_id)
    monkeypatch.setattr(resume, "SILENCE", 0.1)
    assert checkpoints.last_checkpoint(resume.bring_checkpoint(client, run_id) / "checkpoints").name == "checkpoint-10"


def test_a_corpus_that_is_only_on_the_other_machine_is_asked_for(trained: Any, home: Path, tmp_path: Path) -> None:
    client = tracking.connect()
    there = client.get_run(trained.run_id).data.tags["asrx.corpus"]
    client.set_tag(trained.run_id, "asrx.corpus", "/there/alone")
    try:
        with pytest.raises(InputError, match="/there/alone, which is not on this machine: name the same corpus here with --data"):
            request.train(None, None, {}, [], trained.run_id)
        assert request.train(there, None, {}, [], trained.run_id).reused
    finally:
        client.set_tag(trained.run_id, "asrx.corpus", there)


@pytest.fixture
def kept(home: Path) -> tuple[Any, str]:
    """A client, and a run that checkpoints can be put into."""
    client = tracking.connect()
    return client, client.create_run(tracking.experiment_id(client)).info.run_id


def checkpoint(folder: Path, step: int, content: str = "weights") -> Path:
    """A run's folder with a checkpoint, a log and a best model."""
    made = folder / "checkpoints" / f"checkpoint-{step}"
    made.mkdir(parents=True)
    (made / "model.safetensors").write_text(f"{content} {step}")
    checkpoints.mark_complete(made)
    (folder / "log.json").write_text(f"[{step}]")
    (folder / "best").mkdir(exist_ok=True)
    (folder / "best" / "best.json").write_text("{}")
    return made


def put(client: Any, run_id: str, folder: Path, *steps: int) -> Path:
    """Checkpoints into the artifacts; where these lie."""
    for step in steps:
        store.upload(client, run_id, store.snapshot(folder, checkpoint(folder, step)))
    return Path(client.get_run(run_id).info.artifact_uri.removeprefix("file://")) / "checkpoints"


def test_a_checkpoint_that_is_half_uploaded_or_damaged_gives_way_to_the_one_before(kept: tuple[Any, str], tmp_path: Path) -> None:
    client, run_id = kept
    there = put(client, run_id, tmp_path / "one", 10, 20, 30)
    (there / "checkpoint-30" / "complete").unlink()
    (there / "checkpoint-20" / "model.safetensors").write_text("we")
    other = tmp_path / run_id
    assert store.fetch(client, run_id, other, -1)
    assert checkpoints.last_checkpoint(other / "checkpoints").name == "checkpoint-10"
    assert (other / "log.json").read_text() == "[10]" and (other / "best" / "best.json").exists()
    assert sorted(path.name for path in other.iterdir()) == ["best", "checkpoints", "log.json"]
    assert not store.fetch(client, run_id, other, 10)  # what is here is as new


def test_the_last_two_are_kept_with_what_belongs_to_them(kept: tuple[Any, str], tmp_path: Path) -> None:
    client, run_id = kept
    folder = tmp_path / "one"
    there = put(client, run_id, folder, 10)
    (folder / "best" / "best.json").rename(folder / "best" / "second.json")
    put(client, run_id, folder, 20)
    (folder / "best" / "second.json").unlink()
    put(client, run_id, folder, 30)
    store.delete_old(client, run_id)
    names = sorted(path.name for path in there.iterdir())
    assert [name for name in names if not name.startswith("model-best")] == ["checkpoint-20", "checkpoint-30", "state-20", "state-30"]
    assert len(names) == 6 and store.fetch(client, run_id, tmp_path / "two", 0)


def test_a_checkpoint_that_lost_its_end_is_no_checkpoint(tmp_path: Path) -> None:
    first, second = checkpoint(tmp_path, 10), checkpoint(tmp_path, 20)
    half = tmp_path / "checkpoints" / "checkpoint-30"  # as a process leaves it that dies while it saves
    half.mkdir()
    (half / "model.safetensors").write_bytes(b"half")
    assert checkpoints.last_checkpoint(tmp_path / "checkpoints") == second
    os.truncate(second / "model.safetensors", 3)
    assert checkpoints.last_checkpoint(tmp_path / "checkpoints") == first
    checkpoints.remove_half_written(tmp_path / "checkpoints")
    assert first.exists() and not second.exists() and not half.exists()


class SlowStore:
    """Takes nothing until it is let; remembers what came, in order."""

    def __init__(self) -> None:
        self.came: list[str] = []
        self.open = threading.Event()

    def list_artifacts(self, run_id: str, folder: str) -> list[Any]:
        inside = {name.removeprefix(f"{folder}/").partition("/")[0] for name in self.came if name.startswith(f"{folder}/")}
        return [SimpleNamespace(path=f"{folder}/{name}") for name in inside]

    def log_artifact(self, run_id: str, path: str, folder: str) -> None:
        self.open.wait()
        self.came.append(f"{folder}/{Path(path).name}")


def test_a_slow_store_delays_no_step_and_gets_the_newest(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from asrx.training import uploads

    monkeypatch.setattr(uploads, "PERIOD", 0.01)
    monkeypatch.setattr(store, "delete_old", lambda *_: None)
    slow = SlowStore()
    run = SimpleNamespace(folder=tmp_path, id="run", client=slow, so_far=lambda: lambda: True)
    uploading, arguments = uploads.Uploads(run), SimpleNamespace(output_dir=str(tmp_path / "checkpoints"))
    uploading.on_train_begin(arguments, None, None)
    for step in (10, 20, 30):
        checkpoint(tmp_path, step)
        uploading.on_save(arguments, SimpleNamespace(global_step=step), None)
        if step == 10:
            wait_for(lambda: uploading._busy, 10, "the first upload")
    assert slow.came == []  # and yet all three steps are done
    slow.open.set()
    uploading.on_train_end(arguments, None, None)
    marks = [name for name in slow.came if name.endswith("/complete")]
    assert [name.split("/")[1] for name in marks if "/checkpoint-" in name] == ["checkpoint-10", "checkpoint-30"]
    assert slow.came[-1] == "checkpoints/checkpoint-30/complete" and not list((tmp_path / "uploads").iterdir())
