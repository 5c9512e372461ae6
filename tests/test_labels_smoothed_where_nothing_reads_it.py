"""Smoothed labels change the loss that trains an encoder-decoder, and no other; where no loss has labels to smooth the option is refused."""

import re

import numpy as np
import pytest
import torch

from asrx.config import resolve
from asrx.errors import ConfigError
from asrx.models import load_family

TEXTS = ["sì", "accendi la luce in cucina", "perché no"]
WHISPER = ["model.architecture=whisper", "text.language=it", "model.d_model=32", "model.encoder_ffn_dim=32", "model.decoder_ffn_dim=32",
           "model.max_source_positions=100", "model.dropout=0"]  # fmt: skip
SMOOTH = "trainer.label_smoothing_factor=0.2"


def losses(*overrides: str) -> tuple[float, float, torch.Tensor, torch.Tensor]:
    """Training and evaluation loss of an untrained model, its logits and labels."""
    torch.manual_seed(0)
    family = load_family(resolve(overrides=[*WHISPER, *overrides]), TEXTS)
    random = np.random.default_rng(0)
    waves = [random.normal(0, 0.1, 16_000).astype(np.float32) for _ in TEXTS]
    labels = family.labels(TEXTS)
    batch = family.collate(waves, labels)
    with torch.no_grad():
        outputs = family.model.eval()(**batch)
        return float(family.loss(outputs, batch)), family.evaluate(waves, labels)[0], outputs.logits, batch["labels"]


def test_the_share_goes_to_all_tokens_alike_and_padding_has_none() -> None:
    plain, evaluated, logits, labels = losses()
    smoothed, evaluated_too, *_ = losses(SMOOTH)
    valid = labels != -100
    probabilities = logits.log_softmax(-1)[valid]
    wanted = -(0.8 * probabilities.gather(1, labels[valid][:, None]).squeeze(1) + 0.2 * probabilities.mean(1)).mean()
    assert smoothed == pytest.approx(float(wanted), rel=1e-5) and smoothed != pytest.approx(plain, rel=1e-4)
    assert plain == pytest.approx(float(-probabilities.gather(1, labels[valid][:, None]).mean()), rel=1e-5)
    assert evaluated_too == evaluated


def test_where_nothing_can_be_smoothed_it_is_refused() -> None:
    from asrx.training import arguments, pretrain

    with pytest.raises(ConfigError, match=re.escape("trainer.label_smoothing_factor=0.2: the loss of CTC has no target per frame")):
        load_family(resolve("scratch", overrides=[SMOOTH]), TEXTS)
    with pytest.raises(ConfigError, match=re.escape("trainer.label_smoothing_factor=0.2: pre-training has no labels")):
        pretrain.check(resolve("wav2vec2-pretrain-base-tiny", overrides=[SMOOTH]))
    arguments.check(resolve(overrides=[*WHISPER, SMOOTH]))
