"""Tables and manifests as tools and people write them."""

import json
from pathlib import Path

import pytest
from sounds import table, write

from asrx.corpus.layouts import Columns, Row, read
from asrx.errors import AsrxError, ConfigError, InputError


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    """A folder with empty audio files: readers do not open them."""
    for name in ("a.wav", "b.wav", "c.mp3", "d.mp3"):
        (tmp_path / "clips").mkdir(exist_ok=True)
        (tmp_path / "clips" / name).touch()
    return tmp_path


def texts(rows: list[Row]) -> list[str]:
    return [row.text for row in rows]


def names(rows: list[Row]) -> list[str]:
    return [row.audio.name for row in rows]


def read_text(folder: Path, content: str | bytes, name: str = "all.csv", **options: object) -> list[Row]:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read(str(path), **options)


@pytest.mark.parametrize("content", [
    "path,sentence\na.wav,one\nb.wav,two\n", "\ufeffpath,sentence\na.wav,one\nb.wav,two\n", "path,sentence\r\na.wav,one\r\nb.wav,two\r\n",
    "path,sentence\ra.wav,one\rb.wav,two\r", "path;sentence\na.wav;one\nb.wav;two\n",
    "path|sentence\na.wav|one\nb.wav|two", "path\tsentence\na.wav\tone\nb.wav\ttwo\n",
    '"path","sentence"\n"a.wav","one"\n"b.wav","two"\n', "\n\npath,sentence\na.wav,one\n\nb.wav,two\n\n", ",path,sentence\n0,a.wav,one\n1,b.wav,two\n",
    "FileName,Transcript\na.wav,one\nb.wav,two\n", "text,audio\none,a.wav\ntwo,b.wav\n", "path,sentence\nclips/a.wav,one\nclips\\b.wav,two\n",
    "path,sentence\na.wav,one,\nb.wav,two, \n",
])  # fmt: skip
def test_every_spelling_of_a_table_is_the_same_table(clips: Path, content: str) -> None:
    rows = read_text(clips, content)
    assert texts(rows) == ["one", "two"]
    assert [row.audio for row in rows] == [clips / "clips" / "a.wav", clips / "clips" / "b.wav"]


def test_given_columns_win_and_a_wrong_one_is_named(clips: Path) -> None:
    content = "path,sentence,spoken,where\nx.wav,not this,this,a.wav\n"
    row = read_text(clips, content, columns=Columns("where", "spoken"))[0]
    assert (row.text, row.audio.name) == ("this", "a.wav")
    with pytest.raises(InputError, match="did you mean spoken"):
        read_text(clips, content, columns=Columns("where", "spoke"))
    with pytest.raises(InputError, match="--audio-column"):
        read_text(clips, "foo,text\na.wav,x\n")


def test_quoted_new_lines_commas_and_quotes_are_text(clips: Path) -> None:
    rows = read_text(clips, 'path,sentence\na.wav,"two\nlines, ""quoted"""\nb.wav,next\n')
    assert texts(rows) == ['two\nlines, "quoted"', "next"]


def test_a_text_with_an_unquoted_comma_is_not_cut_short(clips: Path) -> None:
    with pytest.raises(InputError, match="line 3: more fields"):
        read_text(clips, "path,sentence\na.wav,fine\nb.wav,hello, world\n")


def test_common_voice_with_bare_quotes_and_no_suffix(clips: Path) -> None:
    header = "client_id\tpath\tsentence\tup_votes\tage\tgender\taccents\n"
    lines = {"train": 's1\tc\t"Hi," she said, it\'s 5" long\t2\t\tfemale\tus\n', "dev": 's2\td.mp3\t"Quoted"\t2\t\t\t\n', "test": "s3\td\t\"\t2\t\t\t\n"}
    for split, line in lines.items():
        (clips / f"{split}.tsv").write_text(header + line)
    (clips / "other.tsv").write_text(header + "s4\tc\tnot used\t0\t\t\t\n")
    (clips / "validated.tsv").write_text(header + "s4\tc\tnot used\t0\t\t\t\n")
    rows = {row.split: row for row in read(str(clips))}
    assert rows["train"].text == '"Hi," she said, it\'s 5" long' and rows["train"].audio == clips / "clips" / "c.mp3"
    assert rows["train"].slices == {"gender": "female", "accent": "us"} and rows["train"].speaker == "s1"
    assert rows["validation"].text == "Quoted" and rows["test"].text == '"'
    assert len(rows) == 3


def common_voice_v1(folder: Path) -> Path:
    for split in ("train", "dev", "test"):
        write(folder / f"cv-valid-{split}" / "sample-000000.mp3")
        table(folder / f"cv-valid-{split}.csv", [{"filename": f"cv-valid-{split}/sample-000000.mp3", "text": split, "up_votes": "1", "duration": ""}])
    for other in ("cv-other-train", "cv-invalid"):
        table(folder / f"{other}.csv", [{"filename": f"{other}/sample-000000.mp3", "text": "not used"}])
    return folder


def test_common_voice_v1_as_folder_and_as_file_with_its_dev_sibling(tmp_path: Path) -> None:
    folder = common_voice_v1(tmp_path)
    assert {row.split: row.text for row in read(str(folder))} == {"train": "train", "validation": "dev", "test": "test"}
    rows = read(str(folder / "cv-valid-train.csv"))
    assert [(row.split, row.text) for row in rows] == [("train", "train"), ("validation", "dev")]
    assert all(row.audio.is_file() for row in rows)
    assert texts(read(str(folder / "cv-valid-train.csv"), siblings=False)) == ["train"]
    assert [row.split for row in read(str(folder / "cv-valid-test.csv"))] == [None]


@pytest.mark.parametrize(("train", "dev"), [("train-clean.csv", "dev-clean.csv"), ("Train.csv", "valid.csv"), ("my.train.v2.csv", "my.val.v2.csv")])
def test_the_validation_file_beside_a_training_file_is_found(clips: Path, train: str, dev: str) -> None:
    for name in (train, dev, "dev_other_thing.csv", "training.csv"):
        table(clips / name, [{"path": "a.wav", "text": name}])
    assert [(row.split, row.text) for row in read(str(clips / train))] == [("train", train), ("validation", dev)]


def test_nemo_manifest_with_spans_and_strange_separators(clips: Path) -> None:
    lines = [{"audio_filepath": "a.wav", "text": "line\u2028separator\u0085too", "speaker": 7},
             {"audio_filepath": "a.wav", "offset": 1.5, "duration": 2, "text": "span"},
             {"audio_filepath": "a.wav", "offset": 0, "duration": 1.0, "text": None},
             {"audio_filepath": "b.wav", "duration": 3.0, "text": 0}]  # fmt: skip
    content = "\ufeff" + "\r\n".join(json.dumps(line, ensure_ascii=False) for line in lines) + "\r\n\r\n"
    rows = read_text(clips, content, "manifest.json")
    assert texts(rows) == ["line\u2028separator\u0085too", "span", "", "0"]
    assert [(row.offset, row.seconds) for row in rows] == [(0, None), (1.5, 2.0), (0, 1.0), (0, None)]
    assert rows[0].speaker == "7" and len({row.id for row in rows}) == 4


@pytest.mark.parametrize("line", ['{"audio_filepath": "a.wav", "text": "x", "offset": NaN}', '{"audio_filepath": "a.wav", "text": "x", "offset": -1}',
                                  '{"audio_filepath": "a.wav", "text": "x", "offset": "later"}',
                                  '{"audio_filepath": "a.wav", "text": "x", "offset": 0, "duration": Infinity}',
                                  '{"audio_filepath": "a.wav"', "[1]", "{}", '"text"'])  # fmt: skip
def test_a_damaged_manifest_line_is_named(clips: Path, line: str) -> None:
    with pytest.raises(InputError, match="manifest.jsonl"):
        read_text(clips, line + "\n", "manifest.jsonl")


def test_half_a_surrogate_pair_can_be_stored(clips: Path) -> None:
    row = read_text(clips, '{"audio_filepath": "\\ud800.wav", "text": "\\ud800 x"}', "m.json")[0]
    assert f"{row.text}{row.id}".encode()


def test_absolute_paths_and_an_audio_folder(clips: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    content = f"path,text\n{clips / 'clips' / 'a.wav'},absolute\nsub/b.wav,below another folder\nb,no suffix\n"
    rows = read_text(elsewhere, content, audio_dir=clips / "clips")
    assert names(rows) == ["a.wav", "b.wav", "b.wav"] and all(row.audio.is_file() for row in rows)
    with pytest.raises(InputError, match="no audio folder"):
        read_text(elsewhere, content, audio_dir=clips / "nowhere")


def test_ids_are_unique_whatever_the_table_repeats(clips: Path) -> None:
    rows = read_text(clips, "path,text\na.wav,1\na.wav,2\na#2.wav,3\na.wav,4\n,5\n.,6\n..,7\n")
    assert len({row.id for row in rows}) == 7
    assert rows[4].audio == Path()


@pytest.mark.parametrize("content", ["", "\n \n", "path,text\n", "\ufeff", b"\xff\xfep\0a\0", b"path,text\na.wav,caf\xe9\n", b"RIFF\x88\xfa\0\0WAVE"])
def test_empty_tables_and_other_encodings_are_refused(clips: Path, content: str | bytes) -> None:
    with pytest.raises(InputError, match="all.csv"):
        read_text(clips, content)


@pytest.mark.parametrize("source", ["nowhere.csv", "nowhere/train.csv", "nowhere/m.json", "/nowhere/at/all"])
def test_a_missing_source_is_a_missing_file_and_no_hub_data_set(source: str) -> None:
    with pytest.raises(InputError, match="there is no file or folder"):
        read(source)


def test_unknown_layouts_and_ambiguous_folders_are_refused(clips: Path) -> None:
    with pytest.raises(ConfigError, match="did you mean nemo"):
        read(str(clips), layout="nemmo")
    for name in ("one.csv", "two.csv"):
        table(clips / name, [{"path": "a.wav", "text": "x"}])
    with pytest.raises(AsrxError, match="one.csv, two.csv"):
        read(str(clips))


def test_a_folder_as_held_out_set_is_its_test_split(tmp_path: Path) -> None:
    for split in ("train", "dev", "test"):
        table(tmp_path / f"{split}.csv", [{"path": f"{split}.wav", "text": split}])
    assert [row.text for row in read(str(tmp_path), siblings=False)] == ["test"]
    (tmp_path / "test.csv").unlink()
    assert [row.text for row in read(str(tmp_path), siblings=False)] == ["dev"]
    (tmp_path / "dev.csv").rename(tmp_path / "notes.txt")
    with pytest.raises(InputError, match="training utterances only"):
        read(str(tmp_path), siblings=False)
