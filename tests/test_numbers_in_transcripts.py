"""Numbers in digits whose spoken form is known, and those where a guess would be a wrong label."""

import doctest
import unicodedata

import pytest

from asrx import devanagari, numerals
from asrx.config import resolve
from asrx.corpus.rules import Rules
from asrx.devanagari import HINDI, NEPALI, Counting
from asrx.errors import ConfigError
from asrx.numerals import spell
from asrx.text import TranscriptNormalizer


def test_the_documented_examples_hold() -> None:
    assert doctest.testmod(numerals).failed == 0 and doctest.testmod(devanagari).failed == 0


@pytest.mark.parametrize(("language", "written", "spoken"), [
    ("en", "42", "forty two"), ("en", "0", "zero"), ("en", "1,000", "one thousand"), ("en", "12,345", "twelve thousand three hundred and forty five"),
    ("en", "1,00,000", "one hundred thousand"), ("en", "10\u00a0000", "ten thousand"), ("en-GB", "7", "seven"),
    ("en", "3.5", "three point five"), ("en", "3.50", "three point five zero"), ("en", "0.5", "zero point five"),
    ("en", "1,000.25", "one thousand point two five"),
    ("en", "10%", "ten percent"), ("en", "2.5 %", "two point five percent"), ("en", "it is -5 now", "it is minus five now"),
    ("en", "−5", "minus five"),
    ("en", "1st 2nd 3rd 11th 1,000th", "first second third eleventh one thousandth"), ("en", "1ST", "first"),
    ("en", "in 1984 and 2024", "in nineteen eighty four and twenty twenty four"), ("en", "2005", "two thousand and five"),
    ("en", "1,984", "one thousand nine hundred and eighty four"),
    ("en", "the 1990s, the ’60s", "the nineteen nineties the sixties"), ("en", "007", "zero zero seven"),
    ("en", "1234567890", "one two three four five six seven eight nine zero"),
    ("en", "mp3 B2B 3D COVID-19 20-year-old", "mp three B two B three D COVID nineteen twenty year old"), ("en", "(5) “7”.", "five seven"),
    ("it", "1.000", "mille"), ("it", "3,5", "tre virgola cinque"), ("it", "1º 2ª", "primo seconda"), ("it", "l’8%", "l'otto per cento"),
    ("it", "1984", "millenovecentottantaquattro"),
    ("de", "1984", "neunzehnhundertvierundachtzig"), ("fr", "80", "quatre vingts"), ("fr", "1er 2e", "premier deuxième"),
    ("fi", "42", "neljäkymmentäkaksi"),
    ("ne", "१,२३,४५६", "एक लाख तेइस हजार चार सय छपन्न"), ("ne", "20", "बीस"), ("ne", "३.५", "तीन दशमलव पाँच"), ("ne", "१०%", "दस प्रतिशत"),
    ("ne", "२०८१", "दुई हजार एकासी"),
    ("ne", "५०को ५औं", "पचासको पाँचौं"), ("ne", "कक्षा१०", "कक्षा दस"), ("ne", "००७", "शून्य शून्य सात"),
    ("ne", "100000000000", "एक शून्य शून्य शून्य शून्य शून्य शून्य शून्य शून्य शून्य शून्य शून्य"),
    ("hi", "1984", "उन्नीस सौ चौरासी"), ("hi", "10वीं", "दसवीं"), ("hi", "1,00,00,000", "एक करोड़"), ("hi", "-5", "माइनस पाँच"),
])  # fmt: skip
def test_numbers_are_spelled_as_they_are_spoken(language: str, written: str, spoken: str) -> None:
    assert TranscriptNormalizer(language, digits="words")(written) == unicodedata.normalize("NFC", spoken)


@pytest.mark.parametrize(("language", "written"), [
    ("en", "10:30"), ("en", "1/2"), ("en", "3-5"), ("en", "2020-05-12"), ("en", "555-1234"), ("en", "$5"), ("en", "5€"), ("en", "20°"),
    ("en", "5km"), ("en", "1.2.3"),
    ("en", "100,00"), ("en", "#1"), ("en", ".5"), ("en", "12,345,678,901,234"), ("en", "½"), ("en", "m²"),
    ("it", "3.5"), ("de", "am 5. Mai"), ("vi", "3.5"), ("vi", "-5"), ("ja", "3月"), ("sw", "5%"),
])  # fmt: skip
def test_a_number_whose_reading_is_not_known_is_left_out_with_its_utterance(language: str, written: str) -> None:
    text = TranscriptNormalizer(language, digits="words")(written)
    rejected = Rules.from_config(resolve(overrides=["text.digits=words"])).of_text(written, text)
    assert rejected and rejected.rule == "unspellable_number" and any(character in rejected.reason for character in written if character.isnumeric())
    assert Rules.from_config(resolve()).of_text(written, text) is None


def test_a_language_without_numerals_is_refused_with_those_that_have_them() -> None:
    with pytest.raises(ConfigError, match="text.digits=words: numbers cannot be spelled in 'zz'.*languages: .*en.*hi.*it.*ne"):
        TranscriptNormalizer.from_config(resolve(overrides=["text.digits=words", "text.language=zz"]).text)


@pytest.mark.parametrize("counting", [NEPALI, HINDI])
def test_a_number_is_never_the_words_of_another(counting: Counting) -> None:
    numbers = [*range(0, 20_000), *(number for power in range(5, 13) for number in (10**power - 1, 10**power, 10**power + 1, 99 * 10 ** (power - 1)))]
    assert len({counting.cardinal(number) for number in numbers}) == len(set(numbers))
    assert all(unicodedata.is_normalized("NFC", word) for word in counting.below_hundred)


def test_text_without_numbers_is_not_touched() -> None:
    text = "Nothing to count: one, two – ‘three’!"
    assert spell(text, "en") == text
