"""Our counts against kaldialign's, an aligner that shares no code with jiwer."""

import numpy as np
import pytest

from asrx.error_counts import count_all

kaldialign = pytest.importorskip("kaldialign", reason="kaldialign (test extra), the other aligner, is not installed")
WORDS = "a b c der die das è perché l'acqua कि की घर जान्छ जान्छु 你 好 привет x1 ß straße".split()


@pytest.fixture(scope="module")
def pairs() -> list[tuple[list[str], list[str]]]:
    """10,000 references of 0 to 15 words and what an erring recogniser makes of them; every tenth hypothesis is unrelated."""
    rng = np.random.default_rng(6)
    made = []
    for number in range(10_000):
        reference = rng.choice(WORDS, rng.integers(0, 16)).tolist()
        heard = []
        for word in rng.choice(WORDS, rng.integers(0, 16)).tolist() if number % 10 == 0 else reference:
            fate = rng.random()
            heard += [] if fate < 0.1 else [str(rng.choice(WORDS))] if fate < 0.2 else [word, str(rng.choice(WORDS))] if fate < 0.3 else [word]
        made.append((reference, heard))
    return made


def test_totals_of_words_are_kaldialigns(pairs: list[tuple[list[str], list[str]]]) -> None:
    ours = count_all([" ".join(reference) for reference, _ in pairs], [" ".join(heard) for _, heard in pairs])
    for counts, (reference, heard) in zip(ours, pairs, strict=True):
        folded = [[word.casefold() for word in side] for side in (reference, heard)]
        other = kaldialign.edit_distance(*folded)
        assert counts.errors == other["total"], (reference, heard)
        assert counts.deletions - counts.insertions == other["del"] - other["ins"] == len(reference) - len(heard)
        assert counts.words == len(reference) and 0 <= counts.hits <= min(len(reference), len(heard))


def test_totals_of_characters_are_kaldialigns(pairs: list[tuple[list[str], list[str]]]) -> None:
    texts = [tuple(" ".join(side).casefold() for side in pair) for pair in pairs[:3_000]]
    for counts, (reference, heard) in zip(count_all(*zip(*texts)), texts, strict=True):
        assert counts.character_errors == kaldialign.edit_distance(list(reference), list(heard))["total"], (reference, heard)
        assert counts.characters == len(reference)
