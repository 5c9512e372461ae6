"""A plan that loses utterances, wastes memory or is not the same after a restart spoils a training silently."""

from collections import Counter

import numpy as np
import pytest

from asrx.config import Batch
from asrx.training.batching import plan_batches

SECONDS = np.random.default_rng(0).uniform(1, 15, 500)
SPEAKERS = [f"speaker-{index % 7}" for index in range(500)]


def plan(epochs=2.0, micro_batches=0, size=8, options=Batch(), concatenate=0.0, seed=1):
    return plan_batches(SECONDS, SPEAKERS, epochs, micro_batches, size, options, concatenate, seed)


def test_every_utterance_comes_once_an_epoch():
    seen = Counter((item.epoch, item.index) for batch in plan() for item in batch)
    assert seen == Counter({(epoch, index): 1 for epoch in range(2) for index in range(500)})


def test_epochs_differ_and_seeds_repeat():
    assert plan().batches == plan().batches
    assert plan(seed=2).batches != plan().batches
    first, second = (list(plan())[:10], list(plan())[-10:])
    assert [[item.index for item in batch] for batch in first] != [[item.index for item in batch] for batch in second]


@pytest.mark.parametrize("budget", [16.0, 60.0])
def test_a_budget_in_seconds_holds_for_padded_batches(budget):
    for batch in plan(options=Batch(seconds=budget)):
        assert max(SECONDS[item.index] for item in batch) * len(batch) <= budget or len(batch) == 1


def test_grouping_by_length_wastes_less_on_padding():
    def waste(options):
        batches = plan(options=options, size=8)
        padded = sum(max(SECONDS[item.index] for item in batch) * len(batch) for batch in batches)
        return 1 - sum(SECONDS[item.index] for batch in batches for item in batch) / padded

    assert waste(Batch(group_by_length=True)) < 0.05 < 0.25 < waste(Batch(group_by_length=False))


@pytest.mark.parametrize(("epochs", "batches"), [(1.0, 63), (0.5, 32), (2.5, 63 * 2 + 32)])
def test_parts_of_epochs(epochs, batches):
    assert len(plan(epochs=epochs)) == batches


def test_steps_instead_of_epochs():
    made = plan(micro_batches=100)
    assert len(made) == 100
    assert made.epoch_after(63) == 1.0
    assert made.epoch_after(100) == pytest.approx(1 + 37 / 63)


def test_partners_are_of_the_same_speaker():
    joined = [item for batch in plan(concatenate=0.5) for item in batch if item.partner is not None]
    assert 100 < len(joined) < 600
    assert all(SECONDS[item.index] + SECONDS[item.partner] <= 15 for item in joined)
    assert all(SPEAKERS[item.index] == SPEAKERS[item.partner] for item in joined)
