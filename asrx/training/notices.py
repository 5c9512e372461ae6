"""What a person should know about a run while it goes on: a line in the log, a tag, a line in the run's note."""

import logging
import re
from typing import Protocol

from ..files import read_json, write_json
from ..tracking import Run

log = logging.getLogger("asrx")

WARNING = "asrx.warning"  # tag of a run
FILE = "notices.json"
SHOWN = 10  # events in tag and note: the newest
MEASURED = re.compile(r"'.*'|\d[\d.]*")  # what differs between two sentences of one kind


class Tells(Protocol):
    """What hears of events."""

    def happened(self, step: int, sentence: str) -> None:
        """An event at a step."""

    def table(self, name: str, content: str) -> None:
        """All such events so far, as CSV."""


class Unheard:
    """Only the log."""

    def happened(self, step: int, sentence: str) -> None:
        """A line."""
        log.warning("step %d: %s", step, sentence)

    def table(self, name: str, content: str) -> None:
        """Nothing."""


class Notices:
    """Of one run, kept in its folder; delivered in the background, so that a server that is down costs nothing.

    In the log each kind, which is a sentence without its figures, comes once in a run; tag and note have the newest figures.
    """

    def __init__(self, run: Run) -> None:
        self._run, self._path = run, run.folder / FILE
        found = read_json(self._path) or {}
        self._told: dict[str, str] = found.get("told", {})  # kind to newest sentence, with its step
        self._events: list[str] = found.get("events", [])
        self._current: list[str] = found.get("current", [])

    def evaluated(self, step: int, sentences: list[str]) -> None:
        """What is odd about the newest evaluation."""
        for sentence in sentences:
            kind = MEASURED.sub("", sentence)
            if kind not in self._told:
                log.warning("step %d: %s", step, sentence)
            self._told[kind] = f"Step {step}: {sentence}"
        self._current = [f"step {step}: {' '.join(sentences)}" if sentences else f"none at step {step}"]
        self._deliver()

    def happened(self, step: int, sentence: str) -> None:
        """An event, which stays; each one comes in the log."""
        log.warning("step %d: %s", step, sentence)
        self._events.append(f"step {step}: {sentence}")
        self._deliver()

    def table(self, name: str, content: str) -> None:
        """An artifact of the run."""
        self._run.text_later(name, content)

    def repeat(self) -> None:
        """What a session that was killed may not have delivered."""
        if self._told or self._events:
            self._deliver()

    def _deliver(self) -> None:
        if not self._told and not self._events:
            return
        write_json(self._path, {"told": self._told, "events": self._events, "current": self._current})
        events = self._events[-SHOWN:]
        current = [line for line in self._current if not events or not line.startswith("none")]
        self._run.tags_later({WARNING: " ".join([*current, *events])})
        self._run.remarks_later([*self._told.values(), *(f"S{line[1:]}" for line in events)])
