"""CTC decoding: repeats collapse before blanks go, so that letters said twice are written twice."""

import numpy as np
import pytest
import torch

from asrx.models import vocabulary
from asrx.recognizer.ctc import CtcRecognizer, greedy


@pytest.fixture(scope="module")
def tokenizer():
    return vocabulary.build(["HELLO BOOK"], {})


def emitted(tokenizer, frames: str):
    """One frame per character; `_` is the blank, a space the word delimiter."""
    names = {"_": tokenizer.pad_token, " ": "|"}
    ids = [tokenizer.convert_tokens_to_ids(names.get(frame, frame)) for frame in frames]
    logits = torch.full((1, len(frames), len(tokenizer)), -8.0)
    logits[0, torch.arange(len(frames)), torch.tensor(ids)] = 8.0
    return greedy(logits, [len(frames)], tokenizer.pad_token_id)[0]


def recognition(tokenizer, frames: str):
    recognizer = CtcRecognizer.__new__(CtcRecognizer)  # the decoding half alone; a network is not needed to spell
    recognizer.tokenizer, recognizer.blank = tokenizer, tokenizer.pad_token_id
    recognizer._special = {tokenizer.unk_token_id}
    return recognizer.recognition(emitted(tokenizer, frames), 0.02)


@pytest.mark.parametrize(
    ("frames", "text"),
    [
        ("HHEEL_LLOO  BBO_OKK", "HELLO BOOK"),
        ("HEL_LO BO_OK", "HELLO BOOK"),
        ("HELLO BOOK", "HELO BOK"),
        ("H_H", "HH"),
        ("__HH__", "H"),
        ("____", ""),
        ("  H  E  ", "H E"),
        ("H _ E", "H E"),
    ],
)
def test_collapse_comes_before_blanks_go(frames: str, text: str, tokenizer) -> None:
    assert recognition(tokenizer, frames).text == text


def test_frames_past_the_end_are_not_heard(tokenizer) -> None:
    logits = torch.full((1, 4, len(tokenizer)), -8.0)
    logits[0, :, tokenizer.convert_tokens_to_ids("H")] = 8.0
    logits[0, 2:, tokenizer.convert_tokens_to_ids("E")] = 18.0
    assert tokenizer.convert_ids_to_tokens(greedy(logits, [2], tokenizer.pad_token_id)[0].ids) == ["H"]
    assert greedy(logits, [0], tokenizer.pad_token_id)[0].ids == []


def test_words_have_times_and_confidence_is_a_probability(tokenizer) -> None:
    found = recognition(tokenizer, "__HEL_LO__ _BO_OK__")
    assert [(word.text, word.start, word.end) for word in found.words] == [("HELLO", 0.04, 0.16), ("BOOK", 0.24, 0.34)]
    assert 0.99 < found.confidence <= 1


def test_confidence_is_the_geometric_mean_over_emitted_tokens(tokenizer) -> None:
    logits = torch.log(torch.full((1, 3, len(tokenizer)), 1e-9))
    for frame, (token, probability) in enumerate((("H", 0.5), (tokenizer.pad_token, 0.9), ("E", 0.8))):
        logits[0, frame, tokenizer.convert_tokens_to_ids(token)] = np.log(probability)
    logits[0, 0, tokenizer.convert_tokens_to_ids("L")] = np.log(0.4999)
    logits[0, 1, tokenizer.convert_tokens_to_ids("L")] = np.log(0.1)
    logits[0, 2, tokenizer.convert_tokens_to_ids("L")] = np.log(0.2)
    found = greedy(logits, [3], tokenizer.pad_token_id)[0]
    assert np.exp(np.mean(found.log_probabilities)) == pytest.approx(np.sqrt(0.5 * 0.8), rel=1e-3)


def test_a_transcript_survives_the_way_to_labels_and_back(tokenizer) -> None:
    ids = tokenizer("HELLO BOOK").input_ids
    recognizer = CtcRecognizer.__new__(CtcRecognizer)
    recognizer.tokenizer = tokenizer
    assert recognizer.text(ids) == "HELLO BOOK"


def test_another_word_delimiter_survives_saving(tmp_path):
    from asrx.config import resolve
    from asrx.models import load_family
    from asrx.recognizer.tokens import read_tokenizer

    family = load_family(resolve(overrides=["tokenizer.word_delimiter_token=_"]), ["ab ba"])
    family.save(tmp_path)
    ids = family.labels(["ab ba"])[0]
    assert read_tokenizer(tmp_path)("ab ba").input_ids == ids
    assert CtcRecognizer.load(tmp_path, "cpu").text(ids) == "ab ba"
