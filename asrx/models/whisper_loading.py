"""The parts of a Whisper, from a checkpoint or made small, by the options of a run."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..config import AUTO, Config, as_bool
from ..errors import ConfigError, ModelError
from . import keys, loading, subwords, whisper_window

# A small Whisper that learns from scratch on a processor.
SCRATCH_CONFIG = {
    "d_model": 96, "encoder_layers": 2, "decoder_layers": 1, "encoder_attention_heads": 4, "decoder_attention_heads": 4,
    "encoder_ffn_dim": 256, "decoder_ffn_dim": 256, "max_source_positions": 200, "max_target_positions": 256,
    "dropout": 0.1, "begin_suppress_tokens": None, "suppress_tokens": None,
}  # fmt: skip
FROM_VOCABULARY = ("bos_token_id", "eos_token_id", "decoder_start_token_id", "suppress_tokens", "begin_suppress_tokens", "forced_decoder_ids")
FROM_MODEL = ("feature_size", "chunk_length", "n_samples", "nb_max_frames", "hop_length", "n_fft")  # of the feature extractor
READS_TEXT = ("WhisperForConditionalGeneration", "WhisperModel")  # classes whose checkpoints have a decoder


def tokenizer(folder: Path | None, options: Config, texts: Sequence[str], steps: int) -> Any:
    """The checkpoint's; from scratch that of `text.vocabulary`, or one built from `texts`, with `steps` tokens for times."""
    wanted, given = options.text.vocabulary, options.extra["tokenizer"]
    built = folder is None and wanted in (AUTO, "checkpoint", "build")
    keys.check_keys("tokenizer", given, subwords.option_names(built))
    if built:
        return subwords.build(texts, given, steps)
    if folder is not None and wanted not in (AUTO, "checkpoint"):
        raise ConfigError(f"text.vocabulary={wanted}: a Whisper cannot be separated from its own vocabulary; leave it at auto")
    return loading.tokenizer(folder or loading.locate(wanted, weights=False), given)


def feature_extractor(folder: Path | None, options: Config, model: Any) -> Any:
    """The checkpoint's or a stock one, for the model's mel bands and window."""
    from transformers import WhisperFeatureExtractor

    given = options.extra["feature_extractor"]
    for key in FROM_MODEL:
        if key in given:
            raise ConfigError(f"feature_extractor.{key} follows from the model and cannot be given (model.max_source_positions sets the window)")
    made = loading.feature_extractor(folder) if folder else WhisperFeatureExtractor(feature_size=model.config.num_mel_bins)
    made = keys.set_extractor_keys(made, given)
    whisper_window.fit(made, model.config.max_source_positions)
    return made


def check_model_keys(given: dict[str, Any], known: set[str]) -> None:
    """ConfigError for a key that WhisperConfig lacks, or that follows from the vocabulary."""
    keys.check_model_keys(given, known)
    for key in FROM_VOCABULARY:
        if key in given:
            raise ConfigError(f"model.{key} follows from the vocabulary and cannot be given")


def positions(options: Config) -> int:
    """Of a model from scratch."""
    return whisper_window.check_positions(options.extra["model"].get(whisper_window.KEY, SCRATCH_CONFIG[whisper_window.KEY]))


def scratch_model(tokens: Any, options: Config) -> Any:
    """A model with random weights and a generation config that knows nothing but the ids of `tokens`."""
    from transformers import GenerationConfig, WhisperConfig, WhisperForConditionalGeneration

    given = options.extra["model"]
    end = tokens.eos_token_id
    ids = {"bos_token_id": end, "eos_token_id": end, "pad_token_id": end, "decoder_start_token_id": tokens.convert_tokens_to_ids(subwords.START)}
    settings = {**SCRATCH_CONFIG, **given, **ids, "vocab_size": len(tokens)}
    model = keys.built(lambda: WhisperForConditionalGeneration(WhisperConfig(**settings)))
    model.generation_config = GenerationConfig(**ids, is_multilingual=True, lang_to_id={})
    return model


def checkpoint_model(folder: Path, options: Config) -> Any:
    """The model in `folder`, its window shortened if `model.max_source_positions` says so."""
    from torch import float32
    from transformers import AutoModelForSpeechSeq2Seq

    config = loading.config(folder)
    if config.architectures and not set(READS_TEXT) & set(config.architectures):
        raise ModelError(f"the {' and '.join(config.architectures)} in {options.model.name} writes no text: it has no decoder")
    given = dict(options.extra["model"])
    check_model_keys(given, set(config.to_dict()))
    wanted = given.pop(whisper_window.KEY, None)
    if wanted is not None:
        whisper_window.check_positions(wanted, config.max_source_positions)
    for key in keys.SIZES & set(given):
        if given[key] != getattr(config, key):
            raise ConfigError(f"model.{key}={given[key]}: the checkpoint has {getattr(config, key)}; a size can be chosen from scratch alone")
    model = loading.quietly(
        lambda: AutoModelForSpeechSeq2Seq.from_pretrained(folder, use_safetensors=True, trust_remote_code=False, dtype=float32, **given), options.model.name
    )
    if wanted is not None:
        whisper_window.shorten(model, wanted)
    return model


def check_spec_augment(config: Any) -> None:
    """ConfigError for masks that are longer than what they hide a part of; transformers finds that out while training."""
    if not config.apply_spec_augment:
        return
    frames = whisper_window.FRAMES_PER_POSITION * config.max_source_positions
    for axis, length in (("time", frames), ("feature", config.num_mel_bins)):
        mask = getattr(config, f"mask_{axis}_length")
        if getattr(config, f"mask_{axis}_prob") > 0 and mask > length:
            raise ConfigError(f"model.mask_{axis}_length={mask}: the input is {length} long")


def freeze(model: Any, options: Config) -> None:
    """`model.freeze_feature_encoder=true`: the two convolutions before the encoder. Its positions are never trained."""
    wanted = options.model.freeze_feature_encoder
    if wanted != AUTO and as_bool("model.freeze_feature_encoder", wanted):
        encoder = model.get_encoder()
        for convolution in (encoder.conv1, encoder.conv2):
            convolution.requires_grad_(False)
