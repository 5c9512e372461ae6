"""The command line: one command per entry point. Parse, call one function, print. Heavy imports wait for the command."""

import atexit
import errno
import gc
import json
import logging
import os
import signal
import sys
import warnings
from typing import Any

import click

from .. import __version__
from ..errors import AsrxError
from . import corpora, registry, training
from .shared import MISUSE

INTERRUPTED = 130  # exit status
COMMANDS = (
    corpora.main_command, corpora.prepare, corpora.recipes,
    training.train, training.pretrain, training.replicate, training.search, training.sync, training.inspect,
    registry.evaluate, registry.register, registry.compare, registry.rollback, registry.history, registry.prune, registry.registry, registry.transcribe,
)  # fmt: skip
QUIET = {  # of the libraries, read when they are imported
    "OMP_WAIT_POLICY": "PASSIVE",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "TOKENIZERS_PARALLELISM": "false",
    "TRANSFORMERS_VERBOSITY": "error",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "MPLBACKEND": "Agg",
    "TORCH_CPP_LOG_LEVEL": "ERROR",
}


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


for command in COMMANDS:
    cli.add_command(command)


def main() -> None:
    """Run the command line: exit status 0, 2 for a user's mistake (one line, no traceback), 130 if interrupted."""
    _set_up()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends as Ctrl-C does: runs are closed, nothing is half-written
    try:
        sys.exit(cli.main(prog_name="asrx", standalone_mode=False))
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
        _fail(f"the disk is full{where}: free some space, or set ASRX_HOME to another disk, and run the command again; a training goes on with --resume")


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


def _show_warning(message: Warning | str, category: type[Warning], filename: str, line: int, *_: Any) -> None:
    """Libraries warn their developers, and MLflow resets our filters to do so: it all goes to the debug log."""
    logging.getLogger("asrx").debug("%s:%s: %s: %s", filename, line, category.__name__, message)


def _set_up() -> None:
    """Logs to standard error; bars of libraries off, before they are imported.

    OpenMP's threads sleep while they wait: where another program has a core, spinning ones slow a training down 30-fold.
    """
    logging.basicConfig(level=logging.WARNING, format="asrx: %(message)s", stream=sys.stderr)
    logging.getLogger("asrx").setLevel(logging.INFO)
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)  # where it is installed, it tells of kernels for other models
    warnings.showwarning = _show_warning
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    atexit.register(gc.freeze)  # else the collector goes through all of torch and MLflow for seconds when Python ends
