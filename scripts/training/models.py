"""The models and the corpus that trainings are measured on: random weights, so that nothing is downloaded."""

import os
from pathlib import Path
from typing import Any

BASE = {  # the sizes of facebook/wav2vec2-base, 94 million parameters
    "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 3072, "conv_dim": (512,) * 7,
    "conv_kernel": (10, 3, 3, 3, 3, 2, 2), "conv_stride": (5, 2, 2, 2, 2, 2, 2), "num_feat_extract_layers": 7, "conv_bias": False, "feat_extract_norm": "group",
    "do_stable_layer_norm": False, "num_conv_pos_embeddings": 128, "num_conv_pos_embedding_groups": 16, "hidden_dropout": 0.0,
}  # fmt: skip
LARGE = {  # of facebook/wav2vec2-large-lv60, 315 million
    **BASE, "hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "intermediate_size": 4096, "conv_bias": True,
    "feat_extract_norm": "layer", "do_stable_layer_norm": True,
}  # fmt: skip
SIZES: dict[str, dict[str, Any]] = {"small": {}, "base": BASE, "large": LARGE}
FROZEN = {"small": False, "base": True, "large": True}  # the convolutional encoder: of a checkpoint it is, in the script as in asrx
OTHERS = ("wav2vec2-bert", "whisper")  # small ones that hear log-mel features


def corpus(data: str | None, folder: Path) -> Path:
    """The prepared corpus `data`; else the table of recordings that `data` is, or the built-in speech, prepared in `folder`."""
    from asrx import workspace
    from asrx.config import resolve
    from asrx.corpus.prepare import Source, prepare

    if data and (Path(data) / "corpus.json").is_file():
        return Path(data)
    source = Source(data) if data else workspace.builtin("en")
    return prepare(source, folder / "corpus", resolve())[0].folder


def save(kind: str, corpus_folder: Path, folder: Path) -> Path:
    """A model of a kind in `folder`, with a vocabulary of the corpus."""
    import torch

    from asrx.config import resolve
    from asrx.corpus.shards import PreparedCorpus
    from asrx.models import load_family

    torch.manual_seed(0)
    texts = PreparedCorpus.open(corpus_folder).split("train").column("text")
    options = resolve(None, {"model.architecture": kind if kind in OTHERS else "wav2vec2"})
    if kind == "whisper":
        options.extra["model"]["max_source_positions"] = 400
        options.extra["tokenizer"]["vocab_size"] = 300
    options.extra["model"].update({key: list(value) if isinstance(value, tuple) else value for key, value in SIZES.get(kind, {}).items()})
    family = load_family(options, texts)
    if kind == "base":  # as published: it was pre-trained without a mask
        family.feature_extractor.return_attention_mask = False
    family.save(folder)
    return folder


def environment(folder: Path, threads: int | None) -> dict[str, str]:
    """Of a training: its own stores, and so many threads (None: as they are)."""
    own = {"ASRX_HOME": str(folder / "home"), "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db", "HF_HUB_OFFLINE": "1", "HF_HOME": str(folder / "hub")}
    return {**os.environ, **own, **({"OMP_NUM_THREADS": str(threads)} if threads else {})}
