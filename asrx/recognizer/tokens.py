"""The tokenizer of a transformers folder. Depends on nothing of asrx outside this folder."""

import json
from pathlib import Path
from typing import Any


def read_tokenizer(folder: str | Path, **options: Any) -> Any:
    """AutoTokenizer's, with the word delimiter that was saved or is given in `options`: transformers 5.23 puts `|` in its place."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False, **options)
    saved = Path(folder) / "tokenizer_config.json"
    settings = {**(json.loads(saved.read_text(encoding="utf-8")) if saved.is_file() else {}), **options}
    delimiter = settings.get("word_delimiter_token")
    if isinstance(delimiter, str) and hasattr(tokenizer, "word_delimiter_token"):
        tokenizer._word_delimiter_token = delimiter
    return tokenizer
