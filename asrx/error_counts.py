"""Word and character error counts, pooled over a corpus. Alignment is jiwer's."""

from collections.abc import Sequence
from dataclasses import dataclass

from .text import score_text


@dataclass(frozen=True)
class ErrorCounts:
    """Edit counts of a set of utterances. Rates are fractions (0.05 is 5 %) and None where nothing was said."""

    words: int = 0
    substitutions: int = 0
    deletions: int = 0
    insertions: int = 0
    characters: int = 0
    character_errors: int = 0
    utterances: int = 0
    wrong_utterances: int = 0

    def __add__(self, other: "ErrorCounts") -> "ErrorCounts":
        return ErrorCounts(*(getattr(self, name) + getattr(other, name) for name in self.__dataclass_fields__))

    @property
    def errors(self) -> int:
        """Substitutions, deletions and insertions of words."""
        return self.substitutions + self.deletions + self.insertions

    @property
    def wer(self) -> float | None:
        """Word error rate (S + D + I) / N over the pooled reference words."""
        return self.errors / self.words if self.words else None

    @property
    def cer(self) -> float | None:
        """Character error rate, white space counted as the aligner sees it."""
        return self.character_errors / self.characters if self.characters else None

    @property
    def sentence_error_rate(self) -> float | None:
        """Share of utterances with at least one word error."""
        return self.wrong_utterances / self.utterances if self.utterances else None


def count(reference: str, hypothesis: str) -> ErrorCounts:
    """Error counts of one utterance in the default scoring form. An empty reference counts insertions only."""
    import jiwer

    reference, hypothesis = score_text(reference), score_text(hypothesis)
    if not reference:
        inserted = len(hypothesis.split())
        return ErrorCounts(insertions=inserted, character_errors=len(hypothesis), utterances=1, wrong_utterances=int(inserted > 0))
    # jiwer splits at plain spaces only, which is all the white space that score_text leaves.
    words = jiwer.process_words(reference, hypothesis)
    characters = jiwer.process_characters(reference, hypothesis)
    wrong = words.substitutions + words.deletions + words.insertions
    return ErrorCounts(
        words=words.hits + words.substitutions + words.deletions,
        substitutions=words.substitutions,
        deletions=words.deletions,
        insertions=words.insertions,
        characters=characters.hits + characters.substitutions + characters.deletions,
        character_errors=characters.substitutions + characters.deletions + characters.insertions,
        utterances=1,
        wrong_utterances=int(wrong > 0),
    )


def count_all(references: Sequence[str], hypotheses: Sequence[str]) -> list[ErrorCounts]:
    """Error counts utterance by utterance; the two sequences are parallel."""
    return [count(reference, hypothesis) for reference, hypothesis in zip(references, hypotheses, strict=True)]


def pool(counts: Sequence[ErrorCounts]) -> ErrorCounts:
    """The counts of all utterances together."""
    return sum(counts, ErrorCounts())
