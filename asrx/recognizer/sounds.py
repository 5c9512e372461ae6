"""An open recording, whoever decodes it."""

import numpy as np

from .bounds import AudioError

SKIP = 1 << 16  # frames thrown away at once


class Sound:
    """An open recording: `rate` in Hz, `channels`, `frames` that its header promises (None: it does not say), `position` in frames.

    A decoder provides `_decode` and, where the format can be entered anywhere, `_jump`.
    """

    rate: int
    channels: int
    frames: int | None
    position: int = 0

    def read(self, frames: int) -> np.ndarray:
        """The next frames, float32 of full scale 1 or int16, shape (time, channels); fewer only at the end. Raises AudioError."""
        block = self._decode(frames)
        self.position += len(block)
        return block

    def seek(self, frame: int) -> None:
        """Go to a frame, or to the end if there are fewer. Raises AudioError."""
        if frame == self.position or self._jump(frame):
            self.position = frame
            return
        if frame < self.position:
            self._rewind()
            self.position = 0
        while self.position < frame and len(self.read(min(SKIP, frame - self.position))):
            pass

    def missing(self) -> float:
        """Seconds known to be lost, once everything was read; infinity if it is not known how many."""
        return 0.0 if self.frames is None else (self.frames - self.position) / self.rate

    def close(self) -> None:
        """Give back what is held."""

    def _decode(self, frames: int) -> np.ndarray:
        raise NotImplementedError

    def _jump(self, frame: int) -> bool:
        """Go to a frame directly; False where that cannot be done."""
        return False

    def _rewind(self) -> None:
        raise NotImplementedError


class Chain(Sound):
    """Recordings one after the other: a chained Ogg stream (RFC 3533, section 4)."""

    def __init__(self, links: list[Sound]) -> None:
        self._links, self._current = links, 0
        self.rate, self.channels = links[0].rate, links[0].channels
        if any((link.rate, link.channels) != (self.rate, self.channels) for link in links):
            raise AudioError("is a chain of recordings of different rates or channels")
        self.frames = sum(link.frames for link in links)

    def missing(self) -> float:
        """Seconds that any of the links lacks."""
        return sum(link.missing() for link in self._links)

    def close(self) -> None:
        """Close every link."""
        for link in self._links:
            link.close()

    def _decode(self, frames: int) -> np.ndarray:
        blocks = []
        while frames and self._current < len(self._links):
            blocks.append(self._links[self._current].read(frames))
            frames -= len(blocks[-1])
            self._current += bool(frames)
        return np.concatenate(blocks) if blocks else np.zeros((0, self.channels), np.float32)

    def _rewind(self) -> None:
        self._current = 0
        for link in self._links:
            link.seek(0)
