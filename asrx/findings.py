"""What a check before training found: a row with its verdict, what was measured and what to do about it."""

from dataclasses import dataclass

OK, WARNING, REFUSED = "ok", "warning", "refused"  # verdicts


@dataclass(frozen=True)
class Finding:
    """The result of one check. `measured` are figures, `advice` what to change where the verdict is not ok."""

    check: str
    verdict: str
    measured: str
    advice: str = ""

    def __post_init__(self) -> None:
        if self.verdict == OK:
            object.__setattr__(self, "advice", "")


def graded(share: float, limit: float) -> str:
    """The verdict on a share of what is wrong: any is a warning, above `limit` nothing sensible can come of it."""
    return REFUSED if share > limit else WARNING if share > 0 else OK


def share_text(share: float) -> str:
    """A share as per cent with the digits that it takes to tell a little from nothing."""
    return f"{100 * share:.0f} %" if share >= 0.1 or share == 0 else f"{100 * share:.2g} %" if share >= 1e-4 else "< 0.01 %"


def size_text(size: float) -> str:
    """Bytes for people, in powers of 1,000."""
    units = ("B", "kB", "MB", "GB", "TB")
    power = next((power for power in range(len(units)) if size < 999.5 * 1_000**power), len(units) - 1)
    return f"{size / 1_000**power:.3g} {units[power]}"


def time_text(seconds: float) -> str:
    """A duration in s, for people."""
    if seconds < 120:
        return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7_200 else f"{seconds / 3_600:.1f} h"
