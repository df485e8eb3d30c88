"""Members of zip and tar archives, one archive inside another too."""

import contextlib
import shutil
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from xbarsim.base.cache import verify
from xbarsim.base.errors import FetchError
from xbarsim.base.sources import Source


@contextlib.contextmanager
def member_of(archive: Path | IO[bytes], member: str) -> Iterator[IO[bytes]]:
    """Binary stream of a member of a zip or tar archive; "a!b": member b of the archive a in it.

    Raises
    ------
    FetchError : no such member, or not readable
    """
    outer, _, inner = member.partition("!")
    try:
        with contextlib.ExitStack() as stack:
            stream = stack.enter_context(_opened(archive, outer))
            if inner:
                stream = stack.enter_context(member_of(stream, inner))
            yield stream
    except (zipfile.BadZipFile, tarfile.TarError, KeyError, EOFError) as error:
        raise FetchError(
            f"{archive}: no readable member {outer} ({error}); remove the file and fetch again"
        ) from error


@contextlib.contextmanager
def _opened(archive: Path | IO[bytes], name: str) -> Iterator[IO[bytes]]:
    """Binary stream of a member of an archive that is no archive in another one."""
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as file, file.open(name) as stream:
            yield stream
        return
    with _opened_tar(archive) as tar:
        found = tar.extractfile(name)
        if found is None:
            raise KeyError(f"{name} is no file")
        with found:
            yield found


def _opened_tar(archive: Path | IO[bytes]) -> tarfile.TarFile:
    if isinstance(archive, Path):
        return tarfile.open(archive)
    archive.seek(0)  # is_zipfile has looked at the end
    return tarfile.open(fileobj=archive)


def unpack_files(archive: Path, source: Source, directory: Path) -> None:
    """Write the files of a source from its archive, each verified."""
    for file, wanted in source.files.items():
        target = directory / file
        target.parent.mkdir(parents=True, exist_ok=True)
        with member_of(archive, wanted.member) as stream, target.open("wb") as out:
            shutil.copyfileobj(stream, out, 1 << 20)
        verify(target, wanted.sha256)


def copy_files(origin: Path, source: Source, directory: Path) -> None:
    """Copy the files of a source from a directory, each verified."""
    for file, wanted in source.files.items():
        (directory / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(origin / file, directory / file)
        verify(directory / file, wanted.sha256)
