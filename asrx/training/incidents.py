"""What happened to a run's optimizer steps: micro-batches in pieces, utterances and whole steps left out.

It is kept in the run's folder with the step that it began at, so that a resumed training does at every step what the first one did.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from ..files import read_json, write_json
from ..tables import csv_text
from . import processes
from .batching import Item

FILE = "incidents.json"
TOLERATED = 3  # every so many times that something is not finite, training stops


@dataclass(frozen=True)
class LeftOut:
    """Utterances without which the model is trained: from `step` on, or, of a `whole_step`, in that one alone."""

    step: int  # optimizer steps that were done before
    ids: list[str]
    reason: str
    whole_step: bool = False


class Incidents:
    """The record of one run; without a folder it is kept in memory.

    `ids`, `seconds`: of the utterances that the items of the plan point to.
    """

    def __init__(self, ids: Sequence[str] = (), seconds: Sequence[float] = (), folder: Path | None = None) -> None:
        self._ids, self._seconds, self._folder = ids, seconds, folder
        found = (read_json(folder / FILE) if folder else None) or {}
        self._divided: list[tuple[int, int]] = [(step, number) for step, number in found.get("divided", [])]
        self.left_out = [LeftOut(**entry) for entry in found.get("left_out", [])]

    def pieces(self, step: int) -> int:
        """In how many pieces a step takes each of its micro-batches."""
        return max((number for since, number in self._divided if since <= step), default=1)

    def divide(self, step: int, number: int) -> None:
        """From now on `number` pieces."""
        self._divided.append((step, number))
        self._keep()

    def leave_out(self, entry: LeftOut) -> None:
        """Remember it."""
        self.left_out.append(entry)
        self._keep()

    def rows(self, step: int, items: Sequence[Item]) -> list[int]:
        """Which of the items of a micro-batch are learnt from."""
        if any(entry.whole_step and entry.step == step for entry in self.left_out):
            return []
        without = {name for entry in self.left_out if not entry.whole_step and entry.step <= step for name in entry.ids}
        return [row for row, item in enumerate(items) if without.isdisjoint(self.ids(item))]

    def times(self) -> int:
        """Steps in which something was not finite."""
        return len({entry.step for entry in self.left_out})

    def utterances(self, step: int) -> int:
        """How many are left out by a step."""
        return len({name for entry in self.left_out if entry.step <= step for name in entry.ids})

    @property
    def resume(self) -> str:
        """The option that goes on with the run."""
        return f"--resume {self._folder.name}" if self._folder else "--resume"

    def ids(self, item: Item) -> list[str]:
        """Of the utterance, and of the one that it is followed by."""
        return [self._ids[index] if self._ids else str(index) for index in (item.index, item.partner) if index is not None]

    def seconds(self, item: Item) -> float:
        """What is heard of an item, in s; 0 where nobody said."""
        return item.lasts(self._seconds) if len(self._seconds) else 0.0

    def table(self) -> str:
        """skipped.csv: an utterance per row."""
        rows = [[entry.step + 1, name, entry.reason, "this step" if entry.whole_step else "from here on"] for entry in self.left_out for name in entry.ids]
        return csv_text(["step", "id", "reason", "left out"], rows)

    def _keep(self) -> None:
        if self._folder and processes.leads():
            write_json(self._folder / FILE, {"divided": self._divided, "left_out": [asdict(entry) for entry in self.left_out]})
