"""Ending a trial whose WER is not promising."""

import logging
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

log = logging.getLogger("asrx")

REPORTS = 10  # in a training, however many steps it has: trials of different lengths are compared at the same share of their steps
RUN = "run_id"  # attribute of a trial


class Pruning(TrainerCallback):
    """Reports the best WER so far of an optuna Trial at every tenth of its steps, and ends the training where the study's pruner says so."""

    def __init__(self, trial: Any) -> None:
        self._trial = trial
        self._reported: set[int] = set()
        self.pruned_at: int | None = None  # step

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Tell the study in which run the trial is trained."""
        self._trial.set_user_attr(RUN, Path(args.output_dir).parent.name)

    def on_evaluate(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Report and ask. The last step is not pruned: nothing would be saved."""
        from optuna.exceptions import StorageInternalError

        tenth = round(REPORTS * state.global_step / max(state.max_steps, 1))
        if tenth == 0 or tenth in self._reported or state.global_step >= state.max_steps:
            return
        self._reported.add(tenth)
        try:
            self._trial.report(min(entry["eval_wer"] for entry in state.log_history if "eval_wer" in entry), tenth)
            prune = self._trial.should_prune()
        except StorageInternalError as error:
            log.warning("the study's database was not told of step %d: %s", state.global_step, " ".join(str(error).split())[:160])
            return
        if prune:
            self.pruned_at = state.global_step
            control.should_training_stop = True
