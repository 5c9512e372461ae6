"""One utterance of a source, before its audio is looked at: what readers give and `prepare` takes."""

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Inside:
    """An encoded recording inside a bigger file: a member of an uncompressed tar, or a cell of a parquet or Arrow file."""

    path: str
    start: int  # byte offset in the file; with `column` the row number in it
    length: int = 0  # bytes; unused with `column`
    column: str = ""  # that holds the encoded bytes, plain or as {bytes, path}

    def read(self) -> bytes:
        """The encoded recording. OSError where the file is gone or cut."""
        from . import containers

        return containers.read(self)


@dataclass(frozen=True)
class Row:
    """One utterance of a source."""

    id: str
    audio: Path | Inside  # Path() where the source names none
    text: str
    speaker: str = ""
    split: str | None = None  # the source's own: train, validation or test
    offset: float = 0.0  # s into the recording
    seconds: float | None = None  # of the span from offset; None: to the end
    slices: dict[str, str] = field(default_factory=dict)
    promised: float | None = None  # s that the source says the utterance lasts, where it says so
    channel: int | None = None  # of the recording, from 0; None: all of them, averaged
    problem: str = ""  # why the source's entry cannot be used (no such recording, a pipe command, …); it is rejected with this reason
