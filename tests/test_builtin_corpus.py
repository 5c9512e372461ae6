import csv
import os
import subprocess
import sys
import time
import unicodedata
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import espeakng_loader
import pytest
import soundfile

from asrx.config import resolve
from asrx.corpus import builtin
from asrx.corpus.builtin import AMOUNTS, Amount
from asrx.corpus.grammars import LANGUAGES
from asrx.corpus.prepare import Source, prepare
from asrx.errors import AsrxError

ROOT = Path(__file__).parents[1]
SMALL = {"train": Amount(4, 3), "validation": Amount(2, 2), "test": Amount(3, 2)}
SPLITS = ("train", "validation", "test")
MARKS = ".?।"
WRITTEN = {"it": ("è", "é", "ù", "'"), "ne": ("ँ", "ं", "्", "क्ष", "ज्ञ", "त्र")}  # what a careless normaliser loses
VOCABULARY = {"en": (40, 60), "it": (25, 45), "ne": (40, 60)}  # words


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return builtin.make(tmp_path_factory.mktemp("corpora") / "builtin-en", "en", 0, SMALL)


@pytest.fixture(scope="module", params=sorted(WRITTEN))
def foreign(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus in another language than English; its folder is named after the language."""
    return builtin.make(tmp_path_factory.mktemp("corpora") / request.param, request.param, 0, SMALL)


def rows(folder: Path, split: str) -> list[dict[str, str]]:
    with (folder / f"{split}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def spoken_words(sentence: str) -> str:
    return sentence.lower().rstrip(MARKS)


def start(folder: Path, amounts: dict[str, Amount], language: str = "en") -> subprocess.Popen:
    program = (
        "import pathlib, sys; from asrx.corpus.builtin import Amount, make\n"
        f"make(pathlib.Path(sys.argv[1]), {language!r}, 0, {amounts!r})"
    )
    return subprocess.Popen([sys.executable, "-c", program, str(folder)], cwd=ROOT, stderr=subprocess.PIPE, text=True)


def wait_for(condition: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "nothing happened"
        time.sleep(0.01)


def test_the_same_seed_gives_the_same_bytes_in_another_process(corpus: Path, tmp_path: Path) -> None:
    process = start(tmp_path / "again", SMALL)
    _, message = process.communicate()
    assert process.returncode == 0, message
    assert contents(tmp_path / "again") == contents(corpus)


def test_other_languages_give_the_same_bytes_in_another_process(foreign: Path, tmp_path: Path) -> None:
    process = start(tmp_path / "again", SMALL, foreign.name)
    _, message = process.communicate()
    assert process.returncode == 0, message
    assert contents(tmp_path / "again") == contents(foreign)


def test_preparation_rejects_nothing_and_keeps_every_accent_apostrophe_and_vowel_sign(foreign: Path, tmp_path: Path) -> None:
    options = resolve(options={"text.language": foreign.name}, overrides=["data.workers=1"])
    prepared = prepare(Source(str(foreign)), tmp_path / "prepared", options)[0]
    assert not any(prepared.meta["rejected"].values())
    for split in SPLITS:
        written = sorted(unicodedata.normalize("NFC", row["sentence"]).rstrip(MARKS) for row in rows(foreign, split))
        assert sorted(prepared.split(split).column("text")) == written


def test_the_order_in_which_clips_are_spoken_does_not_matter(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    builtin.make(tmp_path / "one-by-one", "en", 0, SMALL)
    assert contents(tmp_path / "one-by-one") == contents(corpus)


def test_another_seed_gives_another_corpus_and_replaces_the_old_one(tmp_path: Path) -> None:
    folder = tmp_path / "builtin"
    builtin.make(folder, "en", 0, SMALL)
    before = contents(folder)
    builtin.make(folder, "en", 1, SMALL)
    after = contents(folder)
    assert before.keys() == after.keys()
    assert all(before[name] != after[name] for name in before)
    assert [path.name for path in tmp_path.glob("builtin*") if path.is_dir()] == ["builtin"]


def test_no_speaker_and_no_sentence_is_in_two_splits(corpus: Path) -> None:
    for column, key in (("client_id", str), ("sentence", spoken_words)):
        seen = [{key(row[column]) for row in rows(corpus, split)} for split in SPLITS]
        assert sum(map(len, seen)) == len(set.union(*seen)), column


@pytest.mark.parametrize("language", sorted(VOCABULARY))
@pytest.mark.parametrize("seed", range(5))
def test_the_whole_corpus_is_a_closed_vocabulary_task_with_enough_speakers(language: str, seed: int) -> None:
    plan = builtin._plan(LANGUAGES[language], seed, AMOUNTS)
    said = {split: [u for u in plan if u.split == split] for split in SPLITS}
    words = {split: {word for u in said[split] for word in spoken_words(u.spoken).split()} for split in SPLITS}
    assert {split: len(said[split]) for split in SPLITS} == {"train": 864, "validation": 60, "test": 180}
    fewest, most = VOCABULARY[language]
    assert fewest <= len(words["train"]) <= most
    assert words["test"] | words["validation"] <= words["train"]
    texts = [{spoken_words(u.spoken) for u in said[split]} for split in SPLITS]
    assert sum(map(len, texts)) == len(set.union(*texts))
    speakers = {split: {(u.speaker.voice, u.speaker.variant, u.speaker.pitch) for u in said[split]} for split in SPLITS}
    assert {split: len(speakers[split]) for split in SPLITS} == {"train": 24, "validation": 6, "test": 12}
    assert len(set.union(*speakers.values())) == 42


def test_a_language_with_one_voice_has_speakers_that_differ() -> None:
    language = replace(LANGUAGES["en"], accents={"en-us": "United States"})
    speakers = {u.speaker for u in builtin._plan(language, 0, AMOUNTS)}
    pitches: dict[str, list[int]] = {}
    for speaker in speakers:
        pitches.setdefault(speaker.variant, []).append(speaker.pitch)
    assert len(speakers) == 42
    assert all(high - low >= 5 for group in pitches.values() for low, high in pairwise(sorted(group)))


def test_every_clip_decodes_and_has_a_plausible_length_and_level(corpus: Path) -> None:
    listed = [row["path"] for split in SPLITS for row in rows(corpus, split)]
    assert sorted(listed) == sorted(f"clips/{path.name}" for path in (corpus / "clips").iterdir())
    for path in listed:
        samples, rate = soundfile.read(corpus / path)
        info = soundfile.info(corpus / path)
        assert (rate, info.channels, info.subtype, info.format) == (22_050, 1, "PCM_16", "FLAC")
        assert 1.0 <= len(samples) / rate <= 15.0
        assert 0.005 < samples.std() and abs(samples).max() < 1.0


def test_transcripts_are_written_as_people_do(corpus: Path) -> None:
    sentences = [row["sentence"] for split in SPLITS for row in rows(corpus, split)]
    proper = [sentence for sentence in sentences if sentence[0].isupper()]
    assert all(sentence[-1] in ".?" for sentence in proper)
    assert 0 < len(proper) < len(sentences)


@pytest.mark.parametrize("language", sorted(WRITTEN))
def test_other_scripts_are_written_as_people_do(language: str) -> None:
    plan = builtin._plan(LANGUAGES[language], 0, AMOUNTS)
    text = "".join(u.sentence for u in plan)
    assert unicodedata.is_normalized("NFC", text)
    assert all(characters in text for characters in WRITTEN[language])
    proper = [u.sentence for u in plan if u.sentence[-1] in MARKS]
    assert 0.4 < len(proper) / len(plan) < 0.6
    assert all(sentence[0] == sentence[0].upper() for sentence in proper)
    assert {spoken_words(u.sentence) for u in plan} == {spoken_words(u.spoken) for u in plan}


def test_more_speech_to_train_on_shares_nothing_with_the_test_split() -> None:
    for language in LANGUAGES.values():
        test = [u for u in builtin._plan(language, 0, AMOUNTS) if u.split == "test"]
        more = builtin._plan(language, 0, {"train": Amount(24, 100)})
        assert len(more) == 2400
        assert not {u.speaker.name for u in more} & {u.speaker.name for u in test}
        assert not {u.spoken for u in more} & {u.spoken for u in test}


def test_other_amounts_replace_the_corpus(tmp_path: Path) -> None:
    folder = builtin.make(tmp_path / "builtin", "it", amounts=SMALL)
    builtin.make(folder, "it", amounts={"train": Amount(2, 3)})
    assert sorted(path.name for path in folder.glob("*.csv")) == ["train.csv"]
    assert len(rows(folder, "train")) == len(list((folder / "clips").iterdir())) == 6


@pytest.mark.parametrize(
    ("amounts", "message"),
    [
        ({"training": Amount(1, 1)}, "no split 'training' .did you mean train"),
        ({"train": Amount(40, 1), "test": Amount(9, 1)}, "49 speakers .* 1 to 48"),
        ({"train": Amount(3, 0)}, "train: 3 speakers with 0 utterances each"),
        ({}, "0 speakers"),
        ({"validation": Amount(1, 100)}, "validation: a speaker cannot have 100 different sentences, 31 were found"),
    ],
)
def test_amounts_that_cannot_be_had_are_refused(amounts: dict[str, Amount], message: str, tmp_path: Path) -> None:
    with pytest.raises(AsrxError, match=message):
        builtin.make(tmp_path / "builtin", "it", amounts=amounts)
    assert not list(tmp_path.iterdir())


def test_every_voice_and_variant_is_one_that_espeak_has() -> None:
    data = Path(espeakng_loader.get_data_path())
    voices = {path.name.lower() for path in (data / "lang").rglob("*")}
    variants = {path.name for path in (data / "voices" / "!v").iterdir()}
    assert set(builtin._VARIANTS) <= variants
    assert all({voice.lower() for voice in language.accents} <= voices for language in LANGUAGES.values())


def test_a_killed_run_leaves_no_folder_and_the_next_one_cleans_up(tmp_path: Path) -> None:
    folder = tmp_path / "builtin"
    process = start(folder, AMOUNTS)
    wait_for(lambda: len(list(tmp_path.glob(".builtin.partial-*/clips/*.flac"))) > 20)
    process.kill()
    process.communicate()
    assert not folder.exists()
    builtin.make(folder, "en", 0, SMALL)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["builtin"]


def test_a_failing_voice_is_named_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = replace(LANGUAGES["en"], accents={"en-us": "United States", "en-gb": "nowhere"})
    monkeypatch.setitem(LANGUAGES, "en", broken)
    with pytest.raises(AsrxError, match=r"could not say .* as en-gb\+"):
        builtin.make(tmp_path / "builtin", "en", 0, SMALL)
    assert not list(tmp_path.iterdir())


def test_a_second_call_speaks_nothing(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(builtin, "_write", lambda *_: pytest.fail("spoken again"))
    before = {path: path.stat().st_mtime_ns for path in corpus.rglob("*")}
    builtin.make(corpus, "en", 0, SMALL)
    assert {path: path.stat().st_mtime_ns for path in corpus.rglob("*")} == before


def test_two_processes_at_once_make_one_corpus(tmp_path: Path) -> None:
    both = [start(tmp_path / "builtin", SMALL) for _ in range(2)]
    messages = [process.communicate()[1] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert sum("speaking" in message for message in messages) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["builtin"]


def test_a_folder_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(AsrxError, match="mine exists and is no built-in corpus"):
        builtin.make(tmp_path / "mine")
    assert contents(tmp_path / "mine") == {"thesis.txt": b"years of work"}


def test_an_unknown_language_names_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(AsrxError, match=r"'eng'.*did you mean en.*choose from en, it, ne"):
        builtin.make(tmp_path / "builtin", language="eng")
    assert builtin.languages() == ["en", "it", "ne"]


def test_a_missing_espeak_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    with pytest.raises(AsrxError, match="pip install espeakng-loader"):
        builtin.make(tmp_path / "builtin")


def test_espeak_data_may_lie_deeper_than_espeak_can_read(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = tmp_path.joinpath(*["a-long-name-for-a-folder"] * 8)
    deep.mkdir(parents=True)
    (deep / "espeak-ng-data").symlink_to(espeakng_loader.get_data_path())
    monkeypatch.setattr(espeakng_loader, "get_data_path", lambda: str(deep / "espeak-ng-data"))
    builtin.make(tmp_path / "builtin", "en", 0, SMALL)
    assert contents(tmp_path / "builtin") == contents(corpus)
