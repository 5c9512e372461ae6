"""Where nobody speaks Whisper writes something all the same: silence is not asked, and the model's own doubt counts."""

from typing import Any

import numpy as np
import pytest
import torch
import whisper_models as whisper
from whisper_models import RATE, pieces, scripted, tone

from asrx.recognizer.seq2seq import Seq2SeqRecognizer

NOISE = np.random.default_rng(0).uniform(-1, 1, 2 * RATE).astype(np.float32)


@pytest.fixture(scope="module")
def tokens() -> Any:
    return whisper.tokenizer()


@pytest.mark.parametrize(
    "samples",
    [np.zeros(RATE, np.float32), np.zeros(0, np.float32), 9e-4 * NOISE, np.full(RATE, 0.2, np.float32), np.zeros(9 * RATE, np.float32)],
    ids=["digital", "empty", "-61 dBFS", "offset", "long"],
)
def test_the_model_is_not_asked_about_silence(tokens: Any, samples: np.ndarray) -> None:
    model = whisper.untrained(tokens)
    calls = scripted(model, tokens, [*pieces(tokens, "perché no"), "<|endoftext|>"])
    (heard,) = Seq2SeqRecognizer(model, whisper.extractor(), tokens, "cpu").recognize([samples])
    assert (heard.text, heard.confidence, heard.words) == ("", 1.0, ()) and not calls


def test_faint_sound_is_heard(tokens: Any) -> None:
    model = whisper.untrained(tokens)
    scripted(model, tokens, [*pieces(tokens, "perché no"), "<|endoftext|>"])
    (heard,) = Seq2SeqRecognizer(model, whisper.extractor(), tokens, "cpu").recognize([2e-3 * NOISE])
    assert heard.text == "perché no"


@pytest.mark.parametrize(
    ("no_speech", "certainty", "text"),
    [(0.9, 0.2, ""), (0.9, 0.6, "no"), (0.3, 0.2, "no"), (0.0, 0.01, "no")],
    ids=["nobody speaks", "sure of the text", "speech", "no token for it"],
)
def test_nobody_speaks_only_if_the_text_is_unsure_too(tokens: Any, no_speech: float, certainty: float, text: str) -> None:
    model = whisper.untrained(tokens)
    ready = Seq2SeqRecognizer(model, whisper.extractor(), tokens, "cpu")
    end, silent, words = tokens.eos_token_id, tokens.convert_tokens_to_ids("<|nospeech|>"), tokens.convert_tokens_to_ids(["n", "o"])
    step = -1

    def speak(_: Any, __: Any, logits: torch.Tensor) -> torch.Tensor:
        nonlocal step
        step += 1
        chances = torch.full_like(logits, (1 - certainty) / logits.shape[-1] / 2)
        chances[:, -1, [*words, end][step]] = certainty
        chances[:, -1, silent] += (1 - certainty) / 2
        if not step:
            chances[:, 0] = (1 - no_speech) / logits.shape[-1]
            chances[:, 0, silent] = no_speech
        return chances.log()

    model.proj_out.register_forward_hook(speak)
    (heard,) = ready.recognize([tone(440)])
    assert heard.text == text
    assert heard.confidence == pytest.approx(certainty if text else no_speech, rel=0.05)
