"""What the scoring form takes away: are the words that are right cased right, and the marks between words those of the reference?"""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rapidfuzz.distance import Levenshtein

from ..error_counts import aligned
from ..text import score_text

MARKS = "….,;:!?¿¡।॥۔؟،؛。、，！？：；"  # that end, part or open a clause
SAME = str.maketrans({"…": ".", "！": "!", "？": "?", "，": ",", "：": ":", "；": ";"})
PARTING = str.maketrans({mark: f"{mark} " for mark in "。、，！？：；"})  # scripts that write no space behind them
REPEATED = re.compile(r"(.)\1+")


@dataclass(frozen=True)
class Orthography:
    """Rates are fractions, None where the references do not carry what is measured."""

    casing_error_rate: float | None  # share of the words that are right but for their case
    punctuation_error_rate: float | None  # (S + D + I) / (S + D + I + hits) of the marks, 0..1


@dataclass(frozen=True)
class _Written:
    """A text as it was written: its words, punctuation taken off, and the marks before each word and at the end."""

    words: list[str]
    gaps: list[str]  # one more than words


def rates(references: Sequence[str], hypotheses: Sequence[str]) -> Orthography:
    """Of parallel raw texts, pooled.

    Casing: of the words that are right in scoring form and whose reference has a letter with case, the share in another case; None
    where the references are all in one case. Punctuation: the punctuation error rate of Meister et al. 2023 (LibriSpeech-PC,
    arXiv 2310.02943), over the marks that end, part or open a clause; marks are aligned among themselves between two words that are
    right, so that a wrong word beside a mark does not make the mark wrong. None where the references have no marks.
    """
    cased = any(text != text.lower() for text in references) and any(text != text.upper() for text in references)
    marked = any(mark in text for text in references for mark in MARKS)
    if not cased and not marked:
        return Orthography(None, None)
    letters = wrong_letters = marks = wrong_marks = 0
    for said, heard, hits in _aligned(references, hypotheses):
        known = [(said.words[i], heard.words[j]) for i, j in hits if said.words[i].lower() != said.words[i].upper()]
        letters += len(known)
        wrong_letters += sum(one != other for one, other in known)
        wrong, right = _compared(said, heard, hits)
        wrong_marks += wrong
        marks += wrong + right
    return Orthography(wrong_letters / letters if cased and letters else None, wrong_marks / marks if marked and marks else None)


def _aligned(references: Sequence[str], hypotheses: Sequence[str]) -> Iterator[tuple[_Written, _Written, list[tuple[int, int]]]]:
    """Both texts with the places of the words that are right."""
    pairs = [(_written(said), _written(heard)) for said, heard in zip(references, hypotheses, strict=True)]
    chunks = aligned([tuple(" ".join(side.words).casefold() for side in pair) for pair in pairs])
    for (said, heard), found in zip(pairs, chunks, strict=True):
        equal = (chunk for chunk in found if chunk.type == "equal")
        yield said, heard, [(chunk.ref_start_idx + i, chunk.hyp_start_idx + i) for chunk in equal for i in range(chunk.ref_end_idx - chunk.ref_start_idx)]


def _written(text: str) -> _Written:
    words: list[str] = []
    gaps = [""]
    for piece in unicodedata.normalize("NFC", text).translate(PARTING).split():
        if piece.isalnum():  # the usual word, and quicker
            words.append(piece)
            gaps.append("")
            continue
        spoken = score_text(piece, casefold=False).split()
        opening, closing = _marks_at_edges(piece) if spoken else (_marks(piece), "")
        gaps[-1] += opening
        if spoken:
            words += spoken
            gaps += [""] * (len(spoken) - 1) + [closing]
    return _Written(words, gaps)


def _marks_at_edges(piece: str) -> tuple[str, str]:
    """Marks before and behind a word; those inside (3.5, e.g) are part of it."""
    letters = [index for index, character in enumerate(piece) if unicodedata.category(character)[0] in "LMN"]
    return (_marks(piece[: letters[0]]), _marks(piece[letters[-1] + 1 :])) if letters else ("", "")


def _marks(text: str) -> str:
    """The marks in a text in one spelling: `...` and … are a full stop, !! is one !."""
    return REPEATED.sub(r"\1", "".join(character for character in text if character in MARKS).translate(SAME))


def _compared(said: _Written, heard: _Written, hits: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """Wrong (substituted, deleted, inserted) and right marks."""
    wrong = right = 0
    ends = [*hits, (len(said.words), len(heard.words))]
    begins = [(0, 0), *((i + 1, j + 1) for i, j in hits)]
    for (i, j), (after_i, after_j) in zip(begins, ends, strict=True):
        old, new = "".join(said.gaps[i : after_i + 1]), "".join(heard.gaps[j : after_j + 1])
        if old == new:
            right += len(old)
        else:
            wrong += Levenshtein.distance(old, new)
            right += sum(block.size for block in Levenshtein.editops(old, new).as_matching_blocks())
    return wrong, right
