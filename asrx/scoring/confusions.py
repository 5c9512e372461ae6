"""Which words are taken for which, left out and put in."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ..error_counts import aligned, scoring_forms
from ..hallucination import UNSPACED, script_of


@dataclass(frozen=True)
class Confusion:
    """One kind of error and how often it occurs. Words are in scoring form; of a deletion nothing was heard, of an insertion nothing was said."""

    kind: str  # substitution, deletion or insertion
    reference: str
    hypothesis: str
    count: int


def count(references: Sequence[str], hypotheses: Sequence[str]) -> list[Confusion]:
    """Errors of parallel texts, the most frequent first: word for word, or character by character where the reference's script has no spaces.

    A stretch of several wrong words is taken apart: its first word was heard as the first one, and so on.
    """
    forms = zip(scoring_forms(references, "references"), scoring_forms(hypotheses, "hypotheses"), strict=True)
    pairs = [_in_units(*pair) for pair in forms if pair[0] != pair[1]]
    found = Counter(edit for pair, chunks in zip(pairs, aligned(pairs)) for edit in _edits(*pair, chunks))
    confusions = [Confusion(_kind(*edit), *edit, times) for edit, times in found.items()]
    return sorted(confusions, key=lambda item: (-item.count, item.kind, item.reference, item.hypothesis))


def _in_units(reference: str, hypothesis: str) -> tuple[str, str]:
    """The pair with spaces between what is compared."""
    if script_of(reference or hypothesis) not in UNSPACED:
        return reference, hypothesis
    return " ".join(reference.replace(" ", "")), " ".join(hypothesis.replace(" ", ""))


def _edits(reference: str, hypothesis: str, chunks: Sequence) -> Iterator[tuple[str, str]]:
    said, heard = reference.split(), hypothesis.split()
    for chunk in chunks:
        left, right = said[chunk.ref_start_idx : chunk.ref_end_idx], heard[chunk.hyp_start_idx : chunk.hyp_end_idx]
        if chunk.type == "substitute":
            yield from zip(left, right, strict=True)
        elif chunk.type != "equal":
            yield from ((word, "") for word in left)
            yield from (("", word) for word in right)


def _kind(reference: str, hypothesis: str) -> str:
    if reference and hypothesis:
        return "substitution"
    return "deletion" if reference else "insertion"
