"""The whole gate over many held-out sets: chance is hardly ever promoted, a true gain mostly is, and slices seldom stand in its way."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from asrx.error_counts import ErrorCounts
from asrx.options import Gate
from asrx.registry.gate import KEEP, PROMOTE, judge, worth
from asrx.registry.verdict import Leaks, Verdict
from asrx.scoring.significance import difference_of

WER = 0.12
SHARED = 0.6  # of a system's errors are made by both
SUITED = 0.4  # deviation of how much better a system suits a speaker than the other does, on the logarithm of its own errors
SPEAKERS = (5, 8, 12, 20, 35, 60, 100)


@cache
def count(errors: int, words: int) -> ErrorCounts:
    return ErrorCounts(words=words, substitutions=errors, utterances=1, wrong_utterances=int(errors > 0))


@dataclass(frozen=True)
class HeldOut:
    """Errors of two systems on the utterances of some speakers; arrays of the shape (utterances,)."""

    old: np.ndarray
    new: np.ndarray
    words: np.ndarray
    speakers: np.ndarray

    def verdict(self, slices: dict[str, dict[str, np.ndarray]] | None = None) -> Verdict:
        old, new = ([count(*pair) for pair in zip(errors.tolist(), self.words.tolist())] for errors in (self.old, self.new))
        return judge(old, new, [f"s{number}" for number in self.speakers], True, slices or {}, None, Leaks(), Gate())

    def promoted_by_a_z_test(self) -> bool:
        """What the same rule says of utterances that are taken as independent."""
        found = difference_of(self.new - self.old, self.words, np.arange(len(self.words)), Gate.confidence)
        return found.is_improvement and found.difference <= -worth(self.old.sum() / self.words.sum(), Gate())


def held_out(random: np.random.Generator, speakers: int, utterances: int, talkative: float, gain: float = 0.0) -> HeldOut:
    """Speakers differ in difficulty, in how much they say and in which system suits them; utterances differ in difficulty.

    `utterances`: of a speaker, on average; `talkative`: deviation of their logarithm. Without a gain both systems are interchangeable: which of
    them suits a speaker is chance. With one, that share of the new one's errors is gone.
    """
    said = np.ceil(utterances * random.lognormal(-(talkative**2) / 2, talkative, speakers)).astype(int)
    speaker = np.repeat(np.arange(speakers), said)
    words = random.integers(2, 19, len(speaker))
    errors = WER * words * random.lognormal(-0.125, 0.5, speakers)[speaker] * random.gamma(2, 0.5, len(speaker))
    suits = random.normal(0, SUITED / 2, speakers)[speaker]
    shared = random.poisson(SHARED * errors)
    old, new = (random.poisson((1 - SHARED) * errors * np.exp(sign * suits - SUITED**2 / 8)) + shared for sign in (1, -1))
    return HeldOut(old, random.binomial(new, 1 - gain), words, speaker)


def twenty_slices(random: np.random.Generator, speakers: np.ndarray) -> dict[str, dict[str, np.ndarray]]:
    """Sex, age and accent of the speakers, duration and noise of the utterances: 2 + 4 + 6 + 4 + 4 values."""
    of_speakers = {name: random.permutation(speakers.max() + 1)[speakers] % values for name, values in (("sex", 2), ("age", 4), ("accent", 6))}
    of_utterances = {name: random.integers(0, 4, len(speakers)) for name in ("duration", "snr")}
    return {name: {str(value): np.flatnonzero(drawn == value) for value in np.unique(drawn)} for name, drawn in (of_speakers | of_utterances).items()}


def share(flags: Sequence[bool]) -> float:
    return sum(flags) / len(flags)


def scatter(rate: float, trials: int) -> float:
    """Three standard deviations of a share."""
    return 3 * np.sqrt(rate * (1 - rate) / trials)


def test_chance_is_promoted_no_more_often_than_it_says() -> None:
    trials = 700
    gate, naive = [], []
    for seed in range(trials):
        random = np.random.default_rng(seed)
        data = held_out(random, SPEAKERS[seed % len(SPEAKERS)], 15, 0.8)
        gate.append(data.verdict().outcome == PROMOTE)
        naive.append(data.promoted_by_a_z_test())
    assert 0 < share(gate) <= 0.025 + scatter(0.025, trials)
    assert 0.05 <= share(naive) <= 0.12


def test_a_true_gain_gets_through_with_twenty_slices() -> None:
    """12.0 % to 10.8 % over 60 speakers."""
    verdicts = []
    for seed in range(100):
        random = np.random.default_rng(seed)
        data = held_out(random, 60, 40, 0.3, gain=0.1)
        verdicts.append(data.verdict(twenty_slices(random, data.speakers)))
    assert {len(item.slices) for item in verdicts} == {20}
    assert share([item.outcome == PROMOTE for item in verdicts]) >= 0.75
    assert share([item.outcome == KEEP for item in verdicts]) <= 0.1
