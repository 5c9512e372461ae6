"""Recipes for checkpoints that are not on this machine: their settings train a model of the same architecture."""

from pathlib import Path

import ctc_models
import numpy as np
import pytest
import torch
from transformers import AutoModel, Wav2Vec2CTCTokenizer

from asrx.config import resolve
from asrx.models import load_family

NEPALI = ["नमस्ते संसार", "बत्ती बाल्नुहोस्"]


def pretrained_bert(folder: Path) -> Path:
    """As facebook/w2v-bert-2.0: neither output layer nor vocabulary."""
    AutoModel.from_config(ctc_models.config("wav2vec2-bert", 1)).save_pretrained(folder)
    ctc_models.extractor("wav2vec2-bert").save_pretrained(folder)
    return folder


def upper_case_ctc(folder: Path) -> Path:
    """As facebook/wav2vec2-large-960h: letters in upper case."""
    import json

    ctc_models.make(folder, "wav2vec2")
    (folder / "vocab.json").write_text(json.dumps(ctc_models.vocabulary(ctc_models.LETTERS.upper())))
    Wav2Vec2CTCTokenizer(str(folder / "vocab.json")).save_pretrained(folder)
    return folder


@pytest.mark.parametrize(
    ("recipe", "make", "texts"),
    [("wav2vec2-bert-openslr54-ne", pretrained_bert, NEPALI), ("wav2vec2-large-960h-commonvoice-en", upper_case_ctc, ["one two", "it's"])],
)
def test_a_checkpoint_learns_with_the_settings_of_a_recipe(recipe: str, make, texts: list[str], tmp_path: Path) -> None:
    options = resolve(recipe, {"model.name": str(make(tmp_path))})
    torch.manual_seed(0)
    made = load_family(options, texts)
    given = made.model.config.to_dict()
    assert {key: given[key] for key in options.extra["model"]} == options.extra["model"]
    if options.extra["trainer"].get("gradient_checkpointing"):
        made.model.gradient_checkpointing_enable()
    random = np.random.default_rng(0)
    waveforms = [(0.1 * random.normal(size=size)).astype(np.float32) for size in (48_000, 40_000)]
    assert made.fits(made.labels(texts), np.array([48_000, 40_000])).all()
    before = made.evaluate(waveforms, made.labels(texts))[0]
    ctc_models.take_steps(made, waveforms, texts, 5)
    assert made.evaluate(waveforms, made.labels(texts))[0] < before
    learns = {name.split(".")[1] for name, weight in made.model.named_parameters() if weight.requires_grad}
    assert {"encoder", "weight", "bias"} <= learns and ("adapter" in learns) == made.model.config.add_adapter
    assert ("feature_extractor" in learns) is False
