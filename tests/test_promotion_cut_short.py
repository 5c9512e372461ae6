"""A promotion that SIGKILL hits at any step: what the ledger has counts, and the next command lets the registry follow."""

from pathlib import Path

import contests
import pytest

DECIDED = [step for step in contests.STEPS if step != "insert"]


@pytest.fixture
def cut(database: str, contest_server, held_out: Path, tmp_path: Path, request) -> dict[str, str]:
    """Step → name of a registered model whose promotion ended there."""
    names = {step: f"cut-{step}-{request.node.callspec.id}" for step in contests.STEPS}
    for name in names.values():
        contests.register(name, tmp_path, 2, champion=1, candidate=2)
    ended = contest_server("killed", str(held_out), *(f"{name}={step}" for step, name in names.items()))
    assert ended == dict.fromkeys(contests.STEPS, -9)
    return names


def state(name: str) -> dict[str, str]:
    from asrx import tracking

    return {alias: str(version) for alias, version in tracking.connect().get_registered_model(name).aliases.items()}


def test_the_next_command_repairs_what_a_kill_left(cut: dict[str, str], asrx, held_out: Path, monkeypatch, caplog) -> None:
    from asrx import tracking
    from asrx.ledger import Ledger
    from asrx.registry import settling

    contests.stub(monkeypatch.setattr)
    before = {step: state(name)["champion"] for step, name in cut.items()}
    assert before == {"insert": "1", "registry": "1", "champion": "1", "tags": "2", "mark": "2"}
    assert Ledger.open().decisions(cut["insert"]) == []
    assert contests.compare(cut["insert"], str(held_out)).champion == "2"
    for step in DECIDED:
        name = cut[step]
        (row,) = Ledger.open().decisions(name)
        assert row.champion == "2" and row.applied_at is None
        if step == "champion":
            settling.settle_spec(f"models:/{name}@champion")  # as evaluate and transcribe do
        else:
            assert asrx("history", "--name", name).status == 0
        assert f"about {name} had not reached the registry" in caplog.text
        assert state(name) == {"candidate": "2", "champion": "2", "previous": "1"}
        assert tracking.connect().get_model_version(name, "2").tags["asrx.decision"] == str(row.id)
        again = asrx("registry", "repair", "--name", name)
        assert again.status == 0 and "nothing to repair" in again.out
        assert contests.compare(name, str(held_out)).standing


def test_an_alias_that_was_moved_meanwhile_is_left_alone(database: str, held_out: Path, tmp_path: Path, asrx, monkeypatch, caplog, request) -> None:
    from asrx import tracking
    from asrx.registry import settling

    name = f"moved-{request.node.callspec.id}"
    contests.register(name, tmp_path, 3, champion=1, candidate=2)
    contests.stub(monkeypatch.setattr)
    with monkeypatch.context() as dying:
        dying.setattr(settling, "follow", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            contests.compare(name, str(held_out))
    tracking.connect().set_registered_model_alias(name, "champion", "3")
    told = asrx("history", "--name", name)
    assert told.status == 0 and "the alias was moved to version 3" in caplog.text and state(name)["champion"] == "3"
    assert asrx("registry", "repair", "--name", name).status == 0
    assert state(name) == {"candidate": "2", "champion": "2", "previous": "1"}
    assert "nothing to repair" in asrx("registry", "repair", "--name", name).out


def test_a_decision_that_was_overtaken_moves_no_alias(database: str, held_out: Path, tmp_path: Path, asrx, monkeypatch, request) -> None:
    from asrx import tracking
    from asrx.ledger import Ledger
    from asrx.registry import settling

    name = f"overtaken-{request.node.callspec.id}"
    contests.register(name, tmp_path, 4, champion=1, candidate=2)
    contests.stub(monkeypatch.setattr)
    with monkeypatch.context() as dying:
        dying.setattr(settling, "follow", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            contests.compare(name, str(held_out))
    tracking.connect().set_registered_model_alias(name, "champion", "3")
    assert contests.compare(name, str(held_out), 4).champion == "4"
    tracking.connect().set_registered_model_alias(name, "champion", "1")
    assert asrx("history", "--name", name).status == 0
    assert state(name)["champion"] == "1" and all(row.applied_at for row in Ledger.open().decisions(name))
    assert asrx("registry", "repair", "--name", name).status == 0
    assert state(name)["champion"] == "4"
