"""The frames of an mp3 counted one by one: what its header (Xing, Info) promises wrongly or not at all.

Layout of frame headers: ISO/IEC 11172-3 and 13818-3, section 2.4.1.3; of the Xing header: that of LAME.
"""

import struct
from dataclasses import dataclass

from .content import Content

BITRATES = {  # kbit/s of layer III; True: MPEG-1, False: MPEG-2 and 2.5
    True: (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    False: (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
MPEG_1 = 3  # version bits
RATES = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8_000)}  # Hz by the version bits
WINDOW = 1 << 20  # bytes looked at together
LONGEST_FRAME = 1_441  # bytes; 320 kbit/s at 32 kHz, padded
LOOK_FOR_FIRST = 1 << 16  # bytes of foreign matter that may stand before the first frame
TAG_SLACK = 1 << 10  # bytes by which a file may differ from what its Xing header says, for tags at its end
XING_FRAMES, XING_BYTES = 1, 2  # flags: which fields the header has


@dataclass(frozen=True)
class Frames:
    """MPEG frames found in a file."""

    start: int  # byte of the first one
    end: int  # byte after the last one
    count: int
    samples: int  # per frame and channel
    rate: int  # Hz
    lost: int  # bytes between frames that are neither frames nor tags

    @property
    def total(self) -> int:
        """Samples per channel."""
        return self.count * self.samples

    @property
    def missing(self) -> float:
        """Seconds that the lost bytes would have been, at the file's mean bit rate."""
        kept = max(1, self.end - self.start - self.lost)
        return self.lost / kept * self.total / self.rate


def _frame_lengths() -> dict[bytes, tuple[int, int, int]]:
    """Second and third byte of a header of layer III → bytes of the frame, its samples, its rate in Hz."""
    lengths = {}
    for second in range(0xE0, 0x100):
        version, layer = second >> 3 & 3, 4 - (second >> 1 & 3)
        if version not in RATES or layer != 3:
            continue
        samples = 1_152 if version == MPEG_1 else 576
        for third in range(256):
            bitrate, rate, padding = third >> 4, third >> 2 & 3, third >> 1 & 1
            if 0 < bitrate < 15 and rate < 3:
                hertz, bits = RATES[version][rate], 1_000 * BITRATES[version == MPEG_1][bitrate - 1]
                lengths[bytes((second, third))] = samples // 8 * bits // hertz + padding, samples, hertz
    return lengths


LENGTHS = _frame_lengths()


def first_frame(content: Content) -> int | None:
    """Where the first of three frames in a row begins, near the beginning of a file and after its ID3 tag."""
    start = _tag_length(content.head)
    data = content.at(start, LOOK_FOR_FIRST + 3 * LONGEST_FRAME)
    at = data.find(b"\xff")
    while 0 <= at < LOOK_FOR_FIRST:
        if _row(data, at, 3):
            return start + at
        at = data.find(b"\xff", at + 1)
    return None


def needs_counting(content: Content) -> int | None:
    """The first frame's place, if no Xing header says how many follow, or if it says so of a file of another size."""
    start = _tag_length(content.head)
    if _is_right(content, start):
        return None
    start = first_frame(content)
    return None if start is None or _is_right(content, start) else start


def _is_right(content: Content, start: int) -> bool:
    """Whether the frame here counts the frames and bytes of this file, and not of a part of it."""
    frame = content.at(start, 256)
    at = max(frame.find(b"Xing"), frame.find(b"Info"))
    if frame[1:3] not in LENGTHS or at < 0 or len(frame) < at + 16:
        return False
    flags, count, size = struct.unpack_from(">III", frame, at + 4)
    return flags & (XING_FRAMES | XING_BYTES) == XING_FRAMES | XING_BYTES and count > 0 and content.size <= start + size + TAG_SLACK


def count_frames(content: Content, start: int) -> Frames:
    """Walk from header to header. Tags between frames are passed over; other bytes between them are lost ones."""
    kind = content.at(start, 4)
    family = kind[1] & 0xFE, kind[2] & 0x0C  # version and layer, rate: they do not change within a recording
    found = _Walk(content, start, family)
    found.run()
    _, samples, rate = LENGTHS[kind[1:3]]
    return Frames(start, found.end, found.count, samples, rate, found.lost)


def info_frame(content: Content, frames: Frames) -> bytes:
    """A silent frame with an Info header that promises what was counted, to be put before the first frame."""
    header = bytearray(content.at(frames.start, 4))
    header[1] |= 1  # no checksum
    header[2] = header[2] & 0x0C | 0x90  # a bit rate whose frame holds the fields at every rate
    body = bytearray(LENGTHS[bytes(header[1:3])][0])
    mono, first_generation = header[3] >> 6 == 3, header[1] >> 3 & 3 == MPEG_1
    at = 4 + ((17 if mono else 32) if first_generation else (9 if mono else 17))  # after the side information
    body[:4] = header
    body[at : at + 16] = struct.pack(">4sIII", b"Info", XING_FRAMES | XING_BYTES, frames.count, len(body) + frames.end - frames.start)
    return bytes(body)


class _Walk:
    def __init__(self, content: Content, start: int, family: tuple[int, int]) -> None:
        self._content, self._family = content, family
        self._data, self._base = b"", 0
        self._at = self.end = start
        self.count = self.lost = 0
        self._lengths = {key: value[0] for key, value in LENGTHS.items() if (key[0] & 0xFE, key[1] & 0x0C) == family}

    def run(self) -> None:
        while self._fill() >= 4:
            if self._frames():
                continue
            tag = _tag_length(self._data[self._at - self._base : self._at - self._base + 64])
            if tag:
                self._at += tag
            elif not self._resynchronise():
                return

    def _fill(self) -> int:
        """Bytes at hand from here on, at least two frames unless the file ends."""
        if self._base + len(self._data) - self._at < 2 * LONGEST_FRAME:
            self._data, self._base = self._content.at(self._at, WINDOW), self._at
        return self._base + len(self._data) - self._at

    def _frames(self) -> int:
        """Step over whole frames in the window; how many."""
        data, lengths, size = self._data, self._lengths, len(self._data)
        at = begun = self._at - self._base
        count = 0
        while at + 4 <= size and data[at] == 0xFF:
            length = lengths.get(data[at + 1 : at + 3])
            if length is None or at + length > size:
                break
            at += length
            count += 1
        if at > begun:
            self.end = self._at = self._base + at
            self.count += count
        return count

    def _resynchronise(self) -> bool:
        """Go to the next two frames in a row, counting the bytes passed over; False where there are none."""
        while self._fill() >= 4:
            at = self._data.find(b"\xff", self._at - self._base + 1)
            while at >= 0:
                if _row(self._data, at, 2, self._family):
                    self.lost += self._base + at - self.end
                    self._at = self._base + at
                    return True
                at = self._data.find(b"\xff", at + 1)
            last = self._base + len(self._data)
            if last >= self._content.size:
                return False
            self._at = last - 1
        return False


def _row(data: bytes, at: int, count: int, family: tuple[int, int] | None = None) -> bool:
    """Whether `count` frames of one kind follow each other here."""
    for _ in range(count):
        key = data[at + 1 : at + 3]
        if data[at : at + 1] != b"\xff" or key not in LENGTHS:
            return False
        kind = key[0] & 0xFE, key[1] & 0x0C
        if kind != (family or kind):
            return False
        family = kind
        at += LENGTHS[key][0]
    return True


def _tag_length(data: bytes) -> int:
    """Bytes of the ID3v2, ID3v1 or APE tag that begins here; 0: none does."""
    if data[:3] == b"ID3" and len(data) >= 10:
        return 10 + sum((byte & 0x7F) << shift for byte, shift in zip(data[6:10], (21, 14, 7, 0)))
    if data[:8] == b"APETAGEX" and len(data) >= 16:
        size = struct.unpack_from("<I", data, 12)[0]
        return 32 + size
    return 128 if data[:3] == b"TAG" else 0
