"""Whisper hears one window of fixed length: longer recordings are cut in pauses, and a short window costs no more than it is."""

from typing import Any

import numpy as np
import pytest
import torch
import whisper_models as whisper
from whisper_models import RATE, tone

from asrx.recognizer.seq2seq import Seq2SeqRecognizer
from asrx.recognizer.windows import windows

WINDOW = 2 * RATE  # samples


@pytest.mark.parametrize("length", [0, 1, WINDOW - 1, WINDOW, WINDOW + 1, WINDOW + 161, 2 * WINDOW, 7 * WINDOW + 12_345])
def test_every_sample_is_heard_once(length: int) -> None:
    samples = np.random.default_rng(length).standard_normal(length).astype(np.float32)
    pieces = list(windows(samples, WINDOW))
    assert np.array_equal(np.concatenate([piece for _, piece in pieces]), samples)
    assert [start for start, _ in pieces] == [0, *np.cumsum([len(piece) for _, piece in pieces])[:-1]]
    assert max(len(piece) for _, piece in pieces) <= WINDOW
    assert len(pieces) == 1 or min(len(piece) for _, piece in pieces) >= WINDOW // 4


def test_a_cut_lies_in_the_pause() -> None:
    samples = tone(440, 5.0)
    samples[round(1.70 * RATE) : round(1.74 * RATE)] *= 0.01
    samples[round(0.8 * RATE) : round(1.0 * RATE)] = 0  # too early: the window would be wasted
    (_, first), *_ = windows(samples, WINDOW)
    assert 1.70 <= len(first) / RATE <= 1.74


@pytest.mark.parametrize(("positions", "seconds"), [(150, 3), (100, 2)])
@pytest.mark.parametrize("chunk", [30, 1])
def test_the_encoder_gets_the_window_and_no_more(positions: int, seconds: int, chunk: int) -> None:
    tokens = whisper.tokenizer()
    model = whisper.untrained(tokens, max_source_positions=positions)
    ready = Seq2SeqRecognizer(model, whisper.extractor(chunk_length=chunk), tokens, "cpu")
    shapes: list[torch.Size] = []
    model.model.encoder.layers[0].register_forward_pre_hook(lambda _, arguments: shapes.append(arguments[0].shape))
    ready.recognize([tone(440, 0.4), tone(440, seconds), tone(440, 2.5 * seconds)])
    assert [shape[1] for shape in shapes] == [positions] * 5


def test_confidence_is_weighted_by_tokens_and_times_count_from_the_start() -> None:
    from asrx.recognizer.results import Word
    from asrx.recognizer.seq2seq import SILENCE, Hypothesis, _joined

    parts: list[Any] = [(0.0, Hypothesis("uno due", (-0.1, -0.3, -0.2), 0.0, (Word("uno due", 0.5, 1.0),))), (1.9, SILENCE)]
    parts.append((3.5, Hypothesis("tre", (-0.6,), 0.0, (Word("tre", 0.02, 0.4),))))
    heard = _joined(parts)
    assert heard.text == "uno due tre" and heard.confidence == pytest.approx(np.exp(-0.3))
    assert heard.words == (Word("uno due", 0.5, 1.0), Word("tre", 3.52, 3.9))
    assert _joined(parts[1:2]).confidence == 1.0
