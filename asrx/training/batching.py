"""Which utterances a step sees. One plan of batches for the whole run: a resumed training finds its place by counting."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from math import ceil
from typing import NamedTuple

import numpy as np

from ..config import Augment, Batch
from ..recognizer.audio import SAMPLE_RATE, to_float
from .augmentation import Augmentation, generator
from .balance import balanced
from .material import Material

LONGEST_JOINED = 15.0  # s of two utterances together, where no budget per batch says less
BUCKET_BATCHES = 50  # batches' worth of shuffled utterances that are sorted by length together


@dataclass(frozen=True)
class Item:
    """An utterance in an epoch; with `partner`, followed by a second one; `again` if it was drawn before, so many times.

    One that does not count has no weight in the loss.
    """

    epoch: int
    index: int
    partner: int | None = None
    again: int = 0
    counts: bool = True

    def lasts(self, seconds: Sequence[float]) -> float:
        """What is heard of it, in s; `seconds`: duration of each utterance."""
        return float(seconds[self.index] + (seconds[self.partner] if self.partner is not None else 0.0))


@dataclass(frozen=True)
class BatchPlan:
    """All micro-batches of a run, in order. It is the batch sampler of the only pass that Trainer makes."""

    batches: list[list[Item]]
    epoch_ends: list[int]  # number of micro-batches after each epoch

    def __iter__(self) -> Iterator[list[Item]]:
        return iter(self.batches)

    def __len__(self) -> int:
        return len(self.batches)

    def epoch_after(self, batches: int) -> float:
        """Epochs that are done after a number of micro-batches, with the share of the current one."""
        done = int(np.searchsorted(self.epoch_ends, batches, side="right"))
        if done == len(self.epoch_ends):
            return float(done)
        start = self.epoch_ends[done - 1] if done else 0
        return done + (batches - start) / (self.epoch_ends[done] - start)


def plan_batches(
    seconds: np.ndarray,
    speakers: Sequence[str],
    epochs: float,
    micro_batches: int,
    size: int,
    options: Batch,
    concatenate: float,
    seed: int,
    values: Sequence[str] = (),
) -> BatchPlan:
    """Shuffled batches of similar lengths: `size` utterances, or `batch.seconds` of audio, each.

    `seconds`: duration of each utterance in s. Ends after `epochs`, or after `micro_batches` if positive. `values`: of each utterance,
    what `batch.balance` balances.
    """
    batches: list[list[Item]] = []
    ends: list[int] = []
    while len(ends) < ceil(epochs) if micro_batches <= 0 else len(batches) < micro_batches:
        batches += _epoch(seconds, speakers, values, len(ends), size, options, concatenate, seed)
        ends.append(len(batches))
    if micro_batches <= 0 and epochs % 1:
        last = ends[-2] if len(ends) > 1 else 0
        micro_batches = max(1, last + ceil((ends[-1] - last) * (epochs % 1)))
    return BatchPlan(batches[:micro_batches] if micro_batches > 0 else batches, ends)


def _epoch(
    seconds: np.ndarray, speakers: Sequence[str], values: Sequence[str], epoch: int, size: int, options: Batch, concatenate: float, seed: int
) -> list[list[Item]]:
    random = np.random.default_rng((seed, epoch))
    drawn = balanced(values, options.balance_exponent, random) if len(values) else np.arange(len(seconds))
    items = _items(epoch, random.permutation(drawn))
    if concatenate:
        items = _with_partners(items, seconds, speakers, concatenate, options.seconds or LONGEST_JOINED, random)
    lengths = {item: item.lasts(seconds) for item in items}
    if options.group_by_length:
        bucket = max(size, ceil(options.seconds / max(1e-3, float(np.mean(seconds))))) * BUCKET_BATCHES
        items = [item for start in range(0, len(items), bucket) for item in sorted(items[start : start + bucket], key=lengths.get)]
    batches = list(_cut(items, lengths, size, options.seconds))
    return [batches[number] for number in random.permutation(len(batches))]


def _items(epoch: int, order: np.ndarray) -> list[Item]:
    counts: dict[int, int] = {}
    items = []
    for index in order.tolist():
        counts[index] = counts.get(index, -1) + 1
        items.append(Item(epoch, index, again=counts[index]))
    return items


def _with_partners(items: list[Item], seconds: np.ndarray, speakers: Sequence[str], share: float, limit: float, random: np.random.Generator) -> list[Item]:
    """A `share` of the items followed by another utterance of the same speaker, where the two last at most `limit` seconds."""
    by_speaker: dict[str, list[int]] = {}
    for index, speaker in enumerate(speakers):
        by_speaker.setdefault(speaker, []).append(index)
    joined = []
    for item in items:
        partner = int(random.choice(by_speaker[speakers[item.index]])) if random.random() < share else None
        fits = partner is not None and seconds[item.index] + seconds[partner] <= limit
        joined.append(replace(item, partner=partner) if fits else item)
    return joined


def _cut(items: list[Item], lengths: dict[Item, float], size: int, budget: float) -> Iterator[list[Item]]:
    """Batches of `size`, or as many as fit into `budget` seconds once padded to the longest."""
    batch: list[Item] = []
    longest = 0.0
    for item in items:
        longest = max(longest, lengths[item])
        full = longest * (len(batch) + 1) > budget if budget else len(batch) == size
        if batch and full:
            yield batch
            batch, longest = [], lengths[item]
        batch.append(item)
    if batch:
        yield batch


class Sample(NamedTuple):
    """What an utterance brings to a batch; `seed` is what random choices about it are derived from."""

    waveform: np.ndarray  # or its features
    labels: list[int]
    seed: tuple[int, ...]
    counts: bool = True


class TrainingUtterances:
    """Map-style data set over plan items: augmented waveforms, or the `features` of plain ones, and labels."""

    def __init__(
        self, material: Material, join: Callable[..., list[int]], options: Augment, seed: int, features: Sequence[np.ndarray] | None = None
    ) -> None:
        self._features = features
        self._material, self._join, self._augmented, self._seed = material, join, Augmentation(options), seed

    def __len__(self) -> int:
        return len(self._material.indices)

    def __getitem__(self, item: Item) -> Sample:
        seed = (self._seed, item.epoch, item.index, *([item.again] if item.again else []))
        if self._features is not None:
            return Sample(self._features[item.index], self._material.labels[item.index], seed, item.counts)
        samples, labels = self._plain(item.index)
        if item.partner is not None:
            more, more_labels = self._plain(item.partner)
            labels = self._join(labels, more_labels, len(samples) / SAMPLE_RATE)
            samples = np.concatenate([samples, more])
        return Sample(self._augmented(samples, generator(*seed)), labels, seed, item.counts)

    def _plain(self, index: int) -> tuple[np.ndarray, list[int]]:
        return to_float(self._material.split.audio(int(self._material.indices[index]))), self._material.labels[index]
