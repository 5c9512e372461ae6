"""A validation WER on what was trained on, or of a model that starts in another language, says nothing: both are told before the first step."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from asrx import packaging
from asrx.config import resolve
from asrx.corpus.shards import META, PreparedCorpus
from asrx.files import read_json, write_json
from asrx.findings import OK, REFUSED, WARNING, Finding
from asrx.models import loading
from asrx.training import preflight
from asrx.training.material import load_material


@pytest.fixture
def mixed(corpus: Path, tmp_path: Path) -> PreparedCorpus:
    """A corpus whose validation utterances are those that are trained on."""
    folder = Path(shutil.copytree(corpus, tmp_path / "mixed"))
    shutil.rmtree(folder / "validation")
    shutil.copytree(folder / "train", folder / "validation")
    meta = read_json(folder / META)
    write_json(folder / META, {**meta, "splits": {**meta["splits"], "validation": meta["splits"]["train"]}})
    return PreparedCorpus.open(folder)


def shared(corpus: PreparedCorpus, *overrides: str) -> dict[str, Finding]:
    options = resolve(overrides=list(overrides))
    return {item.check: item for item in preflight.overlap(load_material(corpus, options)[1], options)}


def test_validation_audio_that_is_trained_on_is_refused(mixed: PreparedCorpus) -> None:
    told = shared(mixed)
    assert told["shared audio"].verdict == REFUSED and "36 of 36 validation utterances are trained on" in told["shared audio"].measured
    assert told["shared speakers"].verdict == WARNING and "6 of 6 validation speakers" in told["shared speakers"].measured
    assert told["shared sentences"].verdict == OK and "36 of 36" in told["shared sentences"].measured
    a_few = shared(mixed, "data.fraction=0.08")
    assert a_few["shared audio"].verdict == WARNING and "3 of 36" in a_few["shared audio"].measured


def test_voices_of_their_own_are_fine(corpus: Path) -> None:
    told = shared(PreparedCorpus.open(corpus))
    assert told["shared audio"].verdict == told["shared speakers"].verdict == OK


def test_audio_of_an_earlier_training_is_remembered(corpus: Path, letter_model: Callable[..., Path], copy_of: Any, tmp_path: Path) -> None:
    prepared, folder = PreparedCorpus.open(corpus), copy_of(letter_model("a"), tmp_path / "model")
    packaging.remember_audio(folder, set(prepared.split("validation").column("audio_digest")[:2]))
    told = shared(prepared, f"model.name={folder}")["shared audio"]
    assert told.verdict == WARNING and "2 were in an earlier training" in told.measured


@pytest.mark.parametrize("letter", ["", "z"])
def test_a_model_that_gets_nothing_right_is_told(letter: str, corpus: Path, letter_model: Callable[..., Path]) -> None:
    loading.quiet_transformers()
    options = resolve(overrides=[f"model.name={letter_model(letter)}"])
    family, material = load_material(PreparedCorpus.open(corpus), options)
    told = preflight.baseline(family, material, options)
    assert told.verdict == WARNING and "100.0%" in told.measured and "6 validation utterances" in told.measured
    assert "does the checkpoint know this language" in told.advice


def test_a_trained_model_says_where_it_starts(trained: Any, corpus: Path) -> None:
    options = resolve(overrides=[f"model.name={trained.folder}"])
    family, material = load_material(PreparedCorpus.open(corpus), options)
    assert family.writes and "%" in preflight.baseline(family, material, options).measured
    built = resolve(overrides=[f"model.name={trained.folder}", "text.vocabulary=build"])
    family, material = load_material(PreparedCorpus.open(corpus), built)
    assert not family.writes and "output layer is new" in preflight.baseline(family, material, built).measured


def test_the_baseline_stops_when_its_time_is_over(corpus: Path, letter_model: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "BASELINE_SECONDS", 0.0)
    options = resolve(overrides=[f"model.name={letter_model('z')}"])
    assert "on 1 validation utterances" in preflight.baseline(*load_material(PreparedCorpus.open(corpus), options), options).measured
