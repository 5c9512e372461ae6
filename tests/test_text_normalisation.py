"""Words that a normaliser must not break, and marks that must not make a difference."""

import doctest
import pickle
import unicodedata

import pytest

import asrx.text
from asrx.config import resolve
from asrx.errors import ConfigError
from asrx.text import NORMALIZERS, TranscriptNormalizer, score_text

EXAMPLES = [(name, given, expected) for name, rules in NORMALIZERS.items() for given, expected in rules.examples]


def test_the_documented_examples_hold() -> None:
    assert doctest.testmod(asrx.text).failed == 0


@pytest.mark.parametrize(("name", "given", "expected"), EXAMPLES)
def test_each_normaliser_gives_what_its_examples_say(name: str, given: str, expected: str) -> None:
    normalizer = pickle.loads(pickle.dumps(TranscriptNormalizer(name)))
    assert normalizer(given) == unicodedata.normalize("NFC", expected)
    assert normalizer(normalizer(given)) == normalizer(given)


@pytest.mark.parametrize(("overrides", "name"), [
    ([], "en/1"), (["text.language=ne"], "ne/1"), (["text.language=it-IT"], "it/1"), (["text.language=sw"], "basic/1"),
    (["text.language=ne", "text.normalizer=basic"], "basic/1"),
])  # fmt: skip
def test_the_normaliser_is_that_of_the_language_or_the_one_asked_for(overrides: list[str], name: str) -> None:
    assert TranscriptNormalizer.from_config(resolve(overrides=overrides).text).name == name


@pytest.mark.parametrize("name", NORMALIZERS)
def test_every_normaliser_can_be_asked_for(name: str) -> None:
    assert TranscriptNormalizer.from_config(resolve(overrides=[f"text.normalizer={name}"]).text).name.startswith(f"{name}/")


def test_joiners_are_kept_only_where_they_shape_a_conjunct() -> None:
    nepali = TranscriptNormalizer("ne")
    assert nepali("गर्\u200dयो") == "गर्\u200dयो" and nepali("श्रीमान्\u200cको") == "श्रीमान्\u200cको"
    assert nepali("का\u200dम") == "काम" and nepali("छन्\u200d । छ") == "छन् छ" and nepali("छन्\u200c") == "छन्"


def test_digits_of_either_script() -> None:
    assert TranscriptNormalizer("ne", digits="ascii")("कक्षा १२, ३") == "कक्षा 12 3"
    assert TranscriptNormalizer("ne", digits="native")("कक्षा 12, ३") == "कक्षा १२ ३"
    assert TranscriptNormalizer("ne")("कक्षा 12, ३") == "कक्षा 12 ३"
    with pytest.raises(ConfigError, match="text.digits=native.*'it'.*ne"):
        TranscriptNormalizer.from_config(resolve(overrides=["text.digits=native", "text.language=it"]).text)


@pytest.mark.parametrize("word", ["कि", "की", "जान्छु", "गाविसहरूको", "लेखसँग", "क़लम"])
def test_devanagari_combining_marks_are_kept(word: str) -> None:
    expected = unicodedata.normalize("NFC", word)
    for language in ("ne", "hi", "en", "sw"):
        assert TranscriptNormalizer(language)(word) == expected
    assert score_text(word) == expected
    assert score_text("कि") != score_text("की")


@pytest.mark.parametrize("mark", "’‘ʼ＇`´'")
def test_every_apostrophe_inside_a_word_is_the_same(mark: str) -> None:
    assert TranscriptNormalizer()(f"Don{mark}t") == "Don't"
    assert score_text(f"Don{mark}t") == "don't"
    assert score_text(f"n̈{mark}a") == "n̈'a"


@pytest.mark.parametrize(("text", "clean"), [
    ("‘Hello’, she said.", "Hello she said"), ("the dogs’ bowl", "the dogs bowl"), ("Twenty-five", "Twenty five"), ("wait…what?", "wait what"),
    ("a|b", "a b"), ("  two\u00a0 \twords\n", "two words"), ("Ünïcödé", "Ünïcödé"), ("?!…", ""), ("—", ""), ("", ""),
])  # fmt: skip
def test_transcripts_lose_marks_and_keep_their_casing(text: str, clean: str) -> None:
    assert TranscriptNormalizer("en")(text) == clean


def test_danda_parts_sentences_in_nepali() -> None:
    assert TranscriptNormalizer("ne")("राम्रो हो।म जान्छु॥") == "राम्रो हो म जान्छु"


def test_options_decide_what_goes_and_the_case() -> None:
    assert TranscriptNormalizer("en", ignore="x")("axb, c.") == "ab, c."
    assert TranscriptNormalizer("en", ignore="")("a-b!") == "a-b!"
    assert TranscriptNormalizer("en", case="upper")("Straße") == "STRASSE"
    assert TranscriptNormalizer("en", case="lower")("ABC") == "abc"


@pytest.mark.parametrize(("one", "other"), [
    ("twenty-five", "twenty five"), ("snake_case", "snake case"), ("no\u00a0break", "no break"), ("tab\there", "tab here"), ("HELLO", "hello"),
    ("straße", "STRASSE"), ("cafe\u0301", "café"), ("either/or", "either or"), ("“quoted”", "quoted"), ("a\u200bb", "ab"), ("dogs’", "dogs"), ("1,000", "1000"),
])  # fmt: skip
def test_forms_that_score_alike(one: str, other: str) -> None:
    assert score_text(one) == score_text(other)


@pytest.mark.parametrize(("one", "other"), [("we're", "were"), ("resume", "résumé"), ("twenty five", "twentyfive"), ("a b", "ab")])
def test_forms_that_score_differently(one: str, other: str) -> None:
    assert score_text(one) != score_text(other)


def test_normalising_twice_changes_nothing() -> None:
    for text in ("İstanbul’un ŒUVRE ﬁn", "‘a’b’ – c_d… e|f", "क़ि’की॥"):
        assert score_text(score_text(text)) == score_text(text)
        assert TranscriptNormalizer("ne")(TranscriptNormalizer("ne")(text)) == TranscriptNormalizer("ne")(text)
