"""A small speech corpus that needs no download: voice commands spoken by eSpeak NG, for the demo and the tests.

Every utterance is spoken in a process of its own, because what eSpeak speaks depends on what it spoke before.
"""

import csv
import ctypes
import fcntl
import glob
import hashlib
import multiprocessing
import multiprocessing.connection
import os
import random
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from .. import progress
from ..errors import AsrxError, nearest

HELD_OUT = "test.csv"
SAMPLE_RATE = 22_050  # Hz, the only rate eSpeak NG synthesises at

_VERSION = 1  # raise when the same plan is to sound different
_MARKER = "builtin-corpus.txt"
_COLUMNS = ("path", "sentence", "client_id", "gender", "accent")

_PITCH_CENTRES = (50, 38, 62)  # eSpeak's scale, 0..99, around what the variant itself asks for
_PITCH_SPREAD = 3
_RATES = (150, 185)  # words per minute
_GAINS = (-10.0, 0.0)  # dB per speaker
_NOISE = (20.0, 40.0)  # dB of speech above noise, per utterance
_SILENCES = (0.10, 0.35)  # seconds before and after the speech
_NOISE_HOLDS = (1, 4, 16)  # samples; white noise held this long, summed, falls off towards the treble
_WRITTEN_PROPERLY = 0.5  # share of transcripts with a capital letter and a final mark

_TRAIN_SHARE, _VALIDATION_SHARE = 0.65, 0.10  # of all sentences the grammar can say; the rest is for test

_SYNCHRONOUS, _DONT_EXIT = 2, 0x8000  # espeak_AUDIO_OUTPUT, espeakINITIALIZE_*
_RATE, _PITCH = 1, 3  # espeak_PARAMETER
_BY_CHARACTER, _UTF8 = 1, 1  # espeak_POSITION_TYPE, espeakCHARS_*

# eSpeak speaks an unknown variant plainly and without an error; the breathy ones differ from process to process.
_VARIANTS = {
    **dict.fromkeys(("f1", "f4", "Annie", "linda", "steph", "grandma", "anika", "shelby"), "female"),
    **dict.fromkeys(("m1", "m2", "m4", "m6", "m7", "m8", "Andy", "Gene"), "male"),
}


@dataclass(frozen=True)
class Language:
    """What one language needs: eSpeak voices with their accents, and a grammar that begins at `sentence`."""

    accents: dict[str, str]
    grammar: dict[str, tuple[str, ...]]


_UNITS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine")

_LANGUAGES = {
    "en": Language(
        accents={
            "en-us": "United States",
            "en-us-nyc": "New York City",
            "en-gb-x-rp": "Received Pronunciation",
            "en-gb-scotland": "Scotland",
            "en-gb-x-gbclan": "Lancaster",
            "en-gb-x-gbcwmd": "West Midlands",
            "en-029": "Caribbean",
        },
        grammar={
            "sentence": (
                "call {digit} {digit} {digit} {digit}.",
                "call {digit} {digit} {digit} {digit} {digit} {digit}.",
                "set the {clock} to {number} {span}.",
                "set the {clock} to {number} {span} please.",
                "turn {switch} the {room} {device}.",
                "please turn {switch} the {room} {device}.",
                "{move} the {room} {opening}.",
                "is the {room} {opening} open?",
                "what is {number} plus {number}?",
                "what's {number} plus {number}?",
                "wake me up at {unit} {tens}.",
                "how warm is the {room}?",
                "play song number {number}.",
            ),
            "unit": _UNITS,
            "digit": ("zero", *_UNITS),
            "tens": ("ten", "fifteen", "twenty", "thirty", "forty", "fifty"),
            "number": ("{unit}", "{tens}", "twenty {unit}", "thirty {unit}", "forty {unit}", "fifty {unit}"),
            "clock": ("timer", "alarm"),
            "span": ("minutes", "seconds"),
            "switch": ("on", "off"),
            "room": ("kitchen", "bedroom", "garden", "office"),
            "device": ("light", "radio", "fan"),
            "move": ("open", "close"),
            "opening": ("door", "window"),
        },
    ),
}


@dataclass(frozen=True)
class Amount:
    """The size of one split."""

    speakers: int
    utterances_each: int


_AMOUNTS = {"train": Amount(24, 36), "validation": Amount(6, 10), "test": Amount(12, 15)}


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


def languages() -> list[str]:
    """The languages that `make` speaks."""
    return sorted(_LANGUAGES)


def make(folder: Path, language: str = "en", seed: int = 0) -> Path:
    """Write the built-in corpus of `language` to `folder`, as a source that `prepare` reads, and return `folder`.

    train.csv, validation.csv and test.csv name mono 16 bit FLAC files at 22,050 Hz under clips/. No speaker and no
    sentence is in two of them. The same seed gives the same bytes. A complete corpus that is already there is left as
    it is; one of another seed or version is replaced. `folder` appears only when it is complete.

    Raises AsrxError if the language is unknown, eSpeak NG is not installed or fails, or `folder` holds anything else.
    """
    _make(Path(folder).absolute(), language, seed, _AMOUNTS)
    return folder


def _make(folder: Path, language: str, seed: int, amounts: dict[str, Amount]) -> None:
    if language not in _LANGUAGES:
        known = ", ".join(languages())
        raise AsrxError(f"no built-in corpus for {language!r}{nearest(language, languages())}: choose from {known}")
    plan = _plan(_LANGUAGES[language], seed, amounts)
    marker = _marker(language, seed, plan)
    with _only_one_process(folder):
        if not _is_complete(folder, marker):
            _refuse_foreign(folder)
            partial = _empty_partial(folder)
            try:
                _write(partial, plan, marker)
                _publish(partial, folder)
            finally:
                shutil.rmtree(partial, ignore_errors=True)


def _plan(language: Language, seed: int, amounts: dict[str, Amount]) -> list[Utterance]:
    rng = random.Random(f"asrx built-in corpus {seed}")
    speakers = iter(_speakers(language, sum(amount.speakers for amount in amounts.values()), rng))
    plan = []
    for split, amount in amounts.items():
        for speaker in [next(speakers) for _ in range(amount.speakers)]:
            for spoken in _sentences(language.grammar, split, amount.utterances_each, rng):
                plan.append(_utterance(split, len(plan), spoken, speaker, rng))
    return plan


def _speakers(language: Language, count: int, rng: random.Random) -> list[Speaker]:
    """Distinct speakers, going round all voices and variants so that every split has some of each."""
    voices = rng.sample(sorted(language.accents), len(language.accents))
    variants = rng.sample(sorted(_VARIANTS), len(_VARIANTS))
    assert count <= len(variants) * len(_PITCH_CENTRES), "more speakers than variants and pitches can tell apart"
    return [
        Speaker(
            voice=voices[i % len(voices)],
            variant=variants[i % len(variants)],
            accent=language.accents[voices[i % len(voices)]],
            pitch=_PITCH_CENTRES[i // len(variants)] + rng.randint(-_PITCH_SPREAD, _PITCH_SPREAD),
            rate=rng.randint(*_RATES),
            gain=rng.uniform(*_GAINS),
        )
        for i in range(count)
    ]


def _sentences(grammar: dict[str, tuple[str, ...]], split: str, count: int, rng: random.Random) -> list[str]:
    """`count` different sentences that belong to `split`."""
    chosen: list[str] = []
    while len(chosen) < count:
        sentence = _expand("{sentence}", grammar, rng)
        if _split_of(sentence) == split and sentence not in chosen:
            chosen.append(sentence)
    return chosen


def _expand(template: str, grammar: dict[str, tuple[str, ...]], rng: random.Random) -> str:
    return re.sub(r"\{(\w+)\}", lambda slot: _expand(rng.choice(grammar[slot[1]]), grammar, rng), template)


def _split_of(sentence: str) -> str:
    """The split a sentence belongs to whatever the seed, so that no corpus tests on another's training sentences."""
    share = int.from_bytes(hashlib.sha256(sentence.encode()).digest()[:4], "big") / 2**32
    if share < _TRAIN_SHARE:
        return "train"
    return "validation" if share < _TRAIN_SHARE + _VALIDATION_SHARE else "test"


def _utterance(split: str, number: int, spoken: str, speaker: Speaker, rng: random.Random) -> Utterance:
    return Utterance(
        split=split,
        clip=f"clips/{split}-{number:04d}.flac",
        spoken=spoken,
        sentence=spoken[0].upper() + spoken[1:] if rng.random() < _WRITTEN_PROPERLY else spoken[:-1],
        speaker=speaker,
        noise=rng.uniform(*_NOISE),
        silence_before=rng.uniform(*_SILENCES),
        silence_after=rng.uniform(*_SILENCES),
        noise_seed=rng.getrandbits(32),
    )


def _marker(language: str, seed: int, plan: list[Utterance]) -> str:
    digest = hashlib.sha256(repr(plan).encode()).hexdigest()
    return f"asrx built-in corpus, version {_VERSION}, {language}, seed {seed}, plan {digest}\n"


def _write(folder: Path, plan: list[Utterance], marker: str) -> None:
    (folder / "clips").mkdir()
    with _espeak_paths() as (library, data):
        _record_all(folder, plan, library, data)
    for split in dict.fromkeys(utterance.split for utterance in plan):
        _write_csv(folder / f"{split}.csv", [utterance for utterance in plan if utterance.split == split])
    (folder / _MARKER).write_text(marker, encoding="utf-8")
    _flush_to_disk(folder)


def _write_csv(path: Path, utterances: list[Utterance]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(_COLUMNS)
        for u in utterances:
            table.writerow((u.clip, u.sentence, u.speaker.name, _VARIANTS[u.speaker.variant], u.speaker.accent))


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


def _record_all(folder: Path, plan: list[Utterance], library: str, data: str) -> None:
    """Speak the plan, as many utterances at a time as there are processors."""
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


@contextmanager
def _only_one_process(folder: Path) -> Iterator[None]:
    """A second process waits and then finds the corpus. The system lets go of the lock when a process is killed."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_name(f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _is_complete(folder: Path, marker: str) -> bool:
    path = folder / _MARKER
    return path.is_file() and path.read_text(encoding="utf-8") == marker


def _refuse_foreign(folder: Path) -> None:
    if (folder / _MARKER).is_file() or not folder.exists():
        return
    if not folder.is_dir() or any(folder.iterdir()):
        raise AsrxError(f"{folder} exists and is no built-in corpus: name a new or empty folder")


def _empty_partial(folder: Path) -> Path:
    """A fresh folder beside `folder`. Others that are there belong to killed runs: the lock is ours."""
    for abandoned in folder.parent.glob(f"{glob.escape(folder.name)}.partial-*"):
        shutil.rmtree(abandoned)
    partial = folder.with_name(f"{folder.name}.partial-{os.getpid()}")
    partial.mkdir()
    return partial


def _publish(partial: Path, folder: Path) -> None:
    replaced = folder.with_name(f"{folder.name}.partial-replaced")
    if (folder / _MARKER).is_file():
        folder.rename(replaced)
    partial.rename(folder)
    _fsync(folder.parent)
    shutil.rmtree(replaced, ignore_errors=True)


def _flush_to_disk(folder: Path) -> None:
    for path in (*folder.rglob("*"), folder):
        _fsync(path)


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
