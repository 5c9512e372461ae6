"""Archives that write where they must not, that are cut or damaged, or that a killed run left half unpacked."""

import io
import os
import tarfile
import threading
import zipfile
from pathlib import Path

import pytest
from sounds import corpus

from asrx.corpus.layouts import archives, find, read
from asrx.errors import InputError


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A folder with a table and six clips."""
    return corpus(tmp_path / "source").parent


def tarred(folder: Path, target: Path, mode: str = "w:gz") -> Path:
    with tarfile.open(target, mode) as tar:
        tar.add(folder, "corpus")
    return target


@pytest.mark.parametrize("name", ["../escaped.csv", "corpus/../../escaped.csv"])
@pytest.mark.parametrize("suffix", ["tar", "zip"])
def test_a_member_that_would_be_written_outside_is_refused(tmp_path: Path, name: str, suffix: str) -> None:
    archive = tmp_path / f"evil.{suffix}"
    if suffix == "zip":
        with zipfile.ZipFile(archive, "w") as package:
            package.writestr(name, "path,text\n")
    else:
        with tarfile.open(archive, "w") as tar:
            member = tarfile.TarInfo(name)
            tar.addfile(member, io.BytesIO())
    with pytest.raises(InputError, match="not safe to unpack"):
        read(str(archive), unpacked=tmp_path / "u")
    assert not list(tmp_path.rglob("escaped.csv")) and not list((tmp_path / "u").iterdir())


def test_a_link_out_of_the_archive_is_refused(tmp_path: Path) -> None:
    secret = tmp_path / "secret.csv"
    secret.write_text("path,text\n")
    with tarfile.open(tmp_path / "evil.tar", "w") as tar:
        member = tarfile.TarInfo("all.csv")
        member.type, member.linkname = tarfile.SYMTYPE, str(secret)
        tar.addfile(member)
    with pytest.raises(InputError, match="not safe to unpack"):
        read(str(tmp_path / "evil.tar"), unpacked=tmp_path / "u")


@pytest.mark.parametrize("name", ["c.tar.gz", "c.tar.bz2", "c.tar.xz", "c.tar"])
@pytest.mark.parametrize("kept", [0.0, 0.3, 0.9, 0.95])
def test_a_truncated_archive_is_named_and_leaves_nothing(tmp_path: Path, source: Path, name: str, kept: float) -> None:
    archive = tarred(source, tmp_path / name, {"c.tar.gz": "w:gz", "c.tar.bz2": "w:bz2", "c.tar.xz": "w:xz", "c.tar": "w"}[name])
    content = archive.read_bytes()
    archive.write_bytes(content[: int(len(content) * kept)])
    with pytest.raises(InputError, match=f"{name}.* truncated or damaged"):
        read(str(archive), unpacked=tmp_path / "u")
    assert not list((tmp_path / "u").iterdir())


def test_a_tar_that_was_cut_between_two_members_is_not_taken_for_whole(tmp_path: Path, source: Path) -> None:
    archive = tarred(source, tmp_path / "c.tar", "w")
    with tarfile.open(archive) as tar:
        end = tar.getmembers()[-1].offset
    os.truncate(archive, end)
    with pytest.raises(InputError, match="c.tar is truncated or damaged"):
        read(str(archive), unpacked=tmp_path / "u")


@pytest.mark.parametrize("damage", ["flip", "cut", "text"])
def test_a_damaged_zip_is_named(tmp_path: Path, source: Path, damage: str) -> None:
    archive = tmp_path / "c.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as package:
        for file in source.rglob("*.*"):
            package.write(file, file.relative_to(source))
    content = bytearray(archive.read_bytes())
    content[5000:5050] = bytes(50)
    archive.write_bytes({"flip": bytes(content), "cut": bytes(content[:-40]), "text": b"<html>not found</html>"}[damage])
    with pytest.raises(InputError, match="c.zip is truncated or damaged"):
        read(str(archive), unpacked=tmp_path / "u")


def test_a_second_reading_does_not_unpack_and_a_new_archive_does(tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = tarred(source, tmp_path / "c.tar.gz")
    times: list[Path] = []
    real = archives._unpack_one
    monkeypatch.setattr(archives, "_unpack_one", lambda file, folder: (times.append(file), real(file, folder)))
    found = find(str(archive), unpacked=tmp_path / "u")
    assert not (tmp_path / "u").exists() and not times  # nothing is unpacked before rows are wanted
    assert [row.audio for row in found.rows()] == [row.audio for row in found.rows()] and len(times) == 1
    os.utime(archive, (1, 1))
    assert len(read(str(archive), unpacked=tmp_path / "u")) == 6 and len(times) == 2


def test_a_half_unpacked_archive_is_unpacked_again(tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = tarred(source, tmp_path / "c.tar.gz")
    real = archives._unpack_tar

    def killed(file: Path, folder: Path) -> None:
        real(file, folder)
        next(folder.rglob("3.wav")).unlink()
        raise KeyboardInterrupt

    monkeypatch.setattr(archives, "_unpack_tar", killed)
    with pytest.raises(KeyboardInterrupt):
        read(str(archive), unpacked=tmp_path / "u")
    monkeypatch.setattr(archives, "_unpack_tar", real)
    (tmp_path / "u" / f".{archives.unpacked_folder([archive], tmp_path / 'u').name}.partial-1").mkdir()  # of a run that was shot
    rows = read(str(archive), unpacked=tmp_path / "u")
    assert len(rows) == 6 and all(row.audio.is_file() for row in rows) and len(list((tmp_path / "u").iterdir())) == 1


def test_two_readers_at_once_unpack_once(tmp_path: Path, source: Path) -> None:
    archive = tarred(source, tmp_path / "c.tar.gz")
    counts: list[int] = []
    threads = [threading.Thread(target=lambda: counts.append(len(read(str(archive), unpacked=tmp_path / "u")))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counts == [6] * 4 and len([path for path in (tmp_path / "u").iterdir() if not path.name.startswith(".")]) == 1


def test_what_macos_adds_to_an_archive_is_no_recording(tmp_path: Path, source: Path) -> None:
    for name in ("._all.csv", "__MACOSX/._0.wav", ".DS_Store"):
        (source / name).parent.mkdir(exist_ok=True)
        (source / name).write_bytes(b"\0\5\x16\7")
    for archive in (tarred(source, tmp_path / "c.tar.gz"), tmp_path / "c.zip"):
        if archive.suffix == ".zip":
            with zipfile.ZipFile(archive, "w") as package:
                for file in source.rglob("*"):
                    package.write(file, file.relative_to(source))
        assert len(read(str(archive), unpacked=tmp_path / "u")) == 6
    assert len(read(str(source))) == 6


def test_mistakes_inside_an_archive_name_the_archive(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "notes.md").write_text("nothing here")
    with pytest.raises(InputError, match=r"c.tar.gz: .*found: corpus"):
        read(str(tarred(tmp_path / "x", tmp_path / "c.tar.gz")), unpacked=tmp_path / "u")
