"""How much audio a Whisper hears at once: 50 encoder positions for each second, always all of them."""

from typing import Any

from ..errors import ConfigError

POSITIONS_PER_SECOND = 50
FRAMES_PER_POSITION = 2  # log-mel frames that the convolutions make one position of
KEY = "max_source_positions"


def check_positions(positions: Any, longest: int | None = None) -> int:
    """`positions`, if a window can have so many: feature extractors of transformers count whole seconds. Raises ConfigError.

    `longest`: the positions that a checkpoint has learned.
    """
    whole = isinstance(positions, int) and not isinstance(positions, bool) and positions > 0
    if not whole or positions % POSITIONS_PER_SECOND:
        raise ConfigError(f"model.{KEY}={positions}: must be a multiple of {POSITIONS_PER_SECOND}, which is one second")
    if longest is not None and positions > longest:
        raise ConfigError(f"model.{KEY}={positions}: the checkpoint has {longest}; a window can be shortened, not made longer")
    return positions


def shorten(model: Any, positions: int) -> None:
    """Let the model hear the first `positions` alone: the others of its encoder's fixed sinusoids are dropped."""
    from torch import nn

    encoder = model.get_encoder()
    kept = encoder.embed_positions.weight.detach()[:positions].clone()
    encoder.embed_positions = nn.Embedding.from_pretrained(kept, freeze=True)
    encoder.max_source_positions = model.config.max_source_positions = positions


def fit(feature_extractor: Any, positions: int) -> None:
    """Let the feature extractor pad and cut to `positions`."""
    seconds = positions // POSITIONS_PER_SECOND
    feature_extractor.chunk_length = seconds
    feature_extractor.n_samples = seconds * feature_extractor.sampling_rate
    feature_extractor.nb_max_frames = feature_extractor.n_samples // feature_extractor.hop_length
