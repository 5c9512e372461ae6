"""Totals against NIST sclite 2.10 (../shared/oracle)."""

import json
import re
from pathlib import Path

import pytest

from asrx.error_counts import count_all, pool

ORACLE = Path(__file__).parents[3] / "shared" / "oracle"
pytestmark = pytest.mark.skipif(not ORACLE.is_dir(), reason=f"{ORACLE} is not there: sclite's reference figures for development")
CASED = {("case5_unicode", "A"): (2, 1)}  # word and sentence errors that are none here: sclite folds the case of ASCII alone (CITTÀ È)
CASES = ("case1_basic", "case2_weights", "case3_significant", "case4_not_significant", "case5_unicode")


def transcripts(path: Path) -> dict[str, str]:
    lines = path.read_text(encoding="utf-8").splitlines()
    return {match[2]: match[1] for line in lines if (match := re.fullmatch(r"(.*?)\s*\(([^()]*)\)", line.strip()))}


@pytest.mark.parametrize("system", "AB")
@pytest.mark.parametrize("case", CASES)
def test_totals_are_those_of_sclite(case: str, system: str) -> None:
    expected = json.loads((ORACLE / "expected.json").read_text())[case][f"sclite_{system}"]
    references, hypotheses = transcripts(ORACLE / case / "ref.trn"), transcripts(ORACLE / case / f"hyp{system}.trn")
    total = pool(count_all(list(references.values()), [hypotheses[key] for key in references]))
    words, sentences = CASED.get((case, system), (0, 0))
    assert (total.utterances, total.words, total.wrong_utterances + sentences) == (expected["utts"], expected["words"], expected["sent_err"])
    assert total.deletions - total.insertions == expected["del"] - expected["ins"]
    if case == "case2_weights":  # sclite aligns with weights 4/3/3 there: never fewer errors than Levenshtein's
        assert total.errors <= expected["err"]
    else:
        assert total.errors + words == expected["err"]
