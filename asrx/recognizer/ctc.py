"""CTC recognition: samples to text, confidence and word times. Depends on nothing of asrx outside this folder."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from . import fbank
from .audio import SAMPLE_RATE
from .results import Recognition, Word
from .tokens import read_tokenizer

LENGTH_STEP = 3_200  # samples (0.2 s); oneDNN compiles its convolutions anew for every length that it has not seen
# Kinds of models whose output is the same whatever follows behind the attention mask; an adapter's convolutions hear it in all of them.
MASKED = ("wav2vec2", "wav2vec2-bert", "hubert", "wavlm", "unispeech", "unispeech-sat")
LONGEST_STEP = 10 * SAMPLE_RATE  # samples; no model takes longer for one frame


@dataclass(frozen=True)
class Emissions:
    """Greedy CTC path of one utterance: emitted token ids, their log-probabilities, the frames they came at."""

    ids: list[int]
    log_probabilities: list[float]
    frames: list[int]
    blank_log_probability: float  # mean over the frames


def greedy(logits: torch.Tensor, lengths: Sequence[int], blank: int) -> list[Emissions]:
    """Best path of each utterance: collapse repeats first, then drop blanks (Graves et al. 2006).

    `logits`: (batch, frames, vocabulary); `lengths`: valid frames of each utterance.
    """
    best, ids = torch.log_softmax(logits.float(), dim=-1).max(dim=-1)
    best, ids = best.cpu().numpy(), ids.cpu().numpy()
    return [_collapse(best[row, :length], ids[row, :length], blank) for row, length in enumerate(lengths)]


def _collapse(log_probabilities: np.ndarray, ids: np.ndarray, blank: int) -> Emissions:
    starts = np.flatnonzero(np.diff(ids, prepend=-1)) if len(ids) else np.empty(0, int)
    kept = starts[ids[starts] != blank]
    blanks = log_probabilities[ids == blank]
    return Emissions(
        ids[kept].tolist(),
        log_probabilities[kept].tolist(),
        kept.tolist(),
        float(blanks.mean()) if len(blanks) else 0.0,
    )


def hears_fbank(feature_extractor: Any) -> bool:
    """Whether a model hears log-mel features, as Wav2Vec2-BERT does, rather than samples."""
    return feature_extractor.model_input_names[0] == "input_features"


def output_frames(model: Any, feature_extractor: Any, samples: np.ndarray) -> np.ndarray:
    """Output frames for numbers of samples at 16 kHz: what the extractor's frames, convolutions and adapter strides leave of them."""
    heard = fbank.frames(samples) // feature_extractor.stride if hears_fbank(feature_extractor) else np.asarray(samples)
    return np.maximum(0, model._get_feat_extract_output_lengths(torch.from_numpy(heard)).numpy())


def shortest_samples(model: Any, feature_extractor: Any, frames: int = 1) -> int:
    """Samples that it takes for a number of output frames, at least 2 frames of log-mel features; to the 5 ms above."""
    lengths = np.arange(fbank.WINDOW + fbank.STEP, LONGEST_STEP + frames * SAMPLE_RATE, 80)
    return int(lengths[np.searchsorted(output_frames(model, feature_extractor, lengths), frames)])


def padding_step(model: Any, feature_extractor: Any) -> int:
    """Samples that lengths are rounded up to the next multiple of: 1 for models that hear padding."""
    config = model.config
    deaf = feature_extractor.return_attention_mask and config.model_type in MASKED and not getattr(config, "add_adapter", False)
    return LENGTH_STEP if deaf else 1


def model_inputs(model: Any, feature_extractor: Any, utterances: Sequence[np.ndarray], shortest: int, shortest_batch: int = 0) -> Any:
    """The model's inputs for float32 samples at 16 kHz, on the CPU.

    Utterances of less than `shortest` samples are filled up with silence, batches of less than `shortest_batch` with padding.
    """
    if hears_fbank(feature_extractor):
        return fbank_inputs(model, feature_extractor, [fbank_features(feature_extractor, samples, shortest) for samples in utterances], shortest_batch)
    filled = [np.pad(samples, (0, max(0, shortest - len(samples)))) for samples in utterances]
    step = _padding_step(model, feature_extractor, max(map(len, filled)), shortest_batch)
    return feature_extractor(filled, sampling_rate=SAMPLE_RATE, padding=True, pad_to_multiple_of=step, return_tensors="pt")


def fbank_features(feature_extractor: Any, samples: np.ndarray, shortest: int) -> np.ndarray:
    """The log-mel features, shape (frames, bands), of an utterance of a model that hears them."""
    return fbank.features(feature_extractor, np.pad(samples, (0, max(0, shortest - len(samples)))))


def fbank_inputs(model: Any, feature_extractor: Any, features: Sequence[np.ndarray], shortest_batch: int = 0) -> Any:
    """`model_inputs` of utterances whose features are known."""
    longest = fbank.WINDOW + fbank.STEP * (max(map(len, features)) - 1)  # samples, of which `shortest_batch` is a whole number of frames, too
    return fbank.stacked(features, feature_extractor, -(-_padding_step(model, feature_extractor, longest, shortest_batch) // fbank.STEP))


def _padding_step(model: Any, feature_extractor: Any, longest: int, shortest_batch: int) -> int:
    """`padding_step`, for a batch of less than `shortest_batch` samples a multiple of it that makes it as long."""
    step = padding_step(model, feature_extractor)
    return step if longest >= shortest_batch else -(-shortest_batch // step) * step


class CtcRecognizer:
    """A CTC model of transformers (`AutoModelForCTC`) with its feature extractor and tokenizer."""

    def __init__(self, model: Any, feature_extractor: Any, tokenizer: Any, device: str | None = None) -> None:
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.model = model.eval().to(self.device)
        self.feature_extractor = feature_extractor
        self.tokenizer = tokenizer
        self.blank = tokenizer.pad_token_id
        self._shortest = shortest_samples(model, feature_extractor)
        self._special = {tokenizer.unk_token_id, tokenizer.bos_token_id, tokenizer.eos_token_id} - {None}

    @classmethod
    def load(cls, folder: str | Path, device: str | None = None) -> "CtcRecognizer":
        """Read a transformers folder: config, safetensors, vocabulary, feature extractor."""
        from transformers import AutoFeatureExtractor, AutoModelForCTC

        return cls(
            AutoModelForCTC.from_pretrained(folder, use_safetensors=True, trust_remote_code=False),
            AutoFeatureExtractor.from_pretrained(folder, trust_remote_code=False),
            read_tokenizer(folder),
            device,
        )

    def recognize(self, utterances: Sequence[np.ndarray], batch_size: int | None = None) -> list[Recognition]:
        """Text of each utterance: float32 samples at 16 kHz, shape (time,).

        On a CPU utterances go one by one: batching brings no speed there and one result never depends on its
        neighbours. On a GPU 16 at a time, unless `batch_size` says otherwise.
        """
        size = batch_size or (1 if self.device.type == "cpu" else 16)
        order = sorted(range(len(utterances)), key=lambda index: len(utterances[index]))
        results: dict[int, Recognition] = {}
        for start in range(0, len(order), size):
            batch = order[start : start + size]
            results.update(zip(batch, self._recognize_batch([utterances[index] for index in batch])))
        return [results[index] for index in range(len(utterances))]

    def _recognize_batch(self, utterances: list[np.ndarray]) -> list[Recognition]:
        inputs = model_inputs(self.model, self.feature_extractor, utterances, self._shortest)
        with torch.inference_mode():
            logits = self.model(**inputs.to(self.device)).logits
        samples = np.maximum([len(utterance) for utterance in utterances], self._shortest)
        lengths = np.minimum(output_frames(self.model, self.feature_extractor, samples), logits.shape[1]).tolist()
        return [
            self.recognition(emissions, count / SAMPLE_RATE / max(1, length))
            for emissions, count, length in zip(greedy(logits, lengths, self.blank), samples.tolist(), lengths, strict=True)
        ]

    def recognition(self, emissions: Emissions, frame_seconds: float) -> Recognition:
        """Emissions as text with confidence and word times."""
        kept = [index for index, token in enumerate(emissions.ids) if token not in self._special]
        scores = [emissions.log_probabilities[index] for index in kept] or [emissions.blank_log_probability]
        confidence = float(np.exp(np.mean(scores)))
        return Recognition(self.text([emissions.ids[index] for index in kept]), confidence, self._words(emissions, kept, frame_seconds))

    def text(self, ids: list[int]) -> str:
        """Token ids without blanks and repeats as text. Specials are gone before, so nothing is collapsed twice."""
        return " ".join(self.tokenizer.decode(ids, group_tokens=False, clean_up_tokenization_spaces=False).split()) if ids else ""

    def _words(self, emissions: Emissions, kept: list[int], frame_seconds: float) -> tuple[Word, ...]:
        delimiter = getattr(self.tokenizer, "word_delimiter_token_id", None)
        words, current = [], []
        for index in [*kept, None]:
            if index is not None and emissions.ids[index] != delimiter:
                current.append(index)
            elif current:
                start, end = emissions.frames[current[0]], emissions.frames[current[-1]] + 1
                text = self.text([emissions.ids[position] for position in current])
                words.append(Word(text, round(start * frame_seconds, 3), round(end * frame_seconds, 3)))
                current = []
        return tuple(word for word in words if word.text)
