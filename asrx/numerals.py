"""Numbers written in digits, as they are spoken."""

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache

from .devanagari import HINDI, LARGEST, NEPALI, Counting
from .errors import ConfigError, nearest

LONGEST = 9  # digits; longer ones without marks between them are telephone and account numbers
LARGEST_GROUPED = 10**13  # numbers above it are not read as one


@dataclass(frozen=True)
class Reading:
    """What is said around the words of a number in one language."""

    point: str = ""  # the decimal mark
    minus: str = ""
    percent: str = ""
    decimal: str = "."  # how the decimal mark is written; the other of . and , parts thousands
    years: range = range(0)  # four digits that are read in hundreds
    ordinal: str = r"(?!)"  # what is written behind the digits of an ordinal
    plural: str = r"(?!)"  # and behind those of decades


READINGS = {
    "en": Reading("point", "minus", "percent", ".", range(1100, 2100), r"(?i:st|nd|rd|th)", r"[’']?[sS]"),
    "it": Reading("virgola", "meno", "per cento", ",", ordinal="[ºª]"),
    "es": Reading("coma", "menos", "por ciento", ",", ordinal="[ºª]"),
    "pt": Reading("vírgula", "menos", "por cento", ",", ordinal="[ºª]"),
    "fr": Reading("virgule", "moins", "pour cent", ",", ordinal="er|e|ème"),
    "de": Reading("Komma", "minus", "Prozent", ",", range(1100, 2000)),
    "hi": Reading("दशमलव", "माइनस", "प्रतिशत", ".", range(1100, 2000)),
    "ne": Reading("दशमलव", "माइनस", "प्रतिशत", ".", range(1100, 2000)),
}
COUNTED: dict[str, Counting] = {"hi": HINDI, "ne": NEPALI}  # that num2words lacks
ORDINAL_POINT = frozenset("cs da de fi hu is lv no pl sk sl sr tr".split())  # "5." before a word is an ordinal, or ends a sentence

LETTER = r"[^\W\d_]|[\u0900-\u0963\u0971-\u097f\u200c\u200d]"  # marks of Devanagari are none to `re`
NUMBER = re.compile(
    rf"(?P<sign>(?<![^\s(\[\"“‘])[-−])?(?P<number>\d+(?:[.,:/⁄'’–−-]\d+|[\u00a0\u202f]\d{{3}}(?!\d))*)(?:(?P<percent>\s?%)|(?P<suffix>(?:[’']s\b|(?:{LETTER})+)))?"
)
CHANGE_READING = frozenset("#@*&\\_§‰")  # beside a number; so do symbols (currencies, +, =, °)
DEVANAGARI = re.compile(r"[\u0900-\u097f]")


class Unspellable(ValueError):
    """A number whose spoken form cannot be known."""


def base_language(language: str) -> str:
    """`en` of `en-GB` or `en_US`."""
    return re.split("[-_]", language.lower())[0]


def check(language: str) -> None:
    """ConfigError if numbers cannot be spelled in `language`."""
    from num2words import CONVERTER_CLASSES

    known = sorted({*COUNTED, *map(base_language, CONVERTER_CLASSES)})
    if base_language(language) not in known:
        raise ConfigError(f"text.digits=words: numbers cannot be spelled in '{language}'{nearest(language, known)}; languages: {', '.join(known)}")


def spell(text: str, language: str) -> str:
    """`text` with its numbers in words of `language`. Digits stay where it cannot be known what was said.

    Spelled: whole numbers ("42", "1,000", in Italian "1.000", in Nepali "१,००,०००"), decimals ("3.5"), per cent, negative ones,
    ordinals ("1st", "2º"), years of English, German, Hindi and Nepali ("1984"), English decades ("1990s"), digits after letters ("mp3") and
    before a capital or within a code ("3D", "B2B"). Digit by digit: a leading zero ("007") and more than nine digits without marks.
    Left as digits: times, dates, fractions, ranges ("10:30", "1/2", "3-5"), sums of money ("$5"), units ("5km"), and whatever
    else is written beside a number that changes its reading.

    >>> spell("On the 2nd, 1,234 people ran 3.5 miles", "en")
    'On the second, one thousand two hundred and thirty-four people ran three point five miles'
    """
    language = base_language(language)
    return NUMBER.sub(lambda match: _replacement(match, language), text)


def _replacement(match: re.Match[str], language: str) -> str:
    try:
        words = _with_suffix(match, language)
    except Unspellable:
        return match[0]
    text, start, end = match.string, match.start(), match.end()
    before = " " if start and not match["sign"] and _is_letter(text[start - 1]) else ""
    return before + words + (" " if end < len(text) and text[end].isalnum() else "")


def _with_suffix(match: re.Match[str], language: str) -> str:
    reading, suffix = READINGS.get(language, Reading()), match["suffix"] or ""
    _check_neighbours(match, language)
    digits = "".join(str(unicodedata.decimal(character)) if character.isdecimal() else character for character in match["number"])
    if re.fullmatch(reading.ordinal, suffix):
        return _ordinal(_whole(digits, reading, language), language, feminine=suffix == "ª")
    words = _signed(digits, bool(match["sign"]), reading, language)
    if match["percent"]:
        return f"{words} {_known(reading.percent)}"
    if re.fullmatch(reading.plural, suffix):
        return re.sub("y$", "ie", re.sub("x$", "xe", words)) + "s"
    if language in COUNTED and DEVANAGARI.match(suffix):
        return _joined(words, suffix)
    coded = bool(match.start()) and _is_letter(match.string[match.start() - 1])
    if suffix and not (len(suffix) == 1 and (suffix.isupper() or coded)):
        raise Unspellable
    return f"{words} {suffix}".rstrip()


def _check_neighbours(match: re.Match[str], language: str) -> None:
    text, start, end = match.string, match.start(), match.end()
    before, after = text[:start][-2:], text[end : end + 1]
    for character in (before[-1:], after):
        if character in CHANGE_READING and character or (character and character != "|" and unicodedata.category(character)[0] == "S"):
            raise Unspellable
    if before[-1:] in (".", ",") and not before[:-1].isalpha():
        raise Unspellable  # .5
    if language in ORDINAL_POINT and not match["suffix"] and re.match(r"\.\s*\w", text[end : end + 8]):
        raise Unspellable


def _signed(digits: str, negative: bool, reading: Reading, language: str) -> str:
    whole, mark, fraction = digits.partition(reading.decimal)
    if not mark:
        words = _plain(digits, reading, language)
    elif fraction.isdecimal():
        words = f"{_cardinal(_whole(whole, reading, language), language)} {_known(reading.point)} {_one_by_one(fraction, language)}"
    else:
        raise Unspellable
    return f"{_known(reading.minus)} {words}" if negative else words


def _plain(digits: str, reading: Reading, language: str) -> str:
    if digits.isdecimal() and (len(digits) > LONGEST or (digits[0] == "0" and len(digits) > 1)):
        return _one_by_one(digits, language)
    number = _whole(digits, reading, language)
    if digits.isdecimal() and number in reading.years:
        return COUNTED[language].year(number) if language in COUNTED else _from_library(number, language, "year")
    return _cardinal(number, language)


def _whole(digits: str, reading: Reading, language: str) -> int:
    """The value of digits with or without marks between thousands, or between lakhs and crores."""
    mark = "." if reading.decimal == "," else ","
    grouped = rf"\d{{1,3}}(?:[{mark}\u00a0\u202f]\d{{3}})+"
    if language in ("en", *COUNTED):
        grouped += r"|\d{1,2}(?:,\d\d)+,\d{3}"
    if not digits.isdecimal() and not re.fullmatch(grouped, digits):
        raise Unspellable
    number = int(re.sub(r"\D", "", digits))
    if number >= LARGEST_GROUPED:
        raise Unspellable
    return number


def _one_by_one(digits: str, language: str) -> str:
    return " ".join(_cardinal(int(digit), language) for digit in digits)


def _cardinal(number: int, language: str) -> str:
    if language in COUNTED:
        return COUNTED[language].cardinal(min(number, LARGEST))
    return _from_library(number, language, "cardinal")


def _ordinal(number: int, language: str, feminine: bool) -> str:
    words = _from_library(number, language, "ordinal")
    return re.sub(r"o\b", "a", words) if feminine else words


@lru_cache(maxsize=100_000)
def _from_library(number: int, language: str, form: str) -> str:
    from num2words import num2words

    try:
        words = num2words(number, lang=language, to=form).replace(",", "").strip()
    except (NotImplementedError, OverflowError, KeyError, ValueError, TypeError, AttributeError, IndexError):
        raise Unspellable from None  # each converter has limits of its own
    if not words or any(map(str.isdecimal, words)):
        raise Unspellable
    return words


def _known(word: str) -> str:
    if not word:
        raise Unspellable
    return word


def _joined(words: str, suffix: str) -> str:
    """Endings are written onto the word: ५०को → पचासको; औं after a consonant becomes its vowel sign: ५औं → पाँचौं."""
    if suffix[0] == "औ" and "क" <= words[-1] <= "ह":
        suffix = "ौ" + suffix[1:]
    return words + suffix


def _is_letter(character: str) -> bool:
    return unicodedata.category(character)[0] in "LM"
