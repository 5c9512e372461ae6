"""Picture of a comparison."""

from pathlib import Path
from typing import Any


def plot_comparison(decision: Any, path: Path) -> None:
    """comparison.png: both WERs, and the difference with its interval beside zero."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3), layout="constrained")
    bars, interval = figure.subplots(1, 2, width_ratios=(1, 1.4))
    labels = [f"baseline\nversion {decision.baseline}", f"candidate\nversion {decision.candidate}"]
    rates = [100 * (rate or 0) for rate in (decision.baseline_wer, decision.candidate_wer)]
    drawn = bars.barh(labels, rates, color=["tab:gray", "tab:blue"])
    bars.bar_label(drawn, fmt="%.2f %%", padding=3)
    bars.set(xlabel="WER, %", xlim=(0, max(*rates, 1) * 1.3))
    bars.invert_yaxis()
    if decision.low is not None:
        middle = 100 * decision.difference
        spread = [[middle - 100 * decision.low], [100 * decision.high - middle]]
        interval.errorbar([middle], [0], xerr=spread, fmt="o", capsize=6, color="tab:blue")
    interval.axvline(0, color="black", linewidth=1)
    interval.set(yticks=[], xlabel=f"candidate - baseline, points of WER ({decision.confidence:.0%} interval)", title=decision.outcome)
    figure.savefig(path, dpi=110)
