"""Nepali transcripts as people wrote them."""

from itertools import islice
from pathlib import Path

import pytest

from asrx.text import TranscriptNormalizer

DATA = Path(__file__).parents[3] / "shared" / "data"
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason=f"{DATA} is not there: real recordings for development")


def test_nepali_transcripts_keep_their_combining_marks() -> None:
    lines = (DATA / "nepali" / "utt_spk_text.tsv").read_text(encoding="utf-8").splitlines()
    for text in (line.split("\t")[2] for line in islice(lines, 40)):
        assert TranscriptNormalizer("ne")(text) == " ".join(text.rstrip("।").split())
