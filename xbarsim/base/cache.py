"""The per-user cache: where it is, hashes of files, files written whole or not at all."""

import contextlib
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from platformdirs import user_cache_dir

from xbarsim.base.errors import FetchError
from xbarsim.base.given_files import check_file


def cache_directory() -> Path:
    """Where fetched files and fitted probes are kept: $XBARSIM_CACHE_DIR, or the platform's cache
    directory.
    """
    return Path(os.environ.get("XBARSIM_CACHE_DIR") or user_cache_dir("xbarsim", appauthor=False))


def sha256_of(path: str | Path) -> str:
    """Hex digest of a file."""
    check_file(Path(path), FetchError)
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def verify(path: Path, sha256: str) -> None:
    """Refuse a file of another content than is known.

    Raises
    ------
    FetchError
    """
    found = sha256_of(path)
    if found != sha256:
        raise FetchError(
            f"{path}: sha256 is {found}, expected {sha256}; the file is damaged or another "
            "version: remove it and fetch again"
        )


def write_atomically(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Call `write(file)` on a temporary binary file beside `path` and rename it: a reader sees all
    or nothing.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with scratch_directory(path.parent) as scratch:
        with (scratch / path.name).open("wb") as file:
            write(file)
        (scratch / path.name).replace(path)


@contextlib.contextmanager
def scratch_directory(parent: Path) -> Iterator[Path]:
    """A directory on the same file system as `parent`, removed in the end.

    Raises
    ------
    FetchError : nothing can be written there
    """
    try:
        parent.mkdir(parents=True, exist_ok=True)
        directory = tempfile.mkdtemp(prefix=".incomplete-", dir=parent)
    except OSError as error:
        raise FetchError(
            f"{parent}: cannot be written ({error.strerror}); set XBARSIM_CACHE_DIR to a "
            "directory that can be"
        ) from error
    try:
        yield Path(directory)
    except OSError as error:
        raise FetchError(
            f"{parent}: {error.strerror or error}; free space there or set XBARSIM_CACHE_DIR"
        ) from error
    finally:
        shutil.rmtree(directory, ignore_errors=True)
