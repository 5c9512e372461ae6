"""The space of a search, written in the overrides themselves.

KEY=LOW..HIGH       a number in between, bounds included; a whole one where the option is, or where both bounds of a transformers key are
KEY=LOW..HIGH:log   the same, evenly over its logarithm
KEY=A,B,C           one of these, where the commas stand outside of brackets and quotation marks
KEY=VALUE           the same in every trial
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from ..config import Config
from ..errors import ConfigError
from ..options import SHARED

NUMBER = r"[-+]?(?:\d+(?:\.\d+)?|\.\d+)(?:[eE][-+]?\d+)?"
RANGE = re.compile(rf"({NUMBER})\.\.({NUMBER})(:log)?")
RANGE_BEGUN = re.compile(rf"{NUMBER}\.\.")
SAME_FOR_ALL = {  # options that a search cannot vary
    **dict.fromkeys(SHARED, "all trials train on one corpus"),
    "data.eval_utterances": "all trials are measured on the same utterances",
}


@dataclass(frozen=True)
class Dimension:
    """One option that a search varies."""

    name: str  # section.key
    typed: str  # what stood behind the =
    choices: tuple[str, ...] = ()  # texts of overrides; none: a number between the bounds
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    whole: bool = False

    @property
    def ends(self) -> tuple[str, ...]:
        """What has to be possible for all of the dimension to be: every choice, or both bounds, as overrides."""
        return tuple(f"{self.name}={value}" for value in self.choices or (self.low, self.high))

    def suggest(self, trial: Any) -> str:
        """The override of an optuna Trial."""
        if self.choices:
            value = trial.suggest_categorical(self.name, self.choices)
        else:
            value = (trial.suggest_int if self.whole else trial.suggest_float)(self.name, self.low, self.high, log=self.log)
        return f"{self.name}={value}"


def split(overrides: Iterable[str]) -> tuple[list[str], list[Dimension]]:
    """The overrides that are the same in every trial, and the dimensions. ConfigError for what no search can vary, or a range without extent."""
    known = Config().flat()
    fixed, dimensions = [], {}
    for override in overrides:
        name, _, typed = override.partition("=")
        dimension = _dimension(name, typed, known)
        if not dimension:
            fixed.append(override)
        elif name in dimensions:
            raise ConfigError(f"{override}: {name} was given {dimensions[name].typed} before")
        else:
            dimensions[name] = dimension
    return fixed, list(dimensions.values())


def _dimension(name: str, typed: str, known: dict[str, Any]) -> Dimension | None:
    choices = _choices(typed)
    if len(choices) < 2 and not RANGE_BEGUN.match(typed):
        return None
    if name in SAME_FOR_ALL:
        raise ConfigError(f"{name}={typed}: a search cannot vary it: {SAME_FOR_ALL[name]}")
    if len(choices) < 2:
        return _range(name, typed, known)
    if "" in choices or len(set(choices)) < len(choices):
        raise ConfigError(f"{name}={typed}: give values that differ, with a comma between them; a text with commas stands in quotation marks")
    return Dimension(name, typed, choices)


def _range(name: str, typed: str, known: dict[str, Any]) -> Dimension:
    match = RANGE.fullmatch(typed)
    if not match:
        raise ConfigError(f"{name}={typed}: a range reads LOW..HIGH or LOW..HIGH:log, for example 1e-4..1e-2:log")
    default = known.get(name, 0.0)
    if isinstance(default, bool) or not isinstance(default, (int, float)):
        raise ConfigError(f"{name}={typed}: the option is no number; give its values with a comma between them")
    bounds = match.group(1, 2)
    both_whole = all(re.fullmatch(r"[-+]?\d+", bound) for bound in bounds)
    whole = both_whole if name not in known else isinstance(default, int)
    if whole and not both_whole:
        raise ConfigError(f"{name}={typed}: the option is a whole number, and so are the bounds of its range")
    low, high = (int(bound) if whole else float(bound) for bound in bounds)
    if not low < high or (match[3] and low <= 0):
        raise ConfigError(f"{name}={typed}: LOW must be below HIGH{', and above 0 on a logarithm' if match[3] else ''}")
    return Dimension(name, typed, (), low, high, bool(match[3]), whole)


def _choices(typed: str) -> tuple[str, ...]:
    """The parts between the commas that stand outside of brackets and quotation marks."""
    parts, depth, quoted = [""], 0, ""
    for character in typed:
        if quoted:
            quoted = "" if character == quoted else quoted
        elif character in "'\"":
            quoted = character
        depth += (not quoted and character in "[{(") - (not quoted and character in ")}]")
        if character == "," and not quoted and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return tuple(part.strip() for part in parts)
