"""Opening the ledger, and its transactions. One code path for sqlite and PostgreSQL."""

import logging
import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, func, make_url, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ArgumentError, IntegrityError, SQLAlchemyError
from sqlalchemy.orm import Session

from .. import stores
from ..errors import LedgerError
from ..files import locked
from .models import Base, DecisionRow, HeldOutSet, HeldOutUtterance, Identity, now

VARIABLE = "ASRX_DB"
FILE = "asrx.db"
VERSION_TABLE = "asrx_ledger_version"
MIGRATIONS = Path(__file__).parent / "migrations"
LOCK = 0x61737278  # PostgreSQL's advisory lock of whoever migrates: `asrx`
PATIENCE = 60  # s that a process waits for another one that writes
REACHABLE_WITHIN = 5  # s
INSERT = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}
ROWS = 5_000  # in an insert


def location() -> URL:
    """ASRX_DB, else asrx.db beside a sqlite tracking database, else under ASRX_HOME. LedgerError for what cannot be one."""
    given, tracking = os.environ.get(VARIABLE), stores.tracking_uri()
    beside = Path(tracking.removeprefix("sqlite:///").partition("?")[0]).parent if tracking.startswith("sqlite:////") else stores.home()
    try:
        url = make_url(given) if given else URL.create("sqlite", database=str(beside / FILE))
    except (ArgumentError, ValueError):
        raise LedgerError(f"{VARIABLE} must be the URL of a database, such as postgresql+psycopg://user@host/asrx or sqlite:///asrx.db") from None
    if url.get_backend_name() not in INSERT:
        raise LedgerError(f"{VARIABLE} names a {url.get_backend_name()} database; the ledger is kept in sqlite or postgresql")
    if url.get_backend_name() == "postgresql":
        url = url.set(drivername="postgresql+psycopg")
    elif not url.database or url.database == ":memory:":
        raise LedgerError(f"{VARIABLE}: the ledger is to outlive this command; give a file, such as sqlite:///asrx.db")
    else:
        url = url.set(database=str(stores.user_path(url.database)))
    if _is_mlflows(url, tracking):
        raise LedgerError(f"{VARIABLE} names MLflow's own database; the ledger needs another one")
    return url


def _is_mlflows(url: URL, tracking: str) -> bool:
    try:
        other = make_url(tracking)
    except ArgumentError:
        return False
    return (url.get_backend_name(), url.host, url.port, url.database) == (other.get_backend_name(), other.host, other.port, other.database)


@dataclass(frozen=True)
class Ledger:
    """An open ledger."""

    engine: Engine
    id: str

    @classmethod
    def open(cls) -> "Ledger":
        """The ledger at `location`, made or brought up to date if need be. LedgerError if it cannot be used, or is newer than this asrx."""
        url = location()
        try:
            if url.get_backend_name() == "sqlite":
                _prepare(Path(url.database))
            engine = _engine(url)
        except (OSError, sqlite3.Error) as error:
            raise LedgerError(f"the ledger {url.render_as_string()} cannot be used: {error}; see {VARIABLE}") from None
        except ImportError:
            raise LedgerError("the driver of PostgreSQL is not installed: pip install 'asrx[postgres]'") from None
        with _errors(url):
            with engine.begin() as connection:
                _migrate(connection)
                return cls(engine, connection.scalar(select(Identity.id)))

    @classmethod
    def existing(cls) -> "Ledger | None":
        """The ledger, if there is one: nothing is made."""
        url = location()
        return None if url.get_backend_name() == "sqlite" and not Path(url.database).exists() else cls.open()

    @property
    def shown(self) -> str:
        """Where it is, without a password."""
        return self.engine.url.render_as_string()

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """All or nothing of the block. LedgerError if the database fails; IntegrityError is left to whoever knows what it means."""
        with _errors(self.engine.url), Session(self.engine, expire_on_commit=False) as session, session.begin():
            yield session

    def insert_new(self, rows: Mapping[type[Base], Sequence[Mapping[str, Any]]]) -> None:
        """Insert the rows of each table whose keys are not there yet: all of them or, if anything fails, none."""
        with self.transaction() as session:
            for table, items in rows.items():
                statement = INSERT[self.engine.dialect.name](table).on_conflict_do_nothing()
                for start in range(0, len(items), ROWS):
                    session.execute(statement, list(items[start : start + ROWS]))

    def keep_held_out(self, held_out: Mapping[str, Any], utterances: Sequence[Mapping[str, Any]]) -> None:
        """Remember a held-out set, unless it is known."""
        with self.transaction() as session:
            known = session.get(HeldOutSet, held_out["digest"])
        if not known:
            self.insert_new({HeldOutSet: [held_out], HeldOutUtterance: [{"held_out": held_out["digest"], **row} for row in utterances]})

    def append(self, row: DecisionRow) -> bool:
        """Enter a decision under its sequence; False if another one has that number."""
        try:
            with self.transaction() as session:
                session.add(row)
            return True
        except IntegrityError as error:
            last = self.last(row.model)
            if last and last.sequence >= row.sequence:
                return False
            raise LedgerError(f"the ledger {self.shown} refuses the decision: {_reason(error)}") from None

    def last(self, model: str) -> DecisionRow | None:
        """The newest decision about a registered model."""
        return next(iter(self.decisions(model, limit=1)), None)

    def decisions(self, model: str, limit: int | None = None, **equal: Any) -> list[DecisionRow]:
        """Decisions about a registered model whose columns are `equal` to these, the newest first."""
        with self.transaction() as session:
            return list(session.scalars(select(DecisionRow).filter_by(model=model, **equal).order_by(DecisionRow.sequence.desc()).limit(limit)))

    def run_ids(self) -> set[str]:
        """The runs that decisions of any model refer to."""
        with self.transaction() as session:
            return set(session.scalars(select(DecisionRow.run_id).where(DecisionRow.run_id.is_not(None))))

    @contextmanager
    def applying(self, row: DecisionRow) -> Iterator[bool]:
        """Whether it is for this process to let the registry follow a decision; nobody else does during the block.

        The decision counts as applied at the end of the block, and not if anything raises or the process dies.
        """
        with self.transaction() as session:
            change = update(DecisionRow).where(DecisionRow.id == row.id, DecisionRow.applied_at.is_(None)).values(applied_at=now())
            yield session.execute(change).rowcount == 1


def _prepare(path: Path) -> None:
    """Readers and a writer at the same time: a mode that the file keeps, and that two processes must not turn on together."""
    with locked(path), closing(sqlite3.connect(path, timeout=PATIENCE)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")


def _engine(url: URL) -> Engine:
    if url.get_backend_name() != "sqlite":
        return create_engine(url, connect_args={"connect_timeout": REACHABLE_WITHIN}, pool_pre_ping=True)
    engine = create_engine(url, connect_args={"timeout": PATIENCE})

    @event.listens_for(engine, "connect")
    def connected(connection: Any, _: Any) -> None:
        connection.isolation_level = None  # the driver begins no transactions of its own, which would leave out changes of the schema
        connection.execute("PRAGMA foreign_keys=ON")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")  # whoever reads first and writes then would find that another one has written

    return engine


def _migrate(connection: Connection) -> None:
    """Bring the tables up to date, in the connection's transaction; processes that open the ledger together do so one after another."""
    from alembic import command
    from alembic.config import Config
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory

    logging.getLogger("alembic").setLevel(logging.WARNING)
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(LOCK)))
    current = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE}).get_current_revision()
    config = Config(attributes={"connection": connection, "version_table": VERSION_TABLE})
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    scripts = ScriptDirectory.from_config(config)
    if current is not None and current not in {script.revision for script in scripts.walk_revisions()}:
        raise LedgerError(f"the ledger {connection.engine.url.render_as_string()} was made by a newer asrx (revision {current}); update asrx")
    if current != scripts.get_current_head():
        command.upgrade(config, "head")


@contextmanager
def _errors(url: URL) -> Iterator[None]:
    try:
        yield
    except IntegrityError:
        raise
    except SQLAlchemyError as error:
        raise LedgerError(f"the ledger {url.render_as_string()} cannot be used: {_reason(error)}; see {VARIABLE}") from error


def _reason(error: Exception) -> str:
    return " ".join(str(error).partition("[SQL")[0].partition("(Background")[0].split())[:200]
