"""Options that go to transformers classes, checked against the class that receives them."""

from collections.abc import Callable, Iterable
from typing import Any

from ..config import as_bool
from ..errors import ConfigError, nearest
from ..recognizer.audio import SAMPLE_RATE

FROM_VOCABULARY = ("vocab_size", "pad_token_id")  # model options that are not a person's to choose
SIZES = {  # that transformers does not look at
    "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "d_model", "encoder_layers", "decoder_layers",
    "encoder_attention_heads", "decoder_attention_heads", "encoder_ffn_dim", "decoder_ffn_dim", "max_source_positions", "max_target_positions",
}  # fmt: skip


def check_keys(section: str, keys: Iterable[str], known: set[str]) -> None:
    """ConfigError for a key that `known` lacks, naming the nearest one."""
    for key in keys:
        if key not in known:
            raise ConfigError(f"there is no option {section}.{key}{nearest(key, known)}")


def check_model_keys(keys: dict[str, Any], known: set[str]) -> None:
    """ConfigError for a key that the configuration class lacks, one that is not to be chosen, or a size that cannot be."""
    check_keys("model", keys, known)
    for key, value in keys.items():
        if key in FROM_VOCABULARY:
            raise ConfigError(f"model.{key} follows from the vocabulary and cannot be given")
        if key in SIZES and not (isinstance(value, int) and value > 0):
            raise ConfigError(f"model.{key}={value}: must be a whole number of 1 or more")


def set_extractor_keys(extractor: Any, keys: dict[str, Any]) -> Any:
    """The feature extractor with the options of `feature_extractor`. ConfigError for unknown keys and for another rate than 16 kHz."""
    known = extractor.to_dict()
    check_keys("feature_extractor", keys, set(known))
    for key, value in keys.items():
        setattr(extractor, key, _typed(f"feature_extractor.{key}", value, known[key]))
    if extractor.sampling_rate != SAMPLE_RATE:
        raise ConfigError(f"the model wants {extractor.sampling_rate:,} Hz audio; asrx prepares {SAMPLE_RATE:,} Hz")
    return extractor


def built(make: Callable[[], Any]) -> Any:
    """`make()`, a model or configuration from options, with transformers' own errors as one ConfigError."""
    from huggingface_hub.errors import StrictDataclassError

    try:
        return make()
    except (ValueError, TypeError, RuntimeError, ArithmeticError, StrictDataclassError) as error:
        raise ConfigError(f"the model options do not fit together: {' '.join(str(error).split())}") from None


def _typed(name: str, value: Any, default: Any) -> Any:
    if isinstance(default, bool):
        return as_bool(name, value)
    if isinstance(default, (int, float)) and (isinstance(value, bool) or not isinstance(value, (int, float))):
        raise ConfigError(f"{name}={value}: must be a number")
    return value
