"""The characters that a transcript may have, as a person lists them or as a model's vocabulary has them."""

import json
import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import ConfigError
from ..text import apply_case

VOCABULARY = "vocab.json"
SPECIAL = re.compile(r"[<\[].+[>\]]")  # <pad>, [UNK], …
BYTE_LEVEL = "Ġ"  # how vocabularies of bytes, which can write anything, begin a word
MAY_OCCUR = frozenset("| ")  # the word delimiter of CTC vocabularies, and what it stands for
HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


@dataclass(frozen=True)
class Alphabet:
    """Characters, NFC; `case` is "upper" or "lower" where they have letters of that case only: it then makes no difference."""

    characters: frozenset[str]
    case: str | None = None

    @classmethod
    def of(cls, characters: set[str]) -> "Alphabet":
        """The alphabet of these characters and the space."""
        letters = {character for character in characters if character.lower() != character.upper()}
        upper, lower = (any(getattr(letter, case)() == letter for letter in letters) for case in ("upper", "lower"))
        return cls(frozenset(characters) | {" "}, None if upper == lower else "upper" if upper else "lower")

    def missing(self, text: str) -> list[str]:
        """The characters of `text` that are not in the alphabet, in their order."""
        cased = apply_case(text, self.case)
        return [] if self.characters.issuperset(cased) else [character for character in dict.fromkeys(cased) if character not in self.characters]


def read(given: str) -> Alphabet | None:
    """The alphabet that the option `text.alphabet` means: a list of characters, a vocab.json, a model folder or a hub id.

    None where anything can be written (a vocabulary of bytes). Raises ConfigError for what has no vocabulary.
    """
    path = Path(given).expanduser()
    if path.is_dir():
        return _of_vocabulary(path / VOCABULARY)
    if path.is_file() or given.endswith(".json"):
        return _of_vocabulary(path)
    if HUB_ID.fullmatch(given):
        return _of_vocabulary(_downloaded(given))
    return Alphabet.of(set(unicodedata.normalize("NFC", given)) - {" "})


def _downloaded(name: str) -> Path:
    from huggingface_hub import hf_hub_download

    try:
        return Path(hf_hub_download(name, VOCABULARY))
    except Exception as error:  # the hub client raises a dozen types; each means that the vocabulary cannot be had
        reason = " ".join(str(error).split())[:160]
        raise ConfigError(
            f"text.alphabet={name}: there is no such folder, and the hub has no {VOCABULARY} for it ({type(error).__name__}: {reason}). "
            "Give the characters, a vocab.json or a model folder"
        ) from None


def _of_vocabulary(path: Path) -> Alphabet | None:
    try:
        tokens = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"text.alphabet: {path} cannot be read ({error.strerror}); give the characters, a {VOCABULARY} or a folder that has one") from None
    except ValueError:
        raise ConfigError(f"text.alphabet: {path} is not JSON; a {VOCABULARY} holds an object of tokens and their numbers") from None
    if not isinstance(tokens, dict) or not tokens:
        raise ConfigError(f"text.alphabet: {path} holds no vocabulary: a {VOCABULARY} is an object of tokens and their numbers")
    if any(BYTE_LEVEL in token for token in tokens):
        return None
    return Alphabet.of(_characters(tokens) - MAY_OCCUR)


def _characters(tokens: dict[str, Any]) -> set[str]:
    """Of one vocabulary, or of all languages of a vocabulary that has one for each (MMS)."""
    found: set[str] = set()
    for token, value in tokens.items():
        if isinstance(value, dict):
            found |= _characters(value)
        elif not SPECIAL.fullmatch(token):
            found |= set(unicodedata.normalize("NFC", token))
    return found
