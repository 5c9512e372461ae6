"""Our trainer options as transformers.TrainingArguments."""

import dataclasses
from pathlib import Path
from typing import Any

from ..config import AUTO, Config, as_bool
from ..errors import ConfigError, nearest

RESERVED = {"output_dir", "report_to", "remove_unused_columns", "eval_strategy", "save_strategy", "logging_strategy", "disable_tqdm",
            "load_best_model_at_end", "metric_for_best_model", "do_train", "do_eval", "do_predict", "average_tokens_across_devices"}  # fmt: skip
LIMITS = {"adam_beta1": (0, 0.999999), "adam_beta2": (0, 0.999999), "adam_epsilon": (0, 1), "dataloader_num_workers": (0, 1_000)}  # that surface late in torch
NOT_READ = {  # that would be taken and do nothing, or do it behind MLflow's back
    "label_smoothing_factor": "no loss of asrx smooths labels",
    "push_to_hub": "asrx register --push publishes a model",
    "hub_model_id": "asrx register --push publishes a model",
    "run_name": "a run is named after its corpus and model",
    "resume_from_checkpoint": "--resume goes on with a run",
    "neftune_noise_alpha": "it is for language models",
}
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
    training_arguments(options, EVALUATIONS, Path("unused"))


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


def training_arguments(options: Config, total_steps: int, folder: Path) -> Any:
    """TrainingArguments for a plan of `total_steps` optimizer steps, one pass over it."""
    from transformers import TrainingArguments

    own = dataclasses.asdict(options.trainer)
    evaluate = own["eval_steps"] or max(1, round(total_steps / EVALUATIONS))
    own.update(
        output_dir=str(folder),
        num_train_epochs=1,
        max_steps=-1,
        eval_steps=evaluate,
        save_steps=own["save_steps"] or evaluate,
        **_precision(own["bf16"], own["fp16"]),
    )
    own.update(options.extra["trainer"])
    try:
        return TrainingArguments(
            eval_strategy="steps",
            save_strategy="steps",
            logging_strategy="steps",
            report_to="none",
            disable_tqdm=True,
            remove_unused_columns=False,
            average_tokens_across_devices=False,
            **own,
        )
    except (ValueError, TypeError) as error:
        raise ConfigError(f"trainer options: {' '.join(str(error).split())}") from None


def _precision(bf16: str | bool, fp16: str | bool) -> dict[str, bool]:
    """auto: bfloat16 where the GPU has it, else float16 on a GPU, else float32; float16 needs a GPU."""
    import torch

    has_gpu = torch.cuda.is_available()
    can_bf16 = has_gpu and torch.cuda.is_bf16_supported(including_emulation=False)
    use_fp16 = has_gpu and (fp16 is True or (fp16 == AUTO and bf16 is not True and not can_bf16))
    use_bf16 = bf16 is True or (bf16 == AUTO and not use_fp16 and can_bf16)
    return {"bf16": use_bf16, "fp16": use_fp16}
