"""A PostgreSQL server of the tests' own, for the ledger."""

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import free_port, process, wait_for

OPTIONS = ("fsync=off", "shared_buffers=16MB", "listen_addresses=127.0.0.1", "max_connections=200")
UNPRIVILEGED = "postgres"  # the server refuses to run as root


@contextlib.contextmanager
def postgres() -> Iterator[str]:
    """The URL of a server, without a database's name. The test is skipped where PostgreSQL is not installed."""
    programs = max(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name), default=None)
    if programs is None:
        pytest.skip("PostgreSQL is not installed (Debian: postgresql)")
    folder = Path(tempfile.mkdtemp(prefix="asrx-postgres-"))
    user: dict[str, Any] = {}
    if os.getuid() == 0:
        shutil.chown(folder, UNPRIVILEGED)
        user = {"user": UNPRIVILEGED, "group": UNPRIVILEGED, "extra_groups": []}
    port = free_port()
    try:
        initialise = [programs / "initdb", "--no-sync", "--auth=trust", "--username=asrx", "--encoding=UTF8", "--locale=C", folder / "data"]
        subprocess.run(initialise, check=True, capture_output=True, cwd=folder, **user)
        options = [part for option in OPTIONS for part in ("-c", option)]
        command = [str(programs / "postgres"), "-D", str(folder / "data"), "-p", str(port), "-k", str(folder), *options]
        with process(command, folder / "log", cwd=folder, **user) as server:
            url = f"postgresql://asrx@127.0.0.1:{port}"
            wait_for(lambda: _answers(url), 30, "the start of PostgreSQL")
            yield url
            server.send_signal(signal.SIGINT)  # ends its own processes, too
            server.wait(20)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def new_database(url: str) -> str:
    """The URL of an empty database on a server."""
    import psycopg

    name = f"ledger{uuid.uuid4().hex[:8]}"
    with psycopg.connect(f"{url}/postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return f"{url}/{name}"


def _answers(url: str) -> bool:
    import psycopg

    with contextlib.suppress(psycopg.OperationalError), psycopg.connect(f"{url}/postgres"):
        return True
    return False
