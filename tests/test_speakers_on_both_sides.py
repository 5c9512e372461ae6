"""No speaker is trained on and held out, and no test utterance is trained on."""

import logging
from collections import Counter
from pathlib import Path

import pytest

from asrx.config import Data
from asrx.corpus.layouts import Row
from asrx.corpus.splits import assign_splits
from asrx.errors import InputError


def rows(counts: list[int], split: str | None = None) -> list[Row]:
    return [Row(f"{speaker}-{number}", Path("a.wav"), "x", f"s{speaker}", split) for speaker, count in enumerate(counts) for number in range(count)]


@pytest.mark.parametrize("counts", [[10] * 20, list(range(1, 60)), [300, 100, 100, 50, 50, 20, 20, 10] + [1] * 40, [3] * 74])
@pytest.mark.parametrize("seed", range(3))
def test_speakers_are_on_one_side_and_the_share_is_kept(counts: list[int], seed: int) -> None:
    split = assign_splits(rows(counts), Data(seed=seed))
    sides = {row.split: {other.speaker for other in split if other.split == row.split} for row in split}
    assert not sides["train"] & sides["validation"]
    assert sum(row.split == "train" for row in split) / len(split) == pytest.approx(0.7, abs=0.03)
    assert split == assign_splits(rows(counts), Data(seed=seed))


def test_two_speakers_are_one_on_each_side() -> None:
    assert {(row.speaker, row.split) for row in assign_splits(rows([99, 1]), Data())} == {("s0", "train"), ("s1", "validation")}


@pytest.mark.parametrize(("count", "share"), [(2, 0.7), (10, 0.99), (10, 0.01), (3, 0.99)])
def test_a_random_split_has_both_sides(count: int, share: float) -> None:
    sides = Counter(row.split for row in assign_splits(rows([count]), Data(split="random", train_share=share)))
    assert set(sides) == {"train", "validation"}


def test_unknown_speakers_are_split_at_random_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "asrx"):
        sides = Counter(row.split for row in assign_splits([Row(str(number), Path("a"), "x") for number in range(100)], Data()))
    assert sides == {"train": 70, "validation": 30} and "speakers are not known" in caplog.text


def test_an_impossible_split_is_refused() -> None:
    with pytest.raises(InputError, match="data.split=source: this source names no splits"):
        assign_splits(rows([5, 5]), Data(split="source"))
    with pytest.raises(InputError, match="two or more known speakers; this source names 1"):
        assign_splits(rows([5]), Data(split="speaker"))


def test_the_sources_own_split_is_kept() -> None:
    own = rows([3], "train") + rows([2], "validation") + rows([2], "test")
    for split in ("auto", "source"):
        assert assign_splits(own, Data(split=split)) == own


def test_test_utterances_stay_test_where_the_rest_is_split_anew() -> None:
    own = rows([5, 5, 5], "train") + [Row("t", Path("a"), "x", "s9", "test")]
    for data in (Data(), Data(split="random"), Data(split="speaker")):
        split = assign_splits(own, data)
        assert [row.id for row in split if row.split == "test"] == ["t"]
        assert {row.split for row in split} == {"train", "validation", "test"} and len(split) == len(own)
