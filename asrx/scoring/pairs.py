"""Two transcriptions of the same held-out utterances, matched by id. What does not match is an error, never left out."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace

from ..errors import InputError
from .transcribe import Heard, Transcription

SHOWN = 3  # ids in a message


def matched(baseline: Transcription, candidate: Transcription) -> tuple[Transcription, Transcription]:
    """Both transcriptions in the candidate's order. What could not be transcribed is heard as nothing and stays listed in `failed`.

    InputError, naming ids, for an utterance that a side has twice or not at all, for one that differs in its reference or audio, and
    for a reference or hypothesis that is no text (None, NaN).
    """
    for side, result in (("baseline", baseline), ("candidate", candidate)):
        _refuse(_repeated(result), f"the {side} has {{}} more than once; ids must be unique")
        _refuse(_ids(result, lambda item: not isinstance(item.hypothesis, str) and not item.error), f"what the {side} heard in {{}} is no text")
        _refuse(_ids(result, lambda item: not isinstance(item.row.text, str)), f"the reference that the {side} has for {{}} is no text")
    old = {item.row.id: item for item in baseline.heard}
    new = {item.row.id: item for item in candidate.heard}
    _refuse([name for name in new if name not in old], "the baseline has no transcript of {}; transcribe the same table with both")
    _refuse([name for name in old if name not in new], "the candidate has no transcript of {}; transcribe the same table with both")
    _refuse([name for name in new if old[name].row.text != new[name].row.text], "the references of the two sides differ for {}")
    _refuse([name for name in new if _differ_in_audio(old[name], new[name])], "the two sides were given different audio for {}")
    return _with(baseline, (old[name] for name in new)), _with(candidate, new.values())


def _with(result: Transcription, heard: Iterable[Heard]) -> Transcription:
    return replace(result, heard=[replace(item, hypothesis="") if item.error and item.hypothesis else item for item in heard])


def _differ_in_audio(one: Heard, other: Heard) -> bool:
    """Audio that a side could not read has no digest."""
    return bool(one.audio_digest and other.audio_digest) and one.audio_digest != other.audio_digest


def _repeated(result: Transcription) -> list[str]:
    return [name for name, count in Counter(item.row.id for item in result.heard).items() if count > 1]


def _ids(result: Transcription, wanted: Callable[[Heard], bool]) -> list[str]:
    return [item.row.id for item in result.heard if wanted(item)]


def _refuse(ids: list[str], message: str) -> None:
    if ids:
        named = ", ".join(ids[:SHOWN]) + (f" and {len(ids) - SHOWN:,} more" if len(ids) > SHOWN else "")
        raise InputError(message.format(named))
