"""Which utterances of a corpus are trained on: all but those left out, a share of them, or so many minutes with balanced speakers."""

import csv
import hashlib
import heapq
import logging

import numpy as np

from .. import tracking
from ..config import Data
from ..corpus.shards import Split
from ..errors import InputError

log = logging.getLogger("asrx")


def chosen(split: Split, options: Data) -> np.ndarray:
    """Indices into `split`, in corpus order: what `data.minutes` draws from what `data.exclude` and `data.fraction` leave."""
    pool = _fraction(len(split), options)
    if options.exclude:
        pool = _without(split, pool, options.exclude)
    return minutes(split, pool, options.minutes, options.seed, options.sample) if options.minutes else pool


def excluded(file: str) -> list[str]:
    """The ids in a file: of the column `id` of a CSV, or one on each line. InputError for a file that cannot be read."""
    try:
        with tracking.user_path(file).open(encoding="utf-8-sig", newline="") as lines:
            rows = [row for row in csv.reader(lines) if row]
    except (OSError, UnicodeError, csv.Error) as error:
        raise InputError(f"data.exclude={file}: cannot be read ({error}); give a CSV with a column id, or a text file with one id on each line") from None
    header = rows[0] if rows else []
    if "id" in header:
        return [row[header.index("id")] for row in rows[1:] if len(row) > header.index("id")]
    if any(len(row) > 1 for row in rows):
        raise InputError(f"data.exclude={file}: has no column id; it has {', '.join(header)}")
    return [row[0].strip() for row in rows]


def content(file: str | None) -> str | None:
    """Equal for files that list the same ids, wherever they lie; None without a file."""
    return file and hashlib.sha256("\n".join(sorted(set(excluded(file)))).encode()).hexdigest()[:16]


def _without(split: Split, pool: np.ndarray, file: str) -> np.ndarray:
    listed, ids = set(excluded(file)), split.column("id")
    kept = np.array([ids[index] not in listed for index in pool], bool)
    log.info("%s of %s training utterances are left out: data.exclude names them", f"{int((~kept).sum()):,}", f"{len(pool):,}")
    if listed and kept.all():
        log.warning("none of the %s ids in %s is a training utterance of this corpus", f"{len(listed):,}", file)
    return pool[kept]


def _fraction(count: int, options: Data) -> np.ndarray:
    wanted = max(1, round(count * options.fraction))
    return np.sort(np.random.default_rng(options.seed).permutation(count)[:wanted])


def minutes(split: Split, pool: np.ndarray, wanted: float, seed: int, sample: int) -> np.ndarray:
    """At most `wanted` minutes of the utterances `pool`: the speaker with the least audio is next, until no utterance fits any more.

    An utterance without a speaker counts as a speaker of its own. Raises InputError where the pool has fewer minutes than are wanted,
    or no utterance as short as that.
    """
    seconds = split.seconds
    available, shortest = float(seconds[pool].sum()) / 60, float(seconds[pool].min(initial=np.inf))
    if available < wanted:
        raise InputError(f"data.minutes={wanted:g}: there are {available:.1f} minutes of training audio to draw from")
    if shortest > 60 * wanted:
        raise InputError(f"data.minutes={wanted:g}: the shortest training utterance has {shortest:.1f} s")
    queues = _shuffled_queues(split.column("speaker"), np.random.default_rng((seed, sample)).permutation(pool))
    return np.sort(np.array(_taking_turns(queues, seconds, 60 * wanted), dtype=np.int64))


def _shuffled_queues(names: list[str], order: np.ndarray) -> list[list[int]]:
    """The utterances of each speaker; speakers and utterances come in the order of chance."""
    queues: dict[str | int, list[int]] = {}
    for index in order.tolist():
        queues.setdefault(names[index] or index, []).append(index)
    return list(queues.values())


def _taking_turns(queues: list[list[int]], seconds: np.ndarray, left: float) -> list[int]:
    """Utterances of `left` seconds at most. One that does not fit when its turn comes never will: what is left only shrinks."""
    turns = [(0.0, number, 0) for number in range(len(queues))]  # s taken, speaker, place in the queue
    taken = []
    while turns:
        spoken, number, place = heapq.heappop(turns)
        queue = queues[number]
        while place < len(queue) and seconds[queue[place]] > left:
            place += 1
        if place < len(queue):
            lasts = float(seconds[queue[place]])
            taken.append(queue[place])
            left -= lasts
            heapq.heappush(turns, (spoken + lasts, number, place + 1))
    return taken
