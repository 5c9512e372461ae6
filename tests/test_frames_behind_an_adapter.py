"""Frames of a model: strides of features and adapters halve them, layer drop must not, and SpecAugment needs enough of them."""

from typing import Any

import ctc_models
import numpy as np
import pytest
import torch
from transformers import AutoModelForCTC, SeamlessM4TFeatureExtractor

from asrx.config import resolve
from asrx.errors import ConfigError, ModelError
from asrx.models import load_family
from asrx.recognizer import fbank
from asrx.recognizer.ctc import CtcRecognizer, model_inputs, output_frames, shortest_samples

TEXTS = ["turn on the light", "call one two"]
ARCHITECTURES = ("wav2vec2", "wav2vec2-bert", "hubert", "wavlm")
MASKED = ("model.apply_spec_augment=true", "model.mask_time_prob=0.3", "model.mask_time_length=20", "model.mask_feature_prob=0.1")
KINDS = (*ctc_models.KINDS, "wav2vec2+adapter", "wavlm+adapter", "data2vec-audio+adapter")


def noise(*sizes: int) -> list[np.ndarray]:
    random = np.random.default_rng(0)
    return [(0.1 * random.normal(size=size)).astype(np.float32) for size in sizes]


def family(architecture: str, *overrides: str) -> Any:
    torch.manual_seed(0)
    return load_family(resolve(overrides=[f"model.architecture={architecture}", *overrides]), TEXTS)


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("kind", KINDS)
def test_counted_frames_are_those_that_come_out(kind: str, layers: int) -> None:
    more = {"num_adapter_layers": layers} if "+" in kind else {}
    model, extractor = AutoModelForCTC.from_config(ctc_models.config(kind, 32, **more)).eval(), ctc_models.extractor(kind)
    shortest = shortest_samples(model, extractor)
    samples = np.array([shortest, shortest + 79, 8_000, 15_999, 16_000, 16_161, 41_234])
    counted = output_frames(model, extractor, samples)
    assert counted[0] == 1 and (np.diff(counted) >= 0).all()
    for size, frames in zip(samples, counted):
        inputs = model_inputs(model, extractor, noise(size), shortest)
        with torch.inference_mode():
            out = model(**inputs).logits
        if inputs["attention_mask"].all():
            assert out.shape[1] == frames
        assert out.shape[1] >= frames


def test_an_adapter_halves_the_frames_and_the_room_for_text() -> None:
    plain, halved = family("wav2vec2-bert"), family("wav2vec2-bert", "model.add_adapter=true")
    samples = np.array([16_000])
    assert halved._frames(samples)[0] == -(-int(plain._frames(samples)[0]) // 2)
    label = [list(range(3, 13)) * 3]
    assert plain.fits(label, samples).all() and not halved.fits(label, samples).any()


@pytest.mark.parametrize("adapter", ["false", "true"])
@pytest.mark.parametrize("architecture", ["wav2vec2", "wav2vec2-bert"])
def test_words_have_the_times_of_the_speech(architecture: str, adapter: str) -> None:
    made = family(architecture, f"model.add_adapter={adapter}", "model.num_adapter_layers=1")
    with torch.no_grad():
        made.model.lm_head.weight.zero_()
        made.model.lm_head.bias.zero_()
    recognizer = CtcRecognizer(made.model, made.feature_extractor, made.tokenizer, "cpu")
    count = int(made._frames(np.array([48_000]))[0])
    letter, blank = made.tokenizer.convert_tokens_to_ids("t"), made.tokenizer.pad_token_id

    def last_frame(module: Any, inputs: Any, logits: torch.Tensor) -> torch.Tensor:
        logits[..., blank] = 9.0
        logits[:, count - 1, letter] = 99.0
        return logits

    made.model.lm_head.register_forward_hook(last_frame)
    word = recognizer.recognize(noise(48_000))[0].words[0]
    assert word.end == pytest.approx(3.0, abs=0.01) and word.start == pytest.approx(3.0 - 3.0 / count, abs=0.01)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_masks_longer_than_the_speech_stop_no_training(architecture: str) -> None:
    made = family(architecture, *MASKED)
    made.model.train()
    for sizes in ((160, 4_000), (3_000, 48_000), (16_000, 17_000)):
        batch = made.collate(noise(*sizes), made.labels(["a", "n"]))
        assert torch.isfinite(made.loss(made.model(**batch), batch))


def test_layer_drop_keeps_the_adapter() -> None:
    """Dropped, it would leave twice the frames that the loss counts: the text would be learned from the first half of the speech."""
    made = family("wav2vec2-bert", "model.add_adapter=true", "model.layerdrop=1.0")
    made.model.train()
    batch = made.collate(noise(48_000), made.labels(TEXTS[:1]))
    assert made.model(**batch).logits.shape[1] == int(made._frames(np.array([48_000]))[0])
    assert made.model.config.layerdrop == 1.0


def test_features_are_those_of_transformers() -> None:
    extractor, waveforms = SeamlessM4TFeatureExtractor(), noise(48_000, 16_000, 560, 40_077, 719)
    theirs = extractor(waveforms, sampling_rate=16_000, return_tensors="pt", pad_to_multiple_of=20)
    ours = fbank.batch(extractor, waveforms, 20)
    assert torch.equal(ours["attention_mask"], theirs["attention_mask"])
    assert torch.allclose(ours["input_features"], theirs["input_features"], atol=1e-3)  # float32 in other places
    assert (fbank.frames(np.array([len(item) for item in waveforms])) // 2).tolist() == ours["attention_mask"].sum(-1).tolist()


def test_features_of_another_size_fit_or_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"frames of 160 values \(model\.feature_projection_input_dim\), its feature extractor makes 40 x 2"):
        family("wav2vec2-bert", "feature_extractor.num_mel_bins=40", "feature_extractor.feature_size=40")
    sizes = ("feature_extractor.num_mel_bins=40", "feature_extractor.feature_size=40", "model.feature_projection_input_dim=80")
    made = family("wav2vec2-bert", *sizes)
    assert made.collate(noise(16_000), made.labels(["a"]))["input_features"].shape[2] == 80


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_options_are_those_of_the_architecture(architecture: str) -> None:
    with pytest.raises(ConfigError, match="there is no option model.hiden_size.*hidden_size"):
        family(architecture, "model.hiden_size=32")
    own = {"wav2vec2": "model.num_codevectors_per_group=4", "wav2vec2-bert": "model.conv_depthwise_kernel_size=7",
           "hubert": "model.conv_pos_batch_norm=true", "wavlm": "model.num_buckets=16"}  # fmt: skip
    family(architecture, own[architecture])
    for other in set(own) - {architecture}:
        if other != "wav2vec2" or architecture == "wav2vec2-bert":
            with pytest.raises(ConfigError, match="there is no option model"):
                family(architecture, own[other])


def test_convolutions_that_are_not_there_are_not_frozen() -> None:
    with pytest.raises(ConfigError, match="freeze_feature_encoder=true: a wav2vec2-bert has no convolutional feature encoder"):
        family("wav2vec2-bert", "model.freeze_feature_encoder=true")


def test_a_kind_with_other_inputs_is_refused(tmp_path) -> None:
    from transformers import ParakeetCTCConfig, ParakeetFeatureExtractor, ParakeetForCTC

    encoder = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32, "subsampling_conv_channels": 8}
    ParakeetForCTC(ParakeetCTCConfig(vocab_size=8, pad_token_id=7, encoder_config=encoder)).save_pretrained(tmp_path)
    ParakeetFeatureExtractor().save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="is a parakeet_ctc: asrx trains CTC models that hear samples"):
        load_family(resolve(overrides=[f"model.name={tmp_path}", "text.vocabulary=build"]), TEXTS)
