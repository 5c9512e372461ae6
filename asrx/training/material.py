"""What is trained on: a model, utterances and their labels."""

import logging
from dataclasses import dataclass, replace

import numpy as np

from ..config import Config
from ..corpus.shards import PreparedCorpus, Split
from ..errors import InputError
from ..models import Transcriber, load_family
from ..recognizer.audio import SAMPLE_RATE
from .sampling import chosen

log = logging.getLogger("asrx")


@dataclass(frozen=True)
class Material:
    """The utterances that are trained on, with their labels; without a text all labels are empty."""

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


def splits(corpus: PreparedCorpus) -> tuple[Split, Split]:
    """Train and validation. InputError where the corpus has nothing to train or to validate on."""
    split, validation = corpus.split("train"), corpus.split("validation")
    if not len(split) or not len(validation):
        raise InputError(f"{corpus.folder} has {len(split)} training and {len(validation)} validation utterances; training needs both")
    return split, validation


def load_material(corpus: PreparedCorpus, options: Config) -> tuple[Transcriber, Material]:
    """The model and what it is trained on. Raises InputError where the corpus has nothing to train or to validate on."""
    from transformers import set_seed

    split, validation = splits(corpus)
    texts = split.column("text")
    indices = _transcribed(chosen(split, options.data), texts, any(validation.each("text")))
    set_seed(options.trainer.seed)
    forced = options.text.case or corpus.meta["config"]["text"].get("case")
    text = replace(options.text, case=forced, language=corpus.meta["language"])
    family = load_family(replace(options, text=text), [texts[index] for index in indices])
    labels = family.labels([texts[index] for index in indices])
    return family, _material(split, validation, indices, labels, family)


def _transcribed(indices: np.ndarray, texts: list[str], can_validate: bool) -> np.ndarray:
    """Leaves out utterances of which nobody knows what was said."""
    told = np.array([bool(texts[index]) for index in indices], bool)
    if not told.any() or not can_validate:
        where = "training" if can_validate else "validation"
        raise InputError(f"no {where} utterance has a transcript: asrx pretrain learns from speech alone, and asrx train from speech with transcripts")
    if not told.all():
        log.warning("%s training utterances are left out: they have no transcript", f"{int((~told).sum()):,}")
    return indices[told]


def _material(split: Split, validation: Split, indices: np.ndarray, labels: list[list[int]], family: Transcriber) -> Material:
    """Leaves out utterances that the model cannot learn from."""
    fits = family.fits(labels, (split.seconds[indices] * SAMPLE_RATE).astype(np.int64))
    if not fits.any():
        raise InputError("no training utterance has audio long enough for its text: the transcripts cannot belong to this audio")
    if not fits.all():
        log.warning("%d training utterances are left out: text or audio is too long for the model, or there is no text", int((~fits).sum()))
    return of(split, validation, indices[fits], [label for label, fit in zip(labels, fits) if fit])


def of(split: Split, validation: Split, indices: np.ndarray, labels: list[list[int]]) -> Material:
    """The material of the utterances `indices` of `split`."""
    speakers, digests = split.column("speaker"), split.column("audio_digest")
    return Material(split, validation, indices, labels, [speakers[index] for index in indices], {digests[index] for index in indices})
