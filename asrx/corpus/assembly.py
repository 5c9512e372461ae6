"""From finished pieces to a corpus folder: repeated audio out, files in their places, the list of what was left out."""

import csv
import errno
import hashlib
import json
import os
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from ..files import read_json
from . import leakage
from .pieces import ORIGIN, SOURCES, Piece
from .plan import Plan
from .shards import TEXT_FIELDS, DataFile, Utterance, batches_of, describe_shard, samples_of
from .splits import SPLITS

REJECTED = "rejected.csv"


@dataclass
class Tally:
    """What was counted while a corpus was put together."""

    splits: dict[str, dict[str, Any]] = field(default_factory=dict)
    rejected: Counter[str] = field(default_factory=Counter)
    first: str = ""  # rejected utterance, with its file and the reason
    digest: Any = field(default_factory=hashlib.sha256)
    characters: dict[str, Counter[str]] = field(default_factory=dict)

    @property
    def utterances(self) -> int:
        """Accepted ones, of all splits."""
        return sum(item["utterances"] for item in self.splits.values())


def assemble(pieces: list[Piece], plan: Plan, folder: Path, keep_duplicates: bool, shown: Callable[[str], str]) -> Tally:
    """Put the pieces together in the new `folder`: shards, sources, rejected.csv. The pieces stay where they are.

    `shown`: a recording's path as people know it.
    """
    records = [read_json(piece.record) for piece in pieces]
    repeated = leakage.duplicates([(piece.split, piece.target) for piece in pieces], keep_duplicates)
    tally = Tally()
    text = {"encoding": "utf-8", "errors": "backslashreplace", "newline": ""}  # file names may be no UTF-8
    with open(folder / ORIGIN, "w", **text) as origin, open(folder / REJECTED, "w", **text) as rejected:
        lists = _Lists(plan, origin, csv.writer(rejected, lineterminator="\n"), tally, shown)
        for split, of_split in groupby(enumerate(pieces), key=lambda item: item[1].split):
            shards = 0
            for _, of_shard in groupby(of_split, key=lambda item: item[1].shard):
                shards += _shard(list(of_shard), records, repeated, folder / SPLITS[split] / f"part_{shards + 1}", lists)
            if shards:
                totals = tally.splits[SPLITS[split]]
                totals |= {"hours": round(totals["hours"], 4), "shards": shards}
    link(plan.file, folder / SOURCES)
    return tally


def _shard(items: list[tuple[int, Piece]], records: list[dict[str, Any]], repeated: dict[int, list[leakage.Duplicate]], part: Path, lists: "_Lists") -> int:
    """Write one shard; 0 if none of its utterances was accepted."""
    counts = {index: records[index]["accepted"] - len(repeated.get(index, ())) for index, _ in items}
    full = [index for index, count in counts.items() if count]
    names = {index: f"data-{number:05d}-of-{len(full):05d}.arrow" for number, index in enumerate(full)}
    if full:
        part.mkdir(parents=True)
    for index, piece in items:
        target = part / names[index] if index in names else None
        if target:
            _link_without(piece.target, target, repeated.get(index, []))
            lists.count(piece.split, target)
        lists.add(piece, records[index], repeated.get(index, []), target)
    if full:
        describe_shard(part, [(names[index], counts[index]) for index in full])
    return bool(full)


def _link_without(source: Path, target: Path, left_out: list[leakage.Duplicate]) -> None:
    if not left_out:
        link(source, target)
        return
    places, place = {item.place for item in left_out}, 0
    with DataFile(target) as file:
        for batch in batches_of(source):
            texts = batch.select(["seconds", *TEXT_FIELDS]).to_pylist()
            for row, values in enumerate(texts):
                if place not in places:
                    file.add(Utterance(audio=samples_of(batch, row), **values))
                place += 1


def link(source: Path, target: Path) -> None:
    """The same file under another name; a copy where the file system has no hard links."""
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        shutil.copyfile(source, target)


class _Lists:
    """The lists that are written while the shards are, and the counts."""

    def __init__(self, plan: Plan, origin: Any, rejected: Any, tally: Tally, shown: Callable[[str], str]) -> None:
        self._plan, self._origin, self._rejected, self._tally, self._shown = plan, origin, rejected, tally, shown
        rejected.writerow(["id", "audio", "split", "rule", "reason", "text"])

    def add(self, piece: Piece, record: dict[str, Any], repeated: list[leakage.Duplicate], target: Path | None) -> None:
        """What the piece was made from, and which of its rows were left out."""
        gone = {index for index, *_ in record["rejected"]}
        accepted = [index for index in range(record["rows"]) if index not in gone]
        dropped = [(accepted[item.place], item.rule, item.reason) for item in repeated]
        left_out = sorted([*map(tuple, record["rejected"]), *dropped])
        self._origin.write(json.dumps({
            "split": piece.split, "rows": record["rows"], "key": record["key"], "accepted": record["accepted"], "rejected": record["rejected"],
            "dropped": [index for index, *_ in dropped], "bytes": record["bytes"],
            "file": str(target.relative_to(target.parents[2])) if target else None,
        }, ensure_ascii=False) + "\n")  # fmt: skip
        if left_out:
            self._list(piece, left_out)

    def _list(self, piece: Piece, left_out: list[tuple[int, str, str]]) -> None:
        rows = self._plan.rows(piece.rows[np.array([index for index, *_ in left_out])])
        for row, (_, rule, reason) in zip(rows, left_out):
            where = self._shown(row.where)
            self._tally.first = self._tally.first or f"{row.id} ({where}): {reason}"
            self._tally.rejected[rule] += 1
            self._rejected.writerow([row.id, where, SPLITS[piece.split], rule, reason, row.text])

    def count(self, split: int, file: Path) -> None:
        """Add the utterances of a file to the totals."""
        name, tally = SPLITS[split], self._tally
        counts = tally.splits.setdefault(name, {"utterances": 0, "hours": 0.0, "shards": 0})
        characters = tally.characters.setdefault(name, Counter())
        for batch in batches_of(file):
            ids, digests, texts = (batch.column(column).to_pylist() for column in ("id", "audio_digest", "text"))
            tally.digest.update("".join(f"{name}\t{row}\t{audio}\t{text}\n" for row, audio, text in zip(ids, digests, texts)).encode())
            characters.update("".join(texts))
            counts["utterances"] += batch.num_rows
            counts["hours"] += float(batch.column("seconds").to_numpy().sum()) / 3600
