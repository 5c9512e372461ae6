"""Word and character error counts, pooled over a corpus. Alignment is jiwer's."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

from rapidfuzz.distance import Levenshtein

from .errors import InputError
from .text import score_text


@dataclass(frozen=True)
class ErrorCounts:
    """Edit counts of a set of utterances. Rates are fractions (0.05 is 5 %) and None where nothing was said.

    A reference without a word adds nothing to the denominators; what was heard in it adds insertions.
    """

    words: int = 0
    substitutions: int = 0
    deletions: int = 0
    insertions: int = 0
    characters: int = 0
    character_errors: int = 0
    utterances: int = 0
    wrong_utterances: int = 0
    silences: int = 0  # utterances whose reference has no word
    false_alarms: int = 0  # of the silences: those in which words were heard

    def __add__(self, other: "ErrorCounts") -> "ErrorCounts":
        return ErrorCounts(*(getattr(self, name) + getattr(other, name) for name in self.__dataclass_fields__))

    @property
    def errors(self) -> int:
        """Substitutions, deletions and insertions of words."""
        return self.substitutions + self.deletions + self.insertions

    @property
    def hits(self) -> int:
        """Words that are right."""
        return self.words - self.substitutions - self.deletions

    @property
    def wer(self) -> float | None:
        """Word error rate (S + D + I) / N over the pooled reference words."""
        return self.errors / self.words if self.words else None

    @property
    def cer(self) -> float | None:
        """Character error rate; characters are code points of the scoring form (NFC), the space between words included."""
        return self.character_errors / self.characters if self.characters else None

    @property
    def mer(self) -> float | None:
        """Match error rate (S + D + I) / (H + S + D + I), 0..1: the probability that a match is wrong (Morris et al. 2004)."""
        return self.errors / (self.words + self.insertions) if self.words else None

    @property
    def wil(self) -> float | None:
        """Word information lost 1 - H²/(N·P), 0..1, with P the words of the hypotheses (Morris et al. 2004)."""
        heard = self.hits + self.substitutions + self.insertions
        return 1 - self.hits**2 / (self.words * max(heard, 1)) if self.words else None

    @property
    def sentence_error_rate(self) -> float | None:
        """Share of utterances with at least one word error."""
        return self.wrong_utterances / self.utterances if self.utterances else None

    @property
    def silence_false_alarm_rate(self) -> float | None:
        """Share of the utterances without a reference word in which words were heard; None where there is no such utterance."""
        return self.false_alarms / self.silences if self.silences else None


def count(reference: str, hypothesis: str) -> ErrorCounts:
    """Error counts of one utterance in the default scoring form."""
    return count_all([reference], [hypothesis])[0]


def count_all(references: Iterable[str], hypotheses: Iterable[str]) -> list[ErrorCounts]:
    """Error counts utterance by utterance, in the default scoring form; the two are parallel, else ValueError.

    InputError for anything but text (None, NaN, bytes): a missing hypothesis is for the caller to call empty.
    """
    said, heard = scoring_forms(references, "references"), scoring_forms(hypotheses, "hypotheses")
    pairs = list(zip(said, heard, strict=True))
    alignments = iter(aligned([pair for pair in pairs if pair[0] != pair[1]]))
    return [_right(reference) if reference == hypothesis else _counted(reference, hypothesis, next(alignments)) for reference, hypothesis in pairs]


def scoring_forms(texts: Iterable[str], what: str = "texts") -> list[str]:
    """Texts in the default scoring form: words with one plain space between them. InputError, which says `what` they are, for what is no text."""
    if texts is None or isinstance(texts, str | bytes):
        raise InputError(f"{what}: a sequence of texts is needed, not {texts!r}")
    given = list(texts)
    for index, text in enumerate(given):
        if not isinstance(text, str):
            raise InputError(f"{what}: number {index + 1} of {len(given)} is {text!r}, not text; where nothing was said or heard it is empty text")
    return [score_text(text) for text in given]


def aligned(pairs: Sequence[tuple[str, str]]) -> list[list[Any]]:
    """jiwer's alignment chunks of (reference, hypothesis) in scoring form, word by word; either may be empty.

    A chunk has `type` (equal, substitute, delete, insert) and `ref_start_idx`, `ref_end_idx`, `hyp_start_idx`, `hyp_end_idx` into the words.
    """
    import jiwer

    # jiwer splits at plain spaces only, which is all the white space that the scoring form has. Its rates are not used: of an empty reference they are counts.
    return jiwer.process_words([said for said, _ in pairs], [heard for _, heard in pairs]).alignments if pairs else []


def pool(counts: Sequence[ErrorCounts]) -> ErrorCounts:
    """The counts of all utterances together."""
    return ErrorCounts(*(sum(map(attrgetter(name), counts)) for name in ErrorCounts.__dataclass_fields__))


def _right(text: str) -> ErrorCounts:
    return ErrorCounts(words=len(text.split()), characters=len(text), utterances=1, silences=int(not text))


def _counted(reference: str, hypothesis: str, chunks: Sequence[Any]) -> ErrorCounts:
    edits = {"equal": 0, "substitute": 0, "delete": 0, "insert": 0}
    for chunk in chunks:
        edits[chunk.type] += max(chunk.ref_end_idx - chunk.ref_start_idx, chunk.hyp_end_idx - chunk.hyp_start_idx)
    return ErrorCounts(
        words=edits["equal"] + edits["substitute"] + edits["delete"],
        substitutions=edits["substitute"],
        deletions=edits["delete"],
        insertions=edits["insert"],
        characters=len(reference),
        # The distance alone, by the library that jiwer aligns with: process_characters makes objects of every chunk, which takes ten times as long.
        character_errors=Levenshtein.distance(reference, hypothesis),
        utterances=1,
        wrong_utterances=1,
        silences=int(not reference),
        false_alarms=int(not reference),
    )
