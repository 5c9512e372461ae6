"""Finding the run and the checkpoint that a training goes on from."""

import json
import logging
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

from .. import tracking
from ..config import Config
from ..corpus.shards import PreparedCorpus
from ..errors import InputError
from ..files import held, write_text

log = logging.getLogger("asrx")

KEY = "asrx.training_key"
COMPLETE = "complete"  # the last file of a checkpoint; without it the checkpoint is half-written


def training_key(corpus: PreparedCorpus, options: Config) -> str:
    """Equal keys mean: the same training, of the same model on the same data."""
    options = in_language(corpus, options)
    sections = ("data", "text", "model", "tokenizer", "feature_extractor", "batch", "augment", "trainer", "checkpoint", "pretraining")
    return f"{corpus.digest[:16]}-{options.digest(*sections)}"


def in_language(corpus: PreparedCorpus, options: Config) -> Config:
    """The options with the language of the corpus, which is not chosen again."""
    return replace(options, text=replace(options.text, language=corpus.meta["language"]))


def run_to_resume(client: Any, resume: str | None, key: str, kind: str = "train") -> str | None:
    """The run that `--resume` means: the one named, or for `auto` the newest unfinished one with this key; None to start anew.

    Raises InputError for a named run that has no checkpoint on this machine.
    """
    if not resume:
        return None
    if resume == "auto":
        return _newest_unfinished(client, key, kind)
    run = named(client, resume, kind)
    folder = tracking.home() / "runs" / run.info.run_id
    if not last_checkpoint(folder / "checkpoints"):
        raise InputError(f"run {resume} has no checkpoint in {folder}; start it anew without --resume")
    return run.info.run_id


def named(client: Any, resume: str, kind: str) -> Any:
    """The run that `--resume` names. InputError for one of another kind."""
    run = tracking.find_run(client, resume)
    found = run.data.tags.get(tracking.KIND)
    if found != kind:
        remedy = f"; asrx {found} --resume goes on with it" if found in tracking.RESUMABLE else ""
        raise InputError(f"run {resume} is not a {kind} run{remedy}")
    return run


def finished_run(client: Any, resume: str | None, key: str, reuse: bool, kind: str = "train") -> Any | None:
    """The finished run that `--resume` names, or with `reuse` the newest that finished this very training."""
    if resume and resume != "auto":
        run = named(client, resume, kind)
        return run if run.data.tags.get(tracking.OUTCOME) == "finished" else None
    if not reuse:
        return None
    return tracking.latest_run(client, f"{_of(kind, key)} and tags.`{tracking.OUTCOME}` = 'finished'")


def _of(kind: str, key: str) -> str:
    return f"tags.`{tracking.KIND}` = '{kind}' and tags.`{KEY}` = '{key}'"


def _newest_unfinished(client: Any, key: str, kind: str) -> str | None:
    found = tracking.latest_run(client, f"{_of(kind, key)} and tags.`{tracking.OUTCOME}` != 'finished'")
    if not found:
        return None
    folder = tracking.home() / "runs" / found.info.run_id
    with held(folder) as free:
        return found.info.run_id if free and last_checkpoint(folder / "checkpoints") else None


def mark_complete(checkpoint: Path) -> None:
    """Write the mark that a checkpoint is whole."""
    write_text(checkpoint / COMPLETE, json.dumps({"step": _step(checkpoint)}))


def last_checkpoint(folder: Path) -> Path | None:
    """The newest whole checkpoint."""
    whole = [path for path in folder.glob("checkpoint-*") if (path / COMPLETE).is_file()]
    return max(whole, key=_step, default=None)


def remove_half_written(folder: Path) -> None:
    """Checkpoints that a killed process left unfinished."""
    for path in folder.glob("checkpoint-*"):
        if not (path / COMPLETE).is_file():
            log.warning("checkpoint %s was not finished and is removed", path.name)
            shutil.rmtree(path, ignore_errors=True)


def _step(checkpoint: Path) -> int:
    return int(checkpoint.name.rpartition("-")[2])
