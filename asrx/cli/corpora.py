"""Commands up to the prepared corpus, and the whole way on the built-in one."""

from typing import Any

import click

from ..errors import ConfigError
from .shared import AUTO, MODEL_NAME, common, configurable, reading


@click.command("main")
@click.option("--name", default=MODEL_NAME, show_default=True, help="Registered model that the demo fills.")
@common
def main_command(name: str) -> tuple[Any, str]:
    """The whole way on the built-in corpus: prepare, train twice, register, compare, promote."""
    from .. import demo

    result = demo.run(name)
    return result.as_dict(), result.text()


@click.command()
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
    from .. import config, present, tracking, workspace

    named = workspace.recipe(workspace.given(recipe))
    options = config.resolve(named, {"text.language": workspace.given(language)}, config.of_stage("prepare", overrides))
    if ray_address != AUTO and engine != "ray":
        raise ConfigError(f"--ray-address {ray_address} needs --engine ray")
    folder = None if out == AUTO else tracking.user_path(out)
    chosen = workspace.source_of(workspace.given(source) or options.data.source or workspace.BUILTIN, options, **layout)
    corpus, existed = workspace.prepare(chosen, folder, options, ray_address if engine == "ray" else None)
    return {"folder": corpus.folder, "existed": existed, **corpus.meta}, present.corpus(corpus, existed, workspace.given(recipe))


@click.command()
@common
def recipes() -> tuple[Any, str]:
    """List the recipes: settings that come with asrx."""
    from .. import config

    described = {name: config.recipe_summary(name) for name in config.recipe_names()}
    width = max(map(len, described))
    return {"recipes": described}, "\n".join(f"{name.ljust(width)}  {summary}" for name, summary in described.items())
