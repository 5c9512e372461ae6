"""CTC models from scratch that learn on a processor: small settings for each architecture."""

from typing import Any

from ..errors import ConfigError
from ..recognizer.ctc import hears_fbank
from . import keys

ENCODER = {
    "hidden_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 256,
    "hidden_dropout": 0.1, "attention_dropout": 0.0, "activation_dropout": 0.0, "feat_proj_dropout": 0.0,
    "final_dropout": 0.0, "layerdrop": 0.0, "apply_spec_augment": False, "mask_time_prob": 0.0,
}  # fmt: skip
# Few convolutions with large strides instead of seven, to the same 50 frames a second.
WAVEFORM = {
    **ENCODER, "conv_dim": (48, 96), "conv_kernel": (40, 32), "conv_stride": (20, 16), "num_feat_extract_layers": 2,
    "feat_extract_norm": "layer", "do_stable_layer_norm": True, "conv_bias": True,
    "num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 4,
}  # fmt: skip
FBANK = {**ENCODER, "conv_depthwise_kernel_size": 15, "conformer_conv_dropout": 0.0}
SETTINGS = {"wav2vec2": WAVEFORM, "wav2vec2-bert": FBANK, "hubert": WAVEFORM, "wavlm": WAVEFORM}  # by transformers' model_type


def model(architecture: str, settings: dict[str, Any], given: dict[str, Any]) -> Any:
    """A CTC model with random weights from what a person gave over `settings` over the architecture's own.

    Raises ConfigError for a key that the architecture's configuration lacks, or options that do not fit together.
    """
    from transformers import AutoConfig, AutoModelForCTC

    keys.check_model_keys(given, set(AutoConfig.for_model(architecture).to_dict()))
    convolutions = {"num_feat_extract_layers": len(given["conv_dim"])} if isinstance(given.get("conv_dim"), list) else {}
    chosen = {**SETTINGS[architecture], **settings, **convolutions, **given}
    return keys.built(lambda: AutoModelForCTC.from_config(AutoConfig.for_model(architecture, **chosen)))


def feature_extractor(architecture: str) -> Any:
    """What turns samples into the inputs of an architecture."""
    from transformers import SeamlessM4TFeatureExtractor, Wav2Vec2FeatureExtractor

    return SeamlessM4TFeatureExtractor() if SETTINGS[architecture] is FBANK else Wav2Vec2FeatureExtractor(return_attention_mask=True)


def check_feature_masks(config: Any) -> None:
    """ConfigError for masks that are wider than what they hide a part of; transformers finds that out while training."""
    masked = getattr(config, "apply_spec_augment", False) and getattr(config, "mask_feature_prob", 0) > 0
    if masked and not 0 < config.mask_feature_length <= config.hidden_size:
        raise ConfigError(f"model.mask_feature_length={config.mask_feature_length}: must be from 1 to {config.hidden_size}, the model's hidden size")


def check_inputs(model: Any, extractor: Any) -> None:
    """ConfigError where the feature extractor does not make what the model hears."""
    if not hears_fbank(extractor):
        if extractor.feature_size != 1:
            raise ConfigError(f"feature_extractor.feature_size={extractor.feature_size}: a waveform has 1 value per sample")
        return
    bands, wanted = extractor.num_mel_bins, model.config.feature_projection_input_dim
    if extractor.feature_size != bands or bands * extractor.stride != wanted:
        raise ConfigError(
            f"the model hears frames of {wanted} values (model.feature_projection_input_dim), its feature extractor makes {bands} x {extractor.stride} "
            f"(feature_extractor.num_mel_bins, which feature_size {extractor.feature_size} must equal, x stride)"
        )
