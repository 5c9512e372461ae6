"""What MLflow has to be told of a run: points of its journal, and what was left unsaid when a server was away."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from .files import read_json, write_json
from .stores import home

SUFFIX = ".unsaid.json"


@dataclass(frozen=True)
class Unsaid:
    """What MLflow was not told of a run that no process works on any more, beside its journal."""

    artifacts: list[str] = field(default_factory=list)  # files of the run's folder
    tags: dict[str, Any] = field(default_factory=dict)
    status: str | None = None  # in which the run ended
    session: str | None = None  # that ended it: whatever a later one says of the run counts more

    @classmethod
    def of(cls, run_id: str) -> "Unsaid":
        """What is kept of a run."""
        return cls(**(read_json(journals() / f"{run_id}{SUFFIX}") or {}))

    def keep(self, run_id: str) -> None:
        """Replace what is kept of a run."""
        path = journals() / f"{run_id}{SUFFIX}"
        if self == Unsaid():
            path.unlink(missing_ok=True)
        else:
            write_json(path, asdict(self))


def journals() -> Path:
    """The folder of all journals."""
    return home() / "journals"


def deliver(client: Any, run_id: str, points: list[dict[str, Any]]) -> None:
    """Points of a journal to MLflow."""
    from mlflow.entities import Metric

    client.log_batch(run_id, metrics=[Metric(point["k"], point["v"], point["t"], point["s"]) for point in points])


def steps_of(client: Any, run_id: str, key: str) -> set[int]:
    """The steps of a metric that MLflow has."""
    return {metric.step for metric in client.get_metric_history(run_id, key)}


def end(client: Any, run_id: str, tags: dict[str, Any], status: str | None) -> None:
    """Set tags, and MLflow's status if there is one to set."""
    for key, value in tags.items():
        client.set_tag(run_id, key, value)
    if status:
        client.set_terminated(run_id, status)
