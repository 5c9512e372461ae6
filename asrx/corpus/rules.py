"""The rules by which preparation leaves an utterance out. Each has a name, a bound that an option sets, and a reason that tells the measured value."""

import hashlib
import math
import unicodedata
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..config import Config
from ..recognizer.audio import SAMPLE_RATE, Limits
from . import alphabet
from .alphabet import Alphabet

FULL_SCALE = 32_768  # of int16 samples
SHOWN = 8  # characters or letters of a transcript that a reason names

RULES: dict[str, str] = {  # in the order in which they are asked
    "source": "the source's entry cannot be used: it names no recording, or something that is none",
    "empty_text": "the transcript is empty, or nothing is left of it after normalisation, with data.transcripts=required",
    "unspellable_number": "a number whose spoken form cannot be known from its digits, with text.digits=words",
    "unpronounceable": "the transcript has neither a letter nor a digit",
    "outside_vocabulary": "the transcript has characters that text.alphabet lacks",
    "missing_audio": "there is no such recording",
    "not_audio": "the content is no audio that can be decoded, whatever the name says",
    "empty_audio": "the recording has no samples",
    "rate": "the sample rate is below data.min_rate or above data.max_rate (Hz)",
    "truncated": "the recording is cut or damaged: more than data.max_missing (s) of what its header promises is missing",
    "bad_span": "the span that the source names is not in the recording, by more than data.max_missing (s)",
    "not_finite": "samples are NaN or infinite",
    "out_of_scale": "float samples are far above full scale: integers kept as floats",
    "antiphase": "the channels cancel each other out: their mean has less than data.antiphase of their energy",
    "bad_audio": "the recording cannot be read or decoded for another reason",
    "too_short": "shorter than data.min_seconds (s)",
    "too_long": "longer than data.max_seconds (s)",
    "silent": "the audio stays below data.min_level (dBFS): nothing, or a constant, was recorded",
    "clipped": "a larger share of the samples than data.max_clipping lies in runs at full scale",
    "few_characters": "fewer characters a second than data.min_chars_per_second: speech that is not in the transcript",
    "many_characters": "more characters a second than data.max_chars_per_second: text that is not in the audio",
    "label_too_long": "more characters, with one more between equal ones, than the model has frames at data.frame_rate (1/s): CTC cannot learn it",
    "duplicate": "an earlier utterance of the same split has the same audio, with data.duplicates=reject",
    "leakage": "a held-out utterance has the same audio; that one stays",
}


@dataclass(frozen=True)
class Rejected:
    """Why an utterance was left out: the rule's name and the measured reason."""

    rule: str
    reason: str


@dataclass(frozen=True)
class Rules:
    """The rules with their bounds, which are inclusive; goes to worker processes."""

    limits: Limits  # of decoding
    min_seconds: float
    max_seconds: float
    min_chars_per_second: float
    max_chars_per_second: float
    frame_rate: float  # frames per s
    max_clipping: float  # share of samples
    min_level: float  # dBFS
    spelled: bool  # numbers are spelled out: a digit that is left is one that cannot be
    alphabet: Alphabet | None
    untranscribed: bool = False  # utterances without a transcript are kept

    @classmethod
    def from_config(cls, config: Config) -> "Rules":
        """The rules that the sections data and text ask for. ConfigError if `text.alphabet` names no vocabulary."""
        data, text = config.data, config.text
        return cls(
            Limits(max_seconds=data.max_seconds, min_rate=data.min_rate, max_rate=data.max_rate, max_missing=data.max_missing, antiphase=data.antiphase),
            data.min_seconds, data.max_seconds, data.min_chars_per_second, data.max_chars_per_second, data.frame_rate, data.max_clipping, data.min_level,
            text.digits == "words", None if text.alphabet is None else alphabet.read(text.alphabet), data.transcripts == "optional",
        )  # fmt: skip

    def decoding_digest(self) -> str:
        """Digest of the bounds that decide decoding itself: equal ones accept the same recordings.

        Not of the bounds that `of_audio` asks of samples which are there already.
        """
        limits = self.limits
        deciding = (limits.min_rate, limits.max_rate, limits.max_missing, limits.antiphase, self.max_clipping)
        return hashlib.sha256(repr(tuple(map(float, deciding))).encode()).hexdigest()[:16]

    def of_text(self, raw: str, text: str) -> Rejected | None:
        """Why a transcript cannot be learned from, as it came (`raw`) and normalised (`text`); None if it can."""
        if not text and self.untranscribed:
            return None
        if not text:
            given = f"nothing of the transcript is left after normalisation: {raw.strip()[:SHOWN]}"
            return Rejected("empty_text", given if raw.strip() else "the transcript is empty")
        if self.spelled and (numbers := [word for word in text.split() if any(unicodedata.category(character)[0] == "N" for character in word)]):
            return Rejected("unspellable_number", f"it cannot be known how {' '.join(numbers[:SHOWN])} is spoken; write it out, or text.digits=keep")
        if not text.isalnum() and not any(unicodedata.category(character)[0] in "LN" for character in text):
            return Rejected("unpronounceable", f"the transcript has neither a letter nor a digit: {text[:SHOWN]}")
        if self.alphabet and (missing := self.alphabet.missing(text)):
            more = f" and {len(missing) - SHOWN} more" if len(missing) > SHOWN else ""
            return Rejected("outside_vocabulary", f"characters outside the vocabulary: {', '.join(map(_named, missing[:SHOWN]))}{more}")
        return None

    def of_audio(self, samples: np.ndarray, text: str, clipped: float) -> Rejected | None:
        """Why a recording, or its length beside the transcript, cannot be learned from; None if it can.

        `samples`: int16 at 16 kHz, shape (time,); `clipped`: share of the recording's samples in runs at full scale.
        """
        seconds = len(samples) / SAMPLE_RATE
        if seconds < self.min_seconds:
            return Rejected("too_short", f"{seconds:.3f} s is shorter than {self.min_seconds:g} s")
        if seconds > self.max_seconds:
            return Rejected("too_long", f"{seconds:.3f} s is longer than {self.max_seconds:g} s")
        swing = int(samples.max()) - int(samples.min()) if len(samples) else 0  # of a constant, which is no sound, it is zero
        if swing < self._smallest_swing:
            level = f"a peak of {20 * math.log10(swing / 2 / FULL_SCALE):.1f} dBFS is below" if swing else "all samples are equal, below"
            return Rejected("silent", f"the audio is silent: {level} {self.min_level:g} dBFS")
        if clipped > self.max_clipping:
            return Rejected("clipped", f"{clipped:.2%} of the samples lie in runs at full scale, more than {self.max_clipping:.2%}")
        return self._of_length(len(samples), text) if text or not self.untranscribed else None

    def _of_length(self, samples: int, text: str) -> Rejected | None:
        rate, seconds = len(text) * SAMPLE_RATE / samples, samples / SAMPLE_RATE
        if rate < self.min_chars_per_second:
            return Rejected("few_characters", f"{rate:.2f} characters a second ({len(text)} in {seconds:.3f} s) are fewer than {self.min_chars_per_second:g}")
        if rate > self.max_chars_per_second:
            return Rejected("many_characters", f"{rate:.2f} characters a second ({len(text)} in {seconds:.3f} s) are more than {self.max_chars_per_second:g}")
        frames = int(samples * self.frame_rate / SAMPLE_RATE)
        if 2 * len(text) > frames and (needed := _frames_needed(text)) > frames:
            repeated = needed - len(text)
            return Rejected("label_too_long", f"{len(text)} characters, {repeated} of them repeated, need {needed} frames; {seconds:.3f} s have {frames}")
        return None

    @cached_property
    def _smallest_swing(self) -> float:
        """Peak to peak, in int16 steps, of what is just loud enough; 1e-9 for the rounding of the bound."""
        return 2 * FULL_SCALE * 10 ** (self.min_level / 20) * (1 - 1e-9)


def _frames_needed(text: str) -> int:
    """Frames that CTC needs at least: one per character and a blank between equal neighbours, whatever their case."""
    cased = text.lower()
    return len(cased) + sum(map(str.__eq__, cased, cased[1:]))


def _named(character: str) -> str:
    """A character as a person can tell it: combining and invisible ones by code point and name."""
    if unicodedata.category(character)[0] in "LNPS":
        return character
    return f"U+{ord(character):04X} {unicodedata.name(character, '')}".strip()
