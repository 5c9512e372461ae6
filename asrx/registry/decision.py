"""A decision about a registered model, as the ledger keeps it and as people and programs read it."""

import getpass
import os
import platform
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from .. import tracking
from ..ledger import DecisionRow

COMPARE, FIRST, ROLLBACK = "compare", "first", "rollback"  # kinds; the last one is an outcome, too
FIGURES = (
    "candidate_wer", "baseline_wer", "difference", "low", "high", "confidence", "clusters", "clustered_by", "utterances", "words",
)  # fmt: skip
COLUMNS = (
    "outcome", "reason", "kind", "candidate", "candidate_digest", "baseline", "baseline_digest", "champion_before", "champion", "previous",
    "normalizer", "decoding", "verdict", "thresholds", "run_id",
)  # fmt: skip


@dataclass(frozen=True)
class Decision:
    """What was decided about a candidate and what it is based on. WERs and differences are fractions."""

    outcome: str  # promote, keep, inconclusive or rollback
    reason: str
    name: str
    kind: str  # compare, first or rollback
    candidate: str  # version
    baseline: str | None  # version; None for a first champion without one
    champion_before: str | None  # version
    champion: str | None  # version, after the decision
    previous: str | None  # version, after the decision
    candidate_digest: str | None = None
    baseline_digest: str | None = None
    candidate_wer: float | None = None
    baseline_wer: float | None = None
    difference: float | None = None
    low: float | None = None  # of the interval of the difference
    high: float | None = None
    confidence: float | None = None
    clusters: int | None = None
    clustered_by: str | None = None  # speaker or utterance
    utterances: int | None = None
    words: int | None = None
    held_out_digest: str | None = None
    normalizer: str | None = None
    decoding: str | None = None  # digest of code and settings
    verdict: dict[str, Any] = field(default_factory=dict)  # all figures
    thresholds: dict[str, Any] = field(default_factory=dict)
    run_id: str | None = None
    id: int | None = None  # in the ledger; None: it was not recorded
    sequence: int | None = None  # among the decisions about this registered model
    decided_by: str | None = None
    decided_at: str | None = None
    standing: bool = False  # taken before, printed again

    @classmethod
    def of(cls, row: DecisionRow, standing: bool = False) -> "Decision":
        """As the ledger has it."""
        own = {name: getattr(row, name) for name in COLUMNS}
        entry = {"id": row.id, "sequence": row.sequence, "decided_by": row.decided_by, "decided_at": row.decided_at.isoformat()}
        return cls(name=row.model, held_out_digest=row.held_out, standing=standing, **own, **row.figures, **entry)

    def row(self, sequence: int) -> DecisionRow:
        """For the ledger, under a sequence number."""
        own = {name: getattr(self, name) for name in COLUMNS}
        figures = {name: getattr(self, name) for name in FIGURES}
        libraries = tracking.library_versions()
        return DecisionRow(
            model=self.name, sequence=sequence, held_out=self.held_out_digest, figures=figures, libraries=libraries, decided_by=whoever(), **own
        )

    def entered(self, row: DecisionRow) -> "Decision":
        """With what it got in the ledger."""
        at: datetime = row.decided_at
        return replace(self, id=row.id, sequence=row.sequence, decided_by=row.decided_by, decided_at=at.isoformat())


def whoever() -> str:
    """The person and the machine that decide."""
    try:
        person = getpass.getuser()
    except (KeyError, OSError):  # no name in a container
        person = str(os.getuid())
    return f"{person}@{platform.node()}"
