"""Why a WER is above 100 %: insertions, repetitions, another language or script, measured and said in sentences."""

import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from .error_counts import ErrorCounts, count_all, pool
from .numerals import base_language
from .text import score_text

LONGEST_UNIT = 6  # words that may be repeated as one
LONGEST_UNIT_UNSPACED = 12  # characters, in scripts without spaces
REPEATS = 3  # times in a row that make a loop
TOO_LONG, TOO_MANY = 2, 3  # times what was said, and words (of a script without spaces: characters) more, that are too much
TOLERATED = 0.05  # share of utterances that may loop or be in another script, below 100 %
FEW_INSERTIONS = 0.15  # share of the errors that does not explain a WER above 100 %
WELL_SPELT = 0.4  # CER at most, with a WER above 100 %
WORTH_IDENTIFYING = 0.5  # WER; another language gives more errors than that
POOLED = 200_000  # bytes of text whose language is identified
ENOUGH = 150  # characters; less text says too little of its language
CERTAIN, EXCLUDED, PARTS, AGREEING = 0.9, 0.01, 10, 0.8  # probability of a language, of the expected one; pieces of the text, share that must agree
UNSPACED = {"EAST ASIAN", "THAI", "LAO", "KHMER", "MYANMAR", "TIBETAN"}
EAST_ASIAN = {"CJK", "HIRAGANA", "KATAKANA"}
LANGUAGES = {  # in which a model may answer, as far as they are told apart for certain
    "ar": "Arabic", "bn": "Bengali", "cs": "Czech", "da": "Danish", "de": "German", "el": "Greek", "en": "English", "es": "Spanish", "fa": "Persian",
    "fi": "Finnish", "fr": "French", "he": "Hebrew", "hi": "Hindi", "hu": "Hungarian", "id": "Indonesian", "it": "Italian", "ja": "Japanese",
    "ko": "Korean", "mr": "Marathi", "ms": "Malay", "ne": "Nepali", "nl": "Dutch", "no": "Norwegian", "pl": "Polish", "pt": "Portuguese",
    "ro": "Romanian", "ru": "Russian", "sk": "Slovak", "sv": "Swedish", "ta": "Tamil", "te": "Telugu", "th": "Thai", "tr": "Turkish",
    "uk": "Ukrainian", "ur": "Urdu", "vi": "Vietnamese", "zh": "Chinese",
}  # fmt: skip
ALIKE = ({"hi", "mr", "ne"}, {"da", "no", "sv"}, {"id", "ms"}, {"cs", "sk"}, {"ru", "uk"}, {"fa", "ur"})  # short texts do not tell these apart


@dataclass(frozen=True)
class Explanation:
    """What is odd about a set of hypotheses. Shares are fractions of the utterances, that of the insertions of the errors."""

    wer: float | None
    cer: float | None
    insertion_share: float
    length_ratio: float | None  # words written per word said
    repeated_share: float  # hypotheses with an n-gram loop that the reference does not have
    empty_share: float  # empty hypotheses where something was said
    other_script_share: float  # hypotheses mostly in another script than their reference
    loop: str | None  # the most frequent one
    scripts: tuple[str, str] | None  # of references and hypotheses, where they differ
    languages: tuple[str, str] | None  # of references and hypotheses (ISO 639-1), where they differ for certain

    @property
    def is_off(self) -> bool:
        """Whether something is wrong beside ordinary errors, whatever the WER."""
        return self.repeated_share > TOLERATED or self.other_script_share > TOLERATED or self.languages is not None

    def sentences(self) -> list[str]:
        """For people: what was measured and what to do. Empty if the WER is at most 100 % and nothing else is off."""
        above = self.wer is not None and self.wer > 1
        if not above and not self.is_off:
            return []
        found = [self._insertions() if above else None, self._repetitions(), self._script(), self._language(), self._spacing() if above else None,
                 self._empty() if above else None]  # fmt: skip
        return [sentence for sentence in found if sentence]

    def _insertions(self) -> str:
        if self.insertion_share < FEW_INSERTIONS:
            inserted = f"{self.insertion_share:.0%} of the errors are insertions"
            return f"WER is above 100 %: next to no word is right, and {inserted}."
        inserted = f"Insertions are {self.insertion_share:.0%} of the errors; the model writes {self.length_ratio:.1f} words for each one that was said."
        return f"WER is above 100 %: more words are inserted than recognised. {inserted}"

    def _repetitions(self) -> str | None:
        if self.repeated_share <= TOLERATED or not self.loop:
            return None
        shown = self.loop if len(self.loop) <= 60 else self.loop[:60] + "…"
        remedy = "its decoder goes on without the audio; train it longer, with a lower learning rate, or from a pre-trained checkpoint"
        return f"{self.repeated_share:.0%} of the hypotheses repeat themselves ('{shown}'): {remedy}."

    def _script(self) -> str | None:
        if self.other_script_share <= TOLERATED or not self.scripts:
            return None
        wanted, written = (script.title() for script in self.scripts)
        remedy = "set the language that it is trained for (asrx prepare --language), and check that its vocabulary has these letters (text.vocabulary=build)"
        return f"{self.other_script_share:.0%} of the hypotheses are in another script ({written}) than the references ({wanted}): {remedy}."

    def _language(self) -> str | None:
        if not self.languages:
            return None
        wanted, written = self.languages
        remedy = f"prepare with --language {wanted}, which sets the language token of a model that has one, so that it does not guess or translate"
        return f"The hypotheses are in {LANGUAGES[written]}, the references in {LANGUAGES[wanted]}: {remedy}."

    def _spacing(self) -> str | None:
        if self.cer is None or self.cer > WELL_SPELT:
            return None
        return f"CER is only {self.cer:.0%}: the letters are right, but words are parted where none end; look at the word delimiter of the vocabulary."

    def _empty(self) -> str | None:
        return f"{self.empty_share:.0%} of the hypotheses are empty: look at the audio of these rows." if self.empty_share > TOLERATED else None


def explain(references: Sequence[str], hypotheses: Sequence[str], language: str | None = None, total: ErrorCounts | None = None) -> Explanation:
    """Measure what insertions, repetitions, scripts and languages have to do with the errors of parallel texts.

    `language`: of the references, where they say too little themselves; `total`: their pooled error counts, if they are at hand.
    """
    said, heard = [score_text(text) for text in references], [score_text(text) for text in hypotheses]
    pairs = list(zip(said, heard, strict=True))
    total = total or pool(count_all(references, hypotheses))
    loops = [loop for reference, hypothesis in pairs if (loop := find_loop(hypothesis, reference))]
    scripts = Counter((wanted, written) for wanted, written in (_scripts(*pair) for pair in pairs) if wanted != written)
    other = _languages(said, heard, language) if total.wer is not None and total.wer > WORTH_IDENTIFYING else None
    utterances = len(pairs) or 1
    words = sum(len(text.split()) for text in said)
    return Explanation(
        wer=total.wer,
        cer=total.cer,
        insertion_share=total.insertions / total.errors if total.errors else 0.0,
        length_ratio=sum(len(text.split()) for text in heard) / words if words else None,
        repeated_share=len(loops) / utterances,
        empty_share=sum(bool(reference) and not hypothesis for reference, hypothesis in pairs) / utterances,
        other_script_share=scripts.total() / utterances,
        loop=Counter(loops).most_common(1)[0][0] if loops else None,
        scripts=scripts.most_common(1)[0][0] if scripts else None,
        languages=other,
    )


def certain_language(texts: Sequence[str], expected: str | None) -> str | None:
    """The language of texts (ISO 639-1), None where it is in doubt; languages that are hardly told apart are taken for the `expected` one."""
    found = _identify([score_text(text) for text in texts])[0]
    wanted = base_language(expected or "")
    return wanted if found and _are_alike(wanted, found) else found


def flags(reference: str, hypothesis: str) -> tuple[str, ...]:
    """What makes a hypothesis look invented rather than misheard: `repeats` (see find_loop), `too long` (over twice as long as what was said, by 3 words
    or more), `on silence` (words where nothing was said). Both are in scoring form.

    Not by the compression ratio: a script of three bytes a letter, such as Devanagari, compresses well without repeating anything.
    """
    if not hypothesis:
        return ()
    unspaced = script_of(hypothesis) in UNSPACED
    said, written = (len(_tokens(text, unspaced)) for text in (reference, hypothesis))
    too_long = bool(said) and written > TOO_LONG * said and written - said >= TOO_MANY
    found = {"repeats": find_loop(hypothesis, reference) is not None, "too long": too_long, "on silence": not said}
    return tuple(name for name, holds in found.items() if holds)


def find_loop(hypothesis: str, reference: str = "") -> str | None:
    """The n-gram that a hypothesis has at least three times in a row, and twice more often in a row than its reference; None if there is none.

    Both are in scoring form. n-grams of words, or of characters where the script has no spaces; the answer is as often as makes a loop:
    `grazie grazie grazie`.
    """
    unspaced = script_of(hypothesis) in UNSPACED
    tokens, said = (_tokens(text, unspaced) for text in (hypothesis, reference))
    if len(tokens) - len(set(tokens)) < REPEATS - 1:
        return None
    for unit, repeats in _runs(tokens, LONGEST_UNIT_UNSPACED if unspaced else LONGEST_UNIT):
        if repeats >= _repeats(said, unit) + REPEATS - 1:
            return ("" if unspaced else " ").join(unit * REPEATS)
    return None


def _tokens(text: str, unspaced: bool) -> list[str]:
    return list(text.replace(" ", "")) if unspaced else text.split()


def _runs(tokens: list[str], longest: int) -> Iterator[tuple[list[str], int]]:
    """Every n-gram that follows itself at least twice, with how often it stands in a row; short ones first."""
    for size in range(1, min(longest, len(tokens) // REPEATS) + 1):
        equal = 0  # tokens in a row that are the ones `size` before them
        for position in range(size, len(tokens) + 1):
            if position < len(tokens) and tokens[position] == tokens[position - size]:
                equal += 1
                continue
            if equal >= (REPEATS - 1) * size:
                start = position - equal - size
                yield tokens[start : start + size], equal // size + 1
            equal = 0


def _repeats(tokens: list[str], unit: list[str]) -> int:
    """How often `unit` stands in a row, at most."""
    size, most = len(unit), 0
    for start in range(len(tokens)):
        times = 0
        while tokens[start + times * size : start + (times + 1) * size] == unit:
            times += 1
        most = max(most, times)
    return most


def script_of(text: str) -> str | None:
    """The script of most letters, as Unicode names it (LATIN, DEVANAGARI); EAST ASIAN for Chinese and Japanese; None without letters."""
    if text.isascii():
        return "LATIN" if any(character.isalpha() for character in text) else None
    counts: Counter[str] = Counter()
    for character, times in Counter(text).items():
        if script := _script(character):
            counts[script] += times
    return max(counts, key=counts.__getitem__) if counts else None


@cache
def _script(character: str) -> str | None:
    if not character.isalpha():
        return None
    script = unicodedata.name(character, "").partition(" ")[0].partition("-")[0]
    return "EAST ASIAN" if script in EAST_ASIAN else script


def _scripts(reference: str, hypothesis: str) -> tuple[str | None, str | None]:
    """Scripts of the two; the same one twice where either has no letters."""
    wanted, written = script_of(reference), script_of(hypothesis)
    return (wanted, written) if wanted and written else (wanted, wanted)


def _languages(references: Sequence[str], hypotheses: Sequence[str], language: str | None) -> tuple[str, str] | None:
    """Languages of both, if the hypotheses are in another one for certain."""
    written, probabilities = _identify(hypotheses)
    wanted = _identify(references)[0] or base_language(language or "")
    if not written or wanted not in LANGUAGES or _are_alike(wanted, written):
        return None
    return (wanted, written) if probabilities.get(wanted, 0.0) <= EXCLUDED else None


def _are_alike(one: str, other: str) -> bool:
    return one == other or any({one, other} <= group for group in ALIKE)


def _identify(texts: Sequence[str]) -> tuple[str | None, dict[str, float]]:
    """The language of texts taken together, if there is no doubt, and the probability of each.

    Misspelt text, as a poor model writes it, looks like many languages; what is really in one looks like that one in every part.
    """
    distinct = [text for text in dict.fromkeys(texts) if text]
    step = max(1, -(-sum(len(text.encode()) for text in distinct) // POOLED))
    sample = distinct[::step]
    pooled = " ".join(sample)
    if len(pooled) < ENOUGH:
        return None, {}
    identifier, size = _identifier(), max(1, len(sample) // PARTS)
    probabilities = dict(identifier.rank(pooled))
    best = max(probabilities, key=probabilities.__getitem__)
    parts = [identifier.classify(" ".join(sample[start : start + size]))[0] for start in range(0, len(sample), size)]
    agreeing = sum(_are_alike(best, part) for part in parts)
    certain = best in LANGUAGES and probabilities[best] >= CERTAIN and agreeing >= AGREEING * len(parts)
    return (best if certain else None), probabilities


@cache
def _identifier() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
