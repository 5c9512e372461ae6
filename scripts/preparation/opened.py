"""Opening a prepared corpus in a process of its own: `python opened.py CORPUS SEED`, with a JSON object as its last line of output."""

import json
import random
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from meter import memory_of

if TYPE_CHECKING:
    from asrx.corpus.shards import Split

ACCESSES = 1_000


def main() -> None:
    """Open the corpus, read utterances at random, and say what it cost."""
    from asrx.corpus.shards import PreparedCorpus

    folder, seed = Path(sys.argv[1]), int(sys.argv[2])
    own, resident = memory_of()
    started = time.perf_counter()
    split = PreparedCorpus.open(folder).split("train")
    first = split.audio(0)
    opened = time.perf_counter()
    indices = random.Random(seed).sample(range(len(split)), min(ACCESSES, len(split)))
    access, again = _seconds(split, indices), _seconds(split, indices)
    after = memory_of()
    mapped = all(_is_mapped(samples, folder) for samples in (first, *map(split.audio, indices[:20])))
    print(json.dumps({
        "utterances": len(split), "first_audio": opened - started, "access": access, "again": again, "mapped": mapped,
        "own": after[0] - own, "resident": after[1] - resident,
    }))  # fmt: skip


def _seconds(split: "Split", indices: list[int]) -> float:
    """Seconds to get one utterance and look at both of its ends, which brings their pages into memory."""
    started = time.perf_counter()
    for index in indices:
        samples = split.audio(index)
        _ = int(samples[0]) + int(samples[-1])
    return (time.perf_counter() - started) / len(indices)


def _is_mapped(view: np.ndarray, folder: Path) -> bool:
    """Whether the samples lie where the kernel has mapped a file of `folder`: nothing was copied."""
    address = view.__array_interface__["data"][0]
    for line in Path("/proc/self/maps").read_text().splitlines():
        start, end = (int(value, 16) for value in line.split(maxsplit=1)[0].split("-"))
        if start <= address < end:
            return str(folder.resolve()) in line
    return False


if __name__ == "__main__":
    main()
