"""Whisper's vocabulary: which ids are text, and the prompt that says language, task and whether times are wanted."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

SPECIAL = re.compile(r"<\|[^|]*\|>")
NO_SPEECH = ("<|nospeech|>", "<|nocaptions|>")
NO_TIMESTAMPS = "<|notimestamps|>"
TASKS = ("transcribe", "translate")


@dataclass(frozen=True)
class WhisperTokens:
    """Ids of a vocabulary by what they are for. Languages and tasks go by their bare names: it, transcribe."""

    start: int
    end: int
    text: frozenset[int]
    languages: dict[str, int]
    tasks: dict[str, int]
    no_speech: int | None
    no_timestamps: int | None
    timestamps: range  # ids of 0.00 s, 0.02 s, …; empty where the model has none

    @classmethod
    def of(cls, generation_config: Any, tokenizer: Any, outputs: int, positions: int) -> "WhisperTokens":
        """As the generation config lists them, else by the names in the vocabulary.

        `outputs`: size of the model's output layer; `positions`: of its encoder, the number of steps that a window has.
        """
        vocabulary = {token: index for token, index in tokenizer.get_vocab().items() if index < outputs}
        text = {index for token, index in vocabulary.items() if not SPECIAL.fullmatch(token)} - set(tokenizer.all_special_ids)
        no_timestamps = _known(getattr(generation_config, "no_timestamps_token_id", None), vocabulary.get(NO_TIMESTAMPS))
        return cls(
            start=_known(generation_config.decoder_start_token_id, vocabulary.get("<|startoftranscript|>")),
            end=_known(_first(generation_config.eos_token_id), tokenizer.eos_token_id),
            text=frozenset(text),
            languages=_listed(generation_config, "lang_to_id", vocabulary, _languages().values()),
            tasks=_listed(generation_config, "task_to_id", vocabulary, TASKS),
            no_speech=next((vocabulary[token] for token in NO_SPEECH if token in vocabulary), None),
            no_timestamps=no_timestamps,
            timestamps=_timestamps(no_timestamps, text, outputs, positions),
        )

    def language(self, wanted: str | None) -> int | None:
        """The id of a language given as `it`, `it-IT`, `italian` or `<|it|>`; of the only one there is, if none is wanted.

        None where it is to be detected, and for a model that has no language tokens. Raises ValueError for one that it does not know.
        """
        if wanted is None:
            return next(iter(self.languages.values())) if len(self.languages) == 1 else None
        name = _bare(wanted).lower()
        name = _languages().get(name, name)
        code = name if name in self.languages else re.split("[-_]", name)[0]
        if self.languages and code not in self.languages:
            raise ValueError(f"the model has no token for the language {wanted!r}; it has {', '.join(sorted(self.languages))}")
        return self.languages.get(code)

    def task(self, wanted: str | None) -> int | None:
        """The id of a task, by default of transcribing; None for a model that has no tasks. Raises ValueError for one that it lacks."""
        name = _bare(wanted or TASKS[0])
        if name not in self.tasks and (self.tasks and wanted or name != TASKS[0]):
            raise ValueError(f"the model has no token for the task {wanted!r}; it has {', '.join(self.tasks) or 'none'}")
        return self.tasks.get(name)

    def check_timestamps(self) -> None:
        """Raise ValueError if the model cannot say times."""
        if not self.timestamps or max(self.text) >= self.end:
            raise ValueError("the model cannot say times: its vocabulary does not end with <|notimestamps|> and tokens for each 0.02 s after all text")


def _timestamps(no_timestamps: int | None, text: set[int], outputs: int, positions: int) -> range:
    """Timestamps follow <|notimestamps|>; tokenizers need not name them. Words there, or too little room, mean that there are none."""
    first = outputs if no_timestamps is None else no_timestamps + 1
    wanted = range(first, first + positions + 1)
    return wanted if wanted.stop <= outputs and text.isdisjoint(wanted) else range(0)


def _listed(generation_config: Any, key: str, vocabulary: dict[str, int], names: Iterable[str]) -> dict[str, int]:
    """{bare name: id}. English-only vocabularies name languages and tasks, too, but their models have not learned them."""
    listed = getattr(generation_config, key, None)
    if listed is not None:
        return {_bare(name): index for name, index in listed.items()}
    if getattr(generation_config, "is_multilingual", None) is False:
        return {}
    return {name: vocabulary[f"<|{name}|>"] for name in names if f"<|{name}|>" in vocabulary}


def _languages() -> dict[str, str]:
    """{name: code} of the languages that Whisper was made for."""
    from transformers.models.whisper.tokenization_whisper import TO_LANGUAGE_CODE

    return TO_LANGUAGE_CODE


def _bare(name: str) -> str:
    return name.removeprefix("<|").removesuffix("|>")


def _first(ids: int | list[int] | None) -> int | None:
    return ids[0] if isinstance(ids, list) else ids


def _known(listed: int | None, named: int | None) -> int | None:
    return named if listed is None else listed
