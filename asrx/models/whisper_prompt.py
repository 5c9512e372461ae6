"""What a Whisper's text begins with: tokens for language, task and times, the same ones in labels, in generation and in the tokenizer."""

import re
from typing import Any

from ..errors import ConfigError, ModelError, nearest
from ..recognizer.whisper_tokens import TASKS, WhisperTokens

ENGLISH_ONLY = 51_864  # outputs of OpenAI's models that know English alone


def set_up(model: Any, tokenizer: Any, language: str, task: str, timestamps: bool) -> list[int]:
    """Make generation and tokenizer speak `language` (ISO 639-1), and return the ids that each label begins with, after the start token.

    Raises ConfigError for a language, task or times that the model has no tokens for.
    """
    generation, config = model.generation_config, model.config
    if not hasattr(generation, "is_multilingual") and not hasattr(generation, "lang_to_id"):
        generation.is_multilingual = config.vocab_size != ENGLISH_ONLY and _token("en", tokenizer, config) is not None
    tokens = _tokens(model, tokenizer)
    if getattr(generation, "is_multilingual", True):
        _choose(generation, tokens, tokenizer, config, language, task)
    else:
        _check_english_only(language, task)
    _modernise(generation, config, tokens)
    generation.return_timestamps = timestamps
    if tokens.no_timestamps is not None:
        generation.no_timestamps_token_id = tokens.no_timestamps
    generation.max_length = config.max_target_positions
    if timestamps:
        _check_times(tokens)
    prompt = prompt_of(model, tokenizer)
    _teach(tokenizer, [tokens.start, *prompt], generation)
    return prompt


def prompt_of(model: Any, tokenizer: Any) -> list[int]:
    """The ids that generation begins with, after the start token."""
    tokens, generation = _tokens(model, tokenizer), model.generation_config
    language = tokens.languages.get(getattr(generation, "language", None))
    task = tokens.tasks.get(getattr(generation, "task", None))
    without_times = None if generation.return_timestamps else tokens.no_timestamps
    return [token for token in (language, task, without_times) if token is not None]


def problems(model: Any, feature_extractor: Any, tokenizer: Any, prompt: list[int]) -> list[str]:
    """Where the label prefix `prompt`, generation, tokenizer and feature extractor disagree, in sentences; none if they agree."""
    config, generation, found = model.config, model.generation_config, []
    named = {"start of the transcript": ("decoder_start_token_id", "<|startoftranscript|>"), "end of the text": ("eos_token_id", "<|endoftext|>")}
    for what, (key, token) in named.items():
        ids = {"the model": getattr(config, key), "generation": getattr(generation, key), "the tokenizer": tokenizer.convert_tokens_to_ids(token)}
        if len({str(value) for value in ids.values()}) > 1:
            found.append(f"The token of the {what} is not the same: {', '.join(f'{value} in {where}' for where, value in ids.items())}.")
    if (begun := prompt_of(model, tokenizer)) != list(prompt):
        found.append(f"Labels begin with {_named(prompt, tokenizer)}, generation with {_named(begun, tokenizer)}.")
    tasks = {f"<|{task}|>": index for task, index in getattr(generation, "task_to_id", {}).items()}
    for token, index in {**getattr(generation, "lang_to_id", {}), **tasks}.items():
        if (own := tokenizer.convert_tokens_to_ids(token)) != index:
            found.append(f"{token} is {index} in generation and {own} in the tokenizer.")
    if (largest := max(tokenizer.get_vocab().values())) >= config.vocab_size:
        found.append(f"The tokenizer has ids up to {largest}, the model {config.vocab_size} outputs.")
    if feature_extractor.feature_size != config.num_mel_bins:
        found.append(f"The feature extractor makes {feature_extractor.feature_size} mel bands, the model hears {config.num_mel_bins}.")
    if (frames := feature_extractor.nb_max_frames) != 2 * config.max_source_positions:
        found.append(f"The feature extractor makes windows of {frames} frames, the model hears {2 * config.max_source_positions}.")
    return found


def check(model: Any, feature_extractor: Any, tokenizer: Any, prompt: list[int], name: str) -> None:
    """ModelError with the first of the problems."""
    if found := problems(model, feature_extractor, tokenizer, prompt):
        raise ModelError(f"the parts of the model {name} do not belong together: {found[0]}")


def language_code(wanted: str) -> str:
    """Whisper's code of a language given as ISO 639-1, with or without a region. ConfigError for one that it does not know."""
    from transformers.models.whisper.tokenization_whisper import LANGUAGES, TO_LANGUAGE_CODE

    name = wanted.lower()
    name = TO_LANGUAGE_CODE.get(name, name)
    code = name if name in LANGUAGES else re.split("[-_]", name)[0]
    if code not in LANGUAGES:
        known = list(LANGUAGES)
        raise ConfigError(f"text.language={wanted}: Whisper does not know this language{nearest(code, known)}; it knows {', '.join(sorted(known))}")
    return code


def _choose(generation: Any, tokens: WhisperTokens, tokenizer: Any, config: Any, language: str, task: str) -> None:
    """Language and task of generation; a language that the model has a token for, but does not list, is listed from now on."""
    code = language_code(language)
    listed = dict(tokens.languages)
    if code not in listed:
        if (token := _token(code, tokenizer, config)) is None:
            raise ConfigError(f"text.language={language}: the model has no token for it{nearest(code, listed)}; it has {', '.join(sorted(listed)) or 'none'}")
        listed[code] = token
    if task not in tokens.tasks:
        raise ConfigError(f"model.task={task}: the model has no token for it; it has {', '.join(tokens.tasks) or 'none'}")
    generation.is_multilingual, generation.language, generation.task = True, code, task
    generation.lang_to_id = {f"<|{name}|>": index for name, index in listed.items()}
    generation.task_to_id = dict(tokens.tasks)


def _check_english_only(language: str, task: str) -> None:
    if language_code(language) != "en":
        raise ConfigError(f"text.language={language}: this model knows English alone; take the multilingual one (its name has no .en)")
    if task != TASKS[0]:
        raise ConfigError(f"model.task={task}: this model knows English alone, it can only {TASKS[0]}")


def _modernise(generation: Any, config: Any, tokens: WhisperTokens) -> None:
    """Prompts go by language and task, no longer by `forced_decoder_ids`. What speech may not be written with is for the training text to
    say: of the tokens that generation leaves out only those stay that are no text."""
    for settings in (generation, config):
        if getattr(settings, "forced_decoder_ids", None) is not None:
            settings.forced_decoder_ids = None
        if suppressed := getattr(settings, "suppress_tokens", None):
            settings.suppress_tokens = sorted(set(suppressed) - tokens.text - {tokens.end}) or None


def _check_times(tokens: WhisperTokens) -> None:
    try:
        tokens.check_timestamps()
    except ValueError as error:
        raise ConfigError(f"model.timestamps=true: {error}") from None


def _teach(tokenizer: Any, wanted: list[int], generation: Any) -> None:
    """Have the tokenizer put the same tokens before a text, where it can: it counts languages from the start token in Whisper's order."""
    from transformers.models.whisper.tokenization_whisper import LANGUAGES

    language, task = getattr(generation, "language", None), getattr(generation, "task", None)
    counted = language is None or wanted[1] == wanted[0] + 1 + list(LANGUAGES).index(language)
    if hasattr(tokenizer, "set_prefix_tokens") and counted:
        tokenizer.set_prefix_tokens(language, task, generation.return_timestamps)


def _tokens(model: Any, tokenizer: Any) -> WhisperTokens:
    return WhisperTokens.of(model.generation_config, tokenizer, model.config.vocab_size, model.config.max_source_positions)


def _token(language: str, tokenizer: Any, config: Any) -> int | None:
    index = tokenizer.get_vocab().get(f"<|{language}|>")
    return index if index is not None and index < config.vocab_size else None


def _named(ids: list[int], tokenizer: Any) -> str:
    return " ".join(map(str, tokenizer.convert_ids_to_tokens(list(ids)))) or "nothing"
