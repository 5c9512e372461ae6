"""Pruning frees what nobody needs, and nothing that a version or a decision refers to."""

import json
import os
import time
from pathlib import Path
from typing import Any

import contests
import numpy as np
import pytest
import sounds


@pytest.fixture
def client(home: Path, tmp_path: Path, monkeypatch) -> Any:
    from asrx import tracking

    monkeypatch.setenv("ASRX_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("ASRX_DB", f"sqlite:///{tmp_path}/asrx.db")
    return tracking.connect()


@pytest.fixture
def run(client: Any, asrx) -> Any:
    """Makes a training with a checkpoint, a best model and an outcome that ended so many days ago."""
    from asrx import tracking

    def make(outcome: str = "finished", days: float = 40, uploaded: bool = False) -> str:
        with tracking.run("train", "a training", client) as run:
            for part in ("checkpoints/checkpoint-7", "best"):
                (run.folder / part).mkdir(parents=True)
                (run.folder / part / "model.safetensors").write_bytes(bytes(1_000))
                if uploaded:
                    run.artifact(run.folder / part / "model.safetensors", part)
            run.outcome = outcome
        client.set_terminated(run.id, end_time=int(1_000 * (time.time() - days * 86_400)))
        return run.id

    return make


def left(run_id: str) -> set[str]:
    from asrx import tracking

    folder = tracking.home() / "runs" / run_id
    return {path.name for path in folder.iterdir() if not path.name.startswith(".")} if folder.exists() else set()


def pruned(asrx, *arguments: object) -> dict[str, str]:
    done = asrx("prune", "--json", *arguments)
    assert done.status == 0, done
    return {item["run_id"]: item["what"] for item in json.loads(done.out)["pruned"]}


def test_old_checkpoints_and_failed_trainings_go_and_models_stay(run, asrx, client) -> None:
    finished, failed, paused, recent = run(), run("failed"), run("paused"), run(days=3)
    expected = {finished: "checkpoints", failed: "run", paused: "checkpoints"}
    assert pruned(asrx, "--dry-run") == expected
    assert all(left(run_id) == {"checkpoints", "best"} for run_id in (finished, failed, paused, recent))
    shown = asrx("prune", "--dry-run").out
    assert failed in shown and "2 kB" in shown and "4 kB would be freed" in shown
    assert pruned(asrx) == expected
    assert [left(run_id) for run_id in (finished, failed, paused, recent)] == [{"best"}, set(), {"best"}, {"checkpoints", "best"}]
    assert client.get_run(failed).info.lifecycle_stage == "deleted"
    assert client.get_run(paused).info.lifecycle_stage == "active"
    assert pruned(asrx, "--days", 1) == {recent: "checkpoints"} and pruned(asrx, "--days", 1) == {}


def test_caches_that_nobody_opened_go_and_the_next_training_makes_them_again(asrx, client, tmp_path: Path, monkeypatch) -> None:
    from asrx.registry import prune
    from asrx.training.sounds import opened

    sounds.write(tmp_path / "noise" / "hum.wav")
    kept = opened("augment.noise", str(tmp_path / "noise")).folder
    old = time.time() - 40 * 86_400
    os.utime(kept, (old, old))
    assert opened("augment.noise", str(tmp_path / "noise")).folder == kept and pruned(asrx, "--days", 0) == {}
    os.utime(kept, (old, old))
    assert pruned(asrx, "--days", 41) == {} and pruned(asrx, "--dry-run") == {"": "sounds"}
    assert str(40) in asrx("prune", "--dry-run").out and kept.is_dir()
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("shutil.rmtree", lambda folder: (_ for _ in ()).throw(KeyboardInterrupt))
        prune.prune(30)
    assert not kept.exists() and pruned(asrx) == {}  # cut off: none is there, rather than half of one
    opened("augment.noise", str(tmp_path / "noise"))
    os.utime(kept, (old, old))
    assert pruned(asrx) == {"": "sounds"} and not kept.exists()
    drawn = opened("augment.noise", str(tmp_path / "noise")).draw(np.random.default_rng(0))
    assert len(drawn) == 24_000


def test_checkpoints_in_the_artifacts_go_and_the_model_stays(run, asrx, client) -> None:
    run_id = run(uploaded=True)
    assert "2 kB would be freed" in asrx("prune", "--dry-run").out
    assert pruned(asrx) == {run_id: "checkpoints"} and pruned(asrx) == {}
    assert [item.path for item in client.list_artifacts(run_id)] == ["best"]


def test_what_a_version_or_a_decision_refers_to_stays(run, asrx, client, tmp_path: Path) -> None:
    from asrx.ledger import Ledger
    from asrx.registry.decision import Decision

    source, judged, registered, parent = run(), run("failed"), run("failed"), run("failed")
    name = f"kept{tmp_path.name}"
    contests.register(name, tmp_path, 1, champion=1)
    client.create_model_version(name, str(tmp_path), run_id=registered)
    client.set_model_version_tag(name, "1", "asrx.run_id", source)
    client.set_tag(registered, "mlflow.parentRunId", parent)
    decision = Decision("keep", "a reason", name, "compare", "1", None, "1", "1", None, run_id=judged)
    assert Ledger.open().append(decision.row(1))
    assert pruned(asrx) == {}
    client.delete_registered_model(name)
    assert set(pruned(asrx)) == {source, registered, parent}


def test_runs_at_work_unheard_and_unknown_ones_stay(run, asrx, client) -> None:
    from asrx import tracking
    from asrx.delivery import Unsaid
    from asrx.files import held

    at_work, unheard = run("failed"), run("failed")
    long_ago = int(1_000 * (time.time() - 40 * 86_400))
    killed = client.create_run("0", start_time=long_ago, tags={tracking.KIND: "train", tracking.OUTCOME: "running"}).info.run_id
    (tracking.home() / "runs" / killed / "checkpoints" / "checkpoint-7").mkdir(parents=True)  # written a moment ago
    unknown = tracking.home() / "runs" / ("0" * 32) / "checkpoints"
    unknown.mkdir(parents=True)
    Unsaid(artifacts=["table.csv"]).keep(unheard)
    with held(tracking.home() / "runs" / at_work) as free:
        assert free
        assert pruned(asrx) == {}, (at_work, unheard)
    assert unknown.exists() and left(killed) == {"checkpoints"} and left(unheard) == {"checkpoints", "best"}
