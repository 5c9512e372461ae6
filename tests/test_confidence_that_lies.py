"""A confidence is worth what it says of the words, and the mending is measured on speakers that it was not fitted on."""

import numpy as np
import pytest
from heard import heard

from asrx.error_counts import count_all
from asrx.scoring.calibration import bins, calibration, calibration_error, fit_temperature, scale

WORDS = 10


def utterances(confidence: np.ndarray, right: np.ndarray, speakers: int = 8) -> tuple[list, list]:
    """One utterance of ten words each, of which a share is right."""
    reference = " ".join(f"w{number}" for number in range(WORDS))
    items = []
    for number, (sure, hits) in enumerate(zip(confidence, right, strict=True)):
        words = reference.split()
        hypothesis = " ".join(words[:hits] + ["x"] * (WORDS - hits))
        items.append(heard(f"u{7919 * number % 100_003:05}", reference, hypothesis, f"s{number % speakers}", confidence=float(sure)))
    return items, count_all([item.row.text for item in items], [item.hypothesis for item in items])


def drawn(temperature: float, count: int = 2_000) -> tuple[list, list]:
    """Utterances whose confidence is over-sure by a temperature."""
    rng = np.random.default_rng(1)
    truth = rng.uniform(0.55, 0.98, count)
    return utterances(scale(truth, 1 / temperature), rng.binomial(WORDS, truth))


def test_expected_calibration_error_by_hand() -> None:
    confidence, correct, words = np.array([0.9, 0.9, 0.3]), np.array([1.0, 0.5, 0.0]), np.array([10, 10, 20])
    assert calibration_error(confidence, correct, words) == pytest.approx(0.5 * abs(0.75 - 0.9) + 0.5 * 0.3)
    found = bins(confidence, correct, words)
    assert [(item.confidence, item.accuracy, item.words) for item in found] == [(pytest.approx(0.3), 0, 20), (pytest.approx(0.9), 0.75, 20)]
    assert [item.words for item in bins(np.array([0.0, 1.0]), np.ones(2), np.ones(2))] == [1, 1]


def test_the_temperature_that_spoilt_the_confidence_is_found() -> None:
    items, counts = drawn(2.5)
    found = calibration(items, counts)
    assert found.temperature == pytest.approx(2.5, rel=0.1)
    assert found.error > 0.08 and found.error_scaled < 0.02
    honest = calibration(*drawn(1.0))
    assert honest.temperature == pytest.approx(1, rel=0.1) and honest.error < 0.02


def test_a_temperature_is_judged_on_speakers_that_it_was_not_fitted_on() -> None:
    """Half of the speakers are always right, the other half never: what is fitted on one half makes the other half worse."""
    confidence = np.full(400, 0.7)
    items, counts = utterances(confidence, np.where(np.arange(400) % 2 == 0, WORDS, 0), speakers=2)
    found = calibration(items, counts)
    assert found.error == pytest.approx(0.2) and found.error_scaled > 0.4


def test_recordings_that_failed_have_no_confidence() -> None:
    items, counts = utterances(np.array([0.8, 0.8]), np.array([8, 8]))
    items.append(heard("gone", "one", "", confidence=0.0, error="no such file"))
    found = calibration(items, [*counts, *count_all(["one"], [""])])
    assert found.error == pytest.approx(0) and sum(item.words for item in found.bins) == 20


def test_nothing_to_measure() -> None:
    assert calibration([], []) is None
    silent = [heard("silence", "", "", confidence=0.99)]
    assert calibration(silent, count_all([""], [""])) is None
    one = [heard("one", "one", "one", confidence=0.5)]
    assert calibration(one, count_all(["one"], ["one"])).error_scaled is None


def test_confidences_of_exactly_zero_and_one_are_scaled() -> None:
    scaled = scale(np.array([0.0, 0.5, 1.0]), 2.0)
    assert np.isfinite(scaled).all() and scaled[1] == 0.5 and scaled[0] < 0.01 and scaled[2] > 0.99
    assert 0.05 <= fit_temperature(np.array([0.9, 1.0]), np.ones(2)) < 0.1
