"""A recipe that no longer learns: every twin of a published experiment goes from recordings to a served model."""

import mlflow
import pytest
from experiments import TWINS, Experiments, asrx, ends_below

from asrx import config
from asrx.error_counts import count_all, pool


def test_each_experiment_has_a_twin() -> None:
    published = [name for name in config.recipe_names() if name.startswith(("wav2vec2", "whisper")) and not name.endswith("-tiny")]
    assert len(published) >= 6
    assert {f"{name}-tiny" for name in published} == set(TWINS)


@pytest.mark.slow
@pytest.mark.parametrize("recipe", TWINS)
def test_a_twin_ends_where_it_says(recipe: str, in_background: Experiments, monkeypatch: pytest.MonkeyPatch) -> None:
    twin = in_background.twins[recipe].result()
    assert not twin.corpus["rejected"]
    assert twin.training["wer"] < ends_below(recipe)
    registered = asrx(in_background.environment, "register", "--run", twin.training["run_id"], "--name", recipe)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", in_background.environment["MLFLOW_TRACKING_URI"])
    mlflow.set_tracking_uri(in_background.environment["MLFLOW_TRACKING_URI"])
    paths, references = in_background.held_out(twin.corpus["language"])
    heard = mlflow.pyfunc.load_model(registered["uri"]).predict(paths)
    assert pool(count_all(references, list(heard["text"]))).wer < ends_below(recipe)
    assert heard["confidence"].between(0, 1).all()
