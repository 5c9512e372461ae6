"""Kaldi data directories: wav.scp, text, and where they are there segments, utt2spk, spk2gender, utt2lang, utt2dur, reco2dur.

Nothing that they name is run: an entry that is a command becomes a row with a problem that shows the command.
"""

import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ...errors import InputError
from ..rows import Row
from .audio_files import url_problem, warn_without_transcript
from .columns import positive, role
from .lines import lines
from .source import Found, Layout, Request, visible

log = logging.getLogger("asrx")

TABLES = ("wav.scp", "text", "segments", "utt2spk", "spk2gender", "utt2lang", "utt2dur", "reco2dur", "reco2file_and_channel")
ARK = re.compile(r".+:\d+(\[.*\])?$")
TO_THE_END = -1.0  # s; an `end` that stands for the end of the recording
CHANNELS = {"A": 0, "B": 1, "0": 0, "1": 1}


def _find(request: Request) -> Found | None:
    path = request.path
    if path.is_file():
        path = path.parent if path.name in TABLES else path
    directories = _directories(path)
    if not directories:
        return None
    inputs = tuple(file for folder, _ in directories for name in TABLES if (file := folder / name).is_file())
    return Found("kaldi", inputs, lambda: (row for folder, split in directories for row in _Directory(folder, request.audio_dir).rows(split)))


def _directories(folder: Path) -> list[tuple[Path, str | None]]:
    """The data directory, or those of a folder: train/, dev/, test/, of which others are left out."""
    if _is_directory(folder):
        return [(folder, None)]
    inside = [child for place in (folder, folder / "data") for child in visible(place) if child.is_dir() and _is_directory(child)]
    named = [(child, role(child.name)) for child in inside]
    if any(split == "train" for _, split in named):
        if left_out := [child.name for child, split in named if split is None]:
            log.info("%s: directories that are neither train, validation nor test are left out: %s", folder, ", ".join(left_out))
        return [(child, split) for child, split in named if split]
    if len(named) > 1 and any(split is None for _, split in named):
        raise InputError(f"{folder} holds several data directories ({', '.join(child.name for child, _ in named)}); give one of them")
    return named


def _is_directory(folder: Path) -> bool:
    return (folder / "wav.scp").is_file() and (folder / "text").is_file()


@dataclass(frozen=True)
class _Segment:
    recording: str
    start: float  # s
    end: float  # s; TO_THE_END


class _Directory:
    """One data directory. Its maps by id are held in memory, its texts are not."""

    def __init__(self, folder: Path, audio_dir: Path | None) -> None:
        self._folder = folder
        self._roots = [audio_dir] if audio_dir else [folder, Path(), *list(folder.absolute().parents)[:2]]
        self._recordings = self._map("wav.scp")
        self._segments = self._read_segments()
        self._speakers, self._genders, self._languages = self._map("utt2spk"), self._map("spk2gender"), self._map("utt2lang")
        self._durations = self._map("reco2dur") if self._segments else {**self._map("reco2dur"), **self._map("utt2dur")}
        self._channels = {name: CHANNELS.get(value.split()[-1]) for name, value in self._map("reco2file_and_channel").items() if value}
        self._root: Path | None = None  # where the last relative path was found

    def rows(self, split: str | None) -> Iterator[Row]:
        told = 0
        for _, line in lines(self._folder / "text"):
            name, *text = line.strip().split(None, 1)
            told += name in (self._segments or self._recordings)
            yield self._row(name, text[0] if text else "", split)
        warn_without_transcript(str(self._folder), len(self._segments or self._recordings) - told, "")

    def _row(self, name: str, text: str, split: str | None) -> Row:
        segment = self._segments.get(name) if self._segments else _Segment(name, 0.0, TO_THE_END)
        speaker = self._speakers.get(name, "")
        said = {"gender": self._genders.get(speaker), "language": self._languages.get(name)}
        slices = {key: value for key, value in said.items() if value}
        if segment is None or segment.recording not in self._recordings:
            missing = f"segments has no entry {name}" if segment is None else f"wav.scp has no entry {segment.recording}"
            return Row(name, Path(), text, speaker, split, slices=slices, problem=missing)
        entry = self._recordings[segment.recording]
        audio, problem = self._audio(entry)
        whole = segment.start == 0 and segment.end == TO_THE_END
        return Row(
            id=name,
            audio=audio,
            text=text,
            speaker=speaker,
            split=split,
            offset=segment.start,
            seconds=None if segment.end == TO_THE_END else segment.end - segment.start,
            slices=slices,
            promised=positive(self._durations.get(segment.recording)) if whole else None,
            channel=self._channels.get(segment.recording),
            problem=problem or self._problem_of(segment),
        )

    def _audio(self, entry: str) -> tuple[Path, str]:
        """The file of a wav.scp entry, and why it is none."""
        if entry.endswith("|") or entry.startswith("|"):
            return Path(), f"wav.scp names a command, which is not run: {entry}; convert the recording first and name the file"
        if problem := url_problem(entry):
            return Path(), problem
        audio = self._located(Path(entry))
        if ARK.fullmatch(entry) and not audio.is_file():
            return Path(), f"wav.scp points into an archive of Kaldi's ({entry}); write the recordings to files first (wav-copy)"
        return audio, ""

    def _located(self, given: Path) -> Path:
        """Relative paths count from where a recipe ran, two folders above its data/train, or from here."""
        if given.is_absolute():
            return given
        if self._root is None or not (self._root / given).is_file():
            self._root = next((root for root in self._roots if (root / given).is_file()), self._root)
        return (self._root or self._roots[0]) / given

    def _problem_of(self, segment: _Segment) -> str:
        duration = positive(self._durations.get(segment.recording))
        if segment.end != TO_THE_END and segment.end <= segment.start:
            return f"its segment ends at {segment.end:g} s, before it starts at {segment.start:g} s"
        if duration is not None and segment.start >= duration:
            return f"its segment starts at {segment.start:g} s of a recording of {duration:g} s"
        return ""

    def _map(self, name: str) -> dict[str, str]:
        file = self._folder / name
        if not file.is_file():
            return {}
        pairs = (line.strip().split(None, 1) for _, line in lines(file))
        return {pair[0]: pair[1] if len(pair) > 1 else "" for pair in pairs}

    def _read_segments(self) -> dict[str, _Segment]:
        file, segments = self._folder / "segments", {}
        for number, line in lines(file) if file.is_file() else ():
            fields = line.split()
            start = positive(fields[2]) if len(fields) == 4 else None
            end = TO_THE_END if len(fields) == 4 and positive(fields[3]) is None else positive(fields[-1])
            if start is None or end is None or (end == TO_THE_END and not fields[3].startswith("-")):
                raise InputError(f"{file}, line {number}: '{line.strip()}' is not: utterance recording start end (seconds)")
            segments[fields[0]] = _Segment(fields[1], start, end)
        return segments


KALDI = Layout("kaldi", "a data directory with wav.scp and text (and segments, utt2spk, …), or a folder of them", _find)
