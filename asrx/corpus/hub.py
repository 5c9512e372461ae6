"""Data sets of the Hugging Face hub, streamed once. Audio stays encoded: it is spooled into tar shards and decoded from there by our own decoder."""

import contextlib
import io
import json
import logging
import os
import re
import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..files import locked, write_text
from .layouts.columns import AUDIO_COLUMNS, SPEAKER_COLUMNS, TEXT_COLUMNS, Columns, as_text, detect, find_column, role, slices_of
from .layouts.pairs import rows_of_tars
from .layouts.source import AUDIO_EXTENSIONS
from .rows import Inside, Row

log = logging.getLogger("asrx")

COMPLETE = "complete"  # marks a spool that the whole data set is in
SHARD_BYTES = 1 << 30  # of a tar; a few big files are easier on a disk than a million small ones
BLOCK = tarfile.BLOCKSIZE
NAME = re.compile(r"[\w.-]+/[\w.-]+(:[\w.-]+)?")


def folder_for(name: str, columns: Columns, unpacked: Path | None) -> Path:
    """Where `name` is spooled: below `unpacked`, or below the system's folder for temporary files."""
    what = "-".join(filter(None, (name, columns.audio, columns.text)))
    return (unpacked or Path(tempfile.gettempdir()) / f"asrx-{os.getuid()}") / re.sub(r"[^\w.-]+", "-", what)


def rows(name: str, columns: Columns, unpacked: Path | None = None) -> Iterator[Row]:
    """Rows of every split of the hub data set `name`, or `name:configuration`, as they arrive; from the spool if it is whole.

    Raises InputError, naming the cache options, if the data set cannot be had.
    """
    folder = folder_for(name, columns, unpacked)
    with locked(folder):
        if not (folder / COMPLETE).is_file():
            yield from _streamed(name, columns, folder)
            return
    yield from rows_of_tars(sorted(folder.glob("*.tar")), Columns())


def _streamed(name: str, columns: Columns, folder: Path) -> Iterator[Row]:
    loaded = _loaded(name)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for split in _usable(name, loaded):
        yield from _spooled(_examples(loaded[split], name), split, columns, folder)
    write_text(folder / COMPLETE, f"{name}\n")


def _loaded(name: str) -> Any:
    import datasets

    repository, _, configuration = name.partition(":")
    with _explained(name):
        loaded = datasets.load_dataset(repository, configuration or None, streaming=True)
        return loaded if isinstance(loaded, dict) else {"train": loaded}


@contextlib.contextmanager
def _explained(name: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # the hub client raises a dozen types; each means that the data set cannot be had
        reason = " ".join(str(error).split())[:200]
        raise InputError(
            f"there is no file or folder {name}, and the hub data set {name} cannot be loaded ({reason}). "
            "On a machine without internet, download it elsewhere and set HF_HOME to its cache with HF_HUB_OFFLINE=1"
        ) from None


def _usable(name: str, splits: dict[str, Any]) -> list[str]:
    usable = [split for split in splits if role(split)] if any(role(split) == "train" for split in splits) else list(splits)
    if left_out := sorted(set(splits) - set(usable)):
        log.info("%s: splits that are neither train, validation nor test are left out: %s", name, ", ".join(left_out))
    return usable


def _examples(dataset: Any, name: str) -> Iterator[dict[str, Any]]:
    """Examples with their audio still encoded, as {bytes, path}."""
    import datasets

    for column, feature in (dataset.features or {}).items():
        if isinstance(feature, datasets.Audio):
            dataset = dataset.cast_column(column, datasets.Audio(decode=False))
    iterator = iter(dataset)
    while True:
        with _explained(name):
            example = next(iterator, None)
        if example is None:
            return
        yield example


def _spooled(examples: Iterator[dict[str, Any]], split: str, columns: Columns, folder: Path) -> Iterator[Row]:
    """Rows of a split, each once its recording is on disk."""
    shard = None
    names: tuple[str, str, str | None] | None = None
    try:
        for number, example in enumerate(examples):
            names = names or _columns(example, columns, split)
            if shard is None or shard.size > SHARD_BYTES:
                if shard is not None:
                    shard.close()
                shard = _Shard(folder / f"{split.replace('.', '-')}-{number:09d}.tar")
            yield shard.add(f"{split.replace('.', '-')}-{number:09d}", example, names, split)
    finally:
        if shard is not None:
            shard.close()


def _columns(example: dict[str, Any], columns: Columns, split: str) -> tuple[str, str, str | None]:
    encoded = [name for name, value in example.items() if isinstance(value, bytes) or (isinstance(value, dict) and "bytes" in value)]
    given = columns.audio or detect(encoded, AUDIO_COLUMNS) or (encoded[0] if len(encoded) == 1 else None)
    audio = find_column("audio", list(example), given, AUDIO_COLUMNS, f"split {split}")
    return audio, find_column("text", list(example), columns.text, TEXT_COLUMNS, f"split {split}"), detect(list(example), SPEAKER_COLUMNS)


class _Shard:
    """One tar of recordings, each beside its JSON: WebDataset's layout."""

    def __init__(self, path: Path) -> None:
        self._path, self._tar = path, tarfile.open(path, "w")

    @property
    def size(self) -> int:
        """Bytes so far."""
        return self._tar.offset

    def add(self, key: str, example: dict[str, Any], names: tuple[str, str, str | None], split: str) -> Row:
        """Write an example. Its row is what a later pass over the tar reads."""
        audio, text, speaker = names
        content, suffix = _encoded(example[audio])
        said = {"text": as_text(example[text]), "speaker": as_text(example[speaker]) if speaker else "", **slices_of(_scalars(example))}
        self._write(f"{key}.json", json.dumps(said, ensure_ascii=False).encode())
        row = Row(key, Path(), said["text"], said["speaker"], role(split), slices=slices_of(said))
        if not content:
            return replace(row, problem="the transcript has no recording of the same name")
        start = self._write(f"{key}.{suffix}", content)
        return replace(row, audio=Inside(str(self._path), start, len(content)))

    def _write(self, name: str, content: bytes) -> int:
        """Add a member, readable from now on, and return where its bytes start."""
        member = tarfile.TarInfo(name)
        member.size = len(content)
        self._tar.addfile(member, io.BytesIO(content))
        self._tar.members.clear()
        self._tar.fileobj.flush()
        return self._tar.offset - -(-len(content) // BLOCK) * BLOCK

    def close(self) -> None:
        self._tar.close()


def _scalars(example: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in example.items() if isinstance(value, str | int | float)}


def _encoded(value: Any) -> tuple[bytes, str]:
    """A recording's bytes, fetched where only its path came, and the suffix of its name."""
    path = (value.get("path") if isinstance(value, dict) else value if isinstance(value, str) else None) or ""
    content = value if isinstance(value, bytes) else value.get("bytes") if isinstance(value, dict) else None
    if content is None and path:
        from datasets.utils.file_utils import xopen

        with xopen(path, "rb") as file:
            content = file.read()
    suffix = os.path.splitext(path.split("::")[0])[1].lstrip(".").lower()
    return content or b"", suffix if suffix in AUDIO_EXTENSIONS else "wav"  # the decoder looks at the content


def may_be_name(source: str, path: Path) -> bool:
    """Whether a source that is nowhere on disk may be a data set: user/name or user/name:configuration, and no folder `user` here."""
    return bool(NAME.fullmatch(source)) and not path.parent.exists()

