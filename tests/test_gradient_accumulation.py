"""CTC losses are means over utterances, which transformers does not scale for accumulation, Whisper's are means over tokens: an optimizer step must
weight each utterance, or token, the same, however its utterances are dealt to micro-batches."""

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import TrainingArguments

from asrx.config import Augment, resolve
from asrx.corpus.shards import DataFile, Split, Utterance, describe_shard
from asrx.models import load_family
from asrx.training.batching import BatchPlan, Item, TrainingUtterances
from asrx.training.evaluation import Evaluator
from asrx.training.material import of
from asrx.training.trainer import AsrTrainer

TEXTS = ["sì", "accendi la luce in cucina", "no", "apri la porta e chiudi la finestra", "canale tre", "perché"]
WHISPER = ["model.architecture=whisper", "text.language=it", "model.d_model=32", "model.encoder_ffn_dim=32", "model.decoder_ffn_dim=32",
           "model.max_source_positions=100", "model.dropout=0"]  # fmt: skip
CTC = ["model.hidden_dropout=0"]


@pytest.fixture
def split(tmp_path: Path) -> Split:
    random = np.random.default_rng(0)
    part = tmp_path / "train" / "part_1"
    part.mkdir(parents=True)
    with DataFile(part / "data.arrow") as file:
        for index, text in enumerate(TEXTS):
            audio = random.integers(-8000, 8000, 16_000 + 1600 * index).astype(np.int16)
            file.add(Utterance(f"u{index}", audio, len(audio) / 16_000, text, text, "s", f"{index:064x}", "{}"))
    describe_shard(part, [("data.arrow", len(TEXTS))])
    return Split(tmp_path / "train")


def gradients(options: list[str], split: Split, batches: list[list[int]], folder: Path) -> tuple[dict[str, torch.Tensor], float]:
    """Gradients and loss of the first optimizer step over `batches` of utterance numbers."""
    torch.manual_seed(0)
    family = load_family(resolve(overrides=options), TEXTS)
    plan = BatchPlan([[Item(0, index) for index in batch] for batch in batches], [len(batches)])
    material = of(split, split, np.arange(len(TEXTS)), family.labels(TEXTS))
    arguments = TrainingArguments(
        str(folder), gradient_accumulation_steps=len(batches), num_train_epochs=1, max_grad_norm=0, learning_rate=0, report_to="none",
        disable_tqdm=True, remove_unused_columns=False, average_tokens_across_devices=False, save_strategy="no", use_cpu=True,
    )  # fmt: skip
    seen: dict[str, torch.Tensor] = {}
    utterances = TrainingUtterances(material, family.join, Augment(), 0)
    trainer = AsrTrainer(family, plan, utterances, Evaluator(family, split, 2, 2), None, args=arguments)
    step = trainer.create_optimizer().step

    def remember(*given: object, **named: object) -> object:
        seen.update({name: parameter.grad.clone() for name, parameter in family.model.named_parameters() if parameter.grad is not None})
        return step(*given, **named)

    trainer.optimizer.step = remember
    return seen, trainer.train().training_loss


@pytest.mark.parametrize("options", [CTC, WHISPER], ids=["ctc", "whisper"])
def test_accumulated_gradients_equal_those_of_one_batch(options: list[str], split: Split, tmp_path: Path) -> None:
    whole, whole_loss = gradients(options, split, [[0, 1, 2, 3, 4, 5]], tmp_path)
    parts, parts_loss = gradients(options, split, [[0], [1, 2], [3, 4, 5]], tmp_path)
    assert parts_loss == pytest.approx(whole_loss, rel=1e-4)
    assert len(whole) > 30
    for name, gradient in whole.items():
        assert torch.allclose(parts[name], gradient, rtol=1e-2, atol=1e-4 * float(gradient.abs().max()) + 1e-7), name
