"""Transcripts that the ledger remembers, so that nothing is recognised twice."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sqlalchemy import select

from .models import TranscriptRow
from .store import Ledger


@dataclass(frozen=True)
class Transcript:
    """What was heard in a recording."""

    text: str
    confidence: float


@dataclass(frozen=True)
class Transcripts:
    """What one model, decoded one way, has heard so far; digests of recordings are its keys."""

    ledger: Ledger
    model: str  # digest
    decoding: str  # digest
    frozen: bool = False  # nothing is added

    def known(self, audio: Iterable[str]) -> dict[str, Transcript]:
        """Those of `audio` (some dozens) that were heard before."""
        of_these = select(TranscriptRow).where(
            TranscriptRow.model == self.model, TranscriptRow.decoding == self.decoding, TranscriptRow.audio.in_(set(audio))
        )
        with self.ledger.transaction() as session:
            return {row.audio: Transcript(row.text, row.confidence) for row in session.scalars(of_these)}

    def keep(self, heard: Mapping[str, Transcript]) -> None:
        """Remember transcripts by their recordings' digests; what is known stays."""
        if heard and not self.frozen:
            own = {"model": self.model, "decoding": self.decoding}
            rows = [{**own, "audio": audio, "text": item.text, "confidence": item.confidence} for audio, item in heard.items()]
            self.ledger.insert_new({TranscriptRow: rows})
