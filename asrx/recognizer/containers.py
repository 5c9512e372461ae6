"""Recordings that FFmpeg reads (through PyAV, an extra): m4a, mp4, webm, wma, amr, … and the sound of videos."""

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from . import ogg, wav
from .bounds import AudioError, truncated
from .content import Content, Splice, is_container
from .mixdown import to_float
from .sounds import Sound

if TYPE_CHECKING:
    import av

DEMUXERS = (  # no playlists or image series, which would open other files, and no mp3, whose probe takes noise for music
    "aac,ac3,ac4,aiff,amr,ape,asf,au,avi,caf,dsf,dts,dtshd,eac3,flac,flv,latm,loas,matroska,webm,mlp,mov,mp4,m4a,3gp,3g2,mj2,mpc,mpc8,mpeg,mpegts,mxf,"
    "nut,ogg,oma,qcp,rm,shn,sln,sox,tak,truehd,tta,voc,w64,wav,wtv,wv,xwma"
)
LENGTH_KNOWN = {"mov", "matroska", "asf", "wav", "w64", "caf", "wv", "tta", "ape", "aiff", "flac", "avi", "flv", "ogg"}  # the others' durations are guesses
CONSTANT_RATE = {"ac3", "eac3"}  # their duration is guessed from the bit rate, and the guess is right
RAW = {"aac", "ac3", "eac3", "amr"}  # nothing but frames: bytes that are in none of them are lost
TAG_BYTES = 1 << 10  # of a raw stream that may be tags
PADDED = {"mov"}  # an edit list or a duration says where the encoder's padding begins
PREROLL = 0.1  # s decoded before a span: codecs with overlapping windows, and Opus (80 ms, RFC 7845), need it
SILENT_GAP = 0.45  # s without packets that are silence not sent (Opus DTX sends every 400 ms); longer ones are lost
JITTER = 0.005  # s that time stamps may be off; Matroska counts milliseconds
SCALES = {"u8": 2**-7, "s32": 2**-31, "s64": 2**-63}


class AvFile(Sound):
    """The first audio stream of a file, as FFmpeg decodes it: encoder delay and padding removed where the container knows them."""

    def __init__(self, content: Content) -> None:
        self._content = content
        self._lost, self._bytes, self.frames = 0.0, 0, None
        self._start()
        self.frames = self._length()

    def missing(self) -> float:
        """Seconds lost between packets, in damaged ones, and at the end."""
        if self._is_cut():
            return math.inf
        foreign = max(0, self._content.size - self._bytes - TAG_BYTES) if self._format in RAW and self._bytes else 0
        return self._lost + max(0.0, super().missing()) + foreign / max(1, self._bytes) * self.position / self.rate

    def _is_cut(self) -> bool:
        """Whether a container ends early though its duration, taken from what is left of it, does not show it."""
        if self._format == "ogg":
            return not ogg.ends(self._content)
        return self._format == "avi" and int.from_bytes(self._content.head[4:8], "little") + 8 > self._content.size

    def close(self) -> None:
        """Close decoder and demuxer."""
        self._container.close()

    def _start(self) -> None:
        """Open the file and decode its first frame: only that tells the rate of HE-AAC."""
        self._container = _open(self._content)
        if not self._container.streams.audio:
            others = len(self._container.streams)
            self._container.close()
            raise AudioError("is a file without sound: no audio stream in it", "not_audio") if others else truncated(0.0)
        self._stream = self._container.streams.audio[0]
        if self._stream.codec_context is None:
            self._container.close()
            raise AudioError(f"cannot be decoded: FFmpeg has no decoder for its sound{_codec(self._content)}")
        self._format = self._container.format.name.partition(",")[0]
        self._tick = float(self._stream.time_base or 0)
        self._decoded = self._decoder()
        first = next(self._decoded, None)
        if first is None:
            self._container.close()
            raise truncated(0.0)
        self.rate, self.channels = first.sample_rate, first.layout.nb_channels
        self._origin, self._next = self._seconds(first) or 0.0, 0
        self._empty()
        self._take(first)

    def _decoder(self) -> Iterator["av.AudioFrame"]:
        import av

        packets = self._container.demux(self._stream)
        while True:
            packet = None
            try:
                packet = next(packets)
                self._bytes += packet.size
                yield from packet.decode()
            except StopIteration:
                return
            except EOFError:
                return
            except av.FFmpegError:
                if packet is None:  # the demuxer has lost its way
                    self._lost = math.inf if self.frames is None else self._lost
                    return
                self._lost += float((packet.duration or 0) * (packet.time_base or 0))

    def _take(self, frame: "av.AudioFrame") -> None:
        """Keep a frame, after the silence that was not sent before it."""
        at = self._seconds(frame)
        gap = 0 if at is None else round((at - self._origin) * self.rate) - self._next
        if gap > SILENT_GAP * self.rate:
            self._lost += gap / self.rate
        elif gap > JITTER * self.rate:
            self._drain(self._fifo.samples)
            self._keep(np.zeros((gap, self.channels), np.int16))  # silence in either type: it has no scale
        self._next += frame.samples + (gap if gap > JITTER * self.rate else 0)
        frame.pts = None  # the queue accepts no gaps
        try:
            self._fifo.write(frame)
        except ValueError:
            raise AudioError("changes its sample rate or its channels on the way") from None

    def _empty(self) -> None:
        """Forget what was decoded and not yet read."""
        import av

        self._blocks: list[np.ndarray] = []
        self._held = 0
        self._fifo = av.AudioFifo()

    def _drain(self, frames: int) -> None:
        """Frames from the queue to the blocks: one conversion for many packets."""
        if frames > 0 and (queued := self._fifo.read(frames, partial=True)) is not None:
            self._keep(_samples(queued))

    def _keep(self, block: np.ndarray) -> None:
        self._blocks.append(block)
        self._held += len(block)

    def _seconds(self, frame: "av.AudioFrame") -> float | None:
        return None if frame.pts is None else frame.pts * self._tick

    def _length(self) -> int | None:
        """Frames that the container promises; None where it does not or only guesses."""
        if self._format not in LENGTH_KNOWN | CONSTANT_RATE:
            return None
        if self._stream.duration:
            return round(float(self._stream.duration * self._stream.time_base) * self.rate)
        tag = self._stream.metadata.get("DURATION", "")
        if tag.count(":") == 2:
            hours, minutes, seconds = map(float, tag.split(":"))
            return round((3_600 * hours + 60 * minutes + seconds) * self.rate)
        alone = len(self._container.streams) == 1
        return round(self._container.duration * 1e-6 * self.rate) if alone and self._container.duration else None

    def _decode(self, frames: int) -> np.ndarray:
        if self._format in PADDED and self.frames is not None:
            frames = min(frames, max(0, self.frames - self.position))
        while self._held + self._fifo.samples < frames and (frame := next(self._decoded, None)) is not None:
            self._take(frame)
        self._drain(frames - self._held)
        whole = self._blocks[0] if len(self._blocks) == 1 else self._joined()
        self._held = max(0, len(whole) - frames)
        self._blocks = [whole[frames:]] if self._held else []
        return whole[:frames]

    def _joined(self) -> np.ndarray:
        if not self._blocks:
            return np.zeros((0, self.channels), np.float32)
        same = len({block.dtype for block in self._blocks}) == 1
        return np.concatenate(self._blocks if same else [to_float(block) for block in self._blocks])

    def _jump(self, frame: int) -> bool:
        """Enter before the frame and decode up to it. Time stamps say where that is; raw streams have only guesses of them."""
        import av

        ahead = frame - self.position
        # Near the beginning an encoder's delay would have to be removed again: opening the file does that.
        if self._format not in LENGTH_KNOWN or 0 <= ahead < 2 * PREROLL * self.rate or frame < 2 * PREROLL * self.rate:
            return False
        seconds = frame / self.rate - PREROLL + self._origin
        try:
            self._container.seek(int(seconds / self._stream.time_base), stream=self._stream)
        except av.FFmpegError:
            return False
        self._decoded = self._decoder()
        self._empty()
        first = next(self._decoded, None)
        at = None if first is None else self._seconds(first)
        if at is None or at > seconds + PREROLL:
            self._rewind()
            self.position = 0
            return False
        self._next = round((at - self._origin) * self.rate)
        self.position = self._next
        self._take(first)
        while self.position < frame and len(self.read(frame - self.position)):
            pass
        return True

    def _rewind(self) -> None:
        self._container.close()
        self._start()


def _open(content: Content) -> "av.container.InputContainer":
    try:
        import av
    except ImportError:
        hint = "for m4a, mp4, webm, wma, amr and more: pip install 'asrx[formats]' (or only av)"
        raise AudioError(f"is not audio in any format that libsndfile reads{_codec(content)}; {hint}", "not_audio") from None
    try:
        # From a file object: a name might be taken for an address, and a file that names others could not open them.
        return av.open(Splice(b"", content), metadata_errors="replace", options={"format_whitelist": DEMUXERS, "protocol_whitelist": ""})
    except (av.FFmpegError, EOFError) as error:
        if is_container(content):
            raise AudioError(f"is truncated or damaged ({error.strerror or error})", "truncated") from None
        raise AudioError("is not audio in any format that libsndfile or FFmpeg reads", "not_audio") from None


def _codec(content: Content) -> str:
    tag = wav.format_tag(content)
    return "" if tag is None else f" (WAV format tag 0x{tag:04X})"


def _samples(frame: "av.AudioFrame") -> np.ndarray:
    """float32 of full scale 1 or int16, shape (time, channels)."""
    values = frame.to_ndarray()
    block = values.T if frame.format.is_planar else values.reshape(frame.samples, -1)
    if block.dtype == np.int16:
        return block
    if block.dtype.kind == "f":
        return np.ascontiguousarray(block, np.float32)
    middle = 128 if block.dtype == np.uint8 else 0
    return ((block.astype(np.float64) - middle) * SCALES[frame.format.packed.name]).astype(np.float32)
