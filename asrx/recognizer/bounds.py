"""What audio has to keep to, and the error that says how it does not."""

from dataclasses import dataclass

SAMPLE_RATE = 16_000  # Hz, of everything inside asrx
LONGEST_NAME = 120  # characters of a file name that a message shows
MPEG_FRAME = 1_152  # samples; what an encoder may pad or a decoder hold back, whatever the rate


class AudioError(ValueError):
    """Audio that cannot be used; the message says why, `rule` in one word which kind of reason it is.

    Rules: missing_audio, not_audio, empty_audio, truncated, not_finite, out_of_scale, rate, antiphase, too_long, bad_span, bad_audio.
    """

    def __init__(self, message: str, rule: str = "bad_audio") -> None:
        super().__init__(message)
        self.rule = rule


@dataclass(frozen=True)
class Limits:
    """Bounds that decoding checks."""

    max_seconds: float | None = None  # s, inclusive; decoding stops there
    min_rate: int = 4_000  # Hz; below this no speech is intelligible
    max_rate: int = 384_000  # Hz; above this a header is damaged
    max_missing: float = 0.05  # s by which audio may fall short of what its header, its manifest or a span promises
    antiphase: float = 1e-3  # energy of the mono mix over the mean energy of the channels; below it they cancel each other out

    def check_rate(self, rate: int) -> None:
        """Raise AudioError for a sample rate (Hz) that no speech has."""
        if not self.min_rate <= rate <= self.max_rate:
            raise AudioError(f"has a sample rate of {rate:,} Hz; {self.min_rate:,} to {self.max_rate:,} Hz is speech", "rate")

    def check_length(self, frames: int, rate: int, promised: int | None = None) -> None:
        """Raise AudioError for more than `max_seconds`. `promised`: frames by the header, where it is known."""
        if self.max_seconds is None or frames <= self.most_frames(rate):
            return
        longest = -(-promised * 1_000 // rate) / 1_000 if promised else 0.0  # rounded up, lest it read like the bound
        length = f"lasts {longest:,.3f} s, longer" if promised and promised >= frames else "is longer"
        raise AudioError(f"{length} than {self.max_seconds:g} s", "too_long")

    def most_frames(self, rate: int) -> int | None:
        """Frames at `rate` (Hz) that are not too long; None: any number."""
        return None if self.max_seconds is None else int(self.max_seconds * rate + 1e-6)

    def check_whole(self, seconds: float, missing: float, rate: int) -> None:
        """Raise AudioError where `missing` seconds beyond those decoded are too many."""
        if missing > max(self.max_missing, MPEG_FRAME / rate):
            raise truncated(seconds, missing)


def truncated(seconds: float, missing: float = float("inf")) -> AudioError:
    """The error for audio of which only `seconds` could be decoded and `missing` seconds (infinity: unknown) could not."""
    more = "more was recorded" if missing == float("inf") else f"{seconds + missing:.2f} s were recorded"
    return AudioError(f"is truncated or damaged: {seconds:.2f} s could be decoded, {more}", "truncated")


def shown(name: object) -> str:
    """A file name for a message: short, on one line."""
    return repr(str(name)[:LONGEST_NAME])[1:-1]
