"""Whisper models: what they heard is what transformers hears, whoever the neighbours, however long, and never a special token."""

from pathlib import Path

import numpy as np
import pytest
import torch
import whisper_models as whisper
from whisper_models import RATE, SAID, tone

from asrx import recognizer
from asrx.recognizer.seq2seq import Seq2SeqRecognizer


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that has learned to write what three tones say."""
    tokens = whisper.tokenizer()
    model = whisper.untrained(tokens)
    whisper.train(model, tokens)
    return whisper.save(tmp_path_factory.mktemp("whisper"), model, tokens)


@pytest.fixture(scope="module")
def ready(folder: Path) -> Seq2SeqRecognizer:
    return recognizer.load(folder, "cpu")


@pytest.fixture(scope="module")
def timed(ready: Seq2SeqRecognizer) -> Seq2SeqRecognizer:
    return Seq2SeqRecognizer(ready.model, ready.feature_extractor, ready.tokenizer, "cpu", timestamps=True)


def sentence(*pitches: float, pause: float = 0.3) -> np.ndarray:
    """Tones of a second each with pauses between them."""
    return np.concatenate([np.concatenate([tone(pitch), np.zeros(round(pause * RATE), np.float32)]) for pitch in pitches])


@pytest.mark.parametrize(("pitch", "text"), SAID.items())
def test_accents_and_devanagari_come_out_whole(ready: Seq2SeqRecognizer, pitch: float, text: str) -> None:
    (heard,) = ready.recognize([tone(pitch, 0.9)])
    assert heard.text == text and 0.9 < heard.confidence <= 1 and heard.words == ()


def test_it_hears_what_transformers_hears(ready: Seq2SeqRecognizer) -> None:
    draw = np.random.default_rng(1)
    waves = [sum(tone(pitch, 1.2, level) for pitch, level in zip(SAID, draw.uniform(0, 0.3, 3))) for _ in range(8)]
    features = ready.feature_extractor(waves, sampling_rate=RATE, max_length=2 * RATE, return_tensors="pt").input_features
    expected = ready.tokenizer.batch_decode(ready.model.generate(features, max_new_tokens=60), skip_special_tokens=True)
    assert [item.text for item in ready.recognize(waves)] == [" ".join(text.split()) for text in expected]
    assert len(set(expected)) > 1


def test_confidence_is_the_geometric_mean_over_the_text(ready: Seq2SeqRecognizer) -> None:
    wave = tone(300, 1.2, 0.1) + tone(900, 1.2, 0.1)
    (heard,) = ready.recognize([wave])
    prompt = ready.tokenizer.convert_tokens_to_ids(["<|startoftranscript|>", "<|it|>", "<|transcribe|>", "<|notimestamps|>"])
    ids = ready.tokenizer(heard.text, add_special_tokens=False).input_ids
    features = ready.feature_extractor([wave], sampling_rate=RATE, max_length=2 * RATE, return_tensors="pt").input_features
    with torch.inference_mode():
        logits = ready.model(input_features=features, decoder_input_ids=torch.tensor([[*prompt, *ids]])).logits[0, len(prompt) - 1 : -1]
    scores = torch.log_softmax(logits, -1)[torch.arange(len(ids)), ids]
    assert heard.confidence == pytest.approx(float(scores.mean().exp()), rel=1e-4)


def test_neighbours_change_nothing(ready: Seq2SeqRecognizer, timed: Seq2SeqRecognizer) -> None:
    waves = [tone(2_000, 0.3), sentence(300, 900, 2_000), np.zeros(RATE, np.float32), tone(900, 1.9), tone(300, 0.7, 0.05)]
    for one in (ready, timed):
        alone = [one.recognize([wave])[0] for wave in waves]
        for together in (one.recognize(waves), one.recognize(waves, batch_size=4)):
            assert [(item.text, item.words) for item in together] == [(item.text, item.words) for item in alone]
            assert [item.confidence for item in together] == pytest.approx([item.confidence for item in alone], abs=1e-4)


def test_features_that_are_there_already_give_the_same(ready: Seq2SeqRecognizer) -> None:
    waves = [tone(pitch, 0.9) for pitch in SAID]
    features = ready.feature_extractor(waves, sampling_rate=RATE, max_length=2 * RATE, return_tensors="pt").input_features
    heard = ready.decode(features, [0.9] * 3)
    assert [item.text for item in heard] == list(SAID.values())
    assert [item.confidence for item in heard] == pytest.approx([item.confidence for item in ready.recognize(waves)], abs=1e-4)


def test_what_is_longer_than_the_window_is_heard_to_its_end(ready: Seq2SeqRecognizer, timed: Seq2SeqRecognizer) -> None:
    wave = sentence(300, 900, 2_000, 300, pause=0.8)
    (heard,) = ready.recognize([wave])
    assert heard.text == "accendi la luce perché no बत्ती बाल्नुहोस् accendi la luce" and heard.confidence > 0.9
    (timed_words,) = timed.recognize([wave])
    assert timed_words.text == heard.text
    assert [word.text for word in timed_words.words] == ["accendi la luce", "perché no", "बत्ती बाल्नुहोस्", "accendi la luce"]
    for number, word in enumerate(timed_words.words):
        assert 1.8 * number - 0.5 <= word.start < word.end <= 1.8 * number + 2.0


def test_weights_of_half_precision_run_on_a_processor(folder: Path, ready: Seq2SeqRecognizer, tmp_path: Path) -> None:
    whisper.save(tmp_path, type(ready.model).from_pretrained(folder).half(), ready.tokenizer)
    loaded = recognizer.load(tmp_path, "cpu")
    assert loaded.model.dtype == torch.float32
    assert loaded.recognize([tone(900)])[0].text == SAID[900]


def test_a_copy_of_the_code_hears_the_same(folder: Path, tmp_path: Path) -> None:
    import shutil

    from asrx.recognizer.pyfunc_model import import_recognizer

    copy = shutil.copytree(Path(recognizer.__file__).parent, tmp_path / "code", ignore=shutil.ignore_patterns("__pycache__"))
    (copy / "extra.py").write_text("")
    package = import_recognizer(copy)
    loaded = package.load(folder, "cpu")
    assert type(loaded).__module__ == f"{package.__name__}.seq2seq" and not package.__name__.startswith("asrx")
    assert loaded.recognize([tone(300)])[0].text == SAID[300]
