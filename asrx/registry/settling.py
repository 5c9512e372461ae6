"""The registry follows the ledger: tags and aliases after a decision, and after a crash before they were set.

A decision is made when the ledger has it. Its row is locked while the registry follows, and marked at the end: whoever comes next finishes
what a killed process left. An alias that somebody moved in MLflow itself is told of and stays until `asrx registry repair`.
"""

import logging
import re
from dataclasses import dataclass
from typing import Any

from .. import tracking
from ..errors import LedgerError, RegistryError
from ..ledger import DecisionRow, Ledger
from .aliases import CHAMPION, PREVIOUS, aliases, point, registered_model
from .decision import ROLLBACK

log = logging.getLogger("asrx")

OWNER = "asrx.ledger"  # tag of a registered model: the id of the ledger that decides about it
ROLLED_BACK = "asrx.rolled_back"  # tag of a version that was the champion and is not any more: why
RUN, OUTCOME, DECISION, WER, DIGEST, INTERVAL = (
    f"asrx.{name}" for name in ("decision_run", "outcome", "decision", "held_out_wer", "held_out_digest", "interval")
)  # tags of a version


@dataclass(frozen=True)
class Moved:
    """An alias that is not where the ledger's last decision put it."""

    alias: str
    registry: str | None  # version
    ledger: str | None


@dataclass(frozen=True)
class Repair:
    """What a repair did to a registered model."""

    name: str
    finished: tuple[int, ...]  # sequence numbers of decisions that the registry had not followed
    moved_back: tuple[Moved, ...]


def settle(client: Any, ledger: Ledger, name: str) -> list[int]:
    """As `finish`, and tell of aliases that were moved."""
    finished = finish(client, ledger, name)
    for item in moved(client, ledger, name):
        versions = f"{_shown(item.registry)} in the registry, but {_shown(item.ledger)} by the last decision"
        log.warning("the alias %s of %s is %s: it was moved by hand. asrx registry repair --name %s moves it back", item.alias, name, versions, name)
    return finished


def finish(client: Any, ledger: Ledger, name: str) -> list[int]:
    """Let the registry follow every decision, once others are done with theirs; the sequence numbers of those that it had not followed.

    Decisions from before the registered model was tagged are about one that had its name and is gone.

    RegistryError if there is no such model, or another ledger decides about it.
    """
    if not is_owner(client, ledger, name):
        return []
    finished = [row.sequence for row in reversed(ledger.decisions(name, applied_at=None)) if _followed(client, ledger, row)]
    for sequence in finished:
        log.warning("decision %d about %s had not reached the registry, and has now", sequence, name)
    return finished


def settle_spec(spec: str) -> None:
    """Before a model is opened as `models:/NAME@ALIAS`: finish what the registry did not follow, as far as this machine knows the ledger."""
    if match := re.fullmatch(r"models:/([^@/]+)@.+", spec):
        settle_known(tracking.connect(), match.group(1))


def settle_known(client: Any, name: str) -> None:
    """As `settle`, for a command that decides nothing: silent where the model is new or its ledger is another one."""
    from mlflow.exceptions import MlflowException

    try:
        owner = client.get_registered_model(name).tags.get(OWNER)
        ledger = Ledger.existing() if owner else None
        if ledger and ledger.id == owner:
            settle(client, ledger, name)
    except LedgerError as error:
        log.warning("%s; the aliases of %s are taken as they are", error, name)
    except MlflowException:
        pass  # there is no such model, and whoever needs it says so


def repair(name: str) -> Repair:
    """Let the registry follow every decision, and move aliases back that were moved by hand. RegistryError where a version is gone."""
    from mlflow.exceptions import MlflowException

    client, ledger = tracking.connect(), Ledger.open()
    finished = settle(client, ledger, name)
    found = moved(client, ledger, name)
    for item in found:
        try:
            point(client, name, item.alias, item.ledger)
        except MlflowException:
            raise RegistryError(f"the alias {item.alias} of {name} cannot be moved back: {_shown(item.ledger)} is gone from the registry") from None
    for row in reversed(ledger.decisions(name, applied_at=None)):  # an alias that was moved stood in the way
        if follow(client, ledger, row):
            finished.append(row.sequence)
    return Repair(name, tuple(finished), tuple(found))


def follow(client: Any, ledger: Ledger, row: DecisionRow) -> bool:
    """Let the registry follow a decision; False if another process has. RegistryError if it cannot, or somebody moved the champion meanwhile.

    The aliases are those of the last decision: an earlier one only leaves its tags.
    """
    from mlflow.exceptions import MlflowException

    try:
        is_last = ledger.last(row.model).sequence == row.sequence
        with ledger.applying(row) as mine:
            if mine:
                if is_last:
                    _move_aliases(client, row)
                _tag(client, row)
        return mine
    except MlflowException as error:
        reason = " ".join(str(error).split())[:200]
        what = f"decision {row.sequence} about {row.model} is in the ledger, but the registry could not follow ({reason})"
        raise RegistryError(f"{what}; asrx registry repair --name {row.model} finishes it") from None


def claim(client: Any, ledger: Ledger, name: str) -> None:
    """Tag the registered model as one that this ledger decides about. RegistryError if another one does."""
    from mlflow.exceptions import MlflowException

    if OWNER not in registered_model(client, name).tags:
        try:
            client.set_registered_model_tag(name, OWNER, ledger.id)
        except MlflowException:  # MLflow's own insert fails where another process sets the tag at the same time
            if OWNER not in registered_model(client, name).tags:
                raise
    is_owner(client, ledger, name)


def is_owner(client: Any, ledger: Ledger, name: str) -> bool:
    """Whether this ledger has decided about the registered model; False if none has. RegistryError if another one has."""
    owner = registered_model(client, name).tags.get(OWNER)
    if owner not in (None, ledger.id):
        raise RegistryError(
            f"the decisions about {name} are in another ledger ({owner}) than {ledger.shown} ({ledger.id}): set ASRX_DB to that one; "
            f"if it is lost, delete the tag {OWNER} of {name} in MLflow, and this one goes on from the aliases as they are"
        )
    return owner is not None


def moved(client: Any, ledger: Ledger, name: str) -> list[Moved]:
    """The aliases that are not where the last decision put them."""
    last = ledger.last(name)
    if last is None or not is_owner(client, ledger, name):
        return []
    known, stated = aliases(client, name), {CHAMPION: last.champion, PREVIOUS: last.previous}
    if last.applied_at is None and known.get(CHAMPION) == last.champion_before:
        return []
    return [Moved(alias, known.get(alias), version) for alias, version in stated.items() if known.get(alias) != version]


def _followed(client: Any, ledger: Ledger, row: DecisionRow) -> bool:
    try:
        return follow(client, ledger, row)
    except RegistryError as error:
        log.warning("%s", error)
        return False


def _move_aliases(client: Any, row: DecisionRow) -> None:
    if row.champion == row.champion_before:
        return
    now = aliases(client, row.model).get(CHAMPION)
    if now not in (row.champion_before, row.champion):
        wanted = f"decision {row.sequence}, which makes {_shown(row.champion)} the champion of {row.model}"
        raise RegistryError(f"{wanted}, cannot be followed: the alias was moved to {_shown(now)}; see asrx registry repair")
    point(client, row.model, PREVIOUS, row.previous)
    point(client, row.model, CHAMPION, row.champion)


def _tag(client: Any, row: DecisionRow) -> None:
    """The evidence, where MLflow shows the version."""
    if row.champion == row.candidate and ROLLED_BACK in client.get_model_version(row.model, row.candidate).tags:
        client.delete_model_version_tag(row.model, row.candidate, ROLLED_BACK)
    if row.kind == ROLLBACK:
        client.set_model_version_tag(row.model, row.baseline, ROLLED_BACK, f"decision {row.id}: {row.reason}"[:5000])
        return
    figures = row.figures
    wer = "none" if figures["candidate_wer"] is None else f"{figures['candidate_wer']:.2%}"
    if row.champion == row.candidate:
        _untag(client, row, ROLLED_BACK)
    tags = {DECISION: str(row.id), OUTCOME: row.outcome}
    description = f"{row.outcome.capitalize()}: {row.reason}."
    if row.held_out:
        tags |= {WER: wer, DIGEST: row.held_out}
        description += f" WER {wer} on {figures['utterances']:,} held-out utterances."
    if figures["low"] is not None:
        tags[INTERVAL] = f"{100 * figures['low']:+.2f} to {100 * figures['high']:+.2f} points against version {row.baseline}"
    if row.run_id:
        tags[RUN] = row.run_id
    for key, value in tags.items():
        client.set_model_version_tag(row.model, row.candidate, key, value)
    client.update_model_version(row.model, row.candidate, description)


def _untag(client: Any, row: DecisionRow, key: str) -> None:
    if key in client.get_model_version(row.model, row.candidate).tags:
        client.delete_model_version_tag(row.model, row.candidate, key)


def _shown(version: str | None) -> str:
    return f"version {version}" if version else "no version"
