"""Text normalisers: one for transcripts on their way into a corpus, one for scoring."""

import re
import unicodedata
from dataclasses import dataclass

APOSTROPHES = "’‘ʼ＇`´"
WHITE_SPACE = re.compile(r"\s+")

SEPARATORS = "-–—…/|।॥"  # what is ignored between words still parts them; CTC vocabularies write the space as |

# What is stripped from transcripts before training, by language. Apostrophes inside words are speech.
IGNORED_CHARACTERS = {
    "en": ',?.!-;:"“”„‘%…—–()[]{}«»|�',
    "it": ',?.!-;:"“”„‘%…—–()[]{}«»|�',
    "ne": ',?.!-;:"“”„‘%…—–()[]{}«»।॥|�',
    "basic": ',?.!-;:"“”„%…—–()[]{}«»।॥|�',
}
IGNORED_CHARACTERS["hi"] = IGNORED_CHARACTERS["ne"]


@dataclass(frozen=True)
class TranscriptNormalizer:
    """Transcript clean-up before training: NFC, apostrophes unified, ignored characters out, white space collapsed.

    Casing is kept: the model's vocabulary decides it at training time. `case` ("upper" or "lower") forces it.
    `language` picks the ignored characters unless `ignore` lists them.

    >>> TranscriptNormalizer("en")('“Don’t stop – now!”')
    "Don't stop now"
    """

    language: str = "en"
    ignore: str | None = None
    case: str | None = None

    def __call__(self, text: str) -> str:
        ignored = self.ignore
        if ignored is None:
            ignored = IGNORED_CHARACTERS.get(self.language, IGNORED_CHARACTERS["basic"])
        text = unify_apostrophes(unicodedata.normalize("NFC", text))
        text = text.translate({ord(character): " " if character in SEPARATORS else None for character in ignored})
        return apply_case(collapse(text), self.case)


def score_text(text: str) -> str:
    """The default form in which references and hypotheses are scored.

    NFC, casefold, punctuation and symbols out except an apostrophe inside a word, combining marks kept,
    white space collapsed.

    >>> score_text("The ‘Quick’ brown fox—isn’t it?")
    "the quick brown fox isn't it"
    """
    text = unify_apostrophes(unicodedata.normalize("NFC", text).casefold())
    kept = "".join(_keep(text, position, character) for position, character in enumerate(text))
    return collapse(unicodedata.normalize("NFC", kept))


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
    return WHITE_SPACE.sub(" ", text).strip()


def _keep(text: str, position: int, character: str) -> str:
    category = unicodedata.category(character)
    if character == "'":
        return character if _is_inside_word(text, position) else ""
    if category[0] in "PS":
        return " " if category in ("Pd", "Pc") or character in SEPARATORS else ""
    return "" if category == "Cf" and character not in "\u200c\u200d" else character


def _is_inside_word(text: str, position: int) -> bool:
    return 0 < position < len(text) - 1 and _is_word(text[position - 1]) and _is_word(text[position + 1])


def _is_word(character: str) -> bool:
    return unicodedata.category(character)[0] in "LMN" and character not in APOSTROPHES


SCORE_NORMALIZER = "default/1"  # name and version of score_text; goes with every score
