"""model.trainable: what is said to be frozen stays as it was, what is said to learn gets gradients, and LoRA leaves no trace in what is saved."""

import json
from pathlib import Path
from typing import Any

import ctc_models
import numpy as np
import pytest
import torch
from conftest import TRAINING
from safetensors.torch import load_file

from asrx import recognizer
from asrx.config import resolve
from asrx.errors import ConfigError
from asrx.models import load_family, trainable
from asrx.options import Model

TEXTS = ["one two", "three"]
LORA = ("model.trainable=lora", "model.lora_rank=4", "model.lora_dropout=0")


@pytest.fixture(scope="module")
def noise() -> list[np.ndarray]:
    random = np.random.default_rng(0)
    return [(0.1 * random.normal(size=size)).astype(np.float32) for size in (24_000, 20_000)]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Makes checkpoints, one of each kind."""
    folder = tmp_path_factory.mktemp("checkpoints")
    return lambda kind: folder / kind if (folder / kind).exists() else ctc_models.make(folder / kind, kind)


def family(folder: Path, *overrides: str) -> Any:
    torch.manual_seed(0)
    return load_family(resolve(overrides=[f"model.name={folder}", *overrides]), TEXTS)


def moved(found: Any, noise: list[np.ndarray]) -> set[str]:
    """Names of the weights, and statistics, that training changes."""
    before = {name: weight.clone() for name, weight in found.model.state_dict().items()}
    ctc_models.take_steps(found, noise, TEXTS)
    return {name for name, weight in found.model.state_dict().items() if not torch.equal(weight, before[name]) and "num_batches" not in name}


@pytest.mark.parametrize("kind", ["wav2vec2", "wav2vec2-bert", "hubert", "wavlm"])
def test_the_head_alone_learns(kind: str, checkpoint, noise) -> None:
    assert moved(family(checkpoint(kind), "model.trainable=head"), noise) == {"lm_head.weight", "lm_head.bias"}


def test_a_frozen_encoder_keeps_no_activations(checkpoint, noise) -> None:
    found = family(checkpoint("wav2vec2"), "model.trainable=head", "model.freeze_feature_encoder=false")
    found.model.train()
    hidden = found.model.wav2vec2(**{name: value for name, value in found.collate(noise, found.labels(TEXTS)).items() if name != "labels"})
    assert not hidden.last_hidden_state.requires_grad


@pytest.mark.parametrize("kind", ["wav2vec2-bert+adapter", "wav2vec2"])
def test_the_adapter_learns_with_the_head(kind: str, checkpoint, noise) -> None:
    more = [] if "+" in kind else ["model.add_adapter=true"]
    names = moved(family(checkpoint(kind), "model.trainable=adapter", *more), noise)
    assert {"lm_head.weight", "lm_head.bias"} < names and all(name.startswith("lm_head") or ".adapter." in name for name in names)


@pytest.mark.parametrize("kind", ctc_models.KINDS)
def test_each_lora_matrix_learns_and_is_merged_when_saved(kind: str, checkpoint, noise, tmp_path: Path) -> None:
    found = family(checkpoint(kind), *LORA)
    before = {name: weight.clone() for name, weight in found.model.state_dict().items()}
    names = moved(found, noise)
    beside = {name for name in before if "lora_B" in name}
    assert len(beside) >= 4 and beside <= names
    assert all("lora_" in name or name.startswith("lm_head") for name in names)
    found.save(tmp_path)
    saved = load_file(str(tmp_path / "model.safetensors"))
    assert not any("lora" in name or "base_layer" in name for name in saved)
    batch = {name: value for name, value in found.collate(noise[:1], found.labels(TEXTS[:1])).items() if name != "labels"}
    with torch.inference_mode():
        here, there = found.model(**batch).logits, recognizer.load(tmp_path, "cpu").model(**batch).logits
        untouched = family(checkpoint(kind)).model.eval()(**batch).logits
    assert torch.allclose(here, there, atol=1e-4) and not torch.allclose(here, untouched, atol=1e-2)
    assert beside <= set(found.model.state_dict())  # training goes on with the matrices


def test_merging_leaves_a_model_without_lora_alone(checkpoint) -> None:
    model = family(checkpoint("wav2vec2")).model
    assert trainable.plain(model) is model


@pytest.mark.parametrize(
    ("part", "said"),
    [
        ("adapter", r"model\.trainable=adapter: this hubert model has no adapter; .*MMS.*lora"),
        ("decoder", r"model\.trainable=decoder: a hubert with CTC has no decoder"),
    ],
)
def test_a_part_that_is_not_there_is_refused(part: str, said: str, checkpoint) -> None:
    with pytest.raises(ConfigError, match=said):
        family(checkpoint("hubert"), f"model.trainable={part}")


def test_whisper_freezes_its_encoder_but_has_no_head_of_its_own() -> None:
    from transformers import WhisperConfig, WhisperForConditionalGeneration

    sizes = {"d_model": 32, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2, "decoder_attention_heads": 2,
             "encoder_ffn_dim": 48, "decoder_ffn_dim": 48, "vocab_size": 60, "max_source_positions": 20, "max_target_positions": 20}  # fmt: skip
    special = dict.fromkeys(("pad_token_id", "bos_token_id", "eos_token_id", "decoder_start_token_id"), 1)
    model = WhisperForConditionalGeneration(WhisperConfig(**sizes, **special))
    learned = {name for name, weight in trainable.apply(model, Model(trainable="decoder")).named_parameters() if weight.requires_grad}
    assert learned and all(name.startswith("model.decoder.") for name in learned)
    with pytest.raises(ConfigError, match="output layer of a whisper is its table of token embeddings"):
        trainable.apply(model, Model(trainable="head"))
    lora = trainable.apply(model, Model(trainable="lora", lora_rank=2))
    assert {name.split(".")[1] for name, weight in lora.named_parameters() if weight.requires_grad} == {"encoder", "decoder"}
    assert not any("lora_" in name for name in trainable.plain(lora).state_dict())


@pytest.mark.slow
def test_lora_goes_on_to_the_same_weights(asrx, corpus: Path, home: Path) -> None:
    """Two sessions and one: LoRA's own dropout, accumulation and an average of the weights included."""
    options = ("--max-steps", 20, *TRAINING, "model.trainable=lora", "model.lora_rank=4", "checkpoint.average=0.9", "trainer.gradient_accumulation_steps=2")
    whole = json.loads(asrx("train", "--json", "--data", corpus, *options).out)
    first = asrx("train", "--json", "--data", corpus, "--max-minutes", 1e-6, *options)
    assert first.status == 0, first
    run_id = json.loads(first.out)["run_id"]
    second = asrx("train", "--json", "--resume", run_id)
    assert second.status == 0, second
    runs = [home / "asrx/runs" / name / "checkpoints/checkpoint-20" for name in (whole["run_id"], run_id)]
    for file in ("model.safetensors", "average.safetensors"):
        one, other = (load_file(str(run / file)) for run in runs)
        assert any("lora_A" in name for name in one) and one.keys() == other.keys()
        assert all(torch.equal(weight, other[name]) for name, weight in one.items())
