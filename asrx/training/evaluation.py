"""Loss, WER and CER of a model on the validation utterances, with the decoding that serving uses."""

from collections.abc import Sequence, Sized
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch

from ..corpus.shards import Split
from ..error_counts import ErrorCounts, count_all, pool
from ..hallucination import explain
from ..models import Transcriber
from ..recognizer.audio import to_float
from . import memory, processes
from .guards import length_ratio, output_warnings

DIVIDED = "Memory ran out in an evaluation, and its batches were taken in halves; a lower trainer.per_device_eval_batch_size is faster than that."


class Evaluation(Protocol):
    """The result on a validation set."""

    metrics: dict[str, float]  # as Trainer names them: eval_loss, …

    def samples(self, count: int = 3) -> list[tuple[str, str, str]]:
        """(id, reference, hypothesis) of some utterances, where there is text."""


class Evaluates(Protocol):
    """What evaluates a model that is being trained."""

    ranking: Sequence[str]  # metrics that say which step is best: lower is better, the first one counts, the next break ties

    def __len__(self) -> int: ...

    def __call__(self, model: torch.nn.Module) -> Evaluation: ...


def spread(split: Sized, limit: int) -> np.ndarray:
    """Up to `limit` (0: all) indices, evenly over the split."""
    count = len(split) if not limit else min(limit, len(split))
    return np.unique(np.linspace(0, len(split) - 1, count).round().astype(int)) if count else np.empty(0, int)


@dataclass(frozen=True)
class Transcribed:
    """The result of a model that writes text; texts are parallel to the evaluated utterances."""

    loss: float  # mean over utterances
    counts: ErrorCounts
    ids: list[str]
    references: list[str]
    hypotheses: list[str]
    divided: int = 0  # batches for which memory did not suffice

    @property
    def metrics(self) -> dict[str, float]:
        """A set without a reference word has no rate: 1 stands in, the worst that is meant."""
        wer, cer, ratio = self.counts.wer, self.counts.cer, length_ratio(self.references, self.hypotheses)
        rates = {"eval_loss": self.loss, "eval_wer": 1.0 if wer is None else wer, "eval_cer": 1.0 if cer is None else cer}
        return rates if ratio is None else {**rates, "eval_length_ratio": ratio}

    def samples(self, count: int = 3) -> list[tuple[str, str, str]]:
        """The first utterances: the same ones at every evaluation."""
        return list(zip(self.ids, self.references, self.hypotheses))[:count]

    def warnings(self, before: Sequence[float] = ()) -> list[str]:
        """What is odd about the hypotheses, in sentences. `before`: length ratios of earlier evaluations, oldest first."""
        above = self.counts.wer is not None and self.counts.wer > 1
        reasons = explain(self.references, self.hypotheses, total=self.counts).sentences() if above else []
        return [*reasons, *output_warnings(self.references, self.hypotheses, before), *([DIVIDED] if self.divided else [])]


class Evaluator:
    """Evaluates on up to `limit` utterances with a transcript, spread evenly over the split, in batches of similar length.

    Where several processes train, each of them evaluates a share of the batches.
    """

    ranking = ("eval_wer", "eval_loss")

    def __init__(self, family: Transcriber, split: Split, limit: int, batch_size: int) -> None:
        self._family, self._split, self._size = family, split, batch_size
        texts, ids = split.column("text"), split.column("id")
        told = np.array([index for index, text in enumerate(texts) if text], dtype=np.int64)
        self._indices = told[spread(told, limit)]
        self._texts = [texts[index] for index in self._indices]
        self._ids = [ids[index] for index in self._indices]
        self._labels = family.labels(self._texts)

    def __len__(self) -> int:
        return len(self._indices)

    def __call__(self, model: torch.nn.Module) -> Transcribed:
        """Evaluate `model`, which is left in training mode if it was."""
        training = model.training
        model.eval()
        losses, hypotheses = np.zeros(len(self)), [""] * len(self)
        order = np.argsort(self._split.seconds[self._indices], kind="stable")
        batches = [order[start : start + self._size].tolist() for start in range(0, len(order), self._size)]
        own = [(part, *found) for rows in processes.divided(batches) for part, found in memory.in_halves(self._evaluated, rows)]
        results = processes.collected(own)
        for rows, loss, texts in results:
            losses[rows] = loss
            for row, text in zip(rows, texts, strict=True):
                hypotheses[row] = text
        model.train(training)
        divided = len(results) - len(batches)
        return Transcribed(float(losses.mean()), pool(count_all(self._texts, hypotheses)), self._ids, self._texts, hypotheses, divided)

    def _evaluated(self, rows: list[int]) -> tuple[float, list[str]]:
        waveforms = [to_float(self._split.audio(int(self._indices[row]))) for row in rows]
        return self._family.evaluate(waveforms, [self._labels[row] for row in rows])
