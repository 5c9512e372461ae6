"""Models are plain transformers folders in both directions: what is trained here is read there, and the other way round."""

from pathlib import Path
from typing import Any

import ctc_models
import numpy as np
import pytest
import torch

from asrx import recognizer
from asrx.config import resolve
from asrx.corpus.shards import PreparedCorpus
from asrx.models import load_family
from asrx.recognizer.audio import to_float

SCRATCH = {
    "wav2vec2": [],
    "wav2vec2+adapter": ["model.add_adapter=true", "model.num_adapter_layers=1"],
    "wav2vec2-bert": [],
    "wav2vec2-bert+adapter": ["model.add_adapter=true"],
    "hubert": [],
    "wavlm": [],
}


@pytest.fixture(scope="module")
def spoken(corpus: Path) -> tuple[list[np.ndarray], list[str]]:
    """Four utterances of different lengths with their texts. The last frame of log-mel features is whole: transformers reads half ones, too."""
    split = PreparedCorpus.open(corpus).split("train")
    waveforms = [to_float(split.audio(index)) for index in range(4)]
    return [waveform[: 400 + 160 * (2 * ((len(waveform) - 400) // 320) - 1)] for waveform in waveforms], split.column("text")[:4]


def evaluated(family: Any, waveforms: list[np.ndarray], texts: list[str]) -> list[str]:
    """One by one: some architectures hear padding."""
    return [family.evaluate([waveform], family.labels([text]))[1][0] for waveform, text in zip(waveforms, texts)]


def by_pipeline(folder: Path, waveforms: list[np.ndarray]) -> list[str]:
    from transformers import pipeline

    recognize = pipeline("automatic-speech-recognition", model=str(folder), device="cpu")
    return [" ".join(recognize(waveform.copy())["text"].split()) for waveform in waveforms]


@pytest.mark.parametrize("kind", SCRATCH)
def test_a_model_from_scratch_says_the_same_in_transformers(kind: str, spoken, tmp_path: Path) -> None:
    waveforms, texts = spoken
    torch.manual_seed(0)
    family = load_family(resolve(overrides=[f"model.architecture={kind.partition('+')[0]}", *SCRATCH[kind]]), texts)
    ctc_models.take_steps(family, waveforms, texts)
    inputs = {name: value for name, value in family.collate(waveforms, family.labels(texts)).items() if name != "labels"}
    ctc_models.talkative(family.model, [family.tokenizer.unk_token_id], inputs)
    family.save(tmp_path)
    ours = [item.text for item in recognizer.load(tmp_path, "cpu").recognize(waveforms)]
    assert min(map(len, ours)) > 5
    assert ours == evaluated(family, waveforms, texts)
    assert ours == ctc_models.heard_by_transformers(tmp_path, waveforms)
    assert ours == by_pipeline(tmp_path, waveforms)


@pytest.mark.parametrize("kind", ctc_models.KINDS)
def test_a_model_of_transformers_is_heard_and_trained_here(kind: str, spoken, tmp_path: Path) -> None:
    waveforms, texts = spoken
    folder = ctc_models.make(tmp_path / "theirs", kind)
    assert [item.text for item in recognizer.load(folder, "cpu").recognize(waveforms)] == ctc_models.heard_by_transformers(folder, waveforms)
    family = load_family(resolve(overrides=[f"model.name={folder}"]), texts)
    assert family.labels(["it's"]) == [[13, 24, 31, 23]]  # by the checkpoint's own vocabulary
    loss, _ = family.evaluate(waveforms, family.labels(texts))
    assert evaluated(family, waveforms, texts) == ctc_models.heard_by_transformers(folder, waveforms)
    ctc_models.take_steps(family, waveforms, texts, 4)
    assert family.evaluate(waveforms, family.labels(texts))[0] < loss
    family.save(tmp_path / "ours")
    assert evaluated(family, waveforms, texts) == ctc_models.heard_by_transformers(tmp_path / "ours", waveforms)
