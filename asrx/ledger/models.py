"""What the ledger keeps, as tables. A change here needs a migration."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import JSON, DateTime, Dialect, Double, ForeignKey, Index, String, Text, TypeDecorator, UniqueConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

DIGEST = String(64)  # sha256, hexadecimal


class UtcTime(TypeDecorator[datetime]):
    """A time with its zone, which sqlite would forget."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """To UTC."""
        return value and value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """In UTC."""
        return value and (value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC))


def now() -> datetime:
    """The time, to the second."""
    return datetime.now(UTC).replace(microsecond=0)


class Base(DeclarativeBase):
    """Of all tables."""

    type_annotation_map = {dict[str, Any]: JSON, datetime: UtcTime}


class Identity(Base):
    """The one row that tells this ledger from any other; its registered models carry the id."""

    __tablename__ = "ledger"
    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    made_at: Mapped[datetime]


class HeldOutSet(Base):
    """Recordings with references that models were judged on."""

    __tablename__ = "held_out_sets"
    digest: Mapped[str] = mapped_column(DIGEST, primary_key=True)  # of ids, references, speakers, slices and audio, whatever their order
    name: Mapped[str] = mapped_column(Text)
    source: Mapped[str] = mapped_column(Text)
    utterances: Mapped[int]
    words: Mapped[int]
    seconds: Mapped[float] = mapped_column(Double)
    seen_at: Mapped[datetime] = mapped_column(default=now)


class HeldOutUtterance(Base):
    """An utterance of a held-out set."""

    __tablename__ = "held_out_utterances"
    held_out: Mapped[str] = mapped_column(ForeignKey("held_out_sets.digest"), primary_key=True)
    id: Mapped[str] = mapped_column(Text, primary_key=True)
    reference: Mapped[str] = mapped_column(Text)
    speaker: Mapped[str] = mapped_column(Text)
    audio_digest: Mapped[str] = mapped_column(DIGEST)  # empty where the audio cannot be used
    seconds: Mapped[float] = mapped_column(Double)
    snr: Mapped[float | None] = mapped_column(Double)  # dB, estimated


class TranscriptRow(Base):
    """What a model, decoded one way, heard in a recording."""

    __tablename__ = "transcripts"
    model: Mapped[str] = mapped_column(DIGEST, primary_key=True)
    decoding: Mapped[str] = mapped_column(DIGEST, primary_key=True)
    audio: Mapped[str] = mapped_column(DIGEST, primary_key=True)
    text: Mapped[str] = mapped_column(Text)
    confidence: Mapped[float] = mapped_column(Double)


class DecisionRow(Base):
    """A decision about a registered model, with all that it was based on. Versions are MLflow's numbers."""

    __tablename__ = "decisions"
    id: Mapped[int] = mapped_column(primary_key=True)
    model: Mapped[str] = mapped_column(Text)
    sequence: Mapped[int]  # from 1 without gaps for each model: whoever takes a number first has decided
    kind: Mapped[str] = mapped_column(String(16))  # compare, first or rollback
    outcome: Mapped[str] = mapped_column(String(16))
    reason: Mapped[str] = mapped_column(Text)
    candidate: Mapped[str] = mapped_column(String(16))
    candidate_digest: Mapped[str | None] = mapped_column(DIGEST)
    baseline: Mapped[str | None] = mapped_column(String(16))
    baseline_digest: Mapped[str | None] = mapped_column(DIGEST)
    champion_before: Mapped[str | None] = mapped_column(String(16))  # version that the alias named
    champion: Mapped[str | None] = mapped_column(String(16))  # and that it is to name
    previous: Mapped[str | None] = mapped_column(String(16))
    held_out: Mapped[str | None] = mapped_column(ForeignKey("held_out_sets.digest"))
    normalizer: Mapped[str | None] = mapped_column(Text)
    decoding: Mapped[str | None] = mapped_column(DIGEST)  # of the candidate's transcripts
    figures: Mapped[dict[str, Any]]  # the headline: error rates, difference, interval, counts
    verdict: Mapped[dict[str, Any]]  # all numbers
    thresholds: Mapped[dict[str, Any]]
    libraries: Mapped[dict[str, Any]]
    run_id: Mapped[str | None] = mapped_column(String(32))
    decided_by: Mapped[str] = mapped_column(Text)
    decided_at: Mapped[datetime] = mapped_column(default=now)
    applied_at: Mapped[datetime | None]  # when tags and aliases of the registry followed; none: they have to

    __table_args__ = (UniqueConstraint("model", "sequence"), Index("ix_decisions_evidence", "model", "candidate", "held_out"))
