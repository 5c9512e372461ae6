"""The average of the best steps is made of these very steps, and becomes the model only where it is better than each of them."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from asrx.config import resolve
from asrx.errors import ConfigError
from asrx.files import read_json
from asrx.training.averaging import BestWeights, average_best
from asrx.training.callbacks import Recorder

RANKING = ("eval_wer", "eval_loss")


class Model(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer, self.frozen, self.norm = torch.nn.Linear(2, 2), torch.nn.Linear(2, 2).requires_grad_(False), torch.nn.BatchNorm1d(2)

    def set(self, value: float) -> None:
        with torch.no_grad():
            for tensor in (*self.layer.parameters(), self.norm.running_mean):
                tensor.fill_(value)


def evaluated(kept: BestWeights, model: Model, step: int, wer: float, loss: float = 1.0) -> None:
    model.set(float(step))
    kept.on_evaluate(None, SimpleNamespace(global_step=step, is_world_process_zero=True), None, metrics={"eval_wer": wer, "eval_loss": loss})


@pytest.fixture
def model() -> Model:
    return Model()


def test_the_best_are_kept_and_averaged(model: Model, tmp_path: Path) -> None:
    kept = BestWeights(model, tmp_path / "best", 3, RANKING)
    for step, wer, loss in ((10, 0.9, 1.0), (20, 0.5, 2.0), (30, 0.5, 1.5), (40, 0.7, 1.0), (50, 0.8, 1.0)):
        evaluated(kept, model, step, wer, loss)
    assert kept.steps() == [30, 20, 40] and len(list((tmp_path / "best").iterdir())) == 3
    with kept.averaged():
        assert torch.allclose(model.layer.weight, torch.tensor(30.0)) and torch.allclose(model.norm.running_mean, torch.tensor(30.0))
    assert model.layer.bias[0].item() == model.norm.running_mean[0].item() == 50.0
    assert not any("frozen" in name for file in (tmp_path / "best").glob("*/weights.safetensors") for name in load_file(str(file)))


def test_a_step_that_comes_again_after_a_resume_counts_once(model: Model, tmp_path: Path) -> None:
    evaluated(BestWeights(model, tmp_path / "best", 2, RANKING), model, 10, 0.6)
    evaluated(BestWeights(model, tmp_path / "best", 2, RANKING), model, 20, 0.5)
    again = BestWeights(model, tmp_path / "best", 2, RANKING)
    evaluated(again, model, 20, 0.5)
    assert again.steps() == [20, 10]


@pytest.mark.parametrize(("wer", "better"), [(0.4, True), (0.5, False), (0.6, False)])
def test_only_a_better_average_becomes_the_model(wer: float, better: bool, model: Model, tmp_path: Path) -> None:
    logged: dict[str, float] = {}
    run: Any = SimpleNamespace(folder=tmp_path, metrics=lambda values, step: logged.update(values))
    family: Any = SimpleNamespace(model=model, save=lambda folder: (folder / "value").write_text(str(model.layer.bias[0].item())))
    recorder = Recorder(run, None, [], 1, 0, RANKING)
    recorder.keep_if_best(10, {"eval_wer": 0.5, "eval_cer": 0.2, "eval_loss": 1.0}, lambda folder: (folder / "value").write_text("10.0"))
    kept = BestWeights(model, tmp_path / "steps", 2, RANKING)
    evaluated(kept, model, 10, 0.5)
    evaluated(kept, model, 20, 0.55)
    metrics = {"eval_wer": wer, "eval_cer": 0.2, "eval_loss": 1.0}
    told = average_best(kept, family, lambda _: SimpleNamespace(metrics=metrics), recorder, run)
    best = read_json(recorder.best / "best.json")
    assert (best["step"], best["wer"], best.get("averaged")) == ((10, 0.4, [10, 20]) if better else (10, 0.5, None))
    assert (recorder.best / "value").read_text() == ("15.0" if better else "10.0")
    assert f"{wer:.2%}" in told and ("no better" in told) is not better
    assert logged["averaged/wer"] == wer


def test_an_average_of_one_is_refused() -> None:
    with pytest.raises(ConfigError, match="checkpoint.average_best=1 averages nothing"):
        resolve(overrides=["checkpoint.average_best=1"])


def test_pretraining_refuses_an_average() -> None:
    from asrx.training import pretrain

    with pytest.raises(ConfigError, match="checkpoint.average_best=3: pre-training keeps no average"):
        pretrain.check(resolve("wav2vec2-pretrain-base-tiny", overrides=["checkpoint.average_best=3"]))
