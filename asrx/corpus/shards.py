"""The prepared corpus on disk: Arrow shards that are memory-mapped, also readable with `datasets.load_from_disk`.

    corpus.json        language, digest, options, counts, leakage
    rejected.csv       one row and reason per utterance left out
    leakage.csv        speakers and sentences that are on both sides
    report/            report.md with pictures of durations and characters
    sources.arrow      where each utterance's audio lies, and its state when it was decoded
    train/part_1/      data-00000-of-00003.arrow, …; dataset_info.json, state.json; origin.json: what the files were made from
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from ..errors import InputError
from ..files import read_json, write_json

META = "corpus.json"
STATE = "state.json"
ROWS_PER_BATCH = 64  # utterances; about 10 MB in memory while writing
SAMPLES_PER_BATCH = 1 << 22  # 8 MB; bounds the batch where utterances are long

TEXT_FIELDS = ("id", "text_raw", "text", "speaker", "audio_digest", "slices")
SCHEMA = pa.schema([("audio", pa.list_(pa.int16())), ("seconds", pa.float64()), *((name, pa.string()) for name in TEXT_FIELDS)])


@dataclass(frozen=True)
class Utterance:
    """One prepared utterance."""

    id: str
    audio: np.ndarray  # int16, 16 kHz, mono
    seconds: float
    text_raw: str
    text: str
    speaker: str
    audio_digest: str  # sha256 of the int16 samples
    slices: str  # JSON object: accent, gender and what else the source says


class DataFile:
    """Writes one Arrow file; an error leaves none. Whoever writes for keeps syncs and renames it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._samples = np.empty(SAMPLES_PER_BATCH, np.int16)  # of the pending utterances, one after another
        self._ends = [0]
        self._pending: list[tuple[float | str, ...]] = []
        self.rows = 0

    def __enter__(self) -> "DataFile":
        self._sink = pa.OSFile(str(self._path), "wb")
        self._writer = pa.ipc.new_stream(self._sink, SCHEMA.with_metadata({"huggingface": json.dumps({"info": {"features": _features()}})}))
        return self

    def __exit__(self, kind: type | None, *_: Any) -> None:
        try:
            if kind is None:
                self._flush()
                self._writer.close()
            self._sink.close()
        except BaseException:
            kind = kind or OSError
            raise
        finally:
            if kind is not None:
                self._sink.close()
                self._path.unlink(missing_ok=True)

    def add(self, utterance: Utterance) -> None:
        """Append an utterance; its samples are copied."""
        start, count = self._ends[-1], len(utterance.audio)
        if start + count > len(self._samples):
            self._flush()
            start = 0
            if count > len(self._samples):
                self._samples = np.empty(count, np.int16)
        self._samples[start : start + count] = utterance.audio
        self._ends.append(start + count)
        self._pending.append((utterance.seconds, *(getattr(utterance, name) for name in TEXT_FIELDS)))
        self.rows += 1
        if len(self._pending) == ROWS_PER_BATCH:
            self._flush()

    def _flush(self) -> None:
        if not self._pending:
            return
        samples = pa.py_buffer(self._samples[: self._ends[-1]])
        values = pa.Array.from_buffers(pa.int16(), self._ends[-1], [None, samples])
        ends = pa.py_buffer(np.array(self._ends, np.int32))
        audio = pa.Array.from_buffers(SCHEMA.field("audio").type, len(self._pending), [None, ends], children=[values])
        seconds, *texts = zip(*self._pending)
        columns = [audio, pa.array(seconds, pa.float64()), *(pa.array(column, pa.string()) for column in texts)]
        self._writer.write_batch(pa.record_batch(columns, schema=SCHEMA))
        self._pending, self._ends = [], [0]


def _features() -> dict[str, Any]:
    value = {name: {"dtype": "string", "_type": "Value"} for name in TEXT_FIELDS}
    audio = {"feature": {"dtype": "int16", "_type": "Value"}, "_type": "List"}
    return {"audio": audio, "seconds": {"dtype": "float64", "_type": "Value"}, **value}


def describe_shard(folder: Path, files: list[tuple[str, int]]) -> None:
    """Name the Arrow files of a shard, each with its utterances, for `datasets` and for `Split`."""
    listed = [{"filename": name, "rows": rows, "bytes": (folder / name).stat().st_size} for name, rows in files]
    write_json(folder / "dataset_info.json", {"features": _features()})
    write_json(folder / STATE, {
        "_data_files": listed, "_fingerprint": "asrx", "_format_columns": None, "_format_kwargs": {},
        "_format_type": None, "_output_all_columns": False, "_split": None,
    })  # fmt: skip


def batches_of(path: Path) -> list[pa.RecordBatch]:
    """The record batches of an Arrow file, memory-mapped. InputError for a damaged one."""
    try:
        with pa.memory_map(str(path)) as source:
            return list(pa.ipc.open_stream(source))
    except (OSError, pa.ArrowInvalid) as error:
        raise InputError(f"shard {path} is damaged or missing ({error}); prepare the corpus again") from None


def samples_of(batch: pa.RecordBatch, row: int) -> np.ndarray:
    """int16 samples of one utterance of a batch, a view into the mapped file."""
    _, offsets, _, samples = batch.column("audio").buffers()
    start, end = np.frombuffer(offsets, np.int32, 2, 4 * row)
    return np.frombuffer(samples, np.int16, end - start, 2 * start) if end > start else np.empty(0, np.int16)


class Split:
    """The utterances of one split, memory-mapped: files are opened when they are asked for, audio is never copied."""

    def __init__(self, folder: Path) -> None:
        parts = sorted(folder.glob("part_*"), key=lambda part: int(re.sub(r"\D", "", part.name) or 0))
        listed = [(part / item["filename"], item) for part in parts for item in _data_files(part)]
        for path, item in listed:
            _check_size(path, item["bytes"])
        self._files = [path for path, _ in listed]
        self._ends = np.cumsum([item["rows"] for _, item in listed], dtype=np.int64)
        self._opened: dict[int, tuple[list[pa.RecordBatch], np.ndarray]] = {}

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    def audio(self, index: int) -> np.ndarray:
        """int16 samples of utterance `index`, a view into the mapped file."""
        return samples_of(*self._locate(index))

    def utterance(self, index: int) -> Utterance:
        """Everything about utterance `index`."""
        batch, row = self._locate(index)
        texts = {name: batch.column(name)[row].as_py() for name in TEXT_FIELDS}
        return Utterance(audio=samples_of(batch, row), seconds=batch.column("seconds")[row].as_py(), **texts)

    @cached_property
    def seconds(self) -> np.ndarray:
        """Duration of each utterance in seconds."""
        return np.fromiter(self.each("seconds"), np.float64, len(self))

    def column(self, name: str) -> list[str]:
        """A text column as a list: id, text_raw, text, speaker, audio_digest or slices."""
        return list(self.each(name))

    def each(self, name: str) -> Iterator[Any]:
        """The values of a column one by one. A file is mapped for as long as it is read, so that memory stays flat."""
        for path in self._files:
            for batch in batches_of(path):
                yield from batch.column(name).to_pylist()

    def _open(self, number: int) -> tuple[list[pa.RecordBatch], np.ndarray]:
        if number not in self._opened:
            batches = batches_of(self._files[number])
            self._opened[number] = batches, np.cumsum([batch.num_rows for batch in batches])
        return self._opened[number]

    def _locate(self, index: int) -> tuple[pa.RecordBatch, int]:
        if not 0 <= index < len(self):
            raise IndexError(f"utterance {index} of {len(self)}")
        number = int(np.searchsorted(self._ends, index, side="right"))
        row = index - (int(self._ends[number - 1]) if number else 0)
        batches, ends = self._open(number)
        place = int(np.searchsorted(ends, row, side="right"))
        return batches[place], row - (int(ends[place - 1]) if place else 0)


def _data_files(part: Path) -> list[dict[str, Any]]:
    state = read_json(part / STATE)
    files = state.get("_data_files") if isinstance(state, dict) else None
    if not files or not all({"filename", "rows", "bytes"} <= item.keys() for item in files):
        raise InputError(f"shard {part} is damaged, or from an earlier version of asrx; prepare the corpus again")
    return files


def _check_size(path: Path, size: int) -> None:
    found = path.stat().st_size if path.is_file() else 0
    if found != size:
        raise InputError(f"shard {path} is damaged or missing ({found:,} of {size:,} bytes are there); prepare the corpus again")


@dataclass(frozen=True)
class PreparedCorpus:
    """A finished corpus folder."""

    folder: Path
    meta: dict[str, Any]

    @classmethod
    def open(cls, folder: Path) -> "PreparedCorpus":
        """InputError if `folder` is not a corpus that `asrx prepare` finished."""
        meta = read_json(folder / META)
        if not isinstance(meta, dict) or not {"digest", "splits"} <= meta.keys():
            what = "is not a prepared corpus" if folder.exists() else "does not exist"
            raise InputError(f"{folder} {what}; make one with: asrx prepare --source CSV --out {folder}")
        return cls(folder, meta)

    @property
    def digest(self) -> str:
        """Digest of ids, audio and texts of all splits."""
        return self.meta["digest"]

    @property
    def name(self) -> str:
        """What people call the corpus."""
        return self.meta.get("name", self.folder.name)

    def split(self, name: str) -> Split:
        """The utterances of train, validation or test; empty if the corpus has none. InputError where shards are missing or cut."""
        split = Split(self.folder / name)
        promised = self.meta["splits"].get(name, {}).get("utterances", 0)
        if len(split) != promised:
            raise InputError(f"{self.folder / name} holds {len(split)} of {promised} utterances: shards are damaged or missing; prepare the corpus again")
        return split
