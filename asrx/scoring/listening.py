"""Which utterances are on a page, and which of them can be listened to there."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import zip_longest

from ..error_counts import scoring_forms
from ..hallucination import flags
from ..pages import Column, columns, sound
from .clips import open_clip
from .transcribe import Heard, Transcription

ROWS = 1_000  # utterances on a page
PLAYERS = 100  # recordings on a page; of a comparison as many that got better as got worse, where there are so many
AUDIO_SECONDS = 900.0  # of all of them together: 5 MB
BETTER, WORSE, SAME, WRONG, RIGHT, ODD, UNUSABLE = "better", "worse", "same", "wrong", "right", "odd", "unusable"


@dataclass(frozen=True)
class Shown:
    """An utterance on a page, with what one or two systems heard."""

    item: Heard  # of the last system
    hypotheses: tuple[str, ...]  # of each system
    errors: tuple[int, ...]
    words: int  # of the reference
    kinds: tuple[str, ...]  # what it is filtered by
    remarks: tuple[str, ...]
    sound: str  # data URL; empty: not on the page

    @property
    def columns(self) -> list[Column]:
        """Its words above each other."""
        return columns(self.item.row.text, self.hypotheses)

    @property
    def change(self) -> int:
        """Errors of the last system more than of the first."""
        return self.errors[-1] - self.errors[0]

    @property
    def searched(self) -> str:
        """What a search looks at."""
        row = self.item.row
        return " ".join([row.id, row.speaker, row.text, *self.hypotheses, *row.slices.values(), *self.remarks])


def most_changed(new: Transcription, old: Transcription) -> list[Shown]:
    """The utterances whose errors changed most between two systems, what got worse first."""
    changes = [one.errors - other.errors for one, other in zip(new.counts, old.counts, strict=True)]
    chosen = sorted(range(len(changes)), key=lambda index: (-abs(changes[index]), -new.counts[index].errors))[:ROWS]
    worse, better = ([index for index in chosen if sign * changes[index] > 0][: PLAYERS // 2] for sign in (1, -1))
    in_turn = [index for pair in zip_longest(worse, better) for index in pair if index is not None]
    sounds = _sounds(new.heard, list(dict.fromkeys([*in_turn, *chosen]))[:PLAYERS])
    return [
        Shown(
            new.heard[index], (old.heard[index].hypothesis, new.heard[index].hypothesis), (old.counts[index].errors, new.counts[index].errors),
            new.counts[index].words, (BETTER if changes[index] < 0 else WORSE if changes[index] else SAME, *_unusable(new.heard[index])),
            (), sounds.get(index, ""),
        )
        for index in sorted(chosen, key=lambda index: -changes[index])
    ]  # fmt: skip


def worst(result: Transcription) -> list[Shown]:
    """The utterances with most errors, worst first, with what makes a hypothesis look invented."""
    order = sorted(range(len(result.heard)), key=lambda index: (-result.counts[index].errors, result.counts[index].words))[:ROWS]
    remarks = {index: flags(*scoring_forms([result.heard[index].row.text, result.heard[index].hypothesis])) for index in order}
    sounds = _sounds(result.heard, order[:PLAYERS])
    return [
        Shown(
            result.heard[index], (result.heard[index].hypothesis,), (result.counts[index].errors,), result.counts[index].words,
            (WRONG if result.counts[index].errors else RIGHT, *((ODD,) if remarks[index] else ()), *_unusable(result.heard[index])),
            remarks[index], sounds.get(index, ""),
        )
        for index in order
    ]  # fmt: skip


def _unusable(item: Heard) -> tuple[str, ...]:
    return (UNUSABLE,) if item.error else ()


def _sounds(heard: Sequence[Heard], wanted: Iterable[int]) -> dict[int, str]:
    """Data URLs by place, of what is wanted first, as long as all of them together are not too long."""
    left, found = AUDIO_SECONDS, {}
    for index in wanted:
        if heard[index].error or heard[index].seconds > left:
            continue
        samples = open_clip(heard[index].row)[1]
        if samples is not None:  # it was there when it was transcribed
            found[index] = sound(samples)
            left -= heard[index].seconds
    return found
