"""A recording that makes a loss infinite must not reach the weights: it is named and left out, and the third such time ends the training."""

import csv
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from step_by_step import BATCHES, Item, assert_same, losses, steps, train, trainer, weights

from asrx.errors import InputError, ModelError
from asrx.training import memory
from asrx.training.checkpoints import last_checkpoint

Spoil = Callable[[Item, np.ndarray], np.ndarray]


def spoiling(*indices: int, epoch: int = 0) -> Spoil:
    """From an epoch on these utterances are not finite."""
    return lambda item, waveform: waveform * np.float32(np.inf) if item.index in indices and item.epoch >= epoch else waveform


def assert_finite(made: Any) -> None:
    assert all(torch.isfinite(value).all() for value in weights(made).values())
    assert all(torch.isfinite(value).all() for state in made.optimizer.state.values() for value in state.values())


def incidents(folder: Path) -> list[dict[str, Any]]:
    return json.loads((folder / "incidents.json").read_text())["left_out"]


def test_the_culprit_is_left_out_and_the_others_count_as_if_it_had_never_been(tmp_path: Path) -> None:
    made, said = train(tmp_path / "spoilt", spoil=spoiling(3))
    without = [[index for index in batch if index != 3] for batch in BATCHES]
    clean, _ = train(tmp_path / "clean", batches=without)
    assert steps(made) == pytest.approx(steps(clean), rel=1e-4)
    assert said.sentences == [(1, "Loss or gradient not finite; left out from here on: 'u3'.")]
    assert [row["train_skipped_utterances"] for row in made.state.log_history if "loss" in row] == [1] * 6
    assert list(csv.DictReader(said.tables["skipped.csv"].splitlines())) == [
        {"step": "1", "id": "u3", "reason": "loss or gradient not finite", "left out": "from here on"}
    ]
    assert_finite(made)


def test_a_resumed_run_leaves_out_the_same_at_the_same_step(tmp_path: Path) -> None:
    """u4 is sound in the first epoch; the run is killed after it was left out, and resumed from before, with dropout."""
    spoilt = {"spoil": spoiling(4, epoch=1), "still": False}
    uninterrupted, _ = train(tmp_path / "uninterrupted", **spoilt)
    train(tmp_path / "killed", **spoilt, end_at=5, save_steps=2)
    for later in (tmp_path / "killed" / "checkpoints").glob("checkpoint-[45]"):
        (later / "complete").unlink()
    resumed, said = train(tmp_path / "killed", **spoilt)
    assert not said.sentences and losses(resumed)[-4:] == losses(uninterrupted)[-4:]
    assert [entry["step"] for entry in incidents(tmp_path / "killed")] == [2]
    assert_same(weights(resumed), weights(uninterrupted))


def test_the_third_time_ends_the_training_with_its_last_good_state(tmp_path: Path) -> None:
    """One in each of the first two epochs, the third in the last: the run goes on from there, without them or with what was mended."""
    def spoil(item: Item, waveform: np.ndarray) -> np.ndarray:
        return spoiling(*range(item.epoch + 1))(item, waveform)

    with pytest.raises(InputError, match=r"third time, at step 5: look at audio and transcript of u0, u1, u2 \(skipped.csv\); --resume \S+ goes on"):
        train(tmp_path, spoil=spoil)
    checkpoint = last_checkpoint(tmp_path / "checkpoints")
    assert checkpoint.name == "checkpoint-4"
    resumed, said = train(tmp_path, spoil=spoil)
    assert resumed.state.global_step == 6 and not said.sentences
    assert_finite(resumed)


def test_weights_that_run_away_are_not_blamed_on_the_utterances(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made, said = trainer(tmp_path)
    compute = made.compute_loss
    monkeypatch.setattr(made, "compute_loss", lambda *given, **named: compute(*given, **named) * (math.nan if made.state.global_step >= 2 else 1))
    with pytest.raises(ModelError, match="third time, at step 5, whatever the utterances: the weights have run away; start anew with a lower"):
        made.train()
    assert [step for step, _ in said.sentences] == [3, 4, 5] and all("this step is left out" in sentence for _, sentence in said.sentences)
    assert_finite(made)


def test_utterances_are_not_blamed_where_sound_ones_have_become_as_bad(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made, said = trainer(tmp_path, spoil=spoiling(3, epoch=1))
    compute = made.compute_loss
    monkeypatch.setattr(made, "compute_loss", lambda *given, **named: compute(*given, **named) * (1_000 if made.state.global_step >= 2 else 1))
    with pytest.raises(ModelError, match="the weights have run away; start anew with a lower"):
        made.train()
    assert len(said.sentences) == 3 and all("this step is left out" in sentence for _, sentence in said.sentences)


def test_of_two_joined_utterances_the_sound_one_stays(tmp_path: Path) -> None:
    made, _ = trainer(tmp_path, spoil=spoiling(3))
    assert made._blamed(made.model, Item(0, 1, 3)) == made._blamed(made.model, Item(0, 3, 1)) == made._blamed(made.model, Item(0, 3, 3)) == ["u3"]
    assert made._blamed(made.model, Item(0, 1, 2)) == ["u1", "u2"]


def test_a_gradient_that_is_not_finite_leaves_its_step_out(tmp_path: Path) -> None:
    def run(folder: Path, **options: Any) -> tuple[Any, Any]:
        made, said = trainer(folder, still=False, **options)
        seen = []

        def overflow(gradient: torch.Tensor) -> torch.Tensor:
            bad = made.state.global_step == 3 and made.model.training
            seen.append((made.state.global_step, made.model.lm_head.weight.detach().clone()))
            return gradient * math.inf if bad else gradient

        made.model.lm_head.weight.register_hook(overflow)
        checkpoint = last_checkpoint(folder / "checkpoints")
        if checkpoint:
            made.load_average(checkpoint)
        made.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
        before = [value for step, value in seen if step == 3]
        after = [value for step, value in seen if step == 4]
        assert not before or torch.equal(before[0], after[0])
        return made, said

    made, said = run(tmp_path / "whole")
    (step, sentence), = said.sentences
    assert step == 4 and "of none alone; this step is left out; it had 'u5, u0, u3, u4, u2, u1'" in sentence
    assert_finite(made)
    run(tmp_path / "killed", end_at=5, save_steps=2)
    for later in (tmp_path / "killed" / "checkpoints").glob("checkpoint-[45]"):
        (later / "complete").unlink()
    resumed, said = run(tmp_path / "killed")
    assert not said.sentences
    assert_same(weights(resumed), weights(made))


def test_memory_and_a_culprit_in_one_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(memory.SIMULATED, "2.75")
    made, said = train(tmp_path, spoil=spoiling(3))
    assert ["pieces" in sentence for _, sentence in said.sentences] == [True, False]
    assert made.state.global_step == 6
    assert_finite(made)


def test_half_precision_overflows_on_purpose(tmp_path: Path) -> None:
    """GradScaler finds a scale by overflowing and leaves those steps out by itself; a loss that is not finite is another matter."""
    made, said = trainer(tmp_path, spoil=spoiling(4, epoch=2))
    made.accelerator.scaler = torch.amp.GradScaler("cpu", init_scale=3e38)
    made.train()
    assert [step for step, _ in said.sentences] == [5] and "'u4'" in said.sentences[0][1]
    assert made.accelerator.scaler.get_scale() < 3e38
    assert_finite(made)


def test_half_precision_survives_a_step_without_utterances(tmp_path: Path) -> None:
    made, said = trainer(tmp_path, spoil=spoiling(1), batches=([0], [1]), accumulation=1, epochs=2)
    made.accelerator.scaler = torch.amp.GradScaler("cpu")
    made.train()
    assert made.state.global_step == 4 and [step for step, _ in said.sentences] == [2]
    assert_finite(made)


def test_running_statistics_forget_a_failed_attempt() -> None:
    model = torch.nn.Sequential(torch.nn.BatchNorm1d(4))
    beginning = memory.Beginning(model)
    first = torch.rand(3)
    model(torch.full((3, 4), math.nan))
    beginning.restore()
    assert torch.equal(torch.rand(3), first)
    assert torch.equal(model[0].running_mean, torch.zeros(4)) and model[0].num_batches_tracked == 0
