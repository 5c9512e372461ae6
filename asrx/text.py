"""Text normalisers: named ones for transcripts on their way into a corpus, and the one for scoring."""

import re
import unicodedata
from dataclasses import dataclass
from functools import cached_property, lru_cache

from . import numerals
from .errors import ConfigError
from .options import AUTO, Text

APOSTROPHES = "’‘ʼ＇`´"

SEPARATORS = "-–—…/|।॥"  # what is ignored between words still parts them; CTC vocabularies write the space as |
WRITTEN = re.compile(f"['{APOSTROPHES}]")
BEFORE_VOWEL = re.compile(f"['{APOSTROPHES}]\\s+[aeiouhàèéìòù]", re.IGNORECASE)  # a quick look before the long one
DIGIT = re.compile(r"\d")
JOINERS = "\u200c\u200d"  # zero-width non-joiner and joiner
INVISIBLE = "\u00ad\u200b\u200e\u200f\u2060\ufeff" + "".join(map(chr, [*range(0x202A, 0x202F), *range(0x2066, 0x206A)]))  # soft hyphens, marks of direction
DEVANAGARI_DIGITS = "०१२३४५६७८९"
NATIVE_DIGITS = dict.fromkeys(("hi", "mr", "ne", "sa"), DEVANAGARI_DIGITS)  # of languages that write their own

MARKS = ',?.!-;:"' + "“”„‟‚‛«»‹›‘…—–―‒‐‑%()[]{}¡¿|�"
EVERYWHERE = re.compile(f"[{JOINERS}]")
AT_WORD_EDGES = re.compile(rf"(?:(?<=\s)|^)[{JOINERS}]+|[{JOINERS}]+(?=\s|$)")
ITALIAN_ELISION = re.compile(
    r"\b((?:[cdlmnstv]|un|gl|(?:[dn]e|a|da|su|co)ll|quell|quest|bell|sant|cos|dov|com|quant|anch|tutt|mezz|nessun|ciascun|alcun|qualcun)')\s+(?=[aeiouhàèéìòù])",
    re.IGNORECASE,
)
NOT_AFTER_VIRAMA = re.compile(rf"(?<!\u094d)[{JOINERS}]|[{JOINERS}]+(?=[\s{JOINERS}]|$)")


@dataclass(frozen=True)
class Normalizer:
    """The rules of one name. Whoever changes what they give raises `revision`."""

    name: str
    revision: int
    ignored: str  # characters that are stripped; those in SEPARATORS and all dashes become a space
    stray_joiners: re.Pattern[str]  # joiners that change nothing about the word
    truncated: frozenset[str] = frozenset()  # words that end in an apostrophe
    elided: re.Pattern[str] | None = None  # what is written onto the next word, where the two stand apart
    examples: tuple[tuple[str, str], ...] = ()  # input and output

    @property
    def version(self) -> str:
        """Name and revision, as in `en/1`."""
        return f"{self.name}/{self.revision}"


NORMALIZERS = {
    rules.name: rules
    for rules in (
        Normalizer(
            "en", 1, MARKS, EVERYWHERE,
            examples=(
                ("“Don’t stop – now!”", "Don't stop now"), ("Well-known; e.g.: this", "Well known eg this"),
                ("the dogs' bowl, 'quoted'", "the dogs bowl quoted"), ("rock 'n' roll", "rock n roll"), ("co\u00adoperate\u200b", "cooperate"),
            ),
        ),
        # Kept: elision (l'acqua) and a closed list of shortened words (po', mo', va'). An apostrophe at the end of any other word is taken
        # for a quotation mark, at the beginning of one (’ndrangheta) too; e' and perche' for è and perché are not guessed at.
        Normalizer(
            "it", 1, MARKS, EVERYWHERE,
            frozenset("a be ca co da de di fa fe mo ne pe pie po sta su to va ve vo".split()),
            ITALIAN_ELISION,
            examples=(
                ("L’acqua dell’arte, un po’ d’aria!", "L'acqua dell'arte un po' d'aria"), ("«Va’ via», disse ‘Anna’.", "Va' via disse Anna"),
                ("Perche\u0301 no? È così…", "Perché no È così"), ("l' acqua e un' altra", "l'acqua e un'altra"),
            ),
        ),
        Normalizer(
            "ne", 1, MARKS + "।॥॰", NOT_AFTER_VIRAMA,
            examples=(
                ("राम्रो हो।म जान्छु॥", "राम्रो हो म जान्छु"), ("राष्\u200dट्रपति, “गर्\u200dयो”?", "राष्\u200dट्रपति गर्\u200dयो"),
                ("छन्\u200d। का\u200dम", "छन् काम"), ("क\u093cलम १२", "क\u093cलम १२"),
            ),
        ),
        Normalizer(
            "hi", 1, MARKS + "।॥॰", NOT_AFTER_VIRAMA,
            examples=(("क्या हुआ? कुछ नहीं।", "क्या हुआ कुछ नहीं"), ("सड़क-मार्ग (नया)", "सड\u093cक मार्ग नया"), ("श्रीमान्\u200cजी", "श्रीमान्\u200cजी")),
        ),
        Normalizer(
            "basic", 1, MARKS + "।॥॰、。，．？！：；「」『』（）《》〈〉・،؛؟۔٪", AT_WORD_EDGES,
            examples=(("Größe: „schön“, oder?", "Größe schön oder"), ("می\u200cخواهم؟ \u200cبله", "می\u200cخواهم بله"),
                      ("m'hi, Zürich–Bern", "m'hi Zürich Bern")),
        ),
    )
}  # fmt: skip


@dataclass(frozen=True)
class TranscriptNormalizer:
    """Transcript clean-up before training; goes to worker processes.

    NFC; digits as `digits` says; apostrophes unified, kept inside words (and where the language has them at an end) and out elsewhere; ignored
    and invisible characters out; white space collapsed. Casing is kept: the model's vocabulary decides it at training time, unless `case`
    ("upper" or "lower") forces it. `normalizer` names the rules (auto: the language's, else basic); `ignore` lists characters to strip
    instead of theirs. `digits`: keep, words (see `numerals.spell`), ascii, or native.

    >>> TranscriptNormalizer("en")('“Don’t stop – now!”')
    "Don't stop now"
    """

    language: str = "en"
    ignore: str | None = None
    case: str | None = None
    digits: str = "keep"
    normalizer: str = AUTO

    @classmethod
    def from_config(cls, text: Text) -> "TranscriptNormalizer":
        """The normaliser that the section `text` asks for. ConfigError for digits that the language does not have."""
        if text.digits == "words":
            numerals.check(text.language)
        if text.digits == "native" and numerals.base_language(text.language) not in NATIVE_DIGITS:
            known = ", ".join(NATIVE_DIGITS)
            raise ConfigError(f"text.digits=native: no digits of its own are known for '{text.language}', only for {known}; use ascii, words or keep")
        return cls(text.language, text.ignore, text.case, text.digits, text.normalizer)

    @property
    def name(self) -> str:
        """Name and revision of the rules, as in `en/1`."""
        return self._rules.version

    def __call__(self, text: str) -> str:
        rules = self._rules
        text = unicodedata.normalize("NFC", text)
        if self.digits != "keep" and DIGIT.search(text):
            text = self._with_digits(text)
        if WRITTEN.search(text):
            text = _spoken_apostrophes(text, rules)
        text = text.translate(_table(rules.ignored if self.ignore is None else self.ignore))
        if not text.isascii():
            text = rules.stray_joiners.sub("", text)
        return apply_case(" ".join(text.split()), self.case)

    @cached_property
    def _rules(self) -> Normalizer:
        name = numerals.base_language(self.language) if self.normalizer == AUTO else self.normalizer
        return NORMALIZERS.get(name, NORMALIZERS["basic"])

    def _with_digits(self, text: str) -> str:
        if self.digits == "words":
            return numerals.spell(text, self.language)
        digits = NATIVE_DIGITS[numerals.base_language(self.language)] if self.digits == "native" else "0123456789"
        return DIGIT.sub(lambda match: digits[unicodedata.decimal(match[0])], text)


@lru_cache
def _table(ignored: str) -> dict[int, str | None]:
    """For str.translate: separators become a space, everything else that is ignored or invisible goes."""
    parts = {character for character in ignored if character in SEPARATORS or unicodedata.category(character) == "Pd"}
    return {ord(character): " " if character in parts else None for character in ignored + INVISIBLE}


def _spoken_apostrophes(text: str, rules: Normalizer) -> str:
    """Every apostrophe that is spoken becomes `'`: inside a word, and behind the shortened words of the language. Others go."""
    if rules.elided and BEFORE_VOWEL.search(text):
        text = rules.elided.sub(r"\1", WRITTEN.sub("'", text))

    def spoken(match: re.Match[str]) -> str:
        return "'" if _is_inside_word(text, match.start()) or _word_before(text, match.start()) in rules.truncated else ""

    return WRITTEN.sub(spoken, text)


def _word_before(text: str, end: int) -> str:
    start = end
    while start and text[start - 1].isalpha():
        start -= 1
    return text[start:end].lower()


def score_text(text: str, casefold: bool = True) -> str:
    """The default form in which references and hypotheses are scored; `casefold=False` keeps the case.

    NFC, casefold, punctuation and symbols out except an apostrophe inside a word, combining marks kept,
    white space collapsed.

    >>> score_text("The ‘Quick’ brown fox—isn’t it?")
    "the quick brown fox isn't it"
    """
    text = unicodedata.normalize("NFC", text)
    text = unify_apostrophes(text.casefold() if casefold else text)
    if "'" in text:
        text = re.sub("'", lambda match: "'" if _is_inside_word(match.string, match.start()) else "", text)
    return collapse(unicodedata.normalize("NFC", text.translate(_KEPT)))


def unify_apostrophes(text: str) -> str:
    """Typographic apostrophes become `'` inside a word (between letters, combining marks or digits) and go elsewhere."""
    if not any(character in text for character in APOSTROPHES):
        return text
    return "".join(("'" if _is_inside_word(text, position) else "") if character in APOSTROPHES else character for position, character in enumerate(text))


def apply_case(text: str, case: str | None) -> str:
    """`text` in "upper" or "lower" case; None keeps it."""
    if case == "upper":
        return text.upper()
    return text.lower() if case == "lower" else text


def collapse(text: str) -> str:
    """Every run of white space, no-break spaces and tabs included, becomes one space; none at the ends."""
    return " ".join(text.split())


class _Kept(dict[int, str | None]):
    """For str.translate: what score_text makes of a character, looked up once. Apostrophes stay."""

    def __missing__(self, code: int) -> str | None:
        character = chr(code)
        category = unicodedata.category(character)
        if category[0] in "PS" and character != "'":
            self[code] = " " if category in ("Pd", "Pc") or character in SEPARATORS else None
        else:
            self[code] = None if category == "Cf" and character not in JOINERS else character
        return self[code]


_KEPT = _Kept()


def _is_inside_word(text: str, position: int) -> bool:
    return 0 < position < len(text) - 1 and _is_word(text[position - 1]) and _is_word(text[position + 1])


def _is_word(character: str) -> bool:
    return unicodedata.category(character)[0] in "LMN" and character not in APOSTROPHES


SCORE_NORMALIZER = "default/1"  # name and version of score_text; goes with every score
