"""The CTC family: wav2vec 2.0, HuBERT and WavLM through AutoModelForCTC, or a small wav2vec 2.0 from scratch."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..config import AUTO, Config, as_bool
from ..errors import ConfigError, ModelError, nearest
from ..recognizer.audio import SAMPLE_RATE
from ..text import apply_case
from . import loading, vocabulary

log = logging.getLogger("asrx")

SCRATCH = "scratch"
# A small wav2vec 2.0 that learns from scratch on a processor: few convolutions with large strides, 50 frames a second.
SCRATCH_CONFIG = {
    "hidden_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 256,
    "conv_dim": (48, 96), "conv_kernel": (40, 32), "conv_stride": (20, 16), "num_feat_extract_layers": 2,
    "feat_extract_norm": "layer", "do_stable_layer_norm": True, "conv_bias": True,
    "num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 4,
    "hidden_dropout": 0.1, "attention_dropout": 0.0, "activation_dropout": 0.0, "feat_proj_dropout": 0.0,
    "final_dropout": 0.0, "layerdrop": 0.0, "apply_spec_augment": False, "mask_time_prob": 0.0,
}  # fmt: skip
# Defaults differ between families; these two keep one impossible label from spoiling a batch.
LOSS = {"ctc_loss_reduction": "mean", "ctc_zero_infinity": True}
FROM_VOCABULARY = ("vocab_size", "pad_token_id")  # model options that are not a person's to choose
SIZES = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")  # that transformers does not check


@dataclass
class CtcFamily:
    """A CTC model with its feature extractor and tokenizer, ready to train."""

    model: Any
    feature_extractor: Any
    tokenizer: Any
    case: str | None  # that transcripts are brought to

    def labels(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of transcripts, cased to the vocabulary."""
        return [self.tokenizer(apply_case(text, self.case)).input_ids for text in texts]

    def frames(self, samples: np.ndarray) -> np.ndarray:
        """Output frames for numbers of input samples."""
        import torch

        return self.model._get_feat_extract_output_lengths(torch.as_tensor(samples)).numpy()

    def collate(self, waveforms: Sequence[np.ndarray], labels: Sequence[Sequence[int]]) -> dict[str, Any]:
        """A batch of float32 waveforms at 16 kHz and labels, padded; -100 where no label is."""
        import torch

        from ..recognizer.ctc import padding_step

        shortest = self._shortest_samples()
        padded = [np.pad(waveform, (0, max(0, shortest - len(waveform)))) if len(waveform) < shortest else waveform for waveform in waveforms]
        step = padding_step(self.feature_extractor)
        batch = self.feature_extractor(padded, sampling_rate=SAMPLE_RATE, padding=True, pad_to_multiple_of=step, return_tensors="pt")
        widest = max(len(label) for label in labels)
        batch["labels"] = torch.tensor([[*label, *[-100] * (widest - len(label))] for label in labels])
        return dict(batch)

    def _shortest_samples(self) -> int:
        """SpecAugment fails on a batch with fewer frames than one mask; a longer zero tail is masked out anyway."""
        options = self.model.config
        masked = getattr(options, "apply_spec_augment", False) and getattr(options, "mask_time_prob", 0) > 0
        ratio = getattr(options, "inputs_to_logits_ratio", 320)
        return (options.mask_time_length + 2) * ratio if masked else 400

    def recognizer(self) -> Any:
        """The recognizer that serving uses, on this very model."""
        from ..recognizer.ctc import CtcRecognizer

        return CtcRecognizer(self.model, self.feature_extractor, self.tokenizer, str(self.model.device))

    def save(self, folder: Path) -> None:
        """Write what `from_pretrained` of plain transformers reads."""
        self.model.save_pretrained(folder)
        self.feature_extractor.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)


def load_family(options: Config, texts: Sequence[str]) -> CtcFamily:
    """The model of `model.name` with vocabulary and feature extractor; `texts` is the training text alone.

    Raises ModelError for what cannot be loaded, ConfigError for keys that the transformers classes do not have.
    """
    loading.quiet_transformers()
    scratch = options.model.name == SCRATCH
    folder = None if scratch else loading.locate(options.model.name)
    _check_keys("tokenizer", options.extra["tokenizer"], vocabulary.option_names())
    case = options.text.case or ("lower" if scratch else None)
    tokenizer = None if scratch or options.text.vocabulary == "build" else _checkpoint_vocabulary(folder, options)
    built = tokenizer is None
    if built:
        case = case or "lower"
        tokenizer = vocabulary.build([apply_case(text, case) for text in texts], options.extra["tokenizer"])
    case = case or vocabulary.case_of(tokenizer)
    _check_coverage(tokenizer, [apply_case(text, case) for text in texts], options)
    extractor = _feature_extractor(folder, options)
    model = _scratch_model(tokenizer, options) if scratch else _checkpoint_model(folder, tokenizer, built, options)
    _freeze(model, options, scratch)
    return CtcFamily(model, extractor, tokenizer, case)


def _checkpoint_vocabulary(folder: Path, options: Config) -> Any | None:
    """The checkpoint's tokenizer; None where a model without an output layer needs one built."""
    if loading.has_vocabulary(folder):
        return loading.tokenizer(folder, options.extra["tokenizer"])
    trained = any("ForCTC" in name for name in loading.config(folder).architectures or [])
    if options.text.vocabulary == "checkpoint" or trained:
        raise ModelError(
            f"the model {options.model.name} has no vocabulary (vocab.json); add it to the folder, or give "
            "text.vocabulary=build to train a new output layer with a vocabulary from the training text"
        )
    return None


def _check_coverage(tokenizer: Any, texts: Sequence[str], options: Config) -> None:
    share, missing = vocabulary.unknown_share(tokenizer, texts)
    if not missing:
        return
    shown = " ".join(missing[:12])
    if share > 0.2:
        other = "lower" if vocabulary.case_of(tokenizer) == "lower" else "upper"
        raise ConfigError(
            f"{share:.0%} of the training text's characters are not in the vocabulary of {options.model.name} ({shown}): "
            f"nothing can be learned like this; try text.case={other}, another model, or text.vocabulary=build"
        )
    log.warning("%.2f %% of the training text's characters are not in the vocabulary: %s", 100 * share, shown)


def _feature_extractor(folder: Path | None, options: Config) -> Any:
    from transformers import Wav2Vec2FeatureExtractor

    keys = options.extra["feature_extractor"]
    extractor = loading.feature_extractor(folder) if folder else Wav2Vec2FeatureExtractor(return_attention_mask=True)
    known = extractor.to_dict()
    _check_keys("feature_extractor", keys, set(known))
    for key, value in keys.items():
        setattr(extractor, key, _typed(f"feature_extractor.{key}", value, known[key]))
    if extractor.sampling_rate != SAMPLE_RATE:
        raise ModelError(f"the model {options.model.name} wants {extractor.sampling_rate:,} Hz audio; asrx prepares {SAMPLE_RATE:,} Hz")
    if folder is None and extractor.feature_size != 1:
        raise ConfigError(f"feature_extractor.feature_size={extractor.feature_size}: a waveform has 1 value per sample")
    return extractor


def _typed(name: str, value: Any, default: Any) -> Any:
    if isinstance(default, bool):
        return as_bool(name, value)
    if isinstance(default, (int, float)) and (isinstance(value, bool) or not isinstance(value, (int, float))):
        raise ConfigError(f"{name}={value}: must be a number")
    return value


def _scratch_model(tokenizer: Any, options: Config) -> Any:
    from huggingface_hub.errors import StrictDataclassError
    from transformers import Wav2Vec2Config, Wav2Vec2ForCTC

    _check_model_keys(options.extra["model"], set(Wav2Vec2Config().to_dict()))
    keys = {**SCRATCH_CONFIG, **LOSS, **options.extra["model"], **_sizes(tokenizer)}
    if "conv_dim" in options.extra["model"]:
        keys["num_feat_extract_layers"] = len(keys["conv_dim"])
    try:
        return Wav2Vec2ForCTC(Wav2Vec2Config(**keys))
    except (ValueError, TypeError, RuntimeError, ArithmeticError, StrictDataclassError) as error:
        raise ConfigError(f"the model options do not fit together: {' '.join(str(error).split())}") from None


def _checkpoint_model(folder: Path, tokenizer: Any, built: bool, options: Config) -> Any:
    from transformers import AutoModelForCTC

    _check_model_keys(options.extra["model"], set(loading.config(folder).to_dict()) | set(LOSS))
    sizes = _sizes(tokenizer) if built else {"pad_token_id": tokenizer.pad_token_id}  # loss and decoder must agree on the blank
    keys = {**LOSS, **options.extra["model"], **sizes}
    model = loading.quietly(
        lambda: AutoModelForCTC.from_pretrained(folder, ignore_mismatched_sizes=built, use_safetensors=True, trust_remote_code=False, **keys),
        options.model.name,
    )
    outputs = model.config.vocab_size
    if max(tokenizer.get_vocab().values()) >= outputs and tokenizer.pad_token_id >= outputs:
        raise ModelError(f"the model {options.model.name} has {outputs} outputs but its vocabulary {len(tokenizer)} tokens: they do not belong together")
    return model


def _sizes(tokenizer: Any) -> dict[str, int]:
    return {"vocab_size": len(tokenizer), "pad_token_id": tokenizer.pad_token_id}


def _freeze(model: Any, options: Config, scratch: bool) -> None:
    wanted = options.model.freeze_feature_encoder
    frozen = not scratch if wanted == AUTO else as_bool("model.freeze_feature_encoder", wanted)
    if frozen and hasattr(model, "freeze_feature_encoder"):
        model.freeze_feature_encoder()


def _check_model_keys(keys: dict[str, Any], known: set[str]) -> None:
    _check_keys("model", keys, known)
    for key, value in keys.items():
        if key in FROM_VOCABULARY:
            raise ConfigError(f"model.{key} follows from the vocabulary and cannot be given")
        if key in SIZES and not (isinstance(value, int) and value > 0):
            raise ConfigError(f"model.{key}={value}: must be a whole number of 1 or more")


def _check_keys(section: str, keys: dict[str, Any], known: set[str]) -> None:
    for key in keys:
        if key not in known:
            raise ConfigError(f"there is no option {section}.{key}{nearest(key, known)}")
