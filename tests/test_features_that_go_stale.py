"""Log-mel features that are kept are those that would be computed, for as long as nothing changes what is heard."""

import os
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from asrx.config import Config, resolve
from asrx.errors import ConfigError
from asrx.models import load_family
from asrx.options import Augment
from asrx.training import features, material

WHISPER = ("model.architecture=whisper", "model.max_source_positions=100", "tokenizer.vocab_size=280")
BERT = ("model.architecture=wav2vec2-bert", "model.apply_spec_augment=true", "model.mask_time_prob=0.1", "model.mask_time_length=20")
TEXTS = ["one two three", "four five six seven"]
CHANGES = {**{f"{what}_probability": 0.1 for what in ("noise", "reverb", "codec", "band")}, "speed": 0.1, "gain": 3.0, "concatenate": 0.5}
DETAILS = {"noise", "noise_snr", "reverb", "codecs"}  # of a change that has a probability of its own


def waveforms(*seconds: float) -> list[np.ndarray]:
    random = np.random.default_rng(3)
    return [random.normal(0, 0.1, int(16_000 * length)).astype(np.float32) for length in seconds]


def of_first(corpus: Path, options: Config, count: int = 4) -> tuple[Any, Any]:
    from asrx.corpus.shards import PreparedCorpus

    opened = PreparedCorpus.open(corpus)
    split = opened.split("train")
    texts = split.column("text")[:count]
    family = load_family(options, texts)
    return family, material.of(split, opened.split("validation"), np.arange(count), family.labels(texts))


@pytest.mark.parametrize("options", [WHISPER, BERT])
@pytest.mark.parametrize("seconds", [(0.3, 0.31), (1.0, 1.37), (1.9999, 2.0)])
def test_kept_features_make_the_same_batch(options: tuple[str, ...], seconds: tuple[float, ...]) -> None:
    family = load_family(resolve(overrides=options), TEXTS)
    heard, labels = waveforms(*seconds), family.labels(TEXTS)
    plain, kept = family.collate(heard, labels), family.collate([family.features(waveform) for waveform in heard], labels)
    assert plain.keys() == kept.keys()
    assert all((plain[name] == kept[name]).all() and plain[name].dtype == kept[name].dtype for name in plain)


def test_whispers_window_is_that_of_transformers() -> None:
    family = load_family(resolve(overrides=WHISPER), TEXTS)
    heard = waveforms(0.01, 0.5, 1.2345, 1.9875, 1.999, 2.0, 2.7)
    ours = family.collate(heard, family.labels([TEXTS[0]] * len(heard)))
    cut = [waveform[: family.window] for waveform in heard]
    theirs = family.feature_extractor(cut, sampling_rate=16_000, max_length=family.window, return_attention_mask=True, return_tensors="pt")
    assert (ours["attention_mask"] == theirs["attention_mask"]).all()
    assert (ours["input_features"] - theirs["input_features"]).abs().max() < 2e-5


def test_training_is_the_same_with_and_without_and_computes_them_once(corpus: Path, home: Path) -> None:
    from safetensors.torch import load_file

    from asrx.training import request

    folder = home / "asrx" / "features"
    common = ["trainer.eval_steps=3", "data.eval_utterances=2", *BERT]
    ends = []
    for cached in ("false", "true", "auto"):
        before = {path: path.stat().st_mtime_ns for path in folder.rglob("values.f32")}
        overrides = [*common, f"batch.cache_features={cached}", "trainer.num_train_epochs=2"]
        run = Path(request.train(str(corpus), None, {}, overrides, None).folder).parent
        after = {path: path.stat().st_mtime_ns for path in folder.rglob("values.f32")}
        assert len(after) - len(before) == (cached == "true") and after.items() >= before.items()
        ends.append(load_file(max(run.glob("checkpoints/*/model.safetensors"), key=lambda path: int(path.parent.name[11:]))))
    assert all((ends[0][name] == other[name]).all() for other in ends[1:] for name in ends[0])


@pytest.mark.parametrize("name", sorted({item.name for item in fields(Augment)} - DETAILS))
def test_no_change_of_the_waveform_is_overlooked(name: str, corpus: Path, home: Path) -> None:
    options = resolve(overrides=BERT)
    family, found = of_first(corpus, options)
    assert features.kept(options, family, found)
    setattr(options.augment, name, CHANGES[name])
    assert features.kept(options, family, found) is None
    options.batch.cache_features = True
    with pytest.raises(ConfigError, match="augment changes the waveform"):
        features.kept(options, family, found)


def test_another_choice_of_utterances_or_extractor_has_features_of_its_own(corpus: Path, home: Path) -> None:
    options = resolve(overrides=BERT)
    family, found = of_first(corpus, options)
    kept = features.kept(options, family, found)
    folders = list((home / "asrx" / "features").iterdir())
    for folder in folders:
        os.utime(folder, (0, 0))
    features.kept(options, family, found)
    assert sum(folder.stat().st_mtime > 0 for folder in folders) == 1  # `asrx prune` deletes what was not opened for long
    _, fewer = of_first(corpus, options, 3)
    others = features.kept(options, family, fewer)
    assert (len(kept), len(others)) == (4, 3)
    for number in range(4):
        assert (kept[number] == family.features(features._waveform(found, number))).all()
    wider = resolve(overrides=[*BERT, "feature_extractor.num_mel_bins=40", "feature_extractor.feature_size=40", "model.feature_projection_input_dim=80"])
    family, found = of_first(corpus, wider)
    assert features.kept(wider, family, found)[0].shape[1] == 40


def test_a_model_that_hears_samples_keeps_none(corpus: Path, home: Path) -> None:
    options = resolve()
    family, found = of_first(corpus, options)
    assert features.kept(options, family, found) is None
    options.batch.cache_features = True
    with pytest.raises(ConfigError, match="hears the waveform"):
        features.kept(options, family, found)
