"""What published scripts call an option reaches the same place as asrx's own name, and a wrong key is named as it was typed."""

import json
import logging
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import TRAINING, Outcome

from asrx.config import of_stage, resolve
from asrx.errors import ConfigError
from asrx.spelling import translated


@pytest.mark.parametrize(("given", "own"), [
    ("trainargs.learning_rate=1e-4", ["trainer.learning_rate=1e-4"]),
    ("trainargs.warmup_ratio=0.1", ["trainer.warmup_steps=0.1"]),
    ("trainargs.group_by_length=true", ["batch.group_by_length=true"]),
    ("trainargs.evaluation_strategy=steps", []),
    ("trainargs.eval_strategy='steps'", []),
    ("trainargs.no_cuda=true", ["trainer.use_cpu=true"]),
    ("trainer.warmup_ratio=0.1", ["trainer.warmup_steps=0.1"]),
    ("trainer.evaluation_strategy=steps", []),
    ("trainer.group_by_length=false", ["batch.group_by_length=false"]),
    ("trainer.train_sampling_strategy=group_by_length", ["batch.group_by_length=true"]),
    ("w2v2.model.mask_time_prob=0", ["model.mask_time_prob=0"]),
    ("w2v2.model.pretrained_model_name_or_path=facebook/wav2vec2-base", ["model.name=facebook/wav2vec2-base"]),
    ("w2v2.tok.word_delimiter_token=_", ["tokenizer.word_delimiter_token=_"]),
    ("w2v2.tok.pretrained_model_name_or_path=a/b", ["text.vocabulary=a/b"]),
    ("w2v2.proc.pretrained_model_name_or_path=a/b", ["text.vocabulary=a/b"]),
    ("w2v2.fext.padding_value=0.5", ["feature_extractor.padding_value=0.5"]),
    ("w2v2.proc.do_lower_case=true", ["tokenizer.do_lower_case=true"]),
    ("w2v2.proc.do_normalize=true", ["feature_extractor.do_normalize=true"]),
    ("w2v2.proc.padding_side=left", ["tokenizer.padding_side=left", "feature_extractor.padding_side=left"]),
    ("trainer.learning_rate=1", ["trainer.learning_rate=1"]), ("model.name=a=b", ["model.name=a=b"]), ("nonsense", ["nonsense"]),
])  # fmt: skip
def test_a_foreign_name_is_an_own_one(given: str, own: list[str]) -> None:
    assert translated([given]) == own


@pytest.mark.parametrize(("given", "said"), [
    ("trainargs.learning_rat=1", "no option trainargs.learning_rat (did you mean learning_rate?)"),
    ("w2v2.model.mask_time_probb=0", "no option w2v2.model.mask_time_probb (did you mean mask_time_prob?)"),
    ("w2v2.tok.word_delimiter=_", "no option w2v2.tok.word_delimiter (did you mean word_delimiter_token?)"),
    ("w2v2.fext.padding_valu=0", "no option w2v2.fext.padding_valu (did you mean padding_value?)"),
    ("w2v2.proc.paddin_side=left", "no option w2v2.proc.paddin_side (did you mean padding_side?)"),
    ("w2v2.tokens.x=1", "no option w2v2.tokens.x (did you mean tok?); w2v2 has model.KEY, tok.KEY, fext.KEY, proc.KEY"),
    ("trainargs.evaluation_strategy=epoch", "trainargs.evaluation_strategy=epoch: asrx evaluates, saves and logs by steps"),
    ("trainer.eval_strategy=no", "trainer.eval_strategy=no: asrx evaluates, saves and logs by steps"),
    ("trainargs.warmup_ratio=500", "trainargs.warmup_ratio=500: must be a share of all steps"),
    ("trainer.warmup_ratio=half", "trainer.warmup_ratio=half: must be a share of all steps"),
])  # fmt: skip
def test_what_is_wrong_is_said_in_the_spelling_that_was_typed(given: str, said: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(said)):
        translated([given])


@pytest.mark.parametrize("given", [("trainargs.learning_rat=1",), ("--overrides", "trainargs.learning_rat=1")])
def test_a_wrong_key_is_one_line_on_the_command_line(given: tuple[str, ...], asrx: Callable[..., Outcome]) -> None:
    outcome = asrx("train", *given)
    assert outcome.status == 2 and len(outcome.complaint) == 1 and "trainargs.learning_rat (did you mean" in outcome.complaint[0], outcome


def test_what_asrx_does_by_itself_is_left_out_with_a_line(caplog: pytest.LogCaptureFixture) -> None:
    names = ["trainargs.report_to", "trainargs.output_dir", "w2v2.model.vocab_size", "w2v2.fext.pretrained_model_name_or_path"]
    with caplog.at_level(logging.INFO, "asrx"):
        assert translated([f"{name}=x" for name in names]) == []
    assert [record.getMessage().partition("=")[0] for record in caplog.records] == names


def test_a_stage_judges_the_own_name() -> None:
    assert of_stage("train", ["trainargs.seed=1"]) == ["trainer.seed=1"]
    with pytest.raises(ConfigError, match="trainer.seed is an option of train"):
        of_stage("compare", ["trainargs.seed=1"])


def test_a_recipe_may_be_written_so(tmp_path: Path) -> None:
    recipe = tmp_path / "published.yaml"
    recipe.write_text(
        "trainargs:\n  learning_rate: 1e-4\n  warmup_ratio: 0.2\n  evaluation_strategy: steps\n  group_by_length: false\n  lr_scheduler_kwargs: {a: 1}\n"
        "w2v2:\n  model:\n    pretrained_model_name_or_path: some/model\n    mask_time_prob: 0.0\n    conv_dim: [8, 8]\n"
        "  tok: {pretrained_model_name_or_path: other/model}\n  proc: {do_normalize: false}\n"
        "trainer:\n  learning_rate: 2e-4\n"
    )
    found = resolve(str(recipe), overrides=["trainargs.seed=7"])
    assert (found.trainer.learning_rate, found.trainer.warmup_steps, found.trainer.seed, found.batch.group_by_length) == (2e-4, 0.2, 7, False)
    assert (found.model.name, found.text.vocabulary) == ("some/model", "other/model")
    assert found.extra["model"] == {"mask_time_prob": 0.0, "conv_dim": [8, 8]} and found.extra["feature_extractor"] == {"do_normalize": False}
    assert found.extra["trainer"] == {"lr_scheduler_kwargs": {"a": 1}}
    recipe.write_text("w2v2: {model: 1}\n")
    with pytest.raises(ConfigError, match="there is no option w2v2.model"):
        resolve(str(recipe))


def test_keys_of_every_section_have_their_effect(home: Path, corpus: Path) -> None:
    from transformers import AutoConfig, AutoFeatureExtractor

    from asrx import tracking
    from asrx.training import request

    given = [*TRAINING, "trainer.eval_steps=4", "trainer.eval_delay=9", "w2v2.model.mask_time_prob=0", "model.mask_feature_prob=0.1",
             "model.mask_feature_length=4", "w2v2.tok.word_delimiter_token=_", "w2v2.fext.padding_value=0.25", "trainargs.warmup_ratio=0.5"]  # fmt: skip
    result = request.train(str(corpus), None, {"trainer.max_steps": "14"}, given, None)
    evaluated = {point.step for point in tracking.connect().get_metric_history(result.run_id, "eval/wer")}
    assert evaluated == {12, 14}  # not at 4 and 8, and at the end whatever the plan
    rates = {point.step: point.value for point in tracking.connect().get_metric_history(result.run_id, "train/learning_rate")}
    assert rates[5] < rates[10]
    model, vocabulary = AutoConfig.from_pretrained(result.folder), json.loads(Path(result.folder, "vocab.json").read_text())
    assert (model.mask_time_prob, model.mask_feature_prob) == (0, 0.1)
    assert "_" in vocabulary and "|" not in vocabulary
    assert AutoFeatureExtractor.from_pretrained(result.folder).padding_value == 0.25
