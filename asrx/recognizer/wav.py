"""The plainest recordings, 16-bit WAV, taken from the file as they are: most corpora are made of them."""

import struct

import numpy as np

from .content import Content

PCM, EXTENSIBLE = 1, 0xFFFE  # format tags
LARGEST = 1 << 23  # bytes read at once; what is larger is left to a decoder that reads in blocks


def int16_frames(content: Content) -> tuple[np.ndarray, int] | None:
    """Samples (time, channels) and rate in Hz of a whole 16-bit WAV; None for anything else, however slightly."""
    head = content.head
    if head[:4] != b"RIFF" or head[8:12] != b"WAVE":
        return None
    position, form = 12, b""
    while position + 8 <= len(head):
        name, length = head[position : position + 4], int.from_bytes(head[position + 4 : position + 8], "little")
        position += 8
        if name == b"data":
            return _frames(content, form, position, length)
        if name == b"fmt ":
            form = head[position : position + length]
        position += length
        position += length % 2 and head[position : position + 1] == b"\0"  # the padding of odd chunks, which some writers forget
    return None


def format_tag(content: Content) -> int | None:
    """The number of the codec in a WAV, out of the extension if it has one; None for anything else."""
    at = content.head.find(b"fmt ") + 8
    form = content.head[at : at + 26]
    if content.head[:4] not in (b"RIFF", b"RF64") or at < 8 or len(form) < 2:
        return None
    tag = int.from_bytes(form[:2], "little")
    return int.from_bytes(form[24:26], "little") if tag == EXTENSIBLE and len(form) == 26 else tag


def _frames(content: Content, form: bytes, start: int, length: int) -> tuple[np.ndarray, int] | None:
    if len(form) < 16:
        return None
    tag, channels, rate, _, frame_bytes, bits = struct.unpack_from("<HHIIHH", form)
    if tag == EXTENSIBLE and len(form) >= 26:
        tag = int.from_bytes(form[24:26], "little")
    if (tag, bits) != (PCM, 16) or not channels or frame_bytes != 2 * channels or length % frame_bytes:
        return None
    if not 0 < length <= min(LARGEST, content.size - start):
        return None
    return np.frombuffer(content.at(start, length), "<i2").reshape(-1, channels), rate
