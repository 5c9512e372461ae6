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
LAYER, LAYER_2 = 0x06, 0x04  # bits of the second byte, and how they stand in an mp2
WINDOW = 1 << 20  # bytes looked at together
LONGEST_FRAME = 1_441  # bytes; 320 kbit/s at 32 kHz, padded
LONGEST_LAYER_2 = 1_729  # bytes; the same of an mp2, whose frames are not counted
LOOK_FOR_FIRST = 1 << 16  # bytes of foreign matter that may stand before the first frame
TAG_SLACK = 1 << 10  # bytes by which a file may differ from what its Xing header says, for tags at its end
TAIL = 1 << 11  # bytes after the last frame that are passed over whatever they are: a frame that was cut, foreign footers
PADDING = 1 << 12  # the same of zeros: a file filled up to a whole block
CLEARLY_SHORT = 2  # frames by which the count must miss the header's to measure alone what is missing
LONGEST_LYRICS = 5_120  # bytes of a Lyrics3 tag of the first version, whose length stands nowhere
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
    tail: int = 0  # bytes after the last frame that should have been frames
    promised: int = 0  # frames by the Xing header; 0: it does not say

    @property
    def total(self) -> int:
        """Samples per channel."""
        return self.count * self.samples

    @property
    def missing(self) -> float:
        """Seconds that the lost bytes would have been, at the file's mean bit rate, or that the Xing header promises beyond the frames."""
        kept = max(1, self.end - self.start - self.lost)
        unheard = max(0, self.promised - self.count) * self.samples
        return max((self.lost + self.tail) / kept * self.total, unheard) / self.rate


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


def begins_with_sync(content: Content) -> bool:
    """Whether the eleven bits that every MPEG frame begins with stand first, after an ID3 tag: noise has them, too."""
    data = content.at(_tag_length(content.head), 2)
    return len(data) == 2 and data[0] == 0xFF and data[1] >= 0xE0


def has_frames(content: Content) -> bool:
    """Whether there are frames: three in a row near the beginning, or a header or tag there after which the file is cut."""
    start = _tag_length(content.head)
    if _promise(content, start)[0] or first_frame(content) is not None:
        return True
    data, at = content.at(start, 3 * LONGEST_FRAME), 0
    if data[1:2] and data[1] & LAYER == LAYER_2:
        return len(data) < 2 * LONGEST_LAYER_2
    while at + 3 <= len(data):
        if data[at] != 0xFF or data[at + 1 : at + 3] not in LENGTHS:
            return False
        at += LENGTHS[data[at + 1 : at + 3]][0]
    return True


def needs_counting(content: Content) -> int | None:
    """The first frame's place, if no Xing header says how many follow, or if it says so of a file of another size."""
    start = _tag_length(content.head)
    if _is_right(content, start):
        return None
    start = first_frame(content)
    return None if start is None or _is_right(content, start) else start


def _is_right(content: Content, start: int) -> bool:
    """Whether the frame here counts the frames and bytes of this file, and not of a part of it."""
    count, size = _promise(content, start)
    return count > 0 and size > 0 and content.size <= start + size + TAG_SLACK


def _promise(content: Content, start: int) -> tuple[int, int]:
    """Frames and bytes by the Xing header in the frame here; 0: it does not say."""
    frame = content.at(start, 256)
    at = max(frame.find(b"Xing"), frame.find(b"Info"))
    if frame[1:3] not in LENGTHS or at < 0 or len(frame) < at + 16:
        return 0, 0
    flags, *fields = struct.unpack_from(">III", frame, at + 4)
    count = fields.pop(0) if flags & XING_FRAMES else 0
    return count, fields[0] if flags & XING_BYTES else 0


def count_frames(content: Content, start: int) -> Frames:
    """Walk from header to header. Tags between frames are passed over; other bytes between them are lost ones.

    The Xing header's count decides, whatever the file's size: with as many frames nothing after the last one matters, with fewer
    the end is missing. With more, recordings were joined, and without a header nobody knows: then a long tail that is no tag
    stands in the place of frames.
    """
    kind = content.at(start, 4)
    family = kind[1] & 0xFE, kind[2] & 0x0C  # version and layer, rate: they do not change within a recording
    found = _Walk(content, start, family)
    found.run()
    _, samples, rate = LENGTHS[kind[1:3]]
    promised = _promise(content, start)[0]
    complete = promised in (found.count - 1, found.count)  # some writers count the header's own frame, most do not
    measured = complete or promised > found.count + CLEARLY_SHORT
    return Frames(start, found.end, found.count, samples, rate, found.lost, 0 if measured else _tail(content, found.known), promised)


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
        self._at = self.end = start  # `end`: after the last frame
        self.count = self.lost = 0
        self._lengths = {key: value[0] for key, value in LENGTHS.items() if (key[0] & 0xFE, key[1] & 0x0C) == family}

    @property
    def known(self) -> int:
        """The byte after the last frame or tag, once the walk is over."""
        return self._at

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
        begun = self._at
        while self._fill() >= 4:
            at = self._data.find(b"\xff", self._at - self._base + 1)
            while at >= 0:
                if _row(self._data, at, 2, self._family):
                    self.lost += self._base + at - begun
                    self._at = self._base + at
                    return True
                at = self._data.find(b"\xff", at + 1)
            last = self._base + len(self._data)
            if last >= self._content.size:
                break
            self._at = last - 1
        self._at = begun
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
    if data[:4] == b"TAG+":
        return 227
    return 128 if data[:3] == b"TAG" else 0


def _tail(content: Content, start: int) -> int:
    """Bytes from here to the tags at the end of the file; 0: so few that they are a cut frame, a footer or padding."""
    end = content.size
    while end > start and (length := _last_tag_length(content.at(max(start, end - LONGEST_LYRICS), min(end - start, LONGEST_LYRICS)))):
        end -= length
    length = max(0, end - start)
    return 0 if length <= TAIL or (length <= PADDING and not any(content.at(start, length))) else length


def _last_tag_length(data: bytes) -> int:
    """Bytes of the ID3v1, APE or Lyrics3 tag, or the ID3v2 one with a footer, that ends here; 0: none does."""
    if data[-128:-125] == b"TAG":
        return 227 + 128 if data[-355:-351] == b"TAG+" else 128
    if data[-32:-24] == b"APETAGEX":
        size, _, flags = struct.unpack_from("<III", data, len(data) - 20)
        return size + 32 * (flags >> 31)
    if data[-9:] == b"LYRICS200" and data[-15:-9].isdigit():
        return int(data[-15:-9]) + 15
    if data[-9:] == b"LYRICSEND" and (begin := data.rfind(b"LYRICSBEGIN")) >= 0:
        return len(data) - begin
    return 10 + _tag_length(b"ID3" + data[-7:]) if data[-10:-7] == b"3DI" else 0
