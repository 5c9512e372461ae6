"""Decoding and filtering utterances in worker processes. Workers import no torch."""

import hashlib
import multiprocessing
import os
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import InputError
from ..recognizer.audio import AudioError, is_silent, load, load_span, to_int16

CHUNK = 16  # utterances sent to a worker at once
WINDOW = 4  # chunks under way per worker: bounds what waits in memory


@dataclass(frozen=True)
class Task:
    """What a worker needs to know about one utterance."""

    audio: Path | bytes
    offset: float  # s
    seconds: float | None  # s of the span; None: the whole file
    has_text: bool  # before normalisation
    has_words: bool  # after it


@dataclass(frozen=True)
class Filter:
    """Bounds on the duration, in seconds, inclusive."""

    min_seconds: float
    max_seconds: float


@dataclass(frozen=True)
class Accepted:
    """Decoded audio, int16 at 16 kHz, and its sha256."""

    audio: np.ndarray
    digest: str


@dataclass(frozen=True)
class Rejected:
    """Why an utterance was left out: the rule's name and the measured reason."""

    rule: str
    reason: str


def digest(samples: np.ndarray) -> str:
    """sha256 of int16 samples: what makes two recordings the same."""
    return hashlib.sha256(np.ascontiguousarray(samples, dtype="<i2").tobytes()).hexdigest()


def decode(task: Task, rule: Filter) -> Accepted | Rejected:
    """Decode one utterance, or say why it is left out."""
    if not task.has_text:
        return Rejected("empty_text", "the transcript is empty")
    if not task.has_words:
        return Rejected("empty_text", "nothing of the transcript is left after removing ignored characters")
    try:
        whole = isinstance(task.audio, bytes) or (task.offset == 0 and task.seconds is None)
        audio = load(task.audio) if whole else load_span(task.audio, task.offset, task.seconds)
    except AudioError as error:
        return Rejected("missing_audio" if "no such file" in str(error) else "bad_audio", f"the audio {error}")
    except OSError as error:
        return Rejected("bad_audio", f"the audio cannot be read ({error.strerror})")
    if audio.seconds < rule.min_seconds:
        return Rejected("too_short", f"{audio.seconds:.3f} s is shorter than {rule.min_seconds:g} s")
    if audio.seconds > rule.max_seconds:
        return Rejected("too_long", f"{audio.seconds:.3f} s is longer than {rule.max_seconds:g} s")
    if is_silent(audio.samples):
        return Rejected("silent", "the audio is silent (no sample above -80 dBFS)")
    samples = to_int16(audio.samples)
    return Accepted(samples, digest(samples))


def decoded_in_order(tasks: Iterable[Task], rule: Filter, workers: int) -> Iterator[Accepted | Rejected]:
    """Results in the order of the tasks; a bounded number is under way at any time."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_set_up_worker) as pool:
        under_way: deque[Future[list[Accepted | Rejected]]] = deque()
        try:
            for chunk in _chunks(tasks):
                under_way.append(pool.submit(_decode_chunk, chunk, rule))
                if len(under_way) >= workers * WINDOW:
                    yield from under_way.popleft().result()
            while under_way:
                yield from under_way.popleft().result()
        except BrokenProcessPool:
            raise InputError("a decoding process was killed (out of memory?); try data.workers=1") from None
        finally:
            for future in under_way:
                future.cancel()


def _decode_chunk(chunk: list[Task], rule: Filter) -> list[Accepted | Rejected]:
    return [decode(task, rule) for task in chunk]


def _chunks(tasks: Iterable[Task]) -> Iterator[list[Task]]:
    chunk: list[Task] = []
    for task in tasks:
        chunk.append(task)
        if len(chunk) == CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _set_up_worker() -> None:
    """The mp3 decoder prints its notes on damaged files itself; the reasons are in rejected.csv."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A worker whose parent is killed would wait for its next task for ever."""
    multiprocessing.parent_process().join()
    os._exit(1)
