"""Sphinx training folders, such as CMU AN4: etc/*_train.fileids, etc/*_train.transcription, recordings under wav/.

Recordings without a header (.raw) hold 16-bit samples in the byte order of the machine that wrote them, which nothing beside them says.
Speech is smooth in its own byte order and noise in the other: the smoother one is taken for the whole corpus, and said; the recordings
are then written as WAV, once, into the folder for unpacked archives.
"""

import logging
import os
import re
import tempfile
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path

from ..rows import Row
from .archives import unpacked_folder
from .audio_files import AudioFinder, warn_without_transcript
from .columns import role
from .lines import lines
from .source import Found, Layout, Request, visible

log = logging.getLogger("asrx")

SAMPLE_RATE = 16_000  # Hz, Sphinx's own default
CONFIGURED_RATE = re.compile(r"^\s*\$CFG_WAVFILE_SRATE\s*=\s*([\d.]+)")
TRANSCRIPT = re.compile(r"(?P<text>.*?)\s*\((?P<id>[^()\s]+)\)\s*$")
MARKS = re.compile(r"</?s>|<sil>")
HEADERS = (b"RIFF", b"NIST", b"FORM", b".snd", b"fLaC", b"OggS")  # a .raw that is no raw
VOTES = 20  # recordings that say which byte order the corpus has
SUFFIXES = ("", ".wav", ".sph", ".flac", ".mp3", ".ogg", ".raw")


def _find(request: Request) -> Found | None:
    folder = request.path.parent if request.path.is_file() else request.path
    etc = folder / "etc" if (folder / "etc").is_dir() else folder
    lists = [file for file in visible(etc) if file.suffix == ".fileids" and file.with_suffix(".transcription").is_file()]
    if request.path.is_file():
        if request.path.suffix not in (".fileids", ".transcription"):
            return None
        lists = [file for file in lists if file.stem == request.path.stem]
    if not lists:
        return None
    root = etc.parent if etc.name == "etc" else etc
    config = etc / "sphinx_train.cfg"
    inputs = (*lists, *(file.with_suffix(".transcription") for file in lists), *([config] if config.is_file() else []))
    return Found("sphinx", inputs, lambda: _rows(root, lists, request, _configured_rate(config)))


def _configured_rate(config: Path) -> int:
    matches = (CONFIGURED_RATE.match(line) for _, line in lines(config)) if config.is_file() else ()
    return next((int(float(match[1])) for match in matches if match), SAMPLE_RATE)


def _rows(root: Path, lists: list[Path], request: Request, rate: int) -> Iterator[Row]:
    finder = AudioFinder(root, request.audio_dir, below=("wav", "audio"), suffixes=SUFFIXES)
    converted = _Converted(root, request.unpacked, rate)
    for file in lists:
        transcripts = file.with_suffix(".transcription")
        split, unpaired = role(file.stem), 0
        for entry, line in zip_longest(lines(file), lines(transcripts)):
            if line is None:
                unpaired += 1
                continue
            yield _row(entry, line, split, finder, converted, transcripts.name)
        warn_without_transcript(str(file), unpaired, "those at its end")


def _row(entry: tuple[int, str] | None, line: tuple[int, str], split: str | None, finder: AudioFinder, converted: "_Converted", where: str) -> Row:
    match = TRANSCRIPT.match(line[1])
    text = MARKS.sub(" ", match["text"] if match else line[1]).strip()
    if entry is None:
        problem = f"{where}, line {line[0]}: no line of .fileids belongs to it"
        return Row(match["id"] if match else f"line-{line[0]}", Path(), text, split=split, problem=problem)
    name = entry[1].strip()
    folder, base = os.path.split(name)
    problem = ""
    if match and match["id"] not in (base, name):
        problem = f"{where}, line {line[0]} is the transcript of {match['id']}, but .fileids has {name} there"
    audio = finder.find(name)
    return Row(name, converted.wav(audio) if audio.suffix.lower() == ".raw" else audio, text, os.path.basename(folder), split, problem=problem)


class _Converted:
    """WAV copies of headerless recordings."""

    def __init__(self, root: Path, unpacked: Path | None, rate: int) -> None:
        self._root, self._rate = root, rate
        self._folder = unpacked_folder([root], unpacked)
        self._order: str | None = None

    def wav(self, raw: Path) -> Path:
        """The recording with a header; itself where it is missing or has one."""
        if not raw.is_file() or _has_header(raw):
            return raw
        target = self._folder / raw.relative_to(self._root).with_suffix(".wav") if raw.is_relative_to(self._root) else self._folder / f"{raw.stem}.wav"
        if not target.is_file() or target.stat().st_mtime < raw.stat().st_mtime:
            self._order = self._order or self._decided(raw.parent)
            self._write(raw, target)
        return target

    def _decided(self, folder: Path) -> str:
        raws = [file for file in visible(folder) if file.suffix.lower() == ".raw"][:VOTES]
        order = "<i2" if sum(_roughness(file, "<i2") < _roughness(file, ">i2") for file in raws) * 2 > len(raws) else ">i2"
        named = "little" if order == "<i2" else "big"
        log.warning("%s: .raw files say nothing of themselves; read as 16-bit %s-endian mono at %d Hz", self._root, named, self._rate)
        return order

    def _write(self, raw: Path, target: Path) -> None:
        import numpy as np
        import soundfile

        target.parent.mkdir(parents=True, exist_ok=True)
        samples = np.frombuffer(raw.read_bytes()[: raw.stat().st_size // 2 * 2], self._order).astype("<i2")
        with tempfile.NamedTemporaryFile(dir=target.parent, prefix=".", suffix=".wav", delete=False) as partial:
            soundfile.write(partial, samples, self._rate, format="WAV", subtype="PCM_16")
        os.replace(partial.name, target)


def _has_header(file: Path) -> bool:
    with file.open("rb") as stream:
        return stream.read(4) in HEADERS


def _roughness(file: Path, order: str) -> float:
    """How far apart neighbouring samples are, relative to the samples themselves."""
    import numpy as np

    content = file.read_bytes()
    samples = np.frombuffer(content[: len(content) // 2 * 2], order).astype(np.float64)
    return float(np.abs(np.diff(samples)).sum() / (np.abs(samples).sum() + 1)) if len(samples) > 1 else 0.0


SPHINX = Layout("sphinx", "etc/*.fileids and etc/*.transcription, with recordings under wav/", _find)
