"""Hypotheses that look invented are marked one by one, and honest ones are not."""

from typing import Any

import pytest
from heard import heard, transcription

from asrx.hallucination import flags
from asrx.scoring.evaluate import utterance_rows

DEVANAGARI = "यो घर हो र म काठमाडौंमा बस्छु तर मेरो साथी पोखरामा बस्छ"


@pytest.mark.parametrize(("reference", "hypothesis", "expected"), [
    ("", "thanks for watching", ("on silence",)),
    ("", "bye bye bye", ("repeats", "on silence")),
    ("", "", ()),
    ("one", "", ()),
    ("yes", "yes he said", ()),
    ("yes", "yes he said so", ("too long",)),
    ("open the door please", "open the door please and the window too now", ("too long",)),
    ("open the door please", "open the door please and the window too", ()),
    ("no no no", "no no no", ()),
    ("so", "so very very very very", ("repeats", "too long")),
    ("我想", "我想喝水吧", ("too long",)),
    (DEVANAGARI, DEVANAGARI, ()),
    (DEVANAGARI, DEVANAGARI.replace("तर", "र"), ()),
])  # fmt: skip
def test_what_marks_a_hypothesis(reference: str, hypothesis: str, expected: tuple[str, ...]) -> None:
    assert flags(reference, hypothesis) == expected


def test_utterances_are_marked_in_their_table() -> None:
    rows: list[dict[str, Any]] = utterance_rows(transcription([heard("a", "…", "Thank you!"), heard("b", "One, two.", "one two", snr=12.345)]))
    assert [(row["id"], row["flags"], row["snr"]) for row in rows] == [("a", "on silence", None), ("b", "", 12.3)]
