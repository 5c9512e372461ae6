"""Finding the run and the checkpoint that a training goes on from."""

import logging
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from .. import tracking
from ..config import Checkpoint, Config
from ..corpus.shards import PreparedCorpus
from ..errors import InputError
from ..files import held
from . import processes, sampling, sounds, store
from .checkpoints import last_checkpoint, step_of

log = logging.getLogger("asrx")

KEY = "asrx.training_key"
SIGN_OF_LIFE = "system/cpu_utilization_percentage"  # metric that a training records every 10 s
SILENCE = 25.0  # s without it after which a machine counts as lost


def training_key(corpus: PreparedCorpus, options: Config) -> str:
    """Equal keys mean: the same training, of the same model on the same data, wherever its checkpoints are kept."""
    listed = replace(options.data, exclude=sampling.content(options.data.exclude))
    options = replace(in_language(corpus, options), data=listed, checkpoint=replace(options.checkpoint, store=Checkpoint.store))
    sections = ("data", "text", "model", "tokenizer", "feature_extractor", "batch", "augment", "trainer", "checkpoint", "pretraining")
    return "-".join(filter(None, (corpus.digest[:16], options.digest(*sections), sounds.content(options.augment))))


def in_language(corpus: PreparedCorpus, options: Config) -> Config:
    """The options with the language of the corpus, which is not chosen again."""
    return replace(options, text=replace(options.text, language=corpus.meta["language"]))


def run_to_resume(client: Any, resume: str | None, key: str, kind: str = "train") -> str | None:
    """The run that `--resume` means: the one named, or for `auto` the newest unfinished one with this key; None to start anew.

    Raises InputError for a named run that has no checkpoint, neither on this machine nor in its artifacts.
    """
    if not resume:
        return None
    if resume == "auto":
        return _newest_unfinished(client, key, kind)
    run = named(client, resume, kind)
    check_processes(run, processes.count())
    bring_checkpoint(client, run.info.run_id)
    return run.info.run_id


def options_file(client: Any, run: Any) -> Path:
    """The options that an unfinished run was started with, brought here with its newest checkpoint; of a finished one what is left of them."""
    folder = tracking.home() / "runs" / run.info.run_id
    if run.data.tags.get(tracking.OUTCOME) != "finished":
        folder = bring_checkpoint(client, run.info.run_id)
    saved = folder / "config.yaml"
    return saved if saved.is_file() else Path(client.download_artifacts(run.info.run_id, saved.name))


def check_processes(run: Any, number: int) -> None:
    """InputError for a run that another number of processes began: its batches are made for them."""
    began = int(run.data.tags.get(processes.PROCESSES, 1))
    if began != number:
        kind, run_id = run.data.tags[tracking.KIND], run.info.run_id
        raise InputError(f"run {run_id} was begun by {began} process{'es' if began > 1 else ''}, not {number}: {processes.going_on(kind, run_id, began)}")


def bring_checkpoint(client: Any, run_id: str) -> Path:
    """The run's folder, with its newest checkpoint: from the artifacts, if there is a newer one than on this machine.

    Raises InputError where there is none at all, or another process trains the run.
    """
    folder = tracking.home() / "runs" / run_id
    with held(folder) as free:
        if not free:
            raise InputError(f"run {run_id} is being trained by another process")
        if not _bring(client, folder):
            raise InputError(
                f"run {run_id} has no checkpoint on this machine, nor in its artifacts, where checkpoint.store=artifacts would have kept some; "
                "start it anew without --resume"
            )
    return folder


def _bring(client: Any, folder: Path) -> Path | None:
    """The newest checkpoint of a run's folder, which this process holds."""
    local = last_checkpoint(folder / "checkpoints")
    step = step_of(local) if local else -1
    if store.newest(client, folder.name) > step:
        _make_sure_of_silence(client, folder.name)
        store.fetch(client, folder.name, folder, step)
    return last_checkpoint(folder / "checkpoints")


def _make_sure_of_silence(client: Any, run_id: str) -> None:
    """InputError if another machine trains the run. Clocks differ: what tells is whether anything new comes."""
    if client.get_run(run_id).data.tags.get(tracking.OUTCOME) != "running":
        return
    log.info("looking for %g s whether another machine still trains run %s", SILENCE, run_id)
    before = tracking.steps_of(client, run_id, SIGN_OF_LIFE)
    time.sleep(SILENCE)
    if tracking.steps_of(client, run_id, SIGN_OF_LIFE) != before:
        raise InputError(f"run {run_id} is being trained on another machine; stop it there first")


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
    check_processes(found, processes.count())
    folder = tracking.home() / "runs" / found.info.run_id
    with held(folder) as free:
        return found.info.run_id if free and _bring(client, folder) else None
