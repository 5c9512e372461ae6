"""Loss, WER and CER of a model on the validation utterances, with the decoding that serving uses."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ..corpus.shards import Split
from ..error_counts import ErrorCounts, count_all, pool
from ..models import Family
from ..recognizer.audio import to_float
from ..recognizer.ctc import greedy


@dataclass(frozen=True)
class Evaluation:
    """The result on a validation set; texts are parallel to the evaluated utterances."""

    loss: float  # mean over utterances
    counts: ErrorCounts
    ids: list[str]
    references: list[str]
    hypotheses: list[str]
    seconds: float  # of audio

    @property
    def metrics(self) -> dict[str, float]:
        """As Trainer and MLflow name them. A set without a reference word has no rate: 1 stands in, the worst that is meant."""
        wer, cer = self.counts.wer, self.counts.cer
        return {"eval_loss": self.loss, "eval_wer": 1.0 if wer is None else wer, "eval_cer": 1.0 if cer is None else cer}

    def samples(self, count: int = 3) -> list[tuple[str, str, str]]:
        """(id, reference, hypothesis) of the first utterances: the same ones at every evaluation."""
        return list(zip(self.ids, self.references, self.hypotheses))[:count]


class Evaluator:
    """Evaluates on up to `limit` utterances, spread evenly over the split, in batches of similar length."""

    def __init__(self, family: Family, split: Split, limit: int, batch_size: int) -> None:
        count = len(split) if not limit else min(limit, len(split))
        self._indices = np.unique(np.linspace(0, len(split) - 1, count).round().astype(int)) if count else np.empty(0, int)
        self._family, self._split, self._size = family, split, batch_size
        texts, ids = split.column("text"), split.column("id")
        self._texts = [texts[index] for index in self._indices]
        self._ids = [ids[index] for index in self._indices]
        self._labels = family.labels(self._texts)

    def __len__(self) -> int:
        return len(self._indices)

    def __call__(self, model: torch.nn.Module) -> Evaluation:
        """Evaluate `model`, which is left in training mode if it was."""
        training = model.training
        model.eval()
        recognizer = self._family.recognizer()
        losses, hypotheses = np.zeros(len(self)), [""] * len(self)
        order = np.argsort(self._split.seconds[self._indices], kind="stable")
        for start in range(0, len(order), self._size):
            rows = order[start : start + self._size]
            loss, texts = self._batch(model, recognizer, rows)
            losses[rows] = loss
            for row, text in zip(rows, texts, strict=True):
                hypotheses[row] = text
        model.train(training)
        counts = pool(count_all(self._texts, hypotheses))
        seconds = float(self._split.seconds[self._indices].sum())
        return Evaluation(float(losses.mean()), counts, self._ids, self._texts, hypotheses, seconds)

    def _batch(self, model: torch.nn.Module, recognizer: Any, rows: np.ndarray) -> tuple[float, list[str]]:
        waveforms = [to_float(self._split.audio(int(self._indices[row]))) for row in rows]
        batch = self._family.collate(waveforms, [self._labels[row] for row in rows])
        device = next(model.parameters()).device
        with torch.inference_mode():
            output = model(**{name: value.to(device) for name, value in batch.items()})
        lengths = np.minimum(self._family.frames(np.array([len(waveform) for waveform in waveforms])), output.logits.shape[1])
        emissions = greedy(output.logits, lengths.tolist(), recognizer.blank)
        return float(output.loss), [recognizer.recognition(item, 0.02).text for item in emissions]
