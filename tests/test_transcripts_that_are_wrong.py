"""Wrong transcripts in the training data: inspect finds them by their loss, with the audio to listen to, and training leaves out what is listed."""

import csv
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Outcome, write_rows

from asrx import inspection
from asrx.config import Data, resolve
from asrx.corpus.prepare import Source, prepare
from asrx.corpus.shards import PreparedCorpus
from asrx.errors import InputError
from asrx.inspection import bounds, inspect
from asrx.text import score_text
from asrx.training import request, sampling
from asrx.training.resume import training_key

SWAPPED = 6


def test_one_wild_loss_does_not_hide_behind_itself() -> None:
    usual = np.random.default_rng(0).normal(1.0, 0.1, 200)
    median, threshold = bounds([*usual, 40.0, float("inf")])
    assert median == pytest.approx(1.0, abs=0.02)
    assert 1.4 < threshold < 1.6


def test_a_model_that_knows_nothing_suspects_nothing_much(asrx: Callable[..., Outcome], trained: Any, corpus: Path, tmp_path: Path) -> None:
    done = asrx("inspect", "--model", trained.run_id, "--data", corpus, "--split", "validation", "--limit", 4, "--out", tmp_path)
    assert done.status == 0, done.err
    with (tmp_path / "inspection.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 4
    assert all(float(row["loss"]) > 0 and row["transcript"] for row in rows)
    assert [row["suspect"] for row in rows] == sorted((row["suspect"] for row in rows), reverse=True)
    assert "Nothing to listen to" in (tmp_path / "suspects.html").read_text(encoding="utf-8")
    refused = asrx("inspect", "--model", trained.run_id, "--data", corpus, "--split", "dev")
    assert refused.status == 2
    assert "it has train, validation" in refused.err


def test_suspects_can_be_listened_to(home: Path, trained: Any, corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inspection, "OUTLYING", -99.0)
    found = inspect(trained.run_id, str(corpus), "validation", 2)
    page = Path(found.page).read_text(encoding="utf-8")
    assert len(found.suspects) == 2
    assert page.count("<audio controls") == 2
    assert all(f'<span class="said">{word}</span>' in page for row in found.suspects for word in score_text(row.transcript).split())


def test_listed_utterances_are_not_trained_on(corpus: Path, tmp_path: Path) -> None:
    split = PreparedCorpus.open(corpus).split("train")
    ids = split.column("id")
    table = write_rows(tmp_path / "suspects.csv", [{"loss": 3.0, "id": ids[2]}, {"loss": 2.0, "id": ids[5]}])
    plain = tmp_path / "ids.txt"
    plain.write_text(f"{ids[5]}\n{ids[2]}\n\n", encoding="utf-8")
    for file in (table, plain):
        kept = sampling.chosen(split, Data(exclude=str(file)))
        assert sorted(set(range(len(split))) - set(kept.tolist())) == [2, 5]
    with pytest.raises(InputError, match="has no column id; it has loss, name"):
        sampling.chosen(split, Data(exclude=str(write_rows(tmp_path / "other.csv", [{"loss": 3.0, "name": "a"}]))))
    with pytest.raises(InputError, match="cannot be read"):
        sampling.chosen(split, Data(exclude=str(tmp_path / "missing.csv")))


def test_another_list_is_another_training(corpus: Path, tmp_path: Path) -> None:
    prepared = PreparedCorpus.open(corpus)
    first, elsewhere = tmp_path / "ids.txt", tmp_path / "copy.txt"
    first.write_text("a\nb\n", encoding="utf-8")
    elsewhere.write_text("b\na\n", encoding="utf-8")
    keys = [training_key(prepared, resolve(overrides=[f"data.exclude={file}"])) for file in (first, elsewhere)]
    first.write_text("a\n", encoding="utf-8")
    changed = training_key(prepared, resolve(overrides=[f"data.exclude={first}"]))
    assert keys[0] == keys[1] != changed != training_key(prepared, resolve())


def test_a_list_is_found_from_wherever_its_training_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_RUN_ID", raising=False)
    monkeypatch.chdir(tmp_path)
    assert request.configured("scratch", {}, ["data.exclude=ids.txt"]).data.exclude == str(tmp_path / "ids.txt")


@pytest.mark.slow
def test_swapped_transcripts_are_found(in_background: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    twin = in_background.twins["wav2vec2-large-960h-commonvoice-en-tiny"].result()
    for name in ("ASRX_HOME", "MLFLOW_TRACKING_URI"):
        monkeypatch.setenv(name, in_background.environment[name])
    paths, texts = in_background.held_out("en")
    clips = tmp_path / "clips"
    clips.mkdir()
    chosen = [(path, text) for path, text in zip(paths, texts) if len(text.split()) > 3][:40]
    rows = [{"path": f"{number}.wav", "sentence": text, "client_id": str(number % 10)} for number, (_, text) in enumerate(chosen)]
    for row, (path, _) in zip(rows, chosen):
        shutil.copy(path, clips / row["path"])
    wrong = [row["sentence"] for row in rows[:SWAPPED]]
    for row, sentence in zip(rows[:SWAPPED], wrong[1:] + wrong[:1]):
        row["sentence"] = sentence
    source = write_rows(tmp_path / "train.csv", rows)
    prepared, _ = prepare(Source(str(source), clips, name="swapped"), tmp_path / "corpus", resolve(overrides=["data.workers=1", "data.split=random"]))
    suspects = {row.id for split in ("train", "validation") for row in inspect(twin.training["run_id"], str(prepared.folder), split).suspects}
    swapped = {Path(row["path"]).stem for row in rows[:SWAPPED]}
    found = {Path(name).stem for name in suspects} & swapped
    assert len(found) >= SWAPPED - 1
    assert len(suspects) <= SWAPPED + 2
