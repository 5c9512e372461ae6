"""A cluster prepares what one machine prepares, byte for byte, also when one of its machines is lost half-way."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import run_cli, start_cli, wait_for
from sounds import corpus

ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'asrx[cluster]'")
OPTIONS = ("data.shard_size=2", "data.split=random")


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A head without cores for work, and two machines with one core each."""
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    yield made
    made.shutdown()


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.slow
def test_a_machine_that_is_lost_half_way_costs_nothing(cluster: Any, home: Path, tmp_path: Path) -> None:
    source = corpus(tmp_path / "source", count=240)
    assert run_cli("prepare", "--source", source, "--out", tmp_path / "alone", *OPTIONS).status == 0
    machines = [cluster.add_node(num_cpus=1) for _ in range(2)]
    cluster.wait_for_nodes()
    command = ("prepare", "--source", source, "--out", tmp_path / "together", "--engine", "ray", "--ray-address", cluster.address, *OPTIONS)
    process = start_cli(*command, log=tmp_path / "log")
    pieces = tmp_path / ".together.work" / "pieces"
    wait_for(lambda: process.poll() is not None or len(list(pieces.rglob("*.json"))) >= 10, 120, "the first pieces")
    assert process.poll() is None, (tmp_path / "log").read_text()
    cluster.remove_node(machines[0], allow_graceful=False)
    assert len(list(pieces.rglob("*.json"))) < 120, "all was done before a machine could be lost"
    assert process.wait(180) == 0, (tmp_path / "log").read_text()
    assert contents(tmp_path / "together") == contents(tmp_path / "alone")


def test_a_cluster_that_is_not_there_is_one_clear_line(home: Path, tmp_path: Path) -> None:
    source = corpus(tmp_path / "source", count=4)
    outcome = run_cli("prepare", "--source", source, "--out", tmp_path / "out", "--engine", "ray", "--ray-address", "127.0.0.1:1")
    assert outcome.status == 2 and len(outcome.complaint) == 1 and "there is no Ray cluster at 127.0.0.1:1" in outcome.complaint[0]
    outcome = run_cli("prepare", "--source", source, "--out", tmp_path / "out", "--ray-address", "127.0.0.1:1")
    assert outcome.status == 2 and "needs --engine ray" in outcome.complaint[0]
