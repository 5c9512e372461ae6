"""A Whisper trained in sessions of limited length goes on in one run and ends with the very weights of an undisturbed training."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import TRAINING, Outcome

STEPS = 12
# Everything that could come out differently after a resume: dropout, masks, augmentation, accumulation, an average of tied weights.
RECIPE = """
model: {architecture: whisper, d_model: 32, encoder_ffn_dim: 32, decoder_ffn_dim: 32, max_target_positions: 64,
        dropout: 0.1, apply_spec_augment: true, mask_feature_prob: 0.1}
augment: {speed: 0.1}
trainer: {gradient_accumulation_steps: 2, per_device_train_batch_size: 4, save_steps: 4}
checkpoint: {average: 0.9}
"""


@pytest.fixture
def client(home: Path) -> Any:
    from asrx import tracking

    return tracking.connect()


def weights(run: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    last = run / "checkpoints" / f"checkpoint-{STEPS}"
    files = {"best": run / "best" / "model.safetensors", "last": last / "model.safetensors", "average": last / "average.safetensors"}
    return {f"{name}/{key}": tensor for name, path in files.items() for key, tensor in load_file(str(path)).items()}


@pytest.mark.slow
@pytest.mark.parametrize("part", ["all", "lora"])
def test_sessions_end_with_the_weights_of_an_undisturbed_training(
    part: str, asrx: Callable[..., Outcome], client: Any, corpus: Path, home: Path, tmp_path: Path
) -> None:
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    options = ("--data", corpus, "--recipe", tmp_path / "recipe.yaml", "--max-steps", STEPS, *TRAINING, f"model.trainable={part}")
    first = asrx("train", *options, "--max-minutes", "0.0001", "--resume", "auto")
    assert first.status == 0, first.err
    run_id = next(line.split()[-1] for line in first.out.splitlines() if line.split()[:1] == ["run"])
    assert "Paused" in first.out and f"asrx train --resume {run_id}" in first.out and "nan" not in first.out
    assert client.get_run(run_id).data.tags["asrx.outcome"] == "paused"
    second = asrx("train", *options, "--max-minutes", "0.0001", "--resume", "auto")
    assert second.status == 0 and run_id in second.out
    last = json.loads(asrx("train", "--json", *options, "--max-minutes", "230", "--resume", "auto").out)
    assert last["run_id"] == run_id and client.get_run(run_id).data.tags["asrx.outcome"] == "finished"
    assert [metric.step for metric in client.get_metric_history(run_id, "train/loss")] == [5, 10]
    undisturbed = json.loads(asrx("train", "--json", *options).out)
    assert undisturbed["run_id"] != run_id
    one, other = (weights(home / "asrx/runs" / name) for name in (run_id, undisturbed["run_id"]))
    assert one.keys() == other.keys() and len(one) > 40
    assert not [name for name in one if not (one[name] == other[name]).all()]
    assert not any("proj_out" in name for name in one)  # tied to the embeddings: written once
