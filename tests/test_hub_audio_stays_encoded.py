"""A `datasets` data set, streamed as the hub would stream it, spooled once and read by our own decoder."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import pytest
from sounds import sound, write

from asrx.corpus.layouts import find, read
from asrx.corpus.rows import Inside
from asrx.errors import InputError
from asrx.recognizer.audio import load


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[tuple[Any, ...]]]:
    """The hub cannot exist here: `nobody/nothing` is a folder of parquet files, streamed by `datasets` itself."""
    clip = write(tmp_path / "a.flac", sound(1.5))
    audio = [{"bytes": clip.read_bytes(), "path": "a.flac"}, {"bytes": None, "path": str(clip)}, None]
    plain = datasets.Dataset.from_dict({"audio": audio, "sentence": ["one", "two", None], "speaker_id": [0, 1, None], "gender": ["f", "", "m"]})
    plain = plain.cast_column("audio", datasets.Audio())
    files = {split: str(tmp_path / f"{split}.parquet") for split in ("train.clean.100", "validation", "other")}
    for file in files.values():
        plain.to_parquet(file)
    calls: list[tuple[Any, ...]] = []
    real = datasets.load_dataset

    def stream(name: str, config: str | None = None, *, streaming: bool) -> Any:
        calls.append((name, config))
        return real("parquet", data_files=files, streaming=streaming, cache_dir=str(tmp_path / "cache"))

    monkeypatch.setattr(datasets, "load_dataset", stream)
    return lambda: calls


def test_audio_comes_from_bytes_and_from_paths(hub: Callable[[], list], tmp_path: Path) -> None:
    found = find("nobody/nothing:it", unpacked=tmp_path / "u")
    assert found.layout == "hub" and not hub() and not (tmp_path / "u").exists()
    rows = list(found.rows())
    assert hub() == [("nobody/nothing", "it")] and [row.split for row in rows] == ["train"] * 3 + ["validation"] * 3
    first, second, third = rows[:3]
    assert load(first.audio.read()).seconds == load(second.audio.read()).seconds == 1.5
    assert isinstance(first.audio, Inside) and "no recording" in third.problem
    assert [row.speaker for row in rows[:3]] == ["0", "1", ""] and (first.text, third.text) == ("one", "")
    assert [row.slices for row in rows[:3]] == [{"gender": "f"}, {}, {"gender": "m"}]


def test_a_second_reading_comes_from_the_spool(hub: Callable[[], list], tmp_path: Path) -> None:
    streamed = read("nobody/nothing", unpacked=tmp_path / "u")
    assert read("nobody/nothing", unpacked=tmp_path / "u") == streamed and len(hub()) == 1
    assert len(read("nobody/nothing:other", unpacked=tmp_path / "u")) == 6 and len(hub()) == 2


def test_a_row_can_be_heard_before_the_rest_has_come_and_half_a_spool_is_none(hub: Callable[[], list], tmp_path: Path) -> None:
    rows = find("nobody/nothing", unpacked=tmp_path / "u").rows()
    assert load(next(rows).audio.read()).seconds == 1.5
    rows.close()
    assert len(read("nobody/nothing", unpacked=tmp_path / "u")) == 6 and len(hub()) == 2


def test_a_data_set_that_cannot_be_had_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse(name: str, config: str | None, streaming: bool) -> None:
        raise ConnectionError(f"cannot reach the hub for {name}")

    monkeypatch.setattr(datasets, "load_dataset", refuse)
    for source in ("nobody/nothing", "nobody/nothing:it"):
        with pytest.raises(InputError, match=f"{source} cannot be loaded.*HF_HOME"):
            read(source, unpacked=tmp_path / "u")
