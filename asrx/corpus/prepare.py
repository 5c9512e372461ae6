"""Prepare: a source of recordings with transcripts to 16 kHz shards, a report and the list of what was left out."""

import contextlib
import errno
import hashlib
import json
import logging
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from ..config import Config
from ..errors import InputError
from ..files import beside, has_remains, locked, read_json, remove_remains, replace_folder, sync, write_json, write_text
from ..progress import bar
from ..text import TranscriptNormalizer
from . import layouts, leakage, plan, workers
from .assembly import REJECTED, Tally, assemble, link
from .decoding import PARTIAL, Job, Outcome
from .layouts import Columns, Found
from .layouts.recordings import RECORDINGS
from .pieces import ORIGIN, SOURCES, Earlier, Piece, cut, key_of
from .plan import Plan, Unpacked, state_of
from .rows import Row
from .rules import Rules
from .shards import META, PreparedCorpus
from .splits import SPLITS

log = logging.getLogger("asrx")

FORMAT = 2  # of the corpus folder; part of its key
REPORT = "report"
PARTS = {META, REJECTED, ORIGIN, SOURCES, leakage.LEAKAGE, REPORT, *SPLITS}  # all that a corpus folder holds
NOT_IN_PIECES = ("split", "train_share", "shard_size", "seed", "max_rejected", "duplicates")  # options of `data` that change no utterance
NOT_PREPARED = ("source", "workers", "fraction", "minutes", "sample", "eval_utterances")  # options of `data` that change nothing in the corpus

UNWRITABLE = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT, errno.ENOTDIR, errno.EEXIST, errno.ELOOP, errno.ENAMETOOLONG)

Engine = Callable[[Iterable[Job]], Iterator[tuple[Job, Outcome]]]


@dataclass(frozen=True)
class Source:
    """Where recordings and transcripts come from, as the user said it."""

    path: str
    audio_dir: Path | None = None
    layout: str | None = None
    columns: Columns = field(default_factory=Columns)
    name: str | None = None

    def find(self, unpacked: Path, untranscribed: bool = False) -> Found:
        """The layout, and what to read. Archives are unpacked in `unpacked` when the rows are. `untranscribed`: recordings alone will do."""
        return layouts.find(self.path, self.audio_dir, self.layout, self.columns, unpacked=unpacked, untranscribed=untranscribed)

    def rows(self, siblings: bool = True) -> list[Row]:
        """All utterances of the source, in memory, with everything that its table says of them."""
        return layouts.read(self.path, self.audio_dir, self.layout, self.columns, siblings, every_column=True)


def prepare(source: Source, out: Path, config: Config, engine: Engine | None = None) -> tuple[PreparedCorpus, bool]:
    """The prepared corpus of `source` in `out`, and whether it was there already.

    Works in a hidden folder beside `out` and renames, so that `out` is the whole corpus or what it was before; interrupted or
    killed it goes on with the first missing piece. `engine` makes the pieces (default: the processes of `data.workers`).
    Raises InputError for an unusable source, for more than `data.max_rejected` rejected utterances, and for an `out` that holds
    something else; ConfigError for options of the text that cannot be had.
    """
    rules, text_rule = Rules.from_config(config), TranscriptNormalizer.from_config(config.text)
    place = _Place.of(out.resolve())  # a link stays a link
    with _writable(out), locked(place.base):
        request = _request(source, place, config, rules)
        remove_remains(place.base)
        if request.is_done:
            shutil.rmtree(place.work, ignore_errors=True)
            return PreparedCorpus.open(out), True
        place.work.mkdir(exist_ok=True)
        sources = _planned(request)
        pieces = cut(sources, config.data.shard_size, place.work / "pieces")
        engine = engine or partial(workers.run, workers=config.data.workers or os.cpu_count() or 1)
        _make(pieces, sources, request, text_rule, engine)
        place.publish(_assembled(pieces, sources, request, text_rule))
    return PreparedCorpus.open(out), False


def existing(source: Source, out: Path, config: Config) -> PreparedCorpus | None:
    """The corpus in `out`, if it is what `prepare` would make and nothing is left to clear away. Reads states and changes nothing."""
    place = _Place.of(out.resolve())
    request = _request(source, place, config, Rules.from_config(config))
    return PreparedCorpus.open(out) if request.is_done and not has_remains(place.base) else None


@dataclass(frozen=True)
class _Place:
    """Where a corpus is made and goes: beside `target`, or in it where only that can be written."""

    target: Path
    base: Path

    @classmethod
    def of(cls, target: Path) -> "_Place":
        inside = target.is_dir() and (os.path.ismount(target) or not os.access(target.parent, os.W_OK))
        return cls(target, target / "corpus" if inside else target)

    @property
    def work(self) -> Path:
        """The hidden folder that an interrupted preparation leaves and the next one goes on in."""
        return beside(self.base, "work")

    def check(self) -> None:
        """InputError where the target holds anything but a corpus."""
        if self.target.exists() and not self.target.is_dir():
            raise InputError(f"{self.target} is a file; --out names a folder")
        present = {path.name for path in self.target.iterdir()} if self.target.exists() else set()
        present -= {self.work.name, beside(self.base, "lock").name, "lost+found"}
        if present and (META not in present or present - PARTS):
            what = ", ".join(sorted(present - PARTS)[:3]) or "shards of no corpus"
            raise InputError(f"{self.target} holds something that is not a prepared corpus ({what}); name a new or empty folder with --out")

    def publish(self, folder: Path) -> None:
        """Make `folder` the target. corpus.json goes first and comes last: without it nothing is taken for a corpus."""
        sync(folder)
        if self.base == self.target:
            replace_folder(folder, self.target)
        else:
            (self.target / META).unlink(missing_ok=True)
            for name in PARTS - {META}:
                shutil.rmtree(self.target / name, ignore_errors=True)
                if (folder / name).exists():
                    os.replace(folder / name, self.target / name)
            os.replace(folder / META, self.target / META)
        shutil.rmtree(self.work, ignore_errors=True)


@contextlib.contextmanager
def _writable(out: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise InputError(f"the disk that holds {out} is full; free some space and run the same command again: it goes on where it stopped") from None
        if error.errno not in UNWRITABLE:
            raise
        raise InputError(f"{out} cannot be written ({error.strerror}: {error.filename}); name another folder with --out") from None


def _state(inputs: tuple[Path, ...]) -> tuple[int, int]:
    """The state of all tables and archives, as that of one file."""
    digest = hashlib.blake2b(repr([(str(path), state_of(str(path))) for path in inputs]).encode(errors="surrogateescape"), digest_size=16).digest()
    return int.from_bytes(digest[:7], "little"), int.from_bytes(digest[8:15], "little")


def _where(source: Source) -> str:
    return str(Path(source.path).absolute()) if Path(source.path).exists() else source.path


@dataclass(frozen=True)
class _Request:
    """What is to be prepared, where, and the state of the source that decides whether it is there already."""

    source: Source
    place: _Place
    config: Config
    found: Found
    unpacked: Unpacked
    rules: Rules

    @property
    def text(self) -> dict[str, Any]:
        """The options of the text; of an alphabet that is a file what is in it."""
        alphabet = self.rules.alphabet and sorted(self.rules.alphabet.characters)
        return {name: value for name, value in asdict(self.config.text).items() if name != "vocabulary"} | {"alphabet": alphabet}

    def shown(self, path: str) -> str:
        """A recording's path as people know it: one that was unpacked is in its archive."""
        folder = f"{self.unpacked.folder}{os.sep}"
        return f"{_where(self.source)}{os.sep}{path[len(folder) :].partition(os.sep)[2]}" if path.startswith(folder) else path

    @cached_property
    def key(self) -> str:
        """Digest of everything that the result depends on, but for the audio files: tables and their state, options."""
        data = {name: value for name, value in asdict(self.config.data).items() if name not in NOT_PREPARED}
        source = (_where(self.source), str(self.source.audio_dir), asdict(self.source.columns), self.source.name)
        parts = (FORMAT, source, self.found.layout, self.found.listing, self.unpacked.state, data, self.text)
        return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()

    @property
    def is_done(self) -> bool:
        """Whether the target is the finished corpus that `key` stands for, with all of its shards, and no recording has changed."""
        try:
            corpus = PreparedCorpus.open(self.place.target)
            if corpus.meta.get("key") != self.key or any(corpus.split(name) is None for name in corpus.meta["splits"]):
                return False
            return Plan(self.place.target / SOURCES).unchanged(self.unpacked)
        except (InputError, OSError):
            return False


def _request(source: Source, place: _Place, config: Config, rules: Rules) -> _Request:
    place.check()
    unpacked = place.work / plan.UNPACKED
    found = source.find(unpacked, rules.untranscribed)
    if found.layout == RECORDINGS.name and not rules.untranscribed:
        raise InputError(f"{source.path} has no transcripts: data.transcripts=optional prepares it for pre-training (asrx pretrain)")
    return _Request(source, place, config, found, Unpacked(unpacked, _state(found.inputs)), rules)


def _planned(request: _Request) -> Plan:
    """The plan that an interrupted preparation left, if it is still true, else a new one."""
    work = request.place.work
    file, told = work / SOURCES, work / "plan.json"
    if read_json(told) == {"key": request.key} and file.is_file():
        kept = Plan(file)
        if kept.unchanged(request.unpacked):
            log.info("going on where the last preparation was interrupted")
            return kept
    told.unlink(missing_ok=True)
    try:
        made = plan.make(bar(request.found.rows(), total=None, label="read", unit="row"), file, request.config.data, request.unpacked)
        _refuse_unusable(made, request)
    except InputError:
        shutil.rmtree(work, ignore_errors=True)
        raise
    write_json(told, {"key": request.key})
    return made


def _refuse_unusable(sources: Plan, request: _Request) -> None:
    """Stop before anything is decoded where too many recordings are not there."""
    numbers = sources.unusable()
    if len(numbers) > request.config.data.max_rejected * len(sources) or len(numbers) == len(sources):
        row = sources.rows(numbers[:1])[0]
        rule, reason = ("source", row.problem) if row.problem else ("missing_audio", "the audio is missing (no such file)")
        raise _too_many(len(numbers), sources, request, rule, f"{row.id} ({request.shown(row.where)}): {reason}")


def _too_many(count: int, sources: Plan, request: _Request, rules: str, first: str) -> InputError:
    return InputError(
        f"{request.source.path}: {count:,} of {len(sources):,} utterances were rejected ({rules}), more than "
        f"data.max_rejected={request.config.data.max_rejected:g} allows; the first: {first}. Nothing was written"
    )


def _make(pieces: list[Piece], sources: Plan, request: _Request, text_rule: TranscriptNormalizer, engine: Engine) -> None:
    """Make every piece that is not there yet."""
    data = {name: value for name, value in asdict(request.config.data).items() if name not in (*NOT_IN_PIECES, *NOT_PREPARED)}
    options = json.dumps([FORMAT, data, request.text], sort_keys=True, default=str)
    earlier = Earlier(request.place.target, request.rules.decoding_digest())
    for remains in request.place.work.rglob(f"*{PARTIAL}*"):
        remains.unlink(missing_ok=True)
    progress = bar(total=len(sources), label="prepare", unit="clip")
    keys = sources.keys()
    decoded = 0

    def jobs() -> Iterator[Job]:
        for piece in pieces:
            key = key_of(piece, sources, options)
            if piece.made(key) or _linked(piece, key, earlier):
                progress.update(len(piece.rows))
            else:
                yield Job(sources.file, piece.rows, piece.target, key, request.rules, text_rule, earlier.kept(keys[piece.rows]))

    with contextlib.closing(progress), contextlib.closing(engine(jobs())) as done:
        try:
            for job, outcome in done:
                decoded += outcome.decoded
                progress.update(len(job.rows))
        except KeyboardInterrupt:
            log.info("stopping; what is prepared stays, and the same command goes on from here")
            raise
    if decoded < len(sources):
        log.info("%s of %s utterances decoded; the others were there already", f"{decoded:,}", f"{len(sources):,}")


def _linked(piece: Piece, key: str, earlier: Earlier) -> bool:
    """Take the piece over from the earlier preparation, if it is there."""
    piece.target.parent.mkdir(parents=True, exist_ok=True)
    piece.record.unlink(missing_ok=True)
    piece.target.unlink(missing_ok=True)
    found = earlier.whole(key)
    if not found:
        return False
    file, record = found
    link(file, piece.target)
    write_json(piece.record, {name: record[name] for name in ("key", "bytes", "rows", "accepted", "rejected")}, indent=None)
    return True


def _assembled(pieces: list[Piece], sources: Plan, request: _Request, text_rule: TranscriptNormalizer) -> Path:
    """A folder with the whole corpus, in the work folder."""
    config, folder = request.config, request.place.work / "corpus"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    tally = assemble(pieces, sources, folder, config.data.duplicates == "keep", request.shown)
    _check_rejected(tally, sources, request)
    corpus = PreparedCorpus(folder, _meta(tally, request, text_rule))
    corpus.meta["leakage"] = leakage.shared(corpus, tally.rejected)
    _report(corpus, config)
    write_json(folder / META, corpus.meta)
    return folder


def _check_rejected(tally: Tally, sources: Plan, request: _Request) -> None:
    count = sum(tally.rejected.values())
    if count <= request.config.data.max_rejected * len(sources) and tally.utterances:
        return
    rules = ", ".join(f"{rule} {number:,}" for rule, number in tally.rejected.most_common())
    shutil.rmtree(request.place.work, ignore_errors=True)
    raise _too_many(count, sources, request, rules, tally.first)


def _meta(tally: Tally, request: _Request, text_rule: TranscriptNormalizer) -> dict[str, Any]:
    sections = request.config.sections()
    return {
        "format": FORMAT,
        "name": request.source.name or Path(request.source.path).stem,
        "source": _where(request.source),
        "layout": request.found.layout,
        "language": request.config.text.language,
        "normalizer": text_rule.name,
        "digest": tally.digest.hexdigest(),
        "key": request.key,
        "decoding": request.rules.decoding_digest(),
        "splits": tally.splits,
        "rejected": dict(tally.rejected.most_common()),
        "characters": {split: dict(counts.most_common()) for split, counts in tally.characters.items()},
        "config": {name: sections[name] for name in ("data", "text")},
    }


def _report(corpus: PreparedCorpus, config: Config) -> None:
    from . import report

    folder = corpus.folder / REPORT
    folder.mkdir()
    seconds = {name: corpus.split(name).seconds for name in corpus.meta["splits"]}
    report.durations_figure(folder / "durations.png", seconds, (config.data.min_seconds, config.data.max_seconds))
    report.characters_figure(folder / "characters.png", corpus.meta["characters"])
    write_text(folder / "report.md", report.markdown(corpus.meta))
