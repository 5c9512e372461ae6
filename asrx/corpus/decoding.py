"""Decoding, checking and storing a run of utterances: what a worker process does. Imports no torch."""

import hashlib
import os
import socket
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa

from ..files import write_json
from ..recognizer.audio import SAMPLE_RATE, AudioError, load, pcm
from ..text import TranscriptNormalizer
from .plan import Plan, Planned
from .rows import Inside
from .rules import Rejected, Rules
from .shards import DataFile, Utterance, batches_of, samples_of


@dataclass(frozen=True)
class Kept:
    """Audio of an earlier preparation that is still good: for each row of a piece a file (-1: none) and a place in it."""

    files: tuple[Path, ...]
    file: np.ndarray
    place: np.ndarray


@dataclass(frozen=True)
class Job:
    """One piece of a shard to be made: some rows of the plan, and the file that they become."""

    plan: Path
    rows: np.ndarray  # numbers in the plan, ascending
    target: Path  # Arrow file; what was made of the rows is told in a .json beside it
    key: str  # of everything that the piece depends on
    rules: Rules
    text_rule: TranscriptNormalizer
    kept: Kept | None = None
    lethal: tuple[int, ...] = ()  # indices of rows that killed the process that decoded them

    @property
    def progress(self) -> Path:
        """Where a worker notes the index of the row that it is at, for the case that it does not survive it."""
        return self.target.with_suffix(".at")

    @property
    def record(self) -> Path:
        """Where the outcome is told; there only when the Arrow file is whole."""
        return self.target.with_suffix(".json")


@dataclass(frozen=True)
class Outcome:
    """What became of a piece's rows."""

    rows: int  # that the piece was made from
    accepted: int
    decoded: int  # of the others the audio was there from an earlier preparation
    rejected: tuple[tuple[int, str, str], ...] = field(default_factory=tuple)  # index in the piece, rule, reason


def digest(samples: np.ndarray) -> str:
    """sha256 of int16 samples: what makes two recordings the same."""
    return hashlib.sha256(np.ascontiguousarray(samples, dtype="<i2")).hexdigest()


PARTIAL = ".partial-"  # in the name of a file that is being written
LETHAL = Rejected("bad_audio", "the audio kills the process that decodes it")
_plan: Plan | None = None  # mapped once per process


@dataclass(frozen=True)
class Written:
    """A piece that is written but not yet safe: the power may fail before it is on the disk."""

    job: Job
    file: Path
    outcome: Outcome

    def seal(self) -> Outcome:
        """Bring the file to the disk, give it its name, and write the record last: a killed piece is made again."""
        with self.file.open("rb") as file:
            os.fsync(file.fileno())
            size = os.fstat(file.fileno()).st_size
        os.replace(self.file, self.job.target)
        self.job.progress.unlink(missing_ok=True)
        counts = {"rows": self.outcome.rows, "accepted": self.outcome.accepted, "rejected": self.outcome.rejected}
        write_json(self.job.record, {"key": self.job.key, "bytes": size, **counts}, indent=None)
        return self.outcome


def build(job: Job) -> Outcome:
    """Make a piece."""
    return write(job).seal()


def write(job: Job) -> Written:
    """Decode, check and store the rows of a piece, in a file of a name that nobody else writes."""
    rejected: list[tuple[int, str, str]] = []
    earlier = _Earlier(job.kept)
    partial = job.target.with_name(f"{job.target.stem}{PARTIAL}{socket.gethostname()}-{os.getpid()}")
    with DataFile(partial) as file, job.progress.open("wb", buffering=0) as progress:
        for index, row in enumerate(_opened(job.plan).rows(job.rows)):
            os.pwrite(progress.fileno(), index.to_bytes(4, "little"), 0)
            made = LETHAL if index in job.lethal else _utterance(row, job, earlier.samples(index))
            if isinstance(made, Rejected):
                rejected.append((index, made.rule, made.reason))
            else:
                file.add(made)
    return Written(job, partial, Outcome(len(job.rows), file.rows, len(job.rows) - earlier.used, tuple(rejected)))


def _opened(file: Path) -> Plan:
    global _plan
    if _plan is None or _plan.file != file:
        _plan = Plan(file)
    return _plan


class _Earlier:
    """Samples of an earlier preparation, mapped."""

    def __init__(self, kept: Kept | None) -> None:
        self._kept = kept
        self._opened: dict[int, tuple[list[pa.RecordBatch], np.ndarray]] = {}
        self.used = 0

    def samples(self, index: int) -> np.ndarray | None:
        """int16 samples for a row of the piece, or None where they have to be decoded."""
        if self._kept is None or self._kept.file[index] < 0:
            return None
        number, place = int(self._kept.file[index]), int(self._kept.place[index])
        if number not in self._opened:
            batches = batches_of(self._kept.files[number])
            self._opened[number] = batches, np.cumsum([batch.num_rows for batch in batches])
        batches, ends = self._opened[number]
        batch = int(np.searchsorted(ends, place, side="right"))
        self.used += 1
        return samples_of(batches[batch], place - (int(ends[batch - 1]) if batch else 0))


def _utterance(row: Planned, job: Job, earlier: np.ndarray | None) -> Utterance | Rejected:
    """The prepared utterance, or why it is left out."""
    if row.problem:
        return Rejected("source", row.problem)
    text = job.text_rule(row.text)
    if unusable := job.rules.of_text(row.text, text):
        return unusable
    clipped = 0.0
    if earlier is None:
        decoded = decode(row, job.rules)
        if isinstance(decoded, Rejected):
            return decoded
        earlier, clipped = decoded
    if unusable := job.rules.of_audio(earlier, text, clipped):
        return unusable
    return Utterance(row.id, earlier, len(earlier) / SAMPLE_RATE, row.text, text, row.speaker, digest(earlier), row.slices)


def decode(row: Planned, rules: Rules) -> tuple[np.ndarray, float] | Rejected:
    """int16 samples at 16 kHz of a row and the share of clipped ones, or why there are none."""
    try:
        source = row.audio.read() if isinstance(row.audio, Inside) else row.audio
        audio = load(source, offset=row.offset, seconds=row.seconds, channel=row.channel, promised=row.promised, limits=rules.limits)
    except AudioError as error:
        # The file stands in a column of its own, and its folder may be one that an archive was unpacked in.
        reason = str(error).replace(row.where or "\0", os.path.basename(row.where))
        if error.rule == "missing_audio" and row.where:
            reason = "is missing (no such file)"
        return Rejected(error.rule, f"the audio {reason}")
    except OSError as error:
        return Rejected("bad_audio", f"the audio cannot be read ({error.strerror or error})")
    return pcm(audio), audio.clipped
