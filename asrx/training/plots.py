"""Pictures of a training."""

from pathlib import Path


def plot_training(rows: list[dict[str, float]], path: Path, title: str) -> None:
    """training_plot.png: losses on the left, WER and CER on the right, over steps; the best step is marked."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), layout="constrained")
    losses, rates = figure.subplots(1, 2)
    _line(losses, rows, "train/loss", "training", "tab:blue", 1.0)
    _line(losses, rows, "eval/loss", "validation", "tab:orange", 1.6)
    losses.set(xlabel="step", ylabel="loss", title="Loss")
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


HEALTHY_GRADIENTS = (0.5, 2.0)  # norm, of a pre-training that neither stalls nor breaks off


def plot_pretraining(rows: list[dict[str, float]], path: Path, title: str) -> None:
    """training_plot.png: losses, accuracy, perplexity of the codebooks and gradient norm over steps, the norm with the band that is healthy."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 7), layout="constrained")
    (losses, guesses), (codes, gradients) = figure.subplots(2, 2, sharex=True)
    for name, color in (("contrastive", "tab:blue"), ("diversity", "tab:orange")):
        _line(losses, rows, f"train/{name}", f"{name}, training", color, 0.8)
        _line(losses, rows, f"eval/{name}", f"{name}, validation", color, 1.6)
    losses.set(title="Loss per masked frame", ylim=(0, None))
    for axes, name, scale in ((guesses, "accuracy", 100), (codes, "perplexity", 1)):
        _line(axes, rows, f"train/{name}", "training", "tab:blue", 0.8, scale)
        _line(axes, rows, f"eval/{name}", "validation", "tab:orange", 1.6, scale)
        axes.set_ylim(bottom=0)
    guesses.set(title="Masked frames that are told from their distractors", ylabel="%")
    codes.set(title="Perplexity: entries of the codebooks in use", xlabel="step")
    gradients.axhspan(*HEALTHY_GRADIENTS, color="tab:green", alpha=0.15, label="healthy: {:g} to {:g}".format(*HEALTHY_GRADIENTS))
    _line(gradients, rows, "train/grad_norm", "before clipping", "tab:purple", 0.8)
    gradients.set(title="Gradient norm", xlabel="step", yscale="log")
    gradients.set_yticks([0.1, 0.2, 0.5, 1, 2, 5, 10], ["0.1", "0.2", "0.5", "1", "2", "5", "10"])
    gradients.minorticks_off()
    for axes in (losses, guesses, codes, gradients):
        axes.grid(alpha=0.3)
        axes.legend()
    figure.suptitle(title)
    figure.savefig(path, dpi=110)
