"""The configuration of a run: recipes, command-line options and `section.key=value` overrides over the defaults of options.py.

Precedence, weakest first: the defaults, the recipe, command-line options, overrides. The sections `model`,
`tokenizer`, `feature_extractor` and `trainer` also take any key of the transformers class that receives them.
"""

import dataclasses
import hashlib
import json
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .errors import ConfigError, nearest
from .options import (
    AUTO,
    CHARACTERS,
    CHOICES,
    HEARD,
    NAMES,
    OPEN_SECTIONS,
    OWN_SECTIONS,
    PREPARED,
    RANGES,
    SHARED,
    SPELLED,
    SUPERVISED,
    Augment,
    Batch,
    Checkpoint,
    Data,
    Gate,
    Model,
    Pretraining,
    Text,
    Trainer,
)
from .spelling import translated, translated_recipe

RECIPES = Path(__file__).parent / "recipes"


@dataclass
class Config:
    """All sections; `extra` holds the keys that transformers classes receive, by section."""

    data: Data = field(default_factory=Data)
    text: Text = field(default_factory=Text)
    model: Model = field(default_factory=Model)
    batch: Batch = field(default_factory=Batch)
    augment: Augment = field(default_factory=Augment)
    trainer: Trainer = field(default_factory=Trainer)
    checkpoint: Checkpoint = field(default_factory=Checkpoint)
    pretraining: Pretraining = field(default_factory=Pretraining)
    gate: Gate = field(default_factory=Gate)
    extra: dict[str, dict[str, Any]] = field(default_factory=lambda: {name: {} for name in OPEN_SECTIONS})

    def flat(self) -> dict[str, Any]:
        """`section.key` → value of everything, transformers keys included."""
        return {f"{section}.{key}": value for section, keys in self.sections().items() for key, value in keys.items()}

    def sections(self) -> dict[str, dict[str, Any]]:
        """Section → key → value, as `config.yaml` has it."""
        own = {name: dataclasses.asdict(getattr(self, name)) for name in OWN_SECTIONS}
        return {name: {**own.get(name, {}), **self.extra.get(name, {})} for name in dict.fromkeys([*OWN_SECTIONS, *OPEN_SECTIONS])}

    def digest(self, *sections: str) -> str:
        """Digest of the named sections: equal digests mean equal options."""
        chosen = {name: value for name, value in self.sections().items() if name in sections}
        return hashlib.sha256(json.dumps(chosen, sort_keys=True, default=str).encode()).hexdigest()[:16]

    def yaml(self) -> str:
        """The whole configuration as YAML that `--recipe FILE` reads back."""
        from omegaconf import OmegaConf

        return OmegaConf.to_yaml(OmegaConf.create(json.loads(json.dumps(self.sections()))))


def recipe_names() -> list[str]:
    """Names of the recipes that come with asrx."""
    return sorted(path.stem for path in RECIPES.glob("*.yaml"))


def recipe_summary(name: str) -> str:
    """The first comment line of a recipe: what it is for."""
    return (RECIPES / f"{name}.yaml").read_text(encoding="utf-8").partition("\n")[0].lstrip("# ")


def of_stage(stage: str, overrides: Iterable[str]) -> list[str]:
    """`overrides`, if the stage reads each of them. ConfigError for one that would change nothing there.

    Keys that do not exist are left to `resolve`, which names the nearest one.
    """
    overrides = translated(overrides)
    known = Config().flat()
    for name in (override.partition("=")[0] for override in overrides):
        section = name.partition(".")[0]
        readers = _readers(name, section)
        if stage not in readers and (name in known or section in OPEN_SECTIONS):
            raise ConfigError(f"{name} is an option of {' and '.join(readers)}; {stage} does not read it")
    return overrides


def _readers(name: str, section: str) -> tuple[str, ...]:
    """The stages that read an option."""
    if name in PREPARED:
        return ("prepare", "pretrain") if name in HEARD else ("prepare",)
    if name in SHARED:
        return ("prepare", "train") if name == "text.case" else ("prepare", "train", "pretrain")
    if section in ("gate", "pretraining"):
        return ("compare",) if section == "gate" else ("pretrain",)
    return ("train",) if {name, section} & SUPERVISED else ("train", "pretrain")


def resolve(recipe: str | None = None, options: dict[str, Any] | None = None, overrides: Iterable[str] = ()) -> Config:
    """The configuration of a run from a recipe (name or YAML file), options (`section.key` → value) and overrides.

    Raises ConfigError for an unknown recipe, section or key (naming the nearest valid one) or an impossible value.
    """
    layers = [_read_recipe(recipe)] if recipe else []
    layers.append(_nested({key: value for key, value in (options or {}).items() if value is not None}))
    layers.append(_parse_overrides(overrides))
    for layer in layers[-2:]:  # the epochs that somebody types outweigh the steps of a recipe
        if "num_train_epochs" in layer.get("trainer", {}):
            layer["trainer"].setdefault("max_steps", -1)
    config = Config()
    for section, keys in _merged(layers).items():
        _fill(config, section, keys)
    _check(config)
    return config


def _merged(layers: list[dict[str, Any]]) -> dict[str, Any]:
    """The layers, later ones over earlier ones, with `${section.key}` replaced by the value that it names."""
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    try:
        return OmegaConf.to_container(OmegaConf.merge(*[OmegaConf.create(layer) for layer in layers]), resolve=True)
    except OmegaConfBaseException as error:
        raise ConfigError(f"the options cannot be put together: {str(error).partition(chr(10))[0]}") from None


def _read_recipe(recipe: str) -> dict[str, Any]:
    import yaml

    path = RECIPES / f"{recipe}.yaml"
    if recipe.endswith((".yaml", ".yml")):
        path = Path(recipe)
    if not path.is_file():
        known = recipe_names()
        raise ConfigError(f"there is no recipe '{recipe}'{nearest(recipe, known)}; recipes: {', '.join(known)}, or a YAML file")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except yaml.YAMLError as error:
        raise ConfigError(f"recipe {path} is not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict) or not all(isinstance(keys, dict) for keys in content.values()):
        raise ConfigError(f"recipe {path} must hold sections ({', '.join(_section_names())}) with keys")
    return translated_recipe(content)


def _parse_overrides(overrides: Iterable[str]) -> dict[str, Any]:
    from omegaconf import OmegaConf

    overrides = translated(overrides)
    for override in overrides:
        if not re.match(r"[^.=\s]+\.[^=\s]+=", override):
            raise ConfigError(f"override '{override}' must read section.key=value, for example trainer.learning_rate=1e-4")
    try:
        return _as_typed(OmegaConf.to_container(OmegaConf.from_dotlist(overrides)), overrides)
    except Exception as error:  # OmegaConf raises YAML's and its own errors alike; all of them mean bad text
        raise ConfigError(f"overrides {' '.join(overrides)}: {' '.join(str(error).split())}") from None


def _as_typed(parsed: dict[str, Any], overrides: list[str]) -> dict[str, Any]:
    """`parsed`, with the text that was typed where YAML made a number or a list of the characters of an option that is text."""
    for name, _, typed in (override.partition("=") for override in overrides):
        section, _, key = name.partition(".")
        value = parsed.get(section, {}).get(key)
        if name in CHARACTERS and value is not None and not isinstance(value, str):
            parsed[section][key] = typed
    return parsed


def _nested(flat: dict[str, Any]) -> dict[str, Any]:
    nested: dict[str, Any] = {}
    for name, value in flat.items():
        section, _, key = name.partition(".")
        nested.setdefault(section, {})[key] = value
    return nested


def _section_names() -> list[str]:
    return list(dict.fromkeys([*OWN_SECTIONS, *OPEN_SECTIONS]))


def _fill(config: Config, section: str, keys: Any) -> None:
    if section not in _section_names():
        raise ConfigError(f"there is no section '{section}'{nearest(section, _section_names())}; sections: {', '.join(_section_names())}")
    if not isinstance(keys, dict):
        raise ConfigError(f"section '{section}' holds keys, for example {section}.key=value")
    own = getattr(config, section, None)
    fields = {item.name: item for item in dataclasses.fields(own)} if own is not None else {}
    for key, value in keys.items():
        if key in fields:
            setattr(own, key, _convert(f"{section}.{key}", value, getattr(own, key)))
        elif section in OPEN_SECTIONS:
            config.extra[section][key] = value
        else:
            raise ConfigError(f"there is no option {section}.{key}{nearest(key, fields)}; {section} has {', '.join(fields)}")


def _convert(name: str, value: Any, default: Any) -> Any:
    """`value` as the type of the option's default. YAML reads 1e-4 as text; numbers are parsed here."""
    if name in CHOICES:
        return _choices(name, value) if isinstance(default, tuple) else _choice(name, value)
    if isinstance(default, bool):
        return as_bool(name, value)
    if default == AUTO and name not in NAMES:
        return value if value == AUTO else as_bool(name, value, "true, false or auto")
    if isinstance(default, (int, float)):
        return _number(name, value, isinstance(default, int))
    if isinstance(default, tuple):
        if not isinstance(value, (list, tuple)) or len(value) != len(default):
            raise ConfigError(f"{name}={value}: must be {len(default)} numbers, for example {name}=[{', '.join(map(str, default))}]")
        return tuple(_number(name, item, False) for item in value)
    return None if value is None else str(value)


def _choice(name: str, value: Any) -> Any:
    if value not in CHOICES[name]:
        raise ConfigError(f"{name}={value}: must be one of {', '.join(filter(None, CHOICES[name]))}")
    return value


def _choices(name: str, value: Any) -> tuple[Any, ...]:
    values = tuple(value) if isinstance(value, (list, tuple)) else (value,)
    if not values:
        raise ConfigError(f"{name}=[]: must be some of {', '.join(CHOICES[name])}")
    return tuple(_choice(name, item) for item in values)


def _number(name: str, value: Any, whole: bool) -> int | float:
    shown = f"{SPELLED.get(name, name)}={value}"
    try:
        number = float(value)
        if isinstance(value, bool) or not math.isfinite(number) or (whole and number != int(number)):
            raise ValueError
    except (TypeError, ValueError, OverflowError):
        raise ConfigError(f"{shown}: must be a {'whole ' if whole else ''}number") from None
    low, high = RANGES.get(name, (None, None))
    if (low is not None and number < low) or (high is not None and number > high):
        raise ConfigError(f"{shown}: must be {_range_text(low, high)}")
    return int(number) if whole else number


def _range_text(low: float | None, high: float | None) -> str:
    if low == 1e-9 or (low == 0 and high is None):
        return "above 0" if low else "0 or more"
    return f"{low:g} or more" if high is None else f"from {low:g} to {high:.12g}"


def as_bool(name: str, value: Any, choices: str = "true or false") -> bool:
    """True or false from what YAML or a person wrote; ConfigError otherwise."""
    if str(value).lower() in ("true", "yes", "1", "on"):
        return True
    if str(value).lower() in ("false", "no", "0", "off"):
        return False
    raise ConfigError(f"{name}={value}: must be {choices}")


def _check(config: Config) -> None:
    data, alphabet = config.data, config.text.alphabet
    if config.pretraining.temperature_end > config.pretraining.temperature_start:
        raise ConfigError(f"pretraining.temperature_end={config.pretraining.temperature_end:g}: the temperature falls, from temperature_start")
    for low, high, equal in (("min_seconds", "max_seconds", False), ("min_chars_per_second", "max_chars_per_second", False), ("min_rate", "max_rate", True)):
        below, above = getattr(data, low), getattr(data, high)
        if below > above or (below == above and not equal):
            raise ConfigError(f"data.{low}={below:g} must be below data.{high}={above:g}")
    if alphabet is not None and not alphabet.strip():
        raise ConfigError("text.alphabet is empty: give the characters that may occur, a vocab.json, or a model folder or hub id")
    if config.augment.noise_snr[0] > config.augment.noise_snr[1]:
        raise ConfigError(f"augment.noise_snr={list(config.augment.noise_snr)}: the first number is the lower one")
    _check_augmentation(config)
    if config.checkpoint.average_best == 1:
        raise ConfigError("checkpoint.average_best=1 averages nothing: give 2 or more, or 0")
    if config.trainer.max_steps == 0:
        raise ConfigError("trainer.max_steps=0: must be 1 or more, or -1 to train by epochs")


def _check_augmentation(config: Config) -> None:
    """A folder that nothing is drawn from, and a probability of what there is none of, would be silently without effect."""
    augment = config.augment
    for name in ("noise", "reverb"):
        folder, probability = getattr(augment, name), getattr(augment, f"{name}_probability")
        if folder and not probability:
            raise ConfigError(f"augment.{name}={folder}: none of it is heard with augment.{name}_probability=0; give a share of the utterances, such as 0.5")
    if augment.reverb_probability and not augment.reverb:
        raise ConfigError(f"augment.reverb_probability={augment.reverb_probability:g} needs augment.reverb=FOLDER, a folder of impulse responses")
