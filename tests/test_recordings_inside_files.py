"""Recordings in tars, parquet and Arrow files: any order, bounded memory, files that change or are cut under the reader."""

import os
import random
import tracemalloc
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sounds import table

from asrx.corpus import containers
from asrx.corpus.layouts import find, read
from asrx.corpus.rows import Inside

COUNT = 300


def content(number: int, size: int = 200) -> bytes:
    return random.Random(number).randbytes(size)


def columns(size: int = 200, count: int = COUNT) -> pa.Table:
    audio = [{"bytes": content(number, size), "path": f"{number}.flac"} for number in range(count)]
    return pa.table({"audio": audio, "plain": [content(number, size) for number in range(count)], "text": [f"text {number}" for number in range(count)]})


@pytest.fixture(params=["parquet", "arrow stream", "arrow file"])
def file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    if request.param == "parquet":
        pq.write_table(columns(), tmp_path / "x.parquet", row_group_size=70)
        return tmp_path / "x.parquet"
    writer = pa.ipc.new_stream if request.param == "arrow stream" else pa.ipc.new_file
    with pa.OSFile(str(tmp_path / "x.arrow"), "wb") as sink, writer(sink, columns().schema) as stream:
        stream.write_table(columns(), max_chunksize=70)
    return tmp_path / "x.arrow"


@pytest.mark.parametrize("column", ["audio", "plain"])
def test_cells_in_any_order(file: Path, column: str) -> None:
    order = [*range(COUNT), *random.Random(0).sample(range(COUNT), 60)]
    for number in order:
        assert Inside(str(file), number, column=column).read() == content(number)
    with pytest.raises(OSError, match="no row"):
        Inside(str(file), COUNT, column=column).read()


def test_a_replaced_file_is_opened_again_and_a_lost_one_is_an_os_error(file: Path) -> None:
    place = Inside(str(file), 7, column="plain")
    assert place.read() == content(7)
    changed = columns().slice(1)
    if file.suffix == ".parquet":
        pq.write_table(changed, file)
    else:
        with pa.OSFile(str(file), "wb") as sink, pa.ipc.new_stream(sink, changed.schema) as stream:
            stream.write_table(changed)
    assert place.read() == content(8)
    damaged = file.read_bytes()[: file.stat().st_size // 2]
    file.unlink()
    with pytest.raises(FileNotFoundError):
        place.read()
    file.write_bytes(damaged)
    if file.suffix == ".parquet":
        with pytest.raises(OSError, match="damaged"):
            place.read()


def test_bytes_of_a_tar_that_was_cut(tmp_path: Path) -> None:
    (tmp_path / "x.tar").write_bytes(content(1, 1000))
    assert Inside(str(tmp_path / "x.tar"), 100, 50).read() == content(1, 1000)[100:150]
    os.truncate(tmp_path / "x.tar", 120)
    with pytest.raises(OSError, match="30 bytes before"):
        Inside(str(tmp_path / "x.tar"), 100, 50).read()


def test_a_row_group_of_recordings_is_not_loaded_as_a_whole(tmp_path: Path) -> None:
    """64 MB in one row group, as the hub has them: neither its rows nor its recordings may cost that much."""
    size, count = 1 << 18, 256
    pq.write_table(columns(size, count).drop_columns(["plain"]), tmp_path / "x.parquet", row_group_size=count, compression="none", use_dictionary=False)
    before, most = pa.total_allocated_bytes(), 0
    for number, row in enumerate(find(str(tmp_path / "x.parquet")).rows()):
        assert len(row.audio.read()) == size
        most = max(most, pa.total_allocated_bytes() - before)
        assert row.text == f"text {number}"
    assert most < 24 << 20


@pytest.mark.parametrize("name", ["all.csv", "all.tsv", "line_index.tsv", "m.jsonl"])
def test_rows_are_streamed(tmp_path: Path, name: str) -> None:
    """20,000 rows of 2,000 characters: 40 MB, if anybody held them. (Python's table of interned names may double meanwhile.)"""
    rows = [{"audio_filepath": f"{number}.wav", "text": "x" * 2_000} for number in range(20_000)]
    file = tmp_path / name
    if name == "line_index.tsv":
        file.write_text("".join(f"{row['audio_filepath'][:-4]}\t{row['text']}\n" for row in rows))
    elif name == "m.jsonl":
        file.write_text("".join(f'{{"audio_filepath": "{row["audio_filepath"]}", "text": "{row["text"]}"}}\n' for row in rows))
    else:
        table(file, rows, "\t" if name.endswith("tsv") else ",")
    tracemalloc.start()
    try:
        assert sum(1 for _ in find(str(file)).rows()) == 20_000
        assert tracemalloc.get_traced_memory()[1] < 24 << 20
    finally:
        tracemalloc.stop()


def test_the_order_and_the_rows_are_the_same_each_time(tmp_path: Path) -> None:
    pq.write_table(columns(), tmp_path / "x.parquet", row_group_size=70)
    found = find(str(tmp_path))
    assert list(found.rows()) == list(found.rows()) == read(str(tmp_path))
    assert containers.read(next(found.rows()).audio) == content(0)
