"""Recognition with Whisper: samples to text, confidence and, where asked for, times. Depends on nothing of asrx outside this folder."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .audio import SAMPLE_RATE
from .results import Recognition, Word
from .tokens import read_tokenizer
from .whisper_decoding import Decoding, GreedyDecoder
from .whisper_tokens import WhisperTokens
from .windows import is_quiet, windows

FRAMES_PER_POSITION = 2  # log-mel frames that Whisper's convolutions make one encoder position of
NO_SPEECH = 0.6  # probability; above it, and
UNSURE = -1.0  # with a mean log-probability below this, nobody speaks (openai/whisper)


@dataclass(frozen=True)
class Hypothesis:
    """What was heard in one window; word times count from its start."""

    text: str
    log_probabilities: tuple[float, ...]  # of the text tokens
    nothing: float  # log-probability of there being no text
    words: tuple[Word, ...] = ()


SILENCE = Hypothesis("", (), 0.0)


class Seq2SeqRecognizer:
    """A Whisper model of transformers with its feature extractor and tokenizer.

    `language` (`it`, `italian`) and `task` (`transcribe`, `translate`) default to those of the generation config; a language that
    is named nowhere is detected. With `timestamps` the words of a Recognition are the segments that the model tells apart.
    Raises ValueError for a language, task or times that the model has no tokens for.
    """

    def __init__(
        self,
        model: Any,
        feature_extractor: Any,
        tokenizer: Any,
        device: str | None = None,
        language: str | None = None,
        task: str | None = None,
        timestamps: bool = False,
    ) -> None:
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.model = model.eval().to(self.device)
        self.feature_extractor, self.tokenizer = feature_extractor, tokenizer
        config, generation = model.config, model.generation_config
        if feature_extractor.feature_size != config.num_mel_bins:
            raise ValueError(f"the model hears {config.num_mel_bins} mel bands, its feature extractor makes {feature_extractor.feature_size}")
        self._window = config.max_source_positions * FRAMES_PER_POSITION * feature_extractor.hop_length  # samples
        self._step = FRAMES_PER_POSITION * feature_extractor.hop_length / SAMPLE_RATE  # s from one timestamp to the next
        self._tokens = WhisperTokens.of(generation, tokenizer, config.vocab_size, config.max_source_positions)
        self._language = self._tokens.language(language or getattr(generation, "language", None))
        self._task = self._tokens.task(task or getattr(generation, "task", None))
        self._timestamps = timestamps or bool(getattr(generation, "return_timestamps", False))
        if self._timestamps:
            self._tokens.check_timestamps()
        self._decoder = GreedyDecoder(self.model, self._tokens, self._timestamps)

    @classmethod
    def load(cls, folder: str | Path, device: str | None = None) -> "Seq2SeqRecognizer":
        """Read a transformers folder: config, generation config, safetensors, vocabulary, feature extractor."""
        from transformers import AutoFeatureExtractor, AutoModelForSpeechSeq2Seq

        return cls(
            AutoModelForSpeechSeq2Seq.from_pretrained(folder, use_safetensors=True, trust_remote_code=False, dtype=torch.float32),
            AutoFeatureExtractor.from_pretrained(folder, trust_remote_code=False),
            read_tokenizer(folder),
            device,
        )

    def recognize(self, utterances: Sequence[np.ndarray], batch_size: int | None = None) -> list[Recognition]:
        """Text of each utterance: float32 samples at 16 kHz, shape (time,).

        What is longer than the model's window is heard in consecutive windows. On a CPU windows go one by one, on a GPU 16 at
        a time, unless `batch_size` says otherwise.
        """
        pieces = [(index, start, piece) for index, samples in enumerate(utterances) for start, piece in windows(samples, self._window)]
        heard = {number: SILENCE for number in range(len(pieces))}
        spoken = sorted((number for number in heard if not is_quiet(pieces[number][2])), key=lambda number: len(pieces[number][2]))
        size = batch_size or (1 if self.device.type == "cpu" else 16)
        for first in range(0, len(spoken), size):
            batch = spoken[first : first + size]
            heard.update(zip(batch, self._hear([pieces[number][2] for number in batch]), strict=True))
        parts: list[list[tuple[float, Hypothesis]]] = [[] for _ in utterances]
        for number, (index, start, _) in enumerate(pieces):
            parts[index].append((start / SAMPLE_RATE, heard[number]))
        return [_joined(part) for part in parts]

    def decode(self, features: torch.Tensor, seconds: Sequence[float]) -> list[Recognition]:
        """Text of log-mel features, shape (batch, mels, 2 x max_source_positions); `seconds` of sound in each, without padding."""
        return [_joined([(0.0, item)]) for item in self._hypotheses(features, seconds)]

    def _hear(self, pieces: list[np.ndarray]) -> list[Hypothesis]:
        inputs = self.feature_extractor(pieces, sampling_rate=SAMPLE_RATE, padding="max_length", max_length=self._window, truncation=True, return_tensors="pt")
        return self._hypotheses(inputs.input_features, [len(piece) / SAMPLE_RATE for piece in pieces])

    @torch.inference_mode()
    def _hypotheses(self, features: torch.Tensor, seconds: Sequence[float]) -> list[Hypothesis]:
        states = self.model.get_encoder()(features.to(self.device, self.model.dtype)).last_hidden_state
        decodings = self._decoder.decode(states, self._prompts(states), seconds)
        return [self._hypothesis(decoding, length) for decoding, length in zip(decodings, seconds, strict=True)]

    def _prompts(self, states: torch.Tensor) -> torch.Tensor:
        """What the decoder begins with in each row, shape (batch, tokens): start, language, task, whether times are wanted."""
        languages = self._language
        if languages is None and self._tokens.languages:
            languages = self._decoder.detect_languages(states)
        without_times = None if self._timestamps else self._tokens.no_timestamps
        columns = [column for column in (self._tokens.start, languages, self._task, without_times) if column is not None]
        return torch.stack([torch.as_tensor(column, device=self.device).expand(len(states)) for column in columns], dim=1)

    def _hypothesis(self, decoding: Decoding, seconds: float) -> Hypothesis:
        said = [score for token, score in zip(decoding.tokens, decoding.log_probabilities, strict=True) if token in self._tokens.text]
        if decoding.no_speech > NO_SPEECH and np.mean(said or [decoding.end or 0.0]) < UNSURE:
            return Hypothesis("", (), float(np.log(decoding.no_speech)))
        words = self._segments(decoding.tokens, seconds) if self._timestamps else ()
        return Hypothesis(self._text(decoding.tokens), tuple(said), decoding.end or 0.0, words)

    def _segments(self, tokens: list[int], seconds: float) -> tuple[Word, ...]:
        """Text between timestamps; one that is not closed lasts to the end of the sound."""
        segments, current, start = [], [], 0.0
        for token in [*tokens, None]:
            if token in self._tokens.text:
                current.append(token)
                continue
            time = seconds if token is None else min(seconds, (token - self._tokens.timestamps.start) * self._step)
            if text := self._text(current):
                segments.append(Word(text, round(start, 3), round(time, 3)))
            current, start = [], time
        return tuple(segments)

    def _text(self, tokens: list[int]) -> str:
        """Tokens as text, without timestamps; a character whose last bytes were cut off is dropped."""
        ids = [token for token in tokens if token in self._tokens.text]
        text = self.tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return " ".join(text.rstrip("\N{REPLACEMENT CHARACTER}").split())


def _joined(parts: list[tuple[float, Hypothesis]]) -> Recognition:
    """Windows, each with its first second, as one recording."""
    scores = [score for _, item in parts for score in item.log_probabilities] or [item.nothing for _, item in parts]
    words = [Word(word.text, round(word.start + start, 3), round(word.end + start, 3)) for start, item in parts for word in item.words]
    return Recognition(" ".join(item.text for _, item in parts if item.text), float(np.exp(np.mean(scores))), tuple(words))
