"""A pre-training in sessions ends with the weights of an undisturbed one, is never taken for a training, and says how it goes on."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from asrx import packaging, tracking
from asrx.config import resolve
from asrx.corpus.shards import PreparedCorpus
from asrx.errors import ConfigError, InputError, ModelError
from asrx.training import request
from asrx.training.callbacks import Interruption

STEPS = 12
OPTIONS = ["trainer.eval_steps=4", "trainer.logging_steps=2", "trainer.gradient_accumulation_steps=2", "batch.seconds=4", "data.eval_utterances=4",
           "model.layerdrop=0.1", "pretraining.temperature_decay=0.8", "data.max_seconds=2"]  # fmt: skip


@pytest.fixture(scope="module")
def undisturbed(session_home: Path, corpus: Path) -> Any:
    return request.pretrain(str(corpus), None, {"trainer.max_steps": str(STEPS)}, OPTIONS, None)


@pytest.fixture(scope="module")
def in_sessions(session_home: Path, corpus: Path, undisturbed: Any) -> list[Any]:
    """The same in three sessions: each is over after five steps."""
    asked = (str(corpus), None, {"trainer.max_steps": str(STEPS)}, [*OPTIONS, "trainer.seed=43"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Interruption, "on_step_end", _over_after_five)
        sessions = [request.pretrain(*asked, "auto", minutes=1_000) for _ in range(3)]
    return [*sessions, request.pretrain(*asked, None)]


def _over_after_five(self: Interruption, args: Any, state: Any, control: Any, **_: Any) -> None:
    self.time_is_up = state.global_step % 5 == 0
    control.should_save = control.should_training_stop = self.time_is_up


def weights(folder: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    return load_file(str(folder / "model.safetensors"))


def curve(run_id: str, key: str) -> dict[int, float]:
    return {point.step: point.value for point in tracking.connect().get_metric_history(run_id, key)}


def test_sessions_end_with_the_weights_of_one(in_sessions, home: Path) -> None:
    first, second, last, whole = in_sessions
    assert first.run_id == second.run_id == last.run_id != whole.run_id
    assert (first.folder, second.folder, first.steps, second.steps, last.steps) == (None, None, 5, 10, STEPS)
    one, other = weights(Path(last.folder)), weights(Path(whole.folder))
    assert one.keys() == other.keys() and [name for name in one if not (one[name] == other[name]).all()] == []
    for key in ("eval/loss", "eval/contrastive", "eval/perplexity", "eval/accuracy"):
        assert curve(last.run_id, key) == curve(whole.run_id, key)


def test_the_temperature_falls_with_the_steps(undisturbed, home: Path) -> None:
    found = curve(undisturbed.run_id, "train/temperature")  # of two steps each
    for step, value in found.items():
        expected = [max(0.5, 2.0 * 0.8 ** (step - back)) for back in (2, 1)]
        assert min(expected) - 1e-6 <= value <= max(expected) + 1e-6
    assert len(found) == STEPS // 2 and found[STEPS] == 0.5


def test_the_run_has_its_curves_and_its_model(undisturbed, home: Path) -> None:
    from transformers import AutoFeatureExtractor, Wav2Vec2ForPreTraining

    client = tracking.connect()
    run = client.get_run(undisturbed.run_id)
    assert run.data.tags["asrx.kind"] == "pretrain" and packaging.MODEL_URI not in run.data.tags
    for key in ("loss", "contrastive", "diversity", "perplexity", "accuracy", "masked", "temperature", "grad_norm"):
        assert sorted(curve(run.info.run_id, f"train/{key}")) == list(range(2, STEPS + 1, 2)), key
    assert 0.3 < run.data.metrics["train/masked"] < 0.7
    for key in ("loss", "contrastive", "diversity", "perplexity", "accuracy"):
        assert sorted(curve(run.info.run_id, f"eval/{key}")) == [4, 8, 12], key
    assert {"config.json", "model.safetensors", "preprocessor_config.json", "trained_on.npy"} <= {
        Path(item.path).name for item in client.list_artifacts(run.info.run_id, "model")
    }
    assert "training_plot.png" in {item.path for item in client.list_artifacts(run.info.run_id)}
    Wav2Vec2ForPreTraining.from_pretrained(undisturbed.folder)
    AutoFeatureExtractor.from_pretrained(undisturbed.folder)
    assert math.isfinite(undisturbed.loss) and run.data.metrics["last/loss"] == pytest.approx(undisturbed.loss)


def test_it_is_never_taken_for_a_training(undisturbed, trained, asrx, corpus: Path) -> None:
    refused = asrx("train", "--resume", undisturbed.run_id)
    assert refused.status == 2 and "is not a train run; asrx pretrain --resume goes on with it" in refused.err
    refused = asrx("pretrain", "--resume", trained.run_id)
    assert refused.status == 2 and "is not a pretrain run" in refused.err
    refused = asrx("register", "--run", undisturbed.run_id, "--name", "never")
    assert refused.status == 2 and f"cannot transcribe; fine-tune it first: asrx train --model {undisturbed.run_id}" in refused.err
    refused = asrx("register", "--model", undisturbed.folder, "--name", "never")
    assert refused.status == 2 and "cannot turn its output into text" in refused.err
    assert len(refused.complaint) == 1 and "never" not in [model.name for model in tracking.connect().search_registered_models()]


def test_keys_of_both_kinds_are_told_apart(undisturbed, home: Path) -> None:
    from asrx.training import resume

    client = tracking.connect()
    key = client.get_run(undisturbed.run_id).data.tags[resume.KEY]
    assert resume.finished_run(client, None, key, True, "pretrain").info.run_id == undisturbed.run_id
    assert resume.finished_run(client, None, key, True) is None and resume.run_to_resume(client, "auto", key) is None


def test_a_finished_one_is_not_repeated(undisturbed, asrx) -> None:
    again = json.loads(asrx("pretrain", "--json", "--resume", undisturbed.run_id).out)
    assert again["reused"] and again["folder"] == undisturbed.folder and again["loss"] == undisturbed.loss
    said = asrx("pretrain", "--resume", undisturbed.run_id).out
    assert f"asrx train --model {undisturbed.folder} --data CORPUS" in said


def test_its_model_is_fine_tuned_and_remembers_what_it_heard(undisturbed, corpus: Path, home: Path) -> None:
    few = ["data.fraction=0.5", "trainer.eval_steps=2", "data.eval_utterances=2", "model.freeze_feature_encoder=false"]
    tuned = request.train(str(corpus), None, {"model.name": undisturbed.run_id, "trainer.max_steps": "2"}, few, None)
    fine, pretrained = (weights(Path(folder)) for folder in (tuned.folder, undisturbed.folder))
    assert any(name.startswith("lm_head") for name in fine)
    name = "wav2vec2.encoder.layers.0.attention.q_proj.weight"
    assert float((fine[name] - pretrained[name]).abs().mean()) < 0.01 * float(pretrained[name].abs().mean())  # not a new layer
    heard = set(PreparedCorpus.open(corpus).split("train").column("audio_digest"))
    known = packaging.trained_on(Path(tuned.folder))
    assert len(known) == len(heard) and all(packaging.was_trained_on(digest, known) for digest in heard)


@pytest.mark.parametrize(("given", "kind", "said"), [
    (["trainer.max_steps=20", "trainer.warmup_steps=32"], ConfigError, "trainer.warmup_steps=32 is longer than the training of 20 steps"),
    (["trainer.max_steps=-1", "trainer.num_train_epochs=1", "trainer.warmup_steps=9000"], ConfigError, r"warmup_steps=9,000 is longer than the training of \d"),
    (["checkpoint.average=0.9"], ConfigError, "pre-training keeps no average"),
    (["data.min_seconds=14", "data.max_seconds=15"], InputError, "no training, or no validation"),
    (["model.name=./nowhere"], ModelError, "there is no model folder"),
    (["text.vocabulary=build"], ConfigError, "text.vocabulary is an option of train; pretrain"),
])  # fmt: skip
def test_what_cannot_be_is_refused_before_a_run_is_opened(given: list[str], kind: type, said: str, corpus: Path, home: Path) -> None:
    runs = home / "asrx" / "runs"
    before = set(runs.iterdir()) if runs.exists() else set()
    with pytest.raises(kind, match=said):
        request.pretrain(str(corpus), "wav2vec2-pretrain-base-tiny", {}, given, None)
    assert (set(runs.iterdir()) if runs.exists() else set()) == before


def test_a_recipe_pretrains_and_fine_tunes(asrx, corpus: Path, home: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "both.yaml"
    options = resolve("wav2vec2-pretrain-base-tiny", {"trainer.max_steps": "6", "trainer.eval_steps": "2", "batch.seconds": "4", "data.eval_utterances": "2"})
    recipe.write_text(options.yaml())
    asked = (str(corpus), str(recipe), {"trainer.max_steps": "2"}, ["trainer.eval_steps=2", "data.eval_utterances=2"], None)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Interruption, "on_step_end", _over_after_five)
        shown = asrx("train", "--data", corpus, "--recipe", recipe, "--max-minutes", 1_000)
    assert shown.status == 0 and "Paused" in shown.out and "asrx pretrain --resume" in shown.out, shown
    result = request.train(*asked)
    run = tracking.connect().get_run(result.run_id)
    source = Path(run.data.params["config.model.name"])
    assert result.steps == 2 and result.model_uri and run.data.tags["asrx.kind"] == "train"
    assert tracking.connect().get_run(source.parent.name).data.params["config.trainer.max_steps"] == "6"
    assert tracking.connect().get_run(request.train(*asked).run_id).data.params["config.model.name"] == str(source)  # what was pre-trained is taken
    with pytest.raises(ConfigError, match="makes its model itself"):
        request.train(str(corpus), str(recipe), {"model.name": str(source)}, [], None)


def test_the_plan_stops_before_training_where_it_is_only_to_be_prepared(asrx, corpus: Path, home: Path) -> None:
    before = set((home / "asrx" / "runs").iterdir())
    shown = asrx("pretrain", "--data", corpus, "--prepare-only")
    assert shown.status == 0 and str(corpus) in shown.out, shown
    assert json.loads(asrx("pretrain", "--json", "--data", corpus, "--prepare-only", "trainer.max_steps=20").out)["folder"] == str(corpus)
    refused = asrx("pretrain", "--data", corpus, "--prepare-only", "true", "--max-steps", 20, "trainer.warmup_steps=30")
    assert refused.status == 2 and len(refused.complaint) == 1
    assert set((home / "asrx" / "runs").iterdir()) == before
