"""Pieces: the runs of rows that shards are made of, each an Arrow file that is made, kept or linked as a whole."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..files import read_json
from .decoding import Kept
from .plan import Plan
from .splits import SPLITS

SMALLEST, LARGEST = 64, 512  # rows in a piece: enough of them for every core, few enough files
PIECES_PER_SPLIT = 64  # that a split has before its pieces grow
ORIGIN = "origin.jsonl"
SOURCES = "sources.arrow"


@dataclass(frozen=True)
class Piece:
    """Some rows of one split, in one shard."""

    split: int  # index into SPLITS
    shard: int  # from 1
    number: int  # in the shard, from 0
    rows: np.ndarray  # numbers in the plan, ascending
    target: Path  # Arrow file in the work folder

    @property
    def record(self) -> Path:
        """What became of the rows; written when the Arrow file is whole."""
        return self.target.with_suffix(".json")

    def made(self, key: str) -> dict[str, Any] | None:
        """The record, if the piece is there, whole, and was made from what `key` stands for."""
        record = read_json(self.record)
        whole = isinstance(record, dict) and record.get("key") == key and self.target.is_file() and self.target.stat().st_size == record.get("bytes")
        return record if whole else None


def cut(plan: Plan, shard_size: int, folder: Path) -> list[Piece]:
    """All pieces, held-out splits last, in the order of the rows. Rows that are added at the end change the last one only."""
    pieces = []
    for split, name in enumerate(SPLITS):
        rows = plan.of_split(split)
        size = min(_piece_size(len(rows)), shard_size)
        for shard, start in enumerate(range(0, len(rows), shard_size), 1):
            of_shard = rows[start : start + shard_size]
            for number, first in enumerate(range(0, len(of_shard), size)):
                pieces.append(Piece(split, shard, number, of_shard[first : first + size], folder / name / f"{shard}" / f"{number}.arrow"))
    return pieces


def _piece_size(rows: int) -> int:
    """A power of two, so that a growing corpus is seldom cut anew."""
    size = SMALLEST
    while size < LARGEST and rows > PIECES_PER_SPLIT * size:
        size *= 2
    return size


def key_of(piece: Piece, plan: Plan, options: str) -> str:
    """Digest of all that the piece's bytes depend on: rows, the state of their audio, options."""
    columns = ["key", "id", "text", "speaker", "slices", "problem"]
    table = plan.table(piece.rows, columns)
    digest = hashlib.blake2b(f"{options} {piece.split} {table.num_rows}".encode(), digest_size=16)
    for name in columns:
        digest.update(repr(table[name].to_pylist()).encode(errors="surrogateescape"))
    return digest.hexdigest()


class Earlier:
    """What an earlier preparation in `folder` left that can be used again. `decoding`: the bounds that decided its decoding."""

    def __init__(self, folder: Path, decoding: str) -> None:
        self._whole: dict[str, tuple[Path, dict[str, Any]]] = {}
        self._files: tuple[Path, ...] = ()
        self._keys = np.empty((0, 2), np.uint64)
        meta = read_json(folder / "corpus.json")
        if isinstance(meta, dict) and meta.get("decoding") == decoding and (folder / ORIGIN).is_file() and (folder / SOURCES).is_file():
            self._index(folder)

    def _index(self, folder: Path) -> None:
        plan = Plan(folder / SOURCES)
        keys = plan.keys()
        rows = [plan.of_split(split) for split in range(len(SPLITS))]
        used = [0] * len(SPLITS)
        files, found = [], []
        for line in _lines(folder / ORIGIN):
            split, count = line["split"], line["rows"]
            numbers = rows[split][used[split] : used[split] + count]
            used[split] += count
            gone = {index for index, *_ in line["rejected"]} | set(line["dropped"])
            if line["file"] and _is_whole(folder / line["file"], line["bytes"]):
                accepted = np.array([index for index in range(count) if index not in gone], np.int64)
                found.append((keys[numbers[accepted]], np.full(len(accepted), len(files), np.int32), np.arange(len(accepted), dtype=np.int32)))
                files.append(folder / line["file"])
                if not line["dropped"]:
                    self._whole[line["key"]] = files[-1], line
        if found:
            every, file, place = (np.concatenate(columns) for columns in zip(*found))
            order = np.argsort(every[:, 0], kind="stable")
            self._files, self._keys, self._file, self._place = tuple(files), every[order], file[order], place[order]

    def whole(self, key: str) -> tuple[Path, dict[str, Any]] | None:
        """The Arrow file and the record of a piece with this key."""
        return self._whole.get(key)

    def kept(self, keys: np.ndarray) -> Kept | None:
        """Where the audio of rows with these keys (rows, 2) is, or None if there is none of them."""
        if not len(self._keys):
            return None
        places = np.minimum(np.searchsorted(self._keys[:, 0], keys[:, 0]), len(self._keys) - 1)
        hit = (self._keys[places] == keys).all(axis=1)
        if not hit.any():
            return None
        numbers, file = np.unique(np.where(hit, self._file[places], -1), return_inverse=True)
        files = tuple(self._files[number] for number in numbers[numbers >= 0])
        return Kept(files, file - int((numbers < 0).any()), self._place[places])


def _lines(file: Path) -> Iterator[dict[str, Any]]:
    with file.open(encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)


def _is_whole(file: Path, size: int) -> bool:
    return file.is_file() and file.stat().st_size == size
