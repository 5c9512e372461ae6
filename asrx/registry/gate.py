"""The gate: is what a candidate shows enough to become the champion?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil

import numpy as np

from ..error_counts import ErrorCounts
from ..errors import InputError
from ..options import Gate
from ..scoring.significance import PairedDifference, difference_of, mcnemar, speaker_bootstrap, t_quantile
from ..scoring.speed import SpeedRatio
from .verdict import Leaks, Needed, SliceVerdict, Verdict

PROMOTE, KEEP, INCONCLUSIVE = "promote", "keep", "inconclusive"
NO_WORDS = "the held-out set has no reference word"
NAMED = 5  # slices that a note names


@dataclass(frozen=True)
class _Pairs:
    """Both sides' errors, utterance by utterance; all arrays have the shape (utterances,)."""

    old: np.ndarray
    new: np.ndarray
    words: np.ndarray
    clusters: np.ndarray  # numbers of the speakers, in the order of their names

    def difference(self, confidence: float, indices: Sequence[int] | slice = slice(None)) -> PairedDifference | None:
        return difference_of((self.new - self.old)[indices], self.words[indices], self.clusters[indices], confidence)

    def wer(self, errors: np.ndarray, indices: Sequence[int] | slice = slice(None)) -> float:
        return float(errors[indices].sum() / self.words[indices].sum())


def judge(
    old: Sequence[ErrorCounts], new: Sequence[ErrorCounts], clusters: Sequence[str], by_speaker: bool,
    slices: Mapping[str, Mapping[str, Sequence[int]]], speed: SpeedRatio | None, leaks: Leaks, options: Gate,
) -> Verdict:  # fmt: skip
    """The verdict about a candidate (`new`) that was compared with a baseline (`old`) on the same utterances.

    `old`, `new` and `clusters` are parallel; `clusters` names each utterance's speaker, or the utterance where `by_speaker` is false.
    `slices`: column → value → indices of its utterances. `speed` is None where it was not measured. The verdict's `mapsswe`,
    which is of texts, is left to the caller. InputError where both sides were not scored against the same references.
    """
    pairs = _paired(old, new, clusters)
    found = pairs.difference(options.confidence)
    if found is None:
        return Verdict(INCONCLUSIVE, NO_WORDS, (), (), speed=speed, leaks=leaks)
    baseline = pairs.wer(pairs.old)
    judged = tuple(_slices(pairs, slices, options))
    leaked = _leaked(leaks, len(new))
    blocks = leaked + _worse(judged, options) + _slower(speed, options)
    outcome, reason = paired_outcome(found, baseline, options, by_speaker)
    needed = None
    if leaked:
        outcome, reason = INCONCLUSIVE, leaked[0]
    elif outcome == PROMOTE and blocks:
        more = f" (and {len(blocks) - 1} more)" if len(blocks) > 1 else ""
        outcome, reason = KEEP, f"{reason}; but {blocks[0]}{more}"
    elif outcome == INCONCLUSIVE and (needed := _needed(found, worth(baseline, options), len(new), by_speaker, options)):
        size = f"{needed.speakers:,} speakers with {needed.utterances:,} utterances" if needed.speakers else f"{needed.utterances:,} utterances"
        reason = f"{reason}; to settle a difference of {100 * needed.effect:.2f} points takes about {size}"
    notes = _notes(judged, outcome == PROMOTE and speed is None, leaks, by_speaker)
    return Verdict(
        outcome, reason, blocks, notes, found, worth(baseline, options), judged, speed, leaks, needed,
        speaker_bootstrap(pairs.old, pairs.new, pairs.words, pairs.clusters, confidence=options.confidence),
        mcnemar=mcnemar([item.wrong_utterances > 0 for item in old], [item.wrong_utterances > 0 for item in new]),
    )  # fmt: skip


def judge_first(new: Sequence[ErrorCounts], leaks: Leaks, options: Gate) -> Verdict:
    """The verdict about a lone model, which has only a ceiling to stay under."""
    words = sum(item.words for item in new)
    outcome, reason = first_outcome(sum(item.errors for item in new) / words if words else None, options)
    leaked = _leaked(leaks, len(new))
    if leaked:
        outcome, reason = INCONCLUSIVE, leaked[0]
    return Verdict(outcome, reason, leaked, _shared(leaks), leaks=leaks)


def first_outcome(wer: float | None, gate: Gate) -> tuple[str, str]:
    """A lone model: is it good enough to start with?"""
    if wer is None:
        return INCONCLUSIVE, NO_WORDS
    if wer <= gate.max_wer:
        return PROMOTE, f"WER {wer:.2%} is within the ceiling of {gate.max_wer:.2%} for a first champion"
    return KEEP, f"WER {wer:.2%} is above the ceiling of {gate.max_wer:.2%} for a first champion (gate.max_wer)"


def paired_outcome(found: PairedDifference | None, baseline_wer: float | None, gate: Gate, by_speaker: bool) -> tuple[str, str]:
    """promote: better beyond chance by at least what is worth having; keep: that is excluded; inconclusive: neither is shown."""
    if found is None or baseline_wer is None:
        return INCONCLUSIVE, NO_WORDS
    unit = "speakers" if by_speaker else "utterances (speakers are not known, so the interval is optimistic)"
    if found.low is None:
        return INCONCLUSIVE, f"a single {'speaker' if by_speaker else 'utterance'} is too few to decide"
    asked = worth(baseline_wer, gate)
    interval = f"{100 * found.low:+.2f} to {100 * found.high:+.2f} points over {found.clusters:,} {unit}"
    if found.is_improvement and found.difference <= -asked:
        if found.clusters < gate.min_speakers:
            return INCONCLUSIVE, f"better, {interval}, which are too few to promote by themselves (gate.min_speakers={gate.min_speakers})"
        if not _holds_for_equal_ones(found, gate):
            return INCONCLUSIVE, f"better, {interval}, but some say so much more than others that they weigh as {found.effective:.1f} equal ones, too few"
        return PROMOTE, f"better beyond chance: {interval}"
    if found.low > -asked:
        return KEEP, f"an improvement worth having ({100 * asked:.2f} points) is excluded: {interval}"
    if found.is_improvement:
        return INCONCLUSIVE, f"better beyond chance, but by less than what is worth having ({100 * asked:.2f} points): {interval}"
    return INCONCLUSIVE, f"no improvement is proven: {interval}"


def _holds_for_equal_ones(found: PairedDifference, gate: Gate) -> bool:
    """Whether the improvement is beyond chance, too, for as many clusters of equal size as these weigh.

    The plain interval is too narrow where few speakers say most of it: with 20, one of whom says half of everything, 10 % of the candidates
    that are no better would be promoted instead of 2.5 %.
    """
    quantile = t_quantile(0.5 + gate.confidence / 2, found.effective - 1)
    return found.difference + quantile * found.standard_error < 0


def worth(baseline_wer: float, gate: Gate) -> float:
    """The gain that is worth having, a fraction: absolute or relative to the baseline's WER, whichever is larger."""
    return max(gate.min_gain, gate.min_gain_relative * baseline_wer)


def _paired(old: Sequence[ErrorCounts], new: Sequence[ErrorCounts], clusters: Sequence[str]) -> _Pairs:
    figures = [(before.errors, after.errors, after.words, before.words) for before, after in zip(old, new, strict=True)]
    before, after, words, other = np.array(figures, int).reshape(-1, 4).T
    if (words != other).any():
        raise InputError(f"{int((words != other).sum())} utterances have other reference words on one side than on the other; score both against the same")
    names = np.asarray(clusters, str)
    if len(names) != len(words):
        raise ValueError(f"{len(names)} speakers for {len(words)} utterances")
    return _Pairs(before, after, words, np.unique(names, return_inverse=True)[1])


def _slices(pairs: _Pairs, slices: Mapping[str, Mapping[str, Sequence[int]]], options: Gate) -> list[SliceVerdict]:
    """Slices without a reference word are left out."""
    judged = []
    for column, values in slices.items():
        for value, indices in values.items():
            chosen = np.asarray(indices, int)
            found = pairs.difference(options.confidence, chosen)
            if found:
                judged.append(_slice(column, value, len(chosen), found, pairs.wer(pairs.old, chosen), pairs.wer(pairs.new, chosen), options))
    return judged


def _slice(column: str, value: str, utterances: int, found: PairedDifference, baseline: float, candidate: float, options: Gate) -> SliceVerdict:
    margin = max(options.slice_margin, options.slice_margin_relative * baseline)
    enough, powered, upper = found.clusters >= options.slice_min_speakers, False, None
    if found.standard_error is not None:
        spread = t_quantile(options.guard_confidence, found.clusters - 1) * found.standard_error
        powered, upper = enough and spread <= margin, found.difference + spread
    lost = upper is None or upper > margin
    return SliceVerdict(
        column, str(value), utterances, found.words, found.clusters, baseline, candidate, found.difference, found.standard_error, upper, margin,
        powered, worse=powered and lost, undecided=not powered and (lost or not enough),
    )  # fmt: skip


def _leaked(leaks: Leaks, utterances: int) -> tuple[str, ...]:
    """Held-out audio that a side was trained on makes its figures worthless."""
    return tuple(
        f"the {side} was trained on {len(seen)} of the {utterances} held-out recordings (the first: {seen[0]}); use recordings that it has not heard"
        for side, seen in (("candidate", leaks.candidate), ("baseline", leaks.baseline))
        if seen
    )


def _worse(judged: Sequence[SliceVerdict], options: Gate) -> tuple[str, ...]:
    return tuple(
        f"a loss on {item.column}={item.value} is not excluded: {100 * item.difference:+.2f}, at most {100 * item.upper:+.2f} points, "
        f"where {100 * item.margin:.2f} are put up with"
        for item in judged
        if item.worse
    )


def _slower(speed: SpeedRatio | None, options: Gate) -> tuple[str, ...]:
    if speed is None or speed.upper >= options.min_speed:
        return ()
    return (f"the candidate is slower: {speed.ratio:.2f}, at most {speed.upper:.2f} times the baseline's speed (gate.min_speed={options.min_speed:g})",)


def _needed(found: PairedDifference, asked: float, utterances: int, by_speaker: bool, options: Gate) -> Needed | None:
    """How many would settle it, with the standard error shrinking as the root of their number; None where it is not their number that is missing.

    The set must tell an effect with the probability `gate.power`: the observed difference or what is worth having, whichever is larger.
    Where this set does that already, the difference lies between nothing and what is worth having, and must be told from the latter.
    """
    from scipy.special import ndtri

    proven = found.is_improvement and found.difference <= -asked and found.clusters >= options.min_speakers
    if found.standard_error is None or proven:
        return None
    detectable = float(ndtri(0.5 + options.confidence / 2) + ndtri(options.power)) * found.standard_error
    effect = max(abs(found.difference), asked)
    if detectable < effect and found.difference > -asked:
        effect = found.difference + asked
    if not effect:
        return None
    clusters = max(ceil(found.clusters * (detectable / effect) ** 2), found.clusters + 1, options.min_speakers)
    return Needed(clusters if by_speaker else None, ceil(utterances * clusters / found.clusters), effect, detectable)


def _notes(judged: Sequence[SliceVerdict], speed_unknown: bool, leaks: Leaks, by_speaker: bool) -> tuple[str, ...]:
    notes = []
    if not by_speaker:
        notes.append("speakers are not known: utterances are taken as independent of each other, so the intervals are optimistic")
    weak = [f"{item.column}={item.value}" for item in judged if item.undecided]
    if weak:
        more = f" and {len(weak) - NAMED} more" if len(weak) > NAMED else ""
        notes.append(f"{len(weak)} of {len(judged)} slices are too small to judge: {', '.join(weak[:NAMED])}{more}")
    if speed_unknown:
        notes.append("the speed was not measured")
    return (*notes, *_shared(leaks))


def _shared(leaks: Leaks) -> tuple[str, ...]:
    """Speakers and sentences on both sides make figures too good for new ones, but alike for both models."""
    kinds = ((leaks.shared_speakers, "speakers are"), (leaks.shared_sentences, "utterances have a sentence that is"))
    return tuple(f"{count:,} of the held-out {what} in the candidate's training data" for count, what in kinds if count)
