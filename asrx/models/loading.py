"""Checkpoints from hub or folder, with one clear line where they cannot be had. Nothing is unpickled."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..errors import ModelError

VOCABULARY_FILES = ("vocab.json", "tokenizer.json", "vocab.txt")


def locate(name: str, weights: bool = True) -> Path:
    """The local folder of a model: the folder itself, or the hub's snapshot, downloaded if need be; without `weights` the small files alone.

    Raises ModelError for a folder that holds no model and for a hub id that cannot be had, naming the cache choices.
    """
    folder = Path(name).expanduser()
    if folder.is_dir():
        if not weights:
            return folder
        if not (folder / "config.json").is_file():
            raise ModelError(f"{name} holds no model: there is no config.json")
        return _with_weights(folder, name)
    if folder.exists() or name.count("/") > 1 or name.startswith((".", "/", "~")):
        raise ModelError(f"there is no model folder {name}")
    return _download(name, weights)


def _with_weights(folder: Path, name: str) -> Path:
    if any((folder / file).is_file() for file in ("model.safetensors", "model.safetensors.index.json")):
        return folder
    pickled = " (pytorch_model.bin is not read: it would have to be unpickled)" if (folder / "pytorch_model.bin").is_file() else ""
    remedy = "; convert it where you trust it: load it with transformers and save_pretrained(folder), then give that folder"
    raise ModelError(f"{name} holds no weights: there is no model.safetensors{pickled}{remedy}")


def _download(name: str, weights: bool) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.utils import disable_progress_bars, enable_progress_bars

    enable_progress_bars() if os.isatty(2) else disable_progress_bars()
    try:
        folder = Path(snapshot_download(name, allow_patterns=["*.json", "*.txt", "*.model", *(["*.safetensors"] if weights else [])]))
    except Exception as error:  # the hub client raises a dozen types; each means that the model cannot be had
        reason = " ".join(str(error).split())[:160]
        raise ModelError(
            f"there is no model folder {name}, and the hub model {name} cannot be had ({type(error).__name__}: {reason}). "
            "Without internet: download it elsewhere, set HF_HOME to its cache and HF_HUB_OFFLINE=1, or give a folder"
        ) from None
    return _with_weights(folder, name) if weights else folder


def config(folder: Path) -> Any:
    """The model's configuration."""
    from transformers import AutoConfig

    return quietly(lambda: AutoConfig.from_pretrained(folder, trust_remote_code=False), str(folder))


def ctc_types() -> set[str]:
    """Model types that transformers has a CTC model for."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_CTC_MAPPING_NAMES

    return set(MODEL_FOR_CTC_MAPPING_NAMES)


def seq2seq_types() -> set[str]:
    """Model types of encoder-decoder recognisers that asrx trains."""
    return {"whisper"}


def has_vocabulary(folder: Path) -> bool:
    """Whether the folder holds a vocabulary."""
    return any((folder / name).is_file() for name in VOCABULARY_FILES)


def tokenizer(folder: Path, options: dict[str, Any]) -> Any:
    """The folder's tokenizer. ModelError if there is none or it has no blank (pad) token."""
    from transformers import AutoTokenizer

    if not has_vocabulary(folder):
        raise ModelError(f"the model {folder} has no vocabulary (vocab.json): it cannot turn its output into text")
    loaded = quietly(lambda: AutoTokenizer.from_pretrained(folder, trust_remote_code=False, **options), str(folder))
    if loaded.pad_token_id is None:
        raise ModelError(f"the vocabulary of {folder} has no pad token, which is the CTC blank")
    return loaded


def feature_extractor(folder: Path) -> Any:
    """The folder's feature extractor."""
    from transformers import AutoFeatureExtractor

    return quietly(lambda: AutoFeatureExtractor.from_pretrained(folder, trust_remote_code=False), str(folder))


def quietly(load: Callable[[], Any], name: str) -> Any:
    """`load()`, with transformers' own errors as one ModelError."""
    from huggingface_hub.errors import StrictDataclassError
    from safetensors import SafetensorError

    try:
        return load()
    except (OSError, ValueError, KeyError, RuntimeError, TypeError, StrictDataclassError, SafetensorError) as error:
        raise ModelError(f"the model {name} cannot be loaded: {' '.join(str(error).split())[:300]}") from None


def quiet_transformers() -> None:
    """transformers' own bars and notes out of the way of ours."""
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
