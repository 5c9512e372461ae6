"""Every option that a person can give arrives where it works: recipes, overrides, MLproject, README."""

import re
from pathlib import Path

import click
import pytest
import yaml
from conftest import ROOT, TRAINING

from asrx import config
from asrx.cli import cli
from asrx.errors import ConfigError

PROJECT = yaml.safe_load((ROOT / "MLproject").read_text(encoding="utf-8"))
STAGES = ("main", "prepare", "train", "pretrain", "replicate", "search", "sync")
ENTRY_POINTS = (*STAGES, "evaluate", "register", "compare", "rollback", "history", "repair", "prune")
COMMANDS = {**cli.commands, **cli.commands["registry"].commands}
NOT_FOR_PROJECTS = {"json", "debug", "help"}


@pytest.mark.parametrize("recipe", config.recipe_names())
def test_a_recipe_resolves_and_survives_its_own_yaml(recipe: str, tmp_path: Path) -> None:
    from asrx.training import arguments

    options = config.resolve(recipe)
    arguments.check(options)
    saved = tmp_path / "again.yaml"
    saved.write_text(options.yaml())
    assert config.resolve(str(saved)).flat() == options.flat()
    assert config.recipe_summary(recipe)


def test_weaker_layers_give_way() -> None:
    assert config.resolve("scratch").trainer.num_train_epochs not in (config.resolve().trainer.num_train_epochs, 7)
    assert config.resolve("scratch", {"trainer.num_train_epochs": "7"}).trainer.num_train_epochs == 7
    assert config.resolve("scratch", {"trainer.num_train_epochs": "7"}, ["trainer.num_train_epochs=3"]).trainer.num_train_epochs == 3
    assert config.resolve(overrides=["trainer.learning_rate=1e-4"]).trainer.learning_rate == 1e-4


def test_epochs_outweigh_the_steps_of_a_recipe_in_every_spelling() -> None:
    for typed in ("trainer.num_train_epochs=40", "trainargs.num_train_epochs=40"):
        assert config.resolve("wav2vec2-10min", overrides=[typed]).trainer.max_steps == -1
    both = config.resolve("wav2vec2-10min", overrides=["trainer.num_train_epochs=40", "trainer.max_steps=7"]).trainer
    assert (both.num_train_epochs, both.max_steps) == (40, 7)


@pytest.mark.parametrize("typed", ["model.timestamps=true", "model.task=translate"])
def test_options_of_whisper_are_refused_by_ctc(typed: str) -> None:
    from asrx.models import load_family

    with pytest.raises(ConfigError, match=f"{typed.partition('=')[0]}=.*option of Whisper"):
        load_family(config.resolve(overrides=[typed]), ["ab"])


def test_every_bounded_option_exists() -> None:
    known = config.resolve().flat()
    assert set(config.RANGES) | set(config.CHOICES) <= set(known)


@pytest.mark.parametrize("name", sorted(config.RANGES))
def test_a_bound_holds_on_both_sides(name: str) -> None:
    low, high = config.RANGES[name]
    for value in (None if low is None else low - 1, None if high is None else high + 1):
        if value is not None:
            with pytest.raises(ConfigError, match=re.escape(config.SPELLED.get(name, name))):
                config.resolve(overrides=[f"{name}={value}"])


@pytest.mark.parametrize(("given", "said"), [
    (["data.min_seconds=15"], "data.min_seconds=15 must be below data.max_seconds=15"),
    (["data.min_chars_per_second=30"], "data.min_chars_per_second=30 must be below data.max_chars_per_second=30"),
    (["data.min_rate=48000", "data.max_rate=16000"], "data.min_rate=48000 must be below data.max_rate=16000"),
    (["text.alphabet=' '"], "text.alphabet is empty"), (["text.digits=spoken"], "text.digits=spoken: must be one of keep, words, ascii, native"),
    (["text.normalizer=fr"], "text.normalizer=fr: must be one of auto, en, it, ne, hi, basic"), (["data.duplicates=drop"], "must be one of reject, keep"),
])  # fmt: skip
def test_options_that_contradict_each_other_or_do_not_exist_are_refused(given: list[str], said: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(said)):
        config.resolve(overrides=given)


def test_equal_rates_are_one_rate() -> None:
    assert config.resolve(overrides=["data.min_rate=16000", "data.max_rate=16000"]).data.min_rate == 16_000


@pytest.mark.parametrize("typed", ["0123456789", "[ab]", "1e5", "true", "2024-01-01", "{a}"])
def test_characters_are_not_read_as_yaml(typed: str) -> None:
    assert config.resolve(overrides=[f"text.alphabet={typed}"]).text.alphabet == typed
    assert config.resolve(overrides=[f"text.ignore={typed}"]).text.ignore == typed
    assert config.resolve(overrides=["text.alphabet=null"]).text.alphabet is None


@pytest.mark.parametrize("stage", ["prepare", "train", "compare"])
def test_each_option_is_refused_by_the_stages_that_do_not_read_it(stage: str) -> None:
    assert config.of_stage("pretrain", ["data.source=x", "data.seed=3"])
    readers = {"text.digits": "prepare", "data.antiphase": "prepare", "text.case": "prepare and train", "data.fraction": "train", "text.vocabulary": "train",
               "trainer.seed": "train", "gate.max_wer": "compare"}  # fmt: skip
    for name, reader in readers.items():
        if stage in reader:
            assert config.of_stage(stage, [f"{name}=1"]) == [f"{name}=1"]
        else:
            with pytest.raises(ConfigError, match=f"{name} is an option of {reader}"):
                config.of_stage(stage, [f"{name}=1"])


def test_overrides_reach_the_transformers_classes(trained, corpus: Path, home: Path) -> None:
    from transformers import AutoConfig, AutoFeatureExtractor, AutoTokenizer

    from asrx.training import request

    overrides = [*TRAINING, "trainer.learning_rate=3e-4", "model.hidden_dropout=0.25", "model.layerdrop=0.0", "tokenizer.unk_token=<nothing>",
                 "feature_extractor.do_normalize=false", "trainer.adam_beta1=0.85", "trainer.optim=adafactor"]  # fmt: skip
    folder = Path(request.train(str(corpus), None, {"trainer.max_steps": "2"}, overrides, None).folder)
    assert AutoConfig.from_pretrained(folder).hidden_dropout == 0.25
    assert AutoTokenizer.from_pretrained(folder).unk_token == "<nothing>"
    assert AutoFeatureExtractor.from_pretrained(folder).do_normalize is False
    settings = _training_arguments(folder.parent)
    assert settings.learning_rate == 3e-4 and settings.adam_beta1 == 0.85 and settings.optim == "adafactor"
    plain = Path(trained.folder)
    assert AutoConfig.from_pretrained(plain).hidden_dropout != 0.25 and AutoFeatureExtractor.from_pretrained(plain).do_normalize is True


def _training_arguments(run: Path):
    import torch

    return torch.load(next(run.glob("checkpoints/*/training_args.bin")), weights_only=False)  # ours, written a second ago


def test_the_configuration_is_in_the_run(trained, home: Path) -> None:
    from asrx import tracking

    params = tracking.connect().get_run(trained.run_id).data.params
    assert params["config.trainer.max_steps"] == "20" and params["config.trainer.eval_steps"] == "10"
    assert params["config.model.name"] == "scratch" and "version.torch" in params


@pytest.mark.parametrize("name", ENTRY_POINTS)
def test_the_project_and_the_command_take_the_same(name: str) -> None:
    entry = PROJECT["entry_points"][name]
    command = COMMANDS[name]
    options = {option.opts[0].removeprefix("--").replace("-", "_") for option in command.params if isinstance(option, click.Option)}
    assert set(entry["parameters"]) == options - NOT_FOR_PROJECTS
    for parameter, declared in entry["parameters"].items():
        assert declared["type"] == "string", parameter
        assert declared["default"] and " " not in declared["default"], parameter
        assert f"--{parameter.replace('_', '-')} {{{parameter}}}" in entry["command"]


@pytest.mark.parametrize("name", ENTRY_POINTS)
def test_the_defaults_of_the_project_parse(name: str) -> None:
    entry = PROJECT["entry_points"][name]
    words = [word for key, declared in entry["parameters"].items() for word in (f"--{key.replace('_', '-')}", str(declared["default"]))]
    context = COMMANDS[name].make_context(name, words)
    assert context.params


def test_keys_that_the_readme_lists_exist() -> None:
    readme = ROOT / "README.md"
    if not readme.exists():
        pytest.skip("there is no README.md yet")
    sections = "|".join(config._section_names())
    own = set(config.resolve().flat())
    for key in set(re.findall(rf"\b((?:{sections})\.[a-z_0-9]+)=", readme.read_text(encoding="utf-8"))):
        assert key in own or key.partition(".")[0] in config.OPEN_SECTIONS, f"README.md lists {key}"


def test_typed_epochs_outweigh_the_steps_of_a_recipe(monkeypatch: pytest.MonkeyPatch) -> None:
    from asrx.training import request

    class Asked(Exception):
        pass

    def remember(data: object, recipe: str, options: dict[str, object], overrides: list[str], *_: object) -> None:
        raise Asked(config.resolve(recipe, options, overrides).trainer)

    monkeypatch.setattr(request, "train", remember)
    with pytest.raises(Asked) as asked:
        cli.main(["train", "--recipe", "demo-candidate", "--epochs", "3"], standalone_mode=False)
    trainer = asked.value.args[0]
    assert (trainer.num_train_epochs, trainer.max_steps) == (3.0, -1)
