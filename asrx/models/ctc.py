"""The CTC family: wav2vec 2.0, HuBERT and WavLM through AutoModelForCTC, or a small one from scratch."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..config import AUTO, Config, as_bool
from ..errors import ConfigError, ModelError
from ..recognizer.audio import SAMPLE_RATE
from ..text import apply_case
from . import keys, loading, vocabulary

log = logging.getLogger("asrx")

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

    def join(self, first: Sequence[int], second: Sequence[int], seconds: float) -> list[int]:
        """With a word delimiter between the two."""
        delimiter = getattr(self.tokenizer, "word_delimiter_token_id", None)
        return [*first, *([] if delimiter is None else [delimiter]), *second]

    def fits(self, labels: Sequence[Sequence[int]], samples: np.ndarray) -> np.ndarray:
        """CTC emits a token per frame at most, and a blank between equal ones; an empty label teaches nothing."""
        needed = np.array([len(label) + sum(a == b for a, b in zip(label, label[1:])) for label in labels])
        return (needed <= self._frames(samples)) & (needed > 0)

    def collate(self, waveforms: Sequence[np.ndarray], labels: Sequence[Sequence[int]], seeds: Sequence[tuple[int, ...]] = ()) -> dict[str, Any]:
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

    def weight(self, batch: dict[str, Any]) -> int:
        """Utterances: ctc_loss_reduction is `mean`."""
        return len(batch["labels"])

    def loss(self, outputs: Any, batch: dict[str, Any]) -> Any:
        """The model's own."""
        return outputs.loss

    def details(self, outputs: Any, batch: dict[str, Any]) -> dict[str, Any]:
        """None."""
        return {}

    def evaluate(self, waveforms: Sequence[np.ndarray], labels: Sequence[Sequence[int]]) -> tuple[float, list[str]]:
        """Mean loss per utterance and greedily decoded texts, in one pass."""
        import torch

        from ..recognizer.ctc import greedy

        batch = self.collate(waveforms, labels)
        with torch.inference_mode():
            output = self.model(**{name: value.to(self.model.device) for name, value in batch.items()})
        lengths = np.minimum(self._frames(np.array([len(waveform) for waveform in waveforms])), output.logits.shape[1])
        recognizer = self._recognizer()
        emissions = greedy(output.logits, lengths.tolist(), recognizer.blank)
        return float(output.loss), [recognizer.recognition(item, 0.02).text for item in emissions]

    def save(self, folder: Path) -> None:
        """Write what `from_pretrained` of plain transformers reads."""
        self.model.save_pretrained(folder)
        self.feature_extractor.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)

    def _frames(self, samples: np.ndarray) -> np.ndarray:
        """Output frames for numbers of input samples."""
        import torch

        return self.model._get_feat_extract_output_lengths(torch.as_tensor(samples)).numpy()

    def _shortest_samples(self) -> int:
        """SpecAugment fails on a batch with fewer frames than one mask; a longer zero tail is masked out anyway."""
        options = self.model.config
        masked = getattr(options, "apply_spec_augment", False) and getattr(options, "mask_time_prob", 0) > 0
        ratio = getattr(options, "inputs_to_logits_ratio", 320)
        return (options.mask_time_length + 2) * ratio if masked else 400

    def _recognizer(self) -> Any:
        """The recognizer that serving uses, on this very model."""
        from ..recognizer.ctc import CtcRecognizer

        return CtcRecognizer(self.model, self.feature_extractor, self.tokenizer, str(self.model.device))


def load_family(folder: Path | None, options: Config, texts: Sequence[str]) -> CtcFamily:
    """The CTC model in `folder` (None: a small one from scratch) with vocabulary and feature extractor; `texts` is the training text alone."""
    scratch = folder is None
    keys.check_keys("tokenizer", options.extra["tokenizer"], vocabulary.option_names())
    case = options.text.case or ("lower" if scratch else None)
    tokenizer = _given_vocabulary(folder, options)
    built = tokenizer is None
    if built:
        case = case or "lower"
        tokenizer = vocabulary.build([apply_case(text, case) for text in texts], options.extra["tokenizer"])
    case = case or vocabulary.case_of(tokenizer)
    _check_coverage(tokenizer, [apply_case(text, case) for text in texts], options)
    extractor = _feature_extractor(folder, options)
    model = _scratch_model(tokenizer, options) if scratch else _checkpoint_model(folder, tokenizer, _has_own(folder, options), options)
    _freeze(model, options, scratch)
    return CtcFamily(model, extractor, tokenizer, case)


def _given_vocabulary(folder: Path | None, options: Config) -> Any | None:
    """The vocabulary of the checkpoint, or of the model that `text.vocabulary` names; None where one is to be built."""
    wanted = options.text.vocabulary
    if wanted not in (AUTO, "checkpoint", "build"):
        return loading.tokenizer(loading.locate(wanted, weights=False), options.extra["tokenizer"])
    return None if folder is None or wanted == "build" else _checkpoint_vocabulary(folder, options)


def _has_own(folder: Path, options: Config) -> bool:
    """Whether the output layer belongs to the vocabulary that is used."""
    return options.text.vocabulary in (AUTO, "checkpoint") and loading.has_vocabulary(folder)


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

    extractor = loading.feature_extractor(folder) if folder else Wav2Vec2FeatureExtractor(return_attention_mask=True)
    extractor = keys.set_extractor_keys(extractor, options.extra["feature_extractor"])
    if folder is None and extractor.feature_size != 1:
        raise ConfigError(f"feature_extractor.feature_size={extractor.feature_size}: a waveform has 1 value per sample")
    return extractor


def _scratch_model(tokenizer: Any, options: Config) -> Any:
    from transformers import Wav2Vec2Config, Wav2Vec2ForCTC

    given = options.extra["model"]
    keys.check_model_keys(given, set(Wav2Vec2Config().to_dict()))
    settings = {**SCRATCH_CONFIG, **LOSS, **given, **_sizes(tokenizer)}
    if "conv_dim" in given:
        settings["num_feat_extract_layers"] = len(settings["conv_dim"])
    return keys.built(lambda: Wav2Vec2ForCTC(Wav2Vec2Config(**settings)))


def _checkpoint_model(folder: Path, tokenizer: Any, own: bool, options: Config) -> Any:
    """`own`: the vocabulary is that of the checkpoint's output layer; otherwise that layer is made anew."""
    from transformers import AutoModelForCTC

    given = options.extra["model"]
    keys.check_model_keys(given, set(loading.config(folder).to_dict()) | set(LOSS))
    sizes = {"pad_token_id": tokenizer.pad_token_id} if own else _sizes(tokenizer)  # loss and decoder must agree on the blank
    settings = {**LOSS, **given, **sizes}
    model = loading.quietly(
        lambda: AutoModelForCTC.from_pretrained(folder, ignore_mismatched_sizes=not own, use_safetensors=True, trust_remote_code=False, **settings),
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
