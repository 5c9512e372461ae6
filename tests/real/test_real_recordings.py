"""The three kinds of real corpora in ../shared/data, as they lie on disk."""

from itertools import islice
from pathlib import Path

import pytest

from asrx.corpus.decoding import Accepted, Filter, Task, decode
from asrx.corpus.layouts import Row, read
from asrx.text import TranscriptNormalizer

DATA = Path(__file__).parents[3] / "shared" / "data"
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason=f"{DATA} is not there: real recordings for development")


def decoded(rows: list[Row]) -> list[Accepted]:
    tasks = [Task(row.audio, row.offset, row.seconds, True, True) for row in rows]
    return [result for task in tasks if isinstance(result := decode(task, Filter(0.1, 30)), Accepted)]


def test_common_voice_v1_with_its_dev_sibling() -> None:
    rows = read(str(DATA / "digits" / "cv-valid-train.csv"))
    assert [sum(row.split == split for row in rows) for split in ("train", "validation")] == [1200, 150]
    assert len({row.speaker for row in rows}) == 5 and all(row.audio.is_file() for row in rows)
    assert len(decoded(rows[::60])) == len(rows[::60])


def test_the_nemo_manifest_of_an4() -> None:
    rows = read(str(DATA / "an4" / "train_manifest.json"))
    assert len(rows) == 948 and len({row.speaker for row in rows}) == 74
    assert len(decoded(rows[::40])) == len(rows[::40])


def test_nepali_transcripts_keep_their_combining_marks() -> None:
    lines = (DATA / "nepali" / "utt_spk_text.tsv").read_text(encoding="utf-8").splitlines()
    for text in (line.split("\t")[2] for line in islice(lines, 40)):
        assert TranscriptNormalizer("ne")(text) == " ".join(text.rstrip("।").split())
