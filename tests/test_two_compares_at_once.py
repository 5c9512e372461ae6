"""Several compares that end at the same time: one decides, the others are told, and the champion is the one that was decided."""

from pathlib import Path

import contests

CANDIDATES = 8


def test_of_eight_compares_at_once_one_promotes(database: str, contest_server, held_out: Path, tmp_path: Path, request) -> None:
    from asrx import tracking
    from asrx.ledger import Ledger

    name = f"contested-{request.node.callspec.id}"
    contests.register(name, tmp_path, CANDIDATES + 1, champion=1)
    found = contest_server("together", str(held_out), name, *(str(version) for version in range(2, CANDIDATES + 2)))
    assert len(found["champions"]) == 1 and len(found["refused"]) == CANDIDATES - 1, found
    (champion,) = found["champions"]
    told = f"RegistryError: the champion of {name} changed while this ran (version 1 → {champion})"
    assert [complaint for complaint in found["refused"] if told not in complaint] == []
    (row,) = Ledger.open().decisions(name)
    assert (row.sequence, row.champion, row.previous) == (1, champion, "1") and row.applied_at
    aliases = tracking.connect().get_registered_model(name).aliases
    assert {alias: str(version) for alias, version in aliases.items()} == {"champion": champion, "previous": "1"}


def test_a_decision_that_leaves_the_champion_is_no_reason_to_refuse_another(database: str, held_out: Path, tmp_path: Path, monkeypatch, request) -> None:
    from asrx.ledger import Ledger

    name = f"patient-{request.node.callspec.id}"
    contests.register(name, tmp_path, 3, champion=1)

    def another_one_keeps() -> None:
        contests.stub(monkeypatch.setattr, "keep")
        contests.compare(name, str(held_out), 2)

    contests.stub(monkeypatch.setattr, at_the_end=another_one_keeps)
    promoted = contests.compare(name, str(held_out), 3)
    assert (promoted.outcome, promoted.champion, promoted.sequence) == ("promote", "3", 2)
    assert [(row.sequence, row.outcome, row.champion) for row in Ledger.open().decisions(name)] == [(2, "promote", "3"), (1, "keep", "1")]
