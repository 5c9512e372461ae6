"""Utterances of rare speakers, accents or whatever a corpus tells of them, drawn more often."""

import json
from collections.abc import Sequence

import numpy as np

from ..corpus.shards import Split
from ..errors import ConfigError, nearest

OPTION = "batch.balance"
SPEAKER = "speaker"


def values(split: Split, indices: np.ndarray, column: str | None) -> list[str]:
    """The value of `column` (speaker, or a key of the slices) of each of the utterances `indices`, empty where it is missing; none without a column.

    Raises ConfigError for a column that the corpus lacks, naming those it has, and for one that says the same of all.
    """
    if column is None:
        return []
    if column == SPEAKER:
        names = split.column(SPEAKER)
        found = [names[index] or "" for index in indices]
    else:
        slices = split.column("slices")
        found = _of_slices([json.loads(slices[index] or "{}") for index in indices], column)
    if len(set(found)) < 2:
        raise ConfigError(f"{OPTION}={column}: all utterances that are trained on have the same: there is nothing to balance")
    return found


def _of_slices(slices: list[dict[str, object]], column: str) -> list[str]:
    known = [SPEAKER, *dict.fromkeys(key for each in slices for key in each)]
    if column not in known:
        raise ConfigError(f"{OPTION}={column}: the corpus has no such column{nearest(column, known)}; it has {', '.join(known)}")
    return [str(each.get(column) or "") for each in slices]


def balanced(values: Sequence[str], exponent: float, random: np.random.Generator) -> np.ndarray:
    """As many indices as there are values, those of a value n times among them drawn n^(1 - exponent) times, up to a common factor.

    Of one value, each utterance is drawn as often as the others, or once more. Chance decides which, and over the epochs the share of each
    value is exact.
    """
    _, kinds, sizes = np.unique(np.asarray(values), return_inverse=True, return_counts=True)
    wanted = sizes ** (1.0 - exponent)
    counts = _whole(wanted / wanted.sum() * len(kinds), random)
    drawn = []
    for kind, (count, size) in enumerate(zip(counts, sizes)):
        members = np.flatnonzero(kinds == kind)
        drawn += [members] * (count // size) + [random.choice(members, count % size, replace=False)]
    return np.concatenate(drawn)


def _whole(shares: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Whole numbers with the same sum, each the share rounded up or down (systematic sampling: the share is its mean)."""
    edges = np.floor(np.concatenate([[0.0], np.cumsum(shares)]) + random.random())
    edges[-1] = edges[0] + round(float(shares.sum()))
    return np.diff(edges).astype(int)
