"""What people read of a search: a table of its trials, and pictures."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from optuna import Study
from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState

from ..tables import csv_text
from .pruning import RUN
from .study import ENDED, REASON

ENOUGH = 10  # finished trials from which importances are estimated


def table(study: Study) -> str:
    """trials.csv: a row per trial that was begun, with its state, WER as a fraction (of a pruned one until then), run, options, and the reason of a failure."""
    trials = [trial for trial in study.get_trials(deepcopy=False) if trial.state != TrialState.WAITING]
    names = list(dict.fromkeys(name for trial in trials for name in trial.params))
    rows = []
    for trial in trials:
        seconds = round(trial.duration.total_seconds(), 1) if trial.duration else ""
        values = [trial.params.get(name, "") for name in names]
        wer = "" if trial.value is None else trial.value
        rows.append([trial.number, state(trial), wer, seconds, trial.user_attrs.get(RUN, ""), *values, trial.user_attrs.get(REASON, "")])
    return csv_text(["trial", "state", "wer", "seconds", "run_id", *names, "reason"], rows)


def state(trial: FrozenTrial) -> str:
    """In a word: running, finished, pruned, failed; withdrawn, if another trial took its place."""
    if trial.state == TrialState.FAIL:
        return "failed" if REASON in trial.user_attrs else "withdrawn"
    return {TrialState.COMPLETE: "finished", TrialState.WAITING: "waiting"}.get(trial.state, trial.state.name.lower())


def plot(study: Study, folder: Path) -> list[Path]:
    """history.png: WER over trials. options.png: WER over each option that was varied. None where no trial has a WER."""
    trials = [trial for trial in study.get_trials(deepcopy=False) if trial.state in ENDED and trial.value is not None]
    if not trials:
        return []
    paths = [folder / "history.png", folder / "options.png"]
    _plot_history(study.study_name, trials, paths[0])
    _plot_options(study, trials, paths[1])
    return paths


def _plot_history(name: str, trials: Sequence[FrozenTrial], path: Path) -> None:
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(9, 4), layout="constrained")
    axes = figure.subplots()
    _scatter(axes, trials, [trial.number for trial in trials])
    finished = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    lowest = np.minimum.accumulate([100 * trial.value for trial in finished])
    axes.step([trial.number for trial in finished], lowest, where="post", color="tab:red", linewidth=1.2, label="the best so far")
    axes.set(xlabel="trial", ylabel="WER, %", title=name)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=110)


def _plot_options(study: Study, trials: Sequence[FrozenTrial], path: Path) -> None:
    from matplotlib.figure import Figure

    spaces = {name: space for trial in trials for name, space in trial.distributions.items()}
    shares = _importances(study, trials)
    columns = min(3, len(spaces))
    rows = -(-len(spaces) // columns)
    figure = Figure(figsize=(4.2 * columns, 3.4 * rows), layout="constrained")
    panels = list(figure.subplots(rows, columns, squeeze=False, sharey=True).flat)
    for axes, (name, space) in zip(panels, spaces.items()):
        _plot_option(axes, name, space, [trial for trial in trials if name in trial.params])
        axes.set_title(f"importance {shares[name]:.0%}" if name in shares else "", fontsize=10)
    for axes in panels[len(spaces) :]:
        axes.set_axis_off()
    panels[0].legend()
    figure.supylabel("WER, %")
    figure.savefig(path, dpi=110)


def _plot_option(axes: Any, name: str, space: BaseDistribution, trials: Sequence[FrozenTrial]) -> None:
    if isinstance(space, CategoricalDistribution):
        _scatter(axes, trials, [space.choices.index(trial.params[name]) for trial in trials])
        axes.set_xticks(range(len(space.choices)), space.choices)
        axes.set_xlim(-0.5, len(space.choices) - 0.5)
    else:
        _scatter(axes, trials, [trial.params[name] for trial in trials])
        axes.set_xscale("log" if space.log else "linear")
        if isinstance(space, IntDistribution) and not space.log:
            axes.xaxis.get_major_locator().set_params(integer=True)
    axes.set_xlabel(name)
    axes.grid(alpha=0.3)


def _importances(study: Study, trials: Sequence[FrozenTrial]) -> dict[str, float]:
    """The share of each option in what tells good trials from bad ones (PED-ANOVA, Watanabe et al. 2023); none where there is too little to tell it from."""
    from optuna.importance import get_param_importances

    rates = [trial.value for trial in trials if trial.state == TrialState.COMPLETE]
    return get_param_importances(study) if len(rates) >= ENOUGH and len(set(rates)) > 1 else {}


def _scatter(axes: Any, trials: Sequence[FrozenTrial], places: Sequence[float]) -> None:
    """Finished trials are dots, pruned ones crosses at the WER that they had."""
    for wanted, label, marker, color in ((TrialState.COMPLETE, "finished", "o", "tab:blue"), (TrialState.PRUNED, "pruned", "x", "tab:gray")):
        points = [(place, 100 * trial.value) for place, trial in zip(places, trials) if trial.state == wanted]
        if points:
            axes.scatter(*zip(*points), s=26, marker=marker, color=color, label=label, zorder=3)
