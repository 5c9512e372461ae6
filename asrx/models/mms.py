"""MMS (Pratap et al. 2023): one model, and for each language small adapters in its layers, an output layer and a vocabulary."""

from pathlib import Path
from typing import Any

from ..config import Config
from ..errors import ConfigError, ModelError, nearest
from ..files import read_json
from . import loading

SHOWN = 40  # languages that an error names


def languages(folder: Path) -> list[str]:
    """Languages in a vocabulary of the form {language: {token: id}}; none in a flat one."""
    vocabulary = read_json(folder / "vocab.json") or {}
    return sorted(name for name, tokens in vocabulary.items() if isinstance(tokens, dict))


def language(folder: Path | None, options: Config) -> str | None:
    """The language to be trained: that of `model.target_lang`, or the only one; None for a model without adapters per language.

    Raises ConfigError for a language that is not given, one that the model lacks unless its vocabulary is to be built, and one given for
    a model that has no adapters.
    """
    wanted, known = options.model.target_lang, languages(folder) if folder else []
    has_adapters = folder is not None and getattr(loading.config(folder), "adapter_attn_dim", None) is not None
    if not has_adapters or (not known and not wanted):
        if wanted:
            raise ConfigError(f"model.target_lang={wanted}: the model {options.model.name} has no adapters for languages, as MMS has")
        return None
    if wanted is None and len(known) > 1:
        raise ConfigError(f"the model {options.model.name} has an adapter for each language: give model.target_lang; {_listed(known)}")
    if wanted not in (None, *known) and options.text.vocabulary != "build":
        raise ConfigError(
            f"model.target_lang={wanted}: the model {options.model.name} lacks that language{nearest(wanted, known)}; {_listed(known)}; "
            "text.vocabulary=build begins a new adapter"
        )
    return wanted or known[0]


def load_adapter(model: Any, folder: Path, name: str, spoken: str, with_head: bool) -> None:
    """Put a language's adapters, and with `with_head` its output layer, into the model; one that the checkpoint lacks begins anew."""
    if spoken not in languages(folder):
        _begin(model)
        return
    from safetensors.torch import load_file

    weights = loading.quietly(lambda: load_file(str(loading.adapter(name, folder, spoken))), name)
    wanted = {key: value for key, value in weights.items() if with_head or not key.startswith("lm_head.")}
    own = {key: value.shape for key, value in model._get_adapters().items() if with_head or not key.startswith("lm_head.")}
    if {key: value.shape for key, value in wanted.items()} != own:
        raise ModelError(f"the adapter of {spoken} does not fit the model {name}: names or sizes of its weights are others")
    model.load_state_dict(wanted, strict=False)


def save_adapter(model: Any, folder: Path, spoken: str) -> None:
    """What `load_adapter` of transformers reads."""
    from safetensors.torch import save_file

    weights = {key: value.detach().cpu().contiguous() for key, value in model._get_adapters().items()}
    save_file(weights, str(folder / loading.ADAPTER.format(spoken)), metadata={"format": "pt"})


def _begin(model: Any) -> None:
    """Adapters that change next to nothing yet. `init_adapter_layers` of transformers leaves those that were loaded as they are."""
    import torch

    with torch.no_grad():
        for name, weight in model._get_adapters().items():
            if "adapter_layer" in name and weight.dim() > 1:
                weight.normal_(0, model.config.initializer_range)
            elif "adapter_layer" in name:
                weight.fill_(1.0 if name.endswith("norm.weight") else 0.0)


def _listed(known: list[str]) -> str:
    more = f", … ({len(known):,} in vocab.json)" if len(known) > SHOWN else ""
    return f"it has {', '.join(known[:SHOWN]) or 'none'}{more}"
