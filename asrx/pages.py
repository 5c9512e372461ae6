"""Self-contained HTML pages: templates, transcripts word above word, recordings to listen to."""

import base64
import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import zip_longest
from typing import Any

import numpy as np

from .error_counts import aligned, scoring_forms
from .recognizer.audio import SAMPLE_RATE

STYLE, SCRIPT = "page.css", "page.js"  # templates that every page carries in itself
MP3_COMPRESSION = 0.7  # of 0 to 1: 4 kB a second, a quarter of FLAC; Opus is no smaller and takes six times as long
DASH, MINUS = "–", "\u2212"
RIGHT = ("equal", "")  # kinds of what is no error


@dataclass(frozen=True)
class Column:
    """Words that stand above each other: one of the reference and what each system heard of it."""

    said: str  # empty where a system inserted a word
    heard: tuple[tuple[str, str], ...]  # of each system: equal, substitute, delete, insert, or empty for nothing; the word

    @property
    def change(self) -> str:
        """From the first of two systems to the second: `fixed`, `broken`, or nothing."""
        before, after = self.heard[0][0] in RIGHT, self.heard[-1][0] in RIGHT
        return "" if before == after else "fixed" if after else "broken"


def render(template: str, **facts: Any) -> str:
    """The page of a template in asrx/templates. Whatever `facts` hold is shown as text."""
    return _environment().get_template(template).render(**facts)


def columns(reference: str, hypotheses: Sequence[str]) -> list[Column]:
    """The reference word by word in scoring form, with what each of the hypotheses has for each word and between them."""
    said, *heard = (text.split() for text in scoring_forms([reference, *hypotheses]))
    alignments = aligned([(" ".join(said), " ".join(words)) for words in heard])
    sides = [_places(len(said), words, chunks) for words, chunks in zip(heard, alignments, strict=True)]
    found = []
    for place in range(len(said) + 1):
        for words in zip_longest(*(inserted[place] for _, inserted in sides), fillvalue=""):
            found.append(Column("", tuple(("insert" if word else "", word) for word in words)))
        if place < len(said):
            found.append(Column(said[place], tuple(cells[place] for cells, _ in sides)))
    return found


def aloud(found: Sequence[Column], systems: Sequence[str]) -> str:
    """Columns line by line, for those who do not see them."""
    lines = [("said", " ".join(column.said for column in found))]
    lines += [(system, " ".join(column.heard[number][1] for column in found)) for number, system in enumerate(systems)]
    return "; ".join(f"{name}: {' '.join(text.split()) or 'nothing'}" for name, text in lines)


def sound(samples: np.ndarray) -> str:
    """A data URL of 16 kHz samples (int16, or float from -1 to 1) as MP3, which every browser plays; empty without samples."""
    import soundfile

    if not len(samples):
        return ""
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, SAMPLE_RATE, format="MP3", subtype="MPEG_LAYER_III", compression_level=MP3_COMPRESSION)
    return f"data:audio/mpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def per_cent(rate: float | None, digits: int = 2) -> str:
    """A fraction as per cent, or a dash."""
    return DASH if rate is None else f"{100 * rate:.{digits}f}\u00a0%"


def points(difference: float | None) -> str:
    """A difference of fractions in percentage points with its sign, or a dash."""
    return DASH if difference is None else f"{100 * difference:+.2f}".replace("-", MINUS)


def number(value: float | None, digits: int = 0) -> str:
    """A number with its thousands apart, or a dash."""
    return DASH if value is None else f"{value:,.{digits}f}".replace("-", MINUS)


def signed(value: int) -> str:
    """A count with its sign."""
    return f"{value:+d}".replace("-", MINUS) if value else "0"


def _places(said: int, words: Sequence[str], chunks: Sequence[Any]) -> tuple[list[tuple[str, str]], list[list[str]]]:
    """What was heard of each of the words that were said, and what was inserted before each of them and behind the last."""
    cells: list[tuple[str, str]] = []
    inserted: list[list[str]] = [[] for _ in range(said + 1)]
    for chunk in chunks:
        heard = words[chunk.hyp_start_idx : chunk.hyp_end_idx]
        if chunk.type == "insert":
            inserted[chunk.ref_start_idx] += heard
        else:
            cells += [(chunk.type, word) for word in heard or [""] * (chunk.ref_end_idx - chunk.ref_start_idx)]
    return cells, inserted


@cache
def _environment() -> Any:
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(loader=PackageLoader("asrx"), autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined)
    environment.filters.update(per_cent=per_cent, points=points, number=number, signed=signed, aloud=aloud)
    style, script = (environment.loader.get_source(environment, name)[0] for name in (STYLE, SCRIPT))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    environment.globals.update(style=Markup(style), script=Markup(script), script_digest=digest)
    return environment
