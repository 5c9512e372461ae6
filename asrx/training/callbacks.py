"""What happens beside the optimisation: curves, samples, the best model, progress and being interrupted."""

import logging
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from ..files import folder_written_at_once, read_json, write_json
from ..progress import bar
from ..tables import csv_text
from ..tracking import Run
from . import processes
from .batching import BatchPlan
from .evaluation import Transcribed
from .notices import Notices

log = logging.getLogger("asrx")

TRAINED, EVALUATED = "train", "eval"  # prefixes of the curves
OF_A_STEP = ("loss", "grad_norm", "learning_rate")  # of what Trainer logs
FIRST_COLUMNS = ("step", "epoch", "train/loss", "train/grad_norm", "train/learning_rate", "eval/loss")
BEST_META = "best.json"
LENGTH_RATIO = "eval/length_ratio"


def curve(key: str) -> str | None:
    """`eval_wer` → `eval/wer`; None for what is no curve of ours."""
    if key in OF_A_STEP:
        return f"{TRAINED}/{key}"
    prefix, _, name = key.partition("_")
    timing = name in ("runtime", "samples_per_second", "steps_per_second", "loss") and prefix == TRAINED
    return f"{prefix}/{name}" if prefix in (TRAINED, EVALUATED) and name and not timing else None


class Recorder(TrainerCallback):
    """Curves to the run's journal, samples and tables to its artifacts, the best weights to its folder.

    `ranking`: the evaluation's metrics that decide which step is best, lower is better.
    """

    def __init__(self, run: Run, plan: BatchPlan, batch_seconds: list[float], accumulation: int, patience: int, ranking: Sequence[str]) -> None:
        self._run, self._plan, self._accumulation, self._patience = run, plan, accumulation, patience
        self._ranking = [curve(name) for name in ranking]
        self._seconds = batch_seconds
        self._rows: dict[int, dict[str, float]] = {int(row["step"]): row for row in read_json(run.folder / "log.json") or []}
        self._samples: list[list[str]] = read_json(run.folder / "samples.json") or []
        self._clock = (0, time.perf_counter())  # step and time since when audio is counted
        self.trainer: Any = None
        self.notices = Notices(run)
        self.best = run.folder / "best"

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Forget what a killed session recorded after its last checkpoint: those steps come again."""
        self._rows = {step: row for step, row in self._rows.items() if step <= state.global_step}
        self._samples = [sample for sample in self._samples if int(sample[0]) <= state.global_step]
        self._clock = (state.global_step, time.perf_counter())
        self.notices.repeat()

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **_: Any) -> None:
        """One point per curve."""
        values = {curve(key): value for key, value in (logs or {}).items() if curve(key)}
        if not values:
            return
        if "train/loss" in values:
            values["train/audio_seconds_per_second"] = self._speed(state.global_step)
        epoch = self._plan.epoch_after(min(state.global_step * self._accumulation, len(self._plan)))
        self._rows.setdefault(state.global_step, {"step": state.global_step}).update({"epoch": round(epoch, 4), **values})
        self._run.metrics({**values, "epoch": epoch}, state.global_step)

    def on_evaluate(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Samples, tables, the best model so far, early stopping."""
        evaluation = self.trainer.last_evaluation
        self._samples += [[str(state.global_step), *sample] for sample in evaluation.samples()]
        self.keep_if_best(state.global_step, evaluation.metrics, self.trainer.save_weights)
        if isinstance(evaluation, Transcribed):
            before = [row[LENGTH_RATIO] for row in self.rows() if row["step"] < state.global_step and LENGTH_RATIO in row]
            self.notices.evaluated(state.global_step, evaluation.warnings(before))
        write_json(self._run.folder / "samples.json", self._samples)
        if self._samples:
            self._run.text_later("samples.csv", csv_text(["step", "id", "reference", "hypothesis"], reversed(self._samples)))
        self._run.text_later("training_log.csv", self.table())
        self._run.text_later("checkpoints.csv", self.ranking(Path(args.output_dir)))
        control.should_training_stop |= self.stale(state.global_step)
        self._remember(state.global_step)

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """What a resumed training needs of the log."""
        self._remember(state.global_step)

    def table(self) -> str:
        """training_log.csv: one row per logged step."""
        rows = self.rows()
        columns = list(dict.fromkeys([*FIRST_COLUMNS, *(key for row in rows for key in sorted(row))]))
        return csv_text(columns, [[_short(row.get(column, "")) for column in columns] for row in rows])

    def rows(self) -> list[dict[str, float]]:
        """The logged values, by step."""
        return sorted(self._rows.values(), key=lambda row: row["step"])

    def ranking(self, folder: Path) -> str:
        """checkpoints.csv: every evaluated step, best first, and which of them lie on disk."""
        evaluated = sorted((row for row in self._rows.values() if "eval/loss" in row), key=self._rank)
        metrics = list(dict.fromkeys([*self._ranking, *sorted(key for row in evaluated for key in row if key.startswith(f"{EVALUATED}/"))]))
        best = (read_json(self.best / BEST_META) or {}).get("step")
        kept = {int(path.name.rpartition("-")[2]) for path in folder.glob("checkpoint-*")}
        rows = [
            [place, row["step"], *(_short(row.get(key, "")) for key in metrics),
             "best model" if row["step"] == best else "checkpoint" if row["step"] in kept else ""]
            for place, row in enumerate(evaluated, 1)
        ]  # fmt: skip
        return csv_text(["rank", "step", *(key.partition("/")[2] for key in metrics), "kept as"], rows)

    def _remember(self, step: int) -> None:
        """The log as it is now; the clock starts anew, so that evaluating and saving do not count as training."""
        write_json(self._run.folder / "log.json", list(self._rows.values()))
        self._clock = (step, time.perf_counter())

    def keep_if_best(self, step: int, metrics: dict[str, float], save: Callable[[Path], None], **facts: Any) -> bool:
        """What `save` writes becomes the best model, with its metrics and `facts`, if its metrics rank above those of the best so far."""
        reached = {curve(key): value for key, value in metrics.items()}
        best = read_json(self.best / BEST_META)
        if best and [best[key.partition("/")[2]] for key in self._ranking] <= [reached[key] for key in self._ranking]:
            return False
        with folder_written_at_once(self.best) as folder:
            save(folder)
            write_json(folder / BEST_META, {"step": step, **{key.partition("/")[2]: value for key, value in reached.items()}, **facts})
        return True

    def stale(self, step: int) -> bool:
        """Whether nothing became better for so long that `step` is the last one."""
        evaluated = [row for row in self.rows() if "eval/loss" in row and row["step"] <= step]
        if not self._patience or not evaluated:
            return False
        best = min(range(len(evaluated)), key=lambda index: self._rank(evaluated[index]))
        if len(evaluated) - 1 - best < self._patience:
            return False
        log.info("stopped early: nothing better in %d evaluations", self._patience)
        return True

    def _rank(self, row: dict[str, float]) -> tuple[float, ...]:
        return (*(row[key] for key in self._ranking), row["step"])

    def _speed(self, step: int) -> float:
        before, then = self._clock
        now = time.perf_counter()
        self._clock = (step, now)
        seconds = sum(self._seconds[before * self._accumulation : step * self._accumulation])
        return seconds / max(now - then, 1e-6)


def _short(value: Any) -> Any:
    return f"{value:.6g}" if isinstance(value, float) else value


class Progress(TrainerCallback):
    """One bar on standard error with loss and WER."""

    def __init__(self, label: str) -> None:
        self._label, self._bar, self._shown = label, None, {}

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Open the bar at the step that a resumed run starts from."""
        self._bar = bar(total=state.max_steps, initial=state.global_step, label=self._label, unit="step")

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Advance."""
        self._bar.update(1)

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **_: Any) -> None:
        """Show loss and WER."""
        for key, name, form in (("loss", "loss", "{:.3f}"), ("eval_wer", "WER", "{:.1%}")):
            if logs and key in logs:
                self._shown[name] = form.format(logs[key])
        self._bar.set_postfix(self._shown, refresh=False)

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Close."""
        self._bar.close()


class Interruption(TrainerCallback):
    """Ctrl-C or SIGTERM finishes the step, saves a checkpoint and ends; a second one, later than the first, stops at once.

    So does the end of a session, at `deadline` by time.monotonic.
    """

    SAME = 1.0  # s; `mlflow run` passes both signals on together

    def __init__(self, deadline: float | None = None) -> None:
        self.requested_at: float | None = None
        self.time_is_up = False
        self._deadline = deadline
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "Interruption":
        import threading

        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _on_signal(self, number: int, frame: Any) -> None:
        now = time.monotonic()
        if self.requested_at is not None and now - self.requested_at > self.SAME:
            raise KeyboardInterrupt
        if self.requested_at is None:
            self.requested_at = now
            log.warning("stopping after this step and saving a checkpoint; again to stop at once")

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Trainer saves and leaves its loop: all processes after the same step."""
        asked = self.requested_at is not None or processes.abandoned()
        asked, self.time_is_up = processes.any_of(asked, self._deadline is not None and time.monotonic() >= self._deadline)
        if asked and self.requested_at is None:
            self.requested_at = time.monotonic()
        if self.requested_at is not None or self.time_is_up:
            control.should_save = True
            control.should_training_stop = True
