"""What a comparison was based on, in its MLflow run: figures, page, tables."""

import json
from dataclasses import asdict
from typing import Any

from .. import tracking
from ..scoring import report
from ..scoring.transcribe import Transcription
from ..tables import csv_of
from .decision import Decision
from .plot import plot_comparison
from .verdict import Verdict

DECISION_FILE, PAGE = "decision.json", "report.html"


def record(run: tracking.Run, decision: Decision, verdict: Verdict, new: Transcription, old: Transcription | None, source: str, language: str | None) -> None:
    """Log a decision with its evidence. `source`: the held-out table's path; `language`: of its transcripts."""
    run.metrics(_metrics(decision, verdict, new, old))
    if old:
        picture = run.folder / "comparison.png"
        plot_comparison(decision, picture)
        run.artifact(picture)
    profile = {"utterances": decision.utterances, "words": decision.words}
    run.dataset("held-out", decision.held_out_digest, source, profile, "evaluation")
    run.text(DECISION_FILE, json.dumps(asdict(decision), indent=2, ensure_ascii=False) + "\n")
    rows = side_by_side(new, old)
    run.text("utterances.csv", csv_of(rows))
    report.log_tables(run, rows)
    run.text(PAGE, report.comparison_page(verdict, new, old, _facts(decision, run, source, language)))
    run.tags({"asrx.decision": decision.outcome})
    run.note(f"**{decision.outcome}**: {decision.reason}")


def side_by_side(new: Transcription, old: Transcription | None) -> list[dict[str, Any]]:
    """One row per utterance with both sides' hypotheses and errors, for tables; columns of slices at the end."""
    names = list(dict.fromkeys(name for item in new.heard for name in item.row.slices))
    rows = []
    for index, item in enumerate(new.heard):
        row = {"id": item.row.id, "speaker": item.row.speaker, "reference": item.row.text}
        row |= {"candidate": item.hypothesis, "candidate_errors": new.counts[index].errors}
        if old:
            row |= {"baseline": old.heard[index].hypothesis, "baseline_errors": old.counts[index].errors}
        row |= {"words": new.counts[index].words, "seconds": round(item.seconds, 3), "snr": item.snr, "error": item.error}
        rows.append({**{name: item.row.slices.get(name, "") for name in names}, **row})
    return rows


def _metrics(decision: Decision, verdict: Verdict, new: Transcription, old: Transcription | None) -> dict[str, float | None]:
    values = {"difference": decision.difference, "difference/low": decision.low, "difference/high": decision.high}
    values |= {"candidate/wer": decision.candidate_wer, "candidate/cer": new.total.cer, "candidate/rtfx": new.rtfx}
    if old:
        values |= {"baseline/wer": decision.baseline_wer, "baseline/cer": old.total.cer, "baseline/rtfx": old.rtfx}
    if verdict.bootstrap:
        values["probability_better"] = verdict.bootstrap.better
    if verdict.speed:
        values["speed_ratio"] = verdict.speed.ratio
    return values


def _facts(decision: Decision, run: tracking.Run, source: str, language: str | None) -> dict[str, Any]:
    return {
        "name": decision.name, "candidate": decision.candidate, "baseline": decision.baseline, "language": language,
        "Held-out table": source, "Held-out digest": decision.held_out_digest[:16], "Normaliser": decision.normalizer, "Run": run.id,
    }  # fmt: skip
