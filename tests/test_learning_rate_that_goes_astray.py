"""Schedules of asrx's own have the values that their papers and their peers give, at every step and after a resume."""

import math
import re

import pytest
import torch

from asrx.config import resolve
from asrx.errors import ConfigError
from asrx.training import arguments
from asrx.training.schedules import curve


def rates(name: str, total: int, warmup: int, **shape: float) -> list[float]:
    options = resolve(overrides=[f"trainer.lr_scheduler_type={name}", *(f"trainer.lr_scheduler_kwargs.{key}={value}" for key, value in shape.items())])
    arguments.check(options)
    factor = curve(options, total, warmup)
    return [factor(step) for step in range(total + 1)]


def test_tri_stage_rises_holds_and_falls_as_in_fairseq() -> None:
    made = rates("tri_stage", 100, 10, hold=0.4, init_scale=0.01, final_scale=0.05)
    assert made[0] == 0.01 and made[5] == pytest.approx(0.01 + 0.99 * 5 / 10)
    assert made[10:51] == [1.0] * 41
    for step in (51, 75, 99):
        assert made[step] == pytest.approx(math.exp(math.log(0.05) / 50 * (step - 50)))
    assert made[100] == pytest.approx(0.05)


@pytest.mark.parametrize(("cycles", "base"), [(1, 0.1), (3, 0.25), (10, 0.0)])
def test_cyclic_is_that_of_torch(cycles: int, base: float) -> None:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    peer = torch.optim.lr_scheduler.CyclicLR(optimizer, base_lr=base, max_lr=1.0, step_size_up=60 / cycles / 2, cycle_momentum=False)
    expected = []
    for _ in range(60):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        peer.step()
    assert rates("cyclic", 60, 0, cycles=cycles, base_scale=base)[:60] == pytest.approx(expected, abs=1e-9)


def test_cyclic_warms_up_to_where_it_begins() -> None:
    made = rates("cyclic", 110, 10, cycles=2, base_scale=0.2)
    assert made[:11] == pytest.approx([0.02 * step for step in range(11)])
    assert [made[step] for step in (35, 60, 85, 110)] == pytest.approx([1.0, 0.2, 1.0, 0.2])


def test_schedules_of_transformers_stay_theirs() -> None:
    assert curve(resolve(overrides=["trainer.lr_scheduler_type=cosine"]), 10, 1) is None


@pytest.mark.parametrize(("given", "said"), [
    (["trainer.lr_scheduler_type=tristage"], "trainer.lr_scheduler_type=tristage (did you mean tri_stage?)"),
    (["trainer.lr_scheduler_type=tri_stage", "trainer.lr_scheduler_kwargs.hald=0.1"], "no option trainer.lr_scheduler_kwargs.hald (did you mean hold?)"),
    (["trainer.lr_scheduler_type=tri_stage", "trainer.lr_scheduler_kwargs.final_scale=0"], "trainer.lr_scheduler_kwargs.final_scale=0: must be a number"),
    (["trainer.lr_scheduler_type=tri_stage", "trainer.warmup_steps=0.6"], "leave no step for the fall of tri_stage"),
    (["trainer.lr_scheduler_type=tri_stage", "trainer.warmup_steps=60", "trainer.max_steps=100"], "leave no step for the fall"),
    (["trainer.lr_scheduler_type=cyclic", "trainer.lr_scheduler_kwargs.cycles=2.5"], "must be a whole number from 1"),
    (["trainer.lr_scheduler_type=cyclic", "trainer.lr_scheduler_kwargs=fast"], "trainer.lr_scheduler_kwargs=fast: holds keys"),
    (["trainer.lr_scheduler_type=cosine", "trainer.lr_scheduler_kwargs.hold=0.1"], "trainer.lr_scheduler_type=cosine: "),
])  # fmt: skip
def test_a_schedule_that_cannot_be_is_refused(given: list[str], said: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(said)):
        arguments.check(resolve(overrides=given))


def test_a_resumed_schedule_goes_on_where_it_was() -> None:
    def made() -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LambdaLR]:
        optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.5)
        return optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, curve(resolve(overrides=["trainer.lr_scheduler_type=tri_stage"]), 20, 2))

    optimizer, scheduler = made()
    values = []
    for step in range(20):
        if step == 13:
            saved = optimizer.state_dict(), scheduler.state_dict()
            optimizer, scheduler = made()
            optimizer.load_state_dict(saved[0])
            scheduler.load_state_dict(saved[1])
        values.append(scheduler.get_last_lr()[0])
        optimizer.step()
        scheduler.step()
    assert values == pytest.approx([0.5 * factor for factor in rates("tri_stage", 20, 2)[:20]])
