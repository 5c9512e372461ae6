"""Pre-training losses are sums over masked frames: an optimizer step must weight each masked frame the same, whatever batch it came in."""

import copy
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import TrainingArguments

from asrx.config import Config, resolve
from asrx.models.pretraining import PretrainingFamily, load_family
from asrx.training.batching import BatchPlan, Item, Sample
from asrx.training.evaluation import Evaluates
from asrx.training.trainer import AsrTrainer

SECONDS = (1.0, 1.4, 3.0, 2.0, 1.2, 4.0)
BATCHES = ([0], [1, 2], [5, 3, 4])


def options(*overrides: str) -> Config:
    """The tiny model without any chance in it but for masks and distractors."""
    sizes = ["model.hidden_dropout=0", "model.attention_dropout=0", "model.layerdrop=0", "model.feat_proj_dropout=0", "model.mask_time_length=4"]
    return resolve("wav2vec2-pretrain-base-tiny", overrides=[*sizes, *overrides])


@pytest.fixture(scope="module", name="waveforms")
def made_waveforms() -> list[np.ndarray]:
    return noises()


def noises() -> list[np.ndarray]:
    random = np.random.default_rng(0)
    return [random.standard_normal(int(16_000 * seconds)).astype(np.float32) for seconds in SECONDS]


@pytest.fixture(name="family")
def made_family() -> PretrainingFamily:
    return plain_family()


def plain_family() -> PretrainingFamily:
    torch.manual_seed(0)
    made = load_family(options("model.feat_extract_norm=layer", "feature_extractor.return_attention_mask=true"))  # padding changes nothing
    made.model.quantizer.forward = _quantised(made.model.quantizer)
    return made


def _quantised(quantizer: Any) -> Any:
    """The quantiser without noise and with a perplexity that does not depend on the batch: what is left is linear in the frames."""

    def forward(states: torch.Tensor, mask_time_indices: torch.Tensor | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        shape = states.shape
        scores = quantizer.weight_proj(states).view(shape[0] * shape[1], quantizer.num_groups, -1).softmax(-1)
        codes = quantizer.codevectors.view(quantizer.num_groups, quantizer.num_vars, -1)
        return torch.einsum("ngv,gvd->ngd", scores, codes).reshape(*shape[:2], -1), quantizer.weight_proj.weight.mean() + 10

    return forward


class _Utterances:
    def __init__(self, waveforms: list[np.ndarray]) -> None:
        self._waveforms = waveforms

    def __len__(self) -> int:
        return len(self._waveforms)

    def __getitem__(self, item: Item) -> Sample:
        return Sample(self._waveforms[item.index], [], (0, 0, item.index))


class _Nothing:
    ranking = ("eval_loss",)

    def __len__(self) -> int:
        return 0


def stepped(family: PretrainingFamily, waveforms: list[np.ndarray], batches: Any, folder: Path, devices: int = 1) -> dict[str, torch.Tensor]:
    """Gradients that the optimizer's only step sees; each of several `devices` has every so many of the batches."""
    batches = batches[int(os.environ["RANK"]) :: devices] if devices > 1 else batches
    evaluator: Evaluates = _Nothing()
    arguments = TrainingArguments(
        str(folder / "out"), gradient_accumulation_steps=len(batches), num_train_epochs=1, max_grad_norm=0, learning_rate=0, report_to="none",
        disable_tqdm=True, remove_unused_columns=False, average_tokens_across_devices=False, save_strategy="no", use_cpu=True,
    )  # fmt: skip
    plan = BatchPlan([[Item(0, index) for index in batch] for batch in batches], [len(batches)])
    trainer = AsrTrainer(copy.copy(family), plan, _Utterances(waveforms), evaluator, None, args=arguments)
    seen: dict[str, torch.Tensor] = {}
    step = trainer.create_optimizer().step

    def remember(*given: Any, **named: Any) -> Any:
        seen.update(gradients(family.model))
        return step(*given, **named)

    trainer.optimizer.step = remember
    trainer.train()
    return seen


def gradients(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: parameter.grad.clone() for name, parameter in model.named_parameters() if parameter.grad is not None}


def published(family: PretrainingFamily, waveforms: list[np.ndarray], batches: Any) -> dict[str, torch.Tensor]:
    """The rule of transformers' example: after each micro-batch all gradients so far are divided by that micro-batch's number of masked frames."""
    family.model.zero_grad()
    for numbers in batches:
        batch = family.collate([waveforms[index] for index in numbers], [], [(0, 0, index) for index in numbers])
        (family.model(**batch).loss / len(batches)).backward()
        for parameter in family.model.parameters():
            if parameter.grad is not None:
                parameter.grad.mul_(len(batches) / int(batch["mask_time_indices"].sum()))
    return gradients(family.model)


def off(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> float:
    """Distance of all gradients together, as a share of the expected ones' length."""
    flat = [torch.cat([values[name].flatten() for name in expected]) for values in (found, expected)]
    return float((flat[0] - flat[1]).norm() / flat[1].norm())


def test_micro_batches_have_the_gradients_of_one_batch(family, waveforms, tmp_path) -> None:
    family.model.train()
    whole = stepped(family, waveforms, ([0, 1, 2, 5, 3, 4],), tmp_path)
    assert len(whole) > 30 and off(published(family, waveforms, ([0, 1, 2, 5, 3, 4],)), whole) < 1e-3  # of one batch, means over masked frames
    assert off(stepped(family, waveforms, BATCHES, tmp_path), whole) < 1e-3


@pytest.mark.slow
def test_devices_have_the_gradients_of_one_batch(family, waveforms, tmp_path) -> None:
    """Each of two processes has a batch of its own; gradients are averaged over them."""
    program = (
        "import os, sys; from pathlib import Path; import torch; from test_last_batch_that_weighs_alone import noises, plain_family, stepped\n"
        "found = stepped(plain_family(), noises(), ([0, 1, 2], [5, 3, 4]), Path(sys.argv[1]), devices=2)\n"
        "torch.save(found, Path(sys.argv[1]) / ('gradients.pt' if os.environ['RANK'] == '0' else 'others.pt'))\n"
    )
    (tmp_path / "device.py").write_text(program)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", str(tmp_path / "device.py"), str(tmp_path)]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": str(Path(__file__).parent)}, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2_000:]
    family.model.train()
    whole = stepped(family, waveforms, ([0, 1, 2, 5, 3, 4],), tmp_path)
    assert off(torch.load(tmp_path / "gradients.pt", weights_only=True), whole) < 1e-3


def test_the_published_rule_leaves_the_last_batch_alone(family, waveforms) -> None:
    family.model.train()
    whole, last = published(family, waveforms, ([0, 1, 2, 5, 3, 4],)), published(family, waveforms, BATCHES[-1:])
    theirs = published(family, waveforms, BATCHES)
    assert off(theirs, whole) > 0.1 and off(theirs, last) < 0.05


def test_half_precision_keeps_gradients_finite(waveforms) -> None:
    torch.manual_seed(0)
    family = load_family(options("model.num_codevectors_per_group=2"))  # distractors that equal the true one, masked by infinity
    family.model.train()
    batch = family.collate(waveforms, [], [(0, 0, index) for index in range(len(waveforms))])
    with torch.autocast("cpu", torch.float16):
        outputs = family.model(**batch)
        loss = family.loss(outputs, batch)
    (loss * 2.0**10).backward()
    found = gradients(family.model)
    assert torch.isfinite(loss) and found and all(torch.isfinite(gradient).all() for gradient in found.values())


def test_a_collapsed_codebook_is_no_success(waveforms) -> None:
    family = load_family(options())
    with torch.no_grad():
        family.model.quantizer.codevectors.fill_(1.0)
    family.model.eval()
    values, masked = family.measure(waveforms[:2], [(0, 0, 0), (0, 0, 1)])
    assert masked and values["accuracy"] == 0
