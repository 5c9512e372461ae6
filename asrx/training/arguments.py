"""Our trainer options as transformers.TrainingArguments."""

import dataclasses
import os
from pathlib import Path
from typing import Any

from ..config import AUTO, Config, as_bool
from ..errors import ConfigError, nearest
from ..files import read_json, write_json
from . import processes, schedules

RESERVED = {"output_dir", "report_to", "remove_unused_columns", "eval_strategy", "save_strategy", "logging_strategy", "disable_tqdm",
            "load_best_model_at_end", "metric_for_best_model", "do_train", "do_eval", "do_predict", "average_tokens_across_devices",
            "logging_nan_inf_filter"}  # fmt: skip
LIMITS = {"adam_beta1": (0, 0.999999), "adam_beta2": (0, 0.999999), "adam_epsilon": (0, 1), "dataloader_num_workers": (0, 1_000)}  # that surface late in torch
NOT_READ = {  # that would be taken and do nothing, or do it behind MLflow's back
    "push_to_hub": "asrx register --push publishes a model",
    "hub_model_id": "asrx register --push publishes a model",
    "run_name": "a run is named after its corpus and model",
    "resume_from_checkpoint": "--resume goes on with a run",
    "neftune_noise_alpha": "it is for language models",
    "auto_find_batch_size": "where memory runs out, asrx divides micro-batches by itself",
    "ddp_backend": "processes talk over nccl on GPUs and over gloo elsewhere",
    "fsdp": "each process holds the whole model (DDP); where it does not fit, lower the batch size, or use model.trainable=lora",
    "fsdp_config": "each process holds the whole model (DDP)",
}
RENAMED = {  # under its usual name transformers warns
    "gradient_checkpointing": "activation_checkpointing",
    "gradient_checkpointing_kwargs": "activation_checkpointing_kwargs",
}
PRECISION = "precision.json"  # file of a run
WORTH_BF16 = 2_000_000  # parameters; in a smaller model autocast costs a processor what it saves
LOADERS = 4
EVALUATIONS = 10  # in a run, where trainer.eval_steps does not say


def check(options: Config) -> None:
    """ConfigError for a trainer key that TrainingArguments lacks or that asrx sets itself, or an impossible value."""
    from transformers import TrainingArguments

    fields = {item.name: str(item.type) for item in dataclasses.fields(TrainingArguments) if item.init}
    for key, value in options.extra["trainer"].items():
        if key in RESERVED:
            raise ConfigError(f"trainer.{key} is set by asrx itself")
        if key in NOT_READ:
            raise ConfigError(f"trainer.{key} is not read: {NOT_READ[key]}")
        if key not in fields:
            known = set(fields) | set(dataclasses.asdict(options.trainer)) - RESERVED
            raise ConfigError(f"there is no option trainer.{key}{nearest(key, known)}")
        options.extra["trainer"][key] = _typed(key, value, fields[key])
    for key, (low, high) in LIMITS.items():
        if not low <= options.extra["trainer"].get(key, low) <= high:
            raise ConfigError(f"trainer.{key}={options.extra['trainer'][key]}: must be from {low} to {high}")
    schedules.check(options)
    _check_optimizer(training_arguments(options, EVALUATIONS, Path("unused")), "optim" in options.extra["trainer"])


def _check_optimizer(arguments: Any, named: bool) -> None:
    """That of a package which only some install."""
    from transformers import Trainer

    try:
        if named:
            Trainer.get_optimizer_cls_and_kwargs(arguments)
    except ImportError as error:
        raise ConfigError(f"trainer.optim={arguments.optim.value}: {' '.join(str(error).split())}") from None
    except ValueError:  # it asks for the model, which comes later
        pass


def _typed(key: str, value: Any, kind: str) -> Any:
    if isinstance(value, str) and "str" not in kind and "dict" not in kind and "Strategy" not in kind:
        try:
            if "float" in kind or "int" in kind:
                return float(value) if "float" in kind else int(value)
        except ValueError:
            raise ConfigError(f"trainer.{key}={value}: must be a number") from None
        if "bool" in kind:
            return as_bool(f"trainer.{key}", value)
    if "bool" in kind and not isinstance(value, (bool, type(None), str)) or kind in ("<class 'float'>", "float") and isinstance(value, bool):
        raise ConfigError(f"trainer.{key}={value}: must be {'true or false' if 'bool' in kind else 'a number'}")
    return value


def training_arguments(options: Config, total_steps: int, folder: Path, kind: str | None = None) -> Any:
    """TrainingArguments for a plan of `total_steps` optimizer steps, one pass over it. `kind`: what `precision` says, by default of a small model."""
    from transformers import TrainingArguments

    kind = kind or precision(options, 0)
    own = dataclasses.asdict(options.trainer)
    evaluate = own["eval_steps"] or max(1, round(total_steps / EVALUATIONS))
    own.update(
        output_dir=str(folder),
        num_train_epochs=1,
        max_steps=-1,
        eval_steps=evaluate,
        save_steps=own["save_steps"] or evaluate,
        bf16=kind == "bf16",
        fp16=kind == "fp16",
        use_cpu=kind == "bf16" and not _has_gpu(options),
        dataloader_num_workers=_workers(options),
    )
    own.update({RENAMED.get(key, key): value for key, value in options.extra["trainer"].items()})
    if own[schedules.TYPE] in schedules.OWN:
        own.update({schedules.TYPE: "constant", schedules.KEYS: None})
    if processes.count() > 1:
        _join(own)
    try:
        return TrainingArguments(
            eval_strategy="steps",
            save_strategy="steps",
            logging_strategy="steps",
            report_to="none",
            disable_tqdm=True,
            remove_unused_columns=False,
            average_tokens_across_devices=False,
            logging_nan_inf_filter=False,  # nothing of that kind is left to be filtered
            **own,
        )
    except (ValueError, TypeError) as error:
        raise ConfigError(f"trainer options: {' '.join(str(error).split())}") from None


def _join(own: dict[str, Any]) -> None:
    """Meet the other processes; what Trainer must know of them."""
    import torch

    own["use_cpu"] = own.get("use_cpu") or not torch.cuda.is_available()
    own.setdefault("ddp_find_unused_parameters", True)  # layer drop, and masks that hit no utterance
    devices = torch.cuda.device_count()
    if not own["use_cpu"] and processes.local_rank() >= devices:
        raise ConfigError(f"process {processes.rank()} has no GPU of its own: this machine has {devices}; start as many processes, or set trainer.use_cpu=true")
    processes.join(own.get("ddp_timeout"))


def precision(options: Config, parameters: int, run: Path | None = None) -> str:
    """bf16, fp16 or fp32 of a model with so many `parameters`: what the `run` (a folder) was begun with, else what the options say.

    auto: bfloat16 where the GPU has it, else float16 on a GPU; without a GPU bfloat16 where the processor multiplies in it and the model is
    big enough to gain. ConfigError for bf16=true where there is none.
    """
    import torch

    begun = read_json(run / PRECISION) if run else None
    bf16, fp16, has_gpu = options.trainer.bf16, options.trainer.fp16, _has_gpu(options)
    has_bf16 = torch.cuda.is_bf16_supported(including_emulation=False) if has_gpu else _processor_has_bf16()
    if bf16 is True and not has_bf16:
        raise ConfigError(f"trainer.bf16=true, but this {'GPU' if has_gpu else 'processor'} does not compute in bfloat16; set it to false or auto")
    if bf16 is True and fp16 is True:
        raise ConfigError("trainer.bf16=true and trainer.fp16=true: at most one of them")
    if begun and (has_gpu or begun != "fp16"):
        return begun
    gains = has_bf16 and (has_gpu or parameters >= WORTH_BF16)
    if has_gpu and (fp16 is True or (fp16 == AUTO and bf16 is not True and not gains)):
        return "fp16"
    return "bf16" if bf16 is True or (bf16 == AUTO and gains) else "fp32"


def remember_precision(chosen: str, run: Path) -> None:
    """For a session that takes the run up on another machine: a training does not change its arithmetic on the way."""
    write_json(run / PRECISION, chosen)


def _has_gpu(options: Config) -> bool:
    import torch

    return torch.cuda.is_available() and not options.extra["trainer"].get("use_cpu")


def _processor_has_bf16() -> bool:
    """Whether the processor trains, and has instructions for products of bfloat16."""
    import torch

    can = torch.cpu.get_capabilities()
    return not torch.backends.mps.is_available() and any(can.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16"))


def _workers(options: Config) -> int:
    """Processes that load batches ahead: a processor that trains has no time to spare, a GPU leaves it idle."""
    return min(LOADERS, max(1, (os.cpu_count() or 1) - 1)) if _has_gpu(options) else 0
