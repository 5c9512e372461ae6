"""Pictures of a training."""

from pathlib import Path


def plot_training(rows: list[dict[str, float]], path: Path, title: str) -> None:
    """training_plot.png: losses on the left, WER and CER on the right, over steps; the best step is marked."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), layout="constrained")
    losses, rates = figure.subplots(1, 2)
    _line(losses, rows, "train/loss", "training", "tab:blue", 1.0)
    _line(losses, rows, "eval/loss", "validation", "tab:orange", 1.6)
    losses.set(xlabel="step", ylabel="CTC loss", title="Loss")
    losses.set_ylim(bottom=0)
    _line(rates, rows, "eval/wer", "WER", "tab:red", 1.6, 100)
    _line(rates, rows, "eval/cer", "CER", "tab:green", 1.6, 100)
    _mark_best(rates, rows)
    rates.set(xlabel="step", ylabel="%", title="Error rates on the validation set")
    rates.set_ylim(bottom=0)
    for axes in (losses, rates):
        axes.grid(alpha=0.3)
        axes.legend()
    figure.suptitle(title)
    figure.savefig(path, dpi=110)


def _line(axes: object, rows: list[dict[str, float]], key: str, label: str, color: str, width: float, scale: float = 1) -> None:
    points = [(row["step"], row[key] * scale) for row in rows if key in row]
    marker = "o" if key.startswith("eval") else None
    axes.plot([step for step, _ in points], [value for _, value in points], label=label, color=color, linewidth=width, marker=marker, markersize=3)


def _mark_best(axes: object, rows: list[dict[str, float]]) -> None:
    evaluated = [row for row in rows if "eval/wer" in row]
    if evaluated:
        best = min(evaluated, key=lambda row: (row["eval/wer"], row["eval/loss"]))
        axes.axvline(best["step"], color="gray", linestyle=":", label=f"best: {best['eval/wer']:.2%} at {best['step']:,}")
