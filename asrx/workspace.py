"""Where things are when nobody says: the built-in corpus and prepared corpora under ASRX_HOME."""

import re
from pathlib import Path

from . import tracking
from .config import AUTO, Config, resolve
from .corpus import builtin, prepare
from .corpus.layouts import Columns
from .corpus.prepare import Source
from .corpus.shards import PreparedCorpus

BUILTIN = "builtin"


def builtin_source(language: str = "en") -> Path:
    """The built-in recordings: train.csv, validation.csv, test.csv and clips; spoken now if they are not there."""
    return builtin.make(tracking.home() / f"{BUILTIN}-{language}", language)


def builtin_corpus(options: Config | None = None, out: Path | None = None) -> tuple[PreparedCorpus, bool]:
    """The built-in corpus, prepared, and whether it was there already."""
    options = options or resolve()
    folder = builtin_source()
    source = Source(str(folder), name=folder.name)
    return prepare.prepare(source, out or tracking.home() / "corpora" / folder.name, options)


def source(path: str, audio_dir: str, layout: str, audio_column: str, text_column: str) -> Source:
    """A source from what a person typed; `auto` stands for not given."""
    located = tracking.user_path(path)
    columns = Columns(given(audio_column), given(text_column))
    return Source(str(located) if located.exists() else path, tracking.user_path(audio_dir) if given(audio_dir) else None, given(layout), columns)


def held_out(csv: str, layout: dict[str, str]) -> Source:
    """The held-out table that a person named, or the built-in corpus's."""
    return source(csv, **layout) if given(csv) else Source(str(builtin_source() / builtin.HELD_OUT))


def corpus_folder(path: str) -> Path:
    """Where the prepared corpus of a source goes if `--out` does not say."""
    located = Path(path)
    words = [located.parent.name, located.stem] if located.suffix else [located.name]
    return tracking.home() / "corpora" / re.sub(r"[^\w.-]+", "-", "-".join(words)).strip("-")


def given(value: str) -> str | None:
    """None for `auto`, which MLproject parameters have for defaults."""
    return None if value == AUTO else value
