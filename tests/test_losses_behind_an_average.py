"""A candidate that is better on the whole is not promoted if it is worse where it matters; every threshold of the gate is an option that works."""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from asrx.error_counts import ErrorCounts
from asrx.errors import InputError
from asrx.options import Gate
from asrx.registry.gate import INCONCLUSIVE, KEEP, PROMOTE, judge, judge_first
from asrx.registry.verdict import Leaks, Verdict
from asrx.scoring.significance import mapsswe
from asrx.scoring.speed import SpeedRatio

EACH = 20  # utterances of a speaker, of 10 words


def counts(errors: Any) -> list[ErrorCounts]:
    return [ErrorCounts(words=10, substitutions=int(wrong), utterances=1, wrong_utterances=int(wrong > 0)) for wrong in errors]


def verdict(
    old: list[int], new: list[int], slices: Mapping[str, Mapping[str, list[int]]] | None = None, speed: SpeedRatio | None = None,
    leaks: Leaks = Leaks(), by_speaker: bool = True, **options: Any,
) -> Verdict:  # fmt: skip
    """`old` and `new`: errors of each speaker, spread over 200 words. `slices`: column → value → speakers."""
    before, after = ([errors // EACH + (place < errors % EACH) for errors in side for place in range(EACH)] for side in (old, new))
    names = [f"s{speaker}" if by_speaker else f"u{speaker}-{place}" for speaker in range(len(old)) for place in range(EACH)]
    indices = {
        column: {value: [EACH * speaker + place for speaker in chosen for place in range(EACH)] for value, chosen in values.items()}
        for column, values in (slices or {}).items()
    }
    return judge(counts(before), counts(after), names, by_speaker, indices, speed, leaks, Gate(**options))


def ratio(value: float, upper: float) -> SpeedRatio:
    return SpeedRatio(value, upper, 10 * value, 10.0, 5, 60.0)


BETTER = [40] * 12, [30, 31, 29, 30, 32, 28, 30, 31, 29, 30, 30, 30]  # 20 % to 15 %
MIXED = [40] * 12, [30, 31, 29, 30, 32, 28, 44, 45, 43, 44, 46, 42]  # the second half of the speakers: 20 % to 22 %


def test_better_everywhere_is_promoted() -> None:
    found = verdict(*BETTER, slices={"accent": {"a": list(range(6)), "b": list(range(6, 12))}}, speed=ratio(1.0, 1.1))
    assert (found.outcome, found.blocks, found.notes, found.needed) == (PROMOTE, (), (), None)
    assert found.difference.difference == pytest.approx(-0.05) and found.worth == pytest.approx(0.004)
    assert found.bootstrap.better == 1 and found.bootstrap.high < 0 and found.mcnemar is not None
    assert [(item.value, item.utterances, item.words, item.speakers, item.powered, item.worse) for item in found.slices] == [
        ("a", 120, 1200, 6, True, False), ("b", 120, 1200, 6, True, False),
    ]  # fmt: skip


def test_a_loss_on_a_slice_stands_in_the_way() -> None:
    slices = {"accent": {"a": list(range(6)), "b": list(range(6, 12))}}
    found = verdict(*MIXED, slices=slices, confidence=0.5)
    assert found.outcome == KEEP and len(found.blocks) == 1 and "accent=b" in found.blocks[0] and found.blocks[0] in found.reason
    worse = found.slices[1]
    assert (worse.baseline_wer, worse.candidate_wer, worse.difference) == (pytest.approx(0.2), pytest.approx(0.22), pytest.approx(0.02))
    assert worse.margin == pytest.approx(0.01) and worse.upper > worse.margin and worse.powered and worse.worse
    assert verdict(*MIXED, confidence=0.5).outcome == PROMOTE
    both = verdict(*MIXED, slices=slices, speed=ratio(0.5, 0.6), confidence=0.5)
    assert len(both.blocks) == 2 and both.reason.endswith("(and 1 more)")


def test_the_bound_of_a_slice_is_that_of_students_t() -> None:
    from scipy import stats

    found = verdict(*MIXED, slices={"accent": {"b": list(range(6, 12))}}).slices[0]
    d = np.subtract(MIXED[1], MIXED[0])[6:]
    error = np.std(d, ddof=1) / np.sqrt(6) / 200
    assert found.standard_error == pytest.approx(error)
    assert found.upper == pytest.approx(d.mean() / 200 + stats.t.ppf(0.95, 5) * error)


def test_a_slice_of_few_or_unlike_speakers_is_reported_and_not_judged() -> None:
    unlike = [30] * 6 + [60, 20, 60, 20, 60, 20]
    found = verdict(BETTER[0], unlike, slices={"accent": {"few": [6, 7, 8, 9], "unlike": list(range(6, 12)), "one": [6], "good": list(range(6))}})
    assert [(item.value, item.powered, item.worse) for item in found.slices] == [
        ("few", False, False), ("unlike", False, False), ("one", False, False), ("good", True, False),
    ]  # fmt: skip
    assert found.slices[2].standard_error is found.slices[2].upper is None
    assert found.blocks == () and "3 of 4 slices are too small to judge: accent=few, accent=unlike, accent=one" in found.notes


def test_a_gain_on_a_slice_is_told_from_too_few_speakers() -> None:
    unlike = [2, 20, 2, 20, 2, 20, *BETTER[1][6:]]
    found = verdict(BETTER[0], unlike, slices={"accent": {"gain": list(range(6)), "one": [0], "two": [0, 2]}})
    assert [(item.powered, item.worse, item.undecided) for item in found.slices] == [(False, False, False), (False, False, True), (False, False, True)]
    assert "2 of 3 slices are too small to judge: accent=one, accent=two" in found.notes


def test_a_slice_without_a_word_has_no_rate() -> None:
    silent = ErrorCounts(insertions=1, utterances=1, wrong_utterances=1)
    said = counts([1] * 10)
    both, slices = [*said, silent], {"noise": {"speech": range(10), "silence": [10]}}
    found = judge(both, both, [f"s{n}" for n in range(11)], True, slices, None, Leaks(), Gate())
    assert [item.value for item in found.slices] == ["speech"]


def test_insertions_into_silence_count_against_the_candidate() -> None:
    old, new, quiet = counts([2] * 50), counts([2] * 50), [ErrorCounts(insertions=number, utterances=1) for number in (0, 8)]
    names = [f"s{n % 10}" for n in range(60)]
    found = judge([*old, *quiet[:1] * 10], [*new, *quiet[1:] * 10], names, True, {}, None, Leaks(), Gate())
    assert found.difference.difference == pytest.approx(80 / 500) and found.outcome == KEEP


def test_a_slower_candidate_is_not_promoted_if_that_is_proven() -> None:
    slower = verdict(*BETTER, speed=ratio(0.7, 0.89))
    assert slower.outcome == KEEP and "slower" in slower.reason and slower.difference.is_improvement
    assert verdict(*BETTER, speed=ratio(0.7, 0.91)).outcome == PROMOTE


@pytest.mark.parametrize("side", ["candidate", "baseline"])
def test_audio_that_a_side_was_trained_on_decides_nothing(side: str) -> None:
    for scores in (BETTER, BETTER[::-1]):
        found = verdict(*scores, leaks=Leaks(**{side: ("u7", "u8")}))
        assert found.outcome == INCONCLUSIVE and f"the {side} was trained on 2 of the 240 held-out recordings (the first: u7)" in found.reason
        assert found.blocks and found.needed is None
    lone = judge_first(counts([0] * 9), Leaks(candidate=("u7",)), Gate())
    assert lone.outcome == INCONCLUSIVE and lone.blocks


def test_shared_speakers_and_sentences_are_told_and_do_not_block() -> None:
    found = verdict(*BETTER, leaks=Leaks(shared_speakers=3, shared_sentences=17))
    assert found.outcome == PROMOTE
    assert [note for note in found.notes if "training data" in note] == [
        "3 of the held-out speakers are in the candidate's training data",
        "17 of the held-out utterances have a sentence that is in the candidate's training data",
    ]


def test_unknown_speakers_are_told() -> None:
    found = verdict(*BETTER, by_speaker=False)
    assert found.difference.clusters == 240 and "optimistic" in found.notes[0] and "speakers are not known" in found.reason


def test_few_speakers_promote_nothing_however_good() -> None:
    few = verdict(BETTER[0][:4], BETTER[1][:4])
    assert few.difference.is_improvement and few.outcome == INCONCLUSIVE
    assert (few.needed.speakers, few.needed.utterances) == (5, 100)
    lone = verdict([40], [10])
    assert lone.outcome == INCONCLUSIVE and lone.needed is None and lone.difference.standard_error is None


def test_one_speaker_who_says_most_of_it_is_not_many() -> None:
    """8 speakers, but what 7 of them say is a tenth: the plain interval would promote."""
    said = [600, *[10] * 7]
    old, new = ([counts([errors])[0] for errors, often in zip(side, said) for _ in range(often)] for side in ([2] * 8, [1] + [2, 1, 1, 2, 1, 2, 1]))
    names = [f"s{speaker}" for speaker, often in enumerate(said) for _ in range(often)]
    found = judge(old, new, names, True, {}, None, Leaks(), Gate())
    assert found.difference.is_improvement and found.difference.clusters == 8 and found.difference.effective == pytest.approx(670**2 / (600**2 + 7 * 10**2))
    assert found.outcome == INCONCLUSIVE and "weigh as 1.2 equal ones" in found.reason and found.needed is None
    even = judge(old[590:], new[590:], names[590:], True, {}, None, Leaks(), Gate(confidence=0.9))
    assert even.difference.effective == pytest.approx(8) and even.outcome == PROMOTE


def test_no_reference_word_gives_no_figure_and_no_gate() -> None:
    silent = [ErrorCounts(insertions=1, utterances=1)] * 3
    found = judge(silent, [ErrorCounts(utterances=1)] * 3, ["a", "b", "c"], True, {"x": {"y": [0]}}, None, Leaks(), Gate())
    assert (found.outcome, found.difference, found.slices, found.bootstrap) == (INCONCLUSIVE, None, (), None)
    assert judge_first(silent, Leaks(), Gate()).outcome == INCONCLUSIVE
    assert judge([], [], [], True, {}, None, Leaks(), Gate()).outcome == INCONCLUSIVE


def test_sides_with_other_references_are_refused() -> None:
    with pytest.raises(InputError, match="1 utterances have other reference words"):
        judge(counts([1, 2]), [*counts([1]), ErrorCounts(words=9, utterances=1)], ["a", "b"], True, {}, None, Leaks(), Gate())
    for names in (["a"], ["a", "b", "c"]):
        with pytest.raises(ValueError, match="for 2 utterances"):
            judge(counts([1, 2]), counts([1, 2]), names, True, {}, None, Leaks(), Gate())


NARROW = [40] * 12, [37, 36, 38, 37, 36, 38, 37, 36, 38, 37, 36, 38]  # 20 % to 18.5 %
LOUD = [40] * 12, [60, 20, 50, 30, 44, 30, 52, 28, 45, 25, 40, 32]


@pytest.mark.parametrize(("options", "case", "before", "after"), [
    ({"confidence": 0.5}, {"old": MIXED[0], "new": MIXED[1]}, INCONCLUSIVE, PROMOTE),
    ({"min_gain": 0.02}, {"old": NARROW[0], "new": NARROW[1]}, PROMOTE, KEEP),
    ({"min_gain_relative": 0.1}, {"old": NARROW[0], "new": NARROW[1]}, PROMOTE, KEEP),
    ({"min_speakers": 13}, {"old": BETTER[0], "new": BETTER[1]}, PROMOTE, INCONCLUSIVE),
    ({"slice_margin": 0.05}, {"old": MIXED[0], "new": MIXED[1], "confidence": 0.5, "slices": {"accent": {"b": range(6, 12)}}}, KEEP, PROMOTE),
    ({"slice_margin_relative": 0.25}, {"old": MIXED[0], "new": MIXED[1], "confidence": 0.5, "slices": {"accent": {"b": range(6, 12)}}}, KEEP, PROMOTE),
    ({"slice_min_speakers": 7}, {"old": MIXED[0], "new": MIXED[1], "confidence": 0.5, "slices": {"accent": {"b": range(6, 12)}}}, KEEP, PROMOTE),
    ({"guard_confidence": 0.9999}, {"old": MIXED[0], "new": MIXED[1], "confidence": 0.5, "slices": {"accent": {"b": range(6, 12)}}}, KEEP, PROMOTE),
    ({"min_speed": 0.5}, {"old": BETTER[0], "new": BETTER[1], "speed": ratio(0.6, 0.7)}, KEEP, PROMOTE),
])  # fmt: skip
def test_every_threshold_takes_effect(options: dict[str, float], case: dict[str, Any], before: str, after: str) -> None:
    assert verdict(**case).outcome == before
    assert verdict(**case, **options).outcome == after


def test_the_ceiling_and_the_power_take_effect() -> None:
    good = counts([1] * 9 + [2])
    assert [judge_first(good, Leaks(), Gate(max_wer=ceiling)).outcome for ceiling in (0.12, 0.1)] == [PROMOTE, KEEP]
    plain, strict = verdict(*LOUD), verdict(*LOUD, power=0.95)
    assert plain.outcome == INCONCLUSIVE and 12 < plain.needed.speakers < strict.needed.speakers


def test_what_would_settle_it_follows_the_rule_of_thumb() -> None:
    """2.8 standard errors are the effect that is found with 80 % power; the error shrinks with the root of the number of speakers."""
    found = verdict(*LOUD)
    assert found.needed.detectable == pytest.approx(2.8 * found.difference.standard_error, rel=0.001)
    assert found.needed.effect == pytest.approx(max(abs(found.difference.difference), found.worth))
    speakers = 12 * (found.needed.detectable / found.needed.effect) ** 2
    assert found.needed.speakers == int(np.ceil(speakers)) and found.needed.utterances == EACH * found.needed.speakers
    assert f"{found.needed.speakers:,} speakers with {found.needed.utterances:,} utterances" in found.reason
    assert verdict(*LOUD, by_speaker=False, confidence=0.9999).needed.speakers is None


def test_better_by_less_than_is_worth_having_asks_for_more_not_fewer() -> None:
    found = verdict([40] * 12, [39, 40, 39, 39, 40, 39, 39, 39, 40, 39, 39, 40], min_gain=0.004)
    assert found.difference.is_improvement and found.outcome == INCONCLUSIVE and found.needed.speakers > 12
    assert found.needed.effect == pytest.approx(found.difference.difference + 0.004)


def test_swapping_the_sides_negates_and_the_order_of_rows_changes_nothing() -> None:
    random = np.random.default_rng(0)
    old, new = counts(random.integers(0, 5, 200)), counts(random.integers(0, 5, 200))
    names = [f"s{n}" for n in random.integers(0, 15, 200)]
    slices = {"half": {"a": np.arange(100), "b": np.arange(100, 200)}}
    found, swapped = judge(old, new, names, True, slices, None, Leaks(), Gate()), judge(new, old, names, True, slices, None, Leaks(), Gate())
    assert found.difference.difference == -swapped.difference.difference
    assert (found.difference.low, found.difference.high) == (pytest.approx(-swapped.difference.high), pytest.approx(-swapped.difference.low))
    assert found.bootstrap.better == pytest.approx(1 - swapped.bootstrap.better) and found.mcnemar == swapped.mcnemar
    order = random.permutation(200)
    moved = {"half": {value: np.flatnonzero(np.isin(order, indices)) for value, indices in slices["half"].items()}}
    assert judge([old[i] for i in order], [new[i] for i in order], [names[i] for i in order], True, moved, None, Leaks(), Gate()) == found


def test_a_verdict_survives_json() -> None:
    found = verdict(*MIXED, slices={"accent": {"b": range(6, 12), "one": [3]}}, speed=ratio(0.9, 1.0), leaks=Leaks(shared_speakers=2))
    tested = judge(counts([1] * 20), counts([0, 1] * 10), [f"s{n}" for n in range(20)], True, {}, None, Leaks(("a",)), Gate())
    tested = replace(tested, mapsswe=mapsswe(["a"], ["b"], ["a"]))
    for item in (found, tested, verdict([40], [10]), judge_first(counts([1]), Leaks(), Gate()), judge([], [], [], True, {}, None, Leaks(), Gate())):
        assert Verdict.from_dict(json.loads(json.dumps(item.as_dict(), allow_nan=False))) == item
        assert Verdict.from_dict(item.as_dict()) == item
