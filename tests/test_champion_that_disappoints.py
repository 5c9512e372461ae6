"""Back to the previous champion: as a decision with a reason, which the next compare does not undo."""

import json
import time
from pathlib import Path

import contests
import pytest
from conftest import Outcome


@pytest.fixture
def name(database: str, held_out: Path, tmp_path: Path, monkeypatch, request) -> str:
    """A registered model whose version 3 replaced version 2, which had replaced version 1."""
    name = f"voice-{request.node.name.replace('[', '-').rstrip(']')}"
    contests.register(name, tmp_path, 3, champion=1)
    contests.stub(monkeypatch.setattr)
    assert [contests.compare(name, str(held_out), version).champion for version in (2, 3)] == ["2", "3"]
    return name


def state(name: str) -> dict[str, str]:
    from asrx import tracking

    return {alias: str(version) for alias, version in tracking.connect().get_registered_model(name).aliases.items()}


def told(outcome: Outcome) -> dict:
    assert outcome.status == 0, outcome
    return json.loads(outcome.out)


def test_a_rollback_is_a_decision_and_a_second_one_goes_further(name: str, asrx) -> None:
    from asrx import tracking

    assert asrx("rollback", "--name", name).status == 2
    first = told(asrx("rollback", "--json", "--name", name, "--reason", "it drops digits"))
    assert (first["outcome"], first["baseline"], first["candidate"]) == ("rollback", "3", "2")
    assert state(name) == {"champion": "2", "previous": "1"}
    assert "it drops digits" in tracking.connect().get_model_version(name, "3").tags["asrx.rolled_back"]
    assert told(asrx("rollback", "--json", "--name", name, "--reason", "so does this"))["champion"] == "1"
    assert state(name) == {"champion": "1"}
    refused = asrx("rollback", "--name", name, "--reason", "again")
    assert refused.status == 2 and "no previous champion" in refused.complaint[0]
    listed = told(asrx("history", "--json", "--name", name))["decisions"]
    assert [(item["sequence"], item["kind"], item["champion"]) for item in listed] == [(4, "rollback", "1"), (3, "rollback", "2"), (2, "compare", "3"),
                                                                                       (1, "compare", "2")]  # fmt: skip
    shown = asrx("history", "--name", name).out
    assert "it drops digits" in shown and "because it was given" in shown


def test_the_same_evidence_does_not_undo_a_rollback(name: str, asrx, held_out: Path) -> None:
    again = contests.compare(name, str(held_out), 3)
    assert again.standing and again.outcome == "promote"
    assert asrx("rollback", "--name", name, "--reason", "it drops digits").status == 0
    after = contests.compare(name, str(held_out), 3)
    assert after.standing and (after.outcome, after.champion, after.reason) == ("rollback", "2", "it drops digits")
    assert state(name)["champion"] == "2"


def test_other_recordings_are_new_evidence(name: str, asrx, held_out: Path, tmp_path: Path) -> None:
    from asrx import tracking

    assert asrx("rollback", "--name", name, "--reason", "it drops digits").status == 0
    fewer = tmp_path / "fewer.csv"
    fewer.write_text("".join(held_out.read_text().splitlines(keepends=True)[:-1]))
    assert contests.compare(name, str(fewer), 3).champion == "3"
    assert state(name) == {"champion": "3", "previous": "2"}
    assert "asrx.rolled_back" not in tracking.connect().get_model_version(name, "3").tags


def test_an_alias_that_somebody_moved_is_told_of_and_never_moved_back_silently(name: str, asrx, held_out: Path, caplog) -> None:
    from asrx import tracking

    tracking.connect().set_registered_model_alias(name, "champion", "1")
    assert asrx("history", "--name", name).status == 0
    assert f"the alias champion of {name} is version 1 in the registry, but version 3 by the last decision" in caplog.text
    refused = asrx("rollback", "--name", name, "--reason", "x")
    assert refused.status == 2 and "moved by hand" in refused.complaint[-1]
    assert state(name)["champion"] == "1"
    assert told(asrx("registry", "repair", "--json", "--name", name))["moved_back"] == [{"alias": "champion", "registry": "1", "ledger": "3"}]
    assert state(name) == {"champion": "3", "previous": "2"}


def test_another_ledger_is_refused_with_what_to_do(name: str, asrx, held_out: Path, tmp_path: Path, monkeypatch, caplog) -> None:
    from asrx.registry import settling

    monkeypatch.setenv("ASRX_DB", f"sqlite:///{tmp_path}/another.db")
    for command in (("compare", "--csv", held_out, "--candidate", "1"), ("rollback", "--reason", "x"), ("history",), ("registry", "repair")):
        refused = asrx(*command, "--name", name)
        assert refused.status == 2 and "in another ledger" in refused.complaint[-1] and "set ASRX_DB" in refused.complaint[-1]
    settling.settle_spec(f"models:/{name}@champion")  # who decides nothing is not bothered
    assert not caplog.records


def test_another_model_of_the_same_name_inherits_no_decision(name: str, asrx, held_out: Path, tmp_path: Path, caplog) -> None:
    from asrx import tracking

    tracking.connect().delete_registered_model(name)
    time.sleep(1.1)  # decisions are dated to the second
    contests.register(name, tmp_path, 3, champion=1)
    for version in ("2", "3"):
        decision = contests.compare(name, str(held_out), version)
        assert not decision.standing and decision.champion == version
    assert not caplog.records and decision.sequence == 4
    assert contests.compare(name, str(held_out), 3).standing


def test_a_pipeline_is_told_by_the_exit_status(name: str, asrx, held_out: Path, monkeypatch) -> None:
    command = ("compare", "--json", "--name", name, "--csv", held_out, "--candidate", "1", "--fail-unless", "promote")
    contests.stub(monkeypatch.setattr, "inconclusive")
    first = asrx(*command)
    assert first.status == 3 and json.loads(first.out)["outcome"] == "inconclusive" and not json.loads(first.out)["standing"]
    again = asrx(*command)
    assert again.status == 3 and json.loads(again.out)["standing"]
    assert asrx(*command[:-2]).status == 0
    assert asrx(*command, "gate.power=0.9").status == 3  # other thresholds are another question
    assert len(told(asrx("history", "--json", "--name", name))["decisions"]) == 4


def test_a_dry_run_records_nothing(name: str, asrx, held_out: Path) -> None:
    from asrx import tracking

    client = tracking.connect()
    versions = {item.version: dict(item.tags) for item in client.search_model_versions(f"name = '{name}'")}
    before = told(asrx("history", "--json", "--name", name))
    tried = asrx("compare", "--name", name, "--csv", held_out, "--candidate", "1", "--dry-run", "gate.power=0.7")
    assert tried.status == 0 and "dry run, nothing was recorded" in tried.out and "it would be version 1" in tried.out
    assert told(asrx("history", "--json", "--name", name)) == before and state(name) == {"champion": "3", "previous": "2"}
    assert {item.version: dict(item.tags) for item in client.search_model_versions(f"name = '{name}'")} == versions


def test_a_version_that_comes_back_is_not_called_rolled_back(name: str, asrx, held_out: Path) -> None:
    from asrx import tracking

    assert asrx("rollback", "--name", name, "--reason", "it drops digits").status == 0
    assert "asrx.rolled_back" in tracking.connect().get_model_version(name, "3").tags
    assert contests.compare(name, str(held_out), 3, baseline="1").champion == "2"  # was not compared with the champion
    assert "asrx.rolled_back" in tracking.connect().get_model_version(name, "3").tags
    with held_out.open(encoding="utf-8") as file:
        shorter = held_out.with_name("shorter.csv")
        shorter.write_text("".join(file.readlines()[:-1]), encoding="utf-8")
    assert contests.compare(name, str(shorter), 3).champion == "3"
    assert "asrx.rolled_back" not in tracking.connect().get_model_version(name, "3").tags
