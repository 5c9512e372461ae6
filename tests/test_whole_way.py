"""The demo: from recordings to a promoted model in one command, and nothing twice."""

from pathlib import Path

import mlflow
import pytest
from conftest import TRAINING

from asrx import demo, workspace
from asrx.training import session

pytestmark = pytest.mark.slow


def recipe(folder: Path, name: str, *assignments: str) -> str:
    path = folder / f"{name}.yaml"
    sections: dict[str, list[str]] = {}
    for assignment in assignments:
        key, _, value = assignment.partition("=")
        section, _, key = key.partition(".")
        sections.setdefault(section, []).append(f"  {key}: {value}\n")
    path.write_text("".join(f"{section}:\n{''.join(lines)}" for section, lines in sections.items()))
    return str(path)


def test_the_second_demo_continues_from_what_is_there(home, recordings, tmp_path, monkeypatch):
    monkeypatch.setenv("ASRX_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.setattr(workspace, "builtin_source", lambda language="en": recordings)
    # The baseline hears nothing (WER 1), the candidate, at a high learning rate, garbage or nothing: a tie or worse is what must come out.
    monkeypatch.setattr(demo, "BASELINE_RECIPE", recipe(tmp_path, "baseline", "trainer.max_steps=12", "data.fraction=0.5", *TRAINING))
    monkeypatch.setattr(demo, "CANDIDATE_RECIPE", recipe(tmp_path, "candidate", "trainer.max_steps=14", *TRAINING))
    first = demo.run("whole-way")
    client = mlflow.MlflowClient()
    known = client.get_registered_model("whole-way").aliases
    assert (str(known["baseline"]), str(known["candidate"])) == ("1", "2")
    assert first.decision.outcome in ("keep", "inconclusive")
    assert first.decision.clusters == 6
    assert 'load_model("models:/whole-way@baseline")' in first.text()  # there is no champion to load

    monkeypatch.setattr(session, "optimize", lambda *_: pytest.fail("trained again"))
    second = demo.run("whole-way")
    assert (second.baseline.run_id, second.candidate.run_id) == (first.baseline.run_id, first.candidate.run_id)
    assert second.baseline.reused and second.candidate.reused
    assert len(client.search_model_versions("name = 'whole-way'")) == 2
