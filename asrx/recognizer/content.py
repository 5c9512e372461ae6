"""The bytes of a recording, wherever they are: in memory or in a regular file. Nothing is read before somebody asks."""

import contextlib
import io
import os
import stat
from collections.abc import Iterator

from .bounds import AudioError, shown

HEAD = 4_096  # bytes that tell most formats apart
MAGIC = ((4, b"ftyp"), (4, b"moov"), (4, b"mdat"), (4, b"wide"), (0, b"\x1a\x45\xdf\xa3"), (0, b"\x30\x26\xb2\x75"), (0, b"#!AMR"), (0, b"FLV\1"),
         (0, b"RIFF"), (0, b"caff"), (0, b"OggS"), (0, b"fLaC"), (0, b"wvpk"), (0, b"TTA1"), (0, b"MAC "), (0, b".RMF"))  # fmt: skip


class Content:
    """Bytes that are read at any place. `size` in bytes, `head` its first 4,096."""

    def __init__(self, source: bytes | int) -> None:
        self._data = source if isinstance(source, bytes) else None
        self.descriptor = source if isinstance(source, int) else None
        self.size = len(source) if isinstance(source, bytes) else os.fstat(source).st_size
        self.head = self.at(0, HEAD)

    def at(self, start: int, length: int) -> bytes:
        """`length` bytes from `start`; fewer at the end."""
        if self._data is None:
            return os.pread(self.descriptor, length, start)
        return self._data if start == 0 and length >= self.size else self._data[start : start + length]

    def stream(self) -> io.BufferedIOBase:
        """A file object at the beginning, for decoders that want one."""
        return Splice(b"", self).buffered() if self._data is None else io.BytesIO(self._data)

    def close(self) -> None:
        """Close the file, if it is one."""
        if self.descriptor is not None:
            os.close(self.descriptor)


def is_container(content: Content) -> bool:
    """Whether the first bytes are those of a format that FFmpeg reads."""
    return any(content.head[at : at + len(magic)] == magic for at, magic in MAGIC)


class Splice(io.RawIOBase):
    """A file that begins with `prefix` and goes on with the bytes `start` to `end` of a content, none of them copied."""

    def __init__(self, prefix: bytes, content: Content, start: int = 0, end: int | None = None) -> None:
        self._prefix, self._content, self._start = prefix, content, start
        self._length = len(prefix) + (content.size if end is None else end) - start
        self._position = 0

    def buffered(self) -> io.BufferedReader:
        """With the few large reads that a system call is worth."""
        return io.BufferedReader(self, 1 << 16)

    def readable(self) -> bool:
        """Yes."""
        return True

    def seekable(self) -> bool:
        """Yes."""
        return True

    def tell(self) -> int:
        """The position in bytes."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move as files do; the new position in bytes."""
        self._position = max(0, offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._length}[whence])
        return self._position

    def readinto(self, buffer: memoryview) -> int:
        """Fill as much of `buffer` as prefix or content hold in one piece."""
        wanted = min(len(buffer), max(0, self._length - self._position))
        inside = self._position - len(self._prefix)
        data = self._prefix[self._position : self._position + wanted] if inside < 0 else self._content.at(self._start + inside, wanted)
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)


@contextlib.contextmanager
def opened(source: bytes | str) -> Iterator[Content]:
    """The content of bytes or of a file for the length of the block."""
    content = Content(source) if isinstance(source, bytes) else open_file(source)
    try:
        _check_size(content.size)
        yield content
    finally:
        content.close()


def identity(path: str) -> tuple[str, int, int, int]:
    """What a file is the same by: name, inode, size, time of the last change. Raises AudioError for what is no regular file."""
    found = _status(path)
    _check_size(found.st_size)
    return path, found.st_ino, found.st_size, found.st_mtime_ns


def open_file(path: str) -> Content:
    """The content of a regular file; a FIFO or a device, which might never answer, is not touched. Raises AudioError."""
    _status(path)
    try:
        return Content(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK))
    except OSError as error:
        raise AudioError(f"cannot be read ({error.strerror or error})") from None


def _status(path: str) -> os.stat_result:
    if path in ("", "."):
        raise AudioError("is missing (no such file: the name is empty)", "missing_audio")
    try:
        found = os.stat(path)
    except PermissionError as error:
        raise AudioError(f"cannot be read ({error.strerror})") from None
    except (OSError, ValueError):  # ValueError: a NUL or a lone surrogate, which no file name holds
        raise AudioError(f"is missing (no such file: {shown(path)})", "missing_audio") from None
    if stat.S_ISDIR(found.st_mode):
        raise AudioError(f"is a folder, not an audio file: {shown(path)}", "not_audio")
    if not stat.S_ISREG(found.st_mode):
        raise AudioError(f"is a pipe or a device, not an audio file: {shown(path)}", "not_audio")
    return found


def _check_size(size: int) -> None:
    if not size:
        raise AudioError("is empty (0 bytes)", "empty_audio")
