"""The same audio twice, and what the held-out utterances share with training."""

from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from ..files import write_text
from ..tables import csv_text
from .shards import PreparedCorpus, Split, batches_of
from .splits import SPLITS, TEST, TRAIN, VALIDATION

EXAMPLES = 5
SHOWN = 60  # characters of a sentence in an example
LEAKAGE = "leakage.csv"


@dataclass(frozen=True)
class Duplicate:
    """An utterance whose audio another one has."""

    place: int  # in its file
    rule: str  # duplicate: the other one is in the same split; leakage: it is in one that is further from training
    reason: str


def duplicates(files: list[tuple[int, Path]], keep: bool) -> dict[int, list[Duplicate]]:
    """Index of a file → its utterances to leave out. `files`: (split, Arrow file); `keep`: repetitions within a split stay.

    Of the same audio the copy in test stays before the one in validation, and that before the one in train; within a split the first.
    """
    ordered = [index for split in (TEST, VALIDATION, TRAIN) for index, (own, _) in enumerate(files) if own == split]
    digests = [_digests(files[index][1]) for index in ordered]
    owner = np.repeat(np.array(ordered, np.int32), [len(items) for items in digests])
    place = np.concatenate([np.arange(len(items), dtype=np.int32) for items in digests] or [np.empty(0, np.int32)])
    halves = np.concatenate([*digests, np.empty((0, 2), np.uint64)])
    order = np.lexsort((halves[:, 1], halves[:, 0]))  # stable: equal ones stay in the order of precedence
    begins = np.ones(len(order), bool)
    begins[1:] = (halves[order][1:] != halves[order][:-1]).any(axis=1)
    first = np.maximum.accumulate(np.where(begins, np.arange(len(order)), 0))
    found: dict[int, list[Duplicate]] = {}
    for at in np.flatnonzero(~begins):
        other, stays = order[at], order[first[at]]
        same_split = files[owner[other]][0] == files[owner[stays]][0]
        if not (keep and same_split):
            split, file = files[owner[stays]]
            reason = f"the same audio as {_ids(file)[place[stays]]} ({SPLITS[split]})"
            found.setdefault(int(owner[other]), []).append(Duplicate(int(place[other]), "duplicate" if same_split else "leakage", reason))
    return {index: sorted(items, key=lambda item: item.place) for index, items in found.items()}


def _digests(file: Path) -> np.ndarray:
    """The first 128 bits of each utterance's audio digest, (utterances, 2) uint64."""
    digests = (value[:32] for batch in batches_of(file) for value in batch.column("audio_digest").to_pylist())
    return np.frombuffer(bytes.fromhex("".join(digests)), np.uint64).reshape(-1, 2)


@lru_cache(maxsize=64)
def _ids(file: Path) -> list[str]:
    return [name for batch in batches_of(file) for name in batch.column("id").to_pylist()]


def shared(corpus: PreparedCorpus, rejected: Counter[str]) -> dict[str, Any]:
    """What training and the held-out splits have in common, for corpus.json; all of it goes to `leakage.csv`.

    audio: utterances left out because their audio is held out; speakers: known ones on both sides; sentences: held-out utterances
    whose text (case folded) is trained on; examples of each.
    """
    train = corpus.split(SPLITS[TRAIN])
    speakers = Counter(name for name in train.each("speaker") if name)
    sentences = _sentences(train)
    listed: list[tuple[Any, ...]] = []
    for name in (SPLITS[VALIDATION], SPLITS[TEST]):
        held_out = corpus.split(name)
        counts = Counter(held_out.each("speaker"))
        listed += [("speaker", name, speaker, count, speakers[speaker]) for speaker, count in sorted(counts.items()) if speaker in speakers]
        own = _sentences(held_out)
        repeated = Counter(text for text, inside in zip(held_out.each("text"), np.isin(own, sentences)) if inside and text)
        trained = dict(zip(*np.unique(sentences[np.isin(sentences, own)], return_counts=True)))
        listed += [("sentence", name, text, count, int(trained[_hash(text)])) for text, count in sorted(repeated.items())]
    _write(corpus.folder / LEAKAGE, listed)
    of_kind = {kind: [row for row in listed if row[0] == kind] for kind in ("speaker", "sentence")}
    return {
        "audio": rejected["leakage"],
        "speakers": len({row[2] for row in of_kind["speaker"]}),
        "sentences": sum(row[3] for row in of_kind["sentence"]),
        "examples": {f"{kind}s": [row[2][:SHOWN] for row in rows[:EXAMPLES]] for kind, rows in of_kind.items()},
    }


def _sentences(split: Split) -> np.ndarray:
    """A hash of each utterance's text (int64), the same within this process."""
    return np.fromiter(map(_hash, split.each("text")), np.int64, len(split))


def _hash(text: str) -> int:
    return hash(text.casefold())


def _write(path: Path, rows: list[tuple[Any, ...]]) -> None:
    write_text(path, csv_text(["kind", "held_out", "value", "held_out_utterances", "training_utterances"], rows))
