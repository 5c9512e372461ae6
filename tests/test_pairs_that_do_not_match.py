"""A comparison of two models is one of the same utterances, or an error."""

from typing import Any

import pytest
from heard import heard, transcription

from asrx.errors import InputError
from asrx.scoring.pairs import matched

REFERENCES = {"u1": "one two", "u2": "three", "u3": "", "u4": "four five", "u5": "six"}


def side(*names: str, said: str = "one", **changes: Any) -> Any:
    """Utterances by name; `changes` replaces one of them by (reference, hypothesis, fields of Heard)."""
    items = [heard(name, REFERENCES[name], said) for name in names or REFERENCES]
    return transcription([heard(item.row.id, *changes[item.row.id]) if item.row.id in changes else item for item in items])


def test_pairs_are_matched_by_id_and_not_by_place() -> None:
    old, new = matched(side(*reversed(REFERENCES), said="old"), side("u2", "u5", "u1", "u3", "u4", said="new"))
    assert [item.row.id for item in old.heard] == [item.row.id for item in new.heard] == ["u2", "u5", "u1", "u3", "u4"]
    assert {item.hypothesis for item in old.heard} == {"old"} and {item.hypothesis for item in new.heard} == {"new"}


@pytest.mark.parametrize(("old", "new", "complaint"), [
    (side("u1", "u2"), side("u1", "u2", "u2"), "the candidate has u2 more than once"),
    (side("u1", "u1", "u2"), side("u1", "u2"), "the baseline has u1 more than once"),
    (side("u1"), side("u1", "u2"), "the baseline has no transcript of u2"),
    (side(), side("u1"), "the candidate has no transcript of u2, u3, u4 and 1 more"),
    (side("u1"), side("u1", u1=("one two", None)), "what the candidate heard in u1 is no text"),
    (side("u1", u1=("one two", float("nan"))), side("u1"), "what the baseline heard in u1 is no text"),
    (side("u1", u1=(float("nan"), "one")), side("u1"), "the reference that the baseline has for u1 is no text"),
    (side("u1"), side("u1", u1=("one too", "one")), "the references of the two sides differ for u1"),
])  # fmt: skip
def test_what_does_not_match_is_named_and_refused(old: Any, new: Any, complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        matched(old, new)


def test_another_recording_under_the_same_id_is_refused() -> None:
    other = transcription([heard("u1", "one two", "one", audio_digest="of something else")])
    with pytest.raises(InputError, match="different audio for u1"):
        matched(side("u1"), other)


def test_a_failed_transcription_is_heard_as_nothing_and_reported() -> None:
    failed = transcription([heard("u1", "one two", "left over", audio_digest="", error="the audio has ended")])
    old, new = matched(failed, side("u1", said="one two"))
    assert old.counts[0].deletions == 2 and [item.row.id for item in old.failed] == ["u1"]
    assert new.total.errors == 0 and not new.failed
