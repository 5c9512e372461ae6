"""Kaldi, lhotse, datasets, webdataset and NeMo: what these write, read back by our readers."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from sounds import sound, table, write

from asrx.corpus.layouts import Columns, find, read
from asrx.corpus.rows import Inside, Row
from asrx.errors import InputError
from asrx.recognizer.audio import load


def put(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def heard(row: Row) -> float:
    """Seconds of the row's recording."""
    return load(row.audio.read() if isinstance(row.audio, Inside) else row.audio).seconds


def by_id(source: Path, **options: object) -> dict[str, Row]:
    return {row.id: row for row in read(str(source), **options)}


def kaldi(folder: Path) -> Path:
    """Files, segments and all the optional tables; some entries cannot be used."""
    write(folder.parent / "wavs" / "rec1.wav", sound(3.0))
    write(folder / "rec2.wav", sound(1.0, channels=2))
    put(folder / "wav.scp", f"rec1 {folder.parent}/wavs/rec1.wav\nrec2 rec2.wav\nrec3 sph2pipe -f wav rec3.sph |\nrec4 raw.ark:17\n")
    put(folder / "segments", "a-1 rec1 0.5 1.5\na-2 rec1 2.0 -1\na-3 rec1 2.5 9.0\na-4 rec1 1.0 0.5\na-5 rec1 7.0 8.0\n"
                             "b-1 rec2 0 1\nc-1 rec3 0 1\nd-1 rec4 0 1\ne-1 rec9 0 1\nf-1 rec1 0 1\n")  # fmt: skip
    put(folder / "text", "".join(f"{name} UTTERANCE  {name}\n" for name in ("a-1", "a-2", "a-3", "a-4", "a-5", "b-1", "c-1", "d-1", "e-1", "x-1")))
    put(folder / "utt2spk", "a-1 a\na-2 a\nb-1 b\n")
    put(folder / "spk2gender", "a f\nb m\n")
    put(folder / "reco2dur", "rec1 3.0\n")
    return folder


def test_kaldi_runs_no_pipe_and_says_what_to_do(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = kaldi(tmp_path / "data" / "train")
    put(folder / "wav.scp", (folder / "wav.scp").read_text().replace("sph2pipe", f"touch {tmp_path}/ran; sph2pipe"))
    rows = by_id(folder)
    assert not (tmp_path / "ran").exists()
    assert "sph2pipe -f wav rec3.sph |" in rows["c-1"].problem and "convert the recording first" in rows["c-1"].problem
    assert "raw.ark:17" in rows["d-1"].problem and "no entry rec9" in rows["e-1"].problem and "segments has no entry x-1" in rows["x-1"].problem
    assert "1 recordings have no transcript" in caplog.text


def test_kaldi_segments_speakers_and_gender(tmp_path: Path) -> None:
    rows = by_id(kaldi(tmp_path / "data" / "train"))
    assert (rows["a-1"].offset, rows["a-1"].seconds, rows["a-2"].seconds) == (0.5, 1.0, None) and rows["a-1"].text == "UTTERANCE  a-1"
    assert (rows["a-1"].speaker, rows["a-1"].slices) == ("a", {"gender": "f"})
    assert rows["a-1"].audio.is_file() and rows["b-1"].audio.is_file()
    assert "before it starts" in rows["a-4"].problem and "of a recording of 3 s" in rows["a-5"].problem
    assert (rows["a-3"].offset, rows["a-3"].seconds, rows["a-3"].problem) == (2.5, 6.5, "")  # past the end: its decoder says so


def test_kaldi_directories_of_splits_and_paths_from_the_recipe(tmp_path: Path) -> None:
    write(tmp_path / "s5" / "db" / "a.wav")
    for split in ("train", "dev", "test", "lang"):
        put(tmp_path / "s5" / "data" / split / "wav.scp", f"{split}-a db/a.wav\n")
        put(tmp_path / "s5" / "data" / split / "text", f"{split}-a one\n")
        put(tmp_path / "s5" / "data" / split / "utt2dur", f"{split}-a 1.5\n")
    for source in (tmp_path / "s5" / "data", tmp_path / "s5"):
        rows = read(str(source))
        assert [row.split for row in rows] == ["validation", "test", "train"] and all(row.audio.is_file() and row.promised == 1.5 for row in rows)
    put(tmp_path / "s5" / "data" / "train" / "segments", "train-a train-a 0 one\n")
    with pytest.raises(InputError, match="segments, line 1"):
        read(str(tmp_path / "s5" / "data"))


def supervision(name: str, start: float, duration: float, text: str) -> object:
    from lhotse import SupervisionSegment

    return SupervisionSegment(name, "rec", start, duration, text=text, speaker="s1", gender="F", language="Italian", custom={"accent": "north"})


@pytest.mark.parametrize("suffix", ["jsonl", "jsonl.gz"])
def test_lhotse_cuts_with_offsets_supervisions_and_channels(tmp_path: Path, suffix: str) -> None:
    from lhotse import CutSet, MonoCut, Recording

    recording = Recording.from_file(write(tmp_path / "rec.wav", sound(4.0, channels=2)), recording_id="rec")
    whole = MonoCut("whole", 0, 4.0, 1, [supervision("sw", 0, 4.0, "all")], recording=recording)
    two = MonoCut("two", 1.0, 3.0, 0, [supervision("s1", 0.5, 1.0, "first"), supervision("s2", 2.0, 0.5, "second")], recording=recording)
    CutSet.from_cuts([whole, two, two.drop_supervisions().with_id("mute")]).to_file(tmp_path / f"cuts_train.{suffix}")
    rows = by_id(tmp_path)
    assert find(str(tmp_path)).layout == "lhotse" and set(rows) == {"whole", "s1", "s2"}
    assert (rows["whole"].offset, rows["whole"].seconds, rows["whole"].promised, rows["whole"].channel) == (0, None, 4.0, 1)
    assert (rows["s1"].offset, rows["s1"].seconds, rows["s2"].offset, rows["s2"].channel) == (1.5, 1.0, 3.0, 0)
    assert rows["s1"].slices == {"gender": "F", "language": "Italian", "accent": "north"} and rows["s1"].speaker == "s1"
    assert all(row.audio == tmp_path / "rec.wav" and row.split == "train" for row in rows.values())


def test_lhotse_sources_that_are_no_files_are_named(tmp_path: Path) -> None:
    from lhotse import AudioSource, CutSet, MonoCut, Recording

    def cut(name: str, kind: str, source: str, **more: object) -> MonoCut:
        recording = Recording(name, [AudioSource(kind, [0], source)], 16_000, 16_000, 1.0, **more)
        return MonoCut(name, 0, 1.0, 0, [supervision(name, 0, 1, "x")], recording=recording)

    cuts = [cut("run", "command", f"touch {tmp_path}/ran"), cut("far", "url", "https://nowhere/a.wav"), cut("gone", "file", "gone.wav")]
    cuts.append(cut("fast", "file", "gone.wav").perturb_speed(1.1))
    CutSet.from_cuts([*cuts, cut("mixed", "file", "gone.wav").pad(2.0)]).to_file(tmp_path / "cuts.jsonl")
    rows = list(read(str(tmp_path / "cuts.jsonl")))
    assert "touch" in rows[0].problem and "https://nowhere" in rows[1].problem and not (tmp_path / "ran").exists()
    assert not rows[2].problem and rows[2].audio == tmp_path / "gone.wav"
    assert "Speed" in rows[3].problem


def test_lhotse_recordings_beside_supervisions(tmp_path: Path) -> None:
    from lhotse import Recording, RecordingSet, SupervisionSet

    recording = Recording.from_file(write(tmp_path / "audio" / "rec.flac", sound(2.0)), recording_id="rec")
    for split in ("train", "dev"):
        RecordingSet.from_recordings([recording]).to_file(tmp_path / f"x_recordings_{split}.jsonl.gz")
        supervisions = [supervision("a", 0, 2.0, split), supervision("b", 0.5, 1.0, "part")]
        SupervisionSet.from_segments(supervisions).to_file(tmp_path / f"x_supervisions_{split}.jsonl.gz")
    rows = read(str(tmp_path))
    assert [(row.split, row.text, row.offset, row.seconds) for row in rows][:2] == [("validation", "dev", 0, None), ("validation", "part", 0.5, 1.0)]
    assert len(rows) == 4 and heard(rows[0]) == 2.0
    assert len(read(str(tmp_path / "x_supervisions_train.jsonl.gz"))) == 2


def encoded(tmp_path: Path, pitch: float = 200) -> bytes:
    return write(tmp_path / f"{pitch}.flac", sound(1.0, pitch=pitch)).read_bytes()


def dataset(tmp_path: Path, count: int = 5) -> object:
    """A data set of the hub's kind: bytes, a path in place of bytes, and nothing at all; classes with names."""
    import datasets

    audio = [{"bytes": encoded(tmp_path, 150 + number), "path": f"clip{number}.flac"} for number in range(count)]
    audio[1:3] = [{"bytes": None, "path": str(tmp_path / "150.flac")}, None]
    columns = {"id": list(range(count)), "audio": audio, "sentence": [f"text {n}" for n in range(count)], "gender": [n % 2 for n in range(count)]}
    plain = datasets.Dataset.from_dict(columns)
    return plain.cast_column("audio", datasets.Audio()).cast_column("gender", datasets.ClassLabel(names=["female", "male"]))


def check_dataset(rows: list[Row]) -> None:
    assert [row.text for row in rows] == [f"text {number}" for number in range(5)]
    assert [row.slices["gender"] for row in rows] == ["female", "male", "female", "male", "female"]
    assert "has no recording" in rows[2].problem and all(heard(row) == 1.0 for row in rows if not row.problem)
    assert [row.id.partition("#")[0] for row in rows[3:]] == ["clip3", "clip4"]


def test_save_to_disk_with_and_without_splits(tmp_path: Path) -> None:
    import datasets

    data = dataset(tmp_path)
    data.save_to_disk(tmp_path / "one", num_shards=2)
    check_dataset(read(str(tmp_path / "one")))
    datasets.DatasetDict({"train": data, "validation": data, "other": data}).save_to_disk(tmp_path / "many")
    rows = read(str(tmp_path / "many"))
    assert [row.split for row in rows] == ["train"] * 5 + ["validation"] * 5
    check_dataset(rows[:5])
    (tmp_path / "one" / "data-00001-of-00002.arrow").unlink()
    with pytest.raises(InputError, match="data-00001-of-00002.arrow missing"):
        read(str(tmp_path / "one"))


@pytest.mark.parametrize("where", ["", "data/"])
def test_parquet_files_of_the_hub(tmp_path: Path, where: str) -> None:
    folder = tmp_path / "hub"
    (folder / where).mkdir(parents=True)
    for name in ("train-00000-of-00002", "train-00001-of-00002", "test-00000-of-00001", "other-00000-of-00001"):
        dataset(tmp_path).to_parquet(folder / where / f"{name}.parquet")
    rows = read(str(folder))
    assert [row.split for row in rows] == ["test"] * 5 + ["train"] * 10
    check_dataset(rows[5:10])
    file = folder / where / "test-00000-of-00001.parquet"
    check_dataset(read(str(file)))
    file.write_bytes(file.read_bytes()[:-50])
    with pytest.raises(InputError, match="truncated or damaged"):
        read(str(file))


def test_parquet_with_other_columns(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"content": [encoded(tmp_path)], "words": ["hello"], "said": ["x"]}), tmp_path / "bytes.parquet")
    row = read(str(tmp_path / "bytes.parquet"))[0]
    assert heard(row) == 1.0 and row.text == "hello" and read(str(tmp_path / "bytes.parquet"), columns=Columns(text="said"))[0].text == "x"
    pq.write_table(pa.table({"path": ["200.flac", None], "text": ["hello", "none"]}), tmp_path / "paths.parquet")
    rows = read(str(tmp_path / "paths.parquet"))
    assert rows[0].audio == tmp_path / "200.flac" and rows[1].problem
    pq.write_table(pa.table({"audio": [np.zeros(5).tolist()], "text": ["x"]}), tmp_path / "samples.parquet")
    with pytest.raises(InputError, match="not encoded recordings"):
        read(str(tmp_path / "samples.parquet"))
    with pytest.raises(InputError, match="did you mean words"):
        read(str(tmp_path / "bytes.parquet"), columns=Columns(text="word"))


def shards(folder: Path, names: tuple[str, ...] = ("train-0000", "train-0001", "dev-0000")) -> Path:
    import webdataset

    folder.mkdir(parents=True)
    for name in names:
        with webdataset.TarWriter(str(folder / f"{name}.tar")) as sink:
            for number in range(3):
                sample = {"__key__": f"{name}/utt{number}", "flac": encoded(folder, 150 + number)}
                said = {"json": {"text": f"json {number}", "speaker": "s", "gender": "f", "duration": 1.0}} if number else {"txt": "plain\n"}
                sink.write({**sample, **said})
    return folder


def test_webdataset_members_are_read_where_they_lie(tmp_path: Path) -> None:
    folder = shards(tmp_path / "shards")
    rows = read(str(folder))
    assert [row.split for row in rows] == ["validation"] * 3 + ["train"] * 6
    assert [row.text for row in rows[:3]] == ["plain", "json 1", "json 2"] and all(heard(row) == 1.0 for row in rows)
    assert (rows[1].slices, rows[1].speaker, rows[1].promised) == ({"gender": "f"}, "s", 1.0)
    assert all(isinstance(row.audio, Inside) and not row.audio.column for row in rows)
    for pattern in ("train-{0000..0001}.tar", "train-*.tar", "{train-0000,train-0001}.tar"):
        assert read(str(folder / pattern)) == rows[3:]
    assert len(read(str(folder / "dev-0000.tar"), unpacked=tmp_path / "u")) == 3 and not (tmp_path / "u").exists()
    with pytest.raises(InputError, match="train-0002.tar"):
        read(str(folder / "train-{0000..0002}.tar"))
    content = (folder / "dev-0000.tar").read_bytes()
    (folder / "dev-0000.tar").write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match="dev-0000.tar is truncated"):
        read(str(folder))


def test_pairs_in_tars_and_folders_that_lack_one_half(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    import tarfile

    for name in ("b", "a", "alone"):
        write(tmp_path / "pairs" / "train" / f"{name}.wav", sound(1.0))
    for name in ("a", "b", "lost"):
        put(tmp_path / "pairs" / "train" / f"{name}.txt", f"text {name}\n")
    put(tmp_path / "pairs" / "train" / "broken.json", "{")
    with tarfile.open(tmp_path / "train.tar", "w") as tar:  # first all recordings, then all transcripts
        for file in sorted((tmp_path / "pairs" / "train").iterdir(), key=lambda file: (file.suffix != ".wav", file.name)):
            tar.add(file, file.name)
    for source in (tmp_path / "pairs", tmp_path / "train.tar"):
        caplog.clear()
        rows = {Path(row.id).name: row for row in read(str(source))}
        assert {row.text for row in rows.values() if not row.problem} == {"text a", "text b"} and {row.split for row in rows.values()} == {"train"}
        assert "no recording" in rows["lost"].problem and "cannot be read" in rows["broken"].problem
        assert "1 recordings have no transcript" in caplog.text and "alone" in caplog.text


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_audiofolder_at_the_top_and_by_split(tmp_path: Path, kind: str) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    def metadata(path: Path, rows: list[dict[str, str]]) -> None:
        if kind == "parquet":
            pq.write_table(pa.Table.from_pylist(rows), path)
        else:
            table(path, rows) if kind == "csv" else put(path, "".join(json.dumps(row) + "\n" for row in rows))

    for split in ("train", "test"):
        write(tmp_path / "split" / split / "a.wav", sound(1.0))
        metadata(tmp_path / "split" / split / f"metadata.{kind}", [{"file_name": "a.wav", "transcription": split}])
        write(tmp_path / "flat" / split / "a.wav", sound(1.0))
    metadata(tmp_path / "flat" / f"metadata.{kind}", [{"file_name": f"{split}/a.wav", "transcription": split} for split in ("test", "train")])
    for folder in ("split", "flat"):
        rows = read(str(tmp_path / folder))
        assert find(str(tmp_path / folder)).layout == "audiofolder"
        assert [(row.split, row.text) for row in rows] == [("test", "test"), ("train", "train")] and all(row.audio.is_file() for row in rows)


def test_an_unnamed_recording_is_counted_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("train/a.wav", "b.wav", "unnamed.wav"):
        write(tmp_path / name, sound(0.5))
    table(tmp_path / "metadata.csv", [{"file_name": name, "text": "x"} for name in ("b.wav", "train/a.wav", "./b.wav", "b.wav")])
    assert all(row.audio.is_file() for row in read(str(tmp_path)))
    assert "1 recordings have no transcript" in caplog.text


def test_nemo_durations_are_promised_and_gzip_is_fine(tmp_path: Path) -> None:
    write(tmp_path / "a.wav")
    lines = json.dumps({"audio_filepath": "a.wav", "duration": 1.5, "text": "x", "lang": "it"}) + "\n"
    put(tmp_path / "train_manifest.json", lines)
    (tmp_path / "m.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
    for name in ("train_manifest.json", "m.jsonl.gz"):
        found = find(str(tmp_path / name))
        row = next(found.rows())
        assert found.layout == "nemo" and (row.promised, row.seconds, row.slices) == (1.5, None, {"language": "it"}) and row.audio.is_file()
    (tmp_path / "m.jsonl.gz").write_bytes(gzip.compress(lines.encode() * 500)[:-20])
    with pytest.raises(InputError, match="m.jsonl.gz is truncated or damaged"):
        read(str(tmp_path / "m.jsonl.gz"))
