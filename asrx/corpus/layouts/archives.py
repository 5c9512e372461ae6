"""Archives of corpora, unpacked in one pass into a folder that is either whole or not there."""

import errno
import hashlib
import lzma
import os
import shutil
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from ...errors import InputError
from ...files import locked, remove_remains, replace_folder
from .source import hidden

TARS = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
ARCHIVES = (*TARS, ".zip")
END_OF_TAR = 1024  # bytes of zeros
LOOSE = (".tsv", ".csv", ".txt", ".json", ".jsonl")  # what may lie beside a release's parts and belongs to them


def is_archive(path: Path) -> bool:
    """Whether a file is named like an archive."""
    return path.name.lower().endswith(ARCHIVES) and path.is_file()


def unpacked_folder(paths: Iterable[Path], where: Path | None) -> Path:
    """The folder for what is made of `paths`: another one when their place, size or time changes."""
    states = [(str(path.absolute()), (status := path.stat()).st_size if path.is_file() else 0, status.st_mtime_ns if path.is_file() else 0) for path in paths]
    digest = hashlib.sha256(repr(states).encode()).hexdigest()[:16]
    return (where or Path(tempfile.gettempdir()) / f"asrx-{os.getuid()}") / digest


def unpack(archives: list[Path], where: Path | None, loose: Iterable[Path] = ()) -> Path:
    """The folder with the contents of all `archives`, and of copies of `loose` files; unpacked now if it is not there.

    Raises InputError for a damaged or truncated archive, for one that writes outside of its folder; OSError for a full disk.
    """
    loose = list(loose)
    target = unpacked_folder([*archives, *loose], where)
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with locked(target):
        if not target.is_dir():
            remove_remains(target)
            partial = target.with_name(f".{target.name}.partial-{os.getpid()}")
            partial.mkdir()
            try:
                for file in loose:
                    shutil.copy2(file, partial)
                for archive in archives:
                    _unpack_one(archive, partial)
                replace_folder(partial, target)
            finally:
                shutil.rmtree(partial, ignore_errors=True)
    return target


def _unpack_one(archive: Path, folder: Path) -> None:
    unpacker = _unpack_zip if archive.suffix.lower() == ".zip" else _unpack_tar
    _explained(archive, lambda: unpacker(archive, folder))


def _explained(archive: Path, action: Callable[[], None]) -> None:
    try:
        action()
    except tarfile.FilterError as error:
        raise InputError(f"{archive} is not safe to unpack: {error}") from None
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, zlib.error, lzma.LZMAError) as error:
        raise InputError(f"{archive} is truncated or damaged ({error}); fetch it again") from None
    except (RuntimeError, NotImplementedError) as error:  # zipfile says so of passwords and of methods that it does not know
        raise InputError(f"{archive} cannot be unpacked ({error}); unpack it and give the folder") from None
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        if error.errno is None:  # of the decompressors, such as "Invalid data stream"
            raise InputError(f"{archive} is truncated or damaged ({error}); fetch it again") from None
        raise InputError(f"{archive} cannot be unpacked into {error.filename or 'its folder'} ({error.strerror})") from None


def _unpack_tar(archive: Path, folder: Path) -> None:
    check_end(archive)
    with tarfile.open(archive, "r|*") as tar:
        for member in tar:
            tar.members.clear()  # tarfile remembers each
            if not any(hidden(part) for part in member.name.split("/")):
                tar.extract(member, folder, filter="data")


def check_end(archive: Path) -> None:
    """An uncompressed tar ends with zeros, and tarfile does not miss them. ReadError where they are not there."""
    if archive.suffix.lower() == ".tar":
        with archive.open("rb") as file:
            file.seek(max(0, archive.stat().st_size - END_OF_TAR))
            if file.read() != bytes(END_OF_TAR):
                raise tarfile.ReadError("it has no end")


def _unpack_zip(archive: Path, folder: Path) -> None:
    with zipfile.ZipFile(archive) as package:
        for member in package.infolist():
            parts = member.filename.replace("\\", "/").split("/")
            if member.filename.startswith(("/", "\\")) or ".." in parts or ":" in parts[0]:
                raise tarfile.FilterError(f"{member.filename} would be written outside of the folder")
            if not any(hidden(part) for part in parts):
                package.extract(member, folder)


def tar_entries(archive: Path) -> Iterator[tuple[str, int, int]]:
    """(name, byte offset, bytes) of the files in an uncompressed tar. InputError where it is damaged."""
    try:
        with tarfile.open(archive, "r:") as tar:
            for member in tar:
                tar.members.clear()
                if member.isreg() and not hidden(os.path.basename(member.name)):
                    yield member.name, member.offset_data, member.size
            size = archive.stat().st_size
            if tar.offset > size:
                raise tarfile.ReadError("its last member is cut short")
    except (tarfile.TarError, EOFError) as error:
        raise InputError(f"{archive} is truncated or damaged ({error}); fetch it again") from None
    except OSError as error:
        raise InputError(f"{archive} cannot be read ({error.strerror or error})") from None
