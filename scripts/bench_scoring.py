"""How fast asrx counts errors and resamples speakers, beside NIST's sclite, kaldialign and plain jiwer, on the same pairs.

    python scripts/bench_scoring.py                     # 100,000 utterances; under two minutes on one core
    python scripts/bench_scoring.py --utterances 10000 --rounds 1

What is counted: CPU seconds of one core, of the process or (sclite) of its child, from texts in memory (sclite: from files) to totals. asrx normalises
the texts, and counts words and characters of each utterance; the others are given normalised texts. Totals are printed and must be the same, but for
sclite, which aligns with weights 4/3/3 and may count a few errors more. The systems take turns in alternating order; figures are medians over the rounds.

sclite is in Debian's package sctk; kaldialign comes with `pip install .[test]`. What is missing is left out and named.
"""

import argparse
import json
import os
import platform
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

from asrx.error_counts import count_all, pool
from asrx.scoring.significance import speaker_bootstrap

WORDS, SPEAKERS, RESAMPLES = 10, 2_000, 10_000  # words of an utterance on average, speakers, resamples
SCORING_TARGET, BOOTSTRAP_TARGET = 6.0, 1.0  # CPU seconds for 100,000 utterances and for the resamples
TARGETED = 100_000  # utterances that the targets hold for
SCLITE = shutil.which("sclite", path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/lib/sctk/bin"]))  # where Debian has it


@dataclass(frozen=True)
class Pairs:
    """Parallel texts in scoring form, and the speaker of each."""

    references: list[str]
    hypotheses: list[str]
    speakers: np.ndarray

    @property
    def words(self) -> list[tuple[list[str], list[str]]]:
        """References and hypotheses as lists of words."""
        return [(said.split(), heard.split()) for said, heard in zip(self.references, self.hypotheses)]


@dataclass(frozen=True)
class Figure:
    """What a system took and came to."""

    system: str
    what: str
    seconds: float  # of CPU
    errors: int | None = None  # words
    character_errors: int | None = None


def make(utterances: int, seed: int = 0) -> Pairs:
    """Utterances of 5 to 15 words of which about one in eight is wrong: 5 % substituted, 4 % deleted, 4 % followed by an insertion."""
    rng = np.random.default_rng(seed)
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    vocabulary = ["".join(rng.choice(letters, rng.integers(2, 9))) for _ in range(20_000)]
    references, hypotheses = [], []
    for length in rng.integers(WORDS // 2, WORDS * 3 // 2 + 1, utterances):
        said = [vocabulary[index] for index in (20_000 * rng.random(length) ** 3).astype(int)]
        other = [vocabulary[index] for index in rng.integers(0, 20_000, length)]
        fates = rng.random(length)
        heard = [word for one, another, fate in zip(said, other, fates) for word in _heard(one, another, fate)]
        references.append(" ".join(said))
        hypotheses.append(" ".join(heard))
    return Pairs(references, hypotheses, rng.integers(0, SPEAKERS, utterances))


def _heard(word: str, other: str, fate: float) -> list[str]:
    if fate < 0.05:
        return [other]
    if fate < 0.09:
        return []
    return [word, other] if fate < 0.13 else [word]


def by_asrx(pairs: Pairs) -> tuple[int, int | None]:
    """Word and character errors of raw texts, kept per utterance."""
    total = pool(count_all(pairs.references, pairs.hypotheses))
    return total.errors, total.character_errors


def by_jiwer(pairs: Pairs) -> tuple[int, int | None]:
    """The two functions that users call."""
    import jiwer

    words, characters = jiwer.process_words(pairs.references, pairs.hypotheses), jiwer.process_characters(pairs.references, pairs.hypotheses)
    return tuple(found.substitutions + found.deletions + found.insertions for found in (words, characters))


def by_kaldialign(pairs: Pairs) -> tuple[int, int | None]:
    """edit_distance of each utterance's words."""
    import kaldialign

    return sum(kaldialign.edit_distance(said, heard)["total"] for said, heard in pairs.words), None


def by_kaldialign_with_characters(pairs: Pairs) -> tuple[int, int | None]:
    """edit_distance of each utterance's words and of its characters."""
    import kaldialign

    characters = ((list(said), list(heard)) for said, heard in zip(pairs.references, pairs.hypotheses))
    return by_kaldialign(pairs)[0], sum(kaldialign.edit_distance(said, heard)["total"] for said, heard in characters)


def by_sclite(pairs: Pairs) -> tuple[int, int | None]:
    """sclite on transcripts in trn format; words alone, the summary alone."""
    with tempfile.TemporaryDirectory(prefix="bench-scoring-") as folder:
        files = []
        for name, texts in (("ref", pairs.references), ("hyp", pairs.hypotheses)):
            files.append(Path(folder) / f"{name}.trn")
            lines = (f"{text} (s{speaker:04}-{number:06})\n" for number, (text, speaker) in enumerate(zip(texts, pairs.speakers)))
            files[-1].write_text("".join(lines))
        command = [SCLITE, "-r", files[0], "trn", "-h", files[1], "trn", "-i", "spu_id", "-o", "rsum", "stdout"]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return int(re.search(r"\|\s*Sum\s*\|(.*)\|", said)[1].replace("|", " ").split()[-2]), None


SYSTEMS: dict[str, tuple[str, Callable[[Pairs], tuple[int, int | None]]]] = {
    "asrx": ("normalisation, words, characters", by_asrx),
    "jiwer": ("words, characters", by_jiwer),
    "kaldialign": ("words", by_kaldialign),
    "kaldialign, both": ("words, characters", by_kaldialign_with_characters),
    "sclite": ("words", by_sclite),
}


def cpu() -> float:
    """Seconds of this process and of its children that have ended."""
    return sum(usage.ru_utime + usage.ru_stime for usage in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)))


def scored(pairs: Pairs, systems: list[str], rounds: int) -> list[Figure]:
    """Each system's median over the rounds."""
    taken: dict[str, list[float]] = {name: [] for name in systems}
    totals: dict[str, tuple[int, int | None]] = {}
    for number in range(rounds):
        for name in systems if number % 2 == 0 else systems[::-1]:
            print(f"{time.strftime('%H:%M:%S')}  round {number + 1} of {rounds}: {name}", file=sys.stderr, flush=True)
            started = cpu()
            totals[name] = SYSTEMS[name][1](pairs)
            taken[name].append(cpu() - started)
    return [Figure(name, SYSTEMS[name][0], statistics.median(taken[name]), *totals[name]) for name in systems]


def resampled(pairs: Pairs, rounds: int) -> Figure:
    """10,000 bootstrap resamples of the speakers."""
    counts = count_all(pairs.references, pairs.hypotheses)
    errors, words = np.array([item.errors for item in counts]), np.array([item.words for item in counts])
    better = np.random.default_rng(1).binomial(errors, 0.9)
    speakers = np.array([f"s{speaker:04}" for speaker in pairs.speakers])
    taken = []
    for _ in range(rounds):
        started = cpu()
        speaker_bootstrap(errors, better, words, speakers, RESAMPLES)
        taken.append(cpu() - started)
    return Figure("asrx", f"{RESAMPLES:,} resamples of {len(set(pairs.speakers)):,} speakers", statistics.median(taken))


def available() -> tuple[list[str], list[str]]:
    """Systems that are here, and what is missing."""
    missing = [] if SCLITE else ["sclite"]
    try:
        version("kaldialign")
    except PackageNotFoundError:
        missing += ["kaldialign", "kaldialign, both"]
    return [name for name in SYSTEMS if name not in missing], missing


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--utterances", type=int, default=TARGETED, help="pairs of about 10 words (default %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="repetitions of each timing (default %(default)s)")
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    options = parser.parse_args()
    systems, missing = available()
    pairs = make(options.utterances)
    scoring, bootstrap = scored(pairs, systems, options.rounds), resampled(pairs, options.rounds)
    met = scoring[0].seconds < SCORING_TARGET and bootstrap.seconds < BOOTSTRAP_TARGET
    if options.json:
        print(json.dumps({"utterances": options.utterances, "missing": missing, "figures": [asdict(item) for item in (*scoring, bootstrap)]}, indent=2))
    else:
        _print(scoring, bootstrap, options, missing)
    return 0 if met or options.utterances > TARGETED else 1


def _print(scoring: list[Figure], bootstrap: Figure, options: argparse.Namespace, missing: list[str]) -> None:
    print(f"{options.utterances:,} utterances, rounds {options.rounds}, python {platform.python_version()}, jiwer {version('jiwer')}\n")
    own = scoring[0].seconds
    print(f"{'system':18}{'what':36}{'CPU s':>8}{'of asrx':>9}{'word errors':>13}{'character errors':>18}")
    for item in scoring:
        totals = [f"{value:,}" if value is not None else "-" for value in (item.errors, item.character_errors)]
        print(f"{item.system:18}{item.what:36}{item.seconds:8.2f}{item.seconds / own:8.2f}x{totals[0]:>13}{totals[1]:>18}")
    print(f"\n{bootstrap.system:18}{bootstrap.what:36}{bootstrap.seconds:8.2f}   target < {BOOTSTRAP_TARGET:g}; scoring < {SCORING_TARGET:g} for {TARGETED:,}")
    if missing:
        print(f"not here: {', '.join(missing)}")


if __name__ == "__main__":
    sys.exit(main())
