"""Rates are pooled, never averaged, and references without words do not divide by zero."""

import random

import pytest

from asrx.error_counts import ErrorCounts, count, count_all, pool


def distance(reference: list[str], hypothesis: list[str]) -> int:
    """Levenshtein distance, written down plainly."""
    row = list(range(len(hypothesis) + 1))
    for number, word in enumerate(reference, 1):
        previous, row[0] = row[0], number
        for column, other in enumerate(hypothesis, 1):
            previous, row[column] = row[column], min(row[column] + 1, row[column - 1] + 1, previous + (word != other))
    return row[-1]


def test_rates_are_pooled_and_not_averaged() -> None:
    total = pool(count_all(["a", "one two three four five six seven eight nine"], ["b", "one two three four five six seven eight nine"]))
    assert total.wer == pytest.approx(1 / 10)  # the mean of the two rates is 1/2
    assert total.sentence_error_rate == 0.5


def test_an_empty_reference_counts_insertions_and_has_no_rate() -> None:
    for reference in ("", "…", " \u00a0"):
        counts = count(reference, "two words")
        assert (counts.insertions, counts.words, counts.wrong_utterances) == (2, 0, 1)
        assert counts.wer is None and counts.cer is None
    assert count("", "") == ErrorCounts(utterances=1)
    assert pool(count_all(["", "a b"], ["x", "a b"])).wer == 0.5


def test_an_empty_hypothesis_is_all_deletions() -> None:
    counts = count("one two", "")
    assert (counts.deletions, counts.wer, counts.cer, counts.characters) == (2, 1.0, 1.0, 7)
    assert pool([]).wer is None and pool([]).sentence_error_rate is None


def test_spelling_of_white_space_hyphens_and_case_is_no_error() -> None:
    assert count("Twenty-five\u00a0O’Clock,\tsharp!", "twenty five o'clock sharp").errors == 0


def test_more_errors_than_words_are_counted() -> None:
    assert count("one", "a b c d").wer == 4.0


def test_parallel_sequences_must_be_parallel() -> None:
    with pytest.raises(ValueError):
        count_all(["a"], ["a", "b"])


def test_counts_are_the_levenshtein_distance_of_words_and_characters() -> None:
    rng = random.Random(0)
    for _ in range(200):
        reference, hypothesis = ([rng.choice(["a", "bb", "c", "कि", "की"]) for _ in range(rng.randint(1, 8))] for _ in range(2))
        counts = count(" ".join(reference), " ".join(hypothesis))
        assert counts.errors == distance(reference, hypothesis)
        assert counts.deletions - counts.insertions == len(reference) - len(hypothesis)
        assert counts.character_errors == distance(list(" ".join(reference)), list(" ".join(hypothesis)))


def test_a_vocabulary_of_many_thousand_words_aligns() -> None:
    words = [f"w{number}" for number in range(70_000)]
    assert count(" ".join(words), " ".join([*words[:-1], "x"])).errors == 1
