"""A Whisper is trained with the token of one language on texts in another, or with labels and audio that it has no room for: told before the first step."""

from typing import Any

import numpy as np
import pytest

from asrx.config import resolve
from asrx.findings import OK, REFUSED, WARNING, Finding
from asrx.models import load_family

ITALIAN = [
    "accendi la luce della cucina per favore", "quanto costa il biglietto del treno per firenze", "domani mattina andiamo al mare insieme agli amici",
    "perché non mi hai risposto ieri sera al telefono", "vorrei prenotare un tavolo per quattro persone",
]  # fmt: skip
SECOND = np.full(len(ITALIAN), 16_000)


def family(*overrides: str) -> Any:
    return load_family(resolve(overrides=["model.architecture=whisper", "model.d_model=32", "model.max_source_positions=100", *overrides]), ITALIAN)


def found(made: Any, texts: list[str] = ITALIAN, samples: np.ndarray = SECOND) -> dict[str, Finding]:
    ids = [f"u{index}" for index in range(len(texts))]
    return {item.check: item for item in made.preflight(ids, texts, made.labels(texts), samples)}


@pytest.mark.parametrize(("language", "verdict"), [("it", OK), ("en", WARNING), ("ne", WARNING)])
def test_the_token_of_another_language_is_told(language: str, verdict: str) -> None:
    told = found(family(f"text.language={language}"))
    assert told["language and task"].verdict == verdict and f"<|{language}|><|transcribe|>" in told["language and task"].measured
    if verdict == WARNING:
        assert "the transcripts are in Italian" in told["language and task"].measured and "--language it" in told["language and task"].advice
    assert told["label length"].verdict == told["round trip"].verdict == OK


def test_translations_are_in_english() -> None:
    told = found(family("text.language=it", "model.task=translate"))["language and task"]
    assert told.verdict == WARNING and "model.task=transcribe" in told.advice


def test_labels_and_generation_that_disagree_are_refused() -> None:
    made = family("text.language=it")
    made.model.generation_config.language = "en"
    told = found(made)["language and task"]
    assert told.verdict == REFUSED and "generation with" in told.measured


def test_what_the_window_and_the_decoder_have_no_room_for_is_counted() -> None:
    samples = SECOND.copy()
    samples[1] = 40_000
    told = found(family("text.language=it"), [*ITALIAN[:3], "", "no " * 300], samples)["label length"]
    assert told.verdict == REFUSED and "u1 has 2.5 s" in told.measured and "u4 has" in told.measured and "1 have no text" in told.measured
    assert "data.max_seconds=2" in told.advice


def test_a_new_model_is_known_not_to_write() -> None:
    assert not family("text.language=it").writes
