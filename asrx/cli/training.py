"""Commands that make models."""

from dataclasses import asdict
from typing import Any

import click

from .shared import AUTO, NEVER, common, configurable, length, minutes_of, reading


@click.command()
@click.option("--data", default=AUTO, help="Prepared corpus (default: what the recipe names, else the built-in one, prepared if absent).")
@click.option("--model", default=AUTO, help="Hub id or folder of a CTC or Whisper model, or scratch (the default).")
@click.option("--recipe", default=AUTO, help="Recipe name or YAML file (default: scratch for a model from scratch).")
@click.option("--epochs", default=AUTO, help="Passes over the training data, e.g. 40 or 0.5.")
@click.option("--max-steps", default=AUTO, help="Optimizer steps, instead of epochs.")
@click.option("--max-minutes", default=AUTO, help="End this session after so many minutes, with a checkpoint to resume from.")
@click.option("--resume", default=NEVER, help="Run id to go on with; auto: the newest unfinished run of this very training, if any.")
@configurable
@common
def train(
    data: str, model: str, recipe: str, epochs: str, max_steps: str, max_minutes: str, resume: str, overrides: list[str]
) -> tuple[Any, str]:
    """Train a model in an MLflow run, where curves, checkpoints and the best model are kept."""
    from .. import present, workspace
    from ..training import request

    minutes = None if max_minutes == AUTO else minutes_of(max_minutes)
    chosen = {**({} if model == AUTO else {"model.name": model}), **length(epochs, max_steps)}
    going_on = None if resume == NEVER else resume
    result = request.train(workspace.given(data), workspace.given(recipe), chosen, overrides, going_on, minutes)
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
def pretrain(
    data: str, model: str, recipe: str, max_steps: str, max_minutes: str, resume: str, prepare_only: str, overrides: list[str]
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
    result = request.pretrain(*asked, None if resume == NEVER else resume, minutes)
    return asdict(result), present.pretraining(result)


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
