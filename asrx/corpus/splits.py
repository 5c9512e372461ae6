"""Which utterance is trained on and which is held out, where the source does not say."""

import hashlib
import logging

import numpy as np

from ..config import AUTO, Data
from ..errors import InputError

log = logging.getLogger("asrx")

SPLITS = ("train", "validation", "test")
TRAIN, VALIDATION, TEST = range(3)
UNNAMED = -1  # a row whose split the source does not name; a speaker that is not known


def assign(own: np.ndarray, speakers: np.ndarray, names: list[str], hashes: np.ndarray, data: Data) -> np.ndarray:
    """The split of each row, as an index into SPLITS (int8): the source's own, else `train_share` by speaker, else at random.

    `own`: the source's splits (int8) with UNNAMED where it names none; `speakers`: indices into `names` (UNNAMED: not known);
    `hashes`: of the ids (uint64): the order of chance, so that a row that is added leaves the others where they are.
    What a source names test stays test, also where train and validation are split anew or the source has no validation.
    Raises InputError where the split that was asked for is impossible.
    """
    has_own = bool((own != UNNAMED).all() and (own == TRAIN).any())
    if data.split == "source" and not has_own:
        raise InputError("data.split=source: this source names no splits; use data.split=auto, speaker or random")
    if has_own and (data.split == "source" or (data.split == AUTO and (own == VALIDATION).any())):
        return own
    assigned = np.full(len(own), TEST, np.int8)
    open_rows = np.flatnonzero(own != TEST) if has_own else np.arange(len(own))
    assigned[open_rows] = _split(speakers[open_rows], names, hashes[open_rows], data)
    return assigned


def hash64(text: str) -> int:
    """64 bits of a text, the same in every process."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def _split(speakers: np.ndarray, names: list[str], hashes: np.ndarray, data: Data) -> np.ndarray:
    known = len(np.unique(speakers[speakers != UNNAMED]))
    if data.split == "speaker" and known < 2:
        raise InputError(f"data.split=speaker needs two or more known speakers; this source names {known}")
    if data.split == "random" or known < 2:
        if data.split == AUTO:
            log.warning("speakers are not known: train and validation are split at random and may share speakers")
        return _random_split(hashes, data)
    return _split_by_speaker(speakers, names, hashes, data)


def _shuffled(hashes: np.ndarray, seed: int) -> np.ndarray:
    """Hashes in which nothing of the original order is left, another way for each seed (splitmix64's finaliser)."""
    with np.errstate(over="ignore"):
        mixed = hashes.astype(np.uint64) + np.uint64(hash64(f"split {seed}"))
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


def _random_split(hashes: np.ndarray, data: Data) -> np.ndarray:
    count = len(hashes)
    order = np.argsort(_shuffled(hashes, data.seed), kind="stable")
    assigned = np.full(count, VALIDATION, np.int8)
    assigned[order[: min(max(1, round(data.train_share * count)), max(1, count - 1))]] = TRAIN
    return assigned


def _split_by_speaker(speakers: np.ndarray, names: list[str], hashes: np.ndarray, data: Data) -> np.ndarray:
    """No speaker is on both sides; each side gets its share of the talkative and of the taciturn ones."""
    unknown = np.flatnonzero(speakers == UNNAMED)  # each of them counts as a speaker
    units = speakers.astype(np.int64)
    units[unknown] = len(names) + np.arange(len(unknown))
    counts = np.bincount(units, minlength=len(names) + len(unknown))
    chance = _shuffled(np.concatenate([np.array([hash64(name) for name in names], np.uint64), hashes[unknown]]), data.seed)
    side = np.full(len(counts), VALIDATION, np.int8)
    magnitude = np.frexp(counts)[1]  # speakers with 1, 2-3, 4-7, … utterances: a new speaker moves few others
    total = trained = 0
    for size in np.unique(magnitude[counts > 0])[::-1]:
        alike = np.flatnonzero((magnitude == size) & (counts > 0))
        alike = alike[np.argsort(chance[alike], kind="stable")]
        so_many = np.concatenate([[0], np.cumsum(counts[alike])])
        total += so_many[-1]
        first = int(np.argmin(np.abs(data.train_share * total - trained - so_many)))
        side[alike[:first]] = TRAIN
        trained += so_many[first]
    _fill_empty_side(side, counts)
    return side[units]


def _fill_empty_side(side: np.ndarray, counts: np.ndarray) -> None:
    """A side without a speaker gets the one with the fewest utterances."""
    present = np.flatnonzero(counts)
    for split in (TRAIN, VALIDATION):
        if not (side[present] == split).any() and len(present) > 1:
            side[present[np.argmin(counts[present])]] = split
