"""A rule that asks `<` for `<=` throws good recordings away or lets bad ones in: each is asked below, at and above its bound."""

import json
import math
import pickle
from pathlib import Path

import numpy as np
import pytest
import soundfile
from sounds import sound, write

from asrx.config import resolve
from asrx.corpus.decoding import decode
from asrx.corpus.plan import Planned
from asrx.corpus.rules import RULES, Rejected, Rules
from asrx.errors import ConfigError
from asrx.recognizer.audio import SAMPLE_RATE, load, pcm


def rules(*overrides: str) -> Rules:
    return pickle.loads(pickle.dumps(Rules.from_config(resolve(overrides=overrides))))


def asked(path: Path, text: str, *overrides: str) -> Rejected | None:
    """What the rules say of a recording, through the real decoder."""
    chosen = rules(*overrides)
    decoded = decode(Planned("u", text, "", "{}", path, 0.0, None, None, None, ""), chosen)
    return decoded if isinstance(decoded, Rejected) else chosen.of_audio(decoded[0], text, decoded[1])


def rule_of(rejected: Rejected | None) -> str:
    assert rejected is None or rejected.rule in RULES
    return rejected.rule if rejected else ""


@pytest.mark.parametrize(("samples", "rule"), [(15_999, "too_short"), (16_000, ""), (32_000, ""), (32_001, "too_long")])
def test_durations(tmp_path: Path, samples: int, rule: str) -> None:
    rejected = asked(write(tmp_path / "a.wav", sound(samples / SAMPLE_RATE)), "some words", "data.max_seconds=2")
    assert rule_of(rejected) == rule
    assert not rejected or "2 s" in rejected.reason or rejected.reason == "1.000 s is shorter than 1 s"


def test_a_lowered_longest_duration_is_asked_of_samples_that_are_there_already() -> None:
    samples = pcm(load(sound(2.0)))
    assert rules("data.max_seconds=2").of_audio(samples, "some words", 0) is None
    assert rule_of(rules("data.max_seconds=1.99").of_audio(samples, "some words", 0)) == "too_long"


@pytest.mark.parametrize(("level", "rule"), [(-60.5, "silent"), (-59.5, ""), (-100.0, "silent")])
def test_levels(tmp_path: Path, level: float, rule: str) -> None:
    quiet = sound(2.0)
    path = write(tmp_path / "a.wav", quiet / np.abs(quiet).max() * 10 ** (level / 20))
    assert rule_of(asked(path, "some words", "data.min_level=-60")) == rule


def test_the_level_of_an_offset_is_none(tmp_path: Path) -> None:
    assert rule_of(asked(write(tmp_path / "a.wav", np.full(32_000, 0.25)), "some words")) == "silent"
    assert rule_of(asked(write(tmp_path / "b.wav", 0.25 + 0.1 * sound(2.0)), "some words")) == ""


def test_the_level_at_the_bound_passes() -> None:
    edge = np.tile(np.array([-3277, 3277], np.int16), 16_000)
    exact = 20 * math.log10(3277 / 32_768)
    assert rules(f"data.min_level={exact}").of_audio(edge, "some words", 0) is None
    assert rule_of(rules(f"data.min_level={exact + 1e-3}").of_audio(edge, "some words", 0)) == "silent"


@pytest.mark.parametrize(("gain", "rule"), [(1.9, ""), (8.0, "clipped")])
def test_clipping(tmp_path: Path, gain: float, rule: str) -> None:
    loud = sound(2.0)
    path = write(tmp_path / "a.wav", np.clip(gain * loud, -1, 1))
    share = load(path).clipped
    assert rule_of(asked(path, "some words")) == rule
    if share:
        assert rule_of(rules(f"data.max_clipping={share}").of_audio(pcm(load(path)), "some words", share)) == ""
        assert rule_of(rules(f"data.max_clipping={share - 1e-6}").of_audio(pcm(load(path)), "some words", share)) == "clipped"


@pytest.mark.parametrize(("text", "seconds", "rule"), [
    ("a", 4.0, ""), ("a", 4.001, "few_characters"), ("no", 7.9, ""), ("x" + "yx" * 14 + "y", 1.0, ""), ("x" + "yx" * 15, 1.0, "many_characters"),
    ("w i l l i a m", 3.0, ""), ("१", 1.0, ""),
])  # fmt: skip
def test_characters_per_second(tmp_path: Path, text: str, seconds: float, rule: str) -> None:
    assert rule_of(asked(write(tmp_path / "a.wav", sound(seconds)), text)) == rule


@pytest.mark.parametrize(("text", "frame_rate", "rule"), [
    ("ab" * 12 + "a", 25, ""), ("ab" * 12 + "aa", 26, "label_too_long"), ("ab" * 12 + "aa", 27, ""),
    ("ab" * 12 + "aA", 26, "label_too_long"), ("ab" * 13, 25, "label_too_long"),
])  # fmt: skip
def test_labels_and_frames(tmp_path: Path, text: str, frame_rate: int, rule: str) -> None:
    assert rule_of(asked(write(tmp_path / "a.wav", sound(1.0)), text, f"data.frame_rate={frame_rate}")) == rule


def test_frames_of_an_awkward_duration_are_not_lost_to_rounding() -> None:
    samples = np.tile(np.array([-9000, 9000], np.int16), 9_280 // 2)  # 0.58 s are 29 frames; 0.58 * 50 is less than 29
    chosen = rules("data.min_seconds=0.1", "data.max_chars_per_second=60")
    assert chosen.of_audio(samples, "ab" * 14 + "a", 0) is None
    assert rule_of(chosen.of_audio(samples, "ab" * 15, 0)) == "label_too_long"


@pytest.mark.parametrize(("rate", "rule"), [(7_999, "rate"), (8_000, ""), (44_100, ""), (44_101, "rate")])
def test_sample_rates(tmp_path: Path, rate: int, rule: str) -> None:
    path = write(tmp_path / "a.wav", sound(2.0, rate), rate)
    assert rule_of(asked(path, "some words", "data.min_rate=8000", "data.max_rate=44100")) == rule


@pytest.mark.parametrize(("share", "rule"), [(0.05, "antiphase"), (0.2, "")])
def test_antiphase(tmp_path: Path, share: float, rule: str) -> None:
    channels = np.stack([sound(2.0), (2 * share - 1) * sound(2.0)], axis=1)  # their mean has about share**2 of the energy
    assert rule_of(asked(write(tmp_path / "a.wav", channels), "some words", "data.antiphase=0.01")) == rule


@pytest.mark.parametrize(("promise", "rule"), [(2.0, ""), (2.5, "truncated")])
def test_missing_audio_at_the_end(tmp_path: Path, promise: float, rule: str) -> None:
    whole = write(tmp_path / "whole.wav", sound(promise)).read_bytes()
    path = tmp_path / "a.wav"
    path.write_bytes(whole[: 44 + 2 * 32_000])
    assert rule_of(asked(path, "some words")) == rule
    assert rule_of(asked(path, "some words", "data.max_missing=0.6")) == ""


def test_samples_that_are_no_sound(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "nan.wav", np.append(sound(), np.nan), 16_000, subtype="FLOAT")
    assert rule_of(asked(tmp_path / "nan.wav", "some words")) == "not_finite"
    assert rule_of(asked(tmp_path / "gone.wav", "some words")) == "missing_audio"


@pytest.mark.parametrize(("raw", "text", "rule"), [
    ("", "", "empty_text"), (" \t", "", "empty_text"), ("?!", "", "empty_text"), ("@ +", "@ +", "unpronounceable"), ("◌ ।", "◌", "unpronounceable"),
    ("7", "7", ""), ("ि", "ि", "unpronounceable"), ("क", "क", ""), ("hello", "hello", ""),
])  # fmt: skip
def test_texts(raw: str, text: str, rule: str) -> None:
    assert rule_of(rules().of_text(raw, text)) == rule


VOCABULARY = {"<pad>": 0, "<unk>": 1, "[UNK]": 2, "|": 3, "A": 4, "B": 5, "É": 6, "'": 7}


@pytest.mark.parametrize(("given", "text", "missing"), [
    ("abc", "a cab", ""), ("abc", "A Cab", ""), ("aB", "ab", "b"), ("abc", "cab é✓ñ9", "é, ✓, ñ, 9"), ("cafe\u0301", "café", ""),
    ("0123456789", "1 2", ""),
    ("कि", "कि", ""), ("क", "कि", r"U\+093F DEVANAGARI VOWEL SIGN I"), ("vocab.json", "abé a'b", ""), ("vocab.json", "abc", "C"),
    ("folder", "<pad>", "<, P, D, >"),
])  # fmt: skip
def test_alphabets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str, text: str, missing: str) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "vocab.json", tmp_path / "folder" / "vocab.json"):
        path.write_text(json.dumps(VOCABULARY), encoding="utf-8")
    rejected = rules(f"text.alphabet={given}").of_text(text, text)
    assert rule_of(rejected) == ("outside_vocabulary" if missing else "")
    assert not rejected or rejected.reason.endswith(f": {missing}".replace("\\", ""))


def test_vocabularies_of_several_languages_and_of_bytes(tmp_path: Path) -> None:
    (tmp_path / "vocab.json").write_text(json.dumps({"eng": {"<pad>": 0, "a": 1}, "npi": {"<pad>": 0, "क": 1}}), encoding="utf-8")
    assert rules(f"text.alphabet={tmp_path}").of_text("a क", "a क") is None
    assert rule_of(rules(f"text.alphabet={tmp_path}").of_text("b", "b")) == "outside_vocabulary"
    (tmp_path / "vocab.json").write_text(json.dumps({"a": 0, "Ġthe": 1}), encoding="utf-8")
    assert rules(f"text.alphabet={tmp_path}").of_text("ञ", "ञ") is None


@pytest.mark.parametrize(("content", "said"), [(None, "cannot be read"), ("{", "is not JSON"), ("[]", "holds no vocabulary"),
("{}", "holds no vocabulary")])
def test_a_vocabulary_that_is_none_is_refused(tmp_path: Path, content: str | None, said: str) -> None:
    if content is not None:
        (tmp_path / "vocab.json").write_text(content)
    with pytest.raises(ConfigError, match=f"text.alphabet: .*vocab.json {said}"):
        rules(f"text.alphabet={tmp_path / 'vocab.json'}")


def test_a_hub_vocabulary_that_cannot_be_had_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ConfigError, match="text.alphabet=nobody/nothing: .*Give the characters"):
        rules("text.alphabet=nobody/nothing")


@pytest.mark.parametrize("change", ["data.min_rate=5000", "data.max_rate=48000", "data.max_missing=1", "data.antiphase=0.5", "data.max_clipping=0.5"])
def test_bounds_that_decide_decoding_are_in_its_digest(change: str) -> None:
    assert rules(change).decoding_digest() != rules().decoding_digest()


@pytest.mark.parametrize("change", ["data.min_seconds=2", "data.min_level=-50", "data.max_chars_per_second=40", "data.frame_rate=25", "text.alphabet=abc"])
def test_bounds_that_are_asked_of_samples_are_not(change: str) -> None:
    assert rules(change).decoding_digest() == rules().decoding_digest()
