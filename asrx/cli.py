"""The command line: one command per entry point. Parse, call one function, print. Heavy imports wait for the command."""

import errno
import json
import logging
import os
import shlex
import signal
import sys
import warnings
from collections.abc import Callable
from dataclasses import asdict
from functools import wraps
from typing import Any

import click

from . import __version__
from .errors import AsrxError, ConfigError

AUTO, NEVER = "auto", "never"  # words for "not given": MLproject parameters cannot be left out
MODEL_NAME = "asrx"  # registered model, where none is named
INTERRUPTED, MISUSE = 130, 2  # exit statuses
QUIET = {  # of the libraries, read when they are imported
    "OMP_WAIT_POLICY": "PASSIVE",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "TOKENIZERS_PARALLELISM": "false",
    "TRANSFORMERS_VERBOSITY": "error",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "MPLBACKEND": "Agg",
}


def common(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--json` and `--debug` for a command that returns (value, text for people)."""

    @click.option("--json", "as_json", is_flag=True, help="Print one JSON object on standard output, nothing else.")
    @click.option("--debug", is_flag=True, help="Show tracebacks.")
    @wraps(command)
    def wrapped(as_json: bool, debug: bool, **options: Any) -> None:
        value, text = command(**options)
        click.echo(json.dumps(value, ensure_ascii=False, default=str) if as_json else text)

    return wrapped


def configurable(command: Callable[..., Any]) -> Callable[..., Any]:
    """`section.key=value …`, as arguments or as one `--overrides` text; the command gets a list."""

    @click.argument("assignments", nargs=-1, metavar="[section.key=value]...")
    @click.option("--overrides", default=AUTO, help="The same as one text: 'section.key=value …'.")
    @wraps(command)
    def wrapped(assignments: tuple[str, ...], overrides: str, **options: Any) -> Any:
        return command(overrides=[*([] if overrides == AUTO else _words(overrides)), *assignments], **options)

    return wrapped


def reading(command: Callable[..., Any]) -> Callable[..., Any]:
    """How a table is read; the command gets the options as a dict `layout`."""

    @click.option("--audio-dir", default=AUTO, help="Folder that audio paths are relative to.")
    @click.option("--layout", default=AUTO, help="Name of the layout, see the README (default: detected).")
    @click.option("--audio-column", default=AUTO, help="Column that holds the audio path (default: detected).")
    @click.option("--text-column", default=AUTO, help="Column that holds the transcript (default: detected).")
    @wraps(command)
    def wrapped(audio_dir: str, layout: str, audio_column: str, text_column: str, **options: Any) -> Any:
        return command(layout={"audio_dir": audio_dir, "layout": layout, "audio_column": audio_column, "text_column": text_column}, **options)

    return wrapped


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="asrx")
def cli() -> None:
    """Fine-tune speech recognisers as MLflow runs; promote only what is measurably better.

    \b
    asrx main                                    the whole way on a built-in corpus
    asrx prepare --source train.csv --out corpus recordings to a prepared corpus
    asrx train --data corpus --epochs 40         an MLflow run with the best model
    asrx register --run latest                   a version in the model registry
    asrx compare --csv held_out.csv              champion, if it is better beyond chance
    """


@cli.command("main")
@click.option("--name", default=MODEL_NAME, show_default=True, help="Registered model that the demo fills.")
@common
def main_command(name: str) -> tuple[Any, str]:
    """The whole way on the built-in corpus: prepare, train twice, register, compare, promote."""
    from . import demo

    result = demo.run(name)
    return result.as_dict(), result.text()


@cli.command()
@click.option("--source", default=AUTO, help="Table, manifest, folder, archive or hub id with recordings and transcripts (default: of the recipe, or builtin).")
@click.option("--recipe", default=AUTO, help="Recipe name or YAML file whose options of data and text are used.")
@click.option("--out", default=AUTO, help="Folder of the prepared corpus (default: under ASRX_HOME).")
@reading
@click.option("--language", default=AUTO, help="Language of the transcripts: en, it, ne, hi; basic rules for others (default: en).")
@click.option("--engine", type=click.Choice(["local", "ray"]), default="local", show_default=True, help="The cores of this machine, or a Ray cluster.")
@click.option("--ray-address", default=AUTO, help="Head of the cluster, HOST:PORT (default: a Ray that runs here, else one started for this).")
@configurable
@common
def prepare(
    source: str, recipe: str, out: str, layout: dict[str, str], language: str, engine: str, ray_address: str, overrides: list[str]
) -> tuple[Any, str]:
    """Decode, filter, normalise and split recordings into a corpus of 16 kHz shards."""
    from . import config, present, tracking, workspace

    named = workspace.recipe(workspace.given(recipe))
    options = config.resolve(named, {"text.language": workspace.given(language)}, config.of_stage("prepare", overrides))
    if ray_address != AUTO and engine != "ray":
        raise ConfigError(f"--ray-address {ray_address} needs --engine ray")
    folder = None if out == AUTO else tracking.user_path(out)
    chosen = workspace.source_of(workspace.given(source) or options.data.source or workspace.BUILTIN, options, **layout)
    corpus, existed = workspace.prepare(chosen, folder, options, ray_address if engine == "ray" else None)
    return {"folder": corpus.folder, "existed": existed, **corpus.meta}, present.corpus(corpus, existed, workspace.given(recipe))


@cli.command()
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
    from . import present, workspace
    from .training import request

    minutes = None if max_minutes == AUTO else _minutes(max_minutes)
    chosen = {**({} if model == AUTO else {"model.name": model}), **_length(epochs, max_steps)}
    going_on = None if resume == NEVER else resume
    result = request.train(workspace.given(data), workspace.given(recipe), chosen, overrides, going_on, minutes)
    return asdict(result), (present.training if hasattr(result, "wer") else present.pretraining)(result)


@cli.command()
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
    from . import config, present, workspace
    from .training import request

    if "=" in prepare_only:  # click takes the word behind a bare --prepare-only for its value
        prepare_only, overrides = "true", [prepare_only, *overrides]
    minutes = None if max_minutes == AUTO else _minutes(max_minutes)
    chosen = {key: value for key, value in {"model.name": model, "trainer.max_steps": max_steps}.items() if value != AUTO}
    asked = workspace.given(data), workspace.given(recipe), chosen, overrides
    if config.as_bool("--prepare-only", prepare_only):
        corpus = request.prepare_pretraining(*asked)
        return {"folder": corpus.folder, **corpus.meta}, present.corpus(corpus, False, workspace.given(recipe))
    result = request.pretrain(*asked, None if resume == NEVER else resume, minutes)
    return asdict(result), present.pretraining(result)


@cli.command()
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
    from . import present, workspace
    from . import replicate as stage

    held_out = workspace.source(csv, **layout) if workspace.given(csv) else None
    options = {**_length(epochs, max_steps), **({} if minutes == AUTO else {"data.minutes": minutes})}
    result = stage.replicate(workspace.given(data), workspace.given(recipe), options, overrides, samples, seeds, held_out)
    return asdict(result), present.replication(result)


@cli.command()
@click.option("--model", default=f"models:/{MODEL_NAME}@champion", show_default=True, help="models:/NAME@ALIAS, run id, folder or hub id.")
@click.option("--csv", default=AUTO, help="Held-out table or manifest (default: the built-in corpus's, in the model's language).")
@reading
@click.option("--out", default=AUTO, help="Folder for copies of the tables.")
@common
def evaluate(model: str, csv: str, layout: dict[str, str], out: str) -> tuple[Any, str]:
    """Score any model on a held-out table: WER, CER, errors by kind, speed, the worst utterances."""
    from . import present, tracking, workspace
    from .scoring import evaluate as stage
    from .scoring.scored_models import language_of

    language = None if workspace.given(csv) else language_of(model)
    result = stage.evaluate(model, workspace.held_out(csv, layout, language), None if out == AUTO else tracking.user_path(out))
    return asdict(result), present.scores(result, f"{model} on {csv if csv != AUTO else 'the built-in held-out set'}")


@cli.command()
@click.option("--run", "run_id", default=AUTO, help="Run id, or latest (the default where no model is given).")
@click.option("--model", default=AUTO, help="A stock model instead: hub id or folder.")
@click.option("--name", default=MODEL_NAME, show_default=True, help="Registered model.")
@click.option("--alias", type=click.Choice(["auto", "candidate", "baseline"]), default="auto", show_default=True, help="auto: baseline first, else candidate.")
@click.option("--push", default=NEVER, help="USER/NAME on the Hugging Face hub to publish it as; private, unless you have made it public before.")
@common
def register(run_id: str, model: str, name: str, alias: str, push: str) -> tuple[Any, str]:
    """Make a run's best model, or a stock model, the next version of a registered model."""
    from . import present
    from .registry import versions

    stock = None if model == AUTO else model
    chosen = ("latest" if not stock else None) if run_id == AUTO else run_id
    result = versions.register(name, chosen, stock, alias, push=None if push == NEVER else push)
    return {**asdict(result), "uri": result.uri}, present.registered(result)


@cli.command()
@click.option("--name", default=MODEL_NAME, show_default=True, help="Registered model.")
@click.option("--csv", default=AUTO, help="Held-out table or manifest (default: the built-in corpus's, in the model's language).")
@reading
@click.option("--baseline", default=AUTO, help="Alias or version (default: champion, else baseline).")
@click.option("--candidate", default=AUTO, help="Alias or version (default: candidate).")
@click.option("--first", is_flag=False, flag_value="true", default="false", help="Promote a lone model whose WER is at most gate.max_wer.")
@configurable
@common
def compare(name: str, csv: str, layout: dict[str, str], baseline: str, candidate: str, first: str, overrides: list[str]) -> tuple[Any, str]:
    """Score candidate and baseline on a held-out table; the candidate becomes champion if it is better beyond chance."""
    from . import config, present, workspace
    from .registry import promotion
    from .scoring.scored_models import language_of

    if "=" in first:  # click takes the word behind a bare --first for its value
        first, overrides = "true", [first, *overrides]
    alone = config.as_bool("--first", first)
    gate = config.resolve(overrides=config.of_stage("compare", overrides)).gate
    held_out = workspace.held_out(csv, layout, None if workspace.given(csv) else language_of(name))
    result = promotion.compare(name, held_out, gate, workspace.given(baseline), workspace.given(candidate), alone)
    return asdict(result), present.decision(result)


@cli.command()
@click.argument("audio", nargs=-1, required=True)
@click.option("--model", default=f"models:/{MODEL_NAME}@champion", show_default=True, help="models:/NAME@ALIAS, run id, folder or hub id.")
@common
def transcribe(audio: tuple[str, ...], model: str) -> tuple[Any, str]:
    """Transcribe audio files."""
    from .scoring import transcripts

    rows = transcripts.transcribe_files(model, audio)
    return {"transcripts": rows}, "\n".join(f"{row['audio']}: {row['text']}   (confidence {row['confidence']:.2f}, {row['duration']:.1f} s)" for row in rows)


@cli.command()
@common
def recipes() -> tuple[Any, str]:
    """List the recipes: settings that come with asrx."""
    from . import config

    described = {name: config.recipe_summary(name) for name in config.recipe_names()}
    width = max(map(len, described))
    return {"recipes": described}, "\n".join(f"{name.ljust(width)}  {summary}" for name, summary in described.items())


def main() -> None:
    """Run the command line: exit status 0, 2 for a user's mistake (one line, no traceback), 130 if interrupted."""
    _set_up()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends as Ctrl-C does: runs are closed, nothing is half-written
    try:
        cli.main(prog_name="asrx", standalone_mode=False)
    except click.exceptions.Exit as stop:
        sys.exit(stop.exit_code)
    except click.ClickException as error:
        _fail(error.format_message() + (f" (see {error.ctx.command_path} --help)" if getattr(error, "ctx", None) else ""))
    except (click.Abort, KeyboardInterrupt):
        click.echo("asrx: interrupted", err=True)
        sys.exit(INTERRUPTED)
    except AsrxError as error:
        _fail(str(error))
    except Exception as error:
        if "--debug" in sys.argv or not _disk_full(error):
            raise
        where = f" ({error.filename})" if getattr(error, "filename", None) else ""
        _fail(f"the disk is full{where}: free some space, or set ASRX_HOME to another disk, and run the command again")


def _fail(message: str) -> None:
    if "--debug" in sys.argv and sys.exc_info()[0]:
        raise
    if "--json" in sys.argv:
        click.echo(json.dumps({"error": message}, ensure_ascii=False))
    click.echo(f"asrx: {' '.join(message.split())}", err=True)
    sys.exit(MISUSE)


def _disk_full(error: BaseException | None) -> bool:
    """Whether ENOSPC, EDQUOT or sqlite's own word for it is at the root of an error."""
    while error is not None:
        if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT) or "disk is full" in str(error) or "No space left" in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False


def _length(epochs: str, max_steps: str) -> dict[str, Any]:
    """The options that say how long is trained."""
    return {key: value for key, value in (("trainer.num_train_epochs", epochs), ("trainer.max_steps", max_steps)) if value != AUTO}


def _minutes(text: str) -> float:
    try:
        if (minutes := float(text)) > 0:
            return minutes
    except ValueError:
        pass
    raise ConfigError(f"--max-minutes {text}: must be a number above 0")


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError as error:
        raise ConfigError(f"--overrides {text}: {error}") from None


def _show_warning(message: Warning | str, category: type[Warning], filename: str, line: int, *_: Any) -> None:
    """Libraries warn their developers, and MLflow resets our filters to do so: it all goes to the debug log."""
    logging.getLogger("asrx").debug("%s:%s: %s: %s", filename, line, category.__name__, message)


def _set_up() -> None:
    """Logs to standard error; bars of libraries off, before they are imported.

    OpenMP's threads sleep while they wait: where another program has a core, spinning ones slow a training down 30-fold.
    """
    logging.basicConfig(level=logging.WARNING, format="asrx: %(message)s", stream=sys.stderr)
    logging.getLogger("asrx").setLevel(logging.INFO)
    warnings.showwarning = _show_warning
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
