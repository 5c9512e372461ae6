"""eSpeak NG through ctypes: utterances to audio files.

Every utterance is spoken in a process of its own, because what eSpeak speaks depends on what it spoke before.
"""

import ctypes
import multiprocessing
import multiprocessing.connection
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from .. import progress
from ..errors import AsrxError

SAMPLE_RATE = 22_050  # Hz, the only rate eSpeak NG synthesises at
_NOISE_HOLDS = (1, 4, 16)  # samples; white noise held this long, summed, falls off towards the treble

_SYNCHRONOUS, _DONT_EXIT = 2, 0x8000  # espeak_AUDIO_OUTPUT, espeakINITIALIZE_*
_RATE, _PITCH = 1, 3  # espeak_PARAMETER
_BY_CHARACTER, _UTF8 = 1, 1  # espeak_POSITION_TYPE, espeakCHARS_*


@dataclass(frozen=True)
class Speaker:
    """Somebody eSpeak can be: `pitch` 0..99, `rate` in words per minute, `gain` in dB."""

    voice: str
    variant: str
    accent: str
    pitch: int
    rate: int
    gain: float

    @property
    def name(self) -> str:
        """The corpus's client_id, for example `en-us+f1-p48-r165`."""
        return f"{self.voice}+{self.variant}-p{self.pitch}-r{self.rate}"


@dataclass(frozen=True)
class Utterance:
    """What is said, by whom and in which conditions: `noise` in dB below the speech, silences in seconds."""

    split: str
    clip: str
    spoken: str
    sentence: str
    speaker: Speaker
    noise: float
    silence_before: float
    silence_after: float
    noise_seed: int


@contextmanager
def _espeak_paths() -> Iterator[tuple[str, str]]:
    """The library, and its data under a name short enough: eSpeak cuts paths off at 160 characters."""
    try:
        import espeakng_loader
    except ImportError as error:
        raise AsrxError("the built-in corpus is spoken by eSpeak NG: pip install espeakng-loader") from error
    with tempfile.TemporaryDirectory(prefix="espeak-") as short:
        data = Path(short) / "espeak-ng-data"
        data.symlink_to(Path(espeakng_loader.get_data_path()).absolute())
        yield str(espeakng_loader.get_library_path()), str(data)


def record_all(folder: Path, plan: list[Utterance]) -> None:
    """Speak the plan's clips into `folder`, as many at a time as there are processors."""
    with _espeak_paths() as (library, data):
        _record_all(folder, plan, library, data)


def _record_all(folder: Path, plan: list[Utterance], library: str, data: str) -> None:
    fork = multiprocessing.get_context("fork")
    running: dict[int, tuple[multiprocessing.process.BaseProcess, Utterance]] = {}
    try:
        with progress.bar(total=len(plan), label="speaking", unit="clip") as bar:
            for utterance in plan:
                process = fork.Process(target=_record, args=(utterance, folder, library, data))
                process.start()
                running[process.sentinel] = (process, utterance)
                if len(running) == (os.cpu_count() or 1):
                    bar.update(_collect(running))
            while running:
                bar.update(_collect(running))
    finally:
        for process, _ in running.values():
            process.kill()
            process.join()


def _collect(running: dict[int, tuple[multiprocessing.process.BaseProcess, Utterance]]) -> int:
    """Wait until a process ends, take those that ended out of `running`, and say how many they were."""
    ended = multiprocessing.connection.wait(list(running))
    for sentinel in ended:
        process, utterance = running.pop(sentinel)
        process.join()
        if process.exitcode != 0:
            said = f"{utterance.spoken!r} as {utterance.speaker.name}"
            raise AsrxError(f"{utterance.clip}: eSpeak NG could not say {said} (exit status {process.exitcode})")
    return len(ended)


def _record(utterance: Utterance, folder: Path, library: str, data: str) -> None:
    try:
        speech = _speak(utterance.spoken, utterance.speaker, library, data)
    except (AsrxError, OSError) as error:
        sys.exit(f"{utterance.clip}: {error}")
    soundfile.write(folder / utterance.clip, _in_a_room(speech, utterance), SAMPLE_RATE, "PCM_16", format="FLAC")


def _speak(text: str, speaker: Speaker, library: str, data: str) -> np.ndarray:
    """int16 samples at SAMPLE_RATE. Loads and starts eSpeak NG, which this process must not have done before."""
    espeak = ctypes.CDLL(library)
    rate = espeak.espeak_Initialize(_SYNCHRONOUS, 0, data.encode(), _DONT_EXIT)
    if rate != SAMPLE_RATE:
        raise AsrxError(f"eSpeak NG did not start with {data}: it answered {rate} instead of {SAMPLE_RATE} Hz")
    voice = f"{speaker.voice}+{speaker.variant}"
    if espeak.espeak_SetVoiceByName(voice.encode()) != 0:
        raise AsrxError(f"eSpeak NG has no voice {voice}")
    espeak.espeak_SetParameter(_RATE, speaker.rate, 0)
    espeak.espeak_SetParameter(_PITCH, speaker.pitch, 0)
    return _synthesise(espeak, text)


def _synthesise(espeak: ctypes.CDLL, text: str) -> np.ndarray:
    chunks: list[bytes] = []

    @ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p)
    def keep(samples: int | None, count: int, _events: int | None) -> int:
        if samples and count > 0:
            chunks.append(ctypes.string_at(samples, count * np.dtype(np.int16).itemsize))
        return 0

    espeak.espeak_SetSynthCallback(keep)
    encoded = text.encode() + b"\0"
    espeak.espeak_Synth(encoded, ctypes.c_size_t(len(encoded)), 0, _BY_CHARACTER, 0, _UTF8, None, None)
    if not chunks:
        raise AsrxError(f"eSpeak NG said nothing for {text!r}")
    return np.frombuffer(b"".join(chunks), np.int16)


def _in_a_room(speech: np.ndarray, utterance: Utterance) -> np.ndarray:
    """`speech` (int16) at the speaker's gain, with silence around it and noise over all of it."""
    gained = speech * 10 ** (utterance.speaker.gain / 20)
    silences = (round(utterance.silence_before * SAMPLE_RATE), round(utterance.silence_after * SAMPLE_RATE))
    clean = np.pad(gained, silences)
    power = np.mean(gained**2) / 10 ** (utterance.noise / 10)
    noisy = clean + _noise(len(clean), utterance.noise_seed) * np.sqrt(power)
    return np.clip(np.rint(noisy), -(2**15), 2**15 - 1).astype(np.int16)


def _noise(count: int, seed: int) -> np.ndarray:
    """Noise of unit power that is stronger in the bass."""
    rng = np.random.default_rng(seed)
    layers = [np.repeat(rng.standard_normal(-(-count // hold)), hold)[:count] for hold in _NOISE_HOLDS]
    return sum(layers) / np.sqrt(len(layers))
