"""Is the candidate's WER better beyond chance? A paired test, clustered by speaker."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

from ..error_counts import ErrorCounts


@dataclass(frozen=True)
class PairedDifference:
    """WER(candidate) - WER(baseline) with a two-sided t interval over clusters. Negative: the candidate is better."""

    difference: float
    standard_error: float | None  # None with fewer than two clusters
    low: float | None
    high: float | None
    clusters: int
    words: int

    @property
    def is_improvement(self) -> bool:
        """Whether the whole interval is below zero."""
        return self.high is not None and self.high < 0


def paired_difference(
    baseline: Sequence[ErrorCounts], candidate: Sequence[ErrorCounts], clusters: Sequence[str], confidence: float = 0.95
) -> PairedDifference | None:
    """Difference of pooled WERs with a cluster-robust interval; None where there is no reference word.

    The three sequences are parallel; `clusters` names the speaker of each utterance. With d the difference of errors, N the
    words and Δ = Σd / ΣN, cluster g has the residual u_g = Σ_g d - Δ·N_g, and SE = √(G/(G-1)·Σu_g²) / ΣN: linearisation of a
    ratio of sums (Cochran 1977, ch. 6) with clusters as sampling units; the interval uses Student's t with G - 1 degrees of freedom.
    """
    words = sum(counts.words for counts in candidate)
    if not words:
        return None
    errors: dict[str, int] = {}
    spoken: dict[str, int] = {}
    for old, new, cluster in zip(baseline, candidate, clusters, strict=True):
        errors[cluster] = errors.get(cluster, 0) + new.errors - old.errors
        spoken[cluster] = spoken.get(cluster, 0) + new.words
    difference = sum(errors.values()) / words
    count = len(errors)
    if count < 2:
        return PairedDifference(difference, None, None, None, count, words)
    residuals = sum((errors[cluster] - difference * spoken[cluster]) ** 2 for cluster in errors)
    error = sqrt(count / (count - 1) * residuals) / words
    margin = _t_quantile(0.5 + confidence / 2, count - 1) * error
    return PairedDifference(difference, error, difference - margin, difference + margin, count, words)


def _t_quantile(probability: float, degrees: int) -> float:
    from scipy.stats import t

    return float(t.ppf(probability, degrees))
