"""Recordings with transcripts to prepare: made on the spot, of speech where there is some, the same for the same seed."""

import csv
import json
import multiprocessing
import os
import signal
from collections.abc import Iterator
from functools import cache, partial
from multiprocessing.pool import Pool
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import soundfile
import soxr

if TYPE_CHECKING:
    from asrx.corpus.shards import Utterance

RATES = {"mp3": 48_000, "wav": 16_000}  # Hz
FORMATS = {"mp3": ("MP3", "MPEG_LAYER_III"), "wav": ("WAV", "PCM_16"), "flac": ("FLAC", "PCM_16")}
SHORTEST, LONGEST = 3.0, 7.0  # s of a clip
SPEAKERS = 50
RECORDINGS = 300  # to join clips from; each process keeps them decoded, 150 MB at 48 kHz
FEW = 20  # clips of the table whose cost is subtracted
TINY = 1_600  # samples of an utterance of `many_utterances`
LETTERS = str.maketrans("0123456789", "abcdefghij")
DIGITS = Path(__file__).parents[3] / "shared" / "data" / "digits" / "cv-valid-train"  # real speech, where a checkout has it


def speaker() -> str:
    """Who speaks here."""
    return "the Free Spoken Digits" if DIGITS.is_dir() else "eSpeak NG"


def recordings(folder: Path) -> list[Path]:
    """Short recordings of speech to join clips from: real digits, or without them the built-in corpus, spoken in `folder`."""
    if real := sorted(DIGITS.glob("*.mp3")):
        return real[:: len(real) // RECORDINGS or 1]
    from asrx.corpus import builtin

    return sorted((builtin.make(folder) / "clips").iterdir())[:RECORDINGS]


def clips(folder: Path, kind: str, count: int, speech: list[Path]) -> Path:
    """`count` clips of 3 to 7 s, no two alike, each joined from the recordings `speech`, as `kind` (mp3 or wav).

    Returns `all.csv`; beside it lies `few.csv` with the first 20 of them.
    """
    folder.mkdir(parents=True)
    with _pool() as pool:
        list(pool.imap_unordered(partial(_clip, folder, kind, speech), range(count), chunksize=16))
    names = [f"{number}.{kind}" for number in range(count)]
    _table(folder / "few.csv", names[:FEW])
    return _table(folder / "all.csv", names)


def _clip(folder: Path, kind: str, speech: list[Path], number: int) -> None:
    rng = np.random.default_rng(number)
    _write(folder / f"{number}.{kind}", _joined(speech, RATES[kind], rng.uniform(SHORTEST, LONGEST), rng), RATES[kind])


def _joined(speech: list[Path], rate: int, seconds: float, rng: np.random.Generator) -> np.ndarray:
    """Recordings drawn at random, one after the other, cut to `seconds`: float32, (time,)."""
    pieces: list[np.ndarray] = []
    while sum(map(len, pieces)) < seconds * rate:
        pieces.append(_recording(speech[rng.integers(len(speech))], rate))
    return np.concatenate(pieces)[: round(seconds * rate)]


@cache
def _recording(path: Path, rate: int) -> np.ndarray:
    samples, own_rate = soundfile.read(path, dtype="float32")
    return soxr.resample(samples, own_rate, rate)


def tiny_clips(folder: Path, count: int) -> Path:
    """A table with `count` wavs of exactly 1 s at 16 kHz, all different, 1,000 to a folder."""
    with _pool() as pool:
        list(pool.imap_unordered(partial(_tiny_clips, folder), range(0, count, 1_000)))
    return _table(folder / "all.csv", [f"{number // 1_000}/{number}.wav" for number in range(count)])


def _tiny_clips(folder: Path, first: int) -> None:
    """A thousand wavs. Their header is that of the first one, as all are of one length."""
    rate = RATES["wav"]
    noise = np.random.default_rng(first).integers(-3_000, 3_000, rate + 1_000, np.int16)
    (folder / str(first // 1_000)).mkdir(parents=True)
    sample = folder / str(first // 1_000) / f"{first}.wav"
    _write(sample, noise[:rate], rate)
    header = sample.read_bytes()[: -2 * rate]
    for number in range(first + 1, first + 1_000):
        sample.with_name(f"{number}.wav").write_bytes(header + noise[number - first :][:rate].tobytes())


def long_recording(folder: Path, kind: str, hours: float, speech: list[Path]) -> Path:
    """One recording of `hours` at 16 kHz as `kind` (mp3 or flac), and a NeMo manifest that cuts it into spans of 3 to 7 s."""
    folder.mkdir(parents=True)
    path, rate, rng, end = folder / f"long.{kind}", RATES["wav"], np.random.default_rng(0), 0
    container, subtype = FORMATS[kind]
    with soundfile.SoundFile(path, "w", rate, 1, subtype, format=container) as file, (folder / "manifest.json").open("w") as manifest:
        while end < hours * 3600 * rate:
            span = _joined(speech, rate, rng.uniform(SHORTEST, LONGEST), rng)
            file.write(span)
            record = {"audio_filepath": path.name, "offset": end / rate, "duration": len(span) / rate, "text": _sentence(end)}
            manifest.write(json.dumps(record) + "\n")
            end += len(span)
    return folder / "manifest.json"


def many_utterances(folder: Path, count: int) -> Path:
    """A finished corpus of `count` utterances of 0.1 s in `folder`, written by asrx's own shard writer, 10,000 to a shard."""
    from asrx.corpus.shards import META, DataFile, describe_shard
    from asrx.files import write_json

    size, shards = min(count, 10_000), max(1, count // 10_000)
    for part in range(shards):
        shard = folder / "train" / f"part_{part + 1}"
        shard.mkdir(parents=True)
        with DataFile(shard / "data.arrow") as file:
            for utterance in _tiny_utterances(part * size, size):
                file.add(utterance)
        describe_shard(shard, [("data.arrow", size)])
    write_json(folder / META, {"digest": "", "splits": {"train": {"utterances": shards * size, "hours": 0.0, "shards": shards}}})
    return folder


def _tiny_utterances(first: int, count: int) -> Iterator["Utterance"]:
    from asrx.corpus.shards import Utterance

    noise = np.random.default_rng(first).integers(-3_000, 3_000, count + TINY, np.int16)
    for number in range(first, first + count):
        audio, text = noise[number - first :][:TINY], _sentence(number)
        yield Utterance(f"utterance-{number}", audio, TINY / RATES["wav"], text, text.lower(), f"speaker-{number % SPEAKERS}", f"{number:064x}", "{}")


def _pool() -> Pool:
    """A process per core; Ctrl-C is the parent's to handle."""
    return multiprocessing.get_context("spawn").Pool(os.cpu_count(), signal.signal, (signal.SIGINT, signal.SIG_IGN))


def _write(path: Path, samples: np.ndarray, rate: int) -> None:
    container, subtype = FORMATS[path.suffix[1:]]
    soundfile.write(path, samples, rate, format=container, subtype=subtype)


def _table(path: Path, names: list[str]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "sentence", "client_id"])
        for number, name in enumerate(names):
            writer.writerow([path.parent / name, _sentence(number), f"speaker-{number % SPEAKERS}"])
    return path


def _sentence(number: int) -> str:
    """A different one for each number, short enough for a second."""
    return f"Clip {str(number).translate(LETTERS)}."
