"""Learning-rate schedules that transformers lacks: tri_stage and cyclic. A schedule is a factor of the peak rate for each optimizer step."""

from collections.abc import Callable
from typing import Any

from ..config import Config
from ..errors import ConfigError, nearest

Parameters = dict[str, tuple[float, float, float]]  # default, lowest and highest value
OWN: dict[str, Parameters] = {
    "tri_stage": {"hold": (0.4, 0, 1), "init_scale": (0.01, 0, 1), "final_scale": (0.05, 1e-9, 1)},
    "cyclic": {"cycles": (4, 1, 1_000_000), "base_scale": (0.1, 0, 1)},
}
TYPE, KEYS = "lr_scheduler_type", "lr_scheduler_kwargs"


def tri_stage(step: int, total: int, warmup: int, hold: float, init_scale: float, final_scale: float) -> float:
    """SpecAugment's schedule (Park et al. 2019) as fairseq has it: a linear rise from `init_scale`, `hold` of all steps at the peak,
    then an exponential fall to `final_scale` at the last step."""
    held = round(hold * total)
    if step < warmup:
        return init_scale + (1 - init_scale) * step / warmup
    falling = step - warmup - held
    return 1.0 if falling <= 0 else final_scale ** min(1.0, falling / (total - warmup - held))


def cyclic(step: int, total: int, warmup: int, cycles: float, base_scale: float) -> float:
    """Triangles between `base_scale` and the peak (Smith 2017; torch's CyclicLR in mode `triangular`), after a linear rise to `base_scale`."""
    if step < warmup:
        return base_scale * step / warmup
    place = (step - warmup) * cycles / max(1, total - warmup) % 1
    return base_scale + (1 - base_scale) * (1 - abs(2 * place - 1))


def curve(options: Config, total: int, warmup: int) -> Callable[[int], float] | None:
    """The schedule of a training of `total` steps, of which `warmup` warm up; None where it is one of transformers."""
    name = options.trainer.lr_scheduler_type
    if name not in OWN:
        return None
    factor = {"tri_stage": tri_stage, "cyclic": cyclic}[name]
    given = {key: float(_given(options).get(key, default)) for key, (default, *_) in OWN[name].items()}
    return lambda step: factor(step, total, warmup, **given)


def check(options: Config) -> None:
    """ConfigError for a schedule that does not exist, or values that it cannot have."""
    from transformers import SchedulerType

    name, given = options.trainer.lr_scheduler_type, _given(options)
    known = [*OWN, *(kind.value for kind in SchedulerType)]
    if name not in known:
        raise ConfigError(f"trainer.{TYPE}={name}{nearest(name, known)}: must be one of {', '.join(known)}")
    if name not in OWN:
        return _check_transformers(name, given)
    for key, value in given.items():
        _check_value(name, key, value)
    _check_stages(options)


def _given(options: Config) -> dict[str, Any]:
    given = options.extra["trainer"].get(KEYS) or {}
    if not isinstance(given, dict):
        raise ConfigError(f"trainer.{KEYS}={given}: holds keys, for example trainer.{KEYS}.hold=0.4")
    return given


def _check_transformers(name: str, given: dict[str, Any]) -> None:
    """By making one: each of them has parameters of its own."""
    from torch import zeros
    from torch.optim import SGD
    from transformers import get_scheduler

    try:
        get_scheduler(name, SGD([zeros(1, requires_grad=True)]), num_warmup_steps=1, num_training_steps=10, scheduler_specific_kwargs=dict(given))
    except (TypeError, ValueError) as error:
        raise ConfigError(f"trainer.{TYPE}={name}: {' '.join(str(error).split())}") from None


def _check_value(name: str, key: str, value: Any) -> None:
    if key not in OWN[name]:
        raise ConfigError(f"there is no option trainer.{KEYS}.{key}{nearest(key, OWN[name])}; {name} has {', '.join(OWN[name])}")
    default, low, high = OWN[name][key]
    whole = isinstance(default, int)
    try:
        number = float(value)  # YAML reads 1e-2 as text
    except (TypeError, ValueError):
        number = float("nan")
    if isinstance(value, bool) or not low <= number <= high or (whole and number % 1):
        raise ConfigError(f"trainer.{KEYS}.{key}={value}: must be a {'whole ' if whole else ''}number from {low:g} to {high:,g}")


def _check_stages(options: Config) -> None:
    """Where the number of steps is known: warming up and holding leave something to fall in."""
    own, steps = options.trainer, options.trainer.max_steps
    share = own.warmup_steps if own.warmup_steps < 1 else own.warmup_steps / steps if steps > 0 else 0.0
    hold = float(_given(options).get("hold", OWN["tri_stage"]["hold"][0]))
    if own.lr_scheduler_type == "tri_stage" and share + hold >= 1:
        raise ConfigError(
            f"trainer.warmup_steps={own.warmup_steps:g} and trainer.{KEYS}.hold={hold:g} leave no step for the fall of tri_stage: together they are below 1"
        )
