"""The pages of an evaluation and a comparison, which need nothing but themselves, and the tables of utterances beside them."""

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

from .. import tracking
from ..pages import number, per_cent, points, render
from . import listening
from .charts import Axis, axis_of
from .confusions import Confusion
from .listening import BETTER, ODD, RIGHT, SAME, UNUSABLE, WORSE, WRONG, Shown
from .slices import SliceScore
from .transcribe import Transcription

if TYPE_CHECKING:
    from .evaluate import Scores

PAGE = "report.html"
TABLE, BROWSED = "utterances.parquet", "utterances.json"
BROWSED_ROWS = 10_000  # that MLflow's page still shows
SLICES = 200  # on a page
CONFUSIONS = 12  # of each kind on a page
FEW_SPEAKERS = 5  # whose interval says little
CONFUSED = {"substitution": "Taken for another", "deletion": "Not heard", "insertion": "Heard and not said"}
KINDS = {
    WORSE: "got worse", BETTER: "got better", SAME: "as many errors as before", WRONG: "with errors", RIGHT: "without errors",
    ODD: "that look invented", UNUSABLE: "whose audio cannot be used",
}  # fmt: skip
SPECIAL = ("name", "candidate", "baseline", "language")  # facts that are not listed


def evaluation_page(
    result: Transcription, scores: "Scores", slices: Sequence[SliceScore], confusions: Sequence[Confusion], language: str | None = None
) -> str:
    """A self-contained HTML page about one model on a held-out set. `language`: of the transcripts (BCP 47)."""
    shown = listening.worst(result)
    listed = [item for item in slices if item.words][:SLICES]
    return render(
        "evaluation.html", scores=scores, total=result.total, tiles=_scored(scores), warnings=_warnings(scores), confusions=_confused(confusions),
        slices=_grouped(listed), slices_left_out=len(slices) - len(listed), axis=_wer_axis(listed, scores), few=FEW_SPEAKERS, is_small=_is_small,
        unit=_unit(result), most_words=max((item.words for item in scores.reliability), default=1), shown=shown, kinds=_kinds(shown),
        limits=_limits(shown, len(result.heard), "with most errors"), language=language or "",
        about=[("Held-out set", scores.held_out_digest), ("Normaliser", scores.normalizer), ("Hardware", scores.hardware), ("Run", scores.run_id)],
    )  # fmt: skip


def comparison_page(verdict: Any, new: Transcription, old: Transcription | None, facts: Mapping[str, Any]) -> str:
    """A self-contained HTML page about a decision.

    `verdict`: the gate's; `new` and `old`: what candidate and baseline heard, matched; no baseline for a first champion. `facts`: `name`
    of the registered model, `candidate` and `baseline` (versions), `language` of the transcripts (BCP 47); all others are listed by their names.
    """
    sides = {"candidate": new} if old is None else {"baseline": old, "candidate": new}
    shown = listening.worst(new) if old is None else listening.most_changed(new, old)
    listed = sorted(verdict.slices, key=lambda item: (not item.worse, not item.powered))[:SLICES]
    which = "with most errors" if old is None else "whose errors changed most"
    return render(
        "comparison.html", verdict=verdict, name=facts["name"], candidate=facts["candidate"], headline=_headline(verdict.outcome, facts, old is None),
        tiles=_compared(verdict, new, old), axis=_difference_axis(verdict), unit=_unit(new),
        slices=_grouped([item for item in verdict.slices if item in listed]), slices_left_out=len(verdict.slices) - len(listed),
        slice_axis=_slice_axis(listed, verdict), evidence=_evidence(verdict, _unit(new)), totals=[(name, side.total) for name, side in sides.items()],
        systems=list(sides), shown=shown, kinds=_kinds(shown), limits=_limits(shown, len(new.heard), which), language=facts.get("language") or "",
        about=[*((key, value) for key, value in facts.items() if key not in SPECIAL), ("Hardware", new.hardware)],
    )  # fmt: skip


def log_tables(run: tracking.Run, rows: Sequence[Mapping[str, Any]]) -> None:
    """Log one row per utterance: utterances.parquet has all, utterances.json the first 10,000 as a table that MLflow's pages show."""
    import pandas

    frame = pandas.DataFrame(list(rows))
    frame.to_parquet(run.folder / TABLE, index=False)
    run.artifact(run.folder / TABLE)
    run.table(BROWSED, frame.head(BROWSED_ROWS))


def _headline(outcome: str, facts: Mapping[str, Any], first: bool) -> str:
    model, better = f"version {facts['candidate']} of {facts['name']}", "good enough to begin with" if first else f"better than version {facts['baseline']}"
    known = {
        "promote": f"V{model[1:]} is {better}" if first else f"V{model[1:]} is measurably {better}",
        "keep": f"V{model[1:]} is not {better}" if first else f"V{model[1:]} does not replace version {facts['baseline']}",
    }
    return known.get(outcome, f"Whether {model} is {better} is not settled")


def _scored(scores: "Scores") -> list[tuple[str, str, str]]:
    interval = "too few for an interval" if scores.wer_low is None else f"{per_cent(scores.wer_low)} to {per_cent(scores.wer_high)}"
    speakers = f"{number(scores.speakers)} speakers" if scores.speakers else "speakers not known"
    size = f"{number(scores.words)} words, {number(scores.audio_seconds / 60, 1)} min, {speakers}"
    tiles = [
        ("WER", per_cent(scores.wer), interval), ("CER", per_cent(scores.cer), "of the characters"),
        ("Sentence errors", per_cent(scores.sentence_error_rate), "utterances with any error"),
        ("Speed", f"{number(scores.rtfx, 1)}\u00a0×", f"real time; {scores.hardware}"), ("Utterances", number(scores.utterances), size),
    ]  # fmt: skip
    optional = [
        ("Casing errors", scores.casing_error_rate, "of the right words"), ("Punctuation errors", scores.punctuation_error_rate, "of the marks"),
        ("False alarms", scores.silence_false_alarm_rate, f"words heard in {number(scores.silences)} silent utterances"),
    ]  # fmt: skip
    return tiles + [(label, per_cent(rate), detail) for label, rate, detail in optional if rate is not None]


def _warnings(scores: "Scores") -> list[str]:
    counted = [
        (scores.failed, "recordings could not be used and count as silence."),
        (scores.trained_on, "of these recordings are among those that the model was trained on: the figures are too good."),
        (scores.hallucinated, "hypotheses look invented rather than misheard: they repeat themselves, are far too long, or say words where nothing was said."),
    ]
    return [*(f"{number(count)} {what}" for count, what in counted if count), *scores.oddities]


def _compared(verdict: Any, new: Transcription, old: Transcription | None) -> list[tuple[str, str, str]]:
    tiles = [("Candidate", per_cent(new.total.wer), "WER")]
    if old is not None:
        tiles.insert(0, ("Baseline", per_cent(old.total.wer), "WER"))
    if found := verdict.difference:
        relative = f"{points(found.difference / old.total.wer)}\u00a0% relative" if old and old.total.wer else "points of WER"
        tiles.append(("Difference", points(found.difference), relative))
    if verdict.bootstrap:
        tiles.append(("P(better)", per_cent(verdict.bootstrap.better, 1), f"by resampling {_unit(new)}"))
    speakers = len({item.row.speaker for item in new.heard if item.row.speaker})
    size = f"{number(new.total.words)} words" + (f", {number(speakers)} speakers" if speakers else "")
    return [*tiles, ("Utterances", number(len(new.heard)), size)]


def _evidence(verdict: Any, unit: str) -> list[tuple[str, str, str]]:
    rows = []
    if (found := verdict.difference) and found.low is not None:
        error = f"standard error {100 * found.standard_error:.2f}, over {number(found.clusters)} {unit}"
        rows.append(("Difference", f"{points(found.low)} to {points(found.high)} points", error))
    if again := verdict.bootstrap:
        rows.append(("Resampled", f"{points(again.low)} to {points(again.high)} points", f"candidate better in {per_cent(again.better, 1)} of the resamples"))
    if (pairs := verdict.mapsswe) and pairs.z is not None:
        rows.append(("MAPSSWE", f"z = {number(pairs.z, 2)}, p {_p(pairs.p)}", f"{number(pairs.segments)} segments; a positive z is for the candidate"))
    if verdict.mcnemar is not None:
        rows.append(("McNemar", f"p {_p(verdict.mcnemar)}", "utterances with and without an error"))
    if speed := verdict.speed:
        both = f"RTFx {number(speed.candidate_rtfx, 1)} against {number(speed.baseline_rtfx, 1)}, {speed.rounds} rounds of {number(speed.seconds)} s"
        rows.append(("Speed", f"{number(speed.ratio, 2)} × the baseline's", f"at most {number(speed.upper, 2)} ×; {both}"))
    rows.append(("Leakage", *_leakage(verdict.leaks)))
    if needed := verdict.needed:
        size = f"{number(needed.speakers)} speakers, " if needed.speakers else ""
        told = f"to tell {100 * needed.effect:.2f} points; this set tells {100 * needed.detectable:.2f}"
        rows.append(("Would settle it", f"about {size}{number(needed.utterances)} utterances", told))
    return rows


def _leakage(leaks: Any) -> tuple[str, str]:
    heard = [f"{number(len(ids))} by the {side}" for side, ids in (("candidate", leaks.candidate), ("baseline", leaks.baseline)) if ids]
    shared = [(leaks.shared_speakers, "speakers"), (leaks.shared_sentences, "sentences")]
    known = [f"{number(count)} {what}" for count, what in shared if count is not None]
    detail = f"shared with the candidate's training data: {', '.join(known)}" if known else ""
    return f"held-out recordings trained on: {' and '.join(heard) or 'none'}", detail


def _p(value: float) -> str:
    return "< 0.0001" if value < 0.0001 else f"= {value:.2g}"


def _unit(result: Transcription) -> str:
    return "speakers" if any(item.row.speaker for item in result.heard) else "utterances"


def _grouped(slices: Sequence[Any]) -> list[tuple[str, list[Any]]]:
    return [(column, list(members)) for column, members in groupby(slices, key=lambda item: item.column)]


def _confused(confusions: Sequence[Confusion]) -> list[tuple[str, list[Confusion], int]]:
    """Heading, the most frequent of a kind, and how many more there are."""
    kinds = [(label, [item for item in confusions if item.kind == kind]) for kind, label in CONFUSED.items()]
    return [(label, members[:CONFUSIONS], max(0, len(members) - CONFUSIONS)) for label, members in kinds if members]


def _difference_axis(verdict: Any) -> Axis | None:
    found = verdict.difference
    if found is None:
        return None
    ends = [0.0, found.difference, -(verdict.worth or 0.0)]
    for interval in (found, verdict.bootstrap):
        ends += [interval.low, interval.high] if interval and interval.low is not None else []
    return Axis.over(ends)


def _slice_axis(slices: Sequence[Any], verdict: Any) -> Axis | None:
    if not slices:
        return None
    trusted, others = [0.0, verdict.difference.difference], []
    for item in slices:
        spread = 0.0 if item.upper is None else item.upper - item.difference
        (trusted if item.powered else others).extend((item.difference - spread, item.difference + spread))
        trusted.append(item.margin)
    return axis_of(trusted, others)


def _is_small(item: SliceScore) -> bool:
    """Utterances stand for speakers where none is known."""
    return (item.speakers or item.utterances) < FEW_SPEAKERS


def _wer_axis(slices: Sequence[SliceScore], scores: "Scores") -> Axis | None:
    if scores.wer is None:
        return None
    trusted, others = [0.0, scores.wer], []
    for item in slices:
        ends = (item.wer, item.low, item.high)
        (others if _is_small(item) else trusted).extend(max(0.0, end) for end in ends if end is not None)
    return axis_of(trusted, others)


def _kinds(shown: Sequence[Shown]) -> list[tuple[str, str]]:
    """What the utterances on a page can be filtered by, with how many there are."""
    counts = Counter(kind for row in shown for kind in row.kinds)
    return [(kind, f"{label} ({number(counts[kind])})") for kind, label in KINDS.items() if counts[kind]]


def _limits(shown: Sequence[Shown], count: int, which: str) -> str:
    players = sum(bool(row.sound) for row in shown)
    size = "All utterances" if len(shown) == count else f"The {number(len(shown))} of {number(count)} utterances {which}"
    return f"{size} are here, {number(players)} of them to listen to; {TABLE} has every utterance."
