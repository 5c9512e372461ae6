"""Trainings of a few optimizer steps on noise, with nothing around them: checkpoints, incidents and what was said, in a folder."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import TrainerCallback, TrainingArguments, set_seed

from asrx.config import resolve
from asrx.models import load_family
from asrx.models import pretraining as pretraining_models
from asrx.training.averaging import MovingAverage
from asrx.training.batching import BatchPlan, Item, Sample
from asrx.training.checkpoints import last_checkpoint
from asrx.training.incidents import Incidents
from asrx.training.trainer import AsrTrainer

SECONDS = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
TEXTS = ("one", "two", "four", "five", "seven", "eight nine")
BATCHES = ([0, 1, 2], [3, 4, 5], [5, 0, 3], [4, 2, 1])  # of an epoch, two for each optimizer step
OPTIONS = {
    "ctc": ["model.hidden_size=32", "model.intermediate_size=32", "model.num_attention_heads=2"],
    "whisper": ["model.architecture=whisper", "model.d_model=32", "model.encoder_ffn_dim=32", "model.decoder_ffn_dim=32", "model.max_source_positions=50"],
    "pretraining": ["model.hidden_size=32", "model.intermediate_size=32", "model.mask_time_length=4", "model.layerdrop=0"],
}
STILL = ["model.hidden_dropout=0", "model.attention_dropout=0"]  # no dropout
STILL_WHISPER = ["model.dropout=0"]


class _Nothing:
    ranking = ("eval_loss",)

    def __len__(self) -> int:
        return 0


class Noise:
    """Utterances of seeded noise; `spoil` may change what is heard of one."""

    def __init__(self, labels: Sequence[Sequence[int]], spoil: Callable[[Item, np.ndarray], np.ndarray] | None = None) -> None:
        self._labels, self._spoil = labels, spoil

    def __len__(self) -> int:
        return len(SECONDS)

    def __getitem__(self, item: Item) -> Sample:
        random = np.random.default_rng(item.index)
        waveform = random.standard_normal(int(16_000 * SECONDS[item.index])).astype(np.float32)
        return Sample(self._spoil(item, waveform) if self._spoil else waveform, list(self._labels[item.index]), (0, item.epoch, item.index))


class _EndAt(TrainerCallback):
    """As a kill after a step: no checkpoint but the regular ones."""

    def __init__(self, step: int) -> None:
        self._step = step

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        control.should_training_stop = state.global_step == self._step


@dataclass
class Said:
    """What a run was told, and the tables that it got."""

    sentences: list[tuple[int, str]] = field(default_factory=list)
    tables: dict[str, str] = field(default_factory=dict)

    def happened(self, step: int, sentence: str) -> None:
        self.sentences.append((step, sentence))

    def table(self, name: str, content: str) -> None:
        self.tables[name] = content


def made_family(kind: str, still: bool = True, overrides: Sequence[str] = ()) -> Any:
    """A small seeded model; `still`: without dropout."""
    set_seed(0)
    more = [*OPTIONS[kind], *((STILL_WHISPER if kind == "whisper" else STILL) if still else []), *overrides]
    if kind == "pretraining":
        return pretraining_models.load_family(resolve("wav2vec2-pretrain-base-tiny", overrides=more))
    return load_family(resolve(overrides=more), TEXTS)


def labels_of(family: Any) -> list[list[int]]:
    """Of the utterances; empty where a family has none."""
    return family.labels(TEXTS) if hasattr(family, "labels") else [[] for _ in TEXTS]


def trainer(
    folder: Path,
    kind: str = "ctc",
    epochs: int = 3,
    batches: Sequence[Sequence[int]] = BATCHES,
    accumulation: int = 2,
    spoil: Callable[[Item, np.ndarray], np.ndarray] | None = None,
    still: bool = True,
    overrides: Sequence[str] = (),
    end_at: int = 0,
    **arguments: Any,
) -> tuple[AsrTrainer, Said]:
    """A trainer, with a checkpoint every `save_steps`, and what it will have said."""
    family, said = made_family(kind, still, overrides), Said()
    plan = BatchPlan([[Item(epoch, index) for index in batch] for epoch in range(epochs) for batch in batches], [])
    saving = {"save_strategy": "steps" if arguments.get("save_steps") else "no"}
    settings: dict[str, Any] = {"learning_rate": 1e-3, "max_grad_norm": 1.0, "logging_steps": 1, **saving, **arguments}
    given = TrainingArguments(
        str(folder / "checkpoints"), gradient_accumulation_steps=accumulation, num_train_epochs=1, report_to="none", disable_tqdm=True,
        remove_unused_columns=False, average_tokens_across_devices=False, use_cpu=True, logging_nan_inf_filter=False, **settings,
    )  # fmt: skip
    incidents = Incidents([f"u{index}" for index in range(len(SECONDS))], SECONDS, folder)
    average = MovingAverage(family.model, 0.9)
    callbacks = [average, *([_EndAt(end_at)] if end_at else [])]
    utterances = Noise(labels_of(family), spoil)
    return AsrTrainer(family, plan, utterances, _Nothing(), average, incidents, said, args=given, callbacks=callbacks), said


def train(folder: Path, *given: Any, **options: Any) -> tuple[AsrTrainer, Said]:
    """Train to the end, from the last checkpoint in the folder if there is one."""
    made, said = trainer(folder, *given, **options)
    checkpoint = last_checkpoint(folder / "checkpoints")
    if checkpoint:
        made.load_average(checkpoint)
    made.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    return made, said


def weights(made: AsrTrainer) -> dict[str, torch.Tensor]:
    """Weights and averaged weights."""
    with made._average.in_place_of(made.model):
        averaged = {f"average/{name}": value.clone() for name, value in made.model.state_dict().items()}
    return {**{name: value.clone() for name, value in made.model.state_dict().items()}, **averaged}


def losses(made: AsrTrainer) -> list[float]:
    """Of each step."""
    return [entry["loss"] for entry in made.state.log_history if "loss" in entry]


def steps(made: AsrTrainer) -> list[float]:
    """Loss of each step, and length of its gradient, in which whatever is counted twice shows."""
    return [*losses(made), *(entry["grad_norm"] for entry in made.state.log_history if "loss" in entry)]


def assert_same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    """To the last bit."""
    different = [name for name in one if not torch.equal(one[name], other[name])]
    assert one.keys() == other.keys() and len(one) > 40 and not different, different[:5]
