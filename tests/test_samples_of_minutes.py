"""A sample of so many minutes is balanced over speakers, never longer than asked for, and another one for another number."""

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from asrx.config import resolve
from asrx.corpus.shards import PreparedCorpus
from asrx.errors import InputError
from asrx.training import sampling


@dataclass
class Pool:
    """As much of a split as sampling looks at; more utterances than could be spoken here."""

    seconds: np.ndarray
    speakers: list[str]

    def column(self, name: str) -> list[str]:
        return {"speaker": self.speakers}[name]


def pool(count: int, speakers: int, seed: int = 0) -> Pool:
    random = np.random.default_rng(seed)
    return Pool(random.uniform(1, 15, count), [f"speaker {number}" for number in random.integers(0, speakers, count)])


def draw(split: Pool, minutes: float, seed: int = 0, sample: int = 1) -> np.ndarray:
    return sampling.minutes(split, np.arange(len(split.seconds)), minutes, seed, sample)


def total(split: Pool, indices: np.ndarray) -> float:
    return float(split.seconds[indices].sum()) / 60


@pytest.mark.parametrize("minutes", [0.5, 1, 10, 60])
@pytest.mark.parametrize("speakers", [1, 3, 500])
def test_never_more_and_at_most_the_shortest_utterance_less(minutes: float, speakers: int) -> None:
    split = pool(1_000, speakers)
    drawn = draw(split, minutes)
    left_over = np.delete(split.seconds, drawn)
    assert total(split, drawn) <= minutes + 1e-9
    assert total(split, drawn) > minutes - left_over.min() / 60
    assert len(set(drawn.tolist())) == len(drawn) and (np.diff(drawn) > 0).all()


def test_speakers_have_equal_shares_whatever_the_pool_has_of_them() -> None:
    random = np.random.default_rng(0)
    names = ["talkative"] * 900 + ["taciturn"] * 60 + ["slow"] * 60
    seconds = np.concatenate([random.uniform(1, 5, 960), random.uniform(10, 15, 60)])
    split = Pool(seconds, names)
    drawn = draw(split, 6)
    shares = [float(sum(seconds[index] for index in drawn if names[index] == name)) for name in ("talkative", "taciturn", "slow")]
    assert max(shares) - min(shares) <= 15, shares  # an utterance of the longest


def test_a_speaker_who_runs_out_leaves_the_rest_to_the_others() -> None:
    split = Pool(np.full(110, 6.0), ["few"] * 10 + ["many"] * 100)
    drawn = draw(split, 10)
    assert total(split, drawn) == pytest.approx(10)
    assert sum(index < 10 for index in drawn) == 10


def test_unknown_speakers_are_not_one_speaker() -> None:
    split = Pool(np.full(200, 6.0), ["known"] * 100 + [""] * 100)
    drawn = draw(split, 2)  # 20 utterances for 101 speakers
    assert sum(index < 100 for index in drawn) <= 1
    assert len(draw(Pool(np.full(50, 6.0), [""] * 50), 5)) == 50


def test_numbers_and_seeds_change_the_sample_and_nothing_else_does() -> None:
    split = pool(2_000, 40)
    drawn = {(seed, sample): tuple(draw(split, 10, seed, sample)) for seed in (0, 1) for sample in (1, 2, 3)}
    assert len(set(drawn.values())) == 6
    assert drawn[0, 2] == tuple(draw(split, 10, 0, 2))
    one, other = set(drawn[0, 1]), set(drawn[0, 2])
    assert len(one & other) < 0.3 * len(one)


def test_more_than_there_is_and_less_than_an_utterance_are_refused() -> None:
    split = pool(100, 5)
    with pytest.raises(InputError, match=r"data.minutes=60: there are 1\d\.\d minutes of training audio to draw from"):
        draw(split, 60)
    with pytest.raises(InputError, match=r"data.minutes=0.01: the shortest training utterance has 1\.\d s"):
        draw(split, 0.01)


def test_a_million_utterances_are_drawn_from_in_seconds() -> None:
    split = pool(1_000_000, 1)
    started = time.process_time()
    assert total(split, draw(split, 10)) > 9.9
    assert total(split, draw(split, 100_000)) > 99_999
    assert time.process_time() - started < 60  # a list that is emptied from its front takes hours


def test_the_option_draws_from_a_prepared_corpus(corpus: Path) -> None:
    split = PreparedCorpus.open(corpus).split("train")
    options = [resolve(overrides=["data.minutes=0.5", f"data.sample={sample}"]).data for sample in (1, 1, 2)]
    first, again, second = (sampling.chosen(split, item).tolist() for item in options)
    assert first == again != second
    assert 20 < split.seconds[first].sum() <= 30
    assert len({split.column("speaker")[index] for index in first}) == 6
