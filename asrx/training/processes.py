"""The processes that train one model together: which of them this one is, and what they say to each other.

Torchrun's variables give a process its place: RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR and MASTER_PORT. The first process (rank 0)
alone keeps the MLflow run, writes and prints. What they say is JSON and goes over their processors (gloo), also where they train on GPUs.
"""

import json
import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from ..errors import AsrxError, ConfigError, InputError, ProcessError

PATIENCE = 7_200  # s that a process waits for another one, where trainer.ddp_timeout does not say: the first one uploads the model
LAUNCHER, RUN = "ASRX_LAUNCHER", "asrx/run"  # environment variable: process id of `--processes`; where its store has the id of the run
OPTION = "--processes"
PROCESSES = "asrx.processes"  # tag of a run: how many train it, which its batches are made for
INTERRUPTED, LOST = 130, 3  # exit statuses; the last one: of a process that lost another one
_alone: list[bool] = []


def count() -> int:
    """How many processes train together; 1: this one alone."""
    return int(os.environ.get("WORLD_SIZE", 1)) if "LOCAL_RANK" in os.environ else 1


def rank() -> int:
    """The number of this process, from 0."""
    return int(os.environ["RANK"]) if count() > 1 else 0


def local_rank() -> int:
    """Its number among those of this machine."""
    return int(os.environ["LOCAL_RANK"]) if count() > 1 else 0


def only_one(command: str) -> None:
    """ConfigError where several were started for a command that trains in one."""
    if count() > 1:
        raise ConfigError(f"asrx {command} trains in one process: start it without torchrun")


def on_this_machine() -> int:
    """How many of them share it."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", 1)) if count() > 1 else 1


def leads() -> bool:
    """Whether this is the first process."""
    return rank() == 0


def launched() -> bool:
    """Whether it was started by `--processes`, rather than by torchrun."""
    return count() > 1 and LAUNCHER in os.environ


def abandoned() -> bool:
    """Whether `--processes` started it and is gone."""
    return launched() and os.getppid() != int(os.environ[LAUNCHER])


def going_on(kind: str, run_id: str, together: int | None = None) -> str:
    """The command that goes on with a run of so many processes."""
    together = together or count()
    if together == 1:
        return f"asrx {kind} --resume {run_id}"
    if count() > 1 and not launched():
        return f"torchrun … -m asrx {kind} --resume {run_id}, with {together} processes again"
    return f"asrx {kind} {OPTION} {together} --resume {run_id}"


def join(patience: float | None = None) -> None:
    """Meet the other processes, once; all but the first fall silent. Waits at most `patience` s, now and whenever one is waited for."""
    import torch

    if count() == 1 or torch.distributed.is_initialized():
        return
    if not leads():
        logging.getLogger("asrx").setLevel(logging.ERROR)
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115
    backends = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "cpu:gloo"
    with met():
        torch.distributed.init_process_group(backends, timeout=timedelta(seconds=patience or PATIENCE))


def leave() -> None:
    """Part from the other processes, at the end of what they did together."""
    if count() > 1:
        import torch

        torch.distributed.destroy_process_group()


@contextmanager
def met() -> Iterator[None]:
    """ProcessError where another process cannot be reached any more."""
    import torch

    try:
        yield
    except RuntimeError as error:
        if count() > 1 and (isinstance(error, torch.distributed.DistError) or "gloo" in str(error)):
            raise ProcessError(f"process {rank()} of {count()} lost another one, which ended or is out of reach") from error
        raise


@contextmanager
def alone() -> Iterator[None]:
    """What is divided and collected in the block is the work of this process, while the others wait for it."""
    _alone.append(True)
    try:
        yield
    finally:
        _alone.pop()


def gathered(value: Any) -> list[Any]:
    """What each process has to say (as JSON has it), by rank. Every process must ask."""
    if count() == 1 or _alone:
        return [value]
    import torch

    own = torch.frombuffer(bytearray(json.dumps(value).encode()), dtype=torch.uint8)
    with met():
        sizes = [torch.zeros(1, dtype=torch.int64) for _ in range(count())]
        torch.distributed.all_gather(sizes, torch.tensor([len(own)]))
        room = int(max(sizes))
        said = [torch.zeros(room, dtype=torch.uint8) for _ in sizes]
        torch.distributed.all_gather(said, torch.nn.functional.pad(own, (0, room - len(own))))
    return [json.loads(bytes(text[: int(size)].numpy())) for text, size in zip(said, sizes)]


def of_first(value: Any = None) -> Any:
    """What the first process has to say; the `value` of the others does not matter."""
    return gathered(value if leads() else None)[0]


def any_of(*own: bool) -> tuple[bool, ...]:
    """For each question, whether one process at least answers it with yes."""
    return tuple(bool(any(answers)) for answers in zip(*gathered(own)))


def divided(tasks: list[Any]) -> list[Any]:
    """The share of this process."""
    return tasks if _alone else tasks[rank() :: count()]


def collected(results: list[Any]) -> list[Any]:
    """The results of all processes on their shares."""
    return [result for share in gathered(results) for result in share]


@dataclass(frozen=True)
class Assisted:
    """The run that the first process keeps, as the others know it."""

    id: str
    kind: str
    folder: Path


def open_to_all(run: Any) -> None:
    """Tell the other processes, and `--processes`, which outlives this one, which run the first process keeps."""
    of_first({"id": run.id, "kind": run.kind, "folder": str(run.folder)})
    if launched():
        from torch.distributed import TCPStore

        TCPStore(os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]), is_master=False).set(RUN, run.id)


def assist(load: Callable[[], tuple[Any, ...]], work: Callable[..., Any]) -> Any:
    """What a process beside the first one does: `load` what is trained, `work(run, *loaded)` if there is anything to do, hear what came of it.

    Raises what `load` does, unless the first process has the same trouble: then it is the one that tells.
    """
    loaded, trouble = (), None
    try:
        loaded = load()
    except AsrxError as error:
        trouble = error
    run = of_first()
    if trouble:
        raise trouble
    if run:
        folder = Path(run["folder"])
        if not folder.is_dir():
            raise InputError(f"process {rank()} does not see {folder}, the first one's: several machines need ASRX_HOME on a disk that they share")
        try:
            work(Assisted(run["id"], run["kind"], folder), *loaded)
        except KeyboardInterrupt:  # all have stopped after the same step, and the first process says so
            sys.exit(INTERRUPTED)
    return of_first()
