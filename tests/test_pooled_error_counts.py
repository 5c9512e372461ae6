"""Rates are pooled, never averaged, and references without words do not divide by zero."""

import random

import pandas
import pytest

from asrx.error_counts import ErrorCounts, count, count_all, pool
from asrx.errors import InputError


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
    assert count("", "") == ErrorCounts(utterances=1, silences=1)
    assert pool(count_all(["", "a b"], ["x", "a b"])).wer == 0.5


def test_an_empty_hypothesis_is_all_deletions() -> None:
    counts = count("one two", "")
    assert (counts.deletions, counts.wer, counts.cer, counts.characters) == (2, 1.0, 1.0, 7)
    assert pool([]).wer is None and pool([]).sentence_error_rate is None


def test_spelling_of_white_space_hyphens_and_case_is_no_error() -> None:
    assert count("Twenty-five\u00a0O’Clock,\tsharp!", "twenty five o'clock sharp").errors == 0


def test_more_errors_than_words_are_counted() -> None:
    assert count("one", "a b c d").wer == 4.0


def test_words_heard_in_silence_are_told_apart_from_other_insertions() -> None:
    total = pool(count_all(["", "…", "a b", "c"], ["uh", "", "a b c", "c"]))
    assert (total.silences, total.false_alarms, total.insertions, total.words) == (2, 1, 2, 3)
    assert total.silence_false_alarm_rate == 0.5 and total.wer == pytest.approx(2 / 3)
    assert count("a", "b").silence_false_alarm_rate is None and pool([]).silence_false_alarm_rate is None


def test_match_error_rate_and_information_lost_stay_within_one() -> None:
    total = pool(count_all(["a b c d", "e"], ["a x c", "e f g"]))  # 3 hits, 1 substitution, 1 deletion, 2 insertions
    assert (total.hits, total.substitutions, total.deletions, total.insertions) == (3, 1, 1, 2)
    assert total.mer == pytest.approx(4 / 7) and total.wil == pytest.approx(1 - 3 / 5 * 3 / 6)
    assert count("one", "a b c d").mer == count("one", "a b c d").wil == count("one", "").mer == count("one", "").wil == 1
    assert count("one", "one").mer == count("one", "one").wil == 0
    assert count("", "one").mer is None and count("", "one").wil is None


@pytest.mark.parametrize("space", ["\t", "\n", "\u00a0", "\u2003", "\u3000", " \u00a0 "])
def test_any_white_space_parts_words(space: str) -> None:
    assert count(f"one{space}two", "one two") == count("one two", "one two")
    assert count("one two", f"{space}one{space}three").substitutions == 1


def test_columns_of_a_table_are_sequences_too() -> None:
    references, hypotheses = ["a b", "", "c"], ["a", "x", "c"]
    assert count_all(pandas.Series(references, index=[7, 8, 9]), pandas.Series(hypotheses)) == count_all(references, hypotheses)


@pytest.mark.parametrize("missing", [None, float("nan"), pandas.NA, b"a", 3, ["a"]])
def test_what_is_no_text_is_refused_and_never_scored(missing: object) -> None:
    for sides in ((["a", missing], ["a", "b"]), (["a", "b"], ["a", missing])):
        with pytest.raises(InputError, match="number 2 of 2 is .* not text"):
            count_all(*sides)


@pytest.mark.parametrize("texts", ["one text", None, b"a"])
def test_one_text_is_no_sequence_of_texts(texts: object) -> None:
    with pytest.raises(InputError, match="a sequence of texts is needed"):
        count_all(texts, ["a"] * 8)


@pytest.mark.parametrize(("reference", "hypothesis"), [("कि", "की"), ("जान्छु", "जान्छ"), ("लेखसँग", "लेखसग"), ("क\u093cलम", "कलम")])
def test_a_combining_mark_is_an_error(reference: str, hypothesis: str) -> None:
    counts = count(f"यो {reference} हो", f"यो {hypothesis} हो")
    assert (counts.substitutions, counts.errors, counts.character_errors) == (1, 1, 1)


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
