"""Alembic's way to the ledger: migrations run in the transaction that whoever opens it has begun."""

from alembic import context

from asrx.ledger.models import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    version_table=context.config.attributes["version_table"],
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
