"""Releases as their archives hold them: folder, tarball and zip, with what real ones have in odd places."""

import os
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from sounds import sound, write

from asrx.config import resolve
from asrx.corpus.layouts import Columns, find, read
from asrx.corpus.layouts.source import PREPARED, folders, visible
from asrx.corpus.prepare import Source, prepare
from asrx.corpus.rows import Row
from asrx.errors import InputError
from asrx.recognizer.audio import load

CV_HEADER = "client_id\tpath\tsentence_id\tsentence\tsentence_domain\tup_votes\tdown_votes\tage\tgender\taccents\tvariant\tlocale\tsegment\n"


def put(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def clip(path: Path, pitch: float = 200) -> Path:
    return write(path, sound(1.0, pitch=pitch))


def common_voice(root: Path, locale: str = "it") -> Path:
    """`cv-corpus-11.0-2022-09-21/it` with all that a release has beside its splits."""
    folder = root / "cv-corpus-11.0-2022-09-21" / locale
    durations = "clip\tduration[ms]\n"
    for number, name in enumerate(("train", "dev", "test", "other", "invalidated")):
        clip(folder / "clips" / f"common_voice_{locale}_{number}.mp3", 150 + 20 * number)
        line = f's{number}\tcommon_voice_{locale}_{number}.mp3\t\t"Sì," disse {name}, 5" alto\tgeneral\t2\t0\ttwenties\tmale\tRomano\t\t{locale}\t\n'
        put(folder / f"{name}.tsv", CV_HEADER + line)
        durations += f"common_voice_{locale}_{number}.mp3\t{1000 + number}\n"
    put(folder / "validated.tsv", CV_HEADER + "".join((folder / f"{name}.tsv").read_text().splitlines(True)[1] for name in ("train", "dev", "test")))
    put(folder / "reported.tsv", "sentence\tsentence_id\tlocale\treason\n")
    put(folder / "clip_durations.tsv", durations)
    put(folder / "times.txt", "common_voice_it_0.mp3\t1000\n")
    return folder


def librispeech(root: Path) -> Path:
    for subset, speaker in (("train-clean-100", "103"), ("dev-other", "116"), ("test-clean", "1089")):
        chapter = root / "LibriSpeech" / subset / speaker / "7"
        for number in range(2):
            clip(chapter / f"{speaker}-7-{number:04d}.flac", 150 + 10 * number)
        put(chapter / f"{speaker}-7.trans.txt", f"{speaker}-7-0000 HELLO THERE\n{speaker}-7-0001 IT'S ME\n")
    header = "; LibriSpeech\n;ID  |SEX| SUBSET |MINUTES| NAME\n"
    put(root / "LibriSpeech" / "SPEAKERS.TXT", f"{header}103  | F | train-clean-100 | 25.1 | A\n116  | M | dev-other | 8.2 | B\n")
    put(root / "LibriSpeech" / "BOOKS.TXT", "; no table\n")
    return root / "LibriSpeech"


def ljspeech(root: Path) -> Path:
    folder = root / "LJSpeech-1.1"
    for number in (1, 2):
        clip(folder / "wavs" / f"LJ001-000{number}.wav")
    put(folder / "metadata.csv", 'LJ001-0001|Printed in 1455, "the|Printed in fourteen fifty-five, "the\nLJ001-0002|plain|\n')
    put(folder / "README", "LJ Speech\n")
    return folder


def openslr_54(root: Path) -> Path:
    lines = ""
    for number, (name, text) in enumerate((("0431eb79a9", "गाविसहरूको लेखसँग यो"), ("0f43e91c4e", "राज्य सिक्किमको"))):
        clip(root / f"asr_nepali_{number}" / "asr_nepali" / "data" / name[:2] / f"{name}.flac")
        lines += f"{name}\tspk{number}\t{text}\n"
    for number in range(2):
        put(root / f"asr_nepali_{number}" / "asr_nepali" / "utt_spk_text.tsv", lines)  # each part comes with all of it
    return root


def an4(root: Path, suffix: str = "sph", order: str = "little") -> Path:
    for split, speaker in (("train", "fash"), ("test", "fcaw")):
        folder = root / "an4" / "wav" / f"an4_{split}" / speaker
        folder.mkdir(parents=True)
        samples = np.round(sound(1.0) * 32767).astype("<i2")
        for number in (1, 2):
            file = folder / f"an{number}-{speaker}-b.{suffix}"
            if suffix == "raw":
                file.write_bytes(samples.astype("<i2" if order == "little" else ">i2").tobytes())
            else:
                soundfile.write(file, samples, 16_000, format="NIST", subtype="PCM_16")
        names = [f"an4_{split}/{speaker}/an{number}-{speaker}-b" for number in (1, 2)]
        put(root / "an4" / "etc" / f"an4_{split}.fileids", "\n".join(names) + "\n")
        marks = ("<s> ", " </s>") if split == "train" else ("", "")
        lines = [f"{marks[0]}ENTER {number}{marks[1]} (an{number}-{speaker}-b)" for number in (1, 2)]
        put(root / "an4" / "etc" / f"an4_{split}.transcription", "\n".join(lines) + "\n")
    put(root / "an4" / "etc" / "an4.dic", "ENTER EH N T ER\n")
    return root / "an4"


RELEASES = {"common_voice": common_voice, "librispeech": librispeech, "ljspeech": ljspeech, "openslr": openslr_54, "sphinx": an4}


def packed(folder: Path, archive: Path) -> Path:
    if archive.suffix == ".zip":
        with zipfile.ZipFile(archive, "w") as package:
            for file in sorted(folder.rglob("*")):
                package.write(file, file.relative_to(folder))
        return archive
    with tarfile.open(archive, f"w:{archive.suffix[1:].replace('tar', '').replace('tgz', 'gz')}") as tar:
        for child in sorted(folder.iterdir()):
            tar.add(child, child.name)
    return archive


def essence(rows: list[Row]) -> list[tuple]:
    return [(row.audio.name, row.text, row.speaker, row.split, row.slices, row.promised, row.problem) for row in rows]


@pytest.mark.parametrize("layout", RELEASES)
@pytest.mark.parametrize("archive", ["r.tar.gz", "r.tgz", "r.tar", "r.tar.bz2", "r.tar.xz", "r.zip"])
def test_an_archive_is_the_folder_that_it_holds(tmp_path: Path, layout: str, archive: str) -> None:
    release = RELEASES[layout](tmp_path / "release")
    assert find(str(tmp_path / "release")).layout == layout
    for row in (rows := read(str(tmp_path / "release"))):
        assert load(row.audio).seconds == pytest.approx(1.0, abs=0.1) and not row.problem
    file = packed(tmp_path / "release", tmp_path / archive)
    assert essence(read(str(file), unpacked=tmp_path / "u")) == essence(rows) == essence(read(str(file), layout=layout, unpacked=tmp_path / "u"))
    assert find(str(file)).inputs == (file,)
    if layout != "openslr":
        assert find(str(release)).layout == layout and essence(read(str(release))) == essence(rows)


def test_common_voice_splits_slices_and_promises(tmp_path: Path) -> None:
    folder = common_voice(tmp_path)
    rows = {row.split: row for row in read(str(tmp_path))}
    assert set(rows) == {"train", "validation", "test"} and rows["train"].text == '"Sì," disse train, 5" alto'
    assert rows["train"].slices == {"domain": "general", "age": "twenties", "gender": "male", "accent": "Romano", "locale": "it"}
    assert [rows[split].promised for split in ("train", "validation", "test")] == [1.0, 1.001, 1.002]
    assert [row.promised for row in read(str(folder / "train.tsv"))] == [1.0, 1.001]  # with its dev.tsv
    assert {folder / "train.tsv", folder / "clip_durations.tsv"} <= set(find(str(folder)).inputs)
    for name in ("train", "dev", "test"):
        (folder / f"{name}.tsv").unlink()
    assert [row.split for row in read(str(folder))] == [None] * 3  # a small language: nothing but validated.tsv


def test_common_voice_in_several_languages_asks_for_one(tmp_path: Path) -> None:
    common_voice(tmp_path, "it"), common_voice(tmp_path, "ne-NP")
    for source in (tmp_path, tmp_path / "cv-corpus-11.0-2022-09-21", packed(tmp_path / "cv-corpus-11.0-2022-09-21", tmp_path / "both.tar.gz")):
        with pytest.raises(InputError, match=r"several languages \(it, ne-NP\); give the folder of one"):
            read(str(source), unpacked=tmp_path / "u")


def test_librispeech_speakers_splits_and_gender(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = librispeech(tmp_path)
    chapter = folder / "train-clean-100" / "103" / "7"
    clip(chapter / "103-7-0002.flac")
    put(chapter / "103-7.trans.txt", "103-7-0000 HELLO THERE\n103-7-0001 IT'S ME\n103-7-0009 GONE\n103-7-0010\n")
    rows = {row.id: row for row in read(str(folder))}
    assert (rows["103-7-0000"].speaker, rows["103-7-0000"].split, rows["103-7-0000"].slices) == ("103", "train", {"gender": "F"})
    assert (rows["116-7-0001"].text, rows["116-7-0001"].split, rows["1089-7-0000"].split) == ("IT'S ME", "validation", "test")
    assert not rows["103-7-0009"].audio.exists() and "no text" in rows["103-7-0010"].problem
    assert "1 recordings have no transcript" in caplog.text
    assert {row.split for row in read(str(folder / "dev-other"))} == {"validation"}
    assert read(str(folder / "train-clean-100"))[0].slices == {"gender": "F"}  # of the list one folder up


@pytest.mark.parametrize("above", ["", "download/of/", "download/of/mine/"])
def test_librispeech_below_other_folders_with_upper_case_suffixes(tmp_path: Path, above: str) -> None:
    folder = librispeech(tmp_path / above)
    put(tmp_path / "notes" / "read.me", "so that the folder is not the only one")
    for file in list(folder.rglob("*.flac")):
        file.rename(file.with_suffix(".FLAC"))
    rows = read(str(tmp_path))
    assert {row.id: row.slices for row in rows}["103-7-0000"] == {"gender": "F"} and {row.split for row in rows} == {"train", "validation", "test"}
    assert all(row.audio.suffix == ".FLAC" and row.audio.is_file() for row in rows)
    transcript = folder / "train-clean-100" / "103" / "7" / "103-7.trans.txt"
    assert [row.slices for row in read(str(transcript))] == [{"gender": "F"}] * 2


@pytest.mark.parametrize("audio_dir", [False, True])
def test_common_voice_v1_of_kaggle_holds_its_folders_twice(tmp_path: Path, audio_dir: bool) -> None:
    for split in ("train", "dev"):
        clip(tmp_path / f"cv-valid-{split}" / f"cv-valid-{split}" / "sample-000000.mp3")
        put(tmp_path / ("tables" if audio_dir else "") / f"cv-valid-{split}.csv", f"filename,text\ncv-valid-{split}/sample-000000.mp3,{split}\n")
    rows = read(str(tmp_path / "tables" if audio_dir else tmp_path), audio_dir=tmp_path if audio_dir else None)
    assert [(row.split, row.audio.is_file()) for row in rows] == [("validation", True), ("train", True)]
    assert [row.audio.parent.parent.name for row in rows] == ["cv-valid-dev", "cv-valid-train"]


def pairs(root: Path) -> Path:
    for number in range(2):
        clip(root / "a" / f"{number}.wav")
        put(root / "a" / f"{number}.txt", f"text {number}")
    return root


def test_pairs_are_pairs_however_their_letters_are_composed(tmp_path: Path) -> None:
    clip(tmp_path / "e\u0301.wav").rename(tmp_path / "e\u0301.WAV")
    put(tmp_path / "\u00e9.txt", "hello")
    assert [(row.text, row.problem, row.audio.is_file()) for row in read(str(tmp_path))] == [("hello", "", True)]


@pytest.mark.parametrize("make", [pairs, librispeech, ljspeech, openslr_54, common_voice])
def test_a_corpus_prepared_inside_its_source_is_no_part_of_it(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    def state() -> tuple[str, str, list, list[Row]]:
        found = find(str(tmp_path), audio_dir=tmp_path if make is openslr_54 else None)
        return found.layout, found.listing, [(path, path.stat().st_mtime_ns) for path in found.inputs], list(found.rows())

    make(tmp_path)
    before, source = state(), Source(str(tmp_path))
    assert before[1] and not any(path.is_dir() for path, _ in before[2])
    prepare(source, tmp_path / "train", resolve(overrides=["data.workers=1", "data.max_rejected=0.9"]))
    assert all((tmp_path / "train" / name).is_file() for name in PREPARED)  # else nobody knows a corpus
    (tmp_path / ".train.work" / "unpacked").mkdir(parents=True)
    assert state() == before
    assert tmp_path / "train" not in visible(tmp_path) and not any("train/" in place for place, _ in folders(tmp_path) if "Libri" not in place)


@pytest.mark.parametrize("change", ["recording", "transcript", "text", "gone"])
@pytest.mark.parametrize("make", [pairs, librispeech, ljspeech, openslr_54, common_voice])
def test_what_changes_the_rows_changes_the_listing(tmp_path: Path, make: Callable[[Path], Path], change: str) -> None:
    make(tmp_path)
    first = find(str(tmp_path)).listing
    recording = next(file for file in sorted(tmp_path.rglob("*")) if file.suffix in (".wav", ".flac", ".mp3"))
    if change == "recording":
        clip(recording.with_stem("another"))
    elif change == "gone":
        recording.unlink()
    elif make is pairs and change == "transcript":
        put(tmp_path / "a" / "another.txt", "another")
    elif make is pairs:
        put(tmp_path / "a" / "0.txt", "text 9")
        os.utime(tmp_path / "a" / "0.txt", (1, 1))
    else:
        put(tmp_path / "remarks.log", "nothing that a row is made of")
        assert find(str(tmp_path)).listing == first
        return
    assert find(str(tmp_path)).listing != first


def test_ljspeech_with_upper_case_suffixes(tmp_path: Path) -> None:
    for file in list(ljspeech(tmp_path).rglob("*.wav")):
        file.rename(file.with_suffix(".WAV"))
    assert find(str(tmp_path)).layout == "ljspeech" and all(row.audio.is_file() for row in read(str(tmp_path)))


def test_openslr_names_composed_otherwise(tmp_path: Path) -> None:
    clip(tmp_path / "e\u0301_1.wav")
    put(tmp_path / "line_index.tsv", "\u00e9_1\thello\n")
    assert [row.audio for row in read(str(tmp_path))] == [tmp_path / "e\u0301_1.wav"]


def test_ljspeech_quotes_are_text_and_the_spoken_form_counts(tmp_path: Path) -> None:
    rows = read(str(ljspeech(tmp_path)))
    assert [row.text for row in rows] == ['Printed in fourteen fifty-five, "the', "plain"]


@pytest.mark.parametrize("where", ["", "wavs/", "a/b/"])
def test_openslr_tables_of_two_columns(tmp_path: Path, where: str) -> None:
    for side, sex in (("female", "nef"), ("male", "nem")):
        clip(tmp_path / side / where / f"{sex}_0258_0119737288.wav")
        put(tmp_path / side / "line_index.tsv", f"{sex}_0258_0119737288 \t नमस्ते \n")
    rows = read(str(tmp_path))
    assert [(row.id, row.speaker, row.text) for row in rows] == [(f"{sex}_0258_0119737288", f"{sex}_0258", "नमस्ते") for sex in ("nef", "nem")]
    assert all(row.audio.is_file() for row in rows)
    assert [row.id for row in read(str(tmp_path / "male" / "line_index.tsv"))] == ["nem_0258_0119737288"]


def test_openslr_83_has_a_sentence_before_the_recording(tmp_path: Path) -> None:
    clip(tmp_path / "irm_02484_00388340153.wav")
    put(tmp_path / "line_index.csv", "IRE00001, irm_02484_00388340153, It is thirteen degrees, they said.\n")
    row = read(str(tmp_path))[0]
    assert (row.text, row.speaker, row.audio.is_file()) == ("It is thirteen degrees, they said.", "irm_02484", True)


def test_openslr_54_in_unpacked_parts_that_each_repeat_the_table(tmp_path: Path) -> None:
    rows = read(str(openslr_54(tmp_path)))
    assert [(row.id, row.speaker) for row in rows] == [("0431eb79a9", "spk0"), ("0f43e91c4e", "spk1")] and all(row.audio.is_file() for row in rows)


def test_openslr_54_in_zipped_parts_beside_its_table(tmp_path: Path) -> None:
    openslr_54(tmp_path / "parts")
    (tmp_path / "all").mkdir()
    for number in range(2):
        part = tmp_path / "parts" / f"asr_nepali_{number}"
        (part / "asr_nepali" / "utt_spk_text.tsv").rename(tmp_path / "all" / "utt_spk_text.tsv")
        packed(part, tmp_path / "all" / f"asr_nepali_{number}.zip")
    rows = read(str(tmp_path / "all"), unpacked=tmp_path / "u")
    assert [row.speaker for row in rows] == ["spk0", "spk1"] and all(row.audio.is_file() for row in rows)


@pytest.mark.parametrize("name", ["line_index.tsv", "mine.tsv"])
def test_a_first_line_that_only_looks_like_a_header_is_an_utterance(tmp_path: Path, name: str) -> None:
    for audio in ("audio", "b"):
        clip(tmp_path / "data" / f"{audio}.wav")
    put(tmp_path / name, "audio\ttext\nb\tmore\nlost\tgone\nshort\n")
    rows = read(str(tmp_path))
    assert [row.text for row in rows] == ["text", "more", "gone", ""] and [row.audio.is_file() for row in rows[:3]] == [True, True, False]
    assert "line 4 has 1 of 2 fields" in rows[3].problem
    (tmp_path / "data" / "audio.wav").unlink()
    put(tmp_path / name, "audio\ttext\nb\tmore\n")
    assert [row.text for row in read(str(tmp_path), audio_dir=tmp_path / "data")] == ["more"]  # now it is one


def test_an4_pairs_each_line_with_its_recording(tmp_path: Path) -> None:
    folder = an4(tmp_path)
    first = read(str(tmp_path))[0]
    assert {row.split for row in read(str(tmp_path))} == {"train", "test"}
    assert {(row.text, row.speaker) for row in read(str(folder))} == {(f"ENTER {n}", speaker) for n in (1, 2) for speaker in ("fash", "fcaw")}
    assert first.audio.suffix == ".sph"
    put(folder / "etc" / "an4_test.transcription", "<s> ENTER </s> (an2-fcaw-b)\nENTER 2 (an2-fcaw-b)\nMORE (an3-fcaw-b)\n")
    problems = [row.problem for row in read(str(folder / "etc" / "an4_test.fileids"))]
    assert "is the transcript of an2-fcaw-b" in problems[0] and not problems[1] and "no line of .fileids" in problems[2]


@pytest.mark.parametrize("order", ["little", "big"])
def test_headerless_samples_are_heard_in_their_own_byte_order(tmp_path: Path, order: str, caplog: pytest.LogCaptureFixture) -> None:
    folder = an4(tmp_path, "raw", order)
    rows = read(str(folder), unpacked=tmp_path / "u")
    expected = np.round(sound(1.0) * 32767) / 32768
    for row in rows:
        assert np.abs(load(row.audio).samples - expected).max() < 1e-3
    assert caplog.text.count(f"16-bit {order}-endian") == 1
    assert not list(folder.rglob("*.wav"))


@pytest.mark.parametrize("make", [*RELEASES.values()])
def test_each_name_of_a_layout_says_what_it_misses(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    put(tmp_path / "notes" / "shopping.md", "milk")
    layout = next(name for name, maker in RELEASES.items() if maker is make)
    with pytest.raises(InputError, match=f"not of layout {layout}, which is .*shopping.md|not of layout {layout}, which is .*notes"):
        read(str(tmp_path), layout=layout)
    with pytest.raises(InputError, match=r"laid out here \(found: notes\).*--layout"):
        read(str(tmp_path), columns=Columns())
