"""The report says what was kept and left out, and its pictures show it: also where the fonts lack the script."""

import re
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from asrx import present
from asrx.config import resolve
from asrx.corpus import report
from asrx.corpus.rules import RULES

ENGLISH = {"train": Counter("the quick brown fox " * 30 + "j"), "validation": Counter("quick fox ñ")}
NEPALI = {"train": Counter("राष्\u200dट्रपतिको मानिसहरू " * 30), "validation": Counter("मानिसँ")}


def meta(**changes: Any) -> dict[str, Any]:
    sections = resolve(overrides=["data.max_seconds=12.5"]).sections()
    return {
        "name": "spoken", "source": "/data/spoken.csv", "layout": "table", "language": "ne", "normalizer": "ne/1",
        "splits": {"train": {"utterances": 1500, "hours": 2.5, "shards": 2}, "validation": {"utterances": 480, "hours": 0.75, "shards": 1}},
        "rejected": {"too_long": 15, "silent": 5}, "characters": NEPALI,
        "leakage": {"audio": 3, "speakers": 2, "sentences": 0, "examples": {"speakers": ["anna|b", "`c"], "sentences": []}},
        "config": {name: sections[name] for name in ("data", "text")}, **changes,
    }  # fmt: skip


def picture(path: Path) -> np.ndarray:
    from matplotlib.image import imread

    return imread(path)


def test_the_same_data_draw_the_same_bytes_and_others_do_not(tmp_path: Path) -> None:
    seconds = {"train": np.random.default_rng(0).uniform(1, 9, 500), "validation": np.array([2.0])}
    drawn = []
    for number, longest in enumerate((15.0, 15.0, 5.0)):
        report.durations_figure(tmp_path / f"{number}.png", seconds, (1.0, longest))
        drawn.append((tmp_path / f"{number}.png").read_bytes())
    assert drawn[0] == drawn[1] != drawn[2]
    for number, characters in enumerate((ENGLISH, ENGLISH, NEPALI)):
        report.characters_figure(tmp_path / f"{number}.png", characters)
        drawn.append((tmp_path / f"{number}.png").read_bytes())
    assert drawn[3] == drawn[4] != drawn[5]
    assert picture(tmp_path / "0.png").shape[0] > 300


@pytest.mark.parametrize("seconds", [{}, {"train": np.empty(0)}, {"train": np.array([0.4])}, {"train": np.array([15.0]), "test": np.array([4000.0])}])
def test_odd_corpora_can_be_drawn(tmp_path: Path, seconds: dict[str, np.ndarray]) -> None:
    report.durations_figure(tmp_path / "d.png", seconds, (1.0, 15.0))
    report.characters_figure(tmp_path / "c.png", {name: Counter() for name in seconds})
    assert picture(tmp_path / "d.png").size and picture(tmp_path / "c.png").size


def test_every_duration_falls_into_a_bin() -> None:
    for longest in (0.3, 1.0, 14.99, 15.0, 63.9, 64.0, 1e5):
        edges = report._edges(longest, 15.0)
        assert edges[0] == 0 and edges[-1] > longest and len(edges) <= report.MOST_BINS + 2
    assert {1.0, 15.0} <= set(report._edges(9.0, 15.0))


def test_characters_without_a_font_are_named(tmp_path: Path, recwarn: pytest.WarningsRecorder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "_font_with", lambda missing: None)
    labels, family = report._labels(["a", " ", "क", "ि", "\u0301", "一", "\u200d"])
    assert labels == ["a", "␣", "U+0915 ka", "U+093F vowel sign i", "◌\u0301", "U+4E00", "U+200D"] and family is None
    report.characters_figure(tmp_path / "c.png", NEPALI)
    assert not [warning for warning in recwarn if "missing from font" in str(warning.message)]


def test_a_font_of_placeholders_is_no_font() -> None:
    assert report._font_with(frozenset({0x10FFF0})) is None
    assert report._font_with(frozenset({ord("a")})) not in (None, "Last Resort HE")


def test_the_page_has_every_rule_with_its_bound_and_count() -> None:
    page = report.markdown(meta())
    assert page == report.markdown(meta())
    assert all(f"| `{rule}` |" in page for rule in RULES)
    assert re.search(r"\| `too_long` \|[^|]*data.max_seconds[^|]*\| 12.5 \| 15 \| 0.75% \|", page)
    assert page.index("`too_long` |") < page.index("`silent` |") < page.index("`clipped` |")
    assert "20 of 2,000 utterances" in page and "| total | 1,980 | 3.25 | 3 |" in page
    assert "2 speakers of train" in page and "`anna|b`, `` `c ``" in page


def test_the_page_flags_characters_that_cannot_be_learned() -> None:
    page = report.markdown(meta())
    assert "| `◌ँ` | U+0901 DEVANAGARI SIGN CANDRABINDU | 0 | 1 | not in train |" in page
    assert "| `◌ि` | U+093F DEVANAGARI VOWEL SIGN I | 60 | 1 |  |" in page
    assert "| `\\|` | U+007C VERTICAL LINE |" in report.markdown(meta(characters={"train": {"|": 1}}))
    assert "| `j` | U+006A LATIN SMALL LETTER J | 1 | 0 | rare |" in report.markdown(meta(characters=ENGLISH))


def test_the_summary_warns_where_held_out_and_train_share_something(tmp_path: Path) -> None:
    assert "warning: held-out utterances are not independent of train: 2 speakers" in present.corpus(SimpleNamespace(folder=tmp_path, meta=meta()), False)
    clean = present.corpus(SimpleNamespace(folder=tmp_path, meta=meta(leakage={"audio": 3, "speakers": 0, "sentences": 0})), False)
    assert "warning" not in clean and "too_long 15, silent 5" in clean and "report" not in clean
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "report.md").write_text("")
    assert f"report: {tmp_path / 'report' / 'report.md'}" in present.corpus(SimpleNamespace(folder=tmp_path, meta=meta()), True)
