"""Real recordings of three kinds (spelled letters, connected digits, Nepali read speech): the default bounds leave none of them out for its content."""

import csv
import json
from collections import Counter
from pathlib import Path

import pytest
from conftest import SHARED

from asrx.config import resolve
from asrx.corpus.decoding import decode
from asrx.corpus.plan import Planned
from asrx.corpus.rules import Rejected, Rules
from asrx.text import TranscriptNormalizer

DATA = SHARED / "data"
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason=f"{DATA} is not there: real recordings for development")


def left_out(pairs: list[tuple[Path, str]], language: str) -> Counter[str]:
    """Count of each rule that leaves a recording out."""
    config = resolve(overrides=[f"text.language={language}"])
    rules, normalizer = Rules.from_config(config), TranscriptNormalizer.from_config(config.text)
    found: Counter[str] = Counter()
    for path, raw in pairs:
        text = normalizer(raw)
        decoded = decode(Planned("u", raw, "", "{}", path, 0.0, None, None, None, ""), rules)
        rejected = rules.of_text(raw, text) or (decoded if isinstance(decoded, Rejected) else rules.of_audio(decoded[0], text, decoded[1]))
        found.update([rejected.rule] if rejected else [])
    return found


def test_spelled_letters_and_numbers() -> None:
    rows = [json.loads(line) for line in (DATA / "an4" / "train_manifest.json").read_text().splitlines()]
    assert left_out([(DATA / "an4" / row["audio_filepath"], row["text"]) for row in rows], "en").keys() <= {"too_short"}


def test_connected_digits_in_mp3() -> None:
    with (DATA / "digits" / "cv-valid-dev.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert left_out([(DATA / "digits" / row["filename"], row["text"]) for row in rows], "en").keys() <= {"too_short"}


def test_nepali() -> None:
    rows = [line.split("\t") for line in (DATA / "nepali" / "utt_spk_text.tsv").read_text(encoding="utf-8").splitlines()]
    assert not left_out([(DATA / "nepali" / "data" / name[:2] / f"{name}.flac", text) for name, _, text in rows], "ne")
