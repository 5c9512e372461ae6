"""Evaluate: one model on a held-out table, as an MLflow run."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import packaging, tracking
from ..corpus.prepare import Source
from ..files import write_text
from ..hallucination import explain
from ..tables import csv_of
from ..text import SCORE_NORMALIZER
from .scored_models import open_model
from .transcribe import Transcription, transcribe

WORST = 50  # utterances in worst_utterances.csv


@dataclass(frozen=True)
class Scores:
    """The result of an evaluation. Rates are fractions; None where there is no reference word."""

    model: str
    run_id: str
    held_out_digest: str
    utterances: int
    words: int
    wer: float | None
    cer: float | None
    substitutions: int
    insertions: int
    deletions: int
    sentence_error_rate: float | None
    rtfx: float | None
    audio_seconds: float
    hardware: str
    failed: int
    trained_on: int  # held-out utterances whose audio the model was trained on
    insertion_share: float  # of the errors
    repeated_share: float  # of the utterances: hypotheses that repeat themselves
    length_ratio: float | None  # words written per word said
    oddities: tuple[str, ...]  # why the WER is above 100 %, or what else is off, in sentences
    normalizer: str = SCORE_NORMALIZER


def evaluate(spec: str, source: Source, out: Path | None = None, parent: str | None = None) -> Scores:
    """Score model `spec` on every row of `source`; tables go to the run and, if given, to the folder `out`."""
    rows = source.rows(siblings=False)
    client = tracking.connect()
    model = open_model(client, spec)
    with tracking.run("evaluate", f"evaluate {spec[:24]}", client, parent=parent) as run:
        run.params({"asrx.model": spec, "asrx.csv": source.path, "asrx.normalizer": SCORE_NORMALIZER})
        result = transcribe(model.recognizer, rows, "transcribe")
        leaked = sum(packaging.was_trained_on(item.audio_digest, model.trained_on) for item in result.heard)
        scores = summarize(spec, run.id, result, leaked)
        run.dataset(Path(source.path).stem, result.digest, source.path, {"utterances": len(rows)}, "evaluation")
        run.metrics({key: value for key, value in scores.__dict__.items() if isinstance(value, (int, float))})
        for name, content in tables(result, scores).items():
            run.text(name, content)
            if out:
                write_text(out / name, content)
        run.note(headline(scores))
    return scores


def summarize(name: str, run_id: str, result: Transcription, leaked: int) -> Scores:
    """Figures of a transcription."""
    total = result.total
    found = explain([item.row.text for item in result.heard], [item.hypothesis for item in result.heard], total=total)
    return Scores(
        name, run_id, result.digest, total.utterances, total.words, total.wer, total.cer, total.substitutions, total.insertions, total.deletions,
        total.sentence_error_rate, result.rtfx, round(result.audio_seconds, 3), result.hardware, len(result.failed), leaked,
        found.insertion_share, found.repeated_share, found.length_ratio, tuple(found.sentences()),
    )  # fmt: skip


def headline(scores: Scores) -> str:
    """The result in a sentence."""
    if scores.wer is None:
        return f"{scores.utterances} utterances without a reference word: no WER; {scores.insertions} words were inserted."
    text = f"WER {scores.wer:.2%}, CER {scores.cer:.2%} on {scores.utterances:,} utterances, {scores.words:,} words."
    if scores.failed:
        text += f" {scores.failed} recordings could not be used and count as silence."
    if scores.trained_on:
        text += f" The model was trained on {scores.trained_on} of these recordings: the figures are too good."
    return " ".join([text, *scores.oddities])


def tables(result: Transcription, scores: Scores) -> dict[str, str]:
    """Files by name: every utterance, the worst ones, the scores."""
    rows = utterance_rows(result)
    worst = sorted(rows, key=lambda row: (-row["errors"], -row["errors"] / max(1, row["words"]), row["id"]))[:WORST]
    return {
        "utterances.csv": csv_of(rows),
        "worst_utterances.csv": csv_of([row for row in worst if row["errors"] or row["error"]], list(rows[0])),
        "scores.json": json.dumps(scores.__dict__, indent=2, ensure_ascii=False) + "\n",
    }


def utterance_rows(result: Transcription) -> list[dict[str, Any]]:
    """One row per utterance, for tables."""
    return [
        {
            "id": item.row.id, "speaker": item.row.speaker, "reference": item.row.text, "hypothesis": item.hypothesis, "words": counts.words,
            "errors": counts.errors, "substitutions": counts.substitutions, "insertions": counts.insertions, "deletions": counts.deletions,
            "character_errors": counts.character_errors, "characters": counts.characters, "confidence": round(item.confidence, 4),
            "seconds": round(item.seconds, 3), "error": item.error,
        }
        for item, counts in zip(result.heard, result.counts, strict=True)
    ]  # fmt: skip
