"""Small Whisper models made on the spot: a vocabulary of bytes, and tones for words."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    GenerationConfig,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
    WhisperTokenizer,
)

RATE = 16_000  # Hz
POSITIONS = 100  # 2 s
SAID = {300.0: "accendi la luce", 900.0: "perché no", 2_000.0: "बत्ती बाल्नुहोस्"}  # text of a tone of so many Hz
SPECIALS = ["<|endoftext|>", "<|startoftranscript|>", "<|en|>", "<|it|>", "<|ne|>", "<|translate|>", "<|transcribe|>",
            "<|startoflm|>", "<|startofprev|>", "<|nospeech|>", "<|notimestamps|>"]  # fmt: skip


def tone(pitch: float, seconds: float = 1.0, level: float = 0.3) -> np.ndarray:
    """float32 samples at 16 kHz, shape (time,)."""
    return (level * np.sin(2 * np.pi * pitch * np.arange(round(seconds * RATE)) / RATE)).astype(np.float32)


def tokenizer() -> WhisperTokenizer:
    """Byte-level BPE of the sentences, then Whisper's special tokens, then timestamps for the window."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer, bpe.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=264, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False)
    bpe.train_from_iterator(SAID.values(), trainer)
    made = WhisperTokenizer(tokenizer_object=bpe, pad_token="<|endoftext|>")
    made.add_special_tokens({"additional_special_tokens": SPECIALS})
    made.add_tokens([f"<|{step * 0.02:.2f}|>" for step in range(POSITIONS + 1)])
    return made


def untrained(tokens: Any, **config: Any) -> WhisperForConditionalGeneration:
    """A seeded model of one layer each whose generation config knows languages and tasks; it transcribes Italian."""
    torch.manual_seed(0)
    ids = {token: tokens.convert_tokens_to_ids(token) for token in SPECIALS}
    end, start = ids["<|endoftext|>"], ids["<|startoftranscript|>"]
    sizes = {"d_model": 32, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2, "decoder_attention_heads": 2,
             "encoder_ffn_dim": 64, "decoder_ffn_dim": 64, "max_source_positions": POSITIONS, "max_target_positions": 160}  # fmt: skip
    named = {"bos_token_id": end, "eos_token_id": end, "pad_token_id": end, "decoder_start_token_id": start, "begin_suppress_tokens": None}
    model = WhisperForConditionalGeneration(WhisperConfig(**{"vocab_size": len(tokens), "num_mel_bins": 80, **sizes, **named, **config}))
    model.generation_config = GenerationConfig(
        **named,
        is_multilingual=True,
        lang_to_id={token: ids[token] for token in ("<|en|>", "<|it|>", "<|ne|>")},
        task_to_id={task: ids[f"<|{task}|>"] for task in ("transcribe", "translate")},
        no_timestamps_token_id=ids["<|notimestamps|>"],
        language="it",
        task="transcribe",
    )
    return model.eval()


def extractor(**options: Any) -> WhisperFeatureExtractor:
    """The stock feature extractor, which makes windows of 30 s."""
    return WhisperFeatureExtractor(**options)


def save(folder: Path, model: Any, tokens: Any) -> Path:
    """A folder as plain transformers writes it."""
    for part in (model, tokens, extractor()):
        part.save_pretrained(folder)
    return folder


def train(model: Any, tokens: Any, steps: int = 200) -> None:
    """Teach the model to write what the tones say, in Italian, with times in every second utterance."""
    features = extractor()
    draw = np.random.default_rng(0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=4e-3)
    model.train()
    for _ in range(steps):
        waves, labels = [], []
        for number, (pitch, text) in enumerate([*SAID.items()] * 2):
            seconds = round(draw.uniform(0.6, 1.8), 2)
            waves.append(tone(pitch * draw.uniform(0.97, 1.03), seconds, draw.uniform(0.1, 0.6)))
            begin, end = ("<|0.00|>", f"<|{round(seconds / 0.02) * 0.02:.2f}|>") if number % 2 else ("<|notimestamps|>", "")
            words = tokens(text, add_special_tokens=False).input_ids
            prompt = ["<|startoftranscript|>", "<|it|>", "<|transcribe|>", begin]
            labels.append([*tokens.convert_tokens_to_ids(prompt), *words, *tokens.convert_tokens_to_ids([end][: bool(end)]), tokens.eos_token_id])
        batch = features(waves, sampling_rate=RATE, max_length=2 * RATE, return_tensors="pt").input_features
        ids = torch.nn.utils.rnn.pad_sequence([torch.tensor(label) for label in labels], batch_first=True, padding_value=-100)
        inputs, targets = ids[:, :-1].clamp(min=0), ids[:, 1:]
        optimizer.zero_grad()
        model(input_features=batch, decoder_input_ids=inputs, labels=targets).loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    model.eval()


def scripted(model: Any, tokens: Any, *scripts: Sequence[str]) -> list[int]:
    """Make the output layer say these tokens: one script for each decoding, the last one for all that follow.

    A script's last token is repeated for ever; one that may not be said gives way to the end of the text. Returns a list that
    takes the number of positions of each call.
    """
    ids = [tokens.convert_tokens_to_ids(list(script)) for script in scripts]
    calls: list[int] = []
    state = {"script": -1, "step": 0}

    def speak(_: Any, __: Any, logits: torch.Tensor) -> torch.Tensor:
        calls.append(logits.shape[1])
        begins = logits.shape[1] > 1
        state["script"], state["step"] = (min(state["script"] + 1, len(ids) - 1), 0) if begins else (state["script"], state["step"] + 1)
        script = ids[state["script"]]
        logits = torch.zeros_like(logits)
        logits[..., tokens.eos_token_id] = 10.0
        logits[:, -1, script[min(state["step"], len(script) - 1)]] = 20.0
        return logits

    model.proj_out.register_forward_hook(speak)
    return calls


def pieces(tokens: Any, text: str) -> list[str]:
    """The tokens of a text."""
    return tokens.convert_ids_to_tokens(tokens(text, add_special_tokens=False).input_ids)
