"""Tables and manifests as tools and people write them."""

import json
import unicodedata
from pathlib import Path

import pytest
from sounds import sound, table, write

from asrx.corpus.layouts import Columns, Row, find, read
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


def test_quoted_lines_with_as_many_commas_as_a_row_are_text(clips: Path) -> None:
    rows = read_text(clips, 'sentence,path\n"one, two\n\nfour, five\r\nsix.",a.wav\n"a\n""quote"", here",b.wav\n')
    assert texts(rows) == ["one, two\n\nfour, five\r\nsix.", 'a\n"quote", here'] and not any(row.problem for row in rows)


@pytest.mark.parametrize("lines", [
    ['a.wav,"open', "b.wav,two", "c,three", "d.mp3,four"],
    ['a.wav,"open', "b.wav,two", 'c,"th, ree"', "d.mp3,four"],
    ['a.wav,"open', 'b.wav,two"', "c,three", "d.mp3,four"],
    ['a.wav,"open', 'b,two"', "c,three", "d.mp3,four"],
    ['a.wav,"open', 'gone.wav,two"', "c,three", "d.mp3,four"],
    ['a.wav,"open', 'nowhere,two', 'nowhere,"three" and', "d.mp3,four"],
    ['a.wav,"open "" still', "b.wav,two", "c,three", "d.mp3,four"],
])  # fmt: skip
def test_a_quotation_mark_that_does_not_close_costs_its_own_row_only(clips: Path, lines: list[str]) -> None:
    for number in range(len(lines)):  # also as the last row
        turned = lines[number:] + lines[:number]
        rows = read_text(clips, "path,sentence\n" + "\n".join(turned) + "\n")
        assert len(rows) == 4, turned
        assert [row.id for row in rows] == [line.partition(",")[0].partition(".")[0] for line in turned] or "nowhere" in str(lines)
        broken = turned.index(lines[0])
        assert f"all.csv, line {broken + 2}: a quotation mark" in rows[broken].problem
        assert not any(row.problem for index, row in enumerate(rows) if index != broken)


@pytest.mark.parametrize("lines", [
    ['"open,a.wav', "two,b.wav", "three,c", "four,d.mp3"], ['"open,a.wav', 'two",b.wav', "three,c", "four,d.mp3"],
    ['"open,a.wav', '"two, too",b.wav', '"three",c', "four,d.mp3"],
])  # fmt: skip
def test_a_quotation_mark_that_does_not_close_where_the_text_comes_first(clips: Path, lines: list[str]) -> None:
    rows = read_text(clips, "sentence,path\n" + "\n".join(lines) + "\n")
    assert ["line 2: a quotation mark" in row.problem for row in rows] == [True, False, False, False] and names(rows[1:]) == ["b.wav", "c.mp3", "d.mp3"]


def test_every_row_with_an_open_quotation_mark_is_one_row(clips: Path) -> None:
    """None of 20,000 ends: reading to the end of the table from each would take hours."""
    rows = read_text(clips, "path,sentence\n" + 'a.wav,""\n' + 'b.wav,"""Yes"", he said\n' * 20_000)
    assert sum("quotation mark" in row.problem for row in rows) == 20_000 and not rows[0].problem


def test_a_quotation_mark_that_closes_far_below_swallows_no_row(clips: Path) -> None:
    """Nothing tells these rows from lines of text: their recordings are not there and their names have no suffix."""
    rows = read_text(clips, 'path,sentence\nx,"open\n' + "x,one\n" * 1500 + 'x,closed"\nx,end\n')
    assert len(rows) == 1503 and [bool(row.problem) for row in rows] == [True] + [False] * 1502


def test_an_open_quotation_mark_in_the_header_is_refused(clips: Path) -> None:
    with pytest.raises(InputError, match="all.csv, line 2: a quotation mark"):
        read_text(clips, '\npath,"sentence\na.wav,one\nb.wav,two\n')


@pytest.mark.parametrize("delimiter", [",", "\t", "|"])
def test_a_text_with_an_unquoted_delimiter_is_not_cut_short(clips: Path, delimiter: str) -> None:
    lines = ["path,sentence,offset,duration", "a.wav,fine,,", "b.wav,hello, world,,", "c,more,,"]
    rows = read_text(clips, "\n".join(lines).replace(",", delimiter))
    assert [bool(row.problem) for row in rows] == [False, True, False] and "line 3 has more fields" in rows[1].problem and rows[1].id == "b"
    assert read_text(clips, "path,sentence\na.wav,fine\nb.wav,hello, world\n")[1].problem


@pytest.mark.parametrize("name", ["train.csv", "train.tsv"])
def test_a_missing_header_is_told_with_the_one_to_write(clips: Path, name: str) -> None:
    delimiter, shown = ("\t", "<tab>") if name.endswith("tsv") else (",", ",")
    lines = [["s1", "a", "hello there, you", "x"], ["s1", "b", "hi", "x"]]
    with pytest.raises(InputError, match=f"no header.*: {shown.join(('column1', 'path', 'text', 'column4'))}$"):
        read_text(clips, "\n".join(delimiter.join(f'"{field}"' for field in line) for line in lines), name)
    with pytest.raises(InputError, match="no header.*: path,text$"):
        read_text(clips, "a.wav,the only row\n")
    with pytest.raises(InputError, match="no header.*: path,text$"):
        read_text(clips, "gone.wav,hi\ngone2.wav,hi\n", columns=Columns("file", "said"))


@pytest.mark.parametrize(("suffix", "kind"), [(".wav", "wav"), (".FLAC", "flac"), (".data", "wav"), ("", "flac"), ("", "mp3"), (".csv", "ogg")])
@pytest.mark.parametrize("layout", [None, "table"])
def test_a_recording_is_no_source(tmp_path: Path, suffix: str, kind: str, layout: str | None) -> None:
    write(tmp_path / "x.wav", sound(0.5), kind=kind).rename(tmp_path / f"said{suffix}")
    with pytest.raises(InputError, match=f"said{suffix} is a recording; give the table or folder"):
        read(str(tmp_path / f"said{suffix}"), layout=layout)


@pytest.mark.parametrize("value", ["https://host/a.wav", "s3://bucket/a.wav"])
def test_a_url_is_no_file_and_says_so(clips: Path, value: str) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"path": [value, "a.wav"], "text": ["far", "near"]}), clips / "x.parquet")
    (clips / "kaldi").mkdir()
    (clips / "kaldi" / "wav.scp").write_text(f"0 {value}\n1 a.wav\n")
    (clips / "kaldi" / "text").write_text("0 far\n1 near\n")
    for rows in (read_text(clips, f"path,text\n{value},far\na.wav,near\n"), read(str(clips / "x.parquet")), read(str(clips / "kaldi"))):
        assert rows[0].problem.startswith(f"{value} is a URL; download it first") and rows[0].audio == Path() and not rows[1].problem


def test_names_that_differ_in_the_case_of_a_suffix_or_in_composition_are_found(tmp_path: Path) -> None:
    nfc, nfd = (unicodedata.normalize(form, "é") for form in ("NFC", "NFD"))
    names = ["clips/a.WAV", f"clips/{nfc}1.wav", f"clips/{nfd}2.Mp3", f"{nfd}/b.FLAC", "clips/exact.wav", "clips/exact.WAV", "clips/Mr.Smith.wav"]
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    asked = ["a.wav", "a", "clips/a.WaV", f"{nfd}1.wav", f"{nfc}2", f"{nfc}/b.flac", "exact.WAV", "Mr.Smith"]
    rows = read_text(tmp_path, "path,text\n" + "".join(f"{name},x\n" for name in [*asked, "A.wav", "b.wav"]))
    expected = [*["clips/a.WAV"] * 3, *names[1:4], "clips/exact.WAV", "clips/Mr.Smith.wav"]
    assert [str(row.audio.relative_to(tmp_path)) for row in rows[:-2]] == expected
    assert [row.audio for row in rows[-2:]] == [tmp_path / "A.wav", tmp_path / "b.wav"]  # other names


def test_ids_are_audio_names_where_there_are_such_recordings(clips: Path) -> None:
    (clips / "clips").rename(clips / "wavs")
    rows = read_text(clips, 'ID|Text\na|hello, "you"\nb|"Hi," he said\nd|bye\n', "metadata.csv")
    assert names(rows) == ["a.wav", "b.wav", "d.mp3"] and [row.id for row in rows] == ["a", "b", "d"] and texts(rows)[0] == 'hello, "you"'
    assert find(str(clips)).layout == "table" and len(read(str(clips))) == 3
    with pytest.raises(InputError, match="--audio-column"):
        read_text(clips, "ID|Text\nx|hello\n")


@pytest.mark.parametrize("indent", [None, 2])
def test_a_manifest_that_is_one_array(clips: Path, indent: int | None) -> None:
    content = json.dumps([{"audio_filepath": "a.wav", "text": "é ]"}, {"audio_filepath": "b.wav", "text": "two", "offset": 1.5}], indent=indent)
    rows = read_text(clips, content, "m.json")
    assert texts(rows) == ["é ]", "two"] and names(rows) == ["a.wav", "b.wav"] and find(str(clips / "m.json")).layout == "nemo"
    for damaged in (content[:-1], content[:-5], content + content, content.replace('"b.wav",', '"b.wav"'), "[]", '[["a.wav"]]'):
        with pytest.raises(InputError, match="m.json"):
            read_text(clips, damaged, "m.json")


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
