"""Why no decoder opened a file, by what stands in its header: decoders call damaged whatever they do not know."""

import struct

from . import mpeg, ogg
from .bounds import AudioError
from .content import Content

MOST_CHANNELS = 1_024  # libsndfile's bound
CHANNELS = {  # first bytes of a file → what the count is found by, its distance from there in bytes, its form
    b"RIFF": (b"fmt ", 10, "<H"),
    b"RF64": (b"fmt ", 10, "<H"),
    b"riff": (b"fmt ", 26, "<H"),  # Wave64
    b"FORM": (b"COMM", 8, ">H"),
    b".snd": (b".snd", 20, ">I"),
    b"caff": (b"desc", 36, ">I"),
}
RIFF_FORMS = (b"WAVE", b"AVI", b"AMV", b"XWMA", b"QLCM")
STREAM_INFO = (b"\0\0\0\x22", b"\x80\0\0\x22")  # header of FLAC's first metadata block (RFC 9639, section 8.1): 34 bytes, others follow or none


def diagnosed(content: Content, error: AudioError) -> AudioError:
    """The reason that the header gives; the decoder's error where it gives none: what is cut or damaged stays so."""
    if error.rule not in ("truncated", "bad_audio"):
        return error
    channels = _channels(content.head)
    if channels is not None and not 1 <= channels <= MOST_CHANNELS:
        return AudioError(f"has {channels:,} channels by its header; 1 to {MOST_CHANNELS:,} can be decoded", "bad_audio")
    foreign = _foreign(content)
    return AudioError(f"is not audio: {foreign}", "not_audio") if foreign else error


def _channels(head: bytes) -> int | None:
    name, distance, form = CHANNELS.get(head[:4], (b"", 0, ">H"))
    at = head.find(name) + distance
    return struct.unpack_from(form, head, at)[0] if name and at >= distance and at + struct.calcsize(form) <= len(head) else None


def _foreign(content: Content) -> str:
    """What shows that a file only begins like a recording; empty: nothing does."""
    head = content.head
    if head[:4] == b"OggS":
        return "" if ogg.has_pages(content) else "begins with OggS, but no Ogg page is in it"
    if head[:4] == b"fLaC":
        return "" if content.size < 8 or head[4:8] in STREAM_INFO else "begins with fLaC, but no FLAC stream information follows"
    if head[:4] == b"RIFF":
        return "" if content.size < 12 or head[8:12].startswith(RIFF_FORMS) else f"a RIFF file of the form {head[8:12]!r}, not WAVE"
    if mpeg.begins_with_sync(content):
        return "" if mpeg.has_frames(content) else "begins like an MPEG frame, but none is in it"
    return ""
