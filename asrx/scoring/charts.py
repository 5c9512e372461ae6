"""Scales of the charts on pages: places in per cent of the width, so that a chart fits every screen and its text keeps its size."""

from collections.abc import Iterable
from dataclasses import dataclass

from ..pages import MINUS

TICKS = 5  # spaces between them, at most
NARROWEST = 0.01  # a point, where all values are 0
FARTHEST = 2.0  # times what is known well: what is known badly is drawn no farther out


@dataclass(frozen=True)
class Axis:
    """From the first to the last of some round values."""

    ticks: tuple[float, ...]

    @classmethod
    def over(cls, values: Iterable[float]) -> "Axis":
        """That holds all of the values, with a little room at ends that are not zero."""
        from matplotlib.ticker import MaxNLocator

        values = list(values)
        low, high = min(values), max(values)
        if low == high == 0:
            high = NARROWEST
        room = (high - low or 0.02) / 25
        return cls(tuple(MaxNLocator(TICKS).tick_values(low and low - room, high and high + room).tolist()))

    def at(self, value: float) -> float:
        """The place of a value, in per cent; what is beyond an end stands at it."""
        low, high = self.ticks[0], self.ticks[-1]
        return round(100 * (min(max(value, low), high) - low) / (high - low), 2)

    def holds(self, value: float) -> bool:
        """Whether a value is within the ends."""
        return self.ticks[0] <= value <= self.ticks[-1]

    def label(self, tick: float) -> str:
        """A fraction in per cent or points."""
        return f"{round(100 * tick, 6):g}".replace("-", MINUS)


def axis_of(trusted: Iterable[float], others: Iterable[float]) -> Axis:
    """That holds all of the values that are known well, and the others as far as these do not become dots for it."""
    trusted, others = list(trusted), list(others)
    far = FARTHEST * max(map(abs, trusted))
    return Axis.over([*trusted, *(min(max(value, -far), far) for value in others)])
