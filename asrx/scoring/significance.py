"""Is the candidate's WER better beyond chance? Paired tests, clustered by speaker."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import sqrt

import numpy as np

from ..error_counts import ErrorCounts
from ..text import score_text

GOOD_WORDS = 2  # right in both transcripts, one after the other: they end a segment of MAPSSWE
BLOCK = 1 << 21  # figures that the bootstrap holds at a time


@dataclass(frozen=True)
class RatioInterval:
    """Errors per reference word with a two-sided t interval over clusters."""

    rate: float
    low: float | None  # None with fewer than two clusters
    high: float | None
    clusters: int
    standard_error: float | None
    effective: float  # clusters of equal size that would weigh as much


@dataclass(frozen=True)
class PairedDifference:
    """WER(candidate) - WER(baseline) with a two-sided t interval over clusters. Negative: the candidate is better."""

    difference: float
    standard_error: float | None  # None with fewer than two clusters
    low: float | None
    high: float | None
    clusters: int
    words: int
    effective: float  # clusters of equal size that would weigh as much

    @property
    def is_improvement(self) -> bool:
        """Whether the whole interval is below zero."""
        return self.high is not None and self.high < 0


@dataclass(frozen=True)
class Bootstrap:
    """Percentile interval of the WER difference over resampled clusters."""

    low: float
    high: float
    better: float  # share of the resamples in which the candidate is better; ties count half


@dataclass(frozen=True)
class Mapsswe:
    """Matched pairs sentence segment word error test. A positive mean: the candidate makes fewer errors, as sc_stats has it."""

    segments: int
    mean: float | None  # errors of the baseline - errors of the candidate, per segment
    deviation: float | None
    z: float | None  # None with fewer than two segments, or where all of them differ alike
    p: float | None  # two-sided; the normal approximation wants some 50 segments


def paired_difference(
    baseline: Sequence[ErrorCounts], candidate: Sequence[ErrorCounts], clusters: Sequence[str], confidence: float = 0.95
) -> PairedDifference | None:
    """Difference of pooled WERs with a cluster-robust interval (see `ratio_of_sums`); None where there is no reference word.

    The three sequences are parallel; `clusters` names the speaker of each utterance.
    """
    pairs = list(zip(baseline, candidate, clusters, strict=True))
    words = np.array([new.words for _, new, _ in pairs])
    return difference_of(np.array([new.errors - old.errors for old, new, _ in pairs]), words, clusters, confidence)


def difference_of(differences: np.ndarray, words: np.ndarray, clusters: Sequence[str] | np.ndarray, confidence: float) -> PairedDifference | None:
    """`paired_difference` from each utterance's difference of errors (candidate - baseline) and its reference words."""
    found = ratio_of_sums(differences, words, clusters, confidence)
    if found is None:
        return None
    return PairedDifference(found.rate, found.standard_error, found.low, found.high, found.clusters, int(words.sum()), found.effective)


def ratio_interval(
    errors: Sequence[int] | np.ndarray, words: Sequence[int] | np.ndarray, clusters: Sequence[str] | np.ndarray, confidence: float = 0.95
) -> RatioInterval | None:
    """Pooled WER of one model with its interval (see `ratio_of_sums`), which ends at 0; None where there is no reference word."""
    found = ratio_of_sums(errors, words, clusters, confidence)
    if found is None or found.low is None:
        return found
    return replace(found, low=max(0.0, found.low))


def ratio_of_sums(
    figures: Sequence[int] | np.ndarray, words: Sequence[int] | np.ndarray, clusters: Sequence[str] | np.ndarray, confidence: float
) -> RatioInterval | None:
    """Σd / ΣN with a cluster-robust interval; None where ΣN is 0. The three sequences are parallel: one entry per utterance.

    With the ratio Δ, cluster g has the residual u_g = Σ_g d - Δ·Σ_g N, and SE = √(G/(G-1)·Σu_g²) / ΣN: linearisation of a ratio of
    sums (Cochran 1977, ch. 6) with clusters as sampling units; the interval uses Student's t with G - 1 degrees of freedom.
    Where some clusters are much larger than others it is too narrow: only (ΣN)²/Σ_g N_g² of them count (Carter, Schnepel & Steigerwald 2017).
    """
    sums, spoken = _by_cluster(clusters, figures, words)
    total = spoken.sum()
    if not total:
        return None
    ratio, count, effective = float(sums.sum() / total), len(sums), float(total**2 / (spoken @ spoken))
    if count < 2:
        return RatioInterval(ratio, None, None, count, None, effective)
    residuals = sums - ratio * spoken
    error = sqrt(count / (count - 1) * float(residuals @ residuals)) / float(total)
    margin = t_quantile(0.5 + confidence / 2, count - 1) * error
    return RatioInterval(ratio, ratio - margin, ratio + margin, count, error, effective)


def t_quantile(probability: float, degrees: float) -> float:
    """Quantile of Student's t."""
    from scipy.special import stdtrit

    return float(stdtrit(degrees, probability))


def speaker_bootstrap(
    old_errors: Sequence[int] | np.ndarray, new_errors: Sequence[int] | np.ndarray, words: Sequence[int] | np.ndarray,
    clusters: Sequence[str] | np.ndarray, resamples: int = 10_000, seed: int = 0, confidence: float = 0.95,
) -> Bootstrap | None:  # fmt: skip
    """The difference of pooled WERs over speakers drawn with replacement (Bisani & Ney 2004); None where there is no reference word.

    The sequences are parallel: one entry per utterance.
    """
    sums = np.stack(_by_cluster(clusters, np.subtract(new_errors, old_errors), words), axis=1)
    if not sums[:, 1].sum():
        return None
    drawn = np.concatenate(list(_resampled(sums, resamples, np.random.default_rng(seed))))
    drawn = drawn[drawn[:, 1] > 0]
    ratios = drawn[:, 0] / drawn[:, 1]
    low, high = np.quantile(ratios, [0.5 - confidence / 2, 0.5 + confidence / 2])
    return Bootstrap(float(low), float(high), float((ratios < 0).mean() + (ratios == 0).mean() / 2))


def _resampled(sums: np.ndarray, resamples: int, random: np.random.Generator) -> Iterator[np.ndarray]:
    """Totals (draws, 2) of `sums` (clusters, 2) over clusters drawn with replacement, block by block."""
    count = len(sums)
    kinds, often = np.unique(sums, axis=0, return_counts=True)
    alike = 4 * len(kinds) < count  # utterances: what matters is how often each kind is drawn, which is quicker than drawing each one
    step = max(1, BLOCK // (len(kinds) if alike else count))
    for start in range(0, resamples, step):
        size = min(step, resamples - start)
        if alike:
            yield random.multinomial(count, often / count, size).astype(float) @ kinds
        else:
            chosen = random.integers(0, count, (size, count), dtype=np.int32)
            yield np.stack([sums[:, 0].take(chosen).sum(axis=1), sums[:, 1].take(chosen).sum(axis=1)], axis=1)


def _by_cluster(clusters: Sequence[str] | np.ndarray, *figures: Sequence[int] | np.ndarray) -> list[np.ndarray]:
    """Sums of each figure over each cluster, in the order of the clusters' names. Clusters in which all are 0 say nothing and are left out."""
    names, codes = np.unique(np.asarray(clusters), return_inverse=True)
    sums = [np.bincount(codes, np.asarray(figure, float), len(names)) for figure in figures]
    speaks = np.any(sums, axis=0)
    return [item[speaks] for item in sums]


def mcnemar(old_wrong: Sequence[bool] | np.ndarray, new_wrong: Sequence[bool] | np.ndarray) -> float:
    """Two-sided p of McNemar's exact test: are utterances that one model alone gets wrong as often the one's as the other's?"""
    from scipy.special import bdtr

    old, new = np.asarray(old_wrong, bool), np.asarray(new_wrong, bool)
    fixed, broken = int((old & ~new).sum()), int((new & ~old).sum())
    return min(1.0, 2 * float(bdtr(min(fixed, broken), fixed + broken, 0.5)))


def mapsswe(references: Sequence[str], old: Sequence[str], new: Sequence[str]) -> Mapsswe:
    """The test of Gillick & Cox (1989) on texts in the default scoring form; the three sequences are parallel."""
    differences = []
    for texts in zip(references, old, new, strict=True):
        said, before, after = (score_text(text).split() for text in texts)
        if not said == before == after:
            differences += [one - other for one, other in segment_errors(said, before, after)]
    return matched_pairs(differences)


def matched_pairs(differences: Sequence[int]) -> Mapsswe:
    """The statistics of the segments' differences of errors (baseline - candidate)."""
    from scipy.special import ndtr

    count = len(differences)
    mean = float(np.mean(differences)) if count else None
    deviation = float(np.std(differences, ddof=1)) if count > 1 else None
    if not deviation:
        return Mapsswe(count, mean, deviation, None, None)
    z = mean / deviation * sqrt(count)
    return Mapsswe(count, mean, deviation, z, 2 * float(ndtr(-abs(z))))


def segment_errors(reference: Sequence[str], old: Sequence[str], new: Sequence[str]) -> list[tuple[int, int]]:
    """Errors of both transcripts in each segment of an utterance that has any; all are words.

    A segment reaches from its first error to the next two reference words in a row that both transcripts have right with nothing
    inserted between them, or to the utterance's end.
    """
    errors = zip(_errors_by_place(reference, old), _errors_by_place(reference, new))
    segments: list[tuple[int, int]] = []
    good = GOOD_WORDS
    for place, (before, after) in enumerate(errors):
        if before or after:
            if good >= GOOD_WORDS:
                segments.append((0, 0))
            segments[-1] = segments[-1][0] + before, segments[-1][1] + after
            good = 0
        elif place % 2:
            good += 1
    return segments


def _errors_by_place(reference: Sequence[str], hypothesis: Sequence[str]) -> list[int]:
    """Errors before the first reference word (insertions), at it, between it and the second one, …, behind the last one."""
    from rapidfuzz.distance import Levenshtein

    errors = [0] * (2 * len(reference) + 1)
    for edit in Levenshtein.editops(reference, hypothesis):
        errors[2 * edit.src_pos + (edit.tag != "insert")] += 1
    return errors
