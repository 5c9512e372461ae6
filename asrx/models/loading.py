"""Checkpoints from hub or folder, with one clear line where they cannot be had. Nothing is unpickled."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..errors import ModelError

VOCABULARY_FILES = ("vocab.json", "tokenizer.json", "vocab.txt")
SMALL_FILES = ["*.json", "*.txt", "*.model"]
WEIGHTS = "model*.safetensors"  # not the adapters beside them: MMS has a thousand, 10 GB together
ADAPTER = "adapter.{}.safetensors"  # of a language
CONVERTER = "SFconvertbot"  # the hub's own account that offers conversions to safetensors as pull requests


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


def _has_weights(folder: Path) -> bool:
    return any((folder / file).is_file() for file in ("model.safetensors", "model.safetensors.index.json"))


def _with_weights(folder: Path, name: str) -> Path:
    if _has_weights(folder):
        return folder
    pickled = " (pytorch_model.bin is not read: it would have to be unpickled)" if (folder / "pytorch_model.bin").is_file() else ""
    remedy = "; convert it where you trust it: load it with transformers and save_pretrained(folder), then give that folder"
    raise ModelError(f"{name} holds no weights: there is no model.safetensors{pickled}{remedy}")


def _download(name: str, weights: bool) -> Path:
    if not weights:
        return _snapshot(name, SMALL_FILES)
    folder = _snapshot(name, [*SMALL_FILES, WEIGHTS])
    if not _has_weights(folder) and (revision := _conversion(name)):
        folder = _snapshot(name, [*SMALL_FILES, WEIGHTS], revision)
    return _with_weights(folder, name)


def _snapshot(name: str, patterns: list[str], revision: str | None = None) -> Path:
    """The hub's files of a revision (None: main). ModelError where they cannot be had."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.utils import disable_progress_bars, enable_progress_bars

    enable_progress_bars() if os.isatty(2) else disable_progress_bars()
    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=patterns))
    except Exception as error:  # the hub client raises a dozen types; each means that the model cannot be had
        reason = " ".join(str(error).split())[:160]
        raise ModelError(
            f"there is no model folder {name}, and the hub model {name} cannot be had ({type(error).__name__}: {reason}). "
            "Without internet: download it elsewhere, set HF_HOME to its cache and HF_HUB_OFFLINE=1, or give a folder"
        ) from None


def _conversion(name: str) -> str | None:
    """The revision of a hub model that holds its weights as safetensors: one in the cache, else the newest that the hub's converter offers."""
    from huggingface_hub import HfApi, scan_cache_dir
    from huggingface_hub.errors import CacheNotFound

    try:
        cached = [revision for repository in scan_cache_dir().repos if repository.repo_id == name for revision in repository.revisions]
    except CacheNotFound:
        cached = []
    held = [ref for revision in cached if _has_weights(revision.snapshot_path) for ref in revision.refs if ref.startswith("refs/pr/")]
    if held:
        return max(held)
    try:
        found = list(HfApi().get_repo_discussions(name, author=CONVERTER, discussion_type="pull_request", discussion_status="open"))
    except Exception:  # as in _snapshot; that there are no weights is said anyway
        return None
    numbers = [offer.num for offer in found if "safetensors" in offer.title.lower()]
    return f"refs/pr/{max(numbers)}" if numbers else None


def adapter(name: str, folder: Path, language: str) -> Path:
    """The file of a language's adapter in the model `name`, which lies in `folder`; downloaded if need be. ModelError if there is none."""
    file = ADAPTER.format(language)
    if not Path(name).expanduser().is_dir() and not (folder / file).is_file():
        folder = _snapshot(name, [file])
    if not (folder / file).is_file():
        raise ModelError(f"the model {name} has a vocabulary for {language} but no {file}; a .bin is not read: it would have to be unpickled")
    return folder / file


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
    from ..recognizer.tokens import read_tokenizer

    if not has_vocabulary(folder):
        raise ModelError(f"the model {folder} has no vocabulary (vocab.json): it cannot turn its output into text")
    loaded = quietly(lambda: read_tokenizer(folder, **options), str(folder))
    if loaded.pad_token_id is None:
        raise ModelError(f"the vocabulary of {folder} has no pad token, which pads labels and is the blank of CTC")
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
