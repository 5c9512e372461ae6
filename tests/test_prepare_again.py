"""The second preparation does nothing, unless something that matters has changed."""

import json
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

import datasets
import numpy as np
import pytest
from sounds import corpus, sound, table, write

from asrx.config import Config, resolve
from asrx.corpus.decoding import Job, Outcome, build, digest
from asrx.corpus.prepare import Source, prepare
from asrx.corpus.shards import PreparedCorpus
from asrx.errors import InputError
from asrx.recognizer.audio import load, to_int16


def options(*overrides: str) -> Config:
    return resolve(overrides=["data.workers=1", *overrides])


def state(folder: Path) -> dict[str, int]:
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def test_only_what_matters_prepares_again(tmp_path: Path) -> None:
    csv, out = corpus(tmp_path / "source", count=4), tmp_path / "out"
    source = Source(str(csv))
    first, existed = prepare(source, out, options())
    assert not existed
    before = state(out)
    assert prepare(source, out, options("data.eval_utterances=3", "data.fraction=0.5", "trainer.learning_rate=1"))[1]
    assert state(out) == before

    assert not prepare(source, out, options("text.case=upper"))[1]
    assert not prepare(source, out, options("data.seed=5"))[1]
    os.utime(csv.parent / "clips" / "0.wav", (1, 1))
    assert not prepare(source, out, options("data.seed=5"))[1]
    assert prepare(source, out, options("data.seed=5"))[1]
    write(csv.parent / "clips" / "new.wav", sound(1.1))
    csv.write_text(csv.read_text() + "new.wav,A new row.,speaker-9\n")
    again, existed = prepare(source, out, options())
    assert not existed and again.digest != first.digest
    assert len(again.split("train")) + len(again.split("validation")) == 5


class Counting:
    """An engine that counts what it decodes."""

    def __init__(self) -> None:
        self.decoded = self.pieces = 0

    def __call__(self, jobs: Iterable[Job]) -> Iterator[tuple[Job, Outcome]]:
        for job in jobs:
            outcome = build(job)
            self.decoded += outcome.decoded
            self.pieces += 1
            yield job, outcome


@pytest.mark.parametrize(("change", "decoded"), [
    ("data.max_seconds=20", 0), ("data.min_seconds=0.5", 0), ("text.case=upper", 0), ("text.language=it", 0), ("data.split=random", 0),
    ("data.shard_size=3", 0), ("data.train_share=0.5", 0), ("data.duplicates=keep", 0), ("data.max_chars_per_second=50", 0), ("data.max_clipping=0.5", 12),
    ("data.max_rate=48000", 12),
])  # fmt: skip
def test_a_changed_option_decodes_again_only_where_it_changes_what_is_decoded(tmp_path: Path, change: str, decoded: int) -> None:
    source, out = Source(str(corpus(tmp_path / "source", count=12))), tmp_path / "out"
    prepare(source, out, options())
    counting = Counting()
    changed, existed = prepare(source, out, options(change), counting)
    assert (existed, counting.decoded) == (False, decoded)
    fresh, _ = prepare(source, tmp_path / "fresh", options(change))
    assert changed.digest == fresh.digest and state_of_bytes(out) == state_of_bytes(tmp_path / "fresh")


def state_of_bytes(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("where", ["end", "beginning"])
def test_added_clips_are_all_that_is_decoded(tmp_path: Path, where: str) -> None:
    csv, out = corpus(tmp_path / "source", count=100), tmp_path / "out"
    unsplit = ["data.split=random", "data.train_share=0.99"]
    prepare(Source(str(csv)), out, options(*unsplit))
    header, *lines = csv.read_text().splitlines()
    for number in range(3):
        write(csv.parent / "clips" / f"new{number}.wav", sound(1.1, pitch=90 + number))
    new = [f"new{number}.wav,A new row.,speaker-9" for number in range(3)]
    csv.write_text("\n".join([header, *(lines + new if where == "end" else new + lines)]) + "\n")
    counting = Counting()
    again, _ = prepare(Source(str(csv)), out, options(*unsplit), counting)
    assert counting.decoded == 3
    assert sum(item["utterances"] for item in again.meta["splits"].values()) == 103
    prepare(Source(str(csv)), tmp_path / "fresh", options(*unsplit))
    assert state_of_bytes(out) == state_of_bytes(tmp_path / "fresh")
    untouched = [piece for piece in ("data-00000-of-00002.arrow",) if where == "end"]
    assert all((out / "train" / "part_1" / piece).stat().st_nlink == 1 for piece in untouched)


def test_a_recording_that_was_replaced_is_decoded_again(tmp_path: Path) -> None:
    csv, out = corpus(tmp_path / "source", count=6), tmp_path / "out"
    prepare(Source(str(csv)), out, options())
    write(csv.parent / "clips" / "3.wav", sound(1.4, pitch=77))
    counting = Counting()
    again, _ = prepare(Source(str(csv)), out, options(), counting)
    assert counting.decoded == 1
    found = {name: seconds for split in ("train", "validation") for name, seconds in zip(again.split(split).column("id"), again.split(split).seconds)}
    assert found["3"] == pytest.approx(1.4) and found["2"] == pytest.approx(1.2)


def test_a_file_name_that_is_no_utf8_is_a_name_like_others(tmp_path: Path) -> None:
    folder = tmp_path / "source"
    for pitch, name in ((100, b"good"), (120, b"caf\xe9")):
        write(folder / "clip.wav", sound(1.2, pitch=pitch)).rename(folder / os.fsdecode(name + b".wav"))
        (folder / os.fsdecode(name + b".txt")).write_text("what was said")
    (folder / os.fsdecode(b"n\xe9ant.wav")).write_bytes(b"")
    (folder / os.fsdecode(b"n\xe9ant.txt")).write_text("nothing")
    corpus, _ = prepare(Source(str(folder)), tmp_path / "out", options("data.split=random"))
    assert sorted(name for split in corpus.meta["splits"] for name in corpus.split(split).column("id")) == ["caf\\udce9", "good"]
    assert "n\\udce9ant.wav" in (tmp_path / "out" / "rejected.csv").read_text()
    assert prepare(Source(str(folder)), tmp_path / "out", options("data.split=random"))[1]


def test_a_vocabulary_that_changed_in_its_file_prepares_again(tmp_path: Path) -> None:
    source, out, vocabulary = Source(str(corpus(tmp_path / "source", count=12))), tmp_path / "out", tmp_path / "vocab.json"
    letters = "abcdefghijklmnopqrstuvwxyz0123456789"
    vocabulary.write_text(json.dumps({letter: number for number, letter in enumerate(letters)}))
    asked = options(f"text.alphabet={vocabulary}")
    assert prepare(source, out, asked)[0].meta["rejected"] == {}
    assert prepare(source, out, asked)[1]
    vocabulary.write_text(json.dumps({letter: number for number, letter in enumerate(letters.replace("5", ""))}))
    again, existed = prepare(source, out, asked)
    assert not existed and again.meta["rejected"] == {"outside_vocabulary": 1}


def test_an_archive_gives_the_same_bytes_wherever_it_is_unpacked(tmp_path: Path) -> None:
    csv = corpus(tmp_path / "source", count=4)
    csv.write_text(csv.read_text() + "gone.wav,Not there.,speaker-1\n")
    archive = shutil.make_archive(str(tmp_path / "corpus"), "gztar", csv.parent)
    for out in (tmp_path / "here", tmp_path / "there" / "out"):
        assert not prepare(Source(archive), out, options())[1] and prepare(Source(archive), out, options())[1]
    assert state_of_bytes(tmp_path / "here") == state_of_bytes(tmp_path / "there" / "out")
    assert f"{archive}/gone.wav" in (tmp_path / "here" / "rejected.csv").read_text()
    counting = Counting()
    assert not prepare(Source(archive), tmp_path / "here", options("text.case=upper"), counting)[1] and counting.decoded == 1


def test_a_lost_or_cut_shard_is_noticed_and_prepared_again(tmp_path: Path) -> None:
    source, out = Source(str(corpus(tmp_path / "source", count=4))), tmp_path / "out"
    prepared, _ = prepare(source, out, options("data.shard_size=1"))
    shutil.rmtree(out / "train" / "part_2")
    with pytest.raises(InputError, match="missing; prepare the corpus again"):
        prepared.split("train")
    assert not prepare(source, out, options("data.shard_size=1"))[1]
    shard = next((out / "train" / "part_1").glob("*.arrow"))
    shard.write_bytes(shard.read_bytes()[:2_000])
    with pytest.raises(InputError, match="damaged"):
        prepared.split("train")
    assert not prepare(source, out, options("data.shard_size=1"))[1]


def test_shards_hold_what_was_asked_for_and_datasets_reads_them(tmp_path: Path) -> None:
    rows = []
    for number in range(25):
        write(tmp_path / "clips" / f"{number}.wav", sound(1.0 + number / 100, pitch=150 + number))
        rows.append({"path": f"{number}.wav", "text": f"Text {number}", "speaker": f"s{number % 5}", "gender": "female"})
    out = tmp_path / "out"
    prepared, _ = prepare(Source(str(table(tmp_path / "all.csv", rows))), out, options("data.shard_size=7", "data.split=random", "data.train_share=0.68"))
    assert sorted(path.name for path in (out / "train").iterdir()) == ["part_1", "part_2", "part_3"]
    assert [datasets.load_from_disk(str(out / "train" / f"part_{part}")).num_rows for part in (1, 2, 3)] == [7, 7, 3]
    assert prepared.meta["splits"]["train"] == {"utterances": 17, "hours": pytest.approx(0.0053, abs=0.0003), "shards": 3}
    train = prepared.split("train")
    for part in range(3):
        for index, row in enumerate(datasets.load_from_disk(str(out / "train" / f"part_{part + 1}"))):
            utterance = train.utterance(7 * part + index)
            expected = to_int16(load(tmp_path / "clips" / f"{row['id']}.wav").samples)
            assert np.array_equal(row["audio"], expected) and np.array_equal(utterance.audio, expected)
            assert row["audio_digest"] == utterance.audio_digest == digest(expected)
            assert (row["text_raw"], row["slices"]) == (f"Text {row['id']}", '{"gender": "female"}')
    with pytest.raises(IndexError):
        train.utterance(17)


def test_parts_are_read_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    source = Source(str(corpus(tmp_path / "source", count=12, speakers=1)))
    prepared, _ = prepare(source, tmp_path / "out", options("data.shard_size=1", "data.train_share=0.99"))
    assert prepared.split("train").column("id") == sorted(prepared.split("train").column("id"), key=int)
    assert (tmp_path / "out" / "train" / "part_11").is_dir()


def test_one_and_two_workers_prepare_the_same(tmp_path: Path) -> None:
    source = Source(str(corpus(tmp_path / "source", count=40)))
    digests = {prepare(source, tmp_path / workers, resolve(overrides=[f"data.workers={workers}"]))[0].digest for workers in "12"}
    assert len(digests) == 1


def test_a_folder_that_is_no_corpus_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        PreparedCorpus.open(tmp_path / "nowhere")
    (tmp_path / "corpus.json").write_text('{"digest": "x"}')
    with pytest.raises(InputError, match="not a prepared corpus"):
        PreparedCorpus.open(tmp_path)
