"""Inspect: a model's loss on each utterance of a corpus, to find the transcripts that are wrong. A person looks, and training leaves out what is listed."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from . import packaging, pages, tracking, workspace
from .config import resolve
from .corpus.shards import PreparedCorpus, Split
from .error_counts import count_all, pool
from .errors import InputError
from .files import write_text
from .models import Transcriber, load_family
from .progress import bar
from .recognizer.audio import to_float
from .scoring.scored_models import open_model
from .tables import csv_of
from .training.evaluation import spread

log = logging.getLogger("asrx")

KIND = "inspect"
SUSPECTS, EVERYTHING, PAGE = "suspects.csv", "inspection.csv", "suspects.html"
OUTLYING = 5.0  # robust standard deviations above the median loss
LEAST_CER = 0.5  # of the transcript against what the model hears: below it, it is about the same sentence
MAD_TO_STD = 1.4826  # of a normal distribution
ON_PAGE = 100  # utterances that can be listened to


@dataclass(frozen=True)
class Inspected:
    """An utterance, how badly its transcript fits, and what the model hears instead."""

    id: str
    speaker: str
    seconds: float
    loss: float | None  # per token of the transcript; None: it does not fit into the audio at all
    cer: float  # of the hypothesis against the transcript, a fraction
    suspect: bool
    transcript: str
    hypothesis: str


@dataclass(frozen=True)
class Inspection:
    """What an inspection found."""

    run_id: str
    model: str
    corpus: str
    split: str
    utterances: int
    wer: float | None  # of all of them, a fraction
    median_loss: float
    threshold: float  # loss above which an utterance is suspect
    trained_on: int  # utterances whose audio the model was trained on
    suspects: tuple[Inspected, ...]  # worst first
    table: str  # path of suspects.csv
    page: str  # path of suspects.html


def inspect(spec: str, data: str | None, split: str = "train", limit: int = 0, out: Path | None = None) -> Inspection:
    """Score each transcript of a prepared corpus's `split` (up to `limit` utterances, spread evenly; 0: all) with the model `spec`.

    The tables and a page with the audio go to the run and, if given, to the folder `out`. Raises InputError for a split that is empty,
    ModelError or RegistryError for a model that is not there.
    """
    corpus = workspace.corpus(data, resolve())
    utterances = _split(corpus, split)
    client = tracking.connect()
    model = open_model(client, spec)
    family = _family(model.folder, corpus, utterances)
    told = np.array([index for index, text in enumerate(utterances.column("text")) if text], np.int64)
    indices = told[spread(told, limit)]
    with tracking.run(KIND, f"inspect {corpus.name}", client) as run:
        run.params({"asrx.model": spec, "asrx.split": split})
        run.dataset(corpus.name, corpus.digest, str(corpus.folder), {"splits": corpus.meta["splits"]}, "inspection")
        rows, losses = _judge(family, utterances, indices)
        median, threshold = bounds(losses)
        found = sorted(_marked(rows, threshold), key=lambda row: (not row.suspect, -(np.inf if row.loss is None else row.loss)))
        suspects = tuple(row for row in found if row.suspect)
        digests = utterances.column("audio_digest")
        known = sum(packaging.was_trained_on(digests[index], model.trained_on) for index in indices)
        total = pool(count_all([row.transcript for row in rows], [row.hypothesis for row in rows]))
        folder = out or run.folder
        files = {
            SUSPECTS: csv_of([asdict(row) for row in suspects], list(Inspected.__dataclass_fields__)),
            EVERYTHING: csv_of([asdict(row) for row in found]),
            PAGE: _page(corpus, spec, suspects, utterances, threshold, len(rows)),
        }
        for name, content in files.items():
            run.text(name, content)
            if out:
                write_text(out / name, content)
        run.metrics({"suspects": len(suspects), "utterances": len(rows), "wer": total.wer, "median_loss": median, "threshold": threshold})
        result = Inspection(run.id, spec, str(corpus.folder), split, len(rows), total.wer, median, threshold, known, suspects,
                            str(folder / SUSPECTS), str(folder / PAGE))  # fmt: skip
        run.note(f"{len(suspects):,} of {len(rows):,} transcripts of {split} look wrong to `{spec}`; listen to them in {PAGE}.")
    return result


def bounds(losses: Sequence[float]) -> tuple[float, float]:
    """The median loss, and the loss above which an utterance is an outlier: OUTLYING robust standard deviations (MAD, Hampel 1974) above it."""
    finite = np.array([loss for loss in losses if np.isfinite(loss)])
    if not len(finite):
        return float("nan"), float("nan")
    median = float(np.median(finite))
    return median, median + OUTLYING * MAD_TO_STD * float(np.median(np.abs(finite - median)))


def _split(corpus: PreparedCorpus, name: str) -> Split:
    if name not in corpus.meta["splits"]:
        raise InputError(f"{corpus.folder} has no split '{name}'; it has {', '.join(corpus.meta['splits'])}")
    found = corpus.split(name)
    if not any(found.each("text")):
        raise InputError(f"the split '{name}' of {corpus.folder} has no transcripts to inspect")
    return found


def _family(folder: Path, corpus: PreparedCorpus, split: Split) -> Transcriber:
    """The model as training has it: it knows labels and losses."""
    options = resolve(options={"model.name": str(folder)})
    text = replace(options.text, case=corpus.meta["config"]["text"].get("case"), language=corpus.meta["language"])
    family = load_family(replace(options, text=text), [text for text in split.column("text") if text])
    family.model.eval()
    return family


def _judge(family: Transcriber, split: Split, indices: np.ndarray) -> tuple[list[Inspected], list[float]]:
    """Utterance by utterance: a loss of its own each, and no padding."""
    import torch

    family.model.to("cuda" if torch.cuda.is_available() else "cpu")
    rows, losses = [], []
    for index in bar(indices.tolist(), total=len(indices), label="inspect", unit="utterance"):
        item = split.utterance(index)
        waveform, label = to_float(item.audio), family.labels([item.text])[0]
        fits = bool(family.fits([label], np.array([len(item.audio)]))[0])
        loss, hypotheses = family.evaluate([waveform], [label]) if fits else (np.inf, family.evaluate([waveform], [label[:1]])[1])
        cer = pool(count_all([item.text], hypotheses)).cer
        losses.append(float(loss))
        shown = round(float(loss), 4) if np.isfinite(loss) else None
        rows.append(Inspected(item.id, item.speaker, round(item.seconds, 3), shown, round(cer or 0.0, 4), False, item.text, hypotheses[0]))
    return rows, losses


def _marked(rows: Sequence[Inspected], threshold: float) -> Iterator[Inspected]:
    """A transcript is suspect where the model finds it unlikely and hears something else."""
    for row in rows:
        unlikely = row.loss is None or row.loss > threshold
        yield replace(row, suspect=unlikely and row.cer >= LEAST_CER)


def _page(corpus: PreparedCorpus, spec: str, suspects: Sequence[Inspected], split: Split, threshold: float, count: int) -> str:
    place = {name: index for index, name in enumerate(split.column("id"))}
    shown = [(row, pages.columns(row.transcript, [row.hypothesis]), pages.sound(split.audio(place[row.id]))) for row in suspects[:ON_PAGE]]
    facts = {"corpus": corpus.name, "language": corpus.meta["language"], "model": spec}
    return pages.render(PAGE, shown=shown, suspects=len(suspects), count=count, threshold=threshold, **facts)
