"""Rollback: the previous champion again, as a decision of its own; and the decisions that there were."""

from typing import Any

from .. import tracking
from ..errors import ConfigError, RegistryError
from ..ledger import Ledger
from . import settling
from .aliases import CHAMPION, PREVIOUS, aliases, made_at, version_number
from .decision import ROLLBACK, Decision
from .promotion import enter


def rollback(name: str, reason: str) -> Decision:
    """Make the previous champion of `name` the champion again. What then is `previous` is the one that it had replaced itself.

    RegistryError without a previous champion, or where an alias was moved by hand; ConfigError without a reason.
    """
    if not reason.strip():
        raise ConfigError("a rollback needs a reason, which the ledger keeps: --reason TEXT")
    client, ledger = tracking.connect(), Ledger.open()
    settling.settle(client, ledger, name)
    if settling.moved(client, ledger, name):
        raise RegistryError(f"aliases of {name} were moved by hand; asrx registry repair --name {name} first, then roll back")
    known, last = aliases(client, name), ledger.last(name)
    if PREVIOUS not in known or CHAMPION not in known:
        raise RegistryError(f"{name} has no previous champion to go back to")
    target = version_number(client, name, PREVIOUS)
    decision = Decision(
        outcome=ROLLBACK,
        reason=reason.strip(),
        name=name,
        kind=ROLLBACK,
        candidate=target,
        baseline=known[CHAMPION],
        champion_before=known[CHAMPION],
        champion=target,
        previous=_replaced_by(client, ledger, name, target),
    )
    return enter(client, ledger, decision, last.sequence if last else 0)


def history(name: str) -> list[Decision]:
    """All decisions about a registered model, the newest first. RegistryError if there is no such model, or another ledger has them."""
    client, ledger = tracking.connect(), Ledger.open()
    settling.settle(client, ledger, name)
    return [Decision.of(row) for row in ledger.decisions(name)]


def _replaced_by(client: Any, ledger: Ledger, name: str, version: str) -> str | None:
    """The champion that a version had replaced when it was promoted, if the ledger knows of that."""
    since = made_at(client, name, version)
    promotions = (row for row in ledger.decisions(name, champion=version) if row.kind != ROLLBACK and row.champion_before != version)
    return next((row.champion_before for row in promotions if row.decided_at >= since), None)
