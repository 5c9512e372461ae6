"""A training that SIGKILL hits at any moment ends as the undisturbed one: weights, optimizer, random generators and curves."""

from pathlib import Path

import pytest
from conftest import ROOT
from step_by_step import train

from asrx.training import trainer
from asrx.training.checkpoints import last_checkpoint, mark_complete


@pytest.mark.slow
def test_killed_twice_it_ends_as_if_nothing_had_been(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    import soak_resume

    verdict = soak_resume.soak(tmp_path, kills=2, seed=3)
    assert verdict.passed and verdict.kills, verdict


def test_the_last_checkpoint_is_there_until_the_next_one_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(checkpoint: Path) -> None:
        if checkpoint.name == "checkpoint-2":
            raise KeyboardInterrupt
        mark_complete(checkpoint)

    monkeypatch.setattr(trainer, "mark_complete", killed)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, epochs=1, save_steps=1, save_total_limit=1)
    assert last_checkpoint(tmp_path / "checkpoints").name == "checkpoint-1"
