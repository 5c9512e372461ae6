"""Each of the real corpora in ../shared/data: every row readable, as it lies there and from a tarball."""

import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import SHARED

from asrx.corpus.layouts import find, read
from asrx.corpus.rows import Row
from asrx.recognizer.audio import load

DATA = SHARED / "data"
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason=f"{DATA} is not there: real recordings for development")
CORPORA = {"digits": ("common_voice_v1", 1550, 5), "an4": ("nemo", 948, 74), "nepali": ("openslr", 40, 39)}


@pytest.fixture(scope="module")
def tarballs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("tarballs")
    for name in CORPORA:
        with tarfile.open(folder / f"{name}.tar.gz", "w:gz", compresslevel=1) as tar:
            tar.add(DATA / name, name)
    yield folder


def told(rows: list[Row]) -> list[tuple]:
    return [(row.audio.name, row.text, row.speaker, row.split, row.slices, row.promised) for row in rows]


@pytest.mark.parametrize("name", CORPORA)
def test_every_row_of_folder_and_tarball_is_there(name: str, tarballs: Path, tmp_path: Path) -> None:
    layout, count, speakers = CORPORA[name]
    rows = read(str(DATA / name))
    assert find(str(DATA / name)).layout == layout and len(rows) == count and len({row.speaker for row in rows}) == speakers
    assert not any(row.problem for row in rows) and all(row.text.strip() for row in rows)
    unpacked = read(str(tarballs / f"{name}.tar.gz"), unpacked=tmp_path)
    assert told(unpacked) == told(rows) and all(row.audio.is_file() for row in (*rows, *unpacked))


@pytest.mark.parametrize("name", CORPORA)
def test_every_recording_decodes(name: str) -> None:
    for row in read(str(DATA / name)):
        seconds = load(row.audio).seconds
        assert 0.1 < seconds < 30 and (row.promised is None or abs(row.promised - seconds) < 0.1)
