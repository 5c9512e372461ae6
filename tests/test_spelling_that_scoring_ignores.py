"""Case and punctuation, which the scoring form takes away, are measured beside it."""

import pytest

from asrx.scoring.confusions import count
from asrx.scoring.orthography import rates


def test_casing_is_judged_on_words_that_are_right() -> None:
    found = rates(["The Danube flows", "In Wien there"], ["the Danube flowed", "in wien THERE"])
    assert found.casing_error_rate == pytest.approx(4 / 5)  # flowed is another word
    assert found.punctuation_error_rate is None


@pytest.mark.parametrize("references", [["all lower", "case"], ["ALL UPPER", "CASE"], ["यो घर हो", "कि"], ["12 3", ""], []])
def test_references_without_case_judge_no_casing(references: list[str]) -> None:
    assert rates(references, ["Something Else"] * len(references)).casing_error_rate is None


@pytest.mark.parametrize(("hypothesis", "wrong", "marks"), [
    ("Well, is it? Yes.", 0, 3),
    ("well is it yes", 3, 3),
    ("Well, is it. Yes.", 1, 3),
    ("Well, is, it? Yes.", 1, 4),
    ("Well, was it? Yes.", 0, 3),
    ("Well, is it?", 1, 3),  # the missing word takes its full stop along
    ("Well , is it ? Yes …", 0, 3),
    ("Well, is it?? Yes...", 0, 3),
])  # fmt: skip
def test_marks_between_words_are_compared_where_they_stand(hypothesis: str, wrong: int, marks: int) -> None:
    assert rates(["Well, is it? Yes."], [hypothesis]).punctuation_error_rate == pytest.approx(wrong / marks)


def test_marks_of_other_scripts() -> None:
    assert rates(["यो घर हो। किन?"], ["यो घर हो। किन।"]).punctuation_error_rate == 0.5
    assert rates(["¿Qué? ¡No!"], ["Qué? No!"]).punctuation_error_rate == 0.5
    assert rates(["你好，世界。"], ["你好，世界"]).punctuation_error_rate == 0.5


def test_punctuation_inside_words_is_no_mark() -> None:
    assert rates(["it's 3.5 km, well-known"], ["it's 3.5 km, well-known"]).punctuation_error_rate == 0
    assert rates(["it's 3.5"], ["its"]).punctuation_error_rate is None


def test_rates_are_pooled_and_none_is_left_out() -> None:
    assert rates(["A b.", "c d e f."], ["A b", "c d e f."]).punctuation_error_rate == 0.5
    with pytest.raises(ValueError):
        rates(["A."], [])


def test_confusions_are_counted_word_for_word() -> None:
    found = count(["she had your dark suit", "dark suit", "wash water", "a"], ["she had you ark soup", "dark soup", "wash", "a b"])
    listed = [(item.kind, item.reference, item.hypothesis, item.count) for item in found]
    assert listed == [
        ("substitution", "suit", "soup", 2), ("deletion", "water", "", 1), ("insertion", "", "b", 1), ("substitution", "dark", "ark", 1),
        ("substitution", "your", "you", 1),
    ]  # fmt: skip


def test_confusions_of_a_script_without_spaces_are_characters() -> None:
    found = count(["我想喝水", "ไป"], ["我向喝水", "ไป"])
    assert [(item.kind, item.reference, item.hypothesis) for item in found] == [("substitution", "想", "向")]


def test_confusions_of_silence() -> None:
    assert [(item.kind, item.hypothesis, item.count) for item in count(["", "", ""], ["thank you", "you", ""])] == [
        ("insertion", "you", 2), ("insertion", "thank", 1),
    ]  # fmt: skip
    assert count(["a"], ["a"]) == count([], []) == []
