"""The encoder-decoder family: Whisper, from a checkpoint or a small one from scratch."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ..config import Config
from ..errors import ConfigError
from ..findings import Finding
from ..recognizer.audio import SAMPLE_RATE
from ..recognizer.whisper_tokens import NO_TIMESTAMPS
from ..text import apply_case
from . import trainable, whisper_findings, whisper_loading, whisper_prompt
from .round_trip import round_trip
from .subwords import SECONDS_PER_STEP
from .whisper_features import log_mel, windows
from .whisper_window import FRAMES_PER_POSITION, KEY, POSITIONS_PER_SECOND

IGNORED = -100  # label that has no loss
LONGEST_JOINED = 15.0  # s of two utterances that augment.concatenate puts together, without a budget per batch


@dataclass
class WhisperFamily:
    """A Whisper with its feature extractor and tokenizer, ready to train.

    A label is the prompt (language, task, no times), the text and the end. With times the text stands between two of them, of which
    the second is filled in when the length of the audio is known.
    """

    model: Any
    feature_extractor: Any
    tokenizer: Any
    case: str | None  # that transcripts are brought to
    prompt: list[int]  # what each label begins with
    timestamps: bool
    stretch: float  # longest audio that augmentation makes of one second, in s
    writes: bool = False  # whether it was trained before
    smoothing: float = 0.0  # share of each target that goes to all tokens alike (Szegedy et al. 2016)

    @property
    def window(self) -> int:
        """Samples that the model hears at once."""
        return self.model.config.max_source_positions * FRAMES_PER_POSITION * self.feature_extractor.hop_length

    def labels(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of transcripts, without the start token that the decoder begins with."""
        space = " " if self.timestamps else ""  # as Whisper's own segments begin, which are put together as they are
        written = self._encoded([space + apply_case(text, self.case) if text else "" for text in texts])
        times = [self._time(0)] if self.timestamps else []
        return [[*self.prompt, *times, *ids, *times, self._end] for ids in written]

    def join(self, first: Sequence[int], second: Sequence[int], seconds: float) -> list[int]:
        """One prompt, both texts with a space between, one end; with times the second begins where the first ends."""
        begin, tail = len(self.prompt), 1 + self.timestamps
        if self.timestamps:
            boundary = self._time(seconds)
            return [*first[:-tail], boundary, boundary, *second[begin + 1 :]]
        texts = [self.tokenizer.decode(list(label[begin:-tail]), clean_up_tokenization_spaces=False) for label in (first, second)]
        return [*self.prompt, *self._encoded([" ".join(filter(None, texts))])[0], self._end]

    def fits(self, labels: Sequence[Sequence[int]], samples: np.ndarray) -> np.ndarray:
        """Audio no longer than the window, a label no longer than the decoder, and some text."""
        heard = samples * self.stretch <= self.window
        lengths = np.array([len(label) for label in labels])
        return heard & (lengths <= self.model.config.max_target_positions) & (lengths > self._empty)

    def padded_seconds(self, longest: float) -> float:
        """Every utterance costs a whole window."""
        return self.window / SAMPLE_RATE

    def preflight(self, ids: Sequence[str], texts: Sequence[str], labels: Sequence[Sequence[int]], samples: np.ndarray) -> list[Finding]:
        """The tokens that labels begin with, their lengths, and the way from text to labels and back. No character is unknown to bytes."""
        generation = self.model.generation_config
        named = "".join(self.tokenizer.convert_ids_to_tokens(self.prompt))
        lengths = np.array([len(label) for label in labels], np.int64)
        begin, tail = len(self.prompt) + self.timestamps, 1 + self.timestamps
        return [
            whisper_findings.prefix(named, self.problems(), getattr(generation, "language", None), getattr(generation, "task", None), texts),
            whisper_findings.label_length(lengths, self._empty, self.model.config.max_target_positions, samples, self.window, self.stretch, ids),
            round_trip([apply_case(text, self.case) for text in texts], [label[begin:-tail] for label in labels], self._text),
        ]

    def features(self, waveform: np.ndarray) -> np.ndarray | None:
        """Log-mel features of the window; None with times, for which the length of the audio is asked."""
        return None if self.timestamps else log_mel(self.feature_extractor, waveform[: self.window])

    def collate(self, waveforms: Sequence[np.ndarray], labels: Sequence[Sequence[int]], seeds: Sequence[tuple[int, ...]] = ()) -> dict[str, Any]:
        """Log-mel windows, shape (batch, mels, frames), and which frames are sound, from float32 waveforms at 16 kHz or `features`; labels padded with -100."""
        import torch

        heard = [waveform[: self.window] for waveform in waveforms]
        known = [each if each.ndim > 1 else log_mel(self.feature_extractor, each) for each in heard]
        batch = windows(known, self.window // self.feature_extractor.hop_length)
        timed = [self._timed(label, len(waveform) / SAMPLE_RATE)[: self.model.config.max_target_positions] for label, waveform in zip(labels, heard)]
        widest = max(len(label) for label in timed)
        padded = torch.tensor([[*label, *[IGNORED] * (widest - len(label))] for label in timed])
        return {**batch, "labels": padded}

    def select(self, batch: dict[str, Any], rows: Sequence[int]) -> dict[str, Any]:
        """Rows of every tensor."""
        return {name: value[list(rows)] for name, value in batch.items()}

    def weight(self, batch: dict[str, Any]) -> int:
        """Tokens of the labels."""
        return int((batch["labels"] != IGNORED).sum())

    def loss(self, outputs: Any, batch: dict[str, Any]) -> Any:
        """The mean over tokens: the model's own, or with smoothed labels."""
        if not self.smoothing:
            return outputs.loss
        from torch.nn.functional import cross_entropy

        return cross_entropy(outputs.logits.float().transpose(1, 2), batch["labels"], ignore_index=IGNORED, label_smoothing=self.smoothing)

    def details(self, outputs: Any, batch: dict[str, Any]) -> dict[str, Any]:
        """Share of the tokens that are right where all before them are given."""
        labels = batch["labels"]
        right = (outputs.logits.detach().argmax(-1) == labels).sum()
        return {"token_accuracy": right / (labels != IGNORED).sum()}

    def evaluate(self, waveforms: Sequence[np.ndarray], labels: Sequence[Sequence[int]]) -> tuple[float, list[str]]:
        """Mean loss per utterance where all tokens before are given, and texts as the model generates them, longer audio window by window."""
        import torch
        from torch.nn.functional import cross_entropy

        batch = {name: value.to(self.model.device) for name, value in self.collate(waveforms, labels).items()}
        with torch.no_grad():  # what a model keeps for its next batch must be fit for training
            logits = self.model(**batch).logits
            losses = cross_entropy(logits.float().transpose(1, 2), batch["labels"], ignore_index=IGNORED, reduction="none").sum(1)
            mean = float((losses / (batch["labels"] != IGNORED).sum(1)).mean())
        return mean, [heard.text for heard in self._recognizer.recognize(waveforms, len(waveforms))]

    def problems(self) -> list[str]:
        """Where labels, generation, tokenizer and feature extractor disagree, in sentences."""
        return whisper_prompt.problems(self.model, self.feature_extractor, self.tokenizer, self.prompt)

    def save(self, folder: Path) -> None:
        """Write what `from_pretrained` of plain transformers reads; its `generate` and `pipeline` write the language that was trained."""
        trainable.plain(self.model).save_pretrained(folder)
        self.feature_extractor.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)

    @cached_property
    def _recognizer(self) -> Any:
        """The recognizer that serving uses, on this very model, wherever it has been moved to by the first evaluation."""
        from ..recognizer.seq2seq import Seq2SeqRecognizer

        return Seq2SeqRecognizer(self.model, self.feature_extractor, self.tokenizer, str(self.model.device))

    def _text(self, ids: list[int]) -> str:
        return self.tokenizer.decode(ids, clean_up_tokenization_spaces=False)

    @property
    def _end(self) -> int:
        return self.tokenizer.eos_token_id

    @property
    def _empty(self) -> int:
        """Tokens of a label without text."""
        return len(self.prompt) + 2 * self.timestamps + 1

    def _encoded(self, texts: list[str]) -> list[list[int]]:
        return self.tokenizer(texts, add_special_tokens=False).input_ids if texts else []

    def _time(self, seconds: float) -> int:
        """The token of a time in the window."""
        step = min(round(seconds / SECONDS_PER_STEP), self.model.config.max_source_positions)
        return self.tokenizer.convert_tokens_to_ids(NO_TIMESTAMPS) + 1 + step

    def _timed(self, label: Sequence[int], seconds: float) -> list[int]:
        """The label with the time when its audio ends."""
        return [*label[:-2], self._time(seconds), label[-1]] if self.timestamps else list(label)


def load_family(folder: Path | None, options: Config, texts: Sequence[str]) -> WhisperFamily:
    """The Whisper in `folder`, or a small one from scratch with a vocabulary built from `texts`, the training text alone.

    Raises ConfigError for options that do not fit the model or each other, ModelError for a checkpoint whose parts disagree.
    """
    own = options.model
    case = options.text.case or ("lower" if folder is None else None)
    if folder is None:
        from transformers import WhisperConfig

        whisper_loading.check_model_keys(options.extra["model"], set(WhisperConfig().to_dict()))
        steps = whisper_loading.positions(options) + 1 if own.timestamps else 0
        tokenizer = whisper_loading.tokenizer(None, options, [apply_case(text, case) for text in texts], steps)
        model = whisper_loading.scratch_model(tokenizer, options)
    else:
        tokenizer = whisper_loading.tokenizer(folder, options, texts, 0)
        model = whisper_loading.checkpoint_model(folder, options)
    whisper_loading.check_spec_augment(model.config)
    _check_augmentation(options, model.config.max_source_positions / POSITIONS_PER_SECOND)
    extractor = whisper_loading.feature_extractor(folder, options, model)
    prompt = whisper_prompt.set_up(model, tokenizer, options.text.language, own.task, own.timestamps)
    whisper_prompt.check(model, extractor, tokenizer, prompt, own.name)
    whisper_loading.freeze(model, options)
    trained, stretch = trainable.apply(model, own), 1 / (1 - options.augment.speed)
    smoothing = options.trainer.label_smoothing_factor
    return WhisperFamily(trained, extractor, tokenizer, case, prompt, own.timestamps, stretch, folder is not None, smoothing)


def _check_augmentation(options: Config, window: float) -> None:
    """`window`: what the model hears at once, in s."""
    augment = options.augment
    if not augment.concatenate:
        return
    longest = (options.batch.seconds or LONGEST_JOINED) / (1 - augment.speed)
    if longest > window:
        raise ConfigError(
            f"augment.concatenate={augment.concatenate:g}: two utterances together may last {longest:.3g} s, the model hears {window:g} s at once; "
            f"set it to 0, or raise model.{KEY}"
        )
    if augment.speed and options.model.timestamps:
        raise ConfigError("augment.speed and augment.concatenate with model.timestamps=true: the times inside a joined utterance are not known; leave one out")
