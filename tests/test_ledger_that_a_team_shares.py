"""The ledger: the same in sqlite and PostgreSQL, whoever opens it first, and never half of anything."""

import threading
from pathlib import Path

import pytest
from conftest import free_port


@pytest.fixture
def ledger(database: str):
    from asrx.ledger import Ledger

    return Ledger.open()


def decided(model: str, sequence: int, **fields):
    from asrx.registry.decision import Decision

    known = {"outcome": "keep", "reason": "कारण", "kind": "compare", "candidate": "2", "baseline": "1", "previous": None}
    return Decision(name=model, **{**known, "champion_before": "1", "champion": "1", **fields}).row(sequence)


def test_six_processes_that_open_it_first_make_one(database: str, contest_server) -> None:
    from asrx.ledger import Ledger

    assert contest_server("opened", 6) == [Ledger.open().id] * 6


def test_the_migrations_make_the_tables_of_the_code(ledger) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.runtime.migration import MigrationContext

    from asrx.ledger.models import Base
    from asrx.ledger.store import VERSION_TABLE

    with ledger.engine.begin() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE, "compare_type": True})
        assert compare_metadata(context, Base.metadata) == []


def test_a_newer_ledger_is_left_alone(ledger) -> None:
    from asrx.errors import LedgerError
    from asrx.ledger import Ledger

    with ledger.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE asrx_ledger_version SET version_num = '9999'")
    with pytest.raises(LedgerError, match="newer asrx .revision 9999.; update asrx"):
        Ledger.open()


def test_transcripts_come_back_as_they_were(ledger) -> None:
    from asrx.ledger import Transcript, Transcripts

    heard = {"aa": Transcript("की कि’ \"x\"", 0.1 + 0.2), "bb": Transcript("", 1e-17)}
    own = Transcripts(ledger, "model", "decoding")
    assert own.known(heard) == {}
    own.keep(heard)
    own.keep({**heard, "cc": Transcript("more", 1.0)})
    own.keep({"aa": Transcript("another", 0.5)})
    assert own.known(["aa", "bb", "dd"]) == heard
    for other in (Transcripts(ledger, "another", "decoding"), Transcripts(ledger, "model", "another")):
        assert other.known(heard) == {}
    Transcripts(ledger, "model", "decoding", frozen=True).keep({"dd": Transcript("nothing", 1.0)})
    assert own.known(["dd"]) == {}


def test_a_number_is_taken_once(ledger) -> None:
    assert ledger.last("one") is None
    assert ledger.append(decided("one", 1)) and ledger.append(decided("other", 1))
    assert not ledger.append(decided("one", 1, reason="later"))
    assert ledger.append(decided("one", 2))
    assert [(row.sequence, row.reason) for row in ledger.decisions("one")] == [(2, "कारण"), (1, "कारण")]


def test_a_decision_comes_back_as_it_was(ledger) -> None:
    from dataclasses import asdict

    from asrx.registry.decision import Decision

    ledger.keep_held_out(
        {"digest": "d", "name": "test", "source": "test.csv", "utterances": 1, "words": 3, "seconds": 1.5},
        [{"id": "u", "reference": "की", "speaker": "", "audio_digest": "a", "seconds": 1.5, "snr": None}],
    )
    figures = {"candidate_wer": 0.1 + 0.2, "difference": -1e-17, "clusters": 7, "clustered_by": "speaker"}
    row = decided("whole", 1, held_out_digest="d", verdict={"slices": [{"value": "नेपाल", "upper": None}]}, thresholds={"power": 0.8}, **figures)
    assert ledger.append(row)
    found = Decision.of(ledger.last("whole"))
    assert found.candidate_wer == 0.1 + 0.2 and found.verdict["slices"][0]["value"] == "नेपाल" and "@" in found.decided_by
    assert asdict(Decision.of(row)) == asdict(found) and found.decided_at.endswith("+00:00")


def test_a_decision_of_an_unknown_held_out_set_is_refused(ledger) -> None:
    from asrx.errors import LedgerError

    with pytest.raises(LedgerError, match="refuses the decision"):
        ledger.append(decided("lost", 1, held_out_digest="nobody knows"))


def test_one_process_at_a_time_lets_the_registry_follow(ledger) -> None:
    ledger.append(decided("followed", 1))
    row = ledger.last("followed")
    with pytest.raises(ZeroDivisionError), ledger.applying(row) as mine:
        assert mine
        raise ZeroDivisionError
    assert ledger.last("followed").applied_at is None
    waiting, second = threading.Event(), []

    def another() -> None:
        waiting.set()
        with ledger.applying(row) as mine:
            second.append(mine)

    thread = threading.Thread(target=another)
    with ledger.applying(row) as mine:
        thread.start()
        waiting.wait(10)
        thread.join(0.5)
        assert mine and not second  # the other one waits
    thread.join(30)
    assert second == [False] and ledger.last("followed").applied_at is not None


@pytest.mark.parametrize(("url", "complaint"), [
    ("mysql://somebody@host/db", "a mysql database"), ("sqlite://", "give a file"), ("not a url", "must be the URL of a database"),
    ("sqlite:////proc/nowhere/asrx.db", "cannot be used"), ("sqlite:////etc", "cannot be used"),
    ("postgresql://me:secret@127.0.0.1:{port}/db", "cannot be used"), ("{tracking}", "MLflow's own database"),
])  # fmt: skip
def test_what_cannot_be_a_ledger_is_refused_in_a_line(url: str, complaint: str, home: Path, monkeypatch) -> None:
    from asrx import stores
    from asrx.errors import LedgerError
    from asrx.ledger import Ledger

    monkeypatch.setenv("ASRX_DB", url.format(port=free_port(), tracking=stores.tracking_uri()))
    with pytest.raises(LedgerError, match=complaint) as refused:
        Ledger.open()
    assert "secret" not in str(refused.value) and "\n" not in str(refused.value)


def test_without_a_setting_it_is_beside_the_tracking_database(home: Path, tmp_path: Path, monkeypatch) -> None:
    from asrx.ledger.store import location

    monkeypatch.delenv("ASRX_DB", raising=False)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    assert location().database == str(tmp_path / "asrx.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("ASRX_HOME", str(tmp_path / "home"))
    assert location().database == str(tmp_path / "home" / "asrx.db")
