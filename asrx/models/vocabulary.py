"""Character vocabularies of CTC models: built from the training text, or judged as a checkpoint brought them."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..errors import ConfigError, ModelError

BLANK, UNKNOWN, DELIMITER = "<pad>", "<unk>", "|"
GENERAL_OPTIONS = {"padding_side", "truncation_side", "model_max_length", "clean_up_tokenization_spaces", "additional_special_tokens"}  # of any tokenizer


def build(texts: Iterable[str], options: dict[str, Any], language: str | None = None) -> Any:
    """A Wav2Vec2CTCTokenizer with every character of `texts` (white space is the word delimiter); with `language`, that language's in MMS's form.

    Characters only of the training text: one that is new in the held-out text is an error that must be seen.
    Raises ModelError if the text has fewer than two characters, ConfigError without a blank (`tokenizer.pad_token`).
    """
    import tempfile

    from transformers import Wav2Vec2CTCTokenizer

    settings = {"pad_token": BLANK, "unk_token": UNKNOWN, "word_delimiter_token": DELIMITER, "bos_token": None, "eos_token": None, **options}
    special = [settings["pad_token"], settings["unk_token"], settings["word_delimiter_token"]]
    if not all(isinstance(token, str) and token for token in special) or len(set(special)) < 3:
        raise ConfigError(f"tokenizer: pad_token, unk_token and word_delimiter_token must be three different texts, not {special}")
    characters = sorted({character for text in texts for character in text} - {" ", *special})
    if len(characters) < 2:
        raise ModelError(f"the training text has {len(characters)} different characters; nothing can be learned from it")
    tokens = {token: index for index, token in enumerate([*special, *characters])}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "vocab.json"
        path.write_text(json.dumps({language: tokens} if language else tokens, ensure_ascii=False), encoding="utf-8")
        return Wav2Vec2CTCTokenizer(str(path), target_lang=language, **settings)


def of_language(tokenizer: Any, language: str) -> Any:
    """MMS's tokenizer with the vocabulary of one language alone, changed in place."""
    tokenizer.vocab = {language: tokenizer.vocab[language]}
    return tokenizer


def option_names() -> set[str]:
    """The keys of the section `tokenizer`."""
    from inspect import signature

    from transformers import Wav2Vec2CTCTokenizer

    own = set(signature(Wav2Vec2CTCTokenizer.__init__).parameters) - {"self", "vocab_file", "kwargs", "target_lang"}
    return own | GENERAL_OPTIONS


def case_of(tokenizer: Any) -> str | None:
    """`upper` or `lower` if the vocabulary has letters of one case only, else None."""
    letters = {token for token in tokenizer.get_vocab() if len(token) == 1 and token.lower() != token.upper()}
    upper, lower = any(token == token.upper() for token in letters), any(token == token.lower() for token in letters)
    if upper == lower:
        return None
    return "upper" if upper else "lower"
