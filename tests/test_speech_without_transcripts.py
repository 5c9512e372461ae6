"""Recordings that nobody has written down: prepared where pre-training wants them, and never trained on as if nothing had been said."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import TRAINING, Outcome, write_rows

from asrx.config import RECIPES, resolve
from asrx.corpus.prepare import Source, prepare
from asrx.corpus.shards import PreparedCorpus
from asrx.errors import ConfigError, InputError

OPTIONAL = "data.transcripts=optional"


@pytest.fixture(scope="module")
def silent(recordings: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The clips alone, in the folders of two splits, with what else lies about in such folders."""
    folder = tmp_path_factory.mktemp("speech") / "radio"
    for index, clip in enumerate(sorted((recordings / "clips").iterdir())[:24]):
        target = folder / ("dev" if index % 4 == 0 else "train/morning") / clip.name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(clip, target)
    (folder / "cover.jpg").write_bytes(b"\xff\xd8")
    return folder


def corpus_of(source: Path, out: Path, *overrides: str, layout: str | None = None) -> PreparedCorpus:
    return prepare(Source(str(source), layout=layout), out, resolve(overrides=["data.workers=1", *overrides]))[0]


@pytest.mark.parametrize("layout", [None, "recordings"])
def test_a_folder_of_recordings_is_a_corpus_where_transcripts_are_optional(layout: str | None, silent: Path, tmp_path: Path) -> None:
    corpus = corpus_of(silent, tmp_path / "corpus", OPTIONAL, layout=layout)
    assert corpus.meta["layout"] == "recordings" and not corpus.meta["rejected"]
    assert {name: item["utterances"] for name, item in corpus.meta["splits"].items()} == {"train": 18, "validation": 6}
    assert not corpus.meta["leakage"]["sentences"]  # nobody has said the same
    split = corpus.split("train")
    assert set(split.column("text")) == {""} and all(name.startswith("train/morning/") for name in split.column("id"))
    assert (corpus.folder / "report" / "report.md").is_file()


@pytest.mark.parametrize("layout", [None, "recordings"])
def test_otherwise_it_is_refused_with_what_to_do(layout: str | None, silent: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot tell how" if layout is None else "data.transcripts=optional prepares it for pre-training"):
        corpus_of(silent, tmp_path / "corpus", layout=layout)


def test_a_folder_with_transcripts_keeps_them(recordings: Path, silent: Path, tmp_path: Path) -> None:
    corpus = corpus_of(recordings, tmp_path / "corpus", OPTIONAL)
    assert corpus.meta["layout"] != "recordings" and all(corpus.split("train").column("text"))
    archive = shutil.make_archive(str(tmp_path / "radio"), "zip", silent.parent, silent.name)
    assert corpus_of(Path(archive), tmp_path / "unpacked", OPTIONAL).meta["splits"]["train"]["utterances"] == 18


@pytest.fixture(scope="module")
def half_told(recordings: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table in which every other transcript is empty."""
    import csv

    folder = tmp_path_factory.mktemp("half")
    for name in ("train", "validation"):
        with (recordings / f"{name}.csv").open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        write_rows(folder / f"{name}.csv", [{**row, "path": recordings / row["path"], "sentence": row["sentence"] if index % 2 else ""}
                                            for index, row in enumerate(rows)])  # fmt: skip
    return corpus_of(folder / "train.csv", folder / "corpus", OPTIONAL).folder


def test_rules_of_the_text_hold_for_those_that_have_one(recordings: Path, tmp_path: Path) -> None:
    clips = sorted((recordings / "clips").iterdir())[:8]
    sentences = ["", " ", "one two", "three", "four", "five", "six", "@ +"]
    table = write_rows(tmp_path / "table.csv", [{"path": clip, "sentence": text} for clip, text in zip(clips, sentences)])
    assert corpus_of(table, tmp_path / "all", OPTIONAL).meta["rejected"] == {"unpronounceable": 1}
    assert corpus_of(table, tmp_path / "told").meta["rejected"] == {"empty_text": 2, "unpronounceable": 1}


def test_training_leaves_out_what_has_no_transcript(half_told: Path, asrx: Callable[..., Outcome], caplog: pytest.LogCaptureFixture) -> None:
    outcome = asrx("train", "--json", "--data", half_told, "--max-steps", 2, *TRAINING)
    assert outcome.status == 0 and "18 training utterances are left out: they have no transcript" in caplog.text, outcome.err
    samples = (Path(json.loads(outcome.out)["folder"]).parent / "samples.csv").read_text().splitlines()[1:]
    assert samples and all(line.split(",")[2] for line in samples)  # no reference is empty


def test_training_on_speech_alone_is_refused(silent: Path, tmp_path: Path, asrx: Callable[..., Outcome]) -> None:
    corpus = corpus_of(silent, tmp_path / "corpus", OPTIONAL).folder
    refused = asrx("train", "--data", corpus, "--max-steps", 2)
    assert refused.status == 2 and "transcript: asrx pretrain learns from speech alone" in refused.err
    trained = asrx("pretrain", "--json", "--data", corpus, "--max-steps", 2, "trainer.eval_steps=2", "data.eval_utterances=2")
    assert trained.status == 0 and json.loads(trained.out)["folder"], trained.err


def test_the_option_has_two_values() -> None:
    with pytest.raises(ConfigError, match="data.transcripts=never: must be one of required, optional"):
        resolve(overrides=["data.transcripts=never"])


def test_what_fine_tuning_lacks_is_said_before_pretraining_begins(home: Path, corpus: Path, tmp_path: Path) -> None:
    from asrx import tracking
    from asrx.training import request

    recipe = tmp_path / "both.yaml"
    recipe.write_text((RECIPES / "wav2vec2-pretrain-base-tiny.yaml").read_text().replace("finetune: pretrained-small", "finetune: wav2vec2-10min-tiny"))
    found = tracking.latest_run(tracking.connect(), "tags.`asrx.kind` = 'pretrain'")
    with pytest.raises(InputError, match="data.minutes=10"):
        request.train(str(corpus), str(recipe), {}, [], None)
    newest = tracking.latest_run(tracking.connect(), "tags.`asrx.kind` = 'pretrain'")
    assert (newest and newest.info.run_id) == (found and found.info.run_id)
