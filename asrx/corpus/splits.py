"""Which utterance is trained on and which is held out, where the source does not say."""

import logging
import random
from collections import Counter
from dataclasses import replace

from ..config import AUTO, Data
from ..errors import InputError
from .layouts import Row

log = logging.getLogger("asrx")


def assign_splits(rows: list[Row], data: Data) -> list[Row]:
    """Rows with their split: the source's own, else `train_share` by speaker where speakers are known, else at random.

    What a source names test stays test, also where train and validation are split anew or the source has no validation.
    Raises InputError where the split that was asked for is impossible.
    """
    named = {row.split for row in rows}
    own = None not in named and "train" in named
    if data.split == "source" and not own:
        raise InputError("data.split=source: this source names no splits; use data.split=auto, speaker or random")
    if own and (data.split == "source" or (data.split == AUTO and "validation" in named)):
        return rows
    held_out = [row for row in rows if own and row.split == "test"]
    return _split([row for row in rows if not own or row.split != "test"], data) + held_out


def _split(rows: list[Row], data: Data) -> list[Row]:
    speakers = {row.speaker for row in rows} - {""}
    if data.split == "speaker" and len(speakers) < 2:
        raise InputError(f"data.split=speaker needs two or more known speakers; this source names {len(speakers)}")
    if data.split == "random" or len(speakers) < 2:
        if data.split == AUTO:
            log.warning("speakers are not known: train and validation are split at random and may share speakers")
        return _random_split(rows, data)
    return _split_by_speaker(rows, data)


def _random_split(rows: list[Row], data: Data) -> list[Row]:
    order = list(range(len(rows)))
    random.Random(data.seed).shuffle(order)
    train = set(order[: min(max(1, round(data.train_share * len(rows))), max(1, len(rows) - 1))])
    return [replace(row, split="train" if index in train else "validation") for index, row in enumerate(rows)]


def _split_by_speaker(rows: list[Row], data: Data) -> list[Row]:
    """Speakers from the most to the least talkative, each to the side that lacks most. No speaker is on both sides."""
    units = [row.speaker or f"\0{row.id}" for row in rows]
    counts = Counter(units)
    order = sorted(counts)
    random.Random(data.seed).shuffle(order)
    order.sort(key=lambda unit: -counts[unit])
    wanted = {"train": data.train_share * len(rows), "validation": (1 - data.train_share) * len(rows)}
    side: dict[str, str] = {}
    for unit in order:
        side[unit] = max(wanted, key=lambda name: wanted[name])
        wanted[side[unit]] -= counts[unit]
    if "validation" not in side.values() and len(order) > 1:
        side[order[-1]] = "validation"
    return [replace(row, split=side[unit]) for row, unit in zip(rows, units)]
