"""A recipe that trains a smaller model than the one that was published, or with an optimizer that forgets half of its options."""

from pathlib import Path
from typing import Any

import pytest
import torch

from asrx.config import resolve
from asrx.errors import ConfigError
from asrx.models.pretraining import load_family
from asrx.training import arguments, pretrain, request

PUBLISHED = {  # hub id: parameters in millions, and what its configuration says
    "wav2vec2-pretrain-base": (95.0, {"do_stable_layer_norm": False, "feat_extract_norm": "group", "hidden_size": 768, "codevector_dim": 256}),
    "wav2vec2-pretrain-large": (317.4, {"do_stable_layer_norm": True, "feat_extract_norm": "layer", "hidden_size": 1024, "codevector_dim": 768}),
}


@pytest.mark.parametrize("recipe", PUBLISHED)
def test_the_recipe_has_the_published_architecture(recipe: str) -> None:
    millions, keys = PUBLISHED[recipe]
    with torch.device("meta"):
        family = load_family(resolve(recipe))
    assert sum(parameter.numel() for parameter in family.model.parameters()) / 1e6 == pytest.approx(millions, abs=0.1)
    config = family.model.config
    assert {key: getattr(config, key) for key in keys} == keys
    assert (config.conv_dim, config.conv_kernel, config.conv_stride) == ([512] * 7, [10, 3, 3, 3, 3, 2, 2], [5, 2, 2, 2, 2, 2, 2])
    assert (config.mask_time_prob, config.mask_time_length, config.num_negatives, config.num_codevectors_per_group) == (0.65, 10, 100, 320)
    assert family.longest == 20 and family.feature_extractor.do_normalize
    assert family.feature_extractor.return_attention_mask == (recipe == "wav2vec2-pretrain-large")


@pytest.mark.parametrize("recipe", PUBLISHED)
def test_the_recipe_trains_as_published(recipe: str, tmp_path: Path) -> None:
    options = resolve(recipe)
    pretrain.check(options)
    settings = arguments.training_arguments(options, options.trainer.max_steps, tmp_path)
    assert (settings.adam_beta1, settings.adam_beta2, settings.adam_epsilon, settings.weight_decay) == (0.9, 0.98, 1e-6, 0.01)
    assert settings.gradient_checkpointing and settings.warmup_steps < options.trainer.max_steps
    assert (options.data.min_seconds, options.data.max_seconds, options.data.transcripts) == (2, 20, "optional")


def test_the_published_warm_up_of_the_demo_is_refused() -> None:
    demo = ["trainer.max_steps=20000", "trainer.learning_rate=0.005", "trainer.gradient_accumulation_steps=8"]
    with pytest.raises(ConfigError, match="warmup_steps=32,000 is longer than the training of 20,000 steps"):
        pretrain.check(resolve("wav2vec2-pretrain-base", overrides=demo))
    pretrain.check(resolve("wav2vec2-pretrain-base", overrides=[*demo, "trainer.warmup_steps=3200"]))


@pytest.fixture(scope="module")
def optimizer(session_home: Path, corpus: Path) -> tuple[Any, dict[int, str]]:
    """The optimizer as pre-training makes it, and the names of its parameters."""
    seen: dict[str, Any] = {}
    optimize = pretrain.session.optimize

    def remember(trainer: Any, run: Any, minutes: float | None) -> bool:
        finished = optimize(trainer, run, minutes)
        seen.update(optimizer=trainer.optimizer.optimizer, names={id(value): name for name, value in trainer.model.named_parameters()})
        return finished

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pretrain.session, "optimize", remember)
        request.pretrain(str(corpus), None, {"trainer.max_steps": "2"}, ["trainer.weight_decay=0.07", "trainer.eval_steps=2", "data.eval_utterances=2"], None)
    return seen["optimizer"], seen["names"]


def test_weight_decay_is_applied_to_matrices_alone(optimizer: tuple[Any, dict[int, str]]) -> None:
    made, names = optimizer
    assert isinstance(made, torch.optim.AdamW)
    groups = {group["weight_decay"]: {names[id(value)] for value in group["params"]} for group in made.param_groups}
    assert set(groups) == {0.07, 0.0} and set.union(*groups.values()) == set(names.values())
    assert {"wav2vec2.encoder.layers.0.attention.q_proj.weight", "quantizer.weight_proj.weight", "quantizer.codevectors", "project_q.weight"} <= groups[0.07]
    assert not [name for name in groups[0.07] if name.endswith("bias") or "norm" in name]
    assert all((group["betas"], group["eps"]) == ((0.9, 0.98), 1e-6) for group in made.param_groups)
