"""A good total must not hide the accent, the room or the noise that is not understood."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
from conftest import write_rows
from heard import heard, transcription

from asrx.corpus.prepare import Source
from asrx.recognizer.audio import load
from asrx.scoring import slices, snr
from asrx.scoring.significance import ratio_interval


def utterances(count: int, **columns: Callable[[int], str]) -> list[Any]:
    """`count` of them by four speakers, with what each column says of a number."""
    items = []
    for number in range(count):
        said = {name: value for name, tell in columns.items() if (value := tell(number))}
        items.append(heard(f"u{number}", "one two", "one two" if number % 3 else "one", f"s{number % 4}", said))
    return items


def members(found: dict[str, dict[str, np.ndarray]], column: str) -> dict[str, list[int]]:
    return {value: indices.tolist() for value, indices in found[column].items()}


def test_every_column_divides_the_utterances_by_its_values() -> None:
    found = slices.of(utterances(12, gender=lambda n: "fm"[n % 2], room=lambda n: ["hall", "car", ""][n % 3]))
    assert members(found, "gender") == {"f": [0, 2, 4, 6, 8, 10], "m": [1, 3, 5, 7, 9, 11]}
    assert members(found, "room") == {"car": [1, 4, 7, 10], "hall": [0, 3, 6, 9]}  # who says nothing is in none


def test_every_column_of_a_parquet_table_comes_along(tmp_path: Path) -> None:
    rooms = {"room": ["hall", None], "sex": ["f", "m"], "votes": [2.5, float("nan")]}
    table = tmp_path / "rooms.parquet"
    pandas.DataFrame({"path": ["a.wav", "b.wav"], "text": ["one", "two"], "speaker": ["s1", "s2"], **rooms}).to_parquet(table)
    assert [row.slices for row in Source(str(table)).rows(siblings=False)] == [{"gender": "f", "room": "hall", "votes": "2.5"}, {"gender": "m"}]


def test_columns_that_divide_nothing_are_left_out() -> None:
    found = slices.of(utterances(100, id=lambda n: f"id-{n}", line=lambda n: "", locale=lambda n: "en", take=lambda n: f"take {n % 45}"))
    assert list(found) == []
    assert list(slices.of(utterances(100, locale=lambda n: "en" if n % 2 else ""))) == ["locale"]


def test_numbers_of_many_values_become_quarters_and_few_stay() -> None:
    found = slices.of(utterances(100, votes=lambda n: str(n % 3), pitch=lambda n: f"{100 + n}.5"))
    assert list(found["votes"]) == ["0", "1", "2"]
    assert [len(indices) for indices in found["pitch"].values()] == [25, 25, 25, 25]
    assert list(found["pitch"])[0] == "below 125.25" and sorted(np.concatenate(list(found["pitch"].values()))) == list(range(100))


def test_bands_of_duration_and_noise() -> None:
    seconds, noise = [1.99, 2, 7, 7, 25, 0], [5, None, 15, 10, 45, None]
    items = [heard(f"u{n}", "a", "a", seconds=length, snr=level, error="" if length else "gone") for n, (length, level) in enumerate(zip(seconds, noise))]
    found = slices.of([*items, *items])
    assert {value: len(indices) for value, indices in found["duration"].items()} == {"below 2 s": 2, "2 to 5 s": 2, "5 to 10 s": 4, "20 s and more": 2}
    assert {value: len(indices) for value, indices in found["estimated SNR"].items()} == {"below 10 dB": 2, "10 to 20 dB": 4, "40 dB and more": 2}


def test_a_slice_is_scored_by_its_own_words_and_speakers() -> None:
    result = transcription(utterances(24, gender=lambda n: "fm"[n % 2]))
    found = {item.value: item for item in slices.score(result) if item.column == "gender"}
    inside = range(0, 24, 2)
    expected = ratio_interval([int(n % 3 == 0) for n in inside], [2] * 12, [f"s{n % 4}" for n in inside])
    assert (found["f"].utterances, found["f"].words, found["f"].speakers) == (12, 24, 2)
    assert (found["f"].wer, found["f"].low, found["f"].high) == (expected.rate, expected.low, expected.high)
    assert expected.rate == pytest.approx(4 / 24)


def test_a_slice_without_words_or_speakers_has_no_figures_made_up() -> None:
    items = [heard(f"u{n}", "" if n % 2 else "a", "b", slices={"kind": "noise" if n % 2 else "speech"}) for n in range(8)]
    noise, speech = sorted((item for item in slices.score(transcription(items)) if item.column == "kind"), key=lambda item: item.value)
    assert (noise.utterances, noise.words, noise.speakers, noise.wer, noise.low) == (4, 0, 0, None, None)
    assert (speech.words, speech.speakers, speech.wer, speech.low) == (4, 0, 1, 1)  # utterances stand for speakers


@pytest.fixture(scope="module")
def clips(recordings: Path) -> list[np.ndarray]:
    return [load(path).samples for path in sorted(recordings.glob("clips/*"))[:8]]


def with_noise(samples: np.ndarray, decibels: float) -> np.ndarray:
    noise = np.random.default_rng(0).standard_normal(len(samples))
    return (samples + noise * np.sqrt(np.mean(np.square(samples)) / 10 ** (decibels / 10))).astype(np.float32)


def test_added_noise_is_estimated_at_its_level(clips: list[np.ndarray]) -> None:
    levels = [0, 5, 10, 15, 20, 25]
    estimates = np.array([[snr.estimate(with_noise(samples, level)) for level in levels] for samples in clips])
    assert len(clips) == 8 and (np.diff(estimates, axis=1) > 2).all()  # every clip, every step
    assert np.abs(np.mean(estimates, axis=0) - levels).max() < 3


def test_levels_and_silence_do_not_look_like_noise(clips: list[np.ndarray]) -> None:
    noisy = with_noise(clips[0], 12)
    assert snr.estimate(noisy * 0.1) == pytest.approx(snr.estimate(noisy), abs=0.1)
    assert snr.estimate(np.zeros(16_000, np.float32)) is None and snr.estimate(noisy[:1_600]) is None and snr.estimate(noisy[:0]) is None
    assert snr.estimate(np.random.default_rng(0).standard_normal(32_000).astype(np.float32)) < 0
    padded = np.concatenate([np.zeros(8_000, np.float32), clips[0]])
    assert 20 < snr.estimate(padded) <= 60


def test_evaluate_tells_what_the_table_and_the_audio_say(asrx: Any, letter_model: Any, held_out: Path, tmp_path: Path) -> None:
    """A column of the user's own, and the accents of the recordings; the model hears `a` in everything."""
    with held_out.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    rows = [{**row, "microphone": "far" if row["sentence"] == "b" or n % 5 == 0 else "near", "words": "own"} for n, row in enumerate(rows)]
    table = write_rows(tmp_path / "rooms.csv", rows)
    out = tmp_path / "out"
    scores = json.loads(asrx("evaluate", "--json", "--model", letter_model("a"), "--csv", table, "--out", out).out)
    found = {item["value"]: item for item in scores["slices"] if item["column"] == "microphone"}
    assert found["near"]["wer"] == 0 and found["far"]["wer"] > scores["wer"] and found["near"]["utterances"] + found["far"]["utterances"] == 18
    assert scores["confusions"] == [{"kind": "substitution", "reference": "b", "hypothesis": "a", "count": 7}]
    assert scores["speakers"] == 6 and scores["wer_low"] < scores["wer"] == scores["mer"] < scores["wer_high"]
    assert scores["calibration_error"] is not None and scores["casing_error_rate"] is None and scores["silences"] == 0
    with (out / "utterances.csv").open(newline="") as file:
        written = list(csv.DictReader(file))
    assert {row["microphone"] for row in written} == {"near", "far"} and written[0]["words"] == "1" and written[0]["words (table)"] == "own"
    assert all(-10 <= float(row["snr"]) <= 60 for row in written)
    for name in ("slices.csv", "confusions.csv"):
        with (out / name).open(newline="") as file:
            assert len(list(csv.DictReader(file))) == len(scores[name.removesuffix(".csv")])
    told = asrx("evaluate", "--model", letter_model("a"), "--csv", table).out
    assert "95 % interval" in told and "confidence is off by" in told and "hallucinations" not in told
