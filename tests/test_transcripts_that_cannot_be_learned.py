"""Texts that a vocabulary, its output layer or the frames have no room for are told before the first step, with their cause and the option that helps."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ctc_models
import numpy as np
import pytest
from transformers import Wav2Vec2CTCTokenizer

from asrx.config import resolve
from asrx.findings import OK, REFUSED, WARNING, Finding
from asrx.models import ctc_findings, load_family
from asrx.models.round_trip import round_trip

TEXTS = ["call one two", "it's five"]
NEPALI = ["बत्ती बाल्नुहोस्", "नमस्ते संसार"]
LENGTHS = np.array([32_000, 32_000])  # samples


@pytest.fixture
def tokenizer(tmp_path: Path) -> Callable[..., Any]:
    """Makes vocabularies of letters."""

    def make(letters: str, **options: Any) -> Any:
        path = tmp_path / "vocab.json"
        path.write_text(json.dumps(ctc_models.vocabulary(letters)))
        return Wav2Vec2CTCTokenizer(str(path), **options)

    return make


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return ctc_models.make(tmp_path_factory.mktemp("checkpoints") / "lower", "wav2vec2")


def found(texts: list[str], *overrides: str, samples: np.ndarray = LENGTHS) -> dict[str, Finding]:
    """The findings about a model and its training text, by check."""
    family = load_family(resolve(overrides=list(overrides)), texts)
    return {item.check: item for item in family.preflight([f"u{index}" for index in range(len(texts))], texts, family.labels(texts), samples)}


@pytest.mark.parametrize("start", ["checkpoint", "scratch"])
def test_lower_case_text_for_an_upper_case_vocabulary(start: str, checkpoint: Path, tokenizer: Any, tmp_path: Path) -> None:
    tokenizer(ctc_models.LETTERS.upper()).save_pretrained(tmp_path / "upper")
    name = checkpoint if start == "checkpoint" else "scratch"
    told = found(TEXTS, f"model.name={name}", f"text.vocabulary={tmp_path / 'upper'}", "text.case=lower")["unknown characters"]
    assert told.verdict == REFUSED and "text.case=upper" in told.advice and "e (2)" in told.measured
    assert f"text.vocabulary={tmp_path / 'upper'}" in told.measured and str(checkpoint) not in told.measured  # whose vocabulary it is
    assert found(TEXTS, f"model.name={name}", f"text.vocabulary={tmp_path / 'upper'}")["unknown characters"].verdict == OK


def test_a_checkpoint_of_another_script_names_the_script(checkpoint: Path) -> None:
    told = found(NEPALI, f"model.name={checkpoint}")
    assert told["unknown characters"].verdict == REFUSED and "no Devanagari letters" in told["unknown characters"].advice
    assert "text.vocabulary=build" in told["unknown characters"].advice and told["round trip"].verdict == WARNING
    built = found(NEPALI, f"model.name={checkpoint}", "text.vocabulary=build")
    assert {item.verdict for item in built.values()} == {OK}


@pytest.mark.parametrize(
    ("texts", "verdict", "advice"),
    [
        (["call 1 2 3 4 5 6"], REFUSED, "text.digits=words"),
        (["call one two", "perché no"], WARNING, "text.vocabulary=build"),
        (["call one, two"], WARNING, "text.ignore"),
        (["CALL ONE"], REFUSED, "text.case=lower"),
        (["call one two"], OK, ""),
    ],
    ids=["digits", "an accent", "a comma", "upper case", "nothing"],
)
def test_the_cause_of_unknown_characters_is_named(texts: list[str], verdict: str, advice: str, tokenizer: Any) -> None:
    told = ctc_findings.unknown_characters(tokenizer(ctc_models.LETTERS), texts, None, "the model")
    assert told.verdict == verdict and advice in told.advice and bool(advice) == bool(told.advice)


@pytest.mark.parametrize(("letters", "verdict"), [("", REFUSED), ("a", REFUSED), ("'-", REFUSED), ("ab", OK), ("०१", OK)])
def test_a_vocabulary_of_one_character_says_nothing(letters: str, verdict: str, tokenizer: Any) -> None:
    assert ctc_findings.vocabulary_size(tokenizer(letters), "the model").verdict == verdict


@pytest.mark.parametrize(("outputs", "verdict"), [(8, REFUSED), (9, WARNING), (10, OK), (12, WARNING)])
def test_every_token_needs_an_output(outputs: int, verdict: str, tokenizer: Any) -> None:
    made = tokenizer("abcde")  # ids 5 to 9
    assert ctc_findings.output_layer(made, outputs, [made("abcd").input_ids]).verdict == verdict


def test_words_need_a_delimiter(tokenizer: Any) -> None:
    made = tokenizer("abc", word_delimiter_token="<unk>")
    assert ctc_findings.special_tokens(made, made.pad_token_id, ["a b"]).verdict == REFUSED
    assert ctc_findings.special_tokens(tokenizer("abc"), 0, ["a b"]).verdict == OK
    assert ctc_findings.special_tokens(tokenizer("abc"), 3, ["a b"]).verdict == REFUSED  # loss and decoder disagree on the blank


def test_a_tokenizer_that_changes_the_text_is_seen(tokenizer: Any) -> None:
    made = tokenizer(ctc_models.LETTERS + "|")
    texts = ["call one", "one|two"]
    told = round_trip(texts, [made(text).input_ids for text in texts], lambda ids: made.decode(ids, group_tokens=False), made.unk_token_id)
    assert told.verdict == WARNING and "'one|two' as 'one two'" in told.measured
    collapsed = round_trip(["call"], [made("call").input_ids], made.decode, made.unk_token_id)
    assert collapsed.verdict == REFUSED and "'call' as 'cal'" in collapsed.measured


def test_the_stride_of_an_adapter_takes_the_room_of_the_text() -> None:
    texts = ["call one two three four five six seven", "all the letters"]
    architecture = "model.architecture=wav2vec2-bert"
    plain, samples = found(texts, architecture, samples=np.array([20_000, 20_000]))["label length"], np.array([20_000, 20_000])
    assert plain.verdict == OK
    half = found(texts, architecture, "model.add_adapter=true", samples=samples)["label length"]
    assert half.verdict == WARNING and "u0 (1.2 s) has 40 labels" in half.measured and "behind an adapter of stride 2" in half.measured
    assert "model.add_adapter=false" in half.advice
    none = found(texts, architecture, "model.add_adapter=true", "model.num_adapter_layers=3", samples=samples)["label length"]
    assert none.verdict == REFUSED and "stride 8" in none.measured


def test_text_of_other_audio_does_not_fit() -> None:
    told = found(["a long text for a short noise", "", "one"], samples=np.array([1_600, 16_000, 16_000]))["label length"]
    assert told.verdict == REFUSED and "2 of 3 utterances" in told.measured and "1 have no text" in told.measured and "do they belong to it" in told.advice
