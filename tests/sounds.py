"""Speech-like sounds made on the spot, and corpora of them."""

import csv
from pathlib import Path

import numpy as np
import soundfile

FORMATS = {"wav": ("WAV", "PCM_16"), "flac": ("FLAC", "PCM_16"), "mp3": ("MP3", "MPEG_LAYER_III"), "ogg": ("OGG", "VORBIS"), "opus": ("OGG", "OPUS")}


def sound(seconds: float = 1.5, rate: int = 16_000, channels: int = 1, pitch: float = 220.0) -> np.ndarray:
    """A hummed vowel with a little noise, peak about 0.5: (time,) or (time, channels)."""
    time = np.arange(round(seconds * rate)) / rate
    hum = sum(np.sin(2 * np.pi * pitch * harmonic * time) / harmonic for harmonic in (1, 2, 3))
    mono = 0.25 * hum * (1 + 0.3 * np.sin(2 * np.pi * 3 * time)) + 0.005 * np.random.default_rng(int(pitch)).standard_normal(len(time))
    return mono if channels == 1 else np.stack([mono * (1 - 0.1 * channel) for channel in range(channels)], axis=1)


def write(path: Path, samples: np.ndarray | None = None, rate: int = 16_000, kind: str | None = None) -> Path:
    """An audio file in the format of its suffix, or of `kind`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    container, subtype = FORMATS[kind or path.suffix[1:]]
    soundfile.write(path, sound(rate=rate) if samples is None else samples, rate, format=container, subtype=subtype)
    return path


def table(path: Path, rows: list[dict[str, str]], delimiter: str = ",") -> Path:
    """A table with the columns of its first row."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter=delimiter, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return path


def corpus(folder: Path, count: int = 6, speakers: int = 3) -> Path:
    """A table with `count` good recordings of `speakers` speakers; clips in the folder `clips`."""
    rows = []
    for number in range(count):
        write(folder / "clips" / f"{number}.wav", sound(1.2, pitch=150 + 10 * number))
        rows.append({"path": f"{number}.wav", "sentence": f"Sentence number {number}.", "client_id": f"speaker-{number % speakers}"})
    return table(folder / "all.csv", rows)
