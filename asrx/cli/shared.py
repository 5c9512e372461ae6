"""What the commands share: decorators, words for "not given", readers of option texts."""

import json
import shlex
from collections.abc import Callable
from functools import wraps
from typing import Any

import click

from ..errors import ConfigError

AUTO, NEVER = "auto", "never"  # words for "not given": MLproject parameters cannot be left out
MODEL_NAME = "asrx"  # registered model, where none is named
MISUSE = 2  # exit status of a mistake


def common(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--json` and `--debug` for a command that returns (value, text for people), and an exit status where it is not 0."""

    @click.option("--json", "as_json", is_flag=True, help="Print one JSON object on standard output, nothing else.")
    @click.option("--debug", is_flag=True, help="Show tracebacks.")
    @wraps(command)
    def wrapped(as_json: bool, debug: bool, **options: Any) -> None:
        value, text, *status = command(**options)
        click.echo(json.dumps(value, ensure_ascii=False, default=str) if as_json else text)
        if any(status):
            raise click.exceptions.Exit(status[0])

    return wrapped


def configurable(command: Callable[..., Any]) -> Callable[..., Any]:
    """`section.key=value …`, as arguments or as one `--overrides` text; the command gets a list."""

    @click.argument("assignments", nargs=-1, metavar="[section.key=value]...")
    @click.option("--overrides", default=AUTO, help="The same as one text: 'section.key=value …'.")
    @wraps(command)
    def wrapped(assignments: tuple[str, ...], overrides: str, **options: Any) -> Any:
        return command(overrides=[*([] if overrides == AUTO else words(overrides)), *assignments], **options)

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


def length(epochs: str, max_steps: str) -> dict[str, Any]:
    """The options that say how long is trained."""
    return {key: value for key, value in (("trainer.num_train_epochs", epochs), ("trainer.max_steps", max_steps)) if value != AUTO}


def minutes_of(text: str) -> float:
    """The minutes of a session. ConfigError for what is no number above 0."""
    try:
        if (minutes := float(text)) > 0:
            return minutes
    except ValueError:
        pass
    raise ConfigError(f"--max-minutes {text}: must be a number above 0")


def words(text: str) -> list[str]:
    """Overrides written as one text. ConfigError for an unclosed quotation."""
    try:
        return shlex.split(text)
    except ValueError as error:
        raise ConfigError(f"--overrides {text}: {error}") from None
