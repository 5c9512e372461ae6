"""What a comparison was based on, in its MLflow run: figures, page, tables."""

import json
from dataclasses import asdict
from typing import Any

from .. import tracking
from ..errors import RegistryError
from ..scoring import report
from ..scoring.evaluate import with_slices
from ..scoring.transcribe import Transcription
from ..tables import csv_of
from .decision import Decision
from .plot import plot_comparison
from .verdict import Verdict

DECISION_FILE, OUTCOME = "decision.json", "asrx.decision"


def record(run: tracking.Run, decision: Decision, verdict: Verdict, new: Transcription, old: Transcription | None, source: str, language: str | None) -> None:
    """Log a decision with its evidence. `source`: the held-out table's path; `language`: of its transcripts."""
    run.metrics(_metrics(decision, verdict, new, old))
    if old:
        picture = run.folder / "comparison.png"
        plot_comparison(decision, picture)
        run.artifact(picture)
    profile = {"utterances": decision.utterances, "words": decision.words}
    run.dataset("held-out", decision.held_out_digest, source, profile, "evaluation")
    rows = side_by_side(new, old)
    run.text("utterances.csv", csv_of(rows))
    report.log_tables(run, rows)
    run.text(report.PAGE, report.comparison_page(verdict, new, old, _facts(decision, run, source, language)))
    decided(run, decision)


def decided(run: tracking.Run, decision: Decision) -> None:
    """Log a decision; again when it is in the ledger."""
    run.text(DECISION_FILE, json.dumps(asdict(decision), indent=2, ensure_ascii=False) + "\n")
    run.tags({OUTCOME: decision.outcome})
    run.note(f"**{decision.outcome}**: {decision.reason}")


def refused(run: tracking.Run, error: RegistryError) -> None:
    """The decision did not count."""
    run.tags({OUTCOME: "refused"})
    run.note(f"**refused**: {error}")


def side_by_side(new: Transcription, old: Transcription | None) -> list[dict[str, Any]]:
    """One row per utterance with both sides' hypotheses and errors, for tables."""
    rows = []
    for index, item in enumerate(new.heard):
        row = {"id": item.row.id, "speaker": item.row.speaker, "reference": item.row.text}
        row |= {"candidate": item.hypothesis, "candidate_errors": new.counts[index].errors}
        if old:
            row |= {"baseline": old.heard[index].hypothesis, "baseline_errors": old.counts[index].errors}
        row |= {"words": new.counts[index].words, "seconds": round(item.seconds, 3), "snr": None if item.snr is None else round(item.snr, 1)}
        rows.append({**row, "error": item.error})
    return with_slices(rows, new)


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
