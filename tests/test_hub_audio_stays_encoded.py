"""Rows of a `datasets` data set, as the hub would give it, through our own decoder."""

from pathlib import Path

import datasets
import pytest
from sounds import sound, write

from asrx.corpus import hub
from asrx.corpus.layouts import Columns
from asrx.errors import InputError
from asrx.recognizer.audio import AudioError, load


@pytest.fixture
def dataset(tmp_path: Path) -> datasets.Dataset:
    clip = write(tmp_path / "a.flac", sound(1.5))
    audio = [{"bytes": clip.read_bytes(), "path": "a.flac"}, {"bytes": None, "path": str(clip)}, None]
    plain = datasets.Dataset.from_dict({"audio": audio, "sentence": ["one", "two", None], "speaker_id": [0, 1, None]})
    return plain.cast_column("audio", datasets.Audio())


def test_audio_comes_from_bytes_and_from_paths(dataset: datasets.Dataset) -> None:
    first, second, third = hub._rows_of(dataset, "train.clean.100", Columns())
    assert load(first.audio()).seconds == load(second.audio()).seconds == 1.5
    with pytest.raises(AudioError, match="0 bytes"):
        load(third.audio())
    assert [row.speaker for row in (first, second, third)] == ["0", "1", ""]
    assert (first.text, third.text, first.split) == ("one", "", "train")


def test_a_data_set_that_cannot_be_had_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")

    def refuse(name: str) -> None:
        raise ConnectionError(f"cannot reach the hub for {name}")

    monkeypatch.setattr(datasets, "load_dataset", refuse)  # the hub cannot exist here
    with pytest.raises(InputError, match="nobody/nothing.*HF_HOME"):
        hub.rows("nobody/nothing", Columns())
