"""Jobs over the machines of a Ray cluster. Needs the extra `cluster`, and source and output in folders that all machines share."""

import json
import logging
import os
import pickle
import socket
from collections.abc import Iterable, Iterator
from typing import Any

from ..errors import InputError
from .decoding import Job, Outcome, build

ANY = "auto"  # address: of a Ray that runs here, else one that is started with `workers` cores and ends with the preparation
PATIENCE = 5  # s for the head to answer


def run(jobs: Iterable[Job], address: str, workers: int) -> Iterator[tuple[Job, Outcome]]:
    """Make all pieces as tasks of Ray Data, one core each; what a lost machine was working on is done again on another one.

    `address`: of the cluster's head (HOST:PORT), or ANY.
    InputError where Ray is missing, the cluster cannot be reached or a machine does not see the output folder.
    """
    ray = _connected(address, workers)
    try:
        waiting = list(jobs)
        if waiting:
            items = [{"number": number, "job": pickle.dumps(job)} for number, job in enumerate(waiting)]
            for row in ray.data.from_items(items, override_num_blocks=len(items)).map(_build, num_cpus=1).iter_rows():
                job = waiting[row["number"]]
                if not job.record.is_file():
                    raise InputError(f"{job.record} was written on another machine and is not here: --out must be in a folder that all machines share")
                rows, accepted, decoded, rejected = json.loads(row["outcome"])
                yield job, Outcome(rows, accepted, decoded, tuple(map(tuple, rejected)))
    finally:
        ray.shutdown()


def _build(row: dict[str, Any]) -> dict[str, Any]:
    outcome = build(pickle.loads(row["job"]))
    return {"number": row["number"], "outcome": json.dumps([outcome.rows, outcome.accepted, outcome.decoded, outcome.rejected])}


def _connected(address: str, workers: int) -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
        import ray.data
    except ImportError:
        raise InputError("--engine ray needs Ray: pip install 'asrx[cluster]'") from None
    quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
    try:
        _check_head(address)
        try:
            ray.init(address=address, **quiet)
        except ConnectionError:
            if address != ANY:
                raise
            ray.init(address="local", num_cpus=workers, include_dashboard=False, **quiet)
    except (OSError, ValueError, RuntimeError) as error:
        raise InputError(f"there is no Ray cluster at {address} ({' '.join(str(error).split())[:200]}); start one with: ray start --head") from None
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    return ray


def _check_head(address: str) -> None:
    """OSError within seconds where nobody listens: Ray itself goes on trying for minutes."""
    host, _, port = address.rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host.removeprefix("ray://"), int(port)), PATIENCE).close()
