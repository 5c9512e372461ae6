"""Options in the spelling of published training scripts: `trainargs.X`, `w2v2.model.X` and the like, and names that transformers has given up.

trainargs.X                                       trainer.X
w2v2.model.X, w2v2.tok.X, w2v2.fext.X             model.X, tokenizer.X, feature_extractor.X
w2v2.proc.X                                       tokenizer.X or feature_extractor.X, whichever class has the key, or both
w2v2.model.pretrained_model_name_or_path          model.name
w2v2.tok (or proc).pretrained_model_name_or_path  text.vocabulary
"""

import logging
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

from .errors import ConfigError, nearest

log = logging.getLogger("asrx")

TRAINER, AUTHORS_TRAINER, AUTHORS_MODEL = "trainer", "trainargs", "w2v2"
PART = {"model": "model", "tok": "tokenizer", "fext": "feature_extractor"}  # of w2v2
NAME = "pretrained_model_name_or_path"
STRATEGIES = ("evaluation_strategy", "eval_strategy", "save_strategy", "logging_strategy")
GIVEN_UP = ("group_by_length", "train_sampling_strategy", "warmup_ratio", "no_cuda", "evaluation_strategy", "eval_strategy")  # renamed under `trainer`, too
LEFT_OUT = {  # what asrx does whatever such a key says, by key
    "output_dir": "runs are kept under ASRX_HOME", "logging_dir": "runs are kept in MLflow", "report_to": "runs are kept in MLflow",
    "overwrite_output_dir": "each training has a folder of its own; --resume goes on with one", "save_safetensors": "weights are always safetensors",
    "load_best_model_at_end": "the best model is always kept", "metric_for_best_model": "the lowest WER is the best",
    "greater_is_better": "the lowest WER is the best", "length_column_name": "durations are known", "remove_unused_columns": "there are none",
    "do_train": "the command says what is done", "do_eval": "the command says what is done", "disable_tqdm": "bars are for terminals",
}  # fmt: skip
FROM_VOCABULARY = ("vocab_size", "pad_token_id", "bos_token_id", "eos_token_id")
OWN_EXTRACTOR = "the feature extractor is the model's own, changed by keys of feature_extractor"

Option = tuple[str, Any]  # section.key, value


def translated(overrides: Iterable[str]) -> list[str]:
    """Overrides `section.key=value` in asrx's spelling. What is spelled so already, or is no override, stays as it is.

    Raises ConfigError for a key that nothing has, in the spelling in which it was given.
    """
    result = []
    for override in overrides:
        name, equals, value = override.partition("=")
        result += [f"{own}={value}" for own, value in _own(name, value)] if equals else [override]
    return result


def translated_recipe(content: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The sections of a recipe in asrx's spelling; a key of asrx's own outweighs its translation."""
    foreign = {name: content[name] for name in (AUTHORS_TRAINER, AUTHORS_MODEL) if name in content}
    options = [option for name, keys in foreign.items() for leaf, value in _leaves(name, keys) for option in _own(leaf, value)]
    result: dict[str, dict[str, Any]] = {}
    for name, value in [*options, *(option for section, keys in content.items() if section not in foreign for option in _section(section, keys))]:
        section, _, key = name.partition(".")
        result.setdefault(section, {})[key] = value
    return result


def _section(section: str, keys: dict[str, Any]) -> list[Option]:
    return [option for key, value in keys.items() for option in _own(f"{section}.{key}", value)]


def _leaves(name: str, value: Any) -> list[Option]:
    """`section.part.key` of what is nested in a recipe: two levels in `w2v2`, one in `trainargs`."""
    deeper = isinstance(value, dict) and name.count(".") < (2 if name.startswith(AUTHORS_MODEL) else 1)
    return [leaf for key, item in value.items() for leaf in _leaves(f"{name}.{key}", item)] if deeper else [(name, value)]


def _own(name: str, value: Any) -> list[Option]:
    section, _, key = name.partition(".")
    if section == TRAINER and key in GIVEN_UP:
        return _trainer(name, key, value)
    if section == AUTHORS_TRAINER:
        return _trainer(name, key, value)
    return _model(name, *key.partition(".")[::2], value) if section == AUTHORS_MODEL else [(name, value)]


def _trainer(name: str, key: str, value: Any) -> list[Option]:
    if key in STRATEGIES:
        if _text(value) != "steps":
            raise ConfigError(f"{name}={value}: asrx evaluates, saves and logs by steps; give steps, or trainer.eval_steps, save_steps, logging_steps alone")
        return []
    if key in LEFT_OUT:
        return _left_out(name, value, LEFT_OUT[key])
    if key in RENAMED:
        return [RENAMED[key](name, value)]
    _check(name, key, _trainer_keys())
    return [(f"{TRAINER}.{key}", value)]


def _by_length(name: str, value: Any) -> Option:
    if _text(value) not in ("random", "group_by_length"):
        raise ConfigError(f"{name}={value}: must be random or group_by_length, which asrx has as batch.group_by_length")
    return "batch.group_by_length", "true" if _text(value) == "group_by_length" else "false"


def _warmup(name: str, value: Any) -> Option:
    try:
        share = float(value)
    except (TypeError, ValueError):
        share = -1.0
    if not 0 <= share < 1:
        raise ConfigError(f"{name}={value}: must be a share of all steps, from 0 to below 1; steps are given with trainer.warmup_steps")
    return f"{TRAINER}.warmup_steps", value


RENAMED: dict[str, Callable[[str, Any], Option]] = {
    "group_by_length": lambda name, value: ("batch.group_by_length", value), "train_sampling_strategy": _by_length,
    "warmup_ratio": _warmup, "no_cuda": lambda name, value: (f"{TRAINER}.use_cpu", value),
}  # fmt: skip


def _model(name: str, part: str, key: str, value: Any) -> list[Option]:
    parts = (*PART, "proc")
    if part not in parts or not key:
        raise ConfigError(f"there is no option {name}{nearest(part, parts)}; {AUTHORS_MODEL} has {', '.join(f'{item}.KEY' for item in parts)}")
    if key == NAME:
        return _left_out(name, value, OWN_EXTRACTOR) if part == "fext" else [("model.name" if part == "model" else "text.vocabulary", value)]
    if part == "model" and key in FROM_VOCABULARY:
        return _left_out(name, value, "it follows from the vocabulary")
    sections = ("tokenizer", "feature_extractor") if part == "proc" else (PART[part],)
    having = [section for section in sections if key in _keys()[section]]
    if not having:
        _check(name, key, set().union(*(_keys()[section] for section in sections)))
    return [(f"{section}.{key}", value) for section in having]


def _left_out(name: str, value: Any, instead: str) -> list[Option]:
    log.info("%s=%s is left out: %s", name, value, instead)
    return []


def _check(name: str, key: str, known: set[str]) -> None:
    if key not in known:
        raise ConfigError(f"there is no option {name}{nearest(key, known)}")


def _text(value: Any) -> str:
    return str(value).strip("'\" ").lower()


@cache
def _trainer_keys() -> set[str]:
    from dataclasses import fields

    from transformers import TrainingArguments

    return {item.name for item in fields(TrainingArguments) if item.init}


@cache
def _keys() -> dict[str, set[str]]:
    """By section, what the classes have that asrx trains with; the model's own class is asked once more when it is loaded."""
    from transformers import AutoConfig, SeamlessM4TFeatureExtractor, Wav2Vec2FeatureExtractor

    from .models.vocabulary import option_names
    from .options import CHOICES

    models = [AutoConfig.for_model(kind).to_dict() for kind in CHOICES["model.architecture"]]
    extractors = [kind().to_dict() for kind in (Wav2Vec2FeatureExtractor, SeamlessM4TFeatureExtractor)]
    return {"model": set().union(*models), "tokenizer": option_names(), "feature_extractor": set().union(*extractors)}
