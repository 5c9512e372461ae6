"""Steps before the first step: weights, buffers, gradients and random numbers are afterwards what they were, and so is the training."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import TRAINING, Outcome
from safetensors.torch import load_file

from asrx.config import resolve
from asrx.corpus.shards import PreparedCorpus
from asrx.findings import OK, WARNING
from asrx.training import preflight, probe, resources
from asrx.training.material import load_material

DROPPING = ("model.hidden_dropout=0.3", "model.apply_spec_augment=true", "model.mask_time_prob=0.3", "model.mask_time_length=4", "model.layerdrop=0.1")


@pytest.fixture
def loaded(corpus: Path) -> Callable[..., tuple[Any, Any, Any]]:
    """Options, model and material."""

    def load(*overrides: str) -> tuple[Any, Any, Any]:
        options = resolve(overrides=[*TRAINING, "trainer.max_steps=20", *overrides])
        return options, *load_material(PreparedCorpus.open(corpus), options)

    return load


@pytest.mark.parametrize("architecture", ["wav2vec2", "wav2vec2-bert", "whisper"])
def test_nothing_is_different_after_the_probe(architecture: str, loaded: Any) -> None:
    dropping = DROPPING if architecture == "wav2vec2" else ("model.max_source_positions=400",) if architecture == "whisper" else ("model.layerdrop=0.1",)
    options, family, material = loaded(f"model.architecture={architecture}", *dropping)
    family.writes = True  # so that it transcribes, too
    family.model.train()
    before = {name: value.clone() for name, value in family.model.state_dict().items()}
    states = random.getstate(), np.random.get_state()[1].copy(), torch.get_rng_state().clone()
    checked = preflight.of_training(options, family, material)
    assert {"baseline WER", "memory", "time"} <= {item.check for item in checked.findings} and not checked.refused
    assert all(torch.equal(value, before[name]) for name, value in family.model.state_dict().items())
    assert all(parameter.grad is None for parameter in family.model.parameters()) and all(module.training for module in family.model.modules())
    now = random.getstate(), np.random.get_state()[1], torch.get_rng_state()
    assert now[0] == states[0] and (now[1] == states[1]).all() and torch.equal(now[2], states[2])


def test_a_training_comes_to_the_same_weights_with_and_without(corpus: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from asrx.training import request

    options = [*TRAINING, *DROPPING, "trainer.per_device_train_batch_size=4", "trainer.gradient_accumulation_steps=4"]
    ended = []
    for find in (preflight.of_training, lambda *_: preflight.Preflight(())):
        monkeypatch.setattr(preflight, "of_training", find)
        run = request.train(str(corpus), None, {"trainer.max_steps": "6"}, options, None, minutes=1e-9)  # ends behind the first step
        ended.append(load_file(home / "asrx/runs" / run.run_id / "checkpoints/checkpoint-1/model.safetensors"))
    assert ended[0].keys() == ended[1].keys() and all(torch.equal(ended[0][name], ended[1][name]) for name in ended[0])


def test_the_longest_batch_is_the_one_that_is_tried(loaded: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    options, family, material = loaded("batch.seconds=6")
    plan = probe._first_epoch(material, options)[0]
    longest = max(len(batch) * max(material.seconds[item.index] for item in batch) for batch in plan)
    settings = preflight._settings(options, family)
    tried = probe.measure(family, material, options, family.join, settings)
    assert tried.padded == pytest.approx(longest) and tried.peak >= 0 and tried.epoch > 0
    assert tried.total == pytest.approx(tried.epoch * 20 / len(plan))


def test_memory_that_runs_out_in_the_probe_names_the_remedy(loaded: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    options, family, material = loaded("batch.seconds=6")

    def full(*_: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(probe, "_timed_steps", full)
    told = {item.check: item for item in resources.resources(options, family, material, family.join, preflight._settings(options, family))}
    assert told["memory"].verdict == WARNING and "batch.seconds=3" in told["memory"].advice and "gradient_checkpointing" in told["memory"].advice
    assert told["disk"].verdict == OK


def test_a_slow_model_is_tried_once(loaded: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    options, family, material = loaded()
    settings = preflight._settings(options, family)
    calls: list[int] = []
    family.model.register_forward_hook(lambda *_: calls.append(1))
    for slow, steps in ((3.0, 3), (1e-9, 1)):
        calls.clear()
        monkeypatch.setattr(probe, "SLOW", slow)
        probe.measure(family, material, options, family.join, settings)
        assert len(calls) == steps


def test_the_table_is_kept_in_the_run_and_a_resumed_run_is_not_checked_again(trained: Any, home: Path, asrx: Callable[..., Outcome]) -> None:
    from asrx import tracking

    kept = (home / "asrx/runs" / trained.run_id / "preflight.md").read_text(encoding="utf-8")
    assert kept.startswith("# Preflight: ") and "| label length | ok |" in kept
    run = tracking.connect().get_run(trained.run_id)
    assert run.data.tags[preflight.TAG] in kept.partition("\n")[0]
    again = asrx("train", "--resume", trained.run_id)
    assert again.status == 0 and "preflight" not in again.err + again.out
