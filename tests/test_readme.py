"""A command in the README that does not exist is the first thing a newcomer meets."""

import re
import shlex
from pathlib import Path

import click
import pytest
import yaml

from asrx.cli import cli
from asrx.config import recipe_names, resolve
from asrx.corpus.layouts import LAYOUTS
from asrx.corpus.rules import RULES
from asrx.search.space import split

ROOT = Path(__file__).parents[1]
TEXT = re.sub(r"\\\n\s+", "", (ROOT / "README.md").read_text(encoding="utf-8"))  # lines that go on are one
LINES = [line.strip() for line in TEXT.splitlines() if line.startswith("    ")]
ASRX = [line for line in LINES if line.startswith("asrx ")]
PROJECT = [line for line in LINES if line.startswith("mlflow run ")]


def words(line: str) -> list[str]:
    return shlex.split(line, comments=True)[1:]


def test_there_are_commands_to_check():
    assert len(ASRX) >= 8
    assert len(PROJECT) >= 4


@pytest.mark.parametrize("line", ASRX)
def test_command_line(line):
    name, *arguments = words(line)
    with click.Context(cli) as parent:
        context = cli.commands[name].make_context(name, arguments, parent=parent)
    fixed, dimensions = split(context.params.get("assignments") or ())
    assert bool(dimensions) == (name == "search")
    resolve(overrides=[*fixed, *(dimension.ends[0] for dimension in dimensions)])


@pytest.mark.parametrize("line", PROJECT)
def test_project_run(line):
    entry_points = yaml.safe_load((ROOT / "MLproject").read_text(encoding="utf-8"))["entry_points"]
    arguments = words(line)
    assert arguments[:2] == ["run", "."]
    entry = arguments[arguments.index("-e") + 1] if "-e" in arguments else "main"
    parameters = entry_points[entry]["parameters"]
    for given in re.findall(r"-P ([\w-]+)=", line):
        assert given in parameters, f"{entry} has no parameter {given}"


def test_make_targets_exist():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for line in LINES:
        if line.startswith("make "):
            assert re.search(rf"^{line.split()[1]}:", makefile, re.MULTILINE)


def test_every_layout_and_rule_is_named() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    section = text[text.index("## Preparing a corpus") : text.index("## The champion, anywhere")]
    named = set(re.findall(r"`(\w+)`", section))
    assert not {*LAYOUTS, *RULES} - named


@pytest.mark.parametrize(("name", "value"), re.findall(r"`((?:data|text)\.\w+)` (-?[\d.]+)", (ROOT / "README.md").read_text(encoding="utf-8")))
def test_defaults_are_those_of_the_code(name: str, value: str) -> None:
    assert float(value) == resolve().flat()[name]


def settings() -> list[tuple[str, str, str]]:
    """(recipe, option, value) of the table of the published experiments."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    rows, recipe = [], ""
    for named, last in re.findall(r"^\| (?:`([\w-]+)` )?\|.*\| (`\w+\.\w+=.*) \|$", text, re.MULTILINE):
        recipe = named or recipe
        rows += [(recipe, option, value) for option, value in re.findall(r"`(\w+\.\w+)=([^`]*)`", last)]
    return rows


def test_every_published_experiment_has_its_settings_in_the_table() -> None:
    named = {recipe for recipe, _, _ in settings()}
    assert named == {name for name in recipe_names() if name.startswith(("wav2vec2", "whisper")) and not name.endswith("-tiny")}
    assert len(settings()) > 60


@pytest.mark.parametrize(("recipe", "option", "value"), settings())
def test_a_published_setting_is_that_of_the_recipe(recipe: str, option: str, value: str) -> None:
    given, typed = (resolved.flat()[option] for resolved in (resolve(recipe), resolve(overrides=[f"{option}={value}"])))
    assert given == typed or float(given) == float(typed)  # YAML takes 1e-6 for a text
