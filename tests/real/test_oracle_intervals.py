"""Our interval of the WER difference against a bootstrap over speakers, on the same transcripts."""

import json
from pathlib import Path

import numpy as np
import pytest

from asrx.error_counts import count_all
from asrx.scoring.significance import paired_difference

ORACLE = Path(__file__).parents[3] / "shared" / "oracle"

pytestmark = pytest.mark.skipif(not ORACLE.is_dir(), reason=f"the oracle's figures are not here: {ORACLE}")


def transcripts(case: str, name: str) -> dict[str, str]:
    lines = (ORACLE / case / f"{name}.trn").read_text(encoding="utf-8").splitlines()
    return {line.rpartition("(")[2].rstrip(")"): line.rpartition("(")[0].strip() for line in lines}


def scored(case: str) -> tuple[list, list, list[str]]:
    references = transcripts(case, "ref")
    sides = []
    for name in ("hypA", "hypB"):
        heard = transcripts(case, name)
        sides.append(count_all(list(references.values()), [heard[key] for key in references]))
    return sides[0], sides[1], [key.rpartition("-")[0] for key in references]


@pytest.mark.parametrize("case", ["case3_significant", "case4_not_significant"])
def test_the_interval_is_that_of_a_bootstrap_over_speakers(case: str) -> None:
    expected = json.loads((ORACLE / "expected_bootstrap.json").read_text())[case]
    found = paired_difference(*scored(case))
    low, high = expected["spk_boot_ci95"]
    assert found.difference == pytest.approx(expected["delta"], abs=0.002)
    assert found.is_improvement == (case == "case3_significant")
    # Student's t with few speakers is wider than percentiles of the bootstrap, which are known to be too narrow.
    assert np.interp(high - low, [0, found.high - found.low], [0, 1]) > 0.6
    assert found.low <= low + 0.005 and found.high >= high - 0.005
