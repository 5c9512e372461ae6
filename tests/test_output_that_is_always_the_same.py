"""A model that writes nothing, always the same, or ever less, looks like any other bad WER: it is told what it does and what to change."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import TRAINING

from asrx import tracking
from asrx.error_counts import count_all, pool
from asrx.training.evaluation import Transcribed
from asrx.training.guards import output_warnings

SAID = ["accendi la luce", "apri la porta", "che ore sono", "spegni la radio", "chiudi la finestra"]
SILENT = [""] * len(SAID)


def written(share: float) -> list[str]:
    """Hypotheses of so many characters per character said, all of them different."""
    return [(text * 4)[: round(share * len(text))] for text in SAID]


@pytest.mark.parametrize(("hypotheses", "before", "expected"), [
    (SILENT, [], None),
    (SILENT, [0.0], "empty in 2 evaluations: a CTC model begins with nothing but blanks"),
    (SILENT, [0.0, 0.0, 0.0], "empty in 4 evaluations"),
    (SILENT, [0.0, 0.4], "earlier ones were not: the model has unlearnt to write"),
    (["e"] * 5, [], None),
    (["e"] * 5, [0.1], "100% of the hypotheses are the same text ('e'), whatever was said"),
    (["e", "e", "e", "e", "a"], [0.1], None),
    (written(0.4), [0.1, 0.2], None),  # on its way
    (written(0.4), [0.1, 0.9], "have 0.4"),
    (written(2.0), [0.9, 1.1], "were within 0.5 to 1.5 before"),
    (written(2.0), [3.0], None),  # never was inside
    (written(0.7), [0.9, 0.8], "after 0.80 and 0.90"),
    (written(1.4), [1.1, 1.2], "after 1.20 and 1.10"),
    (written(0.7), [0.8, 0.9], None),
    (written(0.95), [0.99, 0.97], None),  # too little to speak of
    (SAID, [0.2, 0.7], None),
])  # fmt: skip
def test_what_is_odd_is_told_and_nothing_else(hypotheses: list[str], before: list[float], expected: str | None) -> None:
    found = output_warnings(SAID, hypotheses, before)
    assert (not found) if expected is None else (len(found) == 1 and expected in found[0]), found


def test_the_same_answer_to_the_same_question_is_no_news() -> None:
    assert not output_warnings(["sì"] * 5, ["sì"] * 5, [1.0]) and not output_warnings([], [], [1.0]) and not output_warnings(["", ""], ["a", ""], [1.0])


def test_the_ratio_of_lengths_is_a_curve() -> None:
    evaluation = Transcribed(1.0, pool(count_all(SAID, written(0.5))), ["u"] * 5, SAID, written(0.5))
    assert evaluation.metrics["eval_length_ratio"] == pytest.approx(0.5, abs=0.03)


@pytest.fixture
def guarded(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A corrupted recording, and memory for less than a batch."""
    from asrx.training import batching, memory

    whole = batching.TrainingUtterances.__getitem__

    def spoilt(self: Any, item: Any) -> Any:
        sample = whole(self, item)
        return sample._replace(waveform=sample.waveform * np.float32(np.inf)) if item.index == 2 else sample

    monkeypatch.setattr(batching.TrainingUtterances, "__getitem__", spoilt)
    monkeypatch.setenv(memory.SIMULATED, "6")


def test_a_run_shows_what_happened_to_it(corpus: Path, asrx: Callable[..., Any], guarded: None, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Silence, a corrupted recording and too little memory in one training of ten steps: on its page, in its log, with a model at the end."""
    options = [option for option in TRAINING if "eval_steps" not in option and "logging" not in option]
    outcome = asrx("train", "--json", "--data", corpus, "--max-steps", 10, *options, "trainer.eval_steps=4", "trainer.logging_steps=2")
    assert outcome.status == 0, outcome
    client: Any = tracking.connect()
    run = client.get_run(json.loads(outcome.out)["run_id"])
    name = next(csv.DictReader(Path(client.download_artifacts(run.info.run_id, "skipped.csv", str(tmp_path))).open(encoding="utf-8")))["id"]
    told = [record.getMessage() for record in caplog.records if record.getMessage().startswith("step ")]
    for expected in ("Memory ran out in a batch of", f"left out from here on: '{name}'", "Every hypothesis has been empty"):
        assert sum(expected in line for line in told) == 1, (expected, told)
        assert expected in run.data.tags["asrx.warning"] and expected in run.data.tags["mlflow.note.content"]
    assert run.data.tags["mlflow.note.content"].startswith("Best model: ")
    assert run.data.metrics["train/skipped_utterances"] == 1 and run.data.metrics["train/micro_batch_pieces"] == 2
    assert run.data.metrics["eval/length_ratio"] == 0
