"""No recording is prepared twice, and none that is held out is trained on."""

import csv
import shutil
from pathlib import Path
from typing import Any

import pytest
import soundfile
from sounds import sound, table, write

from asrx.config import resolve
from asrx.corpus.prepare import Source, prepare
from asrx.corpus.shards import PreparedCorpus


def source(folder: Path, rows: list[tuple[str, str, str, str]]) -> Source:
    """Tables from (split, clip, text, speaker); clips with the same first letter have the same audio."""
    for number, letter in enumerate("abcdefgh"):
        write(folder / f"{letter}.wav", sound(1.2, pitch=100 + 10 * number))
    for _, clip, _, _ in rows:
        if not (folder / f"{clip}.wav").exists():
            shutil.copy(folder / f"{clip[0]}.wav", folder / f"{clip}.wav")
    for split in {row[0] for row in rows}:
        table(folder / f"{split}.csv", [{"path": f"{clip}.wav", "text": text, "speaker": who} for own, clip, text, who in rows if own == split])
    return Source(str(folder))


def prepared(tmp_path: Path, rows: list[tuple[str, str, str, str]], *overrides: str) -> tuple[dict[str, list[str]], PreparedCorpus]:
    corpus, _ = prepare(source(tmp_path / "source", rows), tmp_path / "out", resolve(overrides=["data.workers=1", "data.shard_size=2", *overrides]))
    return {name: corpus.split(name).column("id") for name in corpus.meta["splits"]}, corpus


def read(path: Path) -> list[dict[str, Any]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


ROWS = [("train", "a", "one", "s1"), ("train", "b", "two", "s2"), ("train", "c", "three", "s1"), ("train", "a2", "one again", "s2"),
        ("dev", "d", "four", "s3"), ("dev", "b2", "two", "s4"), ("test", "e", "five", "s5"), ("test", "d2", "four", "s6")]  # fmt: skip


def test_the_held_out_copy_stays_and_the_others_go(tmp_path: Path) -> None:
    ids, corpus = prepared(tmp_path, ROWS)
    assert ids == {"train": ["a", "c"], "validation": ["b2"], "test": ["e", "d2"]}
    left_out = {row["id"]: (row["rule"], row["reason"], row["split"]) for row in read(corpus.folder / "rejected.csv")}
    assert left_out == {"b": ("leakage", "the same audio as b2 (validation)", "train"), "a2": ("duplicate", "the same audio as a (train)", "train"),
                        "d": ("leakage", "the same audio as d2 (test)", "validation")}  # fmt: skip
    assert corpus.meta["rejected"] == {"leakage": 2, "duplicate": 1} and corpus.meta["leakage"]["audio"] == 2


def test_repetitions_stay_on_request_but_never_across_splits(tmp_path: Path) -> None:
    ids, _ = prepared(tmp_path, ROWS, "data.duplicates=keep")
    assert ids == {"train": ["a", "c", "a2"], "validation": ["b2"], "test": ["e", "d2"]}


def test_a_removed_copy_comes_back_when_the_other_one_is_gone(tmp_path: Path) -> None:
    prepared(tmp_path, ROWS)
    ids, _ = prepared(tmp_path, [row for row in ROWS if row[1] not in ("b2", "d2")])
    assert ids == {"train": ["a", "b", "c"], "validation": ["d"], "test": ["e"]}


def test_the_same_samples_in_another_container_are_the_same_audio(tmp_path: Path) -> None:
    where = source(tmp_path / "source", [("train", "a", "one", "s"), ("train", "b", "two", "s"), ("dev", "c", "three", "t")])
    samples, rate = soundfile.read(tmp_path / "source" / "a.wav", dtype="int16")
    soundfile.write(tmp_path / "source" / "b.wav", samples, rate, format="FLAC", subtype="PCM_16")
    corpus, _ = prepare(where, tmp_path / "out", resolve(overrides=["data.workers=1"]))
    assert corpus.split("train").column("id") == ["a"]


def test_speakers_and_sentences_on_both_sides_are_told_and_stay(tmp_path: Path) -> None:
    rows = [("train", "a", "One two", "s1"), ("train", "b", "three", "s2"), ("train", "c", "one TWO", ""), ("dev", "d", "one two", "s2"),
            ("test", "e", "new", ""), ("test", "f", "Three", "s1"), ("test", "g", "three", "s1")]  # fmt: skip
    ids, corpus = prepared(tmp_path, rows)
    assert sum(map(len, ids.values())) == 7
    told = corpus.meta["leakage"]
    assert (told["audio"], told["speakers"], told["sentences"]) == (0, 2, 3)
    counts = ("held_out_utterances", "training_utterances")
    listed = {(row["kind"], row["held_out"], row["value"]): tuple(row[name] for name in counts) for row in read(corpus.folder / "leakage.csv")}
    assert listed == {("speaker", "validation", "s2"): ("1", "1"), ("speaker", "test", "s1"): ("2", "1"), ("sentence", "validation", "one two"): ("1", "2"),
                      ("sentence", "test", "Three"): ("1", "1"), ("sentence", "test", "three"): ("1", "1")}  # fmt: skip


@pytest.mark.parametrize("held_out", ["dev", "test"])
def test_disjoint_splits_leak_nothing(tmp_path: Path, held_out: str) -> None:
    _, corpus = prepared(tmp_path, [("train", "a", "one", "s1"), ("train", "b", "two", "s2"), ("dev", "c", "three", "s3"), (held_out, "d", "four", "s4")])
    assert {key: corpus.meta["leakage"][key] for key in ("audio", "speakers", "sentences")} == {"audio": 0, "speakers": 0, "sentences": 0}
    assert read(corpus.folder / "leakage.csv") == []
