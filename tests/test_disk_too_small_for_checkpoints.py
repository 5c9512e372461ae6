"""A training that the disk or the memory cannot hold is refused before there is a run."""

import json
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import TRAINING, Outcome

from asrx import tracking
from asrx.config import resolve
from asrx.findings import OK, REFUSED, WARNING, size_text, time_text
from asrx.models import load_family
from asrx.training import probe, resources

Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resources.shutil, "disk_usage", lambda _: Usage(10**9, 10**9 - 10**6, 10**6))


def test_checkpoints_that_do_not_fit_are_counted_with_their_optimizer(home: Path) -> None:
    options = resolve("scratch")
    model = load_family(options, ["call one two"]).model
    weights = sum(value.numel() * value.element_size() for value in model.state_dict().values())
    checkpoint = 3 * weights + weights  # AdamW keeps two values for each, the average is a third
    for free, verdict in ((checkpoint + weights - 1, REFUSED), (checkpoint + weights, WARNING), (3 * checkpoint + 3 * weights + 10**4, OK)):
        assert resources.disk(model, options, free).verdict == verdict
    assert f"3 checkpoints of {size_text(checkpoint)}" in resources.disk(model, options, 10**12).measured


def test_frozen_weights_and_smaller_optimizers_take_less() -> None:
    options, small = resolve("scratch"), resolve("scratch", overrides=["trainer.optim=adafactor"])
    model = load_family(options, ["call one two"]).model
    whole = resources.optimizer_bytes(model, options)
    assert resources.optimizer_bytes(model, small) < whole / 10
    model.freeze_feature_encoder()
    assert resources.optimizer_bytes(model, options) < whole


@pytest.mark.parametrize(("free", "verdict"), [(2_500, REFUSED), (4_500, WARNING), (10_000, OK)])
def test_memory_is_judged_with_the_optimizer(free: int, verdict: str) -> None:
    told = resources.memory(2_500, 2_000, 1_000, free, "cpu", resolve(overrides=["trainer.per_device_train_batch_size=6"]))
    assert told.verdict == verdict and ("per_device_train_batch_size=3" in told.advice) == (verdict == WARNING)


@pytest.mark.parametrize(("version", "names"), list(enumerate(probe.CGROUPS)))
def test_the_limit_of_a_container_counts(version: int, names: tuple[str, ...], tmp_path: Path) -> None:
    assert not list(probe._left_in_cgroups(tmp_path))
    for name, text in zip(names, ("1000", "700", f"{names[3]} 200\nactive_file 5\n")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert list(probe._left_in_cgroups(tmp_path)) == [500]
    (tmp_path / names[0]).write_text("max\n")
    assert not list(probe._left_in_cgroups(tmp_path))


def test_the_run_is_refused_before_it_exists(full_disk: None, asrx: Callable[..., Outcome], corpus: Path, caplog: pytest.LogCaptureFixture) -> None:
    runs = len(tracking.connect().search_runs(["0", tracking.experiment_id(tracking.connect())]))
    outcome = asrx("train", "--data", corpus, "--max-steps", 2, *TRAINING)
    assert outcome.status == 2 and outcome.complaint[-1].startswith("asrx: disk: ") and "ASRX_HOME" in outcome.complaint[-1]
    assert "1 refused" in caplog.text and "label length" in caplog.text  # the whole table
    assert len(tracking.connect().search_runs(["0", tracking.experiment_id(tracking.connect())])) == runs


def test_preflight_only_says_it_all_and_stops(asrx: Callable[..., Outcome], corpus: Path, request: pytest.FixtureRequest) -> None:
    found = asrx("train", "--json", "--data", corpus, "--max-steps", 2, "--preflight-only", *TRAINING)
    told = json.loads(found.out)
    assert found.status == 0 and {item["verdict"] for item in told["findings"]} <= {"ok", "warning"}
    assert asrx("train", "--data", corpus, "--preflight-only", "true", "--resume", "auto").status == 2
    request.getfixturevalue("full_disk")
    refused = asrx("train", "--data", corpus, "--max-steps", 2, "--preflight-only", *TRAINING)
    assert refused.status == 2 and "refused   disk" in refused.out and "→ free some space" in refused.out


def test_a_pretraining_is_checked_too(full_disk: None, asrx: Callable[..., Outcome], corpus: Path) -> None:
    outcome = asrx("pretrain", "--data", corpus, "--max-steps", 2, "--prepare-only")
    assert outcome.status == 2 and outcome.complaint[-1].startswith("asrx: disk: ")


@pytest.mark.parametrize(("value", "text"), [(999, "999 B"), (1_500, "1.5 kB"), (999_999, "1 MB"), (2.5e9, "2.5 GB"), (3e15, "3e+03 TB")])
def test_sizes_are_written_for_people(value: float, text: str) -> None:
    assert size_text(value) == text


@pytest.mark.parametrize(("value", "text"), [(0.034, "0.034 s"), (75.4, "75 s"), (600, "10 min"), (40_000, "11.1 h")])
def test_times_are_written_for_people(value: Any, text: str) -> None:
    assert time_text(value) == text
