"""The ledger: held-out sets, transcripts and decisions in a database that a team may share. A leaf: it knows no stage."""

from .models import DecisionRow
from .store import Ledger
from .transcripts import Transcript, Transcripts

__all__ = ["DecisionRow", "Ledger", "Transcript", "Transcripts"]
