"""Errors next to each other are not independent: segments, sentences and speakers are what the tests count."""

import numpy as np
import pytest
from scipy import stats

from asrx.scoring.significance import mapsswe, matched_pairs, mcnemar, ratio_interval, segment_errors, speaker_bootstrap


@pytest.mark.parametrize(("reference", "old", "new", "segments"), [
    ("a b c d", "a b c d", "a b c d", []),
    ("a b c d e", "x b c d e", "a b c d y", [(1, 0), (0, 1)]),  # parted by b c d
    ("a b c d", "x b c y", "a b c d", [(1, 0), (1, 0)]),  # two good words part them
    ("a b c", "x b y", "a b c", [(2, 0)]),  # one does not
    ("a b c d", "x b c d", "a b y d", [(1, 1)]),  # right in both of them is what counts
    ("a b c d", "x b z c d", "a b c y", [(2, 1)]),  # nor do two with an insertion between them
    ("a b c d", "x b c z d", "a b c d", [(1, 0), (1, 0)]),
    ("a b", "a b x y", "a b", [(2, 0)]),
    ("", "x y", "z", [(2, 1)]),
    ("a b", "", "", [(2, 2)]),
])  # fmt: skip
def test_segments_end_at_two_words_that_both_have_right(reference: str, old: str, new: str, segments: list[tuple[int, int]]) -> None:
    assert segment_errors(reference.split(), old.split(), new.split()) == segments
    assert segment_errors(reference.split(), new.split(), old.split()) == [pair[::-1] for pair in segments]


def test_mapsswe_is_the_paired_z_test_on_segments() -> None:
    random = np.random.default_rng(0)
    words = np.array(list("abcdefghij"))
    references = [words[random.integers(0, 10, 12)] for _ in range(60)]
    heard = [[" ".join(np.where(random.random(12) < rate, "x", said)) for said in references] for rate in (0.3, 0.15)]
    texts = [" ".join(said) for said in references]
    found, swapped = mapsswe(texts, *heard), mapsswe(texts, *heard[::-1])
    pairs = [pair for one in zip(texts, *heard) for pair in segment_errors(*(text.split() for text in one))]
    d = np.array([before - after for before, after in pairs])
    assert found.segments == len(pairs) > 60 and found.mean == pytest.approx(d.mean()) and found.deviation == pytest.approx(d.std(ddof=1))
    assert found.z == pytest.approx(d.mean() / stats.sem(d)) and found.z > 3
    assert found.p == pytest.approx(2 * stats.norm.sf(found.z)) == swapped.p and swapped.z == -found.z


def test_mapsswe_has_no_z_where_there_is_no_spread() -> None:
    assert (matched_pairs([]).segments, matched_pairs([]).mean, matched_pairs([2]).z) == (0, None, None)
    assert (matched_pairs([1, 1]).z, matched_pairs([1, 1]).mean) == (None, 1)


def test_mapsswe_compares_the_scoring_form() -> None:
    assert mapsswe(["The “cat”!"], ["the cat"], ["The cat."]).segments == 0


@pytest.mark.parametrize(("fixed", "broken", "p"), [(0, 0, 1), (2, 0, 0.5), (3, 0, 0.25), (5, 1, 0.21875), (1, 5, 0.21875), (4, 4, 1)])
def test_mcnemar_counts_sentences_that_one_model_alone_gets_wrong(fixed: int, broken: int, p: float) -> None:
    old = [True] * fixed + [False] * broken + [True, False] * 50
    new = [False] * fixed + [True] * broken + [True, False] * 50
    assert mcnemar(old, new) == pytest.approx(p)


def test_the_interval_of_a_rate_is_clustered_and_not_below_zero() -> None:
    random = np.random.default_rng(1)
    names = np.repeat([f"s{n}" for n in range(20)], 10)
    words = random.integers(1, 10, 200)
    errors = random.binomial(words, np.repeat(random.uniform(0, 0.6, 20), 10))
    e, n = errors.reshape(20, 10).sum(1), words.reshape(20, 10).sum(1)
    error = np.std(e - e.sum() / n.sum() * n, ddof=1) / np.sqrt(20) / n.mean()
    found = ratio_interval(errors, words, names)
    assert (found.rate, found.standard_error, found.clusters) == (pytest.approx(e.sum() / n.sum()), pytest.approx(error), 20)
    assert (found.low, found.high) == pytest.approx(stats.t.interval(0.95, 19, found.rate, error))
    assert found.standard_error > 1.5 * ratio_interval(errors, words, np.arange(200)).standard_error
    assert ratio_interval([1, 0, 0], [9, 9, 9], ["a", "b", "c"]).low == 0
    assert ratio_interval([1, 0], [9, 9], ["a", "a"]).standard_error is None and ratio_interval([1], [0], ["a"]) is None


def test_speakers_of_silence_do_not_make_an_interval_narrower() -> None:
    errors, words, names = [3, 1, 2, 4], [10, 10, 10, 10], list("abcd")
    quiet = ratio_interval([*errors, *[0] * 50], [*words, *[0] * 50], [*names, *map(str, range(50))])
    assert quiet == ratio_interval(errors, words, names)


def test_the_bootstrap_draws_speakers_and_agrees_with_the_interval() -> None:
    random = np.random.default_rng(2)
    names = np.repeat([f"s{n}" for n in range(40)], 15)
    words = random.integers(1, 12, 600)
    old = random.binomial(words, 0.2)
    new = random.binomial(words, np.repeat(np.clip(random.normal(0.19, 0.04, 40), 0, 1), 15))
    found = speaker_bootstrap(old, new, words, names)
    interval = ratio_interval(new - old, words, names)
    assert found.high - found.low == pytest.approx(2 * 1.96 * interval.standard_error, rel=0.1)
    assert found.better == pytest.approx(stats.norm.cdf(-interval.rate / interval.standard_error), abs=0.03)
    swapped = speaker_bootstrap(new, old, words, names)
    assert (found.low, found.better) == (pytest.approx(-swapped.high), pytest.approx(1 - swapped.better))
    order = random.permutation(600)
    assert speaker_bootstrap(old[order], new[order], words[order], names[order]) == found
    assert speaker_bootstrap(old, old, words, names).better == 0.5
    assert speaker_bootstrap([1], [2], [0], ["a"]) is None


def test_the_bootstrap_of_utterances_that_are_alike_is_the_same_one() -> None:
    """Many clusters with equal figures are drawn by kind, which must give what drawing each of them gives."""
    random = np.random.default_rng(3)
    words = random.integers(4, 7, 3_000)
    old, new = random.binomial(words, 0.2), random.binomial(words, 0.19)
    by_kind = speaker_bootstrap(old, new, words, np.arange(3_000))
    d, n = new - old, words
    drawn = random.integers(0, 3_000, (2_000, 3_000))
    ratios = d[drawn].sum(1) / n[drawn].sum(1)
    assert (by_kind.low, by_kind.high) == (pytest.approx(np.quantile(ratios, 0.025), abs=8e-4), pytest.approx(np.quantile(ratios, 0.975), abs=8e-4))
    assert by_kind.better == pytest.approx((ratios < 0).mean(), abs=0.04)
