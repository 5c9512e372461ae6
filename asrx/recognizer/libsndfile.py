"""Recordings that libsndfile reads, with what it does not say: how much of a truncated file is missing."""

import contextlib
import io
import math
import os
import re
from collections.abc import Iterator

import numpy as np
import soundfile

from . import mpeg, ogg
from .bounds import MPEG_FRAME, AudioError, truncated
from .content import Content, Splice, is_container
from .sounds import Chain, Sound

UNKNOWN = 1 << 40  # frames; above it a length is the decoder's way of saying that the header has none
RESERVOIR = 5_760  # samples before a span of an mp3 whose frames may hold bits of its first one: 511 bytes at the lowest bit rate
STREAMED = 0x7FFFF000  # bytes; who writes into a pipe puts this or more where the size belongs
PROMISES = (  # what libsndfile's log says of a header that promises more than there is
    re.compile(r"^ ?(?:data|SSND|BODY|riff|  Data Size  ) *: (?P<promised>\d+) \(should be (?P<there>\d+)\)", re.M),
    re.compile(r"frame count (?P<there>\d+) does not match value from 'ds64' chunk of (?P<promised>\d+)"),
    re.compile(r"truncated\. (?P<there>\d+) <--> (?P<promised>\d+)"),
    re.compile(r"Data length (?P<promised>\d+) should be (?P<there>\d+)"),
)
COUNTED = re.compile(r"^ *(?:Frames|Samples) *: *(\d+)", re.M)
SAMPLE_COUNT = re.compile(rb"^sample_count -i (\d+)", re.M)  # NIST SPHERE


class NotRecognised(AudioError):
    """No format of libsndfile's, or one that it knows but cannot decode."""


class _Forward(soundfile.SoundFile):
    """Read in blocks of a given size. soundfile would seek after each, which fails where the header has no length."""

    def seekable(self) -> bool:
        return False


class SndFile(Sound):
    """A recording that libsndfile opened."""

    def __init__(self, content: Content, stream: io.BufferedIOBase | None = None) -> None:
        self._content, self._stream = content, stream
        self._open()
        self.rate, self.channels, self.format = self._file.samplerate, self._file.channels, self._file.format
        self.frames = self._file.frames if self._file.frames < UNKNOWN else None
        self._dtype = "int16" if self._file.subtype == "PCM_16" else "float32"
        self.lost = 0.0  # s known to be missing inside

    def missing(self) -> float:
        """Seconds that the header promises and nobody could decode."""
        if self.format == "OGG" and not ogg.ends(self._content):
            return math.inf
        return self.lost + max(super().missing(), 0.0 if self.format in ("FLAC", "OGG", "MP3") else self._promised_more())

    def close(self) -> None:
        """Close the decoder."""
        with contextlib.suppress(soundfile.SoundFileError):
            self._file.close()

    def _open(self) -> None:
        source = self._stream or self._content.descriptor or self._content.stream()
        with _translated():
            if self._stream is not None:
                self._stream.seek(0)
            elif self._content.descriptor is not None:
                # A descriptor and not a name: soundfile takes a file that is called .raw for headerless samples.
                os.lseek(self._content.descriptor, 0, os.SEEK_SET)
            self._file = _Forward(source, closefd=False)

    def _decode(self, frames: int) -> np.ndarray:
        with _translated(self.position / self.rate):
            return self._file.read(frames, dtype=self._dtype, always_2d=True)

    def _jump(self, frame: int) -> bool:
        if self.frames is None:
            return False
        with _translated(self.position / self.rate):
            entry = max(0, frame - RESERVOIR) if self.format == "MP3" else frame
            self._file.seek(min(entry, self.frames))
            if entry < frame:
                self._file.read(frame - entry, dtype="int16")
        return True

    def _rewind(self) -> None:
        self.close()
        self._open()

    def _promised_more(self) -> float:
        """Seconds that a header promises beyond the end of the file: libsndfile shortens such a recording without a word."""
        log = self._file.extra_info
        for match in filter(None, (pattern.search(log) for pattern in PROMISES)):
            promised, there = int(match["promised"]), int(match["there"])
            if promised > there and (promised < STREAMED or self.format in ("W64", "RF64")):
                return self.position / self.rate * (promised - there) / max(1, there)
        if "truncated file" in log:
            return math.inf
        counted = COUNTED.search(log) or (SAMPLE_COUNT.search(self._content.head) if self.format == "NIST" else None)
        return (int(counted[1]) - self.position) / self.rate if counted else 0.0


def open_by_libsndfile(content: Content) -> Sound:
    """The recording in a content. Raises NotRecognised if libsndfile has no decoder for it, AudioError for what is damaged."""
    try:
        sound = SndFile(content, _with_size(content))
    except NotRecognised:
        start = None if is_container(content) else mpeg.first_frame(content)
        if start is None:
            raise
        return _counted(content, start)
    if sound.format == "OGG" and ogg.is_chained(content):
        links = ogg.links(content)
        if len(links) > 1:
            return Chain([SndFile(content, Splice(b"", content, *link).buffered()) for link in links])
    if sound.format == "MP3" and (start := mpeg.needs_counting(content)) is not None:
        counted = mpeg.count_frames(content, start)
        if counted.missing or abs(counted.total - sound.frames) > MPEG_FRAME:
            return _counted(content, start)
    return sound


def _counted(content: Content, start: int) -> SndFile:
    """An mp3 whose frames are counted: libsndfile would guess their number from the first one's bit rate, and stop there."""
    frames = mpeg.count_frames(content, start)
    sound = SndFile(content, Splice(mpeg.info_frame(content, frames), content, start, frames.end).buffered())
    sound.lost = frames.missing
    return sound


def _with_size(content: Content) -> io.BufferedIOBase | None:
    """A WAV or CAF that was streamed and never got its size, with one that libsndfile understands; None for everything else."""
    at = content.head.find(b"data")
    if at < 0 or content.head[:4] not in (b"RIFF", b"caff"):
        return None
    if content.head[:4] == b"caff":
        size, there = content.head[at + 4 : at + 12], content.size - at - 12
        return Splice(content.head[: at + 4] + there.to_bytes(8, "big"), content, at + 12).buffered() if size == b"\xff" * 8 else None
    following = content.head[at + 8 : at + 16]
    chunk = int.from_bytes(following[4:], "little")
    is_chunk = following[:4].isascii() and following[:4].decode().isprintable() and at + 16 + chunk <= content.size
    if content.head[at + 4 : at + 8] != bytes(4) or len(following) < 8 or is_chunk:
        return None
    return Splice(content.head[: at + 4] + b"\xff\xff\xff\xff", content, at + 8).buffered()


@contextlib.contextmanager
def _translated(seconds: float = 0.0) -> Iterator[None]:
    try:
        yield
    except soundfile.SoundFileError as error:
        raise _why((getattr(error, "error_string", None) or str(error)).rstrip("."), seconds) from None
    except OSError as error:
        raise AudioError(f"cannot be read ({error.strerror or error})") from None


def _why(text: str, seconds: float) -> AudioError:
    if "not recognised" in text:
        return NotRecognised("is not audio in any format that libsndfile reads", "not_audio")
    if "nimplemented" in text or "nsupported" in text:
        return NotRecognised(f"cannot be decoded ({text})")
    if seconds:
        return truncated(seconds)
    # The mp3 decoder says that the file does not exist when it finds no frame in it.
    return AudioError("is truncated or damaged" + ("" if "does not exist" in text else f" ({text})"), "truncated")
