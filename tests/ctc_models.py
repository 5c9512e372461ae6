"""Tiny CTC models as plain transformers writes them: no code of asrx is involved."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import transformers

KINDS = ("wav2vec2", "wav2vec2-bert", "wav2vec2-bert+adapter", "hubert", "wavlm", "wav2vec2-conformer", "data2vec-audio", "unispeech", "unispeech-sat")
LETTERS = "abcdefghijklmnopqrstuvwxyz'"
SPECIAL = (1, 2, 3)  # <s>, </s>, <unk>
ENCODER = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48, "layerdrop": 0.0}
WAVEFORM = {
    "conv_dim": (16, 32), "conv_kernel": (40, 32), "conv_stride": (20, 16), "num_feat_extract_layers": 2, "feat_extract_norm": "layer",
    "num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 4,
}  # fmt: skip


def vocabulary(letters: str = LETTERS) -> dict[str, int]:
    """As facebook's checkpoints have it: <pad> is 0, four special tokens in all."""
    return {token: index for index, token in enumerate(["<pad>", "<s>", "</s>", "<unk>", "|", *letters])}


def config(kind: str, outputs: int, **more: Any) -> Any:
    """A configuration of a kind."""
    from transformers import AutoConfig

    name, _, adapter = kind.partition("+")
    own = {} if name == "wav2vec2-bert" else dict(WAVEFORM)
    if name == "data2vec-audio":  # its positional convolutions are several small ones
        own.update(num_conv_pos_embeddings=2)
    return AutoConfig.for_model(name, **{**ENCODER, **own, "vocab_size": outputs, "pad_token_id": 0, **({"add_adapter": True} if adapter else {}), **more})


def extractor(kind: str) -> Any:
    """The feature extractor of a kind."""
    from transformers import SeamlessM4TFeatureExtractor, Wav2Vec2FeatureExtractor

    return SeamlessM4TFeatureExtractor() if kind.startswith("wav2vec2-bert") else Wav2Vec2FeatureExtractor(return_attention_mask=True)


def make(folder: Path, kind: str, **more: Any) -> Path:
    """A model, with a processor, that says letters at random."""
    from transformers import AutoModelForCTC, Wav2Vec2BertProcessor, Wav2Vec2CTCTokenizer, Wav2Vec2Processor

    torch.manual_seed(0)
    model = AutoModelForCTC.from_config(config(kind, len(vocabulary()), **more))
    talkative(model)
    model.save_pretrained(folder)
    (folder / "source.json").write_text(json.dumps(vocabulary()))
    processor = Wav2Vec2BertProcessor if kind.startswith("wav2vec2-bert") else Wav2Vec2Processor
    processor(feature_extractor=extractor(kind), tokenizer=Wav2Vec2CTCTokenizer(str(folder / "source.json"))).save_pretrained(folder)
    return folder


def talkative(model: Any, silent: Sequence[int] = SPECIAL, inputs: dict[str, Any] | None = None) -> None:
    """Weights of the output layer that say something else in each frame (of `inputs`), though no `silent` tokens: a new model says nothing."""
    with torch.no_grad():
        model.lm_head.weight.normal_(0, 3)
        if inputs:
            usual = model.base_model.eval()(**inputs).last_hidden_state.mean((0, 1))
            model.lm_head.bias.copy_(-model.lm_head.weight @ usual)
        model.lm_head.bias[list(silent)] = -1e3


def make_mms(folder: Path, letters: dict[str, str]) -> Path:
    """A model with an adapter and a vocabulary for each language: {language: its letters}."""
    from safetensors.torch import save_file
    from transformers import Wav2Vec2CTCTokenizer, Wav2Vec2ForCTC

    torch.manual_seed(0)
    vocabularies = {language: vocabulary(own) for language, own in letters.items()}
    folder.mkdir()
    for language, tokens in vocabularies.items():
        torch.manual_seed(len(tokens))
        model = Wav2Vec2ForCTC(config("wav2vec2", len(tokens), adapter_attn_dim=8, do_stable_layer_norm=True))
        talkative(model)
        for name, weight in model._get_adapters().items():
            if "adapter_layer" in name:
                torch.nn.init.normal_(weight, 0, 0.3)
        save_file({name: weight.detach() for name, weight in model._get_adapters().items()}, str(folder / f"adapter.{language}.safetensors"))
    model.save_pretrained(folder)  # with the adapter of the last language
    (folder / "source.json").write_text(json.dumps(vocabularies))
    Wav2Vec2CTCTokenizer(str(folder / "source.json"), target_lang=list(letters)[-1]).save_pretrained(folder)
    extractor("wav2vec2").save_pretrained(folder)
    return folder


def heard_by_transformers(folder: Path, waveforms: Sequence[Any], **target: str) -> list[str]:
    """Text of each waveform by AutoModelForCTC and AutoProcessor, one after the other."""
    from transformers import AutoModelForCTC, AutoProcessor

    model, processor = AutoModelForCTC.from_pretrained(folder, **target).eval(), AutoProcessor.from_pretrained(folder, **target)
    with torch.inference_mode():
        logits = [model(**processor(waveform, sampling_rate=16_000, return_tensors="pt")).logits[0] for waveform in waveforms]
    return [" ".join(processor.decode(frames.argmax(-1)).split()) for frames in logits]


def take_steps(family: Any, waveforms: Sequence[Any], texts: Sequence[str], steps: int = 3) -> float:
    """The loss after a few optimizer steps on one batch."""
    transformers.set_seed(0)  # of SpecAugment, too
    family.model.train()
    optimizer = torch.optim.AdamW([parameter for parameter in family.model.parameters() if parameter.requires_grad], lr=1e-3)
    for seed in range(steps):
        batch = family.collate(waveforms, family.labels(texts), [(seed, number) for number in range(len(texts))])
        loss = family.loss(family.model(**batch), batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    family.model.eval()
    return float(loss.detach())
