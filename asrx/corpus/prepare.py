"""Prepare: rows of a source to 16 kHz shards, a manifest and the list of what was left out."""

import contextlib
import csv
import hashlib
import io
import json
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..config import Config
from ..errors import InputError
from ..files import folder_written_at_once, locked, remove_remains, write_json, write_text
from ..progress import bar
from ..recognizer.audio import SAMPLE_RATE
from ..text import TranscriptNormalizer
from . import layouts
from .decoding import Accepted, Filter, Rejected, Task, decoded_in_order
from .layouts import Columns, Row
from .shards import META, PreparedCorpus, ShardWriter, Utterance
from .splits import assign_splits

FORMAT = 1  # of the corpus folder; part of its key
REJECTED = "rejected.csv"
PARTS = {META, REJECTED, "train", "validation", "test"}  # all that a corpus folder holds


@dataclass(frozen=True)
class Source:
    """Where recordings and transcripts come from, as the user said it."""

    path: str
    audio_dir: Path | None = None
    layout: str | None = None
    columns: Columns = field(default_factory=Columns)
    name: str | None = None

    def rows(self, siblings: bool = True) -> list[Row]:
        """All utterances of the source."""
        return layouts.read(self.path, self.audio_dir, self.layout, self.columns, siblings)


def prepare(source: Source, out: Path, config: Config) -> tuple[PreparedCorpus, bool]:
    """The prepared corpus of `source` in `out`, and whether it was there already.

    Writes beside `out` and renames, so that `out` is the whole corpus or what it was before. Raises InputError for an
    unusable source, for more than `data.max_rejected` rejected utterances, and for an `out` that holds something else.
    """
    rows = assign_splits(source.rows(), config.data)
    key = _key(source, rows, config)
    target = out.resolve()  # a link stays a link
    with _writable(target), locked(target):
        _check_target(target)
        if _holds(target, key):
            return PreparedCorpus.open(out), True
        remove_remains(target)
        with folder_written_at_once(target) as folder:
            _write_corpus(folder, rows, source, config, key)
    return PreparedCorpus.open(out), False


@contextlib.contextmanager
def _writable(out: Path) -> Iterator[None]:
    try:
        yield
    except (PermissionError, NotADirectoryError, FileExistsError) as error:
        raise InputError(f"{out} cannot be written ({error.strerror}: {error.filename}); name another folder with --out") from None


def _holds(out: Path, key: str) -> bool:
    """Whether `out` is the finished corpus that `key` stands for, with all of its shards."""
    try:
        corpus = PreparedCorpus.open(out)
        return corpus.meta.get("key") == key and all(corpus.split(name) is not None for name in corpus.meta["splits"])
    except InputError:
        return False


def _key(source: Source, rows: list[Row], config: Config) -> str:
    """Digest of everything that the result depends on: rows, the state of their audio files, options."""
    digest = hashlib.sha256(f"{FORMAT} {config.digest('text')}".encode())
    data = {**config.sections()["data"], "workers": 0, "fraction": 1, "eval_utterances": 0}
    digest.update(json.dumps([data, source.name], sort_keys=True, default=str).encode())
    for row in rows:
        digest.update(repr((row.id, row.text, row.speaker, row.split, row.offset, row.seconds, row.slices, _state(row))).encode())
    return digest.hexdigest()


def _state(row: Row) -> tuple[Any, ...]:
    if not isinstance(row.audio, Path) or row.audio == Path():
        return ()
    try:
        status = row.audio.stat()
        return str(row.audio.absolute()), status.st_size, status.st_mtime_ns
    except OSError:
        return str(row.audio), None


def _check_target(out: Path) -> None:
    if out.exists() and not out.is_dir():
        raise InputError(f"{out} is a file; --out names a folder")
    present = {path.name for path in out.iterdir()} if out.exists() else set()
    if present and (META not in present or present - PARTS):
        what = ", ".join(sorted(present - PARTS)[:3]) or "shards of no corpus"
        raise InputError(f"{out} holds something that is not a prepared corpus ({what}); name a new or empty folder with --out")


def _write_corpus(folder: Path, rows: list[Row], source: Source, config: Config, key: str) -> None:
    text_rule = TranscriptNormalizer(config.text.language, config.text.ignore, config.text.case)
    writers = _Writers(folder, config.data.shard_size)
    tasks = (_task(row, text_rule) for row in rows)
    rule = Filter(config.data.min_seconds, config.data.max_seconds)
    rejected: list[tuple[Row, Rejected]] = []
    with contextlib.closing(writers), contextlib.closing(decoded_in_order(tasks, rule, config.data.workers or os.cpu_count() or 1)) as results:
        for row, result in zip(rows, bar(results, total=len(rows), label="prepare", unit="clip")):
            if isinstance(result, Rejected):
                rejected.append((row, result))
            else:
                writers.add(row.split or "train", _utterance(row, result, text_rule(row.text)))
        writers.finish()
    _check_rejected(rejected, len(rows), config.data.max_rejected, source.path)
    write_text(folder / REJECTED, _rejected_csv(rejected))
    write_json(folder / META, _meta(writers, rejected, source, config, key))


def _task(row: Row, text_rule: TranscriptNormalizer) -> Task:
    try:
        audio = row.audio if isinstance(row.audio, Path) else row.audio()
    except OSError as error:
        audio = Path(error.filename or "")  # the worker says what is wrong with it
    return Task(audio, row.offset, row.seconds, bool(row.text.strip()), bool(text_rule(row.text)))


def _utterance(row: Row, accepted: Accepted, text: str) -> Utterance:
    slices = json.dumps(row.slices, ensure_ascii=False, sort_keys=True)
    seconds = len(accepted.audio) / SAMPLE_RATE
    return Utterance(row.id, accepted.audio, seconds, row.text, text, row.speaker, accepted.digest, slices)


def _check_rejected(rejected: list[tuple[Row, Rejected]], total: int, limit: float, where: str) -> None:
    if len(rejected) <= limit * total and len(rejected) < total:
        return
    rules = ", ".join(f"{rule} {count}" for rule, count in Counter(item.rule for _, item in rejected).most_common())
    row, first = rejected[0]
    raise InputError(
        f"{where}: {len(rejected)} of {total} utterances were rejected ({rules}), more than data.max_rejected={limit:g} allows; "
        f"the first: {row.id} ({row.audio if isinstance(row.audio, Path) else 'hub'}): {first.reason}. Nothing was written"
    )


def _rejected_csv(rejected: list[tuple[Row, Rejected]]) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["id", "audio", "split", "rule", "reason", "text"])
    for row, item in rejected:
        writer.writerow([row.id, row.audio if isinstance(row.audio, Path) else "", row.split, item.rule, item.reason, row.text])
    return buffer.getvalue()


def _meta(writers: "_Writers", rejected: list[tuple[Row, Rejected]], source: Source, config: Config, key: str) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "name": source.name or Path(source.path).stem,
        "source": source.path if not Path(source.path).exists() else str(Path(source.path).absolute()),
        "language": config.text.language,
        "digest": writers.digest.hexdigest(),
        "key": key,
        "splits": {name: writers.described(name) for name in writers.counts},
        "rejected": dict(Counter(item.rule for _, item in rejected).most_common()),
        "config": {name: config.sections()[name] for name in ("data", "text")},
    }


class _Writers:
    """One open shard per split; a full one is closed and the next begun."""

    def __init__(self, folder: Path, shard_size: int) -> None:
        self._folder, self._size = folder, shard_size
        self._open: dict[str, ShardWriter] = {}
        self.counts, self.parts, self.seconds = Counter(), Counter(), Counter()
        self.digest = hashlib.sha256()

    def add(self, split: str, utterance: Utterance) -> None:
        if split not in self._open:
            self.parts[split] += 1
            self._open[split] = ShardWriter(self._folder / split / f"part_{self.parts[split]}")
        self._open[split].add(utterance)
        self.counts[split] += 1
        self.seconds[split] += utterance.seconds
        self.digest.update(f"{split}\t{utterance.id}\t{utterance.audio_digest}\t{utterance.text}\n".encode())
        if self._open[split].count == self._size:
            self._open[split].close()
            del self._open[split]

    def described(self, split: str) -> dict[str, Any]:
        return {"utterances": self.counts[split], "hours": round(self.seconds[split] / 3600, 4), "shards": self.parts[split]}

    def finish(self) -> None:
        for writer in self._open.values():
            writer.close()
        self._open.clear()

    def close(self) -> None:
        """Let go of what is still open, which after `finish` is nothing."""
        for writer in self._open.values():
            writer.abort()
