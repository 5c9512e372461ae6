"""The peer: fine-tuning as Hugging Face's published run_speech_recognition_ctc.py does it, from a prepared corpus.

Its data set is a `datasets` column of normalised float32 `input_values` beside `labels`, made once with map; its collator pads both with
the processor's parts. What varies are the arguments of transformers' Trainer.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from asrx.corpus.shards import Split
from asrx.recognizer.audio import SAMPLE_RATE, to_float

LENGTH = "input_length"


def dataset(split: Split, labels: list[list[int]], extractor: Any, cache: Path) -> Any:
    """The utterances of a split as the script's map leaves them."""
    import datasets

    datasets.disable_progress_bars()
    columns = datasets.Dataset.from_dict({"index": range(len(split)), "labels": labels})

    def prepare(row: dict[str, Any]) -> dict[str, Any]:
        values = extractor(to_float(split.audio(row["index"])), sampling_rate=SAMPLE_RATE).input_values[0]
        return {"input_values": values, LENGTH: len(values)}

    return columns.map(prepare, remove_columns=["index"], cache_file_name=str(cache))


def collator(extractor: Any, seconds: list[float]) -> Callable[[list[dict[str, Any]]], Any]:
    """Pads a batch; appends the seconds of audio in it to `seconds`."""

    def collate(rows: list[dict[str, Any]]) -> Any:
        import torch

        seconds.append(sum(row[LENGTH] for row in rows) / SAMPLE_RATE)
        batch = extractor.pad([{"input_values": row["input_values"]} for row in rows], padding=True, return_tensors="pt")
        widest = max(len(row["labels"]) for row in rows)
        batch["labels"] = torch.tensor([row["labels"] + [-100] * (widest - len(row["labels"])) for row in rows])
        return batch

    return collate


def trainer(family: Any, data: Any, steps: int, folder: Path, rate: float, better: bool, seconds: list[float], callback: Any) -> Any:
    """The script's Trainer: batches of 8 at random in float32, or with `better` grouped by length in bfloat16."""
    from transformers import Trainer, TrainingArguments

    better_ones = {"train_sampling_strategy": "group_by_length", "length_column_name": LENGTH, "bf16": True} if better else {}
    arguments = TrainingArguments(
        output_dir=str(folder), max_steps=steps, per_device_train_batch_size=8, learning_rate=rate, warmup_steps=0.1, lr_scheduler_type="linear",
        save_strategy="no", logging_steps=10, report_to="none", disable_tqdm=True, remove_unused_columns=False, seed=42, **_device(), **better_ones,
    )  # fmt: skip
    return Trainer(
        model=family.model, args=arguments, train_dataset=data, data_collator=collator(family.feature_extractor, seconds), callbacks=[callback]
    )


def _device() -> dict[str, bool]:
    import torch

    return {"use_cpu": not torch.cuda.is_available()}
