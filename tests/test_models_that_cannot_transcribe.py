"""Which recognizer a folder needs is read from its configuration; a model that gives no text says so in a line."""

import json
from pathlib import Path
from typing import Any

import pytest
import transformers
import whisper_models as whisper

from asrx import recognizer

TINY = {
    "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16, "conv_dim": (8,), "conv_kernel": (400,),
    "conv_stride": (320,), "num_feat_extract_layers": 1, "num_conv_pos_embeddings": 4, "num_conv_pos_embedding_groups": 2, "vocab_size": 30,
    "codevector_dim": 16, "proj_codevector_dim": 16,
}  # fmt: skip


def wav2vec2(folder: Path, kind: str) -> Path:
    getattr(transformers, kind)(transformers.Wav2Vec2Config(**TINY)).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("kind", ["Wav2Vec2ForPreTraining", "Wav2Vec2Model", "Wav2Vec2ForSequenceClassification"])
def test_a_model_without_output_layer(kind: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"{kind} in .* cannot transcribe: it has no output layer; fine-tune it first"):
        recognizer.load(wav2vec2(tmp_path, kind), "cpu")


def test_whisper_without_output_layer(tmp_path: Path) -> None:
    tokens = whisper.tokenizer()
    whisper.save(tmp_path, whisper.untrained(tokens).model, tokens)
    with pytest.raises(ValueError, match="WhisperModel in .* cannot transcribe: it has no output layer; fine-tune it first"):
        recognizer.load(tmp_path, "cpu")


@pytest.mark.parametrize(
    ("config", "complaint"),
    [
        (transformers.BertConfig(), "bert is no kind of speech recogniser"),
        (transformers.MoonshineConfig(), "is a moonshine, which asrx cannot decode"),
        (transformers.Speech2TextConfig(), "is a speech_to_text, which asrx cannot decode"),
    ],
)
def test_models_of_other_kinds(config: Any, complaint: str, tmp_path: Path) -> None:
    config.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=complaint):
        recognizer.load(tmp_path, "cpu")


@pytest.mark.parametrize("named", [True, False])
def test_each_kind_gets_its_recognizer(named: bool, tmp_path: Path) -> None:
    from asrx.models import vocabulary

    tokens = whisper.tokenizer()
    spoken = whisper.save(tmp_path / "whisper", whisper.untrained(tokens), tokens)
    spelled = wav2vec2(tmp_path / "ctc", "Wav2Vec2ForCTC")
    vocabulary.build(["hello"], {}).save_pretrained(spelled)
    transformers.Wav2Vec2FeatureExtractor().save_pretrained(spelled)
    for folder, name in ((spoken, "Seq2SeqRecognizer"), (spelled, "CtcRecognizer")):
        config = json.loads((folder / "config.json").read_text())
        if not named:  # as some configurations written by hand are
            del config["architectures"]
            (folder / "config.json").write_text(json.dumps(config))
        loaded = recognizer.load(folder, "cpu")
        assert type(loaded).__name__ == name
        assert loaded.device.type == "cpu" and loaded.model.training is False
