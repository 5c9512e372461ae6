"""A feature mask that is wider than the features would end a training at its first step: it is refused before."""

import numpy as np
import pytest
import torch

from asrx.config import resolve
from asrx.errors import ConfigError
from asrx.models import load_family

MASKS = ["model.apply_spec_augment=true", "model.mask_time_prob=0.5", "model.mask_feature_prob=0.5"]


@pytest.mark.parametrize(("architecture", "width"), [("wav2vec2", 96), ("wav2vec2-bert", 96), ("hubert", 96), ("wavlm", 96), ("whisper", 80)])
def test_masks_fit_into_the_features_or_are_refused(architecture: str, width: int) -> None:
    options = [f"model.architecture={architecture}", *MASKS, *(["model.max_source_positions=100"] if architecture == "whisper" else [])]
    with pytest.raises(ConfigError, match=f"model.mask_feature_length={width + 1}"):
        load_family(resolve(overrides=[*options, f"model.mask_feature_length={width + 1}"]), ["ab"])
    family = load_family(resolve(overrides=[*options, f"model.mask_feature_length={width}"]), ["ab"])
    batch = family.collate([np.random.default_rng(0).normal(0, 0.1, samples).astype(np.float32) for samples in (2_000, 900)], family.labels(["a", "b"]))
    assert torch.isfinite(family.model.train()(**batch).loss)
