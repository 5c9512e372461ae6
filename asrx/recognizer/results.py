"""What a recognizer answers, whatever the kind of decoding."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Word:
    """A word, or a segment of several, and when it was said, in seconds from the start of the audio."""

    text: str
    start: float
    end: float


@dataclass(frozen=True)
class Recognition:
    """What was heard. `confidence` is exp(mean log-probability of the emitted text tokens), 0..1;
    where nothing was emitted it is that of having heard nothing."""

    text: str
    confidence: float
    words: tuple[Word, ...] = field(default=())
