"""Timestamps and other special tokens are times and commands, never text."""

from typing import Any

import pytest
import whisper_models as whisper
from whisper_models import pieces, scripted, tone

from asrx.recognizer.seq2seq import Seq2SeqRecognizer

END = "<|endoftext|>"


@pytest.fixture(scope="module")
def tokens() -> Any:
    return whisper.tokenizer()


def hear(tokens: Any, script: list[str], seconds: float = 1.5, saved: bool = False, **options: Any) -> Any:
    model = whisper.untrained(tokens)
    model.generation_config.return_timestamps = saved
    scripted(model, tokens, script)
    return Seq2SeqRecognizer(model, whisper.extractor(), tokens, "cpu", **options).recognize([tone(440, seconds)])[0]


@pytest.mark.parametrize("special", ["<|0.00|>", "<|1.24|>", "<|it|>", "<|startofprev|>", "<|nospeech|>", "<|notimestamps|>", "<|startoftranscript|>"])
def test_no_special_token_gets_into_the_text(tokens: Any, special: str) -> None:
    said = [*pieces(tokens, "perché"), special, *pieces(tokens, " no"), END]
    heard = hear(tokens, said)
    assert heard.text == "perché" and heard.words == ()  # the token cannot be said: the end is next in probability
    timed = hear(tokens, ["<|0.00|>", *said[:-1], "<|1.40|>", END], timestamps=True)
    assert "|" not in timed.text and timed.text.startswith("perché")


def test_segments_have_times(tokens: Any) -> None:
    first, second = pieces(tokens, "accendi la luce"), pieces(tokens, " perché no")
    script = ["<|0.00|>", *first, "<|0.62|>", "<|0.70|>", *second, "<|1.40|>", END]
    for given in ({"timestamps": True}, {"saved": True}):
        heard = hear(tokens, script, **given)
        assert heard.text == "accendi la luce perché no"
        assert [(word.text, word.start, word.end) for word in heard.words] == [("accendi la luce", 0.0, 0.62), ("perché no", 0.7, 1.4)]


def test_a_segment_ends_with_the_recording_at_the_latest(tokens: Any) -> None:
    said = pieces(tokens, "perché no")
    for closing in ([], ["<|1.98|>"]):
        (word,) = hear(tokens, ["<|0.20|>", *said, *closing, END], timestamps=True).words
        assert (word.text, word.start, word.end) == ("perché no", 0.2, 1.5)


def test_times_do_not_run_backwards(tokens: Any) -> None:
    (word,) = hear(tokens, ["<|0.60|>", *pieces(tokens, "perché no"), "<|0.20|>", *pieces(tokens, "no"), END], timestamps=True).words
    assert (word.text, word.start, word.end) == ("perché no", 0.6, 1.5)


def test_a_loop_with_times_between_is_a_loop(tokens: Any) -> None:
    said = pieces(tokens, "grazie")
    script = ["<|0.00|>"]
    for number in range(1, 12):
        script += [*said, f"<|{number * 0.1:.2f}|>", f"<|{number * 0.1:.2f}|>"]
    assert hear(tokens, [*script[:-1], END], timestamps=True).text.count("grazie") < 4


def test_a_model_without_timestamps_cannot_say_times(tokens: Any) -> None:
    model = whisper.untrained(tokens, vocab_size=tokens.convert_tokens_to_ids("<|1.00|>"))
    with pytest.raises(ValueError, match="cannot say times"):
        Seq2SeqRecognizer(model, whisper.extractor(), tokens, "cpu", timestamps=True)
    scripted(model, tokens, [*pieces(tokens, "perché no"), END])
    assert Seq2SeqRecognizer(model, whisper.extractor(), tokens, "cpu").recognize([tone(440)])[0].text == "perché no"
