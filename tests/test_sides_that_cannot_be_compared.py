"""Two sides that were not asked the same are no evidence, whatever their figures."""

from dataclasses import replace
from pathlib import Path

import contests
import pytest

from asrx.errors import InputError, RegistryError
from asrx.registry import promotion


@pytest.fixture
def name(home: Path, tmp_path: Path, monkeypatch) -> str:
    monkeypatch.setenv("ASRX_DB", f"sqlite:///{tmp_path}/ledger.db")
    contests.stub(monkeypatch.setattr)
    name = f"sides-{tmp_path.name}"
    contests.register(name, tmp_path, 2, champion=1, candidate=2)
    return name


def changed(monkeypatch, version: str, change) -> None:
    """One version's side is another one than it should be."""
    monkeypatch.setattr(promotion, "_side", lambda *asked: change(contests.side(*asked)) if asked[3] == version else contests.side(*asked))


def test_a_model_that_translates_is_not_compared_with_one_that_transcribes(name: str, held_out: Path, monkeypatch) -> None:
    changed(monkeypatch, "2", lambda side: replace(side, decoding=replace(side.decoding, task="translate")))
    with pytest.raises(RegistryError, match="task: translate, transcribe"):
        contests.compare(name, str(held_out))


@pytest.mark.parametrize("version", ["1", "2"])
def test_recordings_that_change_while_they_are_heard(name: str, held_out: Path, monkeypatch, version: str) -> None:
    def another_take(side: promotion.Side) -> promotion.Side:
        first, *others = side.result.heard
        return replace(side, result=replace(side.result, heard=[replace(first, audio_digest="another"), *others]))

    changed(monkeypatch, version, another_take)
    with pytest.raises(InputError, match="recordings changed while"):
        contests.compare(name, str(held_out))
