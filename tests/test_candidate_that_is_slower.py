"""Speed is a ratio of two models that took turns on the same audio: a busy machine, a cold start or long recordings do not pass for a slow model."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from asrx import recognizer
from asrx.recognizer.audio import SAMPLE_RATE, load
from asrx.scoring import speed


class Repeated:
    """A recognizer that does everything so many times."""

    def __init__(self, model: Any, times: int) -> None:
        self.model, self.times = model, times

    def recognize(self, utterances: list[np.ndarray]) -> Any:
        return [self.model.recognize(utterances) for _ in range(self.times)][0]


class Noted:
    """A recognizer that hears nothing and notes how much it was asked in a diary that two of them share."""

    def __init__(self, name: str, diary: list[tuple[str, int]]) -> None:
        self.name, self.diary = name, diary

    def recognize(self, utterances: list[np.ndarray]) -> list[Any]:
        self.diary.append((self.name, sum(map(len, utterances))))
        return []


def test_a_model_that_takes_four_times_as_long_is_found_out(recordings: Path, letter_model: Callable[[str], Path]) -> None:
    with (recordings / "test.csv").open(encoding="utf-8", newline="") as file:
        clips = [load(recordings / row["path"]).samples for row in csv.DictReader(file)][:2]
    model = recognizer.load(letter_model("a"), "cpu")
    found = speed.measure(model, Repeated(model, 4), clips, rounds=7)
    assert 0.05 < found.ratio < 0.6 and found.ratio < found.upper < 0.9
    assert found.candidate_rtfx / found.baseline_rtfx == pytest.approx(found.ratio) and found.rounds == 7
    assert found.seconds == pytest.approx(sum(map(len, clips)) / SAMPLE_RATE, abs=0.001)
    assert speed.measure(Repeated(model, 4), model, clips).ratio > 1.5


def test_both_warm_up_and_take_turns_on_a_minute_at_most() -> None:
    diary: list[tuple[str, int]] = []
    samples = [np.zeros(seconds * SAMPLE_RATE, np.float32) for seconds in (0, 2, 50, 50)]
    found = speed.measure(Noted("old", diary), Noted("new", diary), samples)
    assert {asked for _, asked in diary} == {60 * SAMPLE_RATE} and (found.seconds, found.rounds) == (60, 5)
    assert [name for name, _ in diary] == ["old", "new"] + (["old", "new", "new", "old"] * 3)[:10]


def test_the_bound_is_that_of_students_t_on_logarithms(monkeypatch: pytest.MonkeyPatch) -> None:
    from scipy import stats

    took = iter([(2.0, 1.0), (4.0, 2.5), (1.0, 0.5), (3.0, 1.2), (2.0, 1.1)])
    monkeypatch.setattr(speed, "_round", lambda *_: next(took))
    found = speed.measure(Noted("old", []), Noted("new", []), [np.zeros(SAMPLE_RATE, np.float32)])
    logs = np.log([2, 1.6, 2, 2.5, 2 / 1.1])
    assert found.ratio == pytest.approx(np.exp(logs.mean()))
    assert found.upper == pytest.approx(np.exp(logs.mean() + stats.t.ppf(0.95, 4) * stats.sem(logs)))


def test_no_audio_gives_no_figure_and_few_rounds_no_interval() -> None:
    assert speed.measure(Noted("old", []), Noted("new", []), [np.zeros(0, np.float32)]) is None
    with pytest.raises(ValueError, match="too few"):
        speed.measure(Noted("old", []), Noted("new", []), [np.zeros(SAMPLE_RATE, np.float32)], rounds=4)
