"""With every augmentation, mask, drop-out, schedule and average on, a resumed training ends with the weights of an undisturbed one."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sounds
from safetensors.torch import load_file

from asrx.files import read_json
from asrx.training import callbacks, request

STEPS, STOPPED = 24, 15
OPTIONS = [
    "data.fraction=0.6", "data.eval_utterances=4", "batch.seconds=4", "batch.balance=speaker", "batch.balance_exponent=1",
    "augment.speed=0.1", "augment.gain=6", "augment.noise_probability=0.5", "augment.noise_snr=[0,20]", "augment.reverb_probability=0.5",
    "augment.codec_probability=0.5", "augment.concatenate=0.3",
    "model.apply_spec_augment=true", "model.mask_time_prob=0.2", "model.mask_time_length=4", "model.mask_feature_prob=0.2", "model.mask_feature_length=8",
    "model.layerdrop=0.3", "model.hidden_dropout=0.1", "model.attention_dropout=0.1", "model.activation_dropout=0.1", "model.feat_proj_dropout=0.1",
    "trainer.lr_scheduler_type=tri_stage", "trainer.lr_scheduler_kwargs.hold=0.3", "trainer.gradient_accumulation_steps=2", "trainer.eval_steps=6",
    "trainer.logging_steps=3", "checkpoint.average=0.8", "checkpoint.average_best=2",
]  # fmt: skip


def weights(run: Path) -> dict[str, Any]:
    last = run / "checkpoints" / f"checkpoint-{STEPS}"
    files = {"best": run / "best" / "model.safetensors", "last": last / "model.safetensors", "average": last / "average.safetensors"}
    return {f"{name}/{key}": tensor for name, path in files.items() for key, tensor in load_file(str(path)).items()}


def stop(interruption: callbacks.Interruption, args: Any, state: Any, control: Any, **_: Any) -> None:
    """As at the end of a session's minutes, at a step that lies between two evaluations."""
    interruption.time_is_up = state.global_step == STOPPED
    if interruption.time_is_up:
        control.should_save = control.should_training_stop = True


@pytest.mark.slow
def test_everything_comes_out_as_undisturbed(corpus: Path, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from asrx import tracking

    random = np.random.default_rng(0)
    for number in range(2):
        sounds.write(tmp_path / "noise" / f"{number}.wav", sounds.sound(1 + number, pitch=400))
        sounds.write(tmp_path / "rooms" / f"{number}.wav", random.standard_normal(4_000) * 10 ** (-3 * np.arange(4_000) / 3_000) * 0.2)
    options = [*OPTIONS, f"augment.noise={tmp_path / 'noise'}", f"augment.reverb={tmp_path / 'rooms'}"]

    def train(resume: str | None = None) -> Any:
        return request.train(str(corpus), None, {"trainer.max_steps": str(STEPS)}, options, resume)

    undisturbed = train()
    with monkeypatch.context() as patch:
        patch.setattr(callbacks.Interruption, "on_step_end", stop)
        paused = train()
    assert (paused.steps, paused.model_uri) == (STOPPED, None) and paused.run_id != undisturbed.run_id
    resumed = train("auto")
    assert resumed.run_id == paused.run_id and resumed.steps == STEPS

    runs = [Path(result.folder).parent for result in (undisturbed, resumed)]
    one, other = map(weights, runs)
    assert one.keys() == other.keys() and len(one) > 100
    assert not [name for name in one if not (one[name] == other[name]).all()]
    assert read_json(runs[0] / "best" / "best.json") == read_json(runs[1] / "best" / "best.json")
    assert not (runs[1] / "best_steps").exists()

    found = tracking.connect().get_run(resumed.run_id).data
    assert found.metrics["best/wer"] <= found.metrics["averaged/wer"]
    assert f"WER {found.metrics['averaged/wer']:.2%}" in found.tags["mlflow.note.content"]
    rates = [point.value for point in tracking.connect().get_metric_history(resumed.run_id, "train/learning_rate")]
    assert len(rates) == STEPS // 3 and max(rates) == rates[1] and rates[-1] < 0.1 * max(rates)
