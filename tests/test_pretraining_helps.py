"""A pre-training that gives nothing to fine-tuning: on ten minutes, after steps too few for whole words, the pre-trained model has the lower CER."""

import runpy
from pathlib import Path

import pytest
from conftest import ROOT


@pytest.mark.slow
def test_the_pretrained_model_is_ahead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASRX_HOME", str(tmp_path / "asrx"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    script = runpy.run_path(str(ROOT / "scripts" / "pretraining_helps.py"))
    outcomes = script["run"](script["QUICK"])
    scratch, started = (script["best"](outcomes, start)[0] for start in (script["SCRATCH"], script["PRETRAINED"]))
    assert started.cer < scratch.cer - 0.02
    assert "difference" in script["report"](outcomes)
