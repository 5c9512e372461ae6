"""Figures of a training that was repeated on samples of a corpus: mean, spread and interval of its error rates, and their picture."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

CONFIDENCE = 0.95  # of the interval of the mean


@dataclass(frozen=True)
class Replicate:
    """One training on one sample. Rates are fractions."""

    sample: int
    seed: int
    wer: float
    cer: float
    utterances: int  # that were trained on
    run_id: str
    model_uri: str


@dataclass(frozen=True)
class Spread:
    """An error rate over samples; that of a sample is the mean over its seeds. None where there is one sample, or one seed, alone."""

    mean: float
    std: float | None  # between samples, with n - 1
    low: float | None  # bounds of Student's t interval of the mean; not cut at 0
    high: float | None
    std_seeds: float | None  # between the seeds of a sample: root of the mean variance, each with n - 1


def spread(rates: Mapping[int, Sequence[float]]) -> Spread:
    """The spread of an error rate; `rates`: those of all seeds, by sample."""
    from scipy import stats

    means = np.array([np.mean(seeds) for seeds in rates.values()])
    variances = [np.var(seeds, ddof=1) for seeds in rates.values() if len(seeds) > 1]
    within = float(np.sqrt(np.mean(variances))) if variances else None
    mean, count = float(means.mean()), len(means)
    if count < 2:
        return Spread(mean, None, None, None, within)
    std = float(means.std(ddof=1))
    reach = float(stats.t.ppf((1 + CONFIDENCE) / 2, count - 1)) * std / count**0.5
    return Spread(mean, std, mean - reach, mean + reach, within)


def by_sample(replicates: Sequence[Replicate], rate: str) -> dict[int, list[float]]:
    """The rates `wer` or `cer` of all seeds, by sample."""
    rates: dict[int, list[float]] = {}
    for item in replicates:
        rates.setdefault(item.sample, []).append(getattr(item, rate))
    return rates


def plot_replicates(replicates: Sequence[Replicate], wer: Spread, path: Path, title: str) -> None:
    """replicates.png: a dot for each training, a row for each sample, a colour for each seed; the mean is a line, its interval a band."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    samples, seeds = sorted({item.sample for item in replicates}), sorted({item.seed for item in replicates})
    figure = Figure(figsize=(9, 1.9 + 0.34 * min(len(samples), 40)), layout="constrained")
    axes = figure.subplots()
    if wer.low is not None:
        label = f"{CONFIDENCE:.0%} interval of the mean: {wer.low:.1%} to {wer.high:.1%}"
        axes.axvspan(max(0.0, 100 * wer.low), 100 * wer.high, color="tab:gray", alpha=0.18, linewidth=0, label=label)
    axes.axvline(100 * wer.mean, color="black", linewidth=1.2, label=f"mean: {wer.mean:.1%}")
    for number, seed in enumerate(seeds):
        own = [item for item in replicates if item.seed == seed]
        label = f"seed {seed}" if len(seeds) > 1 else None
        axes.scatter([100 * item.wer for item in own], [item.sample for item in own], s=46, color=f"C{number % 10}", edgecolor="white", zorder=3, label=label)
    axes.set(xlabel="WER, %", ylabel="sample", ylim=(samples[-1] + 0.6, samples[0] - 0.6))
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(axis="x", alpha=0.3)
    figure.legend(loc="outside lower center", ncols=4, frameon=False)
    axes.set_title(title, fontsize=11)
    figure.savefig(path, dpi=110)
