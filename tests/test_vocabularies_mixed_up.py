"""Vocabularies: the checkpoint's, one built from the text, or another model's; the output layer belongs to the one that is used."""

import json
from pathlib import Path

import ctc_models
import pytest
import torch
from transformers import AutoModelForPreTraining, Wav2Vec2CTCTokenizer

from asrx.config import resolve
from asrx.models import load_family

TEXTS = ["call one two", "it's five"]


def family(*overrides: str):
    return load_family(resolve(overrides=list(overrides)), TEXTS)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return ctc_models.make(tmp_path_factory.mktemp("checkpoints") / "lower", "wav2vec2")


@pytest.fixture(scope="module")
def upper_case(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a vocabulary in upper case and nothing else."""
    folder = tmp_path_factory.mktemp("vocabularies") / "upper"
    source = folder.with_name("vocab.json")
    source.write_text(json.dumps(ctc_models.vocabulary(ctc_models.LETTERS.upper() + "-")))
    Wav2Vec2CTCTokenizer(str(source)).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("start", ["checkpoint", "scratch"])
def test_the_vocabulary_of_another_model_brings_its_case(start: str, checkpoint: Path, upper_case: Path) -> None:
    name = checkpoint if start == "checkpoint" else "scratch"
    made = family(f"model.name={name}", f"text.vocabulary={upper_case}")
    assert made.case == "upper" and made.labels(["one"]) == [made.tokenizer.convert_tokens_to_ids(list("ONE"))]
    assert (made.model.lm_head.out_features, made.model.config.vocab_size, made.model.config.pad_token_id) == (33, 33, 0)


def test_a_vocabulary_that_happens_to_have_the_old_size_gets_a_new_output_layer(checkpoint: Path, tmp_path: Path) -> None:
    letters = dict(zip(ctc_models.LETTERS, reversed(ctc_models.LETTERS)))
    (tmp_path / "source.json").write_text(json.dumps(ctc_models.vocabulary("".join(letters.values()))))
    Wav2Vec2CTCTokenizer(str(tmp_path / "source.json")).save_pretrained(tmp_path)
    own, other = family(f"model.name={checkpoint}").model, family(f"model.name={checkpoint}", f"text.vocabulary={tmp_path}").model
    assert own.lm_head.weight.shape == other.lm_head.weight.shape
    assert own.lm_head.weight.std() > 1 and other.lm_head.weight.std() < 0.1
    assert torch.equal(own.wav2vec2.encoder.layer_norm.weight, other.wav2vec2.encoder.layer_norm.weight)


def test_a_pretrained_model_gets_an_output_layer(checkpoint: Path, tmp_path: Path) -> None:
    pretrained = AutoModelForPreTraining.from_config(ctc_models.config("wav2vec2", 32, num_codevectors_per_group=4, codevector_dim=8, proj_codevector_dim=8))
    pretrained.save_pretrained(tmp_path)
    ctc_models.extractor("wav2vec2").save_pretrained(tmp_path)
    made = family(f"model.name={tmp_path}")
    assert made.case == "lower" and made.model.lm_head.out_features == len(made.tokenizer)
    weights = pretrained.state_dict()
    assert all(torch.equal(weight, weights[name]) for name, weight in made.model.state_dict().items() if "encoder.layers" in name)
