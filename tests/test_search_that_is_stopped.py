"""A search may be killed, shared and typed again: every trial is trained once, goes on where it was, and they are as many as were asked for."""

import csv
import json
import multiprocessing
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import TRAINING, Outcome, start_cli, wait_for

from asrx.errors import AsrxError, ConfigError, TrackingError

SPACE = ("trainer.learning_rate=1e-4..1e-2:log", "augment.speed=0,0.1")
QUESTION = {"corpus or options": "key", "space": {"trainer.learning_rate": "1e-4..1e-2:log"}}


def opened(url: str, pruner: str = "median", question: dict[str, Any] = QUESTION) -> Any:
    from asrx.search.study import database, open_study

    return open_study(database(url), "study", question, pruner, 42)


def trials_of(study: Any, count: int, deadline: float | None = None) -> Any:
    from asrx.search import space
    from asrx.search.trials import Trials

    _, dimensions = space.split(SPACE)
    return Trials(study, None, dimensions, lambda drawn: drawn, "parent", count, deadline)


def trained(wer: float = 0.5, uri: str | None = "models:/m-1") -> Any:
    from asrx.training.train import Training

    return Training("run", uri, wer, wer / 3, 10, 10, "folder")


@pytest.fixture
def training(home: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[..., Any]], None]:
    """Puts something quick in the place of trainings, of which only their ends matter to a search."""
    from asrx.search import trials

    def put(train: Callable[..., Any]) -> None:
        monkeypatch.setattr(trials, "train", lambda corpus, options, **_: train(options))
        monkeypatch.setattr(trials.request, "check", lambda options: None)

    return put


def states(study: Any) -> list[str]:
    from asrx.search.report import state

    return [state(trial) for trial in study.get_trials()]


def drawn(study: Any) -> list[dict[str, Any]]:
    return [trial.params for trial in study.get_trials()]


def race(url: str, count: int, start: Any) -> None:
    study = opened(url)
    start.wait(60)
    trials_of(study, count).train_all(lambda: None)


def test_processes_that_share_a_study_train_as_many_as_were_asked_for(training, tmp_path: Path) -> None:
    def briefly(options: Any) -> Any:
        time.sleep(0.02)
        return trained()

    training(briefly)
    url, count = f"sqlite:///{tmp_path}/shared.db", 9
    context = multiprocessing.get_context("fork")
    start = context.Barrier(4)
    processes = [context.Process(target=race, args=(url, count, start)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0] * 4
    study = opened(url)
    assert states(study).count("finished") == count and set(states(study)) <= {"finished", "withdrawn"}
    rates = [params["trainer.learning_rate"] for params in drawn(study) if params]
    assert len(set(rates)) == len(rates) == count


def test_a_study_that_goes_on_draws_what_an_uninterrupted_one_draws(training, tmp_path: Path) -> None:
    training(lambda options: trained(abs(float(options[0].partition("=")[2]) - 2e-3)))
    whole, parts = f"sqlite:///{tmp_path}/whole.db", f"sqlite:///{tmp_path}/parts.db"
    trials_of(opened(whole), 13).train_all(lambda: None)  # the first ten are random
    for count in (4, 11, 13):
        trials_of(opened(parts), count).train_all(lambda: None)
    assert drawn(opened(whole)) == drawn(opened(parts)) and len(drawn(opened(parts))) == 13


@pytest.mark.parametrize("end", [KeyboardInterrupt(), TrackingError("the tracking server went away"), OSError(28, "No space left on device"), None])
def test_a_trial_that_was_stopped_is_taken_up_again(end: BaseException | None, training, tmp_path: Path) -> None:
    def stopped(options: Any) -> Any:
        if end is None:
            time.sleep(0.4)
            return trained(uri=None)
        raise end

    study = opened(f"sqlite:///{tmp_path}/study.db")
    training(stopped)
    if end is None:
        trials_of(study, 2, time.monotonic() + 0.3).train_all(lambda: None)
    else:
        with pytest.raises(type(end)):
            trials_of(study, 2).train_all(lambda: None)
    assert states(study) == ["withdrawn", "waiting"]
    training(lambda options: trained())
    trials_of(study, 2).train_all(lambda: None)
    assert states(study) == ["withdrawn", "finished", "finished"]
    assert drawn(study)[0] == drawn(study)[1] != drawn(study)[2]


def test_a_trial_whose_process_died_is_put_back_at_once_but_not_for_ever(training, tmp_path: Path) -> None:
    from asrx.search.study import claim, put_back_dead

    study = opened(f"sqlite:///{tmp_path}/study.db")
    for deaths in range(1, 5):
        trial = study.ask()
        trial.suggest_float("trainer.learning_rate", 1e-4, 1e-2, log=True)
        claim(study, trial.number).mkdir(parents=True)
        put_back_dead(study)
        assert states(study) == {1: ["withdrawn", "waiting"], 2: ["withdrawn"] * 2 + ["waiting"], 3: ["withdrawn"] * 3}.get(
            deaths, ["withdrawn"] * 4 + ["waiting"]
        )
    study.ask()
    put_back_dead(study)
    assert states(study)[4] == "running"  # of another machine, as far as this one knows


def test_a_trial_that_was_taken_for_dead_does_not_count_twice(training, tmp_path: Path) -> None:
    from optuna.trial import TrialState

    from asrx.search.study import put_back_after_death

    url = f"sqlite:///{tmp_path}/study.db"
    study, elsewhere = opened(url), opened(url)

    def silent_at_first(options: Any) -> Any:
        if len(elsewhere.get_trials()) == 1:
            put_back_after_death(elsewhere, elsewhere.tell(0, state=TrialState.FAIL))
        return trained()

    training(silent_at_first)
    trials_of(study, 2).train_all(lambda: None)
    assert states(study) == ["withdrawn", "finished", "finished"] and drawn(study)[0] == drawn(study)[1]


def test_failures_are_told_and_count(training, tmp_path: Path) -> None:
    errors = iter([ConfigError("the model options do not fit together"), None, RuntimeError("CUDA out of memory"), ValueError("nan"), AsrxError("no")])

    def sometimes(options: Any) -> Any:
        if error := next(errors):
            raise error
        return trained(0.25)

    training(sometimes)
    study = opened(f"sqlite:///{tmp_path}/study.db")
    trials_of(study, 5).train_all(lambda: None)
    assert states(study) == ["failed", "finished", "failed", "failed", "failed"]
    told = [trial.user_attrs.get("reason") for trial in study.get_trials()]
    assert told == ["the model options do not fit together", None, "RuntimeError: CUDA out of memory", "ValueError: nan", "no"]


def test_a_search_in_which_nothing_works_stops(training, tmp_path: Path) -> None:
    def never(options: Any) -> Any:
        raise ConfigError("there is no such thing")

    training(never)
    study = opened(f"sqlite:///{tmp_path}/study.db")
    with pytest.raises(ConfigError, match="3 trials failed .*there is no such thing"):
        trials_of(study, 20).train_all(lambda: None)
    assert states(study) == ["failed"] * 3


@pytest.mark.slow
def test_a_pruned_training_ends_and_is_not_published(home: Path, corpus: Path) -> None:
    from optuna import create_study
    from optuna.pruners import MedianPruner
    from optuna.trial import create_trial

    from asrx import tracking
    from asrx.corpus.shards import PreparedCorpus
    from asrx.search.pruning import Pruning
    from asrx.training import request
    from asrx.training.train import train

    study = create_study(pruner=MedianPruner(n_warmup_steps=3))
    for _ in range(5):
        study.add_trial(create_trial(value=0.01, intermediate_values=dict.fromkeys(range(1, 10), 0.01)))
    options = request.configured(None, {"trainer.max_steps": "20"}, ["trainer.eval_steps=2", *TRAINING[1:], "trainer.weight_decay=0.03"])
    trial = study.ask()
    pruning = Pruning(trial)
    result = train(PreparedCorpus.open(corpus), options, pruning=pruning)
    assert pruning.pruned_at == result.steps == 6 and result.model_uri is None  # at three tenths, not before
    run = tracking.connect().get_run(result.run_id)
    assert run.data.tags["asrx.outcome"] == "pruned" and run.info.status == "KILLED" and "best/wer" not in run.data.metrics
    assert study.get_trials()[-1].user_attrs["run_id"] == result.run_id
    assert study.get_trials()[-1].intermediate_values.keys() == {1, 2, 3}


@pytest.mark.slow
def test_killed_it_goes_on_in_the_same_run_and_tells_the_whole(asrx: Callable[..., Outcome], home: Path, corpus: Path, tmp_path: Path) -> None:
    from asrx import tracking

    asked = ["--data", corpus, "--trials", 2, "--max-steps", 30, *SPACE, *TRAINING, "trainer.weight_decay=0.04"]
    kill_after_a_checkpoint(asked, home, tmp_path / "killed.log")
    client = tracking.connect()
    parent = next(run for run in all_runs(client) if run.data.tags.get("asrx.kind") == "search")  # the newest
    (killed,) = children(client, parent)

    outcome = asrx("search", "--json", *asked)
    assert outcome.status == 0, outcome
    result = json.loads(outcome.out)
    assert result["run_id"] == parent.info.run_id and [trial["state"] for trial in result["trials"]] == ["withdrawn", "finished", "finished"]
    first, again, last = result["trials"]
    assert first["options"] == again["options"] and first["run_id"] == again["run_id"] == killed.info.run_id
    assert {run.info.run_id for run in children(client, parent)} == {again["run_id"], last["run_id"]}
    assert [point.step for point in client.get_metric_history(killed.info.run_id, "eval/wer")] == [10, 20, 30]

    parent = client.get_run(parent.info.run_id)
    assert (parent.data.tags["asrx.outcome"], parent.info.status) == ("finished", "FINISHED")
    assert parent.data.params["search.augment.speed"] == "0,0.1" and parent.data.params["config.trainer.weight_decay"] == "0.04"
    assert parent.data.tags["asrx.best_run"] == result["best"]["run_id"]
    assert parent.data.metrics["best/wer"] == result["best"]["wer"] == min(again["wer"], last["wer"])
    assert {point.step for point in client.get_metric_history(parent.info.run_id, "wer")} == {1, 2}
    assert {"trials.csv", "best.yaml", "history.png", "options.png"} <= {item.path for item in client.list_artifacts(parent.info.run_id)}
    with Path(client.download_artifacts(parent.info.run_id, "trials.csv", str(tmp_path))).open(newline="") as file:
        assert [row["run_id"] for row in csv.DictReader(file)] == [first["run_id"], again["run_id"], last["run_id"]]
    assert_the_recipe_repeats(client, result, corpus)

    before = len(all_runs(client))
    standing = json.loads(asrx("search", "--json", *asked).out)
    assert standing == {**result, "standing": True} and len(all_runs(client)) == before


def kill_after_a_checkpoint(asked: list[object], home: Path, log: Path) -> None:
    before = set((home / "asrx/runs").glob("*/checkpoints/checkpoint-10/complete"))
    command = start_cli("search", *asked, log=log)
    try:
        wait_for(lambda: set((home / "asrx/runs").glob("*/checkpoints/checkpoint-10/complete")) - before, 240, "a checkpoint")
        command.send_signal(signal.SIGKILL)
        assert command.wait(60) == -signal.SIGKILL
    finally:
        command.kill()


def assert_the_recipe_repeats(client: Any, result: dict[str, Any], corpus: Path) -> None:
    from asrx.corpus.shards import PreparedCorpus
    from asrx.training import request
    from asrx.training.resume import KEY, training_key

    repeated = request.configured(result["recipe"], {}, [])
    assert training_key(PreparedCorpus.open(corpus), repeated) == client.get_run(result["best"]["run_id"]).data.tags[KEY]


def all_runs(client: Any) -> list[Any]:
    return list(client.search_runs([item.experiment_id for item in client.search_experiments()]))


def children(client: Any, parent: Any) -> list[Any]:
    return [run for run in all_runs(client) if run.data.tags.get("mlflow.parentRunId") == parent.info.run_id]


def test_a_study_is_not_continued_with_another_question(home: Path, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/study.db"
    opened(url)
    for other in ({**QUESTION, "space": {"augment.speed": "0,0.1"}}, {**QUESTION, "corpus or options": "another"}):
        (differing,) = (key for key in QUESTION if other[key] != QUESTION[key])
        with pytest.raises(ConfigError, match=f"has another {differing}"):
            opened(url, question=other)


def test_a_password_is_not_shown(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from asrx.search.study import database

    monkeypatch.setenv("ASRX_STUDY_DB", "postgresql+pg8000://me:secret@127.0.0.1:1/studies")
    assert "secret" not in database(None).shown and "secret" in database(None).url
    with pytest.raises(TrackingError, match="postgresql") as error:
        opened("postgresql+pg8000://me:secret@127.0.0.1:1/studies")
    assert "secret" not in str(error.value)


@pytest.mark.parametrize(("url", "said"), [("studies", "must be a URL"), ("sqlite://", "give a file"), (None, "MLflow's own database")])
def test_what_is_no_database_for_studies_is_refused(url: str | None, said: str, home: Path) -> None:
    from asrx.search.study import database

    with pytest.raises(ConfigError, match=said):
        database(url or f"sqlite:///{home}/mlflow.db")
