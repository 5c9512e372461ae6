"""A small speech corpus that needs no download: voice commands spoken by eSpeak NG, for the demo and the tests."""

import csv
import hashlib
import random
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ..errors import AsrxError, nearest
from ..files import folder_written_at_once, locked, remove_remains
from .espeak import Speaker, Utterance, record_all
from .grammars import LANGUAGES, Grammar, Language

HELD_OUT = "test.csv"

_VERSION = 1  # raise when the same plan is to sound different
_MARKER = "builtin-corpus.txt"
_COLUMNS = ("path", "sentence", "client_id", "gender", "accent")

_PITCH_CENTRES = (50, 38, 62)  # eSpeak's scale, 0..99, around what the variant itself asks for
_PITCH_SPREAD = 3
_GAINS = (-10.0, 0.0)  # dB per speaker
_NOISE = (20.0, 40.0)  # dB of speech above noise, per utterance
_WRITTEN_PROPERLY = 0.5  # share of transcripts with a capital letter and a final mark

_DRAWS = 1000  # from the grammar for each sentence wanted, before it counts as exhausted
_TRAIN_SHARE, _VALIDATION_SHARE = 0.65, 0.10  # of all sentences the grammar can say; the rest is for test

# eSpeak speaks an unknown variant plainly and without an error; the breathy ones differ from process to process.
_VARIANTS = {
    **dict.fromkeys(("f1", "f4", "Annie", "linda", "steph", "grandma", "anika", "shelby"), "female"),
    **dict.fromkeys(("m1", "m2", "m4", "m6", "m7", "m8", "Andy", "Gene"), "male"),
}


@dataclass(frozen=True)
class Amount:
    """The size of one split."""

    speakers: int
    utterances_each: int


AMOUNTS = {"train": Amount(24, 36), "validation": Amount(6, 10), "test": Amount(12, 15)}


def languages() -> list[str]:
    """The languages that `make` speaks."""
    return sorted(LANGUAGES)


def make(folder: Path, language: str = "en", seed: int = 0, amounts: Mapping[str, Amount] = AMOUNTS) -> Path:
    """Write the built-in corpus of `language` to `folder`, as a source that `prepare` reads, and return `folder`.

    train.csv, validation.csv and test.csv, or those of them that `amounts` names, list mono 16 bit FLAC files at
    22,050 Hz under clips/. No speaker and no sentence is in two of them. The same arguments give the same bytes. A complete
    corpus that is already there is left as it is; one of another plan is replaced. `folder` appears only when it is complete.

    The splits take speakers from one list of the seed, in the order of `amounts`, and a sentence belongs to one split
    whatever the amounts: more utterances each for the same numbers of speakers leave test speakers and sentences unheard.

    Raises AsrxError if the language is unknown, it cannot be spoken in these amounts, eSpeak NG is not installed or fails,
    or `folder` holds anything else.
    """
    if language not in LANGUAGES:
        known = ", ".join(languages())
        raise AsrxError(f"no built-in corpus for {language!r}{nearest(language, languages())}: choose from {known}")
    _check(amounts)
    plan = _plan(LANGUAGES[language], seed, amounts)
    marker = _marker(language, seed, plan)
    target = Path(folder).absolute()
    with locked(target):
        if not _is_complete(target, marker):
            _refuse_foreign(target)
            remove_remains(target)
            with folder_written_at_once(target) as partial:
                _write(partial, plan, marker)
    return folder


def _check(amounts: Mapping[str, Amount]) -> None:
    for split, amount in amounts.items():
        if split not in AMOUNTS:
            raise AsrxError(f"no split {split!r}{nearest(split, AMOUNTS)} in the built-in corpus: choose from {', '.join(AMOUNTS)}")
        if amount.speakers < 1 or amount.utterances_each < 1:
            raise AsrxError(f"{split}: {amount.speakers} speakers with {amount.utterances_each} utterances each: both must be 1 or more")
    speakers, largest = sum(amount.speakers for amount in amounts.values()), len(_VARIANTS) * len(_PITCH_CENTRES)
    if not 0 < speakers <= largest:
        raise AsrxError(f"{speakers} speakers for the built-in corpus: it has 1 to {largest} in all splits together")


def _plan(language: Language, seed: int, amounts: Mapping[str, Amount]) -> list[Utterance]:
    rng = random.Random(f"asrx built-in corpus {seed}")
    speakers = iter(_speakers(language, sum(amount.speakers for amount in amounts.values()), rng))
    plan = []
    for split, amount in amounts.items():
        for speaker in [next(speakers) for _ in range(amount.speakers)]:
            for spoken in _sentences(language.grammar, split, amount.utterances_each, rng):
                plan.append(_utterance(split, len(plan), spoken, speaker, language.silences, rng))
    return plan


def _speakers(language: Language, count: int, rng: random.Random) -> list[Speaker]:
    """Distinct speakers, going round all voices and variants so that every split has some of each."""
    voices = rng.sample(sorted(language.accents), len(language.accents))
    variants = rng.sample(sorted(_VARIANTS), len(_VARIANTS))
    return [
        Speaker(
            voice=voices[i % len(voices)],
            variant=variants[i % len(variants)],
            accent=language.accents[voices[i % len(voices)]],
            pitch=_PITCH_CENTRES[i // len(variants)] + rng.randint(-_PITCH_SPREAD, _PITCH_SPREAD),
            rate=rng.randint(*language.rates),
            gain=rng.uniform(*_GAINS),
        )
        for i in range(count)
    ]


def _sentences(grammar: Grammar, split: str, count: int, rng: random.Random) -> list[str]:
    """`count` different sentences that belong to `split`. AsrxError if the grammar has too few."""
    chosen: list[str] = []
    for _ in range(_DRAWS * count):
        sentence = _expand("{sentence}", grammar, rng)
        if _split_of(sentence) == split and sentence not in chosen:
            chosen.append(sentence)
        if len(chosen) == count:
            return chosen
    raise AsrxError(f"{split}: a speaker cannot have {count:,} different sentences, {len(chosen):,} were found: ask for fewer utterances each")


def _expand(template: str, grammar: Grammar, rng: random.Random) -> str:
    return re.sub(r"\{(\w+)\}", lambda slot: _expand(rng.choice(grammar[slot[1]]), grammar, rng), template)


def _split_of(sentence: str) -> str:
    """The split a sentence belongs to whatever the seed, so that no corpus tests on another's training sentences."""
    share = int.from_bytes(hashlib.sha256(sentence.encode()).digest()[:4], "big") / 2**32
    if share < _TRAIN_SHARE:
        return "train"
    return "validation" if share < _TRAIN_SHARE + _VALIDATION_SHARE else "test"


def _utterance(split: str, number: int, spoken: str, speaker: Speaker, silences: tuple[float, float], rng: random.Random) -> Utterance:
    return Utterance(
        split=split,
        clip=f"clips/{split}-{number:04d}.flac",
        spoken=spoken,
        sentence=spoken[0].upper() + spoken[1:] if rng.random() < _WRITTEN_PROPERLY else spoken[:-1],
        speaker=speaker,
        noise=rng.uniform(*_NOISE),
        silence_before=rng.uniform(*silences),
        silence_after=rng.uniform(*silences),
        noise_seed=rng.getrandbits(32),
    )


def _marker(language: str, seed: int, plan: list[Utterance]) -> str:
    digest = hashlib.sha256(repr(plan).encode()).hexdigest()
    return f"asrx built-in corpus, version {_VERSION}, {language}, seed {seed}, plan {digest}\n"


def _write(folder: Path, plan: list[Utterance], marker: str) -> None:
    (folder / "clips").mkdir()
    record_all(folder, plan)
    for split in dict.fromkeys(utterance.split for utterance in plan):
        _write_csv(folder / f"{split}.csv", [utterance for utterance in plan if utterance.split == split])
    (folder / _MARKER).write_text(marker, encoding="utf-8")


def _write_csv(path: Path, utterances: list[Utterance]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(_COLUMNS)
        for u in utterances:
            table.writerow((u.clip, u.sentence, u.speaker.name, _VARIANTS[u.speaker.variant], u.speaker.accent))


def _is_complete(folder: Path, marker: str) -> bool:
    path = folder / _MARKER
    return path.is_file() and path.read_text(encoding="utf-8") == marker


def _refuse_foreign(folder: Path) -> None:
    if (folder / _MARKER).is_file() or not folder.exists():
        return
    if not folder.is_dir() or any(folder.iterdir()):
        raise AsrxError(f"{folder} exists and is no built-in corpus: name a new or empty folder")


