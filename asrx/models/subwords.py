"""Whisper's vocabulary made anew: byte-level BPE of the training text, its special tokens, and where wanted those of times."""

from collections.abc import Iterable
from inspect import signature
from typing import Any

from ..errors import ConfigError
from .vocabulary import GENERAL_OPTIONS

END, START = "<|endoftext|>", "<|startoftranscript|>"
AFTER_LANGUAGES = ("<|translate|>", "<|transcribe|>", "<|startoflm|>", "<|startofprev|>", "<|nospeech|>", "<|notimestamps|>")
SIZE = 320  # subwords of a vocabulary built here, the 256 bytes among them
BYTES = 256
SECONDS_PER_STEP = 0.02  # from one time token to the next
FROM_ASRX = {"self", "vocab", "merges", "normalizer_file", "kwargs", "language", "task", "predict_timestamps"}  # not a person's to choose


def build(texts: Iterable[str], options: dict[str, Any], steps: int) -> Any:
    """A WhisperTokenizer whose subwords are those of `texts`; every text can be written with it, byte by byte if need be.

    `options`: of the section `tokenizer`; `vocab_size` is the number of subwords. `steps`: time tokens to have, from 0.00 s on; 0: none.
    The ids are in Whisper's order: subwords, end, start, every language of Whisper, tasks, times.
    """
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import WhisperTokenizer

    options = dict(options)
    size = options.pop("vocab_size", SIZE)
    if not isinstance(size, int) or isinstance(size, bool) or size < BYTES:
        raise ConfigError(f"tokenizer.vocab_size={size}: must be a whole number of {BYTES} or more, which the single bytes take")
    subwords = Tokenizer(models.BPE())
    subwords.pre_tokenizer, subwords.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=size, initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()), show_progress=False)
    subwords.train_from_iterator(texts, trainer)
    special = [START, *(f"<|{code}|>" for code in _languages()), *AFTER_LANGUAGES]
    subwords.add_special_tokens([END, *special])
    subwords.add_tokens([AddedToken(f"<|{step * SECONDS_PER_STEP:.2f}|>", normalized=False) for step in range(steps)])
    return WhisperTokenizer(tokenizer_object=subwords, **{"pad_token": END, "additional_special_tokens": special, **options})


def option_names(built: bool) -> set[str]:
    """The keys of the section `tokenizer`."""
    from transformers import WhisperTokenizer

    own = set(signature(WhisperTokenizer.__init__).parameters) - FROM_ASRX
    return own | GENERAL_OPTIONS | ({"vocab_size"} if built else set())


def _languages() -> list[str]:
    from transformers.models.whisper.tokenization_whisper import LANGUAGES

    return list(LANGUAGES)
