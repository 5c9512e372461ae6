"""`mlflow run` changes the folder, the database's meaning and the run: what a person typed must still be what happens."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import mlflow
import pytest
from conftest import ROOT, free_port, process, wait_for

pytestmark = pytest.mark.slow
SHORT = "trainer.eval_steps=10 data.eval_utterances=4"


@pytest.fixture
def workplace(corpus: Path, tmp_path: Path) -> Path:
    """A folder of a person's own, with a corpus that they name relatively."""
    (tmp_path / "corpus").symlink_to(corpus)
    return tmp_path


def mlflow_run(uri: str, folder: Path, *arguments: str) -> str:
    """Standard error of `mlflow run` typed in `folder`, without any setting in the environment."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "ASRX_"))}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    command = [sys.executable, "-m", "mlflow", "run", uri, "--env-manager", "local", *arguments]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout + done.stderr


def runs(folder: Path) -> list[mlflow.entities.Run]:
    client = mlflow.MlflowClient(f"sqlite:///{folder}/mlflow.db")
    return client.search_runs([client.get_experiment_by_name("asrx").experiment_id])


def connects(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_from_another_folder(workplace):
    train = ["-e", "train", "-P", "data=corpus", "-P", "max_steps=10", "-P", f"overrides={SHORT} trainer.learning_rate=3e-4"]
    printed = mlflow_run(str(ROOT), workplace, *train)
    (run,) = runs(workplace)
    assert run.data.tags["asrx.outcome"] == "finished"
    assert run.data.params["config.trainer.learning_rate"] == "0.0003"  # resolved, beside the raw one of `mlflow run`
    assert run.data.params["max_steps"] == "10"
    assert run.data.tags["mlflow.project.entryPoint"] == "train"
    assert {"mlflow.db", ".asrx", "mlruns", "corpus"} == {path.name for path in workplace.iterdir()}

    wrapper = printed.partition("in run with ID '")[2][:32]
    assert wrapper != run.info.run_id
    mlflow_run(str(ROOT), workplace, "-e", "register", "-P", f"run={wrapper}")  # the id that mlflow printed finds the run that it became
    client = mlflow.MlflowClient(f"sqlite:///{workplace}/mlflow.db")
    assert [(alias, str(version)) for alias, version in client.get_registered_model("asrx").aliases.items()] == [("baseline", "1")]
    assert client.get_run(wrapper).info.lifecycle_stage == "deleted"


def test_from_a_git_uri(workplace):
    if not (ROOT / ".git").exists():
        pytest.skip("this is no git checkout")
    port = free_port()
    subprocess.run(["git", "clone", "--bare", "--quiet", ROOT, workplace / "git" / "asrx.git"], check=True, capture_output=True)
    serve = ["git", "daemon", f"--base-path={workplace / 'git'}", "--export-all", "--listen=127.0.0.1", f"--port={port}"]
    with process(serve, workplace / "git.log"):
        wait_for(lambda: connects(port), 20, "the start of git daemon")
        mlflow_run(f"git://127.0.0.1:{port}/asrx.git", workplace, "-e", "train", "-P", "data=corpus", "-P", "max_steps=10", "-P", f"overrides={SHORT}")
    (run,) = runs(workplace)
    assert run.data.tags["asrx.outcome"] == "finished"
    assert (workplace / ".asrx" / "runs" / run.info.run_id / "best" / "model.safetensors").is_file()
