"""A pre-training that gives nothing to fine-tuning: on ten minutes, after steps too few for whole words, the pre-trained model has the lower CER."""

import runpy

import pytest
from conftest import ROOT
from experiments import Experiments


@pytest.mark.slow
def test_the_pretrained_model_is_ahead(in_background: Experiments) -> None:
    script = runpy.run_path(str(ROOT / "scripts" / "pretraining_helps.py"))
    outcomes = [script["Outcome"](**figures) for figures in in_background.pretraining.result()]
    scratch, started = (script["best"](outcomes, start)[0] for start in (script["SCRATCH"], script["PRETRAINED"]))
    assert started.cer < scratch.cer - 0.02
    assert "difference" in script["report"](outcomes)
