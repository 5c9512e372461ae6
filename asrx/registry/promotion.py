"""Compare: the candidate against the model in use, and the decision with its evidence."""

import json
import logging
import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from .. import packaging, tracking
from ..config import Gate
from ..corpus.prepare import Source
from ..errors import InputError, RegistryError
from ..ledger import DecisionRow, Ledger, Transcripts
from ..scoring import pairs, slices, speed
from ..scoring.clips import Clip, held_out_digest, listen, open_clip
from ..scoring.decoding import Decoding
from ..scoring.scored_models import ScoredModel, open_model
from ..scoring.significance import mapsswe
from ..scoring.transcribe import Transcription, transcribe
from ..text import SCORE_NORMALIZER
from . import evidence, gate, leaks, settling
from .aliases import BASELINE, CANDIDATE, CHAMPION, PREVIOUS, aliases, made_at, version_number
from .decision import COMPARE, FIRST, ROLLBACK, Decision
from .verdict import Verdict

log = logging.getLogger("asrx")


@dataclass(frozen=True)
class Contest:
    """Two versions of one registered model, and where things stood when they were chosen; no baseline for a first champion."""

    name: str
    candidate: str
    baseline: str | None
    champion: str | None
    previous: str | None
    sequence: int  # of the last decision


@dataclass(frozen=True)
class Side:
    """A model of a contest and what it heard."""

    model: ScoredModel
    decoding: Decoding
    result: Transcription


def compare(
    name: str,
    source: Source,
    options: Gate,
    baseline: str | None = None,
    candidate: str | None = None,
    first: bool = False,
    dry_run: bool = False,
    parent: str | None = None,
) -> Decision:
    """Score both sides on every row of `source`, decide, and move the alias `champion` if the candidate is better beyond chance.

    `baseline` and `candidate` are aliases or versions (defaults: champion, else baseline; candidate). `first` promotes a lone model
    whose WER is at most `gate.max_wer`. `dry_run`: nothing is recorded in the ledger or the registry. What was decided before on the same
    evidence and thresholds stands, and nothing is done. Raises RegistryError for what is not there, and if the champion changed meanwhile.
    """
    client, ledger = tracking.connect(), Ledger.open()
    settling.settle(client, ledger, name)
    contest = _contest(client, ledger, name, baseline, candidate, first)
    rows = source.rows(siblings=False)
    if not rows:
        raise InputError(f"{source.path} holds no utterances")
    clips = listen(rows)
    if all(clip.error for clip in clips):
        first = f"{clips[0].row.id}: {clips[0].error}"
        raise InputError(f"none of the {len(clips):,} recordings of {source.path} can be used (the first one, {first}); see --audio-dir and --audio-column")
    digest = held_out_digest(clips)
    if standing := _standing(client, ledger, contest, digest, options):
        tracking.nothing_to_do(client, "compare", f"Decision {standing.sequence} about {name} stands.")
        return standing
    if contest.candidate == contest.baseline or (contest.baseline is None and contest.champion):
        champion = f"version {contest.candidate} of {name} is the champion already"
        raise RegistryError(f"{champion}: there is nothing to compare it with; register a new candidate, or name --baseline and --candidate")
    with tracking.run("compare", f"compare {name} version {contest.candidate}", client, parent=parent) as run:
        run.params({"asrx.name": name, "asrx.csv": source.path, **{f"config.gate.{key}": value for key, value in asdict(options).items()}})
        new = _side(client, ledger, name, contest.candidate, clips, "candidate", dry_run)
        old = _side(client, ledger, name, contest.baseline, clips, "baseline", dry_run) if contest.baseline else None
        new, old = _matched(new, old, digest)
        verdict = _verdict(client, contest, new, old, options)
        verdict = replace(verdict, notes=(*_notes(new.result), *verdict.notes))
        decision = _decision(contest, new, old, verdict, options, run.id)
        language = packaging.read_facts(new.model.folder).language
        evidence.record(run, decision, verdict, new.result, old.result if old else None, source.path, language)
        if dry_run:
            run.tags({"asrx.dry_run": "true"})
            return decision
        ledger.keep_held_out(*_held_out(source, clips, new.result))
        try:
            decision = enter(client, ledger, decision, contest.sequence)
        except RegistryError as error:
            evidence.refused(run, error)
            raise
        evidence.decided(run, decision)
        return decision


def enter(client: Any, ledger: Ledger, decision: Decision, seen: int) -> Decision:
    """Make a decision: one insert into the ledger, under the number after the last one that was `seen`; then the registry follows.

    Of two that are entered at the same time the first one counts. The other is refused with RegistryError if the champion changed.
    """
    settling.claim(client, ledger, decision.name)
    settling.finish(client, ledger, decision.name)
    _check_champion(decision, aliases(client, decision.name).get(CHAMPION))
    row = decision.row(seen + 1)
    while not ledger.append(row):
        last = ledger.last(decision.name)
        _check_champion(decision, last.champion)
        row = decision.row(last.sequence + 1)
    settling.follow(client, ledger, row)
    return decision.entered(row)


def _check_champion(decision: Decision, now: str | None) -> None:
    if now != decision.champion_before:
        change = f"version {decision.champion_before} → {now}"
        raise RegistryError(f"the champion of {decision.name} changed while this ran ({change}); nothing was decided, compare again")


def _contest(client: Any, ledger: Ledger, name: str, baseline: str | None, candidate: str | None, first: bool) -> Contest:
    last, known = ledger.last(name), aliases(client, name)
    champion = known.get(CHAMPION)
    state = champion, known.get(PREVIOUS), last.sequence if last else 0
    if first:
        lone = version_number(client, name, candidate or (CANDIDATE if CANDIDATE in known else BASELINE))
        if champion not in (None, lone):
            raise RegistryError(f"{name} has a champion (version {champion}); --first is for a name without one")
        return Contest(name, lone, None, *state)
    if candidate is None and CANDIDATE not in known:
        raise RegistryError(f"{name} has no candidate to compare; register a second model, or promote a lone one with --first")
    base = baseline or (CHAMPION if champion else BASELINE)
    if baseline is None and base not in known:
        raise RegistryError(f"{name} has neither champion nor baseline to compare with; register one, or promote a lone model with --first")
    chosen = version_number(client, name, candidate or CANDIDATE)
    against = version_number(client, name, base)
    if chosen == against and chosen != champion:
        raise RegistryError(f"candidate and baseline are both version {chosen} of {name}; name two different ones")
    return Contest(name, chosen, against, *state)


def _standing(client: Any, ledger: Ledger, contest: Contest, digest: str, options: Gate) -> Decision | None:
    """The decision that was taken on the same evidence, if it still holds: of a promotion that was taken back, the one that did so."""
    thresholds = json.loads(json.dumps(asdict(options)))
    since = max(made_at(client, contest.name, version) for version in (contest.candidate, contest.baseline) if version)
    for row in ledger.decisions(contest.name, candidate=contest.candidate, held_out=digest, normalizer=SCORE_NORMALIZER):
        if row.thresholds != thresholds or row.decided_at < since:
            continue
        if contest.candidate == contest.champion == row.champion and contest.baseline in (row.baseline, contest.champion):
            return Decision.of(row, standing=True)
        if (row.baseline, row.champion_before) == (contest.baseline, contest.champion):
            return _taken_back(ledger, contest, row) if row.champion != row.champion_before else Decision.of(row, standing=True)
    return None


def _taken_back(ledger: Ledger, contest: Contest, promotion: DecisionRow) -> Decision | None:
    rollbacks = ledger.decisions(contest.name, kind=ROLLBACK, baseline=contest.candidate)
    return next((Decision.of(row, standing=True) for row in rollbacks if row.sequence > promotion.sequence), None)


def _side(client: Any, ledger: Ledger, name: str, version: str, clips: Sequence[Clip], role: str, dry_run: bool) -> Side:
    model = open_model(client, f"models:/{name}/{version}")
    decoding = Decoding.of(model.recognizer)
    memory = Transcripts(ledger, model.digest, decoding.digest, frozen=dry_run)
    return Side(model, decoding, transcribe(model.recognizer, clips, f"{role} (version {version})", memory))


def _matched(new: Side, old: Side | None, digest: str) -> tuple[Side, Side | None]:
    """Both sides on the same utterances, those with the digest. InputError or RegistryError where they cannot be compared."""
    if any(side.result.digest != digest for side in (new, old) if side):
        raise InputError("the held-out recordings changed while they were transcribed; compare again")
    if old is None:
        return new, None
    if new.decoding.settings != old.decoding.settings:
        differing = ", ".join(f"{key}: {value}, {old.decoding.settings[key]}" for key, value in new.decoding.settings.items())
        raise RegistryError(f"candidate and baseline are decoded differently ({differing}); compare models that do the same")
    before, after = pairs.matched(old.result, new.result)
    return replace(new, result=after), replace(old, result=before)


def _verdict(client: Any, contest: Contest, new: Side, old: Side | None, options: Gate) -> Verdict:
    known = leaks.found(client, contest.name, contest.candidate, new.model, old.model if old else None, new.result)
    if old is None:
        return gate.judge_first(new.result.counts, known, options)
    clusters, by_speaker = _clusters(new.result)
    asked = old.result.counts, new.result.counts, clusters, by_speaker, slices.of(new.result.heard)
    verdict = gate.judge(*asked, None, known, options)
    if verdict.outcome == gate.PROMOTE:  # speed can only stand against it
        both = old.model.recognizer, new.model.recognizer
        ratio = speed.measure(*both, _a_minute(new.result), confidence=options.guard_confidence)
        verdict = gate.judge(*asked, ratio, known, options)
    texts = [[item.hypothesis for item in side.result.heard] for side in (old, new)]
    return replace(verdict, mapsswe=mapsswe([item.row.text for item in new.result.heard], *texts))


def _notes(result: Transcription) -> list[str]:
    """What is missing in the held-out set, which the error counts do not show."""
    notes, everything = [], f"{len(result.heard):,}"
    if failed := result.failed:
        first = f"{failed[0].row.id}: {failed[0].error}"
        notes.append(f"{len(failed):,} of {everything} recordings could not be used and count as silence (the first one, {first})")
    unknown = sum(not item.row.speaker for item in result.heard)
    if 0 < unknown < len(result.heard):
        notes.append(f"{unknown:,} of {everything} utterances have no speaker and count as one more speaker's")
    heard = [item.audio_digest for item in result.heard if not item.error]
    if again := len(heard) - len(set(heard)):
        notes.append(f"{again:,} of {everything} utterances repeat a recording that is in the held-out set already")
    return notes


def _clusters(result: Transcription) -> tuple[list[str], bool]:
    """The speaker of each utterance, or the utterance itself where none is known.

    Rows without a speaker among others with one count as one more speaker: that widens the interval, never narrows it.
    """
    by_speaker = any(item.row.speaker for item in result.heard)
    return [item.row.speaker if by_speaker else item.row.id for item in result.heard], by_speaker


def _a_minute(result: Transcription) -> list[Any]:
    """Samples of some utterances, drawn at random, that make a minute together."""
    usable = [item for item in result.heard if not item.error]
    left, samples = speed.SECONDS, []
    for item in random.Random(0).sample(usable, len(usable)):
        if left <= 0:
            break
        samples.append(open_clip(item.row)[1])
        left -= item.seconds
    return [item for item in samples if item is not None]


def _decision(contest: Contest, new: Side, old: Side | None, verdict: Verdict, options: Gate, run_id: str) -> Decision:
    clusters, by_speaker = _clusters(new.result)
    promotes = verdict.outcome == gate.PROMOTE and contest.champion in (None, contest.baseline)
    reason, found = verdict.reason, verdict.difference
    if verdict.outcome == gate.PROMOTE and not promotes and contest.champion != contest.candidate:
        reason += f"; but the champion, version {contest.champion}, was not compared and stays"
    return Decision(
        outcome=verdict.outcome,
        reason=reason,
        name=contest.name,
        kind=COMPARE if old else FIRST,
        candidate=contest.candidate,
        baseline=contest.baseline,
        champion_before=contest.champion,
        champion=contest.candidate if promotes else contest.champion,
        previous=contest.champion if promotes else contest.previous,
        candidate_digest=new.model.digest,
        baseline_digest=old.model.digest if old else None,
        candidate_wer=new.result.total.wer,
        baseline_wer=old.result.total.wer if old else None,
        difference=found.difference if found else None,
        low=found.low if found else None,
        high=found.high if found else None,
        confidence=options.confidence,
        clusters=len(set(clusters)),
        clustered_by="speaker" if by_speaker else "utterance",
        utterances=new.result.total.utterances,
        words=new.result.total.words,
        held_out_digest=new.result.digest,
        normalizer=SCORE_NORMALIZER,
        decoding=new.decoding.digest,
        verdict=verdict.as_dict(),
        thresholds=asdict(options),
        run_id=run_id,
    )


def _held_out(source: Source, clips: Sequence[Clip], result: Transcription) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The held-out set and its utterances, for the ledger."""
    utterances = [
        {"id": item.row.id, "reference": item.row.text, "speaker": item.row.speaker, "audio_digest": item.audio_digest,
         "seconds": item.seconds, "snr": item.snr}
        for item in clips
    ]  # fmt: skip
    seconds = sum(item.seconds for item in clips)
    held_out = {"digest": result.digest, "name": Path(source.path).stem, "source": source.path, "utterances": len(clips)}
    return {**held_out, "words": result.total.words, "seconds": seconds}, utterances
