"""A Whisper trained here that plain transformers cannot use, and one made by plain transformers that cannot be trained here."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForSpeechSeq2Seq, AutoProcessor, pipeline
from whisper_models import RATE, SAID, save, tokenizer, tone, untrained

from asrx import recognizer
from asrx.config import resolve
from asrx.models import load_family

SMALL = ["model.architecture=whisper", "model.d_model=64", "model.encoder_layers=1", "model.max_source_positions=100", "model.dropout=0", "text.language=it"]
TEXTS = [*SAID.values()]


@dataclass(frozen=True)
class Learned:
    """A family that was taught the tones, and where it was saved."""

    family: Any
    folder: Path
    timestamps: bool


def learn(family: Any, steps: int) -> list[float]:
    """Losses of a few steps on tones of random pitch and length."""
    draw = np.random.default_rng(0)
    optimizer = torch.optim.AdamW([parameter for parameter in family.model.parameters() if parameter.requires_grad], lr=3e-3)
    family.model.train()
    losses = []
    for _ in range(steps):
        waves = [tone(pitch * draw.uniform(0.97, 1.03), draw.uniform(0.6, 1.8), draw.uniform(0.1, 0.6)) for pitch in SAID] * 2
        outputs = family.model(**family.collate(waves, family.labels(TEXTS * 2)))
        optimizer.zero_grad()
        outputs.loss.backward()
        torch.nn.utils.clip_grad_norm_(family.model.parameters(), 1.0)
        optimizer.step()
        losses.append(outputs.loss.item())
    family.model.eval()
    return losses


@pytest.fixture(scope="module", params=[False, True], ids=["text", "times"])
def learned(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Learned:
    torch.manual_seed(0)
    family = load_family(resolve(overrides=[*SMALL, f"model.timestamps={request.param}"]), TEXTS)
    learn(family, 150)
    folder = tmp_path_factory.mktemp("learned")
    family.save(folder)
    return Learned(family, folder, request.param)


@pytest.mark.slow
def test_plain_transformers_says_what_was_learned(learned: Learned) -> None:
    own = recognizer.load(learned.folder, "cpu")
    plain = pipeline("automatic-speech-recognition", model=str(learned.folder), device="cpu")
    for pitch, text in SAID.items():
        wave = tone(pitch, 1.2)
        heard = own.recognize([wave])[0]
        answer = plain(wave, return_timestamps=learned.timestamps)
        assert heard.text == text and answer["text"].strip() == text
        if learned.timestamps:
            times = [(start, min(end, 1.2)) for start, end in (chunk["timestamp"] for chunk in answer["chunks"])]  # ours end with the sound
            assert [(word.start, word.end) for word in heard.words] == times


@pytest.mark.slow
def test_plain_generate_needs_no_language(learned: Learned) -> None:
    model, processor = AutoModelForSpeechSeq2Seq.from_pretrained(learned.folder), AutoProcessor.from_pretrained(learned.folder)
    features = processor(tone(900.0, 1.2), sampling_rate=RATE, return_tensors="pt").input_features
    assert features.shape[-1] == 2 * model.config.max_source_positions
    assert processor.batch_decode(model.generate(features), skip_special_tokens=True)[0].strip() == "perché no"
    assert processor.tokenizer("no").input_ids[: 1 + len(learned.family.prompt)] == [model.config.decoder_start_token_id, *learned.family.prompt]


@pytest.mark.slow
def test_what_was_saved_goes_on_learning(learned: Learned) -> None:
    again = load_family(resolve(overrides=[f"model.name={learned.folder}", "text.language=it", f"model.timestamps={learned.timestamps}"]), TEXTS)
    assert again.labels(TEXTS) == learned.family.labels(TEXTS)
    assert learn(again, 2)[0] < 0.5  # it has forgotten nothing


@pytest.mark.slow
@pytest.mark.parametrize("option", ["trainable=all", "trainable=lora", "trainable=decoder", "timestamps=true", "max_source_positions=50"])
def test_a_whisper_of_plain_transformers_learns_here(option: str, tmp_path: Path) -> None:
    tokens = tokenizer()
    stock = save(tmp_path / "stock", untrained(tokens), tokens)
    family = load_family(resolve(overrides=[f"model.name={stock}", "text.language=ne", f"model.{option}"]), TEXTS)
    losses = learn(family, 12)
    assert losses[-1] < losses[0]
    family.save(tmp_path / "trained")
    waves = [tone(pitch, 0.9) for pitch in SAID]
    _, texts = family.evaluate(waves, family.labels(TEXTS))
    assert [heard.text for heard in recognizer.load(tmp_path / "trained", "cpu").recognize(waves)] == texts
    model = AutoModelForSpeechSeq2Seq.from_pretrained(tmp_path / "trained")
    assert model.generation_config.language == "ne" and model.proj_out.weight is model.model.decoder.embed_tokens.weight
