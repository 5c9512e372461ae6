"""Evaluate: one model on a held-out table, as an MLflow run."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from .. import packaging, tracking
from ..corpus.prepare import Source
from ..error_counts import scoring_forms
from ..files import write_text
from ..hallucination import explain, flags
from ..tables import csv_of
from ..text import SCORE_NORMALIZER
from . import confusions, orthography, report, slices
from .calibration import Bin, calibration
from .confusions import Confusion
from .scored_models import language_of, open_model
from .significance import ratio_interval
from .slices import SliceScore
from .transcribe import Transcription, transcribe

WORST = 50  # utterances in worst_utterances.csv
TOP = 100  # confusions in the scores; confusions.csv has all


@dataclass(frozen=True, kw_only=True)
class Scores:
    """The result of an evaluation. Rates are fractions; None where nothing carries what they measure, such as a reference word."""

    model: str
    run_id: str
    held_out_digest: str
    utterances: int
    words: int
    speakers: int  # 0 where none is known
    wer: float | None
    wer_low: float | None  # of the 95 % interval, clustered by speaker, by utterance where none is known
    wer_high: float | None
    cer: float | None
    mer: float | None
    wil: float | None
    substitutions: int
    insertions: int
    deletions: int
    sentence_error_rate: float | None
    silences: int  # utterances without a reference word
    silence_false_alarm_rate: float | None  # share of them in which words were heard
    casing_error_rate: float | None
    punctuation_error_rate: float | None
    calibration_error: float | None  # expected calibration error of the confidence
    calibration_error_scaled: float | None  # after a temperature fitted on other speakers
    temperature: float | None
    reliability: tuple[Bin, ...]  # confidence against accuracy
    hallucinated: int  # utterances with a flag, see hallucination.flags
    rtfx: float | None
    audio_seconds: float
    hardware: str
    failed: int
    trained_on: int  # held-out utterances whose audio the model was trained on
    insertion_share: float  # of the errors
    repeated_share: float  # of the utterances: hypotheses that repeat themselves
    length_ratio: float | None  # words written per word said
    oddities: tuple[str, ...]  # why the WER is above 100 %, or what else is off, in sentences
    slices: tuple[SliceScore, ...]
    confusions: tuple[Confusion, ...]  # the most frequent ones
    normalizer: str = SCORE_NORMALIZER


def evaluate(spec: str, source: Source, out: Path | None = None, parent: str | None = None) -> Scores:
    """Score model `spec` on every row of `source`; tables go to the run and, if given, to the folder `out`."""
    held_out = source.rows(siblings=False)
    client = tracking.connect()
    model = open_model(client, spec)
    with tracking.run("evaluate", f"evaluate {spec[:24]}", client, parent=parent) as run:
        run.params({"asrx.model": spec, "asrx.csv": source.path, "asrx.normalizer": SCORE_NORMALIZER})
        result = transcribe(model.recognizer, held_out, "transcribe")
        leaked = sum(packaging.was_trained_on(item.audio_digest, model.trained_on) for item in result.heard)
        rows, errors = utterance_rows(result), confusions.count([item.row.text for item in result.heard], [item.hypothesis for item in result.heard])
        scores = summarize(spec, run.id, result, leaked, rows, errors)
        run.dataset(Path(source.path).stem, result.digest, source.path, {"utterances": len(held_out)}, "evaluation")
        run.metrics({key: value for key, value in scores.__dict__.items() if isinstance(value, (int, float))})
        page = report.evaluation_page(result, scores, scores.slices, errors, language_of(str(model.folder)))
        for name, content in {**tables(scores, rows, errors), report.PAGE: page}.items():
            run.text(name, content)
            if out:
                write_text(out / name, content)
        report.log_tables(run, rows)
        run.note(headline(scores))
    return scores


def summarize(
    name: str, run_id: str, result: Transcription, leaked: int, rows: Sequence[dict[str, Any]], errors: Sequence[Confusion]
) -> Scores:
    """Figures of a transcription, of which `leaked` recordings were trained on; `rows` of `utterance_rows`, `errors` of `confusions.count`."""
    references, hypotheses = [item.row.text for item in result.heard], [item.hypothesis for item in result.heard]
    total, found = result.total, explain(references, hypotheses, total=result.total)
    speakers = {item.row.speaker for item in result.heard if item.row.speaker}
    clusters = [item.row.speaker if speakers else item.row.id for item in result.heard]
    interval = ratio_interval([item.errors for item in result.counts], [item.words for item in result.counts], clusters)
    written = orthography.rates(references, hypotheses)
    confidence = calibration(result.heard, result.counts)
    return Scores(
        model=name, run_id=run_id, held_out_digest=result.digest, utterances=total.utterances, words=total.words, speakers=len(speakers),
        wer=total.wer, wer_low=interval and interval.low, wer_high=interval and interval.high, cer=total.cer, mer=total.mer, wil=total.wil,
        substitutions=total.substitutions, insertions=total.insertions, deletions=total.deletions, sentence_error_rate=total.sentence_error_rate,
        silences=total.silences, silence_false_alarm_rate=total.silence_false_alarm_rate,
        casing_error_rate=written.casing_error_rate, punctuation_error_rate=written.punctuation_error_rate,
        calibration_error=confidence and confidence.error, calibration_error_scaled=confidence and confidence.error_scaled,
        temperature=confidence and confidence.temperature, reliability=confidence.bins if confidence else (),
        hallucinated=sum(bool(row["flags"]) for row in rows), rtfx=result.rtfx, audio_seconds=round(result.audio_seconds, 3),
        hardware=result.hardware, failed=len(result.failed), trained_on=leaked, insertion_share=found.insertion_share,
        repeated_share=found.repeated_share, length_ratio=found.length_ratio, oddities=tuple(found.sentences()),
        slices=slices.score(result), confusions=tuple(errors[:TOP]),
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


def tables(scores: Scores, rows: Sequence[dict[str, Any]], errors: Sequence[Confusion]) -> dict[str, str]:
    """Files by name: every utterance, the worst ones, slices, confusions, the scores."""
    worst = sorted(rows, key=lambda row: (-row["errors"], -row["errors"] / max(1, row["words"]), row["id"]))[:WORST]
    return {
        "utterances.csv": csv_of(rows),
        "worst_utterances.csv": csv_of([row for row in worst if row["errors"] or row["error"]], list(rows[0])),
        "slices.csv": csv_of([asdict(row) for row in scores.slices], list(SliceScore.__dataclass_fields__)),
        "confusions.csv": csv_of([asdict(row) for row in errors], list(Confusion.__dataclass_fields__)),
        "scores.json": json.dumps(asdict(scores), indent=2, ensure_ascii=False) + "\n",
    }


def utterance_rows(result: Transcription) -> list[dict[str, Any]]:
    """One row per utterance, for tables: what the held-out table says of it comes last, under its own names where those are free."""
    forms = zip(*(scoring_forms(texts) for texts in zip(*((item.row.text, item.hypothesis) for item in result.heard))))
    rows = [
        {
            "id": item.row.id, "speaker": item.row.speaker, "reference": item.row.text, "hypothesis": item.hypothesis, "words": counts.words,
            "errors": counts.errors, "substitutions": counts.substitutions, "insertions": counts.insertions, "deletions": counts.deletions,
            "hits": counts.hits, "characters": counts.characters, "character_errors": counts.character_errors, "flags": ", ".join(flags(*form)),
            "confidence": round(item.confidence, 4), "seconds": round(item.seconds, 3), "snr": None if item.snr is None else round(item.snr, 1),
            "error": item.error,
        }
        for item, counts, form in zip(result.heard, result.counts, forms, strict=True)
    ]  # fmt: skip
    return with_slices(rows, result)


def with_slices(rows: Sequence[dict[str, Any]], result: Transcription) -> list[dict[str, Any]]:
    """The rows, one per utterance, with the columns that came with the held-out table at the end; one whose name is taken is `NAME (table)`."""
    names = {name: f"{name} (table)" if name in rows[0] else name for item in result.heard for name in item.row.slices}
    return [{**row, **{names[name]: item.row.slices.get(name, "") for name in names}} for row, item in zip(rows, result.heard)]
