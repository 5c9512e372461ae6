"""Where one speaker has most of the audio, `batch.balance` lets the others be heard as often as asked for, in epochs that stay as long."""

import json
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from asrx.config import Augment, Batch
from asrx.corpus.shards import DataFile, Split, Utterance, describe_shard
from asrx.errors import ConfigError
from asrx.training.balance import balanced, values
from asrx.training.batching import BatchPlan, Item, TrainingUtterances, plan_batches
from asrx.training.material import of

SPEAKERS = ["a"] * 300 + ["b"] * 75 + ["c"] * 12 + [""] * 3
SECONDS = np.random.default_rng(0).uniform(1, 8, len(SPEAKERS))


def plan(exponent: float, seed: int = 1, epochs: int = 2) -> BatchPlan:
    return plan_batches(SECONDS, SPEAKERS, epochs, 0, 8, Batch(balance_exponent=exponent), 0.0, seed, SPEAKERS)


def heard(made: BatchPlan) -> Counter:
    return Counter(SPEAKERS[item.index] for batch in made for item in batch)


@pytest.fixture
def split(tmp_path: Path) -> Split:
    part = tmp_path / "train" / "part_1"
    part.mkdir(parents=True)
    with DataFile(part / "data.arrow") as file:
        for index, accent in enumerate(("scottish", "", "irish", "irish")):
            slices = json.dumps({"accent": accent, "gender": "f"} if accent else {"gender": "f"})
            file.add(Utterance(f"u{index}", np.full(16_000, 100, np.int16), 1.0, "a", "a", f"s{index % 2}", f"{index:064x}", slices))
    describe_shard(part, [("data.arrow", 4)])
    return Split(tmp_path / "train")


def test_an_exponent_of_0_hears_every_utterance_once() -> None:
    items = [(item.epoch, item.index) for batch in plan(0.0) for item in batch]
    assert len(items) == len(set(items)) == 2 * len(SPEAKERS)


@pytest.mark.parametrize("exponent", [0.5, 1.0])
def test_values_are_heard_as_often_as_asked_for(exponent: float) -> None:
    epochs = 40
    counts = heard(plan(exponent, epochs=epochs))
    assert counts.total() == epochs * len(SPEAKERS)
    sizes = Counter(SPEAKERS)
    whole = sum(size ** (1 - exponent) for size in sizes.values())
    for speaker, size in sizes.items():
        assert counts[speaker] / counts.total() == pytest.approx(size ** (1 - exponent) / whole, rel=0.01)


def test_an_epoch_keeps_its_number_of_utterances_and_those_of_a_speaker_are_heard_alike() -> None:
    made = plan(1.0)
    for epoch in range(2):
        items = [item for batch in made for item in batch if item.epoch == epoch]
        assert len(items) == len(SPEAKERS)
        for speaker in set(SPEAKERS):
            times = Counter(item.index for item in items if SPEAKERS[item.index] == speaker)
            assert len(times) == min(SPEAKERS.count(speaker), sum(times.values())) and max(times.values()) - min(times.values()) <= 1


def test_an_utterance_that_comes_again_is_changed_anew(split: Split) -> None:
    items = [item for batch in plan(1.0) for item in batch]
    assert len({(item.epoch, item.index, item.again) for item in items}) == len(items) > len({(item.epoch, item.index) for item in items})
    utterances = TrainingUtterances(of(split, split, np.arange(4), [[1]] * 4), list, Augment(gain=20), seed=0)
    heard = [utterances[Item(0, 2, again=again)] for again in (0, 1, 1)]
    assert np.array_equal(heard[1].waveform, heard[2].waveform) and not np.array_equal(heard[0].waveform, heard[1].waveform)
    assert len({sample.seed for sample in heard}) == 2


def test_the_draw_repeats_and_epochs_differ() -> None:
    assert plan(1.0).batches == plan(1.0).batches != plan(1.0, seed=2).batches
    kept = [{item.index for batch in plan(1.0) for item in batch if item.epoch == epoch and SPEAKERS[item.index] == "a"} for epoch in range(2)]
    assert kept[0] != kept[1]


def test_more_values_than_places_are_drawn_in_turn() -> None:
    drawn = [balanced(["a"] * 50 + [f"rare-{number}" for number in range(10)], 1.0, np.random.default_rng(number)) for number in range(5)]
    assert all(len(indices) == 60 for indices in drawn)


def test_any_column_of_the_corpus_can_be_balanced(split: Split) -> None:
    indices = np.array([3, 1, 0])
    assert values(split, indices, None) == []
    assert values(split, indices, "speaker") == ["s1", "s1", "s0"]
    assert values(split, indices, "accent") == ["irish", "", "scottish"]


@pytest.mark.parametrize(("column", "said"), [
    ("acent", "batch.balance=acent: the corpus has no such column (did you mean accent?); it has speaker, accent, gender"),
    ("gender", "batch.balance=gender: all utterances that are trained on have the same"),
])  # fmt: skip
def test_a_column_that_cannot_be_balanced_is_refused(column: str, said: str, split: Split) -> None:
    with pytest.raises(ConfigError, match=re.escape(said)):
        values(split, np.arange(4), column)
