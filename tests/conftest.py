"""What the tests share: a home of their own, a corpus of seconds, a trained run, models that say one letter, a tracking server."""

import contextlib
import csv
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ["OMP_WAIT_POLICY"] = "PASSIVE"  # before torch is imported: spinning threads starve whoever shares the cores
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import pytest

ROOT = Path(__file__).parents[1]
SHARED = ROOT.parent / "shared"  # big real recordings and other scorers' figures, where a checkout has them
BACKGROUND = "in_background"
TRAINING = ("trainer.eval_steps=10", "data.eval_utterances=4", "trainer.logging_steps=5")


@dataclass(frozen=True)
class Outcome:
    """How a command ended."""

    status: int
    out: str
    err: str

    @property
    def complaint(self) -> list[str]:
        """The lines on standard error that begin with the program's name: what a person is told."""
        return [line for line in self.err.replace("\r", "\n").splitlines() if line.startswith("asrx: ")]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What waits for work in the background comes last."""
    items.sort(key=waits)


@pytest.fixture(scope="session", autouse=True)
def _begin_in_background(request: pytest.FixtureRequest) -> None:
    if any(waits(item) for item in request.session.items):
        request.getfixturevalue(BACKGROUND)


@pytest.fixture(scope="session")
def in_background(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The twins of the published experiments and what pre-training brings, from the session's start on."""
    import experiments

    with experiments.started(tmp_path_factory.mktemp("experiments")) as running:
        yield running


def waits(item: pytest.Item) -> bool:
    """Whether a test uses the fixture of what goes on in the background."""
    return BACKGROUND in getattr(item, "fixturenames", ())


@pytest.fixture(autouse=True)
def _polite_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_WAIT_POLICY", "PASSIVE")


@pytest.fixture(scope="session")
def session_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """ASRX_HOME and a sqlite tracking store for the whole session, in the environment."""
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_ID", "MLFLOW_EXPERIMENT_NAME", "ASRX_DB"):
            patch.delenv(name, raising=False)
        patch.setenv("ASRX_HOME", str(folder / "asrx"))
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/mlflow.db")
        yield folder


@pytest.fixture
def home(session_home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The session's home; a test that points the environment elsewhere is undone."""
    monkeypatch.setenv("ASRX_HOME", str(session_home / "asrx"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{session_home}/mlflow.db")
    return session_home


@pytest.fixture(scope="session")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A source of 60 spoken clips: train.csv, validation.csv, test.csv (6 speakers), clips."""
    from asrx.corpus import builtin
    from asrx.corpus.builtin import Amount

    folder = tmp_path_factory.mktemp("recordings") / "spoken"
    builtin.make(folder, "en", 0, {"train": Amount(6, 6), "validation": Amount(2, 3), "test": Amount(6, 3)})
    return folder


@pytest.fixture(scope="session")
def corpus(recordings: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`recordings`, prepared."""
    from asrx.config import resolve
    from asrx.corpus.prepare import Source, prepare

    folder = tmp_path_factory.mktemp("corpora") / "spoken"
    prepare(Source(str(recordings), name="spoken"), folder, resolve(overrides=["data.workers=1"]))
    return folder


@pytest.fixture(scope="session")
def trained(session_home: Path, corpus: Path) -> Any:
    """A training of 20 steps in the session's store."""
    from asrx.training import request

    return request.train(str(corpus), None, {"trainer.max_steps": "20"}, list(TRAINING), None)


@pytest.fixture(scope="session")
def letter_model(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Makes transformers folders of real, tiny CTC models that hear one letter in everything; `` hears nothing."""
    folder = tmp_path_factory.mktemp("models")

    def make(letter: str, variant: str = "") -> Path:
        target = folder / f"{letter or 'nothing'}{variant}"
        if not target.exists():
            _save_letter_model(letter, target)
            if variant:
                (target / "notes.json").write_text(f'{{"variant": "{variant}"}}')
        return target

    return make


def _save_letter_model(letter: str, folder: Path) -> None:
    import torch

    from asrx.config import resolve
    from asrx.models import load_family

    torch.manual_seed(0)
    family = load_family(resolve("scratch"), ["abcdefghijklmnopqrstuvwxyz it's"])
    with torch.no_grad():
        family.model.lm_head.weight.zero_()
        family.model.lm_head.bias.zero_()
        family.model.lm_head.bias[family.tokenizer.convert_tokens_to_ids(letter) if letter else family.tokenizer.pad_token_id] = 9.0
    family.save(folder)


@pytest.fixture(scope="session")
def held_out(recordings: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The test clips with references of one letter: of 18 words 11 are `a`, 7 are `b`, unevenly over 6 speakers."""
    with (recordings / "test.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    path = tmp_path_factory.mktemp("held-out") / "held_out.csv"
    write_rows(path, [{**row, "path": recordings / row["path"], "sentence": letter} for row, letter in zip(rows, "aabaababaaababbaab", strict=True)])
    return path


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The URL of a PostgreSQL server, without a database's name."""
    import databases

    with databases.postgres() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of an empty database for a ledger, in the environment: both kinds must do the same."""
    import databases

    local = request.param == "sqlite"
    url = f"sqlite:///{tmp_path}/ledger.db" if local else databases.new_database(request.getfixturevalue("postgres_server"))
    monkeypatch.setenv("ASRX_DB", url)
    return url


@pytest.fixture(scope="session")
def contest_server(session_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Any]]:
    """Has jobs of contests.py done in processes that cost no imports."""
    import json

    log = tmp_path_factory.mktemp("contests") / "log"
    with process([sys.executable, str(ROOT / "tests" / "contests.py")], log, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:

        def done(job: str, *arguments: object) -> Any:
            own = {name: value for name, value in os.environ.items() if name.startswith(("ASRX_", "MLFLOW_"))}
            server.stdin.write(json.dumps({"job": job, "arguments": arguments, "environment": own}) + "\n")
            server.stdin.flush()
            answer = server.stdout.readline()
            assert answer, log.read_text()[-3000:]
            return json.loads(answer)

        yield done


def write_rows(path: Path, rows: list[dict[str, Any]]) -> Path:
    """A CSV with a header."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


@pytest.fixture
def asrx(home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """The command line in this process, from sys.argv to the exit status: torch is imported once for all tests."""
    from asrx import cli

    def command(*arguments: object) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["asrx", *map(str, arguments)])
        capsys.readouterr()
        status = 0
        try:
            cli.main()
        except SystemExit as stop:
            status = stop.code or 0
        return Outcome(status, *capsys.readouterr())

    return command


def run_cli(*arguments: object, timeout: float = 120, as_module: bool = True, **environment: str) -> Outcome:
    """The command line in a process of its own: `python -m asrx`, or the installed script."""
    done = subprocess.run(_command(arguments, as_module), env={**os.environ, **environment}, capture_output=True, text=True, timeout=timeout)
    return Outcome(done.returncode, done.stdout, done.stderr)


def start_cli(*arguments: object, log: Path) -> subprocess.Popen:
    """The command line in the background, its standard error in `log`."""
    with log.open("w") as file:
        return subprocess.Popen(_command(arguments, True), stdout=subprocess.DEVNULL, stderr=file)


def _command(arguments: tuple[object, ...], as_module: bool) -> list[str]:
    program = [sys.executable, "-m", "asrx"] if as_module else [str(Path(sys.executable).with_name("asrx"))]
    return [*program, *map(str, arguments)]


def wait_for(condition: Callable[[], Any], seconds: float = 60, what: str = "what was waited for") -> Any:
    """The first true value of `condition`, polled."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"{what} did not happen within {seconds:g} s"
        time.sleep(0.02)
    return value


def free_port() -> int:
    """A loopback port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def process(command: list[str], log: Path, **options: Any) -> Iterator[subprocess.Popen]:
    """A process group for the length of the block."""
    import signal

    with log.open("w") as file:
        running = subprocess.Popen(command, **{"stdout": file, "stderr": file, "start_new_session": True, **options})
    try:
        yield running
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(running.pid, signal.SIGKILL)
        running.wait()


def answers(url: str) -> bool:
    """Whether a GET is answered with 200."""
    import requests

    with contextlib.suppress(requests.RequestException):
        return requests.get(url, timeout=2).status_code == 200
    return False


@contextlib.contextmanager
def tracking_server(folder: Path, port: int) -> Iterator[subprocess.Popen]:
    """A real `mlflow server` that keeps its runs in `folder`."""
    folder.mkdir(exist_ok=True)
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
               "--backend-store-uri", f"sqlite:///{folder}/server.db", "--artifacts-destination", str(folder / "artifacts")]  # fmt: skip
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
    with process(command, folder / "server.log", env=environment) as server:
        wait_for(lambda: answers(f"http://127.0.0.1:{port}/health"), 90, "the start of mlflow server")
        yield server


@pytest.fixture
def copy_of() -> Callable[[Path, Path], Path]:
    """A writable copy of a folder."""
    return lambda source, target: Path(shutil.copytree(source, target))
