"""Commands that judge models and put them live."""

from dataclasses import asdict
from typing import Any

import click

from .shared import AUTO, MODEL_NAME, NEVER, common, configurable, reading

UNMET = 3  # exit status of a decision other than the one that was asked for


@click.command()
@click.option("--model", default=f"models:/{MODEL_NAME}@champion", show_default=True, help="models:/NAME@ALIAS, run id, folder or hub id.")
@click.option("--csv", default=AUTO, help="Held-out table or manifest (default: the built-in corpus's, in the model's language).")
@reading
@click.option("--out", default=AUTO, help="Folder for copies of the tables.")
@common
def evaluate(model: str, csv: str, layout: dict[str, str], out: str) -> tuple[Any, str]:
    """Score any model on a held-out table: WER, CER, errors by kind, speed, the worst utterances."""
    from .. import present, tracking, workspace
    from ..registry import settling
    from ..scoring import evaluate as stage
    from ..scoring.scored_models import language_of

    settling.settle_spec(model)
    language = None if workspace.given(csv) else language_of(model)
    result = stage.evaluate(model, workspace.held_out(csv, layout, language), None if out == AUTO else tracking.user_path(out))
    return asdict(result), present.scores(result, f"{model} on {csv if csv != AUTO else 'the built-in held-out set'}")


@click.command()
@click.option("--run", "run_id", default=AUTO, help="Run id, or latest (the default where no model is given).")
@click.option("--model", default=AUTO, help="A stock model instead: hub id or folder.")
@click.option("--name", default=MODEL_NAME, show_default=True, help="Registered model.")
@click.option("--alias", type=click.Choice(["auto", "candidate", "baseline"]), default="auto", show_default=True, help="auto: baseline first, else candidate.")
@click.option("--push", default=NEVER, help="USER/NAME on the Hugging Face hub to publish it as; private, unless you have made it public before.")
@common
def register(run_id: str, model: str, name: str, alias: str, push: str) -> tuple[Any, str]:
    """Make a run's best model, or a stock model, the next version of a registered model."""
    from .. import present
    from ..registry import versions

    stock = None if model == AUTO else model
    chosen = ("latest" if not stock else None) if run_id == AUTO else run_id
    result = versions.register(name, chosen, stock, alias, push=None if push == NEVER else push)
    return {**asdict(result), "uri": result.uri}, present.registered(result)


@click.command()
@click.option("--name", default=MODEL_NAME, show_default=True, help="Registered model.")
@click.option("--csv", default=AUTO, help="Held-out table or manifest (default: the built-in corpus's, in the model's language).")
@reading
@click.option("--baseline", default=AUTO, help="Alias or version (default: champion, else baseline).")
@click.option("--candidate", default=AUTO, help="Alias or version (default: candidate).")
@click.option("--first", is_flag=False, flag_value="true", default="false", help="Promote a lone model whose WER is at most gate.max_wer.")
@click.option("--fail-unless", type=click.Choice([NEVER, "promote"]), default=NEVER, show_default=True, help="Exit with status 3 for any other decision.")
@click.option("--dry-run", is_flag=False, flag_value="true", default="false", help="Judge, and record nothing in the ledger or the registry.")
@configurable
@common
def compare(
    name: str, csv: str, layout: dict[str, str], baseline: str, candidate: str, first: str, fail_unless: str, dry_run: str, overrides: list[str]
) -> tuple[Any, str, int]:
    """Score candidate and baseline on a held-out table; the candidate becomes champion if it is better beyond chance."""
    from .. import config, present, workspace
    from ..registry import promotion
    from ..scoring.scored_models import language_of

    if "=" in first:  # click takes the word behind a bare --first for its value
        first, overrides = "true", [first, *overrides]
    if "=" in dry_run:
        dry_run, overrides = "true", [dry_run, *overrides]
    alone, dry = config.as_bool("--first", first), config.as_bool("--dry-run", dry_run)
    gate = config.resolve(overrides=config.of_stage("compare", overrides)).gate
    held_out = workspace.held_out(csv, layout, None if workspace.given(csv) else language_of(name))
    result = promotion.compare(name, held_out, gate, workspace.given(baseline), workspace.given(candidate), alone, dry)
    return asdict(result), present.decision(result), 0 if fail_unless in (NEVER, result.outcome) else UNMET


@click.command()
@click.option("--name", default=MODEL_NAME, show_default=True, help="Registered model.")
@click.option("--reason", default=AUTO, help="Why: the ledger keeps it.")
@common
def rollback(name: str, reason: str) -> tuple[Any, str]:
    """Make the previous champion the champion again."""
    from .. import present, workspace
    from ..registry import rollback as stage

    result = stage.rollback(name, workspace.given(reason) or "")
    return asdict(result), present.decision(result)


@click.command()
@click.option("--name", default=MODEL_NAME, show_default=True, help="Registered model.")
@common
def history(name: str) -> tuple[Any, str]:
    """List the decisions about a registered model, with what they were based on (--json: all of it)."""
    from .. import present
    from ..registry import rollback as stage

    decisions = stage.history(name)
    return {"decisions": [asdict(item) for item in decisions]}, present.history(name, decisions)


@click.command()
@click.option("--days", type=click.FloatRange(min=0), default=30, show_default=True, help="That have gone by since a run ended or a cache was used.")
@click.option("--dry-run", is_flag=False, flag_value="true", default="false", help="List what would be deleted, with sizes.")
@common
def prune(days: float, dry_run: str) -> tuple[Any, str]:
    """Delete old checkpoints, trainings that failed or were left unfinished, and caches; nothing that a registered version or a decision refers to."""
    from .. import config, present
    from ..registry import prune as stage

    dry = config.as_bool("--dry-run", dry_run)
    items = stage.prune(days, dry)
    return {"dry_run": dry, "pruned": [asdict(item) for item in items]}, present.pruned(items, dry)


@click.group()
def registry() -> None:
    """Look after the registry's aliases."""


@registry.command()
@click.option("--name", default=MODEL_NAME, show_default=True, help="Registered model.")
@common
def repair(name: str) -> tuple[Any, str]:
    """Let tags and aliases follow the ledger, where a crash or somebody's hand left them elsewhere."""
    from .. import present
    from ..registry import settling

    result = settling.repair(name)
    return asdict(result), present.repaired(result)


@click.command()
@click.argument("audio", nargs=-1, required=True)
@click.option("--model", default=f"models:/{MODEL_NAME}@champion", show_default=True, help="models:/NAME@ALIAS, run id, folder or hub id.")
@common
def transcribe(audio: tuple[str, ...], model: str) -> tuple[Any, str]:
    """Transcribe audio files."""
    from ..registry import settling
    from ..scoring import transcripts

    settling.settle_spec(model)
    rows = transcripts.transcribe_files(model, audio)
    return {"transcripts": rows}, "\n".join(f"{row['audio']}: {row['text']}   (confidence {row['confidence']:.2f}, {row['duration']:.1f} s)" for row in rows)
