"""What is trained on: a model, utterances and their labels."""

import logging
from dataclasses import dataclass, field, replace

import numpy as np

from ..config import Config
from ..corpus.shards import PreparedCorpus, Split
from ..errors import InputError
from ..findings import Finding
from ..models import Transcriber, load_family
from ..recognizer.audio import SAMPLE_RATE
from . import balance, sounds
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
    values: list[str]  # what `batch.balance` balances; empty without it
    findings: tuple[Finding, ...] = field(default=(), kw_only=True)  # about texts and audio, those included that are left out

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
    """The model and what it is trained on, with sounds to mix in ready to be heard.

    Raises InputError where the corpus has nothing to train or to validate on, or for a sound that cannot be used.
    """
    from transformers import set_seed

    split, validation = splits(corpus)
    sounds.decode(options.augment)
    texts = split.column("text")
    indices = _transcribed(chosen(split, options.data), texts, any(validation.each("text")))
    set_seed(options.trainer.seed)
    forced = options.text.case or corpus.meta["config"]["text"].get("case")
    text = replace(options.text, case=forced, language=corpus.meta["language"])
    family = load_family(replace(options, text=text), [texts[index] for index in indices])
    return family, _material(split, validation, indices, texts, family, options.batch.balance)


def _transcribed(indices: np.ndarray, texts: list[str], can_validate: bool) -> np.ndarray:
    """Leaves out utterances of which nobody knows what was said."""
    told = np.array([bool(texts[index]) for index in indices], bool)
    if not told.any() or not can_validate:
        where = "training" if can_validate else "validation"
        raise InputError(f"no {where} utterance has a transcript: asrx pretrain learns from speech alone, and asrx train from speech with transcripts")
    if not told.all():
        log.warning("%s training utterances are left out: they have no transcript", f"{int((~told).sum()):,}")
    return indices[told]


def _material(split: Split, validation: Split, indices: np.ndarray, texts: list[str], family: Transcriber, column: str | None) -> Material:
    """Leaves out utterances that the model cannot learn from: the findings tell of them."""
    ids, said, samples = split.column("id"), [texts[index] for index in indices], (split.seconds[indices] * SAMPLE_RATE).astype(np.int64)
    labels = family.labels(said)
    findings = family.preflight([ids[index] for index in indices], said, labels, samples)
    fits = family.fits(labels, samples)
    found = of(split, validation, indices[fits], [label for label, fit in zip(labels, fits) if fit], column)
    return replace(found, findings=tuple(findings))


def of(split: Split, validation: Split, indices: np.ndarray, labels: list[list[int]], column: str | None = None) -> Material:
    """The material of the utterances `indices` of `split`, balanced over `column`."""
    names, digests = split.column("speaker"), split.column("audio_digest")
    speakers, heard = [names[index] for index in indices], {digests[index] for index in indices}
    return Material(split, validation, indices, labels, speakers, heard, balance.values(split, indices, column))
