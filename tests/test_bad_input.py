"""Every mistake ends with status 2, one clear line, no traceback, and nothing half-written."""

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import soundfile
from conftest import TRAINING, Outcome, free_port, run_cli

Command = Callable[..., Outcome]
REFUSED = 2


def assert_refused(outcome: Outcome, *words: str) -> None:
    """One line that says all of `words`."""
    assert outcome.status == REFUSED, outcome
    assert "Traceback" not in outcome.err + outcome.out
    assert len(outcome.complaint) == 1, outcome.err
    for word in words:
        assert word in outcome.complaint[0]


def visible(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if not (path.name.startswith(".") and path.name.endswith(".lock"))}


TABLES = {
    "empty": ("", ("is empty",)),
    "header-only": ("path,sentence\n", ("holds no utterances",)),
    "no-audio-column": ("foo,sentence\n1,one\n", ("audio", "--audio-column", "foo, sentence")),
    "no-text-column": ("path,bar\n1.wav,one\n", ("text", "--text-column", "path, bar")),
    "all-missing": ("path,sentence\na.wav,one\nb.wav,two\n", ("2 of 2", "a.wav", "Nothing was written")),
}


@pytest.mark.parametrize("name", TABLES)
def test_a_table_that_cannot_be_prepared(name: str, asrx: Command, tmp_path: Path) -> None:
    content, words = TABLES[name]
    (tmp_path / "table.csv").write_text(content)
    assert_refused(asrx("prepare", "--source", tmp_path / "table.csv", "--out", tmp_path / "out", "data.workers=1"), *words)
    assert visible(tmp_path) == {"table.csv"}


def test_over_half_rejected_stops_and_says_why(asrx: Command, recordings: Path, tmp_path: Path) -> None:
    lines = (recordings / "train.csv").read_text().splitlines()
    rows = [lines[0], *(line.replace("clips/", "gone/") for line in lines[1:6]), *lines[6:10]]
    (tmp_path / "table.csv").write_text("\n".join(row.replace("gone/", "/nowhere/") for row in rows))
    outcome = asrx("prepare", "--source", tmp_path / "table.csv", "--audio-dir", recordings, "--out", tmp_path / "out", "data.workers=1")
    assert_refused(outcome, "5 of 9", "data.max_rejected=0.5")
    assert visible(tmp_path) == {"table.csv"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["prepare", "--source", "/nowhere/a.csv", "--out", "out"], ["/nowhere/a.csv"]),
        (["prepare", "--source", "builtin", "--out", "out", "data.max_second=3"], ["data.max_second", "data", "did you mean max_seconds?"]),
        (["train", "--data", "/nowhere"], ["/nowhere", "asrx prepare"]),
        (["train", "--recipe", "scrach"], ["scrach", "did you mean scratch?"]),
        (["train", "--recipe", "/nowhere.yaml"], ["/nowhere.yaml", "scratch"]),
        (["evaluate", "--csv", "/nowhere.csv", "--model", "x"], ["/nowhere.csv"]),
        (["compare", "--first", "perhaps"], ["--first", "perhaps"]),
        (["compare", "gate.max_wr=1"], ["gate.max_wr", "did you mean max_wer?"]),
        (["register", "--run", "latest", "--model", "x"], ["--run", "--model", "one of the two"]),
        (["register", "--alias", "chmpion"], ["chmpion", "candidate"]),
        (["register", "--name", "a/b"], ["a/b"]),
        (["train", "--epoch", "3"], ["--epoch"]),
        (["trane"], ["trane"]),
        (["transcribe", "/nowhere.wav"], ["/nowhere.wav"]),
        (["train", "--overrides", "trainer.learning_rate='1"], ["quotation"]),
    ],
)  # fmt: skip
def test_a_command_that_cannot_be_meant(arguments: list[str], words: list[str], asrx: Command) -> None:
    assert_refused(asrx(*arguments), *words)


@pytest.mark.parametrize("epochs", ["-3", "abc", "nan", "inf", "0", "", "1e400"])
def test_epochs_that_cannot_be(epochs: str, asrx: Command) -> None:
    assert_refused(asrx("train", "--epochs", epochs), f"epochs={epochs}", "must be")


@pytest.mark.parametrize("steps", ["-3", "abc", "0", "1.5"])
def test_steps_that_cannot_be(steps: str, asrx: Command) -> None:
    assert_refused(asrx("train", "--max-steps", steps), f"max_steps={steps}", "must be")


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("modl.name=x", ["modl", "did you mean model?"]),
        ("data.fractoin=1", ["data.fractoin", "did you mean fraction?"]),
        ("model.hiden_size=8", ["model.hiden_size", "did you mean hidden_size?"]),
        ("tokenizer.word_delimter_token=x", ["tokenizer.word_delimter_token", "did you mean word_delimiter_token?"]),
        ("feature_extractor.do_normalise=1", ["feature_extractor.do_normalise", "did you mean do_normalize?"]),
        ("trainer.lerning_rate=1", ["trainer.lerning_rate", "did you mean learning_rate?"]),
        ("trainer.output_dir=/x", ["trainer.output_dir", "asrx itself"]),
        ("trainer=3", ["trainer=3", "section.key=value"]),
        ("trainer.=3", ["trainer.=3", "section.key=value"]),
        ("trainer.learning_rate", ["section.key=value"]),
        ("trainer.learning_rate=[1", ["trainer.learning_rate=[1"]),
        ("trainer.learning_rate=${nothing}", ["nothing"]),
        ("trainer.learning_rate=-1", ["trainer.learning_rate=-1", "0 or more"]),
        ("trainer.optim=nonsense", ["nonsense", "adamw_torch_fused"]),
        ("trainer.lr_scheduler_type=nonsense", ["nonsense", "cosine"]),
        ("trainer.adam_beta2=3", ["trainer.adam_beta2=3"]),
        ("trainer.adam_beta2=abc", ["trainer.adam_beta2=abc", "number"]),
        ("trainer.seed=-1", ["trainer.seed=-1"]),
        ("data.seed=-1", ["data.seed=-1"]),
        ("trainer.bf16=perhaps", ["trainer.bf16=perhaps", "true, false or auto"]),
        ("trainer.dataloader_num_workers=-1", ["trainer.dataloader_num_workers=-1"]),
        ("batch.group_by_length=auto", ["batch.group_by_length=auto", "true or false"]),
        ("data.fraction=0", ["data.fraction=0"]),
        ("data.min_seconds=20", ["data.min_seconds", "an option of prepare"]),
        ("augment.noise_snr=3", ["augment.noise_snr=3", "2 numbers"]),
        ("augment.noise_snr=[40,10]", ["augment.noise_snr", "lower"]),
        ("text.case=UPPER", ["text.case=UPPER", "upper, lower"]),
        ("model.hidden_size=abc", ["model.hidden_size=abc"]),
        ("model.hidden_size=0", ["model.hidden_size=0", "1 or more"]),
        ("model.num_hidden_layers=-1", ["model.num_hidden_layers=-1"]),
        ("model.hidden_size=97", ["do not fit together"]),
        ("model.conv_dim=[1,2,3]", ["do not fit together", "conv_dim"]),
        ("model.vocab_size=5", ["model.vocab_size", "vocabulary"]),
        ("tokenizer.pad_token=null", ["pad_token"]),
        ("feature_extractor.sampling_rate=8000", ["8,000 Hz"]),
        ("feature_extractor.padding_value=abc", ["feature_extractor.padding_value=abc", "number"]),
    ],
)
def test_an_override_that_cannot_be(override: str, words: list[str], asrx: Command, corpus: Path, home: Path) -> None:
    before = runs()
    assert_refused(asrx("train", "--data", corpus, "--max-steps", 2, override), *words)
    assert runs() == before


def runs() -> int:
    from asrx import tracking

    client = tracking.connect()
    return len(client.search_runs([experiment.experiment_id for experiment in client.search_experiments()]))


@pytest.mark.parametrize(
    ("missing", "words"),
    [
        (["vocab.json", "tokenizer_config.json"], ["no vocabulary", "vocab.json"]),
        (["model.safetensors"], ["no weights", "model.safetensors"]),
        (["config.json"], ["no model", "config.json"]),
        (["preprocessor_config.json"], ["cannot be loaded"]),
    ],
)
@pytest.mark.parametrize("command", ["train", "register", "evaluate"])
def test_a_model_folder_that_lacks_something(command: str, missing, words, asrx: Command, letter_model, copy_of, corpus, held_out, tmp_path: Path) -> None:
    folder = copy_of(letter_model("a"), tmp_path / "model")
    for name in missing:
        (folder / name).unlink()
    rest = {"train": ["--data", corpus, "--max-steps", 2], "register": ["--name", "refused"], "evaluate": ["--csv", held_out]}[command]
    before = runs()
    assert_refused(asrx(command, "--model", folder, *rest), str(folder), *words)
    assert runs() == before


def test_pickled_weights_are_not_read(asrx: Command, letter_model, copy_of, corpus: Path, tmp_path: Path) -> None:
    folder = copy_of(letter_model("a"), tmp_path / "model")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    assert_refused(asrx("train", "--data", corpus, "--model", folder), "model.safetensors", "pytorch_model.bin is not read")


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "vocab.json"])
def test_a_model_file_that_was_cut_off(name: str, asrx: Command, letter_model, copy_of, corpus: Path, tmp_path: Path) -> None:
    folder = copy_of(letter_model("a"), tmp_path / "model")
    (folder / name).write_bytes((folder / name).read_bytes()[:20])
    assert_refused(asrx("train", "--data", corpus, "--model", folder, "--max-steps", 2), str(folder), "cannot be loaded")


def test_a_model_that_is_a_file(asrx: Command, corpus: Path, held_out: Path) -> None:
    assert_refused(asrx("train", "--data", corpus, "--model", held_out), "no model folder", str(held_out))


@pytest.mark.parametrize("offline", ["0", "1"])
def test_a_hub_model_without_internet_names_the_cache_quickly(offline: str, corpus: Path, session_home: Path) -> None:
    started = time.monotonic()
    outcome = run_cli("train", "--data", corpus, "--model", "nobody/nothing", HF_HUB_OFFLINE=offline)
    assert_refused(outcome, "nobody/nothing", "HF_HOME", "HF_HUB_OFFLINE")
    assert time.monotonic() - started < 40


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["register", "--run", "0123456789abcdef0123456789abcdef"], ["no run 0123456789abcdef0123456789abcdef"]),
        (["train", "--resume", "nothing"], ["no run nothing"]),
        (["evaluate", "--model", "models:/nothing@champion"], ["models:/nothing@champion"]),
        (["evaluate", "--model", "models:/nothing/3"], ["models:/nothing/3"]),
        (["evaluate", "--model", "models:/"], ["models:/"]),
        (["evaluate", "--model", "runs:/nothing/model"], ["runs:/nothing/model"]),
        (["compare", "--name", "nothing"], ["no registered model 'nothing'"]),
    ],
)
def test_what_mlflow_does_not_have(command: list[str], words: list[str], asrx: Command, held_out: Path) -> None:
    table = ["--csv", held_out] if command[0] in ("evaluate", "compare") else []
    assert_refused(asrx(*command, *table), *words)


STORES = {
    "refused": ("http://127.0.0.1:{port}", "cannot be reached"),
    "not-a-database": ("sqlite:///{folder}/garbage.db", "not a database"),
    "a-folder": ("sqlite:///{folder}", "unable to open"),
    "nowhere": ("sqlite:////proc/nowhere/mlflow.db", "cannot be used"),
    "nonsense": ("foo://bar", "unsupported URI"),
    "file-store": ("file://{folder}/mlruns", "cannot be used"),
    "no-postgresql": ("postgresql://nobody@127.0.0.1:{port}/mlflow", "cannot be used"),
}


@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize("command", ["train", "register", "compare", "evaluate"])
def test_a_tracking_store_that_cannot_be_used(store: str, command: str, asrx, corpus, held_out, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    uri, words = STORES[store]
    (tmp_path / "garbage.db").write_text("no database\n" * 500)
    uri = uri.format(port=free_port(), folder=tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    rest = {"train": ["--data", corpus], "register": ["--model", "x"], "compare": ["--csv", held_out], "evaluate": ["--model", "x", "--csv", held_out]}[command]
    started = time.monotonic()
    assert_refused(asrx(command, *rest), words, "MLFLOW_TRACKING_URI")
    assert time.monotonic() - started < 15  # MLflow itself tries for 103 s


def test_json_says_the_error_as_one_object_too(asrx: Command) -> None:
    outcome = asrx("train", "--epochs", "abc", "--json")
    assert_refused(outcome)
    assert json.loads(outcome.out) == {"error": "epochs=abc: must be a number"}


def test_one_line_from_a_process_of_its_own(corpus: Path, session_home: Path) -> None:
    outcome = run_cli("train", "--data", corpus, "--epochs=-3", as_module=False)
    assert_refused(outcome, "epochs=-3: must be above 0")
    assert outcome.out == "" and len(outcome.err.splitlines()) == 1


def test_debug_shows_the_traceback(session_home: Path) -> None:
    outcome = run_cli("train", "--debug", "--epochs", "abc")
    assert outcome.status == 1 and "ConfigError" in outcome.err and "Traceback" in outcome.err


def test_audio_that_cannot_be_transcribed(asrx: Command, tmp_path: Path) -> None:
    (tmp_path / "text.wav").write_text("not audio")
    soundfile.write(tmp_path / "slow.wav", [0.1] * 100, 7)
    assert_refused(asrx("transcribe", tmp_path / "text.wav"), "text.wav", "not audio")
    assert_refused(asrx("transcribe", tmp_path / "slow.wav"), "slow.wav", "7 Hz")


def test_resuming_with_other_options_is_refused(asrx: Command, trained, corpus: Path) -> None:
    outcome = asrx("train", "--resume", trained.run_id, "--data", corpus, "--max-steps", 30, *TRAINING)
    assert_refused(outcome, trained.run_id, "options")
