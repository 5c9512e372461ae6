"""Where things are when nobody says: the built-in corpus and prepared corpora under ASRX_HOME."""

import hashlib
import json
import os
import re
from functools import partial
from pathlib import Path

from . import tracking
from .config import AUTO, PREPARED, SHARED, Config, resolve
from .corpus import builtin as speech
from .corpus import cluster
from .corpus import prepare as preparation
from .corpus.layouts import Columns
from .corpus.prepare import Source
from .corpus.shards import PreparedCorpus

BUILTIN = "builtin"


def builtin_source(language: str = "en") -> Path:
    """The built-in recordings: train.csv, validation.csv, test.csv and clips; spoken now if they are not there."""
    return speech.make(tracking.home() / f"{BUILTIN}-{language}", language)


def builtin(language: str = "en") -> Source:
    """The built-in recordings as a source. AsrxError for a language in which there are none."""
    folder = builtin_source(language)
    return Source(str(folder), name=folder.name)


def builtin_corpus() -> PreparedCorpus:
    """The built-in corpus, prepared now if it is not there, as part of whatever needs it."""
    return corpus(BUILTIN, resolve())


def corpus(data: str | None, options: Config) -> PreparedCorpus:
    """The prepared corpus that a person named, or what `data.source` names, prepared now if it is not there."""
    if data and data != BUILTIN:
        return PreparedCorpus.open(tracking.user_path(data))
    chosen = source_of(data or options.data.source or BUILTIN, options)
    return preparation.prepare(chosen, corpus_folder(chosen, options), options)[0]


def source_of(name: str, options: Config, **layout: str) -> Source:
    """`builtin`: the built-in recordings in the configuration's language; else what `name` says. `layout` as `source` takes it."""
    return builtin(options.text.language) if name == BUILTIN else source(name, **layout)


def prepare(chosen: Source, out: Path | None, options: Config, ray_address: str | None = None) -> tuple[PreparedCorpus, bool]:
    """The prepared corpus of a source, and whether it was there already; a new one gets a run with its counts, rejects and report.

    `ray_address`: of the Ray cluster that makes it; None: the cores of this machine.
    """
    folder = out or corpus_folder(chosen, options)
    corpus, existed = preparation.existing(chosen, folder, options), True
    if not corpus:
        client = tracking.connect()
        engine = partial(cluster.run, address=ray_address, workers=options.data.workers or os.cpu_count() or 1) if ray_address else None
        corpus, existed = preparation.prepare(chosen, folder, options, engine)
    if existed:
        if os.environ.get(tracking.WRAPPER):  # importing MLflow takes longer than finding that there is nothing to do
            tracking.nothing_to_do(tracking.connect(), "prepare", f"The corpus {corpus.folder} is up to date.")
        return corpus, True
    with tracking.run("prepare", f"prepare {corpus.name}", client) as run:
        run.params({f"config.{key}": value for key, value in options.flat().items() if key.startswith(("data.", "text."))})
        run.dataset(corpus.name, corpus.digest, corpus.meta["source"], {"splits": corpus.meta["splits"]}, "preparation")
        for name, split in corpus.meta["splits"].items():
            run.metrics({f"{name}/utterances": split["utterances"], f"{name}/hours": split["hours"]})
        run.metrics({"rejected": sum(corpus.meta["rejected"].values())})
        run.metrics({f"rejected/{rule}": count for rule, count in corpus.meta["rejected"].items()})
        run.metrics({f"leakage/{kind}": corpus.meta["leakage"][kind] for kind in ("audio", "speakers", "sentences")})
        for name in ("corpus.json", "rejected.csv", "leakage.csv", "report"):
            run.artifact(corpus.folder / name)
        run.note(f"{sum(item['utterances'] for item in corpus.meta['splits'].values()):,} utterances in `{corpus.folder}`")
    return corpus, False


def source(path: str, audio_dir: str = AUTO, layout: str = AUTO, audio_column: str = AUTO, text_column: str = AUTO) -> Source:
    """A source from what a person typed; `auto` stands for not given."""
    located = tracking.user_path(path)
    columns = Columns(given(audio_column), given(text_column))
    return Source(str(located) if located.exists() else path, tracking.user_path(audio_dir) if given(audio_dir) else None, given(layout), columns)


def held_out(csv: str, layout: dict[str, str], language: str | None = None) -> Source:
    """The held-out table that a person named, or the built-in corpus's in `language`."""
    return source(csv, **layout) if given(csv) else Source(str(builtin_source(language or "en") / speech.HELD_OUT))


def corpus_folder(chosen: Source, options: Config) -> Path:
    """Where the prepared corpus of a source goes if `--out` does not say. The built-in one has a folder for each set of options:
    several recipes use it side by side."""
    located = Path(chosen.path)
    path = str(located.absolute()) if located.exists() else chosen.path
    name = f"{chosen.name}{_variant(options)}" if chosen.name else f"{located.stem}-{hashlib.sha256(path.encode()).hexdigest()[:8]}"
    return tracking.home() / "corpora" / re.sub(r"[^\w.-]+", "-", name).strip("-")


def _variant(options: Config) -> str:
    """What tells the options of a preparation from the defaults, the language apart."""
    plain = resolve(options={"text.language": options.text.language}).flat()
    changed = {name: value for name, value in options.flat().items() if name in PREPARED | SHARED - {"data.source"} and value != plain[name]}
    changed.pop("data.workers", None)
    return f"-{hashlib.sha256(json.dumps(changed, sort_keys=True, default=str).encode()).hexdigest()[:8]}" if changed else ""


def recipe(name: str | None) -> str | None:
    """A recipe's name as it is; a file's path from where the command was typed."""
    return str(tracking.user_path(name)) if name and name.endswith((".yaml", ".yml")) else name


def given(value: str) -> str | None:
    """None for `auto`, which MLproject parameters have for defaults."""
    return None if value == AUTO else value
