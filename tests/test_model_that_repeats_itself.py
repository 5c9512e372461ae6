"""Whisper's way to a WER of 200 %: the same words over and over. They are decoded again, else cut, and cost little time."""

from typing import Any

import pytest
import whisper_models as whisper
from whisper_models import pieces, scripted, tone

from asrx.recognizer.loops import REPEATS, ends_in_loop, find_loop
from asrx.recognizer.seq2seq import Seq2SeqRecognizer

END = ["<|endoftext|>"]
# 104 letters without a repeated group of three: a second decoding may say them all.
RAMBLING = [chr(97 + number * step % 26) for number in (1, 5, 9, 17) for step in range(26)]


@pytest.fixture(scope="module")
def tokens() -> Any:
    return whisper.tokenizer()


def hear(tokens: Any, *scripts: list[str], seconds: float = 1.0, **options: Any) -> tuple[Any, list[int]]:
    """What a model that says these scripts, one for each decoding, is heard to say; the positions of its decoder's calls."""
    model = whisper.untrained(tokens, **options)
    calls = scripted(model, tokens, *scripts)
    ready = Seq2SeqRecognizer(model, whisper.extractor(), tokens, "cpu")
    return ready.recognize([tone(440, seconds)])[0], calls


@pytest.mark.parametrize(
    ("ids", "loop"),
    [
        ([7] * REPEATS, (0, 1)),
        ([7] * (REPEATS - 1), None),
        ([1, *[2, 3] * REPEATS, 9], (1, 2)),
        ([1, *[2, 3] * (REPEATS - 1), 9, 2, 3, 2, 3], None),
        ([5, *[*range(20, 36)] * REPEATS], (1, 16)),
        ([1, 1, 2] * REPEATS, (0, 3)),
        ([*[1, 2] * REPEATS, *[3] * REPEATS], (0, 2)),
        ([3, 1, 4, 1, 5, 9, 2, 6], None),
        ([], None),
    ],
)
def test_a_loop_is_an_ngram_many_times_in_a_row(ids: list[int], loop: tuple[int, int] | None) -> None:
    found = find_loop(ids)
    assert (found and (found.start, found.period)) == loop
    closes = next((count for count in range(len(ids) + 1) if ends_in_loop(ids[:count])), None)
    assert closes == (loop and loop[0] + REPEATS * loop[1])


def test_a_model_biased_to_one_token_says_it_a_few_times_and_ends(tokens: Any) -> None:
    heard, calls = hear(tokens, ["a"])
    assert heard.text == "aaa"
    assert len(calls) <= REPEATS + 5  # not the 70 tokens that a second may have


def test_a_second_decoding_without_the_loop_is_taken_if_it_ends(tokens: Any) -> None:
    heard, _ = hear(tokens, ["l", "a"] * 30, [*pieces(tokens, "accendi la luce"), *END])
    assert heard.text == "accendi la luce"


def test_what_loops_again_is_cut_at_its_first_repetition(tokens: Any) -> None:
    heard, calls = hear(tokens, [*"noci", *["o", "e"] * 30], RAMBLING + RAMBLING[::-1], seconds=1.5)
    assert heard.text == "nocioe"
    assert 0 < heard.confidence <= 1
    assert len(calls) == 4 + 2 * REPEATS + 95  # until the loop closes, and until no speech is that long


def test_a_looping_word_of_many_byte_tokens_is_a_loop(tokens: Any) -> None:
    word = [*pieces(tokens, "ढोका"), "Ġ"]
    assert len(word) > 8
    heard, _ = hear(tokens, word * 30, seconds=2.0, max_target_positions=400)
    assert heard.text == "ढोका ढोका"


def test_a_character_is_not_cut_in_two(tokens: Any) -> None:
    heard, _ = hear(tokens, [*pieces(tokens, "no ढ")[:-1], *END])
    assert heard.text == "no"


def test_a_number_of_equal_digits_stays(tokens: Any) -> None:
    digits = "tre tre tre tre tre"
    heard, calls = hear(tokens, [*pieces(tokens, digits), *END])
    assert heard.text == digits and len(calls) == len(pieces(tokens, digits)) + 1


def test_text_longer_than_speech_is_decoded_again(tokens: Any) -> None:
    heard, _ = hear(tokens, RAMBLING, [*pieces(tokens, "perché no"), *END], seconds=0.5)
    assert heard.text == "perché no"
    heard, calls = hear(tokens, RAMBLING, seconds=0.5)
    assert heard.text == "".join(RAMBLING[:45]) and len(calls) == 2 * 45


def test_dense_speech_may_fill_the_decoder(tokens: Any) -> None:
    text = [*"ilsolesorgevaelentamenteimontidiventavanodicolororosa"]
    heard, calls = hear(tokens, text, ["x", *END], seconds=2.0, max_target_positions=34)
    assert heard.text == "".join(text)[:30] and len(calls) == 30


def test_only_the_row_that_loops_is_decoded_again(tokens: Any) -> None:
    model = whisper.untrained(tokens)
    ready = Seq2SeqRecognizer(model, whisper.extractor(), tokens, "cpu")
    rows: list[int] = []

    def speak(_: Any, __: Any, logits: Any) -> Any:
        rows.append(len(logits))
        logits = logits * 0
        logits[..., tokens.eos_token_id] = 10.0
        logits[0, -1, tokens.convert_tokens_to_ids("o")] = 20.0  # the first row for ever; the second one says nothing
        return logits

    model.proj_out.register_forward_hook(speak)
    heard = ready.recognize([tone(440, 0.5), tone(440)], batch_size=2)
    assert [item.text for item in heard] == ["ooo", ""] and set(rows) == {1, 2}
