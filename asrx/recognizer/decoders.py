"""Which decoder a recording is for: libsndfile where it can, FFmpeg where it cannot. The content decides, never a name."""

import contextlib
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass

from . import wav
from .bounds import AudioError
from .containers import AvFile
from .content import Content, identity, open_file, opened
from .diagnosis import diagnosed
from .libsndfile import NotRecognised, open_by_libsndfile
from .sounds import Sound

OGG_FLAC = 28  # bytes of the first Ogg page before its contents
WAV_CODECS = {1, 2, 3, 6, 7, 0x11, 0x14, 0x31, 0x38, 0x40, 0x55, 0xFFFE}  # format tags that libsndfile knows

_kept = threading.local()  # .entry: the file that was cut last


@dataclass(frozen=True)
class _Entry:
    key: tuple[object, ...]  # process and identity of the file: after a fork the descriptor's position is the parent's, too
    content: Content
    sound: Sound

    def close(self) -> None:
        self.sound.close()
        self.content.close()


def open_sound(content: Content) -> Sound:
    """The recording in a content. Raises AudioError."""
    try:
        return _decodable(content)
    except AudioError as error:
        raise diagnosed(content, error) from None


def _decodable(content: Content) -> Sound:
    try:
        return open_by_libsndfile(content)
    except NotRecognised:
        return AvFile(content)
    except AudioError as error:
        # libsndfile calls malformed what it does not know: some codecs in WAV, FLAC in Ogg as FFmpeg writes it.
        if content.head[:4] != b"RIFF" and not content.head[OGG_FLAC:].startswith(b"\x7fFLAC"):
            raise
        try:
            return AvFile(content)
        except AudioError as other:
            known = wav.format_tag(content) in {None, *WAV_CODECS}
            raise error if known or other.rule == "truncated" else other from None


@contextlib.contextmanager
def kept_open(encoded: bytes | str) -> Iterator[Sound]:
    """The recording, for cutting. A file stays open until this thread asks for another: the next span is often of the same one."""
    if isinstance(encoded, bytes):
        with opened(encoded) as content, contextlib.closing(open_sound(content)) as sound:
            yield sound
        return
    entry = _entry(encoded)
    try:
        yield entry.sound
    except BaseException:
        entry.close()
        raise
    _kept.entry = entry


def _entry(path: str) -> _Entry:
    key = os.getpid(), *identity(path)
    entry = _kept.__dict__.pop("entry", None)
    if entry is not None and entry.key == key:
        return entry
    if entry is not None:
        entry.close()
    content = open_file(path)
    try:
        return _Entry(key, content, open_sound(content))
    except BaseException:
        content.close()
        raise
