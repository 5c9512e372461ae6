"""Whether a CTC model can learn some texts: characters, vocabulary, output layer, frames and the way from text to labels and back."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..findings import OK, REFUSED, WARNING, Finding, graded, share_text
from ..hallucination import script_of
from ..text import apply_case
from . import vocabulary

MOST_UNKNOWN = 0.2  # share of characters above which nothing can be learned
MOST_UNFIT = 0.5  # share of utterances that may be left out because their text is too long for their frames
SHOWN = 12  # characters that are listed
OTHER_CASES = (("upper", "text.case=upper"), ("lower", "text.case=lower"))


def unknown_characters(tokenizer: Any, texts: Sequence[str], case: str | None, source: str) -> Finding:
    """The share of `<unk>` in `texts` once cased to `case`; `source` is where the vocabulary comes from, in words."""
    counts = Counter("".join(texts))
    share, missing = _unknown(tokenizer, counts, case)
    if not missing:
        return Finding("unknown characters", OK, f"0 % of {counts.total():,} are not in the vocabulary of {source}")
    listed = " ".join(f"{character} ({count:,})" for character, count in missing.most_common(SHOWN))
    measured = f"{share_text(share)} of the training text's characters are not in the vocabulary of {source}: {listed}{' …' if len(missing) > SHOWN else ''}"
    return Finding("unknown characters", graded(share, MOST_UNKNOWN), measured, _cause(tokenizer, counts, missing, share))


def _unknown(tokenizer: Any, counts: Counter[str], case: str | None) -> tuple[float, Counter[str]]:
    """Share and counts of the characters that the vocabulary lacks; `counts`: of the text as it came."""
    cased: Counter[str] = Counter()
    for character, count in counts.items():
        for part in apply_case(character, case):
            cased[part] += count
    known = set(tokenizer.get_vocab()) | {" "}
    missing = Counter({character: count for character, count in cased.items() if character not in known})
    return missing.total() / max(1, cased.total()), missing


def _cause(tokenizer: Any, counts: Counter[str], missing: Counter[str], share: float) -> str:
    """What explains the missing characters, and the option that helps."""
    for case, option in OTHER_CASES:
        if _unknown(tokenizer, counts, case)[0] < share / 2:
            return f"the letters are there in {case} case: {option}"
    script, own = script_of("".join(missing.elements())[:10_000]), _script_of_vocabulary(tokenizer)
    if script and own and script != own:
        return (
            f"the alphabet has no {script.title()} letters, it is {own.title()}: text.vocabulary=build makes one from the training text with a new "
            "output layer, or text.vocabulary=MODEL takes that of a model of the language"
        )
    digits = sum(count for character, count in missing.items() if character.isdigit())
    if 2 * digits >= missing.total():
        return "the alphabet has no digits: prepare the corpus with text.digits=words, which spells numbers out"
    if not script:
        return "these are no letters: prepare the corpus with text.ignore, which strips characters, or text.alphabet, which leaves out such utterances"
    return "text.vocabulary=build makes an alphabet from the training text, with a new output layer; preparing with text.alphabet leaves such utterances out"


def _script_of_vocabulary(tokenizer: Any) -> str | None:
    return script_of("".join(_characters(tokenizer)))


def _characters(tokenizer: Any) -> list[str]:
    """Tokens that stand for text."""
    special = {*tokenizer.all_special_tokens, getattr(tokenizer, "word_delimiter_token", None), " "}
    return [token for token in tokenizer.get_vocab() if token and token not in special]


def vocabulary_size(tokenizer: Any, source: str) -> Finding:
    """A vocabulary of no or of one character says nothing."""
    characters = _characters(tokenizer)
    told = [character for character in characters if any(part.isalnum() for part in character)]
    measured = f"{len(characters):,} characters in the vocabulary of {source}"
    if len(characters) < 2 or not told:
        lacking = "" if len(characters) < 2 else ", none of them a letter or a digit"
        shown = f" ({' '.join(characters)})" if 0 < len(characters) < 2 else ""
        return Finding("vocabulary", REFUSED, f"{measured}{shown}{lacking}", "text.vocabulary=build makes one from the training text")
    case = vocabulary.case_of(tokenizer)
    return Finding("vocabulary", OK, f"{measured}{f', in {case} case' if case else ''}")


def output_layer(tokenizer: Any, outputs: int, labels: Sequence[Sequence[int]]) -> Finding:
    """Every label, and the blank, needs an output."""
    tokens = tokenizer.get_vocab()
    largest = max((max(label, default=-1) for label in labels), default=-1)
    measured = f"{outputs:,} outputs for {len(tokens):,} tokens"
    advice = "the vocabulary is another model's: text.vocabulary=build, or text.vocabulary=MODEL, makes a new output layer"
    if max(largest, tokenizer.pad_token_id) >= outputs:
        return Finding("output layer", REFUSED, f"{measured}; labels go up to {largest}, the blank is {tokenizer.pad_token_id}", advice)
    lost = sorted(token for token in _characters(tokenizer) if tokens[token] >= outputs)
    if lost:
        return Finding("output layer", WARNING, f"{measured}: {' '.join(lost[:SHOWN])} can never be written", advice)
    if outputs > max(tokens.values()) + 1:
        return Finding("output layer", WARNING, f"{measured}: {outputs - max(tokens.values()) - 1:,} outputs mean no token", advice)
    return Finding("output layer", OK, measured)


def special_tokens(tokenizer: Any, blank: int, texts: Sequence[str]) -> Finding:
    """Loss and decoder have to agree on the blank, and words need something between them."""
    delimiter, unknown = getattr(tokenizer, "word_delimiter_token_id", None), tokenizer.unk_token_id
    measured = f"blank {tokenizer.pad_token} ({tokenizer.pad_token_id}), between words {getattr(tokenizer, 'word_delimiter_token', None)} ({delimiter})"
    if blank != tokenizer.pad_token_id:
        return Finding("special tokens", REFUSED, f"{measured}; the model's blank is {blank}", f"model.pad_token_id={tokenizer.pad_token_id}")
    if delimiter in (None, unknown, blank) and any(" " in text for text in texts):
        advice = "words would be written as one: tokenizer.word_delimiter_token names the token that stands between them, or text.vocabulary=build"
        return Finding("special tokens", REFUSED, f"{measured}: that is no token of its own", advice)
    return Finding("special tokens", OK, measured)


def label_length(needed: np.ndarray, frames: np.ndarray, stride: int, seconds: np.ndarray, ids: Sequence[str]) -> Finding:
    """The frames that labels need, a blank between equal ones, against those behind convolutions and an adapter of `stride` (1: there is none).

    All arrays are parallel to `ids`.
    """
    if not len(ids):
        return Finding("label length", REFUSED, "there is no utterance", "look at the corpus: asrx prepare says what it left out")
    unfit = (needed > frames) | (needed == 0)
    share = float(unfit.mean())
    rate = float(frames.sum() / max(1e-9, seconds.sum()))
    behind = f"{rate:.0f} frames a second{f' behind an adapter of stride {stride}' if stride > 1 else ''}"
    if not unfit.any():
        return Finding("label length", OK, f"every text fits: {float(np.max(needed / np.maximum(frames, 1))):.0%} of the frames at most; {behind}")
    worst = int(np.argmax(np.where(needed > 0, needed / np.maximum(frames, 0.5), -1.0)))
    named = f"{ids[worst]} ({seconds[worst]:.1f} s) has {needed[worst]} labels with a blank between equal ones, and {frames[worst]} frames"
    empty = f"; {int((needed == 0).sum()):,} have no text" if (needed == 0).any() else ""
    measured = f"{int(unfit.sum()):,} of {len(unfit):,} utterances ({share_text(share)}) are left out: {named}{empty}; {behind}"
    verdict = REFUSED if share > MOST_UNFIT else WARNING
    return Finding("label length", verdict, measured, _room(needed, frames, stride))


def _room(needed: np.ndarray, frames: np.ndarray, stride: int) -> str:
    """What gives the texts more frames."""
    if stride > 1 and (needed <= frames * stride).mean() > (needed <= frames).mean():
        return "the adapter's stride takes the room: model.add_adapter=false, or a smaller model.adapter_stride or model.num_adapter_layers"
    return "texts are longer than the audio can say: do they belong to it? Preparing with a smaller data.max_chars_per_second leaves such utterances out"
