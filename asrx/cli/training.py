"""Commands that make models."""

import gc
from collections.abc import Callable
from dataclasses import asdict
from functools import wraps
from typing import Any

import click

from ..errors import ConfigError, ProcessError
from .shared import AUTO, MISUSE, MODEL_NAME, NEVER, common, configurable, length, minutes_of, reading


def together(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--processes`, and how one of several processes ends."""

    @click.option("--processes", type=click.IntRange(min=1), default=1, show_default=True, help="Processes on this machine that train together, one per GPU.")
    @wraps(command)
    def wrapped(**options: Any) -> Any:
        from ..training import processes

        try:
            result = command(**options)
        except ProcessError:
            if processes.launched():  # whoever launched it tells which one is at fault, below the bar
                if processes.leads():
                    click.echo(err=True)
                raise click.exceptions.Exit(processes.LOST) from None
            raise
        finally:
            if processes.count() > 1:
                gc.freeze()  # the collection at the end of a process takes seconds, while others wait for it
        processes.leave()
        return result

    return wrapped


def _in_processes(kind: str, asked: tuple[Any, ...], resume: str | None, number: int, minutes: float | None) -> None:
    """Ends here if so many processes are to be started first."""
    from ..training import launching

    if launching.needed(number):
        raise click.exceptions.Exit(launching.train(kind, asked, resume, number, minutes))


@click.command()
@click.option("--data", default=AUTO, help="Prepared corpus (default: what the recipe names, else the built-in one, prepared if absent).")
@click.option("--model", default=AUTO, help="Hub id or folder of a CTC or Whisper model, or scratch (the default).")
@click.option("--recipe", default=AUTO, help="Recipe name or YAML file (default: scratch for a model from scratch).")
@click.option("--epochs", default=AUTO, help="Passes over the training data, e.g. 40 or 0.5.")
@click.option("--max-steps", default=AUTO, help="Optimizer steps, instead of epochs.")
@click.option("--max-minutes", default=AUTO, help="End this session after so many minutes, with a checkpoint to resume from.")
@click.option("--resume", default=NEVER, help="Run id to go on with; auto: the newest unfinished run of this very training, if any.")
@click.option("--preflight-only", is_flag=False, flag_value="true", default="false", help="Check everything, print what was found, and stop.")
@configurable
@common
@together
def train(
    data: str, model: str, recipe: str, epochs: str, max_steps: str, max_minutes: str, resume: str, processes: int, preflight_only: str, overrides: list[str]
) -> tuple[Any, ...]:
    """Train a model in an MLflow run, where curves, checkpoints and the best model are kept."""
    from .. import config, present, workspace
    from ..training import request

    if "=" in preflight_only:  # click takes the word behind a bare --preflight-only for its value
        preflight_only, overrides = "true", [preflight_only, *overrides]
    minutes = None if max_minutes == AUTO else minutes_of(max_minutes)
    chosen = {**({} if model == AUTO else {"model.name": model}), **length(epochs, max_steps)}
    going_on = None if resume == NEVER else resume
    asked = workspace.given(data), workspace.given(recipe), chosen, overrides
    if config.as_bool("--preflight-only", preflight_only):
        if going_on:
            raise ConfigError(f"--preflight-only checks a new training, --resume {resume} goes on with one; leave either out")
        found = request.preflight(*asked)
        return found.as_dict(), found.text(), MISUSE if found.refused else 0
    _in_processes("train", asked, going_on, processes, minutes)
    result = request.train(*asked, going_on, minutes)
    return asdict(result), (present.training if hasattr(result, "wer") else present.pretraining)(result)


@click.command()
@click.option("--data", default=AUTO, help="Prepared corpus (default: what the recipe names, else the built-in one, prepared if absent).")
@click.option("--model", default=AUTO, help="Hub id or folder of a wav2vec 2.0 to go on from (default: from scratch).")
@click.option("--recipe", default=AUTO, help="Recipe name or YAML file (default: a small model for a processor).")
@click.option("--max-steps", default=AUTO, help="Optimizer steps.")
@click.option("--max-minutes", default=AUTO, help="End this session after so many minutes, with a checkpoint to resume from.")
@click.option("--resume", default=NEVER, help="Run id to go on with; auto: the newest unfinished run of this very pre-training, if any.")
@click.option("--prepare-only", is_flag=False, flag_value="true", default="false", help="Prepare the corpus, check everything else, and stop.")
@configurable
@common
@together
def pretrain(
    data: str, model: str, recipe: str, max_steps: str, max_minutes: str, resume: str, processes: int, prepare_only: str, overrides: list[str]
) -> tuple[Any, str]:
    """Pre-train a wav2vec 2.0 on speech without transcripts, in an MLflow run, for `train --model` to start from."""
    from .. import config, present, workspace
    from ..training import request

    if "=" in prepare_only:  # click takes the word behind a bare --prepare-only for its value
        prepare_only, overrides = "true", [prepare_only, *overrides]
    minutes = None if max_minutes == AUTO else minutes_of(max_minutes)
    chosen = {key: value for key, value in {"model.name": model, "trainer.max_steps": max_steps}.items() if value != AUTO}
    asked = workspace.given(data), workspace.given(recipe), chosen, overrides
    if config.as_bool("--prepare-only", prepare_only):
        corpus = request.prepare_pretraining(*asked)
        return {"folder": corpus.folder, **corpus.meta}, present.corpus(corpus, False, workspace.given(recipe))
    going_on = None if resume == NEVER else resume
    _in_processes("pretrain", asked, going_on, processes, minutes)
    result = request.pretrain(*asked, going_on, minutes)
    return asdict(result), present.pretraining(result)


@click.command()
@click.option("--model", default=f"models:/{MODEL_NAME}@champion", show_default=True, help="models:/NAME@ALIAS, run id, folder or hub id: the judge.")
@click.option("--data", default=AUTO, help="Prepared corpus (default: the built-in one).")
@click.option("--split", default="train", show_default=True, help="Of the corpus: train, validation or test.")
@click.option("--limit", type=click.IntRange(min=0), default=0, help="At most so many utterances, spread over the split (default: all).")
@click.option("--out", default=AUTO, help="Folder for copies of the tables and the page.")
@common
def inspect(model: str, data: str, split: str, limit: int, out: str) -> tuple[Any, str]:
    """List the transcripts of a corpus that a model finds wrong, with their audio; training leaves out what is listed (data.exclude)."""
    from .. import inspection, present, tracking, workspace
    from ..registry import settling

    settling.settle_spec(model)
    result = inspection.inspect(model, workspace.given(data), split, limit, None if out == AUTO else tracking.user_path(out))
    return asdict(result), present.inspection(result)


@click.command()
@click.option("--data", default=AUTO, help="Prepared corpus (default: what the recipe names, else the built-in one, prepared if absent).")
@click.option("--recipe", default=AUTO, help="Recipe name or YAML file (default: scratch).")
@click.option("--minutes", default=AUTO, help="Minutes of training audio in each sample, with balanced speakers (default: the recipe's).")
@click.option("--samples", type=click.IntRange(min=1), default=5, show_default=True, help="Samples that are drawn.")
@click.option("--seeds", type=click.IntRange(min=1), default=1, show_default=True, help="Trainings on each sample, each with a seed of its own.")
@click.option("--csv", default=AUTO, help="Held-out table to score on (default: the built-in corpus's own, else the validation set).")
@reading
@click.option("--epochs", default=AUTO, help="Passes over the training data, e.g. 40 or 0.5.")
@click.option("--max-steps", default=AUTO, help="Optimizer steps, instead of epochs.")
@configurable
@common
def replicate(
    data: str, recipe: str, minutes: str, samples: int, seeds: int, csv: str, layout: dict[str, str], epochs: str, max_steps: str, overrides: list[str]
) -> tuple[Any, str]:
    """Train on several samples of so many minutes, for a WER with its spread; typed again it goes on where it was stopped."""
    from .. import present, workspace
    from .. import replicate as stage

    held_out = workspace.source(csv, **layout) if workspace.given(csv) else None
    options = {**length(epochs, max_steps), **({} if minutes == AUTO else {"data.minutes": minutes})}
    result = stage.replicate(workspace.given(data), workspace.given(recipe), options, overrides, samples, seeds, held_out)
    return asdict(result), present.replication(result)


@click.command()
@click.option("--run", "run_id", default=AUTO, help="Run id (default: every run of this machine that MLflow has not heard everything of).")
@common
def sync(run_id: str) -> tuple[Any, str]:
    """Tell MLflow what it could not hear while it was away: metrics, tables, checkpoints, how runs ended."""
    from .. import present
    from .. import sync as stage

    told = stage.sync(None if run_id == AUTO else run_id)
    return {"runs": [asdict(item) for item in told]}, present.synced(told)


@click.command()
@click.option("--data", default=AUTO, help="Prepared corpus (default: what the recipe names, else the built-in one, prepared if absent).")
@click.option("--model", default=AUTO, help="Hub id or folder of a CTC or Whisper model, or scratch (the default).")
@click.option("--recipe", default=AUTO, help="Recipe name or YAML file (default: scratch for a model from scratch).")
@click.option("--trials", type=click.IntRange(min=1), default=20, show_default=True, help="Trials that the study shall have, all machines together.")
@click.option("--pruner", type=click.Choice(["median", "hyperband", "none"]), default="median", show_default=True, help="What ends unpromising trials.")
@click.option("--storage", default=AUTO, help="URL of the study's database (default: ASRX_STUDY_DB, else search.db under ASRX_HOME).")
@click.option("--study", default=AUTO, help="Name of the study (default: follows from recipe, corpus, options and what is searched).")
@click.option("--epochs", default=AUTO, help="Passes over the training data, e.g. 40 or 0.5.")
@click.option("--max-steps", default=AUTO, help="Optimizer steps, instead of epochs.")
@click.option("--max-minutes", default=AUTO, help="End this session after so many minutes; the same command goes on.")
@configurable
@common
def search(
    data: str, model: str, recipe: str, trials: int, pruner: str, storage: str, study: str, epochs: str, max_steps: str, max_minutes: str, overrides: list[str]
) -> tuple[Any, str]:
    """Search options for the lowest WER, with Optuna; typed again, or on another machine with the same storage, it goes on.

    \b
    What is searched stands in the place of a value:
      trainer.learning_rate=1e-4..1e-2:log   a number in between, evenly over its logarithm
      model.hidden_dropout=0.0..0.3          a number in between; 2..6: a whole one
      augment.speed=0,0.1,0.2                one of these
    """
    from .. import present, workspace
    from .. import search as stage

    minutes = None if max_minutes == AUTO else minutes_of(max_minutes)
    options = {**({} if model == AUTO else {"model.name": model}), **length(epochs, max_steps)}
    where = workspace.given(storage), workspace.given(study)
    result = stage.search(workspace.given(data), workspace.given(recipe), options, overrides, trials, pruner, *where, minutes)
    return asdict(result), present.search(result)
