"""One look for all progress bars: on standard error, quick on a terminal, a line now and then in a log."""

import sys
from collections.abc import Iterable
from typing import Any


def bar(iterable: Iterable[Any] | None = None, *, total: int | None, label: str, unit: str, initial: int = 0) -> Any:
    """A tqdm bar."""
    from tqdm import tqdm

    on_terminal = sys.stderr.isatty()
    return tqdm(
        iterable, total=total, desc=label, unit=unit, initial=initial, file=sys.stderr,
        mininterval=0.5 if on_terminal else 15.0, maxinterval=1.0 if on_terminal else 60.0, dynamic_ncols=on_terminal,
    )  # fmt: skip
