"""Compare: the candidate against the model in use, and the decision with its evidence."""

import json
import logging
from dataclasses import asdict, dataclass
from typing import Any

from .. import packaging, tracking
from ..config import Gate
from ..corpus.prepare import Source
from ..errors import InputError, RegistryError
from ..scoring.scored_models import ScoredModel, open_model
from ..scoring.significance import PairedDifference, paired_difference
from ..scoring.transcribe import Transcription, transcribe
from ..tables import csv_of
from ..text import SCORE_NORMALIZER
from . import versions
from .versions import BASELINE, CANDIDATE, CHAMPION, PREVIOUS

log = logging.getLogger("asrx")

PROMOTE, KEEP, INCONCLUSIVE = "promote", "keep", "inconclusive"
DECISION_RUN, DECISION_FILE = "asrx.decision_run", "decision.json"  # a version's tag names the run whose artifact has all figures


@dataclass(frozen=True)
class Decision:
    """What was decided about a candidate and what it is based on. WERs and differences are fractions."""

    outcome: str  # promote, keep or inconclusive
    reason: str
    name: str
    candidate: str  # version
    candidate_wer: float | None
    baseline: str | None  # version; None for a first champion without one
    baseline_wer: float | None
    difference: float | None
    low: float | None  # of the interval of the difference
    high: float | None
    confidence: float
    clusters: int
    clustered_by: str  # speaker or utterance
    utterances: int
    words: int
    held_out_digest: str
    normalizer: str
    run_id: str
    champion: str | None  # version, after the decision
    standing: bool = False  # taken before, printed again


@dataclass(frozen=True)
class Contest:
    """Two versions of one registered model; no baseline for a first champion."""

    name: str
    candidate: str
    baseline: str | None
    champion: str | None


def compare(
    name: str, source: Source, gate: Gate, baseline: str | None = None, candidate: str | None = None, first: bool = False, parent: str | None = None
) -> Decision:
    """Score both sides on every row of `source`, decide, and move the alias `champion` if the candidate is better beyond chance.

    `baseline` and `candidate` are aliases or versions (defaults: champion, else baseline; candidate). `first` promotes a lone model
    whose WER is at most `gate.max_wer`. Raises RegistryError for what is not there, and if the champion changed meanwhile.
    """
    client = tracking.connect()
    contest = _contest(client, name, baseline, candidate, first)
    if contest.candidate == contest.baseline:
        tracking.nothing_to_do(client, "compare", f"Version {contest.candidate} of {name} is the champion already.")
        return _standing(client, contest, source)
    rows = source.rows(siblings=False)
    if not rows:
        raise InputError(f"{source.path} holds no utterances")
    with tracking.run("compare", f"compare {name} version {contest.candidate}", client, parent=parent) as run:
        run.params({"asrx.name": name, "asrx.csv": source.path, **{f"config.gate.{key}": value for key, value in asdict(gate).items()}})
        new_model = open_model(client, f"models:/{name}/{contest.candidate}")
        new = transcribe(new_model.recognizer, rows, f"candidate (version {contest.candidate})")
        old_model = open_model(client, f"models:/{name}/{contest.baseline}") if contest.baseline else None
        old = transcribe(old_model.recognizer, rows, f"baseline (version {contest.baseline})") if old_model else None
        decision = _decide(contest, gate, (new_model, new), (old_model, old), run.id)
        _record(run, decision, new, old)
        return _apply(client, contest, decision)


def _contest(client: Any, name: str, baseline: str | None, candidate: str | None, first: bool) -> Contest:
    known = versions.aliases(client, name)
    champion = known.get(CHAMPION)
    if first:
        if champion:
            raise RegistryError(f"{name} has a champion (version {champion}); --first is for a name without one")
        lone = candidate or (CANDIDATE if CANDIDATE in known else BASELINE)
        return Contest(name, versions.version_number(client, name, lone), None, None)
    if candidate is None and CANDIDATE not in known:
        raise RegistryError(f"{name} has no candidate to compare; register a second model, or promote a lone one with --first")
    base = baseline or (CHAMPION if champion else BASELINE)
    if baseline is None and base not in known:
        raise RegistryError(f"{name} has neither champion nor baseline to compare with; register one, or promote a lone model with --first")
    chosen = versions.version_number(client, name, candidate or CANDIDATE)
    against = versions.version_number(client, name, base)
    if chosen == against and chosen != champion:
        raise RegistryError(f"candidate and baseline are both version {chosen} of {name}; name two different ones")
    return Contest(name, chosen, against, champion)


def _standing(client: Any, contest: Contest, source: Source) -> Decision:
    """The decision that made the candidate the champion. RegistryError if none did, or on another held-out set."""
    import mlflow
    from mlflow.exceptions import MlflowException

    champion = f"version {contest.candidate} of {contest.name} is the champion already"
    run_id = client.get_model_version(contest.name, contest.candidate).tags.get(DECISION_RUN)
    try:
        decision = mlflow.artifacts.load_dict(f"runs:/{run_id}/{DECISION_FILE}") if run_id else {}
        held_out = client.get_run(run_id).data.params.get("asrx.csv") if run_id else None
    except MlflowException:
        decision, held_out = {}, None
    if decision.get("outcome") != PROMOTE or held_out != source.path:
        raise RegistryError(f"{champion}: there is nothing to compare it with; register a new candidate, or name --baseline and --candidate")
    return Decision(**{**decision, "standing": True, "champion": contest.champion})


def _decide(
    contest: Contest, gate: Gate, new: tuple[ScoredModel, Transcription], old: tuple[ScoredModel | None, Transcription | None], run_id: str
) -> Decision:
    (new_model, new_heard), (old_model, old_heard) = new, old
    by_speaker = any(item.row.speaker for item in new_heard.heard)
    # Rows without a speaker among others with one count as one more speaker: that widens the interval, never narrows it.
    clusters = [item.row.speaker if by_speaker else item.row.id for item in new_heard.heard]
    found = paired_difference(old_heard.counts, new_heard.counts, clusters, gate.confidence) if old_heard else None
    leak = _leak(contest, new_model, old_model, new_heard)
    if leak:
        outcome, reason = INCONCLUSIVE, leak
    elif old_heard is None:
        outcome, reason = first_outcome(new_heard.total.wer, gate)
    else:
        outcome, reason = paired_outcome(found, old_heard.total.wer, gate, by_speaker)
    promotes = outcome == PROMOTE and contest.champion in (None, contest.baseline, contest.candidate)
    if outcome == PROMOTE and not promotes:
        reason += f"; but the champion, version {contest.champion}, was not compared and stays"
    return Decision(
        outcome, reason, contest.name, contest.candidate, new_heard.total.wer, contest.baseline, old_heard.total.wer if old_heard else None,
        found.difference if found else None, found.low if found else None, found.high if found else None, gate.confidence,
        len(set(clusters)), "speaker" if by_speaker else "utterance", new_heard.total.utterances, new_heard.total.words, new_heard.digest,
        SCORE_NORMALIZER, run_id, contest.candidate if promotes else contest.champion,
    )  # fmt: skip


def first_outcome(wer: float | None, gate: Gate) -> tuple[str, str]:
    """A lone model: is it good enough to start with?"""
    if wer is None:
        return INCONCLUSIVE, "the held-out set has no reference word"
    if wer <= gate.max_wer:
        return PROMOTE, f"WER {wer:.2%} is within the ceiling of {gate.max_wer:.2%} for a first champion"
    return KEEP, f"WER {wer:.2%} is above the ceiling of {gate.max_wer:.2%} for a first champion (gate.max_wer)"


def paired_outcome(found: PairedDifference | None, baseline_wer: float | None, gate: Gate, by_speaker: bool) -> tuple[str, str]:
    """promote: better beyond chance by at least what is worth having; keep: that is excluded; inconclusive: neither is shown."""
    if found is None or baseline_wer is None:
        return INCONCLUSIVE, "the held-out set has no reference word"
    unit = "speakers" if by_speaker else "utterances (speakers are not known, so the interval is optimistic)"
    if found.clusters < gate.min_speakers or found.high is None:
        return INCONCLUSIVE, f"{found.clusters} {unit} are too few to decide; gate.min_speakers={gate.min_speakers}"
    worth = max(gate.min_gain, gate.min_gain_relative * baseline_wer)
    interval = f"{100 * found.low:+.2f} to {100 * found.high:+.2f} points over {found.clusters} {unit}"
    if found.is_improvement and found.difference <= -worth:
        return PROMOTE, f"better beyond chance: {interval}"
    if found.low > -worth:
        return KEEP, f"an improvement worth having ({100 * worth:.2f} points) is excluded: {interval}"
    if found.is_improvement:
        return INCONCLUSIVE, f"better beyond chance, but by less than what is worth having ({100 * worth:.2f} points): {interval}"
    return INCONCLUSIVE, f"no improvement is proven: {interval}; a larger held-out set could tell"


def _leak(contest: Contest, new: ScoredModel, old: ScoredModel | None, heard: Transcription) -> str | None:
    """Held-out audio that a side was trained on makes the comparison worthless."""
    for side, model in (("candidate", new), ("baseline", old)):
        known = model.trained_on if model else set()
        seen = [item.row.id for item in heard.heard if packaging.was_trained_on(item.audio_digest, known)]
        if seen:
            share = f"{len(seen)} of the {len(heard.heard)} held-out recordings (the first: {seen[0]})"
            return f"the {side} was trained on {share}; use recordings that it has not heard"
    return None


def _record(run: tracking.Run, decision: Decision, new: Transcription, old: Transcription | None) -> None:
    values = {"difference": decision.difference, "difference/low": decision.low, "difference/high": decision.high}
    values |= {"candidate/wer": decision.candidate_wer, "candidate/cer": new.total.cer, "candidate/rtfx": new.rtfx}
    if old:
        values |= {"baseline/wer": decision.baseline_wer, "baseline/cer": old.total.cer, "baseline/rtfx": old.rtfx}
        from .plot import plot_comparison

        picture = run.folder / "comparison.png"
        plot_comparison(decision, picture)
        run.artifact(picture)
    run.metrics(values)
    profile = {"utterances": decision.utterances, "words": decision.words}
    run.dataset("held-out", decision.held_out_digest, run.client.get_run(run.id).data.params["asrx.csv"], profile, "evaluation")
    run.text(DECISION_FILE, json.dumps(asdict(decision), indent=2, ensure_ascii=False) + "\n")
    run.text("utterances.csv", csv_of(_side_by_side(new, old)))
    run.tags({"asrx.decision": decision.outcome})
    run.note(f"**{decision.outcome}**: {decision.reason}")


def _side_by_side(new: Transcription, old: Transcription | None) -> list[dict[str, Any]]:
    rows = []
    for index, item in enumerate(new.heard):
        row = {"id": item.row.id, "speaker": item.row.speaker, "reference": item.row.text}
        row |= {"candidate": item.hypothesis, "candidate_errors": new.counts[index].errors}
        if old:
            row |= {"baseline": old.heard[index].hypothesis, "baseline_errors": old.counts[index].errors}
        rows.append({**row, "words": new.counts[index].words, "seconds": round(item.seconds, 3), "error": item.error})
    return rows


def _apply(client: Any, contest: Contest, decision: Decision) -> Decision:
    """Tag the version with the evidence; move the alias if the decision says so."""
    if decision.outcome == PROMOTE:
        now = versions.aliases(client, contest.name).get(CHAMPION)
        if now != contest.champion:
            change = f"version {contest.champion} → {now}"
            raise RegistryError(f"the champion of {contest.name} changed while this compare ran ({change}); nothing was promoted, compare again")
    wer = "none" if decision.candidate_wer is None else f"{decision.candidate_wer:.2%}"
    tags = {DECISION_RUN: decision.run_id, "asrx.outcome": decision.outcome, "asrx.held_out_wer": wer, "asrx.held_out_digest": decision.held_out_digest}
    if decision.low is not None:
        tags["asrx.interval"] = f"{100 * decision.low:+.2f} to {100 * decision.high:+.2f} points against version {decision.baseline}"
    for key, value in tags.items():
        client.set_model_version_tag(contest.name, contest.candidate, key, value)
    description = f"{decision.outcome.capitalize()}: {decision.reason}. WER {wer} on {decision.utterances:,} held-out utterances."
    client.update_model_version(contest.name, contest.candidate, description)
    if decision.champion == contest.candidate != contest.champion:
        if contest.champion:
            client.set_registered_model_alias(contest.name, PREVIOUS, contest.champion)
        client.set_registered_model_alias(contest.name, CHAMPION, contest.candidate)
    return decision
