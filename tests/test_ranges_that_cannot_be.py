"""What a search may draw is read from the overrides, and refused before anything is trained if an end of it cannot be."""

from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Outcome

from asrx.errors import ConfigError
from asrx.search.space import split


def test_ranges_choices_and_values_are_told_apart() -> None:
    given = ["trainer.learning_rate=1e-4..1e-2:log", "augment.gain=0..6", "trainer.max_steps=10..20", "model.num_hidden_layers=2..6", "model.layerdrop=0..0.1",
             "augment.speed=0,0.1", "model.conv_dim=[48,96],[64,128]",
             "augment.noise_snr=[5,30]", "trainer.optim_args='a=1,b=2'", "model.name=../large"]  # fmt: skip
    fixed, dimensions = split(given)
    assert fixed == given[-3:]
    found = {item.name: item for item in dimensions}
    assert [found[name].whole for name in list(found)[:5]] == [False, False, True, True, False]
    rate = found["trainer.learning_rate"]
    assert (rate.low, rate.high, rate.log) == (1e-4, 1e-2, True) and rate.ends == ("trainer.learning_rate=0.0001", "trainer.learning_rate=0.01")
    assert found["augment.speed"].choices == ("0", "0.1") and found["model.conv_dim"].choices == ("[48,96]", "[64,128]")


@pytest.mark.parametrize(("given", "said"), [
    ("trainer.learning_rate=1e-2..1e-4", "LOW must be below HIGH"),
    ("trainer.weight_decay=0..0.1:log", "above 0 on a logarithm"),
    ("trainer.learning_rate=1e-4..1e-2:lgo", "a range reads LOW..HIGH or LOW..HIGH:log"),
    ("trainer.max_steps=10.5..20", "is a whole number"),
    ("batch.group_by_length=0..1", "the option is no number"),
    ("augment.speed=0,0", "values that differ"),
    ("augment.speed=0,", "values that differ"),
    ("data.seed=1,2", "all trials train on one corpus"),
    ("data.eval_utterances=10..20", "measured on the same utterances"),
])  # fmt: skip
def test_a_space_that_cannot_be_is_refused(given: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        split([given])
    with pytest.raises(ConfigError, match="was given 0,0.2 before"):
        split(["augment.speed=0,0.2", "augment.speed=0,0.1"])


@pytest.mark.parametrize(("given", "said"), [
    ((), "there is nothing to search"),
    (("augment.speed=0..0.9",), "augment.speed=0.9: must be from 0 to 0.5"),
    (("trainer.learning_rate=-1..1",), "learning_rate=-1.0: must be 0 or more"),
    (("trainer.lerning_rate=0.1..1",), "did you mean learning_rate"),
    (("model.trainable=all,heads",), "model.trainable=heads: must be one of"),
    (("model.name=scratch,nowhere/at/all",), "there is no model folder nowhere/at/all"),
    (("data.max_seconds=10..20",), "data.max_seconds is an option of prepare"),
    (("model.hiden_dropout=0.0..0.5",), "did you mean hidden_dropout"),
    (("model.num_attention_heads=4,5",), "model.num_attention_heads=5: the model options do not fit together"),
    (("augment.speed=0,0.1", "--storage", "nowhere"), "must be a URL"),
    (("augment.speed=0,0.1", "--pruner", "luck"), "--pruner"),
])  # fmt: skip
def test_what_cannot_be_is_refused_before_any_run(given: tuple[str, ...], said: str, asrx: Callable[..., Outcome], corpus: Path) -> None:
    from asrx import tracking

    client = tracking.connect()
    before = len(client.search_runs([item.experiment_id for item in client.search_experiments()]))
    outcome = asrx("search", "--data", corpus, *given)
    assert outcome.status == 2 and len(outcome.complaint) == 1 and said in outcome.complaint[0], outcome
    assert len(client.search_runs([item.experiment_id for item in client.search_experiments()])) == before
