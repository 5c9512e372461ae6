"""The report of a preparation: pictures of durations and characters, and a page of text. The same corpus gives the same bytes."""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from .rules import RULES

COLOURS = {"train": "tab:blue", "validation": "tab:orange", "test": "tab:green"}
MOST_BINS = 64
BIN_WIDTHS = (0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 3600.0)  # s; round, so that bounds fall between bins
MOST_SHOWN = 100  # characters in the picture: the most frequent and the rarest
RARE = 20  # occurrences in train; below it little can be learned of a character
DOTTED_CIRCLE = "\u25cc"  # carries a combining mark that stands alone
PLACEHOLDERS = "Last Resort"  # a font with a box for every code point
DPI = 110


def durations_figure(path: Path, seconds: Mapping[str, np.ndarray], bounds: tuple[float, float]) -> None:
    """A PNG with a histogram of durations (s) per split, one below the other, and the bounds (s) as dashed lines."""
    from matplotlib.figure import Figure

    panels = {name: np.asarray(values) for name, values in seconds.items() if len(values)}
    edges = _edges(max((float(values.max()) for values in panels.values()), default=bounds[1]), bounds[1])
    figure = Figure(figsize=(9, 0.8 + 2.1 * max(1, len(panels))), layout="constrained")
    rows = figure.subplots(max(1, len(panels)), 1, sharex=True, squeeze=False)[:, 0]
    for axes, (name, values) in zip(rows, panels.items()):
        axes.hist(values, edges, color=COLOURS.get(name, "tab:gray"))
        axes.set_title(_summary(name, values), fontsize=10, loc="left")
        axes.set_ylabel("utterances")
        axes.grid(alpha=0.3)
        _draw_bounds(axes, bounds, edges[-1])
    rows[-1].set_xlim(0, edges[-1])
    rows[-1].set_xlabel("duration in s (dashed: data.min_seconds, data.max_seconds)")
    _save(figure, path)


def characters_figure(path: Path, characters: Mapping[str, Mapping[str, int]]) -> None:
    """A PNG with the characters of the training transcripts as bars, most frequent first, counts on a log axis.

    Other splits are dots. A character that is nowhere in train has a red name: a model cannot learn it.
    """
    from matplotlib.figure import Figure

    train = characters.get("train", {})
    order = sorted(_all_characters(characters), key=lambda item: (-train.get(item[0], 0), -item[1], item[0]))
    shown = [character for character, _ in order]
    if len(shown) > MOST_SHOWN:
        shown = shown[: MOST_SHOWN // 2] + shown[-MOST_SHOWN // 2 :]
    labels, family = _labels(shown)
    figure = Figure(figsize=(max(7.0, 1.5 + 0.22 * len(shown)), 5), layout="constrained")
    axes = figure.subplots()
    places = np.arange(len(shown))
    axes.bar(places, [train.get(character, 0) for character in shown], color=COLOURS["train"], alpha=0.6, label="train")
    for name in (name for name in characters if name != "train"):
        counts = np.array([characters[name].get(character, 0) for character in shown])
        axes.plot(places[counts > 0], counts[counts > 0], "o", markersize=4, color=COLOURS.get(name, "tab:gray"), label=name)
    axes.axhline(RARE, color="gray", linewidth=0.8, linestyle=":", label=f"{RARE} occurrences")
    axes.set(yscale="log", ylabel="occurrences", xlim=(-0.7, len(shown) - 0.3), title=_title(len(order), len(shown)))
    axes.set_ylim(bottom=0.7)
    turned = max(map(len, labels), default=0) > 2
    axes.set_xticks(places, labels, rotation=90 if turned else 0, fontsize=8 if turned else 11, family=family)
    for tick, character in zip(axes.get_xticklabels(), shown):
        tick.set_color("black" if train.get(character) else "tab:red")
    axes.grid(alpha=0.3, axis="y")
    axes.legend(loc="upper right")
    _save(figure, path)


def markdown(meta: Mapping[str, Any]) -> str:
    """The page of text: splits, rejects by rule, characters, and what train and held-out splits share. `meta`: of corpus.json."""
    parts = [
        f"# {meta.get('name', 'Corpus')}",
        f"Source: `{meta.get('source', '')}` ({meta.get('layout', 'unknown layout')}). Language {meta.get('language', '?')}, "
        f"normaliser `{meta.get('normalizer', '?')}`.",
        _splits(meta["splits"]),
        "![Durations](durations.png)",
        _rejected(meta),
        _leakage(meta.get("leakage", {})),
        _characters(meta.get("characters", {})),
    ]
    return "\n\n".join(parts) + "\n"


def _splits(splits: Mapping[str, Mapping[str, Any]]) -> str:
    rows = [(name, f"{item['utterances']:,}", f"{item['hours']:.2f}", f"{item['shards']:,}") for name, item in splits.items()]
    total = (f"{sum(item['utterances'] for item in splits.values()):,}", f"{sum(item['hours'] for item in splits.values()):.2f}")
    shards = f"{sum(item['shards'] for item in splits.values()):,}"
    return _table(("split", "utterances", "hours", "shards"), [*rows, ("total", *total, shards)])


def _rejected(meta: Mapping[str, Any]) -> str:
    counts = meta["rejected"]
    all_read = sum(counts.values()) + sum(item["utterances"] for item in meta["splits"].values())
    config = meta.get("config", {})
    rules = sorted(dict.fromkeys([*counts, *RULES]), key=lambda rule: -counts.get(rule, 0))  # stable: the others as they are asked
    rows = [
        (f"`{rule}`", RULES.get(rule, ""), _bounds(RULES.get(rule, ""), config), f"{counts.get(rule, 0):,}", f"{counts.get(rule, 0) / max(1, all_read):.2%}")
        for rule in rules
    ]
    said = f"{sum(counts.values()):,} of {all_read:,} utterances were left out; `rejected.csv` has each of them with its reason."
    return "\n\n".join(["## Left out", said, _table(("rule", "meaning", "bound", "utterances", "share"), rows)])


def _bounds(meaning: str, config: Mapping[str, Mapping[str, Any]]) -> str:
    """The values of the options that a rule's meaning names."""
    named = re.findall(r"\b(data|text)\.(\w+)", meaning)
    values = [config.get(section, {}).get(key) for section, key in named]
    return ", ".join("none" if value is None else f"{value:g}" if isinstance(value, float) else str(value) for value in values)


def _leakage(leakage: Mapping[str, Any]) -> str:
    said = {
        "audio": "utterances left out because a held-out one has the same audio",
        "speakers": "speakers of train who are also in a held-out split",
        "sentences": "held-out utterances whose sentence is also in train",
    }
    lines = [f"- {leakage.get(kind, 0):,} {what}{_examples(leakage, kind)}" for kind, what in said.items()]
    return "\n".join(["## What train and held-out splits share", "", *lines, "", "All of it is listed in `leakage.csv`."])


def _examples(leakage: Mapping[str, Any], kind: str) -> str:
    examples: Sequence[object] = leakage.get("examples", {}).get(kind, ())
    return f", for example {', '.join(_code(str(example)) for example in examples)}" if leakage.get(kind) and examples else ""


def _characters(characters: Mapping[str, Mapping[str, int]]) -> str:
    train = characters.get("train", {})
    ordered = sorted(_all_characters(characters), key=lambda item: (-item[1], item[0]))
    rows = [
        (_code(_visible(character)), f"U+{ord(character):04X} {unicodedata.name(character, '')}".strip(),
         *(f"{counts.get(character, 0):,}" for counts in characters.values()), _flag(train.get(character, 0)))
        for character, _ in ordered
    ]  # fmt: skip
    return "\n\n".join(["## Characters", "![Characters](characters.png)", _table(("character", "name", *characters, ""), rows)])


def _flag(in_train: int) -> str:
    if not in_train:
        return "not in train"
    return "rare" if in_train < RARE else ""


def _code(text: str) -> str:
    on_one_line = " ".join(text.split())
    return f"`` {on_one_line} ``" if "`" in text else f"`{on_one_line}`"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    numeric = [bool(rows) and all(re.fullmatch(r"[\d,.]+ ?%?", row[column]) for row in rows) for column in range(len(header))]
    lines = [header, ["---:" if number else "---" for number in numeric], *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _all_characters(characters: Mapping[str, Mapping[str, int]]) -> list[tuple[str, int]]:
    """Characters with their counts over all splits."""
    total: dict[str, int] = {}
    for counts in characters.values():
        for character, count in counts.items():
            total[character] = total.get(character, 0) + count
    return list(total.items())


def _labels(characters: Sequence[str]) -> tuple[list[str], str | None]:
    """What stands below the bars, and the font family that can draw it (None: matplotlib's own)."""
    missing = [character for character in characters if not _drawable(character)]
    family = _font_with(frozenset(map(ord, missing))) if missing else None
    spelled = set(missing) if family is None else set()
    return [_short_name(character) if character in spelled else _visible(character) for character in characters], family


def _visible(character: str) -> str:
    """A character as it can be told apart on its own: the space as ␣, marks on a dotted circle, invisible ones by code point."""
    category = unicodedata.category(character)
    if character == " ":
        return "␣"
    if category in ("Cf", "Cc", "Co", "Cs", "Cn", "Zs", "Zl", "Zp"):
        return f"U+{ord(character):04X}"
    return DOTTED_CIRCLE + character if category[0] == "M" else character


def _short_name(character: str) -> str:
    """Code point and what is special in the name: `U+093F vowel sign i` for DEVANAGARI VOWEL SIGN I."""
    name = unicodedata.name(character, "").lower()
    if "ideograph" in name or "syllable" in name:
        name = ""
    return f"U+{ord(character):04X} {name.partition(' ')[2].removeprefix('letter ')}".strip()


def _drawable(character: str) -> bool:
    from matplotlib.font_manager import FontProperties

    return all(ord(item) in _glyphs(_font_file(FontProperties())) for item in _visible(character))


@lru_cache
def _font_with(code_points: frozenset[int]) -> str | None:
    """A font of this machine that has all of the characters, the first by name."""
    from matplotlib.font_manager import fontManager

    for font in sorted(fontManager.ttflist, key=lambda item: (item.style != "normal", item.name, item.fname)):
        if PLACEHOLDERS not in font.name and code_points | {ord(DOTTED_CIRCLE)} <= _glyphs(font.fname) and set(map(ord, "aU+0")) <= _glyphs(font.fname):
            return font.name
    return None


def _font_file(properties: Any) -> str:
    from matplotlib.font_manager import findfont

    return findfont(properties)


@lru_cache(maxsize=512)
def _glyphs(file: str) -> frozenset[int]:
    from matplotlib.ft2font import FT2Font

    return frozenset(FT2Font(file).get_charmap())


def _summary(name: str, values: np.ndarray) -> str:
    return f"{name}: {len(values):,} utterances, {values.sum() / 3600:.2f} h, median {np.median(values):.2f} s, {values.min():.2f} to {values.max():.2f} s"


def _edges(longest: float, bound: float) -> np.ndarray:
    """Of bins from 0 to the longest duration, and to the bound if that is not far away."""
    right = max(longest, bound if bound < 2 * longest else 0.0)
    width = next((width for width in BIN_WIDTHS if right / width < MOST_BINS), right / MOST_BINS)
    return width * np.arange(int(right / width) + 2)


def _draw_bounds(axes: Any, bounds: tuple[float, float], right: float) -> None:
    for bound in bounds:
        if bound <= right:
            axes.axvline(bound, color="black", linestyle="--", linewidth=1)


def _title(count: int, shown: int) -> str:
    rest = f", the {shown // 2} most frequent and the {shown // 2} rarest shown" if shown < count else ""
    return f"{count:,} characters{rest} (red: not in train)"


def _save(figure: Any, path: Path) -> None:
    """Without the version of matplotlib and the date, so that equal pictures are equal files."""
    figure.savefig(path, dpi=DPI, metadata={"Software": None})
