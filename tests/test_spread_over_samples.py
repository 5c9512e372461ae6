"""A WER is worth as much as its spread: the same training on several samples, counted right, never repeated, gone on with after a kill."""

import csv
import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Outcome, start_cli, wait_for, write_rows
from scipy import stats

from asrx.training.replicates import Replicate, by_sample, plot_replicates, spread

MINUTES = 0.5
SHORT = ("trainer.eval_steps=5", "data.eval_utterances=4", "trainer.logging_steps=5")


def replicate(seed: int, sample: int, wer: float) -> Replicate:
    return Replicate(sample, seed, wer, wer / 3, 100, f"{sample}{seed}", f"models:/m-{sample}{seed}")


def test_mean_deviation_and_interval_are_those_of_student() -> None:
    rates = [0.435, 0.401, 0.46, 0.522, 0.39]
    found = spread(by_sample([replicate(1, number, rate) for number, rate in enumerate(rates, 1)], "wer"))
    low, high = stats.ttest_1samp(rates, 0).confidence_interval(0.95)
    assert found.mean == pytest.approx(np.mean(rates)) and found.std == pytest.approx(stats.tstd(rates))
    assert (found.low, found.high) == (pytest.approx(low), pytest.approx(high))
    assert found.std_seeds is None


def test_seeds_are_no_samples() -> None:
    rates = np.random.default_rng(0).uniform(0.2, 0.5, (4, 3))  # samples x seeds
    runs = [replicate(seed, sample, rates[sample, seed]) for seed in range(3) for sample in range(4)]
    found = spread(by_sample(runs, "wer"))
    low, high = stats.ttest_1samp(rates.mean(axis=1), 0).confidence_interval(0.95)
    assert (found.low, found.high) == (pytest.approx(low), pytest.approx(high))
    assert found.std == pytest.approx(stats.tstd(rates.mean(axis=1)))
    assert found.std_seeds**2 == pytest.approx(np.mean([stats.tvar(seeds) for seeds in rates]))
    assert spread(by_sample(runs, "cer")).mean == pytest.approx(rates.mean() / 3)


def test_one_sample_has_no_spread() -> None:
    alone = spread({1: [0.4]})
    assert (alone.mean, alone.std, alone.low, alone.high, alone.std_seeds) == (0.4, None, None, None, None)
    assert spread({1: [0.4, 0.5]}).std_seeds == pytest.approx(stats.tstd([0.4, 0.5]))


@pytest.mark.parametrize(("samples", "seeds"), [(1, 1), (2, 1), (5, 3), (60, 2)])
def test_any_number_of_trainings_can_be_drawn(samples: int, seeds: int, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    runs = [replicate(seed, sample, random.uniform(0.3, 1.2)) for seed in range(seeds) for sample in range(1, samples + 1)]
    plot_replicates(runs, spread(by_sample(runs, "wer")), tmp_path / "replicates.png", "10 min of a corpus")
    assert (tmp_path / "replicates.png").read_bytes().startswith(b"\x89PNG")


@pytest.fixture
def client(home: Path) -> Any:
    from asrx import tracking

    return tracking.connect()


@pytest.fixture
def asked(corpus: Path, recordings: Path) -> list[object]:
    return ["--data", corpus, "--csv", recordings / "test.csv", "--minutes", MINUTES, "--max-steps", 10, *SHORT]


def ran(asrx: Callable[..., Outcome], *arguments: object) -> dict[str, Any]:
    outcome = asrx("replicate", "--json", *arguments)
    assert outcome.status == 0, outcome
    return json.loads(outcome.out)


def children(client: Any, run_id: str) -> list[Any]:
    return client.search_runs([client.get_run(run_id).info.experiment_id], f"tags.`mlflow.parentRunId` = '{run_id}'", order_by=["attributes.start_time"])


def all_runs(client: Any) -> int:
    return len(client.search_runs([item.experiment_id for item in client.search_experiments()]))


@pytest.mark.slow
def test_each_sample_is_a_run_and_none_is_trained_twice(asrx, client, asked, corpus: Path, recordings: Path, tmp_path: Path) -> None:
    first = ran(asrx, "--samples", 2, *asked)
    trainings = children(client, first["run_id"])
    assert [(run.data.params["config.data.sample"], run.data.params["config.trainer.seed"]) for run in trainings] == [("1", "42"), ("2", "42")]
    assert [item["run_id"] for item in first["replicates"]] == [run.info.run_id for run in trainings]
    _assert_samples_are_told(client, first["run_id"], trainings, corpus, tmp_path)
    _assert_figures_are_those_of_evaluate(client, first, recordings)

    before = all_runs(client)
    again = ran(asrx, "--samples", 2, *asked)
    assert again == {**first, "standing": True} and all_runs(client) == before
    more = ran(asrx, "--samples", 3, *asked)
    assert more["run_id"] == first["run_id"] and more["replicates"][:2] == first["replicates"] and not more["standing"]
    assert all_runs(client) == before + 2  # a training, and its evaluation in it
    assert [point.step for point in client.get_metric_history(first["run_id"], "wer/mean")] == [1, 2, 3]

    validated = ran(asrx, "--samples", 1, "--seeds", 2, *asked[:2], *asked[4:])  # the first of its trainings is there already
    assert validated["measured_on"].startswith("the validation set") and validated["run_id"] != first["run_id"]
    assert validated["replicates"][0]["run_id"] == first["replicates"][0]["run_id"]
    assert validated["wer"]["std"] is None and validated["wer"]["std_seeds"] >= 0
    best = client.get_run(validated["replicates"][1]["run_id"]).data
    assert best.params["config.trainer.seed"] == "43" and best.metrics["best/wer"] == validated["replicates"][1]["wer"]


def _assert_samples_are_told(client: Any, run_id: str, trainings: list[Any], corpus: Path, folder: Path) -> None:
    from asrx.corpus.shards import PreparedCorpus

    split = PreparedCorpus.open(corpus).split("train")
    seconds = dict(zip(split.column("id"), split.seconds, strict=True))
    told = [Path(client.download_artifacts(run_id, f"samples/sample-{number}.txt", str(folder))).read_text() for number in (1, 2)]
    assert told[0] != told[1]
    for text, training in zip(told, trainings, strict=True):
        assert Path(client.download_artifacts(training.info.run_id, "utterances.txt", str(folder))).read_text() == text
        assert 0.8 * 60 * MINUTES < sum(seconds[line] for line in text.splitlines()) <= 60 * MINUTES


def _assert_figures_are_those_of_evaluate(client: Any, result: dict[str, Any], recordings: Path) -> None:
    from asrx.corpus.prepare import Source
    from asrx.scoring.evaluate import evaluate

    run = client.get_run(result["run_id"])
    rates = [item["wer"] for item in result["replicates"]]
    scores = evaluate(result["replicates"][1]["model_uri"], Source(str(recordings / "test.csv")))
    assert (scores.wer, scores.cer) == (rates[1], result["replicates"][1]["cer"])
    low, high = stats.ttest_1samp(rates, 0).confidence_interval(0.95) if rates[0] != rates[1] else (rates[0], rates[0])
    for key, value in {"wer/mean": np.mean(rates), "wer/std": stats.tstd(rates), "wer/low": low, "wer/high": high}.items():
        assert run.data.metrics[key] == pytest.approx(value), key
    assert run.data.tags["asrx.kind"] == "replicate" and f"WER {np.mean(rates):.2%}" in run.data.tags["mlflow.note.content"]
    with Path(client.download_artifacts(run.info.run_id, "replicates.csv")).open(newline="") as file:
        assert [float(row["wer"]) for row in csv.DictReader(file)] == rates
    assert "replicates.png" in {item.path for item in client.list_artifacts(run.info.run_id)}


@pytest.mark.slow
def test_stopped_and_killed_it_goes_on_in_the_same_runs(asrx, client, asked, home: Path, tmp_path: Path) -> None:
    asked = ["--samples", 2, *asked, "trainer.weight_decay=0.02", "--max-steps", 50]  # another training than those above
    assert stopped(signal.SIGINT, "checkpoint-5", asked, home, tmp_path / "stopped") == 130
    log = (tmp_path / "stopped").read_text()
    assert "Traceback" not in log and "the same command goes on with this replication" in log
    (parent,) = [run for run in newest(client) if run.data.tags["asrx.kind"] == "replicate"]
    (first,) = children(client, parent.info.run_id)
    assert {run.data.tags["asrx.outcome"] for run in (parent, first)} == {"interrupted"}

    assert stopped(signal.SIGKILL, "checkpoint-5", asked, home, tmp_path / "killed") == -signal.SIGKILL
    killed = children(client, parent.info.run_id)
    assert [run.data.tags["asrx.outcome"] for run in killed] == ["finished", "running"] and killed[0].info.run_id == first.info.run_id

    result = ran(asrx, *asked)
    assert result["run_id"] == parent.info.run_id
    assert [item["run_id"] for item in result["replicates"]] == [run.info.run_id for run in killed]
    finished = [client.get_run(run_id) for run_id in (parent.info.run_id, *(run.info.run_id for run in killed))]
    assert [(run.data.tags["asrx.outcome"], run.info.status) for run in finished] == [("finished", "FINISHED")] * 3
    for run in killed:
        assert [point.step for point in client.get_metric_history(run.info.run_id, "eval/wer")] == list(range(5, 51, 5))


def stopped(number: signal.Signals, checkpoint: str, asked: list[object], home: Path, log: Path) -> int:
    """The exit status of a replication that is sent a signal when a checkpoint is there that was not before, and that `checkpoint` names."""
    before = set((home / "asrx/runs").glob(f"*/checkpoints/{checkpoint}/complete"))
    command = start_cli("replicate", *asked, log=log)
    try:
        wait_for(lambda: set((home / "asrx/runs").glob(f"*/checkpoints/{checkpoint}/complete")) - before, 180, "a checkpoint")
        command.send_signal(number)
        return command.wait(60)
    finally:
        command.kill()


def newest(client: Any) -> list[Any]:
    found = client.search_runs([item.experiment_id for item in client.search_experiments()], order_by=["attributes.start_time DESC"], max_results=2)
    return list(found)


@pytest.mark.parametrize(("given", "said"), [
    (("--minutes", 60), "data.minutes=60: there are 1."),
    (("--minutes", 0.01), "data.minutes=0.01: the shortest training utterance has"),
    ((), "give --minutes, or a recipe with data.minutes"),
    (("--minutes", "many"), "data.minutes=many: must be a number"),
    (("--minutes", 0.5, "--samples", 0), "--samples"),
    (("--minutes", 0.5, "--seeds", 0), "--seeds"),
    (("--minutes", 0.5, "data.sample=3"), "data.sample=3: replicate numbers the samples itself"),
    (("--minutes", 0.5, "--csv", "nowhere.csv"), "nowhere.csv"),
    (("--minutes", 0.5, "--seeds", 2, f"trainer.seed={2**32 - 1}"), "count up from it"),
    (("--minutes", 0.5, "gate.max_wer=1"), "gate.max_wer is an option of compare"),
])  # fmt: skip
def test_what_cannot_be_is_refused_before_any_run(given: tuple[object, ...], said: str, asrx, client, corpus: Path) -> None:
    before = all_runs(client)
    outcome = asrx("replicate", "--data", corpus, *given)
    assert outcome.status == 2 and len(outcome.complaint) == 1 and said in outcome.complaint[0], outcome
    assert all_runs(client) == before


def test_a_held_out_table_without_words_is_refused(asrx, corpus: Path, recordings: Path, tmp_path: Path) -> None:
    with (recordings / "test.csv").open(encoding="utf-8", newline="") as file:
        rows = [{**row, "path": recordings / row["path"], "sentence": "?!"} for row in csv.DictReader(file)]
    outcome = asrx("replicate", "--data", corpus, "--minutes", 0.5, "--csv", write_rows(tmp_path / "silent.csv", rows))
    assert outcome.status == 2 and "no reference word" in outcome.complaint[0], outcome


def test_the_built_in_corpus_is_judged_by_its_own_held_out_set(corpus: Path, recordings: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    from asrx import replicate as stage
    from asrx import workspace
    from asrx.corpus.shards import PreparedCorpus

    monkeypatch.setattr(workspace, "builtin_source", lambda language: recordings)
    other = PreparedCorpus.open(corpus)
    own = replace(other, meta={**other.meta, "source": str(home / "asrx" / "builtin-en")})
    judge = stage._judge_of(own)
    assert judge.name == "the built-in held-out set" and judge.source.path == str(recordings / "test.csv")
    assert stage._judge_of(other).source is None
