"""CTC recognition: samples to text, confidence and word times. Depends on nothing of asrx outside this folder."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .audio import SAMPLE_RATE

SHORTEST = 400  # samples; one receptive field of the usual convolutional encoder
LENGTH_STEP = 3_200  # samples (0.2 s); oneDNN compiles its convolutions anew for every length that it has not seen


@dataclass(frozen=True)
class Word:
    """A word and when it was said, in seconds from the start of the audio."""

    text: str
    start: float
    end: float


@dataclass(frozen=True)
class Recognition:
    """What was heard. `confidence` is exp(mean log-probability of the emitted tokens), 0..1;
    where nothing was emitted it is that of the blanks."""

    text: str
    confidence: float
    words: tuple[Word, ...] = field(default=())


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


def padding_step(feature_extractor: Any) -> int | None:
    """Samples that batch lengths are rounded up to; None for models that hear padding because they take no attention mask."""
    return LENGTH_STEP if feature_extractor.return_attention_mask else None


class CtcRecognizer:
    """A CTC model of transformers (`AutoModelForCTC`) with its feature extractor and tokenizer."""

    def __init__(self, model: Any, feature_extractor: Any, tokenizer: Any, device: str | None = None) -> None:
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.model = model.eval().to(self.device)
        self.feature_extractor = feature_extractor
        self.tokenizer = tokenizer
        self.blank = tokenizer.pad_token_id
        self._special = {tokenizer.unk_token_id, tokenizer.bos_token_id, tokenizer.eos_token_id} - {None}

    @classmethod
    def load(cls, folder: str | Path, device: str | None = None) -> "CtcRecognizer":
        """Read a transformers folder: config, safetensors, vocabulary, feature extractor."""
        from transformers import AutoFeatureExtractor, AutoModelForCTC, AutoTokenizer

        return cls(
            AutoModelForCTC.from_pretrained(folder, use_safetensors=True, trust_remote_code=False),
            AutoFeatureExtractor.from_pretrained(folder, trust_remote_code=False),
            AutoTokenizer.from_pretrained(folder, trust_remote_code=False),
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
        padded = [np.pad(samples, (0, max(0, SHORTEST - len(samples)))) for samples in utterances]
        step = padding_step(self.feature_extractor)
        inputs = self.feature_extractor(padded, sampling_rate=SAMPLE_RATE, padding=True, pad_to_multiple_of=step, return_tensors="pt")
        with torch.inference_mode():
            logits = self.model(**inputs.to(self.device)).logits
        lengths = [min(self.frames(len(samples)), logits.shape[1]) for samples in padded]
        return [
            self.recognition(emissions, len(samples) / SAMPLE_RATE / max(1, length))
            for emissions, samples, length in zip(greedy(logits, lengths, self.blank), padded, lengths, strict=True)
        ]

    def frames(self, samples: int) -> int:
        """Output frames for a number of input samples, convolutions and adapter strides included."""
        return int(self.model._get_feat_extract_output_lengths(torch.tensor(samples)))

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
