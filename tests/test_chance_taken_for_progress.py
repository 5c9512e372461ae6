"""The paired test must not promote noise, and its figures must be those of the formula."""

import numpy as np
import pytest
from scipy import stats

from asrx.config import Gate
from asrx.error_counts import ErrorCounts
from asrx.registry.gate import INCONCLUSIVE, KEEP, PROMOTE, first_outcome, paired_outcome
from asrx.scoring.significance import paired_difference


def counts(errors, words) -> list[ErrorCounts]:
    return [ErrorCounts(words=int(spoken), substitutions=int(wrong), utterances=1) for wrong, spoken in zip(errors, words, strict=True)]


def held_out(seed: int, speakers: int = 12, each: int = 20, gain: float = 0.0):
    """Errors of two systems whose speakers differ in difficulty and in how the systems suit them; the new one is better by `gain`."""
    random = np.random.default_rng(seed)
    speaker = np.repeat(np.arange(speakers), each)
    words = random.integers(1, 12, len(speaker))
    difficulty = random.beta(2, 10, speakers)[speaker]
    tilt = random.normal(0, 0.04, speakers)[speaker]  # symmetric: without a gain no system is better in truth
    old = random.binomial(words, np.clip(difficulty - tilt / 2, 0, 1))
    new = random.binomial(words, np.clip(difficulty + tilt / 2 - gain, 0, 1))
    return counts(old, words), counts(new, words), [f"s{number}" for number in speaker]


def test_the_interval_is_that_of_a_ratio_of_cluster_sums() -> None:
    old, new, speakers = held_out(1, gain=0.08)
    found = paired_difference(old, new, speakers, 0.9)
    names = sorted(set(speakers))
    d = np.array([sum(b.errors - a.errors for a, b, name in zip(old, new, speakers) if name == speaker) for speaker in names], float)
    n = np.array([sum(a.words for a, name in zip(old, speakers) if name == speaker) for speaker in names], float)
    delta = d.sum() / n.sum()
    residual = d - delta * n
    # The variance of a ratio estimator as textbooks have it: s² of the residuals over G times the squared mean cluster size.
    error = np.sqrt(np.var(residual, ddof=1) / len(names)) / n.mean()
    low, high = stats.t.interval(0.9, len(names) - 1, delta, error)
    assert found.difference == pytest.approx(delta)
    assert found.standard_error == pytest.approx(error)
    assert (found.low, found.high) == (pytest.approx(low), pytest.approx(high))
    assert (found.clusters, found.words) == (12, int(n.sum()))


def test_the_interval_agrees_with_a_bootstrap_over_speakers() -> None:
    old, new, speakers = held_out(2, speakers=40, gain=0.08)
    found = paired_difference(old, new, speakers)
    d = np.array([b.errors - a.errors for a, b in zip(old, new)]).reshape(40, -1).sum(1)
    n = np.array([a.words for a in old]).reshape(40, -1).sum(1)
    drawn = np.random.default_rng(0).integers(0, 40, (4_000, 40))
    spread = (d[drawn].sum(1) / n[drawn].sum(1)).std()
    assert found.standard_error == pytest.approx(spread, rel=0.1)


def test_swapping_the_sides_negates_the_difference() -> None:
    old, new, speakers = held_out(3, gain=0.08)
    one, other = paired_difference(old, new, speakers), paired_difference(new, old, speakers)
    assert one.difference == pytest.approx(-other.difference)
    assert (one.low, one.high) == (pytest.approx(-other.high), pytest.approx(-other.low))


def test_the_order_of_the_rows_changes_nothing() -> None:
    old, new, speakers = held_out(4)
    order = np.random.default_rng(0).permutation(len(old))
    shuffled = paired_difference([old[i] for i in order], [new[i] for i in order], [speakers[i] for i in order])
    straight = paired_difference(old, new, speakers)
    assert shuffled.difference == straight.difference
    assert shuffled.standard_error == pytest.approx(straight.standard_error)


def test_one_speaker_is_no_sample_of_speakers() -> None:
    found = paired_difference(counts([5, 5, 5], [9, 9, 9]), counts([0, 0, 0], [9, 9, 9]), ["s"] * 3)
    assert found.difference == pytest.approx(-15 / 27)
    assert (found.standard_error, found.low, found.high, found.is_improvement) == (None, None, None, False)
    assert paired_outcome(found, 15 / 27, Gate(), True)[0] == INCONCLUSIVE


def test_without_a_reference_word_nothing_is_decided() -> None:
    found = paired_difference(counts([0, 0], [0, 0]), counts([2, 1], [0, 0]), ["s", "t"])
    assert found is None
    assert paired_outcome(found, None, Gate(), True)[0] == INCONCLUSIVE
    assert first_outcome(None, Gate())[0] == INCONCLUSIVE


@pytest.mark.parametrize(
    ("difference", "outcome"),
    [(-0.05, PROMOTE), (-0.001, KEEP), (0.0, KEEP), (0.05, KEEP)],
)
def test_a_gain_must_be_worth_having(difference: float, outcome: str) -> None:
    words = np.full(60, 100)
    old = counts(np.full(60, 20), words)
    fewer = [round(-1000 * difference) * (index < 6) for index in range(60)] if abs(difference) < 0.01 else np.full(60, round(-100 * difference))
    new = counts(20 - np.array(fewer), words)
    found = paired_difference(old, new, [f"s{index % 10}" for index in range(60)])
    assert paired_outcome(found, 0.2, Gate(), True)[0] == outcome


def test_a_wide_interval_decides_nothing() -> None:
    random = np.random.default_rng(0)
    words = np.full(12, 10)
    found = paired_difference(counts(random.integers(0, 9, 12), words), counts(random.integers(0, 9, 12), words), [f"s{index}" for index in range(12)])
    assert paired_outcome(found, 0.4, Gate(), True)[0] == INCONCLUSIVE


def test_few_speakers_never_promote() -> None:
    words = np.full(8, 100)
    found = paired_difference(counts([50] * 8, words), counts([1, 2] * 4, words), [f"s{index % 4}" for index in range(8)])
    assert found.is_improvement
    assert paired_outcome(found, 0.5, Gate(), True)[0] == INCONCLUSIVE
    assert paired_outcome(found, 0.5, Gate(min_speakers=4), True)[0] == PROMOTE
