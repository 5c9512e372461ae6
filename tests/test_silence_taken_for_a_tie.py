"""Recordings that cannot be used: both models hear nothing in them, as if they were equally good."""

import csv
from pathlib import Path

import contests
import pytest
from conftest import write_rows


@pytest.fixture
def rows(held_out: Path) -> list[dict[str, str]]:
    with held_out.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_a_table_without_a_recording_decides_nothing(home: Path, tmp_path: Path, rows: list[dict[str, str]], monkeypatch: pytest.MonkeyPatch) -> None:
    from asrx.errors import InputError
    from asrx.ledger import Ledger

    contests.register("unheard", tmp_path, 2, champion=1, candidate=2)
    contests.stub(monkeypatch.setattr)
    gone = tmp_path / "gone.csv"
    write_rows(gone, [{**row, "path": f"elsewhere/{row['path'].lstrip('/')}"} for row in rows])
    with pytest.raises(InputError, match="none of the 18 recordings .* can be used .*no such file.* --audio-dir"):
        contests.compare("unheard", str(gone))
    assert Ledger.open().last("unheard") is None


def test_what_is_missing_is_told_with_the_decision(home: Path, tmp_path: Path, rows: list[dict[str, str]], monkeypatch: pytest.MonkeyPatch) -> None:
    contests.register("half-heard", tmp_path, 2, champion=1, candidate=2)
    contests.stub(monkeypatch.setattr)
    some = tmp_path / "some.csv"
    missing = [{**row, "path": "gone.flac"} for row in rows[:2]]
    write_rows(some, [{**missing[0], "client_id": ""}, missing[1], *rows[2:], rows[-1]])
    notes = contests.compare("half-heard", str(some)).verdict["notes"]
    assert "2 of 19 recordings could not be used" in notes[0] and "gone" in notes[0]
    assert "1 of 19 utterances have no speaker" in notes[1]
    assert "1 of 19 utterances repeat a recording" in notes[2]
