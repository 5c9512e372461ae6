"""What is trained on: a model, utterances and their labels."""

import logging
from dataclasses import dataclass, replace

import numpy as np

from ..config import Config
from ..corpus.shards import PreparedCorpus, Split
from ..errors import InputError
from ..models import Family
from ..recognizer.audio import SAMPLE_RATE

log = logging.getLogger("asrx")


@dataclass(frozen=True)
class Material:
    """The utterances that are trained on, with their labels."""

    split: Split
    validation: Split
    indices: np.ndarray
    labels: list[list[int]]
    speakers: list[str]
    digests: set[str]  # of the audio

    @property
    def seconds(self) -> np.ndarray:
        """Duration of each utterance in s."""
        return self.split.seconds[self.indices]


def load_material(corpus: PreparedCorpus, options: Config) -> tuple[Family, Material]:
    """The model and what it is trained on. Raises InputError where the corpus has nothing to train or to validate on."""
    from transformers import set_seed

    from ..models.ctc import load_family

    split, validation = corpus.split("train"), corpus.split("validation")
    if not len(split) or not len(validation):
        raise InputError(f"{corpus.folder} has {len(split)} training and {len(validation)} validation utterances; training needs both")
    indices = _fraction(len(split), options)
    texts = split.column("text")
    set_seed(options.trainer.seed)
    forced = options.text.case or corpus.meta["config"]["text"].get("case")
    family = load_family(replace(options, text=replace(options.text, case=forced)), [texts[index] for index in indices])
    labels = family.labels([texts[index] for index in indices])
    return family, _material(split, validation, indices, labels, family)


def _fraction(count: int, options: Config) -> np.ndarray:
    """The utterances that `data.fraction` leaves, in corpus order."""
    wanted = max(1, round(count * options.data.fraction))
    return np.sort(np.random.default_rng(options.data.seed).permutation(count)[:wanted])


def _material(split: Split, validation: Split, indices: np.ndarray, labels: list[list[int]], family: Family) -> Material:
    """Leaves out utterances whose label needs more frames than their audio has: CTC cannot emit it (repeats need a blank between)."""
    frames = family.frames((split.seconds[indices] * SAMPLE_RATE).astype(np.int64))
    needed = np.array([len(label) + sum(a == b for a, b in zip(label, label[1:])) for label in labels])
    fits = (needed <= frames) & (needed > 0)
    if not fits.any():
        raise InputError("no training utterance has more audio frames than letters: the transcripts cannot belong to this audio")
    if not fits.all():
        log.warning("%d training utterances are left out: their text is longer than their audio has frames", int((~fits).sum()))
    speakers, digests = split.column("speaker"), split.column("audio_digest")
    kept = indices[fits]
    fitting = [label for label, fit in zip(labels, fits) if fit]
    return Material(split, validation, kept, fitting, [speakers[index] for index in kept], {digests[index] for index in kept})
