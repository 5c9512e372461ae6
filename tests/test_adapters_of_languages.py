"""MMS: a language's adapter is trained without the others, and what is saved speaks that language without being asked."""

import json
from pathlib import Path

import ctc_models
import numpy as np
import pytest
import torch
from transformers import AutoModelForCTC, AutoTokenizer

from asrx import recognizer
from asrx.config import resolve
from asrx.errors import ConfigError, ModelError
from asrx.models import load_family

LETTERS = {"eng": ctc_models.LETTERS, "ita": "abcdefghilmnopqrstuvzàèéìòù'", "npi-script_devanagari": "अआकखगघचछजतदनपबमयरलवशसह ािीुूेो्ं".replace(" ", "")}
TEXTS = ["dov'è il caffè", "perché no"]


@pytest.fixture(scope="module")
def mms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return ctc_models.make_mms(tmp_path_factory.mktemp("mms") / "checkpoint", LETTERS)


@pytest.fixture(scope="module")
def noise() -> list[np.ndarray]:
    random = np.random.default_rng(0)
    return [(0.1 * random.normal(size=size)).astype(np.float32) for size in (24_000, 20_000)]


def family(folder: Path, *overrides: str, texts: list[str] = TEXTS):
    return load_family(resolve(overrides=[f"model.name={folder}", *overrides]), texts)


def heard_here(folder: Path, waveforms: list[np.ndarray]) -> list[str]:
    return [item.text for item in recognizer.load(folder, "cpu").recognize(waveforms)]


@pytest.mark.parametrize(("target", "texts"), [("ita", TEXTS), ("npi-script_devanagari", ["नमस्ते", "कति"])])
def test_a_language_brings_adapter_and_vocabulary(target: str, texts: list[str], mms: Path, noise: list[np.ndarray], tmp_path: Path) -> None:
    there = ctc_models.heard_by_transformers(mms, noise, target_lang=target)
    found = family(mms, f"model.target_lang={target}", texts=texts)
    assert set(found.tokenizer.get_vocab()) == set(ctc_models.vocabulary(LETTERS[target]))
    assert [found.evaluate([item], found.labels(texts[:1]))[1][0] for item in noise] == there
    assert there != ctc_models.heard_by_transformers(mms, noise, target_lang="eng")
    found.save(tmp_path)
    assert heard_here(tmp_path, noise) == there
    assert ctc_models.heard_by_transformers(tmp_path, noise) == there  # nothing says which language
    assert ctc_models.heard_by_transformers(tmp_path, noise, target_lang=target) == there


def test_training_the_adapter_leaves_the_rest_as_it_is(mms: Path, noise: list[np.ndarray], tmp_path: Path) -> None:
    found, untrained = (family(mms, "model.target_lang=ita", "model.trainable=adapter") for _ in range(2))
    before = {name: weight.clone() for name, weight in found.model.state_dict().items()}
    assert ctc_models.take_steps(found, noise, TEXTS, 6) < ctc_models.take_steps(untrained, noise, TEXTS, 1)
    moved = {name for name, weight in found.model.state_dict().items() if not torch.equal(weight, before[name])}
    assert moved == set(found.model._get_adapters())
    found.save(tmp_path)
    adapted = AutoModelForCTC.from_pretrained(mms, target_lang="ita")
    adapted.config._name_or_path = str(tmp_path)
    adapted.load_adapter("ita")  # the small file alone carries what was learned
    again = AutoModelForCTC.from_pretrained(tmp_path).state_dict()
    assert all(torch.equal(weight, again[name]) for name, weight in adapted.state_dict().items())
    assert family(tmp_path, "model.trainable=adapter").labels(TEXTS) == found.labels(TEXTS)  # goes on without naming the language


def test_a_language_that_the_checkpoint_lacks_begins_anew(mms: Path, noise: list[np.ndarray], tmp_path: Path) -> None:
    texts = ["cześć żółw", "dzień dobry"]
    found = family(mms, "model.target_lang=pol", "text.vocabulary=build", "model.trainable=adapter", texts=texts)
    assert found.labels(["żó"]) == [found.tokenizer.convert_tokens_to_ids(["ż", "ó"])] and found.model.config.vocab_size == len(found.tokenizer)
    biases = [weight for name, weight in found.model._get_adapters().items() if name.endswith("linear_2.bias")]
    assert len(biases) == 2 and not any(weight.any() for weight in biases)  # nothing of the language that the checkpoint holds
    ctc_models.take_steps(found, noise, texts)
    ctc_models.talkative(found.model, [found.tokenizer.unk_token_id])
    found.save(tmp_path)
    assert json.loads((tmp_path / "vocab.json").read_text()).keys() == {"pol"}
    heard = heard_here(tmp_path, noise)
    assert min(map(len, heard)) > 5
    assert heard == ctc_models.heard_by_transformers(tmp_path, noise) == ctc_models.heard_by_transformers(tmp_path, noise, target_lang="pol")


def test_a_new_vocabulary_for_a_known_language_keeps_its_adapter(mms: Path) -> None:
    own, new = (family(mms, "model.target_lang=ita", *more) for more in ([], ["text.vocabulary=build"]))
    assert len(new.tokenizer) != len(own.tokenizer) and new.model.lm_head.out_features == len(new.tokenizer)
    weights = new.model.state_dict()
    assert all(torch.equal(weight, weights[name]) for name, weight in own.model._get_adapters().items() if "adapter_layer" in name)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([], r"has an adapter for each language: give model\.target_lang; it has eng, ita, npi-script_devanagari$"),
        (["model.target_lang=it"], r"lacks that language.*ita.*; it has eng, ita, npi-script_devanagari; text\.vocabulary=build"),
        (["model.target_lang=pol"], r"text\.vocabulary=build begins a new adapter$"),
    ],
)
def test_a_language_that_is_not_there_is_named_with_those_that_are(given: list[str], said: str, mms: Path) -> None:
    with pytest.raises(ConfigError, match=said):
        family(mms, *given)


def test_a_language_is_refused_by_a_model_without_adapters(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="model.target_lang=ita: the model .* has no adapters for languages"):
        family(ctc_models.make(tmp_path / "plain", "wav2vec2"), "model.target_lang=ita")
    with pytest.raises(ConfigError, match="model.target_lang=ita: the model scratch has no adapters"):
        load_family(resolve(overrides=["model.target_lang=ita"]), TEXTS)


def test_a_pickled_adapter_is_not_read(mms: Path, copy_of, tmp_path: Path) -> None:
    folder = copy_of(mms, tmp_path / "copy")
    (folder / "adapter.ita.safetensors").rename(folder / "adapter.ita.bin")
    with pytest.raises(ModelError, match=r"has a vocabulary for ita but no adapter\.ita\.safetensors; a \.bin is not read"):
        family(folder, "model.target_lang=ita")


def test_a_tokenizer_of_one_language_is_what_remains(mms: Path, tmp_path: Path) -> None:
    family(mms, "model.target_lang=ita").save(tmp_path)
    saved = AutoTokenizer.from_pretrained(tmp_path)
    assert saved.target_lang == "ita" and saved.vocab.keys() == {"ita"}
