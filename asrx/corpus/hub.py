"""Data sets of the Hugging Face hub as rows. Audio stays encoded and is decoded by our own decoder."""

import logging
from collections.abc import Callable
from pathlib import Path

from ..errors import InputError
from .layouts import SLICE_COLUMNS, SPEAKER_COLUMNS, Columns, Row, _detect, as_text, find_columns, role

log = logging.getLogger("asrx")


def rows(name: str, columns: Columns) -> list[Row]:
    """Rows of every split of the hub data set `name`. InputError, naming the cache options, if it cannot be had."""
    import datasets

    try:
        loaded = datasets.load_dataset(name)
    except Exception as error:  # the hub client raises a dozen types; each means that the data set cannot be had
        reason = " ".join(str(error).split())[:200]
        raise InputError(
            f"there is no file or folder {name}, and the hub data set {name} cannot be loaded ({reason}). "
            "On a machine without internet, download it elsewhere and set HF_HOME to its cache with HF_HUB_OFFLINE=1"
        ) from None
    usable = [split for split in loaded if role(split)] if any(role(split) == "train" for split in loaded) else list(loaded)
    if left_out := sorted(set(loaded) - set(usable)):
        log.info("%s: splits that are neither train, validation nor test are left out: %s", name, ", ".join(left_out))
    return [row for split in usable for row in _rows_of(loaded[split], split, columns)]


def _rows_of(dataset: object, split: str, columns: Columns) -> list[Row]:
    import datasets

    audio, text = find_columns(dataset.column_names, columns, f"split {split}")
    if isinstance(dataset.features[audio], datasets.Audio):
        dataset = dataset.cast_column(audio, datasets.Audio(decode=False))
    speaker = _detect(dataset.column_names, SPEAKER_COLUMNS)
    table = dataset.remove_columns([audio])
    return [
        Row(
            id=f"{split}-{index}",
            audio=_reader(dataset, index, audio),
            text=as_text(record[text]),
            speaker=as_text(record[speaker]) if speaker else "",
            split=role(split),
            slices={key: str(value) for key, value in record.items() if key in SLICE_COLUMNS and value},
        )
        for index, record in enumerate(table)
    ]


def _reader(dataset: object, index: int, column: str) -> Callable[[], bytes]:
    def read() -> bytes:
        value = dataset[index][column]
        if isinstance(value, dict) and value.get("bytes"):
            return value["bytes"]
        path = value["path"] if isinstance(value, dict) else value
        return Path(path).read_bytes() if path else b""

    return read
