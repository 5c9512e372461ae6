"""The CTC family: wav2vec 2.0 and its kin, MMS and Wav2Vec2-BERT through AutoModelForCTC, or a small one from scratch."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..config import AUTO, Config, as_bool
from ..errors import ConfigError, ModelError
from ..findings import Finding
from ..options import VOCABULARIES, Model
from ..recognizer.audio import SAMPLE_RATE
from ..text import apply_case
from . import architectures, ctc_findings, keys, loading, mms, trainable, vocabulary
from .round_trip import round_trip

# Defaults differ between families; these two keep one impossible label from spoiling a batch.
LOSS = {"ctc_loss_reduction": "mean", "ctc_zero_infinity": True}


@dataclass
class CtcFamily:
    """A CTC model with its feature extractor and tokenizer, ready to train."""

    model: Any
    feature_extractor: Any
    tokenizer: Any
    case: str | None  # that transcripts are brought to
    language: str | None = None  # of an MMS model
    vocabulary_of: str = "the model"  # where the vocabulary comes from, in words
    writes: bool = False  # whether the output layer was trained with this vocabulary before

    def __post_init__(self) -> None:
        from ..recognizer.ctc import shortest_samples

        options = self.model.config
        masked = getattr(options, "apply_spec_augment", False) and getattr(options, "mask_time_prob", 0) > 0
        self._shortest = shortest_samples(self.model, self.feature_extractor)
        # SpecAugment fails on a batch with fewer frames than one mask.
        self._shortest_batch = shortest_samples(self.model, self.feature_extractor, options.mask_time_length + 2) if masked else 0

    def labels(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of transcripts, cased to the vocabulary."""
        return [self.tokenizer(apply_case(text, self.case)).input_ids for text in texts]

    def join(self, first: Sequence[int], second: Sequence[int], seconds: float) -> list[int]:
        """With a word delimiter between the two."""
        delimiter = getattr(self.tokenizer, "word_delimiter_token_id", None)
        return [*first, *([] if delimiter is None else [delimiter]), *second]

    def fits(self, labels: Sequence[Sequence[int]], samples: np.ndarray) -> np.ndarray:
        """CTC emits a token per frame at most, and a blank between equal ones; an empty label teaches nothing."""
        needed = _needed(labels)
        return (needed <= self._frames(samples)) & (needed > 0)

    def padded_seconds(self, longest: float) -> float:
        """All of a batch are as long as the longest."""
        return longest

    def preflight(self, ids: Sequence[str], texts: Sequence[str], labels: Sequence[Sequence[int]], samples: np.ndarray) -> list[Finding]:
        """Characters, vocabulary, output layer, frames, and the way from text to labels and back."""
        tokenizer, options = self.tokenizer, self.model.config
        stride = options.adapter_stride**options.num_adapter_layers if getattr(options, "add_adapter", False) else 1
        return [
            ctc_findings.unknown_characters(tokenizer, texts, self.case, self.vocabulary_of),
            ctc_findings.vocabulary_size(tokenizer, self.vocabulary_of),
            ctc_findings.output_layer(tokenizer, self.model.lm_head.out_features, labels),
            ctc_findings.special_tokens(tokenizer, options.pad_token_id, texts),
            ctc_findings.label_length(_needed(labels), self._frames(samples), stride, samples / SAMPLE_RATE, ids),
            round_trip([apply_case(text, self.case) for text in texts], labels, self._recognizer().text, tokenizer.unk_token_id),
        ]

    def features(self, waveform: np.ndarray) -> np.ndarray | None:
        """Log-mel features, where the model hears them."""
        from ..recognizer.ctc import fbank_features, hears_fbank

        return fbank_features(self.feature_extractor, waveform, self._shortest) if hears_fbank(self.feature_extractor) else None

    def collate(self, waveforms: Sequence[np.ndarray], labels: Sequence[Sequence[int]], seeds: Sequence[tuple[int, ...]] = ()) -> dict[str, Any]:
        """A batch of float32 waveforms at 16 kHz, or of `features`, and labels, padded; -100 where no label is."""
        import torch

        from ..recognizer.ctc import fbank_inputs, model_inputs

        if waveforms[0].ndim > 1:
            batch = fbank_inputs(self.model, self.feature_extractor, waveforms, self._shortest_batch)
        else:
            batch = model_inputs(self.model, self.feature_extractor, waveforms, self._shortest, self._shortest_batch)
        widest = max(len(label) for label in labels)
        batch["labels"] = torch.tensor([[*label, *[-100] * (widest - len(label))] for label in labels])
        return dict(batch)

    def select(self, batch: dict[str, Any], rows: Sequence[int]) -> dict[str, Any]:
        """Rows of every tensor."""
        return {name: value[list(rows)] for name, value in batch.items()}

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
        with torch.no_grad():  # what a model keeps for its next batch must be fit for training
            output = self.model(**{name: value.to(self.model.device) for name, value in batch.items()})
        samples = np.maximum([len(waveform) for waveform in waveforms], self._shortest)
        lengths = np.minimum(self._frames(samples), output.logits.shape[1])
        recognizer = self._recognizer()
        emissions = greedy(output.logits, lengths.tolist(), recognizer.blank)
        return float(output.loss), [recognizer.recognition(item, 0.02).text for item in emissions]

    def save(self, folder: Path) -> None:
        """Write what `from_pretrained` of plain transformers reads; of MMS the one language, also as an adapter to be loaded by name."""
        model = trainable.plain(self.model)
        model.save_pretrained(folder)
        self.feature_extractor.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)
        if self.language:
            mms.save_adapter(model, folder, self.language)

    def _frames(self, samples: np.ndarray) -> np.ndarray:
        """Output frames for numbers of input samples."""
        from ..recognizer.ctc import output_frames

        return output_frames(self.model, self.feature_extractor, samples)

    def _recognizer(self) -> Any:
        """The recognizer that serving uses, on this very model."""
        from ..recognizer.ctc import CtcRecognizer

        return CtcRecognizer(self.model, self.feature_extractor, self.tokenizer, str(self.model.device))


def load_family(folder: Path | None, options: Config, texts: Sequence[str]) -> CtcFamily:
    """The CTC model in `folder` (None: a small one from scratch) with vocabulary and feature extractor; `texts` is the training text alone."""
    scratch = folder is None
    for name, plain in (("task", Model.task), ("timestamps", Model.timestamps)):
        if getattr(options.model, name) != plain:
            raise ConfigError(f"model.{name}={getattr(options.model, name)}: a CTC model has no tokens for it; it is an option of Whisper")
    if smoothing := options.trainer.label_smoothing_factor:
        raise ConfigError(f"trainer.label_smoothing_factor={smoothing:g}: the loss of CTC has no target per frame to smooth; it is an option of Whisper")
    keys.check_keys("tokenizer", options.extra["tokenizer"], vocabulary.option_names())
    language = mms.language(folder, options)
    case = options.text.case
    tokenizer = _given_vocabulary(folder, options, language)
    built = tokenizer is None
    if built:
        case = case or "lower"
        tokenizer = vocabulary.build([apply_case(text, case) for text in texts], options.extra["tokenizer"], language)
    case = case or vocabulary.case_of(tokenizer)
    extractor = _feature_extractor(folder, options)
    model = _scratch_model(tokenizer, options) if scratch else _checkpoint_model(folder, tokenizer, _has_own(folder, options), language, options)
    architectures.check_inputs(model, extractor)
    architectures.check_feature_masks(model.config)
    _repair(model)
    _freeze(model, options, scratch)
    writes = not scratch and _has_own(folder, options) and (language is None or language in mms.languages(folder))
    return CtcFamily(trainable.apply(model, options.model), extractor, tokenizer, case, language, _vocabulary_of(options, built), writes)


def _given_vocabulary(folder: Path | None, options: Config, language: str | None) -> Any | None:
    """The vocabulary of the checkpoint, or of the model that `text.vocabulary` names; None where one is to be built."""
    wanted = options.text.vocabulary
    if wanted not in VOCABULARIES:
        return loading.tokenizer(loading.locate(wanted, weights=False), options.extra["tokenizer"])
    return None if folder is None or wanted == "build" else _checkpoint_vocabulary(folder, options, language)


def _has_own(folder: Path, options: Config) -> bool:
    """Whether the output layer belongs to the vocabulary that is used."""
    return options.text.vocabulary in (AUTO, "checkpoint") and loading.has_vocabulary(folder)


def _checkpoint_vocabulary(folder: Path, options: Config, language: str | None) -> Any | None:
    """The checkpoint's tokenizer; None where a model without an output layer needs one built."""
    if loading.has_vocabulary(folder):
        if not mms.languages(folder):
            return loading.tokenizer(folder, options.extra["tokenizer"])
        return vocabulary.of_language(loading.tokenizer(folder, {**options.extra["tokenizer"], "target_lang": language}), language)
    trained = any("ForCTC" in name for name in loading.config(folder).architectures or [])
    if options.text.vocabulary == "checkpoint" or trained:
        raise ModelError(
            f"the model {options.model.name} has no vocabulary (vocab.json); add it to the folder, or give "
            "text.vocabulary=build to train a new output layer with a vocabulary from the training text"
        )
    return None


def _vocabulary_of(options: Config, built: bool) -> str:
    """Where the vocabulary comes from."""
    if built:
        return "the training text"
    return options.model.name if options.text.vocabulary in VOCABULARIES else f"text.vocabulary={options.text.vocabulary}"


def _needed(labels: Sequence[Sequence[int]]) -> np.ndarray:
    """Frames that each label takes: one per token, and one for the blank between equal ones."""
    return np.array([len(label) + sum(a == b for a, b in zip(label, label[1:])) for label in labels], np.int64)


def _feature_extractor(folder: Path | None, options: Config) -> Any:
    from transformers import SeamlessM4TFeatureExtractor, Wav2Vec2FeatureExtractor

    extractor = loading.feature_extractor(folder) if folder else architectures.feature_extractor(options.model.architecture)
    if not isinstance(extractor, (SeamlessM4TFeatureExtractor, Wav2Vec2FeatureExtractor)):
        kind = loading.config(folder).model_type
        raise ModelError(f"the model {options.model.name} is a {kind}: asrx trains CTC models that hear samples, or features as Wav2Vec2-BERT does")
    changed = keys.set_extractor_keys(extractor, options.extra["feature_extractor"])
    return keys.built(lambda: type(changed).from_dict(changed.to_dict()))  # what is derived from the options anew


def _scratch_model(tokenizer: Any, options: Config) -> Any:
    return architectures.model(options.model.architecture, {**LOSS, **_sizes(tokenizer)}, options.extra["model"])


def _checkpoint_model(folder: Path, tokenizer: Any, own: bool, language: str | None, options: Config) -> Any:
    """`own`: the vocabulary is that of the checkpoint's output layer; otherwise that layer is made anew."""
    from transformers import AutoModelForCTC

    given, name = options.extra["model"], options.model.name
    keys.check_model_keys(given, set(loading.config(folder).to_dict()) | set(LOSS))
    # Loss and decoder must agree on the blank; the output layer of an MMS language lies apart and has a size of its own.
    sizes = {"pad_token_id": tokenizer.pad_token_id} if own and not language else _sizes(tokenizer)
    settings = {**LOSS, **given, **sizes}
    resized = not own or language is not None
    model = loading.quietly(
        lambda: AutoModelForCTC.from_pretrained(folder, ignore_mismatched_sizes=resized, use_safetensors=True, trust_remote_code=False, **settings), name
    )
    if not own:
        _begin_output_layer(model)
    if language:
        mms.load_adapter(model, folder, name, language, with_head=own)
    outputs = model.config.vocab_size
    if max(tokenizer.get_vocab().values()) >= outputs and tokenizer.pad_token_id >= outputs:
        raise ModelError(f"the model {name} has {outputs} outputs but its vocabulary {len(tokenizer)} tokens: they do not belong together")
    return model


def _repair(model: Any) -> None:
    """Two faults of transformers 5.23."""
    if not hasattr(model.config, "mask_feature_min_masks"):  # which WavLM's SpecAugment reads
        model.config.mask_feature_min_masks = 0
    # Where layer drop hits an adapter, frames do not get fewer, and the loss is that of the text on the first half of the speech.
    if getattr(model.base_model, "adapter", None) is not None:
        model.base_model.adapter.layerdrop = 0.0


def _begin_output_layer(model: Any) -> None:
    """That of a vocabulary which happens to be as large as the old one was loaded, with other letters."""
    import torch

    with torch.no_grad():
        model.lm_head.weight.normal_(0, model.config.initializer_range)
        model.lm_head.bias.zero_()


def _sizes(tokenizer: Any) -> dict[str, int]:
    return {"vocab_size": len(tokenizer), "pad_token_id": tokenizer.pad_token_id}


def _freeze(model: Any, options: Config, scratch: bool) -> None:
    wanted = options.model.freeze_feature_encoder
    frozen = not scratch if wanted == AUTO else as_bool("model.freeze_feature_encoder", wanted)
    if not hasattr(model, "freeze_feature_encoder"):
        if frozen and wanted != AUTO:
            raise ConfigError(f"model.freeze_feature_encoder=true: a {model.config.model_type} has no convolutional feature encoder")
    elif frozen:
        model.freeze_feature_encoder()
