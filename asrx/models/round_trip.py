"""From text to labels and back: what is learned has to be what was said."""

from collections.abc import Callable, Sequence

from ..findings import OK, WARNING, Finding, graded, share_text

CHECKED = 1_000  # texts, spread over all
MOST_CHANGED = 0.5  # share of the texts above which the vocabulary cannot write them
SHOWN = 40  # characters of a text


def round_trip(texts: Sequence[str], labels: Sequence[Sequence[int]], decode: Callable[[list[int]], str], unknown: int | None = None) -> Finding:
    """Labels, decoded as they are, have to give their text again, white space apart; those with the token `unknown` are judged elsewhere."""
    chosen = range(0, len(texts), max(1, -(-len(texts) // CHECKED)))
    checked = [(_spaced(texts[index]), _spaced(decode(list(labels[index])))) for index in chosen if unknown is None or unknown not in labels[index]]
    changed = [pair for pair in checked if pair[0] != pair[1]]
    if not checked:
        return Finding("round trip", WARNING, "there is no text without unknown characters", "see the unknown characters")
    if not changed:
        return Finding("round trip", OK, f"{len(checked):,} texts come back from their labels as they were")
    (text, written), share = changed[0], len(changed) / len(checked)
    measured = f"{share_text(share)} of {len(checked):,} texts come back from their labels as others: '{_short(text)}' as '{_short(written)}'"
    advice = "what is learned is not what was said: look at the tokenizer's options (tokenizer.*) and the case (text.case), or take text.vocabulary=build"
    return Finding("round trip", graded(share, MOST_CHANGED), measured, advice)


def _spaced(text: str) -> str:
    return " ".join(text.split())


def _short(text: str) -> str:
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"
