"""What the gate found about a candidate: a statement with all of its figures."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ..scoring.significance import Bootstrap, Mapsswe, PairedDifference
from ..scoring.speed import SpeedRatio


@dataclass(frozen=True)
class Leaks:
    """What the held-out recordings have in common with what the models were trained on."""

    candidate: tuple[str, ...] = ()  # ids of held-out utterances whose audio the candidate was trained on
    baseline: tuple[str, ...] = ()
    shared_speakers: int | None = None  # of the held-out set, in the candidate's training data; None where that is not known
    shared_sentences: int | None = None


@dataclass(frozen=True)
class SliceVerdict:
    """One slice of the held-out set. Rates and differences are fractions; differences are candidate - baseline."""

    column: str
    value: str
    utterances: int
    words: int
    speakers: int  # utterances where speakers are not known
    baseline_wer: float
    candidate_wer: float
    difference: float
    standard_error: float | None  # None with a single speaker
    upper: float | None  # one-sided bound of the difference
    margin: float  # the loss that is put up with
    powered: bool  # whether the bound is narrow enough to say anything about the margin
    worse: bool  # powered, and a loss beyond the margin is not excluded
    undecided: bool  # too few speakers, or a wide bound that does not exclude such a loss


@dataclass(frozen=True)
class Needed:
    """How large a held-out set settles what this one does not, if the difference is as large as it looks here or as is worth having."""

    speakers: int | None  # None where speakers are not known
    utterances: int
    effect: float  # the difference that it tells from none with the probability gate.power
    detectable: float  # the difference that this set tells from none with that probability


@dataclass(frozen=True)
class Verdict:
    """What was decided about a candidate, why, and all figures. Rates and differences are fractions."""

    outcome: str  # promote, keep or inconclusive
    reason: str
    blocks: tuple[str, ...]  # what stands against a promotion, however good the difference is
    notes: tuple[str, ...]  # what a reader should know about the figures
    difference: PairedDifference | None = None  # None where there is no reference word, or nothing to compare with
    worth: float | None = None  # the gain that is worth having
    slices: tuple[SliceVerdict, ...] = ()
    speed: SpeedRatio | None = None
    leaks: Leaks = Leaks()
    needed: Needed | None = None
    bootstrap: Bootstrap | None = None
    mapsswe: Mapsswe | None = None
    mcnemar: float | None = None  # p, on utterances with and without an error

    def as_dict(self) -> dict[str, Any]:
        """All fields, as JSON takes them."""
        return asdict(self)

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> "Verdict":
        """What `as_dict` gave, with or without a way through JSON."""
        parts = {"difference": PairedDifference, "speed": SpeedRatio, "needed": Needed, "bootstrap": Bootstrap, "mapsswe": Mapsswe}
        read = {key: kind(**fields[key]) for key, kind in parts.items() if fields[key]}
        leaks = Leaks(**{key: tuple(value) if isinstance(value, (list, tuple)) else value for key, value in fields["leaks"].items()})
        slices = tuple(SliceVerdict(**item) for item in fields["slices"])
        return cls(**{**fields, **read, "leaks": leaks, "slices": slices, "blocks": tuple(fields["blocks"]), "notes": tuple(fields["notes"])})
