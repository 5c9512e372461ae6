"""A WER above 100 % that nobody is told the reason of, or is told at every evaluation."""

import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from asrx import tracking
from asrx.error_counts import count_all, pool
from asrx.training.batching import BatchPlan
from asrx.training.callbacks import Recorder
from asrx.training.evaluation import Evaluator, Transcribed

REFERENCES = ["accendi la luce", "apri la porta", "che ore sono"]


def transcribed(hypotheses: list[str]) -> Transcribed:
    ids = [f"u{index}" for index in range(len(REFERENCES))]
    return Transcribed(1.0, pool(count_all(REFERENCES, hypotheses)), ids, REFERENCES, hypotheses)


def evaluate(run: tracking.Run, evaluations: list[list[str]]) -> None:
    """A recorder's part in a training with these evaluations, one every ten steps."""
    recorder = Recorder(run, BatchPlan([], [0]), [], 1, 0, Evaluator.ranking)
    for number, hypotheses in enumerate(evaluations, 1):
        recorder.trainer = SimpleNamespace(last_evaluation=transcribed(hypotheses), save_weights=lambda folder: None)
        state, control = SimpleNamespace(global_step=10 * number), SimpleNamespace(should_training_stop=False)
        recorder.on_log(None, state, control, logs=recorder.trainer.last_evaluation.metrics)
        recorder.on_evaluate(SimpleNamespace(output_dir=str(run.folder)), state, control)


def loops(words: int, said: str = "grazie") -> list[str]:
    return [" ".join([said] * words) for _ in REFERENCES]


def test_the_reason_is_said_once_and_stays_on_the_run(home: Path, caplog: pytest.LogCaptureFixture) -> None:
    client: Any = tracking.connect()
    with caplog.at_level(logging.WARNING, "asrx"):
        with tracking.run("train", "loops", client) as run:
            evaluate(run, [loops(9), loops(12, "dov'è"), REFERENCES])
        with tracking.run("train", "loops", client, run.id) as again:  # resumed
            evaluate(again, [loops(10)])
    told = [record.getMessage() for record in caplog.records]
    assert sum("WER is above 100 %" in line for line in told) == 1
    assert sum("repeat themselves ('grazie grazie grazie')" in line for line in told) == 1
    assert all(line.startswith("step 10: ") for line in told if "WER" in line)
    assert client.get_run(run.id).data.tags["asrx.warning"].startswith("step 10: WER is above 100 %")


def test_ordinary_errors_are_no_news(home: Path, caplog: pytest.LogCaptureFixture) -> None:
    client: Any = tracking.connect()
    with caplog.at_level(logging.WARNING, "asrx"), tracking.run("train", "learning", client) as run:
        evaluate(run, [["accendi luce", "", "che che che che"], REFERENCES])
    assert not caplog.records and "asrx.warning" not in client.get_run(run.id).data.tags
