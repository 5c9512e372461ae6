"""Manifests of lhotse: cuts, or recordings with supervisions, as JSON lines, plain or gzipped.

https://lhotse.readthedocs.io/en/latest/cuts.html says what each key means. Only times and names are read; no command is run.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from ...errors import InputError
from ..rows import Row
from .audio_files import AudioFinder, warn_without_transcript
from .columns import as_text, positive, role, slices_of
from .lines import first_record, json_records
from .source import Found, Layout, Request, visible

SUFFIXES = (".jsonl", ".jsonl.gz")
NEGLIGIBLE = 1e-3  # s by which a cut may be shorter than its recording and still be all of it
KEEPS_TIME = ("Resample", "Volume")  # transforms of a recording that leave its duration alone
Record = dict[str, Any]


def _kind(file: Path) -> str | None:
    """What a file of JSON lines holds: cuts, recordings, supervisions, or nothing of lhotse's."""
    if not file.name.lower().endswith(SUFFIXES) or not file.is_file():
        return None
    record = first_record(file)
    if "recording_id" in record and "start" in record:
        return "supervisions"
    if "sources" in record and "num_samples" in record:
        return "recordings"
    is_cut = str(record.get("type", "")).endswith("Cut") or ("supervisions" in record and "duration" in record)
    return "cuts" if is_cut else None


def _find(request: Request) -> Found | None:
    files = [request.path] if request.path.is_file() else [file for file in visible(request.path) if file.name.lower().endswith(SUFFIXES)]
    kinds = {file: kind for file in files if (kind := _kind(file))}
    if request.path.is_file() and kinds.get(request.path) in ("recordings", "supervisions"):
        kinds.update({file: kind for file in visible(request.path.parent) if _pair_name(file) == _pair_name(request.path) and (kind := _kind(file))})
    cuts = _of_splits([file for file, kind in kinds.items() if kind == "cuts"], request.path)
    if cuts:
        return Found("lhotse", tuple(cuts), lambda: (row for file in cuts for row in _rows_of_cuts(file, request)))
    pairs = _pairs(kinds, request.path)
    inputs = tuple(file for pair in pairs for file in pair)
    return Found("lhotse", inputs, lambda: (row for pair in pairs for row in _rows_of_pair(*pair, request))) if pairs else None


def _of_splits(files: list[Path], folder: Path) -> list[Path]:
    """All that are named for a split, if training is among them; else the only one. InputError where several could be meant."""
    named = [file for file in files if role(_stem(file))]
    if any(role(_stem(file)) == "train" for file in named):
        return named
    if len(files) > 1 and named != files:
        raise InputError(f"{folder}: cannot tell which manifest to read (found: {', '.join(file.name for file in files)}); give the file itself as the source")
    return files


def _stem(file: Path) -> str:
    return file.name.lower().partition(".json")[0]


def _pair_name(file: Path) -> str:
    """What recordings and supervisions of one corpus have in common: librispeech_recordings_dev-clean.jsonl.gz."""
    return _stem(file).replace("recordings", "*").replace("supervisions", "*")


def _pairs(kinds: dict[Path, str], folder: Path) -> list[tuple[Path, Path]]:
    recordings = {_pair_name(file): file for file, kind in kinds.items() if kind == "recordings"}
    supervisions = [file for file, kind in kinds.items() if kind == "supervisions"]
    if not recordings or not supervisions:
        return []
    unpaired = [file.name for file in supervisions if _pair_name(file) not in recordings]
    if unpaired and len(recordings) == len(supervisions) == 1:
        return [(next(iter(recordings.values())), supervisions[0])]
    chosen = _of_splits([file for file in supervisions if file.name not in unpaired], folder)
    return [(recordings[_pair_name(file)], file) for file in chosen]


def _rows_of_cuts(file: Path, request: Request) -> Iterator[Row]:
    places = _Places(file, request)
    silent, example = 0, ""
    for line, cut in json_records(file):
        supervisions = cut.get("supervisions") or []
        if not supervisions:
            silent, example = silent + 1, str(cut.get("id"))
        for supervision in supervisions:
            yield _row_of_cut(cut, supervision, len(supervisions) == 1, places, f"{file}, line {line}")
    warn_without_transcript(str(file), silent, example)


def _row_of_cut(cut: Record, supervision: Record, alone: bool, places: "_Places", where: str) -> Row:
    """The row of one supervision: all of the cut where there is one, else its own part of the cut."""
    start, duration = _time(cut.get("start", 0), where, "start"), _time(cut.get("duration"), where, "duration")
    if not alone:
        start += max(0.0, float(supervision.get("start") or 0))  # a supervision may begin before its cut does
        duration = _time(supervision.get("duration"), where, "duration")
    name = str(cut.get("id")) if alone else str(supervision.get("id"))
    if cut.get("type", "MonoCut") not in ("MonoCut", "MultiCut", "Cut") or not isinstance(cut.get("recording"), dict):
        what = "is mixed or padded" if "recording" not in cut else "has no recording"
        return replace(_told(name, supervision), problem=f"the cut {what} ({cut.get('type', 'cut')}); save its audio first (cuts.save_audios)")
    return places.row(name, cut["recording"], supervision, start, duration, cut.get("channel"))


def _rows_of_pair(recordings: Path, supervisions: Path, request: Request) -> Iterator[Row]:
    """Supervisions in their order; the recordings, of which there are as many or fewer, are held in memory."""
    known = {str(record.get("id")): record for _, record in json_records(recordings)}
    places, used = _Places(supervisions, request), set()
    for line, record in json_records(supervisions):
        name, recording = str(record.get("recording_id")), known.get(str(record.get("recording_id")))
        used.add(name)
        if recording is None:
            yield replace(_told(str(record.get("id")), record), split=places.split, problem=f"{recordings.name} has no recording {name}")
            continue
        where = f"{supervisions}, line {line}"
        start, duration = _time(record.get("start", 0), where, "start"), _time(record.get("duration"), where, "duration")
        yield places.row(str(record.get("id")), recording, record, start, duration, record.get("channel"))
    unused = known.keys() - used
    warn_without_transcript(str(recordings), len(unused), min(unused, default=""))


def _told(name: str, supervision: Record) -> Row:
    """What a supervision says, without its audio."""
    custom = supervision.get("custom") or {}
    slices = slices_of({**{key: custom[key] for key in custom if isinstance(custom[key], str)}, **_scalars(supervision)})
    return Row(as_text(name), Path(), as_text(supervision.get("text")), as_text(supervision.get("speaker")), slices=slices)


def _scalars(record: Record) -> Record:
    return {key: value for key, value in record.items() if isinstance(value, str)}


def _time(value: object, where: str, name: str) -> float:
    seconds = positive(value)
    if seconds is None:
        raise InputError(f"{where}: {name} is {value!r}; it must be seconds, 0 or more")
    return seconds


class _Places:
    """Where the recordings of one manifest lie."""

    def __init__(self, file: Path, request: Request) -> None:
        self.split = role(_stem(file))
        self._finders = [AudioFinder(file.parent, request.audio_dir), *([] if request.audio_dir else [AudioFinder(Path())])]

    def row(self, name: str, recording: Record, supervision: Record, start: float, duration: float, channel: int | list[int] | None) -> Row:
        """The row of `duration` seconds from `start` of a recording."""
        length = positive(recording.get("duration"))
        whole = length is not None and start < NEGLIGIBLE and abs(length - duration) < NEGLIGIBLE
        wanted = channel[0] if isinstance(channel, list) and len(channel) == 1 else channel if isinstance(channel, int) else None
        audio, number, problem = self._audio(recording, wanted)
        return replace(
            _told(name, supervision),
            audio=audio,
            split=self.split,
            offset=0.0 if whole else start,
            seconds=None if whole else duration,
            promised=length if whole else None,
            channel=number,
            problem=problem,
        )

    def _audio(self, recording: Record, channel: int | None) -> tuple[Path, int | None, str]:
        """File, channel in it (None: all), and why there is none."""
        sources = recording.get("sources") or []
        source = next((item for item in sources if channel is None or channel in item.get("channels", [])), sources[0] if sources else {})
        value = as_text(source.get("source"))
        transforms = [str(item.get("name") if isinstance(item, dict) else item) for item in recording.get("transforms") or []]
        if changing := [item for item in transforms if item not in KEEPS_TIME]:
            return Path(), None, f"its recording is transformed on reading ({', '.join(changing)}); save its audio first (cuts.save_audios)"
        if source.get("type") != "file":
            advice = "convert or download it first and name the file"
            return Path(), None, f"its recording is no file but a {source.get('type', 'source that is missing')} ({value[:200]}); {advice}"
        channels = sorted(source.get("channels") or [0])
        number = channels.index(channel) if channel in channels and len(channels) > 1 else None
        found = [finder.find(value) for finder in self._finders]
        return next((path for path in found if path.is_file()), found[0]), number, ""


LHOTSE = Layout("lhotse", "cuts.jsonl, or recordings.jsonl beside supervisions.jsonl, plain or gzipped", _find)
