"""Tables as CSV text."""

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any


def csv_text(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Rows with a header."""
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows([columns, *rows])
    return buffer.getvalue()


def csv_of(rows: Sequence[dict[str, Any]], columns: Sequence[str] | None = None) -> str:
    """Rows by column; `columns` where there may be no row to take them from."""
    columns = columns or list(rows[0])
    return csv_text(columns, ([row[column] for column in columns] for row in rows))
