"""Whisper writes in the language that its prompt names: the right token goes in, a wrong or missing one is told."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import whisper_models as whisper
from transformers import GenerationConfig
from whisper_models import tone

from asrx import recognizer
from asrx.recognizer.seq2seq import Seq2SeqRecognizer

START, PLAIN = "<|startoftranscript|>", "<|notimestamps|>"


@pytest.fixture(scope="module")
def tokens() -> Any:
    return whisper.tokenizer()


@pytest.fixture
def prompt(tokens: Any) -> Callable[..., list[str]]:
    """The tokens that the decoder of a model with changed generation options begins with; None takes an option away."""

    def begin(options: dict[str, Any], model: Any = None, **wanted: Any) -> list[str]:
        model = model or whisper.untrained(tokens)
        kept = {key: value for key, value in (model.generation_config.to_dict() | options).items() if value is not None}
        model.generation_config = GenerationConfig(**kept)
        ready = Seq2SeqRecognizer(model, whisper.extractor(), tokens, "cpu", **wanted)
        asked: list[list[int]] = []
        model.model.decoder.register_forward_pre_hook(lambda _, __, given: asked.append(given["input_ids"][0].tolist()), with_kwargs=True)
        ready.recognize([tone(440, 0.5)])
        return tokens.convert_ids_to_tokens(next(ids for ids in asked if len(ids) > 1))

    return begin


@pytest.mark.parametrize(
    ("options", "wanted", "expected"),
    [
        ({}, {}, "it transcribe"),
        ({}, {"language": "ne"}, "ne transcribe"),
        ({}, {"language": "Nepali", "task": "translate"}, "ne translate"),
        ({"language": "<|en|>", "task": None}, {}, "en transcribe"),
        ({}, {"language": "en-GB"}, "en transcribe"),
        ({"language": None, "lang_to_id": ["<|ne|>"]}, {}, "ne transcribe"),
        ({"lang_to_id": None, "task_to_id": None, "no_timestamps_token_id": None, "is_multilingual": None}, {}, "it transcribe"),
        ({"lang_to_id": None, "task_to_id": None, "is_multilingual": False, "language": None, "task": None}, {}, ""),
        ({"lang_to_id": None, "task_to_id": None, "is_multilingual": False}, {"language": "en"}, ""),
    ],
    ids=["saved", "given", "names", "token", "region", "the only one", "listed nowhere", "English-only", "English-only, English"],
)
def test_the_prompt_names_language_and_task(tokens: Any, prompt: Any, options: dict[str, Any], wanted: dict[str, str], expected: str) -> None:
    if options.get("lang_to_id"):
        options = {**options, "lang_to_id": {token: tokens.convert_tokens_to_ids(token) for token in options["lang_to_id"]}}
    assert prompt(options, **wanted) == [START, *(f"<|{name}|>" for name in expected.split()), PLAIN]


@pytest.mark.parametrize("language", ["en", "ne"])
def test_a_language_that_is_named_nowhere_is_detected(tokens: Any, prompt: Any, language: str) -> None:
    model = whisper.untrained(tokens)

    def speak(_: Any, __: Any, logits: torch.Tensor) -> torch.Tensor:
        logits[..., tokens.convert_tokens_to_ids(f"<|{language}|>")] = 20.0
        logits[..., tokens.convert_tokens_to_ids("<|startofprev|>")] = 30.0
        return logits

    model.proj_out.register_forward_hook(speak)
    assert prompt({"language": None}, model)[1] == f"<|{language}|>"


def test_a_language_that_the_model_lacks_is_told(tokens: Any) -> None:
    model = whisper.untrained(tokens)
    with pytest.raises(ValueError, match="no token for the language 'klingon'; it has en, it, ne"):
        Seq2SeqRecognizer(model, whisper.extractor(), tokens, "cpu", language="klingon")
    with pytest.raises(ValueError, match="no token for the task 'sing'; it has transcribe, translate"):
        Seq2SeqRecognizer(model, whisper.extractor(), tokens, "cpu", task="sing")


def test_a_saved_language_that_the_model_lacks_is_told(tokens: Any, tmp_path: Path) -> None:
    model = whisper.untrained(tokens)
    model.generation_config.language = "de"
    with pytest.raises(ValueError, match="no token for the language 'de'"):
        recognizer.load(whisper.save(tmp_path, model, tokens), "cpu")


def test_a_feature_extractor_of_another_model_is_told(tokens: Any) -> None:
    with pytest.raises(ValueError, match="hears 80 mel bands, its feature extractor makes 128"):
        Seq2SeqRecognizer(whisper.untrained(tokens), whisper.extractor(feature_size=128), tokens, "cpu")
