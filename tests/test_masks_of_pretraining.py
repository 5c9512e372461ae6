"""Masks on padding, distractors that are the answer, draws that no resume repeats: what makes a pre-training learn nothing, silently."""

import numpy as np
import pytest

from asrx.config import resolve
from asrx.errors import ConfigError
from asrx.models.pretraining import cut, draw_distractors, draw_mask, load_family

SEEDS = [(7, 0, 0), (7, 0, 1), (7, 3, 0)]


@pytest.fixture(scope="module")
def family():
    return load_family(resolve("wav2vec2-pretrain-base-tiny", overrides=["model.mask_time_length=10", "data.max_seconds=5"]))


@pytest.fixture(scope="module")
def waveforms() -> list[np.ndarray]:
    random = np.random.default_rng(0)
    return [random.standard_normal(int(16_000 * seconds)).astype(np.float32) for seconds in (1.0, 4.0, 9.0)]


def test_masks_stay_on_the_frames_of_their_utterance(family, waveforms) -> None:
    batch = family.collate(waveforms, [], SEEDS)
    mask, distractors = batch["mask_time_indices"].numpy(), batch["sampled_negative_indices"].numpy()
    frames = family._frames(np.array([16_000, 64_000, 80_000]))
    assert batch["input_values"].shape[1] == 80_000  # cut to data.max_seconds
    for row, valid in enumerate(frames):
        own = np.flatnonzero(mask[row])
        assert len(own) >= 10 and own.max() < valid
        chosen = distractors[row, own] - row * mask.shape[1]
        assert set(chosen.ravel()) <= set(own) and not (chosen == own[:, None]).any()
    assert family.weight(batch) == mask.sum()


def test_the_same_seeds_give_the_same_batch_whatever_chance_did_before(family, waveforms) -> None:
    first = family.collate(waveforms, [], SEEDS)
    np.random.seed(99)
    again = family.collate(waveforms, [], SEEDS)
    assert all((first[name] == again[name]).all() for name in first)
    alone = family.collate(waveforms[1:2], [], SEEDS[1:2])  # nor does it matter with whom it is put together
    width = alone["mask_time_indices"].shape[1]
    assert (alone["mask_time_indices"][0] == first["mask_time_indices"][1, :width]).all()
    other = family.collate(waveforms, [], [(7, 1, 0), (7, 1, 1), (7, 4, 0)])
    assert (other["mask_time_indices"] != first["mask_time_indices"]).any() and (other["input_values"][2] != first["input_values"][2]).any()


def test_about_half_of_the_frames_are_masked_as_in_the_paper() -> None:
    shares = [draw_mask(500, 0.65, 10, 2, np.random.default_rng(seed)).mean() for seed in range(200)]
    assert np.mean(shares) == pytest.approx(1 - np.exp(-0.65), abs=0.02)


def test_distractors_are_uniform() -> None:
    masked = np.array([3, 5, 8, 9])
    drawn = draw_distractors(masked, 3_000, np.random.default_rng(0))
    for row, own in zip(drawn, masked):
        names, counts = np.unique(row, return_counts=True)
        assert set(names) == set(masked) - {own} and counts.min() > 900


def test_long_utterances_are_heard_in_every_place() -> None:
    waveform = np.arange(1_000)
    starts = [cut(waveform, 300, np.random.default_rng((1, epoch, 5)))[0] for epoch in range(300)]
    assert min(starts) < 30 and max(starts) > 670 and len(cut(waveform, 300, np.random.default_rng(0))) == 300
    assert len(cut(waveform, 1_000, np.random.default_rng(0))) == len(cut(waveform, 5_000, np.random.default_rng(0))) == 1_000


def test_a_saved_model_is_fit_for_fine_tuning(family, tmp_path) -> None:
    from transformers import AutoConfig, AutoFeatureExtractor, Wav2Vec2ForPreTraining

    family.save(tmp_path)
    loaded = Wav2Vec2ForPreTraining.from_pretrained(tmp_path)
    assert all((one == other).all() for one, other in zip(loaded.parameters(), family.model.parameters(), strict=True))
    assert AutoConfig.from_pretrained(tmp_path).mask_time_prob == 0.05 and family.model.config.mask_time_prob == 0.65
    assert AutoFeatureExtractor.from_pretrained(tmp_path).sampling_rate == 16_000
    again = load_family(resolve("wav2vec2-pretrain-base-tiny", {"model.name": str(tmp_path)}))
    assert again.model.config.mask_time_prob == 0.65


@pytest.mark.parametrize(("given", "said"), [
    ("model.mask_feature_prob=0.1", "model.mask_feature_prob=0.1: pre-training masks frames by itself"),
    ("model.apply_spec_augment=false", "leave it at True"),
    ("model.mask_time_prob=0", "a share above 0 up to 1"), ("model.mask_time_length=half", "whole numbers of 1 or more"),
    ("model.hidden_sizes=96", r"there is no option model.hidden_sizes \(did you mean hidden_size\?\)"),
    ("model.architecture=hubert", "asrx pre-trains wav2vec2"),
])  # fmt: skip
def test_options_that_would_mask_nothing_are_refused(given: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        load_family(resolve("wav2vec2-pretrain-base-tiny", overrides=[given]))
