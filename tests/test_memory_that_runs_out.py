"""A batch that does not fit must cost neither the run nor its numbers: it is taken in pieces, from the very same step on."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from step_by_step import SECONDS, labels_of, losses, made_family, steps, train, trainer, weights
from step_by_step import assert_same as assert_same_weights

from asrx.config import resolve
from asrx.errors import ConfigError, ModelError
from asrx.training import arguments, memory

LIMIT = 2.75  # padded s: the second micro-batch of the first step has 3, its larger half 2


@pytest.fixture
def limited(monkeypatch: pytest.MonkeyPatch) -> Any:
    return lambda seconds: monkeypatch.setenv(memory.SIMULATED, str(seconds))


@pytest.mark.parametrize("kind", ["ctc", "whisper", "pretraining"])
def test_pieces_together_are_the_batch(kind: str) -> None:
    family = made_family(kind, overrides=["feature_extractor.return_attention_mask=true"] if kind == "pretraining" else ())
    family.model.eval()
    random = np.random.default_rng(0)
    waveforms = [random.standard_normal(int(16_000 * seconds)).astype(np.float32) for seconds in SECONDS]
    batch = family.collate(waveforms, labels_of(family), [(0, 0, index) for index in range(len(SECONDS))])
    pieces = [family.select(batch, rows) for rows in ([0, 4], [5, 1, 3], [2])]
    with torch.no_grad():
        loss, *parts = (family.model(**piece) for piece in (batch, *pieces))
    weight = [family.weight(piece) for piece in pieces]
    assert sum(weight) == family.weight(batch)
    if kind == "pretraining":  # what depends on the frames of the whole batch, the diversity, is no sum
        assert sum(float(part.contrastive_loss) for part in parts) == pytest.approx(float(loss.contrastive_loss), rel=1e-3)
        return
    together = sum(float(family.loss(part, piece)) * each for part, piece, each in zip(parts, pieces, weight)) / sum(weight)
    assert together == pytest.approx(float(family.loss(loss, batch)), rel=1e-4)


@pytest.mark.parametrize("kind", ["ctc", "whisper"])
def test_a_divided_run_learns_the_same(kind: str, tmp_path: Path, limited: Any) -> None:
    whole, _ = train(tmp_path / "whole", kind)
    limited(LIMIT)
    divided, said = train(tmp_path / "divided", kind)
    (step, sentence), = said.sentences
    assert step == 1 and "Memory ran out in a batch of 3 utterances, 3.0 s" in sentence and "in 2 pieces" in sentence
    assert divided.state.global_step == whole.state.global_step == 6
    assert json.loads((tmp_path / "divided" / "incidents.json").read_text())["divided"] == [[0, 2]]
    assert [entry["train_micro_batch_pieces"] for entry in divided.state.log_history if "loss" in entry] == [2] * 6
    assert steps(divided) == pytest.approx(steps(whole), rel=1e-3)


def test_memory_that_shrinks_in_a_step_does_not_count_it_twice(tmp_path: Path, limited: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first micro-batch of the third step has its gradients already when the second one fails."""
    whole, _ = train(tmp_path / "whole")
    made, said = trainer(tmp_path / "divided")
    simulate = memory.simulate
    monkeypatch.setattr(memory, "simulate", lambda seconds: simulate(seconds) if made.state.global_step != 2 else _shrunk(seconds))

    def _shrunk(seconds: float) -> None:
        if seconds > LIMIT:
            raise torch.OutOfMemoryError("no room")

    made.train()
    assert [step for step, _ in said.sentences] == [3]
    assert steps(made) == pytest.approx(steps(whole), rel=1e-3)


def test_a_resumed_run_is_divided_from_the_same_step_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With dropout, whose random numbers pieces draw differently; killed right after, and resumed where memory suffices."""

    def from_step_three(made: Any) -> None:
        def simulate(seconds: float) -> None:
            if made.state.global_step >= 3 and seconds > LIMIT:
                raise torch.OutOfMemoryError("no room")

        monkeypatch.setattr(memory, "simulate", simulate)

    uninterrupted, _ = trainer(tmp_path / "uninterrupted", still=False)
    from_step_three(uninterrupted)
    uninterrupted.train()
    killed, _ = trainer(tmp_path / "killed", still=False, end_at=5, save_steps=2)
    from_step_three(killed)
    killed.train()
    monkeypatch.undo()
    for later in (tmp_path / "killed" / "checkpoints").glob("checkpoint-[45]"):
        (later / "complete").unlink()
    resumed, said = train(tmp_path / "killed", still=False)
    assert not said.sentences and losses(resumed)[-3:] == losses(uninterrupted)[-3:]
    assert_same_weights(weights(resumed), weights(uninterrupted))


def test_a_single_utterance_that_does_not_fit_is_named(tmp_path: Path, limited: Any) -> None:
    limited(0.9)
    with pytest.raises(ModelError, match="one utterance alone, u5 of 1.0 s: prepare the corpus with a lower data.max_seconds"):
        train(tmp_path)


def test_pieces_become_smaller_until_they_fit(tmp_path: Path, limited: Any) -> None:
    limited(1.1)
    made, said = train(tmp_path, batches=([0, 1, 2, 3, 4, 5],), accumulation=1, epochs=2)
    assert [re.search(r"in (\d) pieces", sentence)[1] for _, sentence in said.sentences] == ["2", "4", "8"]
    assert made.state.global_step == 2


def test_an_evaluation_that_does_not_fit_goes_on_in_halves() -> None:
    calls = []

    def evaluate(rows: Any) -> int:
        calls.append(list(rows))
        if len(rows) > 2:
            raise torch.OutOfMemoryError("no room")
        return sum(rows)

    assert memory.in_halves(evaluate, [1, 2, 3, 4, 5]) == [([1, 2], 3), ([3], 3), ([4, 5], 9)]
    with pytest.raises(torch.OutOfMemoryError):
        memory.in_halves(lambda rows: evaluate([0, 0, 0]), [1])


def test_other_errors_are_not_taken_for_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made, _ = trainer(tmp_path)

    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("shapes do not match")

    monkeypatch.setattr(made, "compute_loss", fail)
    with pytest.raises(RuntimeError, match="shapes do not match"):
        made.train()


@pytest.mark.parametrize("kind", ["ctc", "whisper", "pretraining"])
def test_recomputed_activations_give_the_same_gradients(kind: str, tmp_path: Path) -> None:
    plain, _ = train(tmp_path / "plain", kind, epochs=1, still=kind != "ctc")
    recomputed, _ = train(tmp_path / "recomputed", kind, epochs=1, still=kind != "ctc", gradient_checkpointing=True)
    assert recomputed.model.is_gradient_checkpointing
    assert steps(recomputed) == pytest.approx(steps(plain), rel=1e-5)


def test_an_optimizer_of_bytes_trains_and_resumes(tmp_path: Path) -> None:
    pytest.importorskip("bitsandbytes")
    options = {"optim": "adamw_bnb_8bit", "overrides": ["model.hidden_size=64", "model.intermediate_size=96"]}  # 4,096 weights or more are kept in bytes
    whole, _ = train(tmp_path / "whole", **options)
    state = [value for values in whole.optimizer.state.values() for value in values.values() if isinstance(value, torch.Tensor)]
    assert any(value.dtype == torch.uint8 for value in state) and losses(whole)[-1] < losses(whole)[0]
    train(tmp_path / "resumed", **options, end_at=4, save_steps=2)
    resumed, _ = train(tmp_path / "resumed", **options)
    assert_same_weights(weights(resumed), weights(whole))


def test_an_optimizer_that_is_not_installed_is_refused_before_anything_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers import trainer_optimizer

    monkeypatch.setattr(trainer_optimizer, "is_bitsandbytes_available", lambda: False)
    with pytest.raises(ConfigError, match="trainer.optim=adamw_bnb_8bit: You need to install `bitsandbytes`"):
        arguments.check(resolve(overrides=["trainer.optim=adamw_bnb_8bit"]))


def test_options_for_less_memory_are_taken_without_a_word(recwarn: pytest.WarningsRecorder) -> None:
    options = resolve(overrides=["trainer.gradient_checkpointing=true"])
    arguments.check(options)
    assert arguments.training_arguments(options, 10, Path("unused")).activation_checkpointing
    assert not [warning for warning in recwarn if "checkpointing" in str(warning.message)]
