"""Nepali transcripts as people wrote them."""

from itertools import islice
from pathlib import Path

import pytest

from asrx.config import resolve
from asrx.corpus.prepare import Source, prepare
from asrx.models import load_family
from asrx.text import TranscriptNormalizer

DATA = Path(__file__).parents[3] / "shared" / "data"
NEPALI = DATA / "nepali"
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason=f"{DATA} is not there: real recordings for development")


def test_nepali_transcripts_keep_their_combining_marks() -> None:
    lines = (NEPALI / "utt_spk_text.tsv").read_text(encoding="utf-8").splitlines()
    for text in (line.split("\t")[2] for line in islice(lines, 40)):
        assert TranscriptNormalizer("ne")(text) == " ".join(text.rstrip("।").split())


@pytest.mark.parametrize("architecture", ["wav2vec2", "wav2vec2-bert"])
def test_a_vocabulary_from_nepali_text_spells_all_of_it(architecture: str, tmp_path: Path) -> None:
    options = resolve(overrides=["text.language=ne", "text.vocabulary=build", f"model.architecture={architecture}", "data.workers=1"])
    corpus, _ = prepare(Source(str(NEPALI)), tmp_path / "nepali", options)
    texts = [*corpus.split("train").column("text"), *corpus.split("validation").column("text")]
    assert len(texts) >= 30 and {"ि", "्", "ँ"} <= set("".join(texts))
    family = load_family(options, texts)
    spelled = [family._recognizer().text(label) for label in family.labels(texts)]
    assert spelled == texts
    family.save(tmp_path / "model")
    again = load_family(resolve(overrides=[f"model.name={tmp_path / 'model'}"]), texts)
    assert again.labels(texts) == family.labels(texts)
