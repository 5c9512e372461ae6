"""A window shorter than the training audio, or longer than what is paid for."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from whisper_models import RATE, save, tokenizer, tone, untrained

from asrx import recognizer
from asrx.config import resolve
from asrx.errors import ConfigError
from asrx.models import load_family

SCRATCH = ["model.architecture=whisper", "model.d_model=32", "text.language=it"]


@pytest.fixture(scope="module")
def stock(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Whisper of plain transformers with the window of OpenAI's: 30 s."""
    tokens = tokenizer()
    return save(tmp_path_factory.mktemp("stock"), untrained(tokens, max_source_positions=1500), tokens)


def loaded(folder: Path, positions: int) -> Any:
    return load_family(resolve(overrides=[f"model.name={folder}", "text.language=it", f"model.max_source_positions={positions}"]), ["perché no"])


def test_a_checkpoint_can_be_given_a_shorter_window(stock: Path, tmp_path: Path) -> None:
    family = loaded(stock, 150)
    features = family.collate([tone(300.0)], family.labels(["perché no"]))["input_features"]
    assert features.shape == (1, 80, 300)
    long = load_family(resolve(overrides=[f"model.name={stock}", "text.language=it"]), ["perché no"]).model.get_encoder().embed_positions.weight
    assert torch.equal(family.model.get_encoder().embed_positions.weight, long[:150])
    family.save(tmp_path)
    saved = recognizer.load(tmp_path, "cpu")
    positions = []
    saved.model.get_encoder().register_forward_hook(lambda module, given, output: positions.append(output.last_hidden_state.shape[1]))
    saved.recognize([tone(300.0, 2.9), tone(300.0, 5.0)])
    assert positions == [150, 150, 150]  # a window of 3 s costs 3 s, and more audio takes more of them
    assert saved.feature_extractor(tone(300.0), sampling_rate=RATE, return_tensors="pt").input_features.shape[-1] == 300


@pytest.mark.parametrize("positions, message", [(1550, "the checkpoint has 1500"), (120, "multiple of 50"), (0, "1 or more")])
def test_a_window_that_cannot_be_is_refused(stock: Path, positions: int, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        loaded(stock, positions)


def test_utterances_longer_than_the_window_are_left_out() -> None:
    family = load_family(resolve(overrides=[*SCRATCH, "model.max_source_positions=100"]), ["perché no"])
    labels = family.labels(["perché no"] * 3 + ["", "no " * 300])
    fits = family.fits(labels, np.array([RATE, 2 * RATE, 2 * RATE + 1, RATE, RATE]))
    assert fits.tolist() == [True, True, False, False, False]


def test_speech_slowed_down_still_fits() -> None:
    family = load_family(resolve(overrides=[*SCRATCH, "model.max_source_positions=100", "augment.speed=0.2"]), ["perché no"])
    assert family.fits(family.labels(["no", "no"]), np.array([1.6 * RATE, 1.7 * RATE])).tolist() == [True, False]


def test_joined_utterances_that_would_be_cut_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"may last 15 s, the model hears 2 s"):
        load_family(resolve(overrides=[*SCRATCH, "model.max_source_positions=100", "augment.concatenate=0.5"]), ["perché no"])
    load_family(resolve(overrides=[*SCRATCH, "model.max_source_positions=400", "augment.concatenate=0.5", "batch.seconds=8"]), ["perché no"])
