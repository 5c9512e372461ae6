"""Preparation with all that can be wrong with an utterance at once: the good ones stay, each bad one has its reason."""

import csv
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from sounds import sound, table, write

from asrx.config import Config, resolve
from asrx.corpus.prepare import Source, prepare
from asrx.corpus.rules import RULES
from asrx.corpus.shards import PreparedCorpus
from asrx.errors import InputError

RATE = 44_100  # Hz


def options(*overrides: str) -> Config:
    return resolve(overrides=["data.workers=1", *overrides])


def rejects(folder: Path) -> dict[str, dict[str, str]]:
    with (folder / "rejected.csv").open(encoding="utf-8", newline="") as file:
        return {row["id"]: row for row in csv.DictReader(file)}


def damaged(path: Path, change: Callable[[bytes], bytes]) -> None:
    path.write_bytes(change(write(path, sound(3.0)).read_bytes()))


def bad_clips(folder: Path) -> dict[str, tuple[str, str]]:
    """Name → rule and a part of the reason, of files that are made here."""
    antiphase = np.stack([sound(), -sound()], axis=1)
    for name, samples, rate in [
        ("silent", 1e-5 * sound(), 16_000), ("constant", np.full(32_000, 0.2), 16_000), ("clipped", np.clip(8 * sound(), -1, 1), 16_000),
        ("slow", sound(), 7), ("fast", sound(), 1_000_000), ("none", sound(0), 16_000), ("antiphase", antiphase, 16_000),
        ("short", sound(0.999, RATE), RATE), ("long", sound(15.001, RATE), RATE), ("blip", sound(0.001), 16_000),
        ("sparse", sound(8.1), 16_000), ("dense", sound(1.1), 16_000),
    ]:  # fmt: skip
        write(folder / f"{name}.wav", samples, rate)
    soundfile.write(folder / "nan.wav", np.append(sound(), np.nan), 16_000, subtype="FLOAT")
    soundfile.write(folder / "integers.wav", 32_768 * sound(), 16_000, subtype="FLOAT")
    for kind in ("wav", "flac", "mp3", "ogg", "opus"):
        damaged(folder / f"cut-{kind}.{kind}", lambda data: data[: int(0.6 * len(data))])
    damaged(folder / "hole.flac", lambda data: data[:20_000] + bytes(9_000) + data[29_000:])
    (folder / "zero.wav").write_bytes(b"")
    (folder / "text.wav").write_text("not audio\n" * 100)
    cut = {f"cut-{kind}.{kind}": ("truncated", "truncated") for kind in ("wav", "flac", "mp3", "ogg", "opus")}
    return {
        **cut, "hole.flac": ("truncated", "damaged"), "nan.wav": ("not_finite", "not finite"), "integers.wav": ("out_of_scale", "32768"),
        "silent.wav": ("silent", "-80 dBFS"), "constant.wav": ("silent", "all samples are equal"),
        "clipped.wav": ("clipped", r"\d\d\.\d\d% .* more than 5\.00%"),
        "slow.wav": ("rate", "7 Hz"), "fast.wav": ("rate", "1,000,000 Hz"), "none.wav": ("empty_audio", "0 samples"),
        "antiphase.wav": ("antiphase", "antiphase"),
        "short.wav": ("too_short", "0.999 s"), "long.wav": ("too_long", "longer than 15 s"), "blip.wav": ("too_short", "0.001 s"),
        "zero.wav": ("empty_audio", "0 bytes"),
        "sparse.wav": ("few_characters", r"0\.12 characters a second \(1 in 8\.100 s\)"), "dense.wav": ("many_characters", "more than 30"),
        "text.wav": ("not_audio", "not audio"), "gone.wav": ("missing_audio", "no such file"), "": ("missing_audio", "name is empty"),
    }  # fmt: skip


TEXTS = {"sparse.wav": "a", "dense.wav": "the quick brown fox jumps over the lazy dog"}


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, tuple[str, str]]]:
    """A corpus prepared from 30 good and 28 bad utterances, and what is expected of the bad ones."""
    folder = tmp_path_factory.mktemp("mixed")
    expected = bad_clips(folder / "clips")
    rows = [{"path": name, "text": TEXTS.get(name, "some words"), "speaker": "bad"} for name in expected]
    for name, text, rule, reason in [
        ("empty", "", "empty_text", "transcript is empty"), ("blank", " \t", "empty_text", "transcript is empty"),
        ("marks", "?!…", "empty_text", "nothing of the transcript"), ("signs", "@ + ♪", "unpronounceable", "neither a letter nor a digit"),
    ]:  # fmt: skip
        write(folder / "clips" / f"{name}.wav")
        rows.append({"path": f"{name}.wav", "text": text, "speaker": "bad"})
        expected[f"{name}.wav"] = (rule, reason)
    for number in range(30):
        seconds = {0: 1.0, 1: 15.0}.get(number, 1.3)
        write(folder / "clips" / f"good{number}.flac", sound(seconds, RATE, 1 + number % 2, pitch=150 + 5 * number), RATE)
        rows.append({"path": f"good{number}.flac", "text": f"Café – don’t STOP कि {number}!", "speaker": f"s{number % 4}"})
    table(folder / "all.csv", rows)
    prepare(Source(str(folder / "all.csv")), folder / "out", options("data.max_rejected=0.6"))
    return folder / "out", {re.sub(r"\.\w+$", "", name): rule for name, rule in expected.items()}


def test_each_bad_utterance_has_one_row_with_its_reason(mixed: tuple[Path, dict[str, tuple[str, str]]]) -> None:
    found, expected = rejects(mixed[0]), dict(mixed[1])
    found[""] = found.pop(next(name for name in found if name.startswith("line-")))
    assert found.keys() == expected.keys()
    for name, (rule, reason) in expected.items():
        assert found[name]["rule"] == rule and re.search(reason, found[name]["reason"]), (name, found[name])
    counted = PreparedCorpus.open(mixed[0]).meta["rejected"]
    assert sum(counted.values()) == len(expected) and counted.keys() <= RULES.keys()


def test_the_bounds_of_the_duration_are_inclusive(mixed: tuple[Path, dict[str, tuple[str, str]]]) -> None:
    corpus = PreparedCorpus.open(mixed[0])
    seconds = {name: value for split in ("train", "validation") for name, value in zip(corpus.split(split).column("id"), corpus.split(split).seconds)}
    assert len(seconds) == 30 and seconds["good0"] == 1.0 and seconds["good1"] == 15.0


def test_raw_text_is_kept_and_casing_with_it(mixed: tuple[Path, dict[str, tuple[str, str]]]) -> None:
    utterance = PreparedCorpus.open(mixed[0]).split("train").utterance(0)
    number = utterance.id.removeprefix("good")
    assert utterance.text_raw == f"Café – don’t STOP कि {number}!"
    assert utterance.text == f"Café don't STOP कि {number}"
    assert utterance.audio.dtype == np.int16 and len(utterance.audio) == round(utterance.seconds * 16_000)


def test_too_many_rejects_stop_it_and_leave_nothing(tmp_path: Path) -> None:
    rows = [{"path": f"gone{number}.wav", "text": "x"} for number in range(2)] + [{"path": "good.wav", "text": "good"}, {"path": "good.wav", "text": ""}]
    write(tmp_path / "source" / "good.wav")
    table(tmp_path / "source" / "all.csv", rows)
    target = tmp_path / "target" / "out"
    with pytest.raises(InputError, match=r"3 of 4 utterances were rejected \(missing_audio 2, empty_text 1\).*gone[01]"):
        prepare(Source(str(tmp_path / "source" / "all.csv")), target, options())
    assert list(target.parent.iterdir()) == []


def test_exactly_half_is_not_over_half(tmp_path: Path) -> None:
    write(tmp_path / "good.wav")
    table(tmp_path / "all.csv", [{"path": "good.wav", "text": "good"}, {"path": "gone.wav", "text": "gone"}])
    corpus, _ = prepare(Source(str(tmp_path / "all.csv")), tmp_path / "out", options())
    assert corpus.meta["rejected"] == {"missing_audio": 1}
