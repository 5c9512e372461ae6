"""Held-out sets, transcripts, decisions, and the ledger's own id."""

import uuid
from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

DIGEST, VERSION, TIME = sa.String(64), sa.String(16), sa.DateTime(timezone=True)


def upgrade() -> None:
    """The tables of an empty database."""
    identity = op.create_table("ledger", sa.Column("id", sa.String(32), primary_key=True), sa.Column("made_at", TIME, nullable=False))
    op.bulk_insert(identity, [{"id": uuid.uuid4().hex, "made_at": datetime.now(UTC).replace(microsecond=0)}])
    op.create_table(
        "held_out_sets",
        sa.Column("digest", DIGEST, primary_key=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("utterances", sa.Integer, nullable=False),
        sa.Column("words", sa.Integer, nullable=False),
        sa.Column("seconds", sa.Double, nullable=False),
        sa.Column("seen_at", TIME, nullable=False),
    )
    op.create_table(
        "held_out_utterances",
        sa.Column("held_out", DIGEST, sa.ForeignKey("held_out_sets.digest"), primary_key=True),
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("reference", sa.Text, nullable=False),
        sa.Column("speaker", sa.Text, nullable=False),
        sa.Column("audio_digest", DIGEST, nullable=False),
        sa.Column("seconds", sa.Double, nullable=False),
        sa.Column("snr", sa.Double),
    )
    op.create_table(
        "transcripts",
        sa.Column("model", DIGEST, primary_key=True),
        sa.Column("decoding", DIGEST, primary_key=True),
        sa.Column("audio", DIGEST, primary_key=True),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("confidence", sa.Double, nullable=False),
    )
    _decisions()


def _decisions() -> None:
    op.create_table(
        "decisions",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("sequence", sa.Integer, nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("outcome", sa.String(16), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("candidate", VERSION, nullable=False),
        sa.Column("candidate_digest", DIGEST),
        sa.Column("baseline", VERSION),
        sa.Column("baseline_digest", DIGEST),
        sa.Column("champion_before", VERSION),
        sa.Column("champion", VERSION),
        sa.Column("previous", VERSION),
        sa.Column("held_out", DIGEST, sa.ForeignKey("held_out_sets.digest")),
        sa.Column("normalizer", sa.Text),
        sa.Column("decoding", DIGEST),
        sa.Column("figures", sa.JSON, nullable=False),
        sa.Column("verdict", sa.JSON, nullable=False),
        sa.Column("thresholds", sa.JSON, nullable=False),
        sa.Column("libraries", sa.JSON, nullable=False),
        sa.Column("run_id", sa.String(32)),
        sa.Column("decided_by", sa.Text, nullable=False),
        sa.Column("decided_at", TIME, nullable=False),
        sa.Column("applied_at", TIME),
        sa.UniqueConstraint("model", "sequence"),
    )
    op.create_index("ix_decisions_evidence", "decisions", ["model", "candidate", "held_out"])
