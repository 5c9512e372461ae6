"""No speaker is trained on and held out, and no test utterance is trained on."""

import logging
import tempfile
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from asrx.config import Data
from asrx.corpus import plan
from asrx.corpus.plan import Unpacked
from asrx.corpus.rows import Row
from asrx.corpus.splits import SPLITS
from asrx.errors import InputError


def assign_splits(rows: list[Row], data: Data) -> list[Row]:
    """The rows with their split, by way of a plan on disk."""
    with tempfile.TemporaryDirectory() as folder:
        made = plan.make(rows, Path(folder) / "plan.arrow", data, Unpacked(folder))
        names = {int(number): name for code, name in enumerate(SPLITS) for number in made.of_split(code)}
    return [replace(row, split=names[number]) for number, row in enumerate(rows)]


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


@pytest.mark.parametrize("split", ["random", "speaker"])
def test_rows_that_are_added_leave_nearly_all_others_where_they_are(split: str) -> None:
    before = assign_splits(rows([10] * 40), Data(split=split))
    after = {row.id: row.split for row in assign_splits([*rows([10] * 40), *[Row(f"new-{n}", Path("a"), "x", "new") for n in range(3)]], Data(split=split))}
    assert sum(after[row.id] != row.split for row in before) <= 10


def test_the_seed_draws_another_split() -> None:
    drawn = {tuple(row.split for row in assign_splits(rows([1] * 30), Data(split="random", seed=seed))) for seed in range(5)}
    assert len(drawn) == 5
