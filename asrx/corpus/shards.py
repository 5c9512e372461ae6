"""The prepared corpus on disk: Arrow shards that are memory-mapped, also readable with `datasets.load_from_disk`.

    corpus.json        language, digest, options, counts
    rejected.csv       one row and reason per utterance left out
    train/part_1/      data-00000-of-00001.arrow, dataset_info.json, state.json
"""

import json
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from ..errors import InputError
from ..files import read_json, write_json

META = "corpus.json"
DATA = "data-00000-of-00001.arrow"
ROWS_PER_BATCH = 64  # utterances; about 10 MB in memory while writing
SAMPLES_PER_BATCH = 1 << 26  # bounds the batch where utterances are long: offsets into it have 32 bits

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


class ShardWriter:
    """Writes one shard folder, a record batch at a time."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self._folder = folder
        self._sink = pa.OSFile(str(folder / DATA), "wb")
        self._writer = pa.ipc.new_stream(self._sink, SCHEMA.with_metadata({"huggingface": json.dumps({"info": {"features": _features()}})}))
        self._pending: list[Utterance] = []
        self._samples = 0  # of the pending utterances
        self.count = 0

    def add(self, utterance: Utterance) -> None:
        """Append an utterance."""
        self._pending.append(utterance)
        self.count += 1
        self._samples += len(utterance.audio)
        if len(self._pending) >= ROWS_PER_BATCH or self._samples >= SAMPLES_PER_BATCH:
            self._flush()

    def close(self) -> None:
        """Finish the shard and describe it for `datasets`."""
        self._flush()
        self._writer.close()
        self._sink.close()
        write_json(self._folder / "dataset_info.json", {"features": _features()})
        write_json(self._folder / "state.json", {
            "_data_files": [{"filename": DATA}], "_fingerprint": "asrx", "_format_columns": None, "_format_kwargs": {},
            "_format_type": None, "_output_all_columns": False, "_split": None,
        })  # fmt: skip

    def abort(self) -> None:
        """Let go of the file after an error."""
        self._sink.close()

    def _flush(self) -> None:
        if not self._pending:
            return
        lengths = np.cumsum([0, *(len(item.audio) for item in self._pending)], dtype=np.int32)
        audio = pa.ListArray.from_arrays(pa.array(lengths), pa.array(np.concatenate([item.audio for item in self._pending])))
        columns = [audio, pa.array([item.seconds for item in self._pending])]
        columns += [pa.array([getattr(item, name) for item in self._pending], pa.string()) for name in TEXT_FIELDS]
        self._writer.write_batch(pa.record_batch(columns, schema=SCHEMA))
        self._pending, self._samples = [], 0


def _features() -> dict[str, Any]:
    value = {name: {"dtype": "string", "_type": "Value"} for name in TEXT_FIELDS}
    audio = {"feature": {"dtype": "int16", "_type": "Value"}, "_type": "List"}
    return {"audio": audio, "seconds": {"dtype": "float64", "_type": "Value"}, **value}


class Split:
    """The utterances of one split, memory-mapped: audio is read when it is asked for and never copied."""

    def __init__(self, folder: Path) -> None:
        parts = sorted(folder.glob("part_*"), key=lambda part: int(re.sub(r"\D", "", part.name) or 0))
        self._batches = [batch for part in parts for batch in _read_batches(part / DATA)]
        self._ends = np.cumsum([batch.num_rows for batch in self._batches])

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    def audio(self, index: int) -> np.ndarray:
        """int16 samples of utterance `index`, a view into the mapped file."""
        batch, row = self._locate(index)
        column = batch.column("audio")
        start, end = column.offsets[row].as_py(), column.offsets[row + 1].as_py()
        return column.values.slice(start, end - start).to_numpy()

    def utterance(self, index: int) -> Utterance:
        """Everything about utterance `index`."""
        batch, row = self._locate(index)
        return Utterance(audio=self.audio(index), seconds=self.seconds[index], **{name: batch.column(name)[row].as_py() for name in TEXT_FIELDS})

    @cached_property
    def seconds(self) -> np.ndarray:
        """Duration of each utterance in seconds."""
        return np.concatenate([batch.column("seconds").to_numpy() for batch in self._batches]) if self._batches else np.empty(0)

    def column(self, name: str) -> list[str]:
        """A text column as a list: id, text_raw, text, speaker, audio_digest or slices."""
        return [value for batch in self._batches for value in batch.column(name).to_pylist()]

    def _locate(self, index: int) -> tuple[pa.RecordBatch, int]:
        if not 0 <= index < len(self):
            raise IndexError(f"utterance {index} of {len(self)}")
        number = int(np.searchsorted(self._ends, index, side="right"))
        return self._batches[number], index - (int(self._ends[number - 1]) if number else 0)


def _read_batches(path: Path) -> list[pa.RecordBatch]:
    try:
        with pa.memory_map(str(path)) as source:
            return list(pa.ipc.open_stream(source))
    except (OSError, pa.ArrowInvalid) as error:
        raise InputError(f"shard {path} is damaged or missing ({error}); prepare the corpus again") from None


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
