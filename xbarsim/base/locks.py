"""A directory that one process works in."""

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from xbarsim.base.errors import ConfigError, OutputError

NAME = "lock"

if sys.platform == "win32":  # pragma: no cover - not a system that the tests run on
    import msvcrt

    def _take(file: IO[bytes]) -> None:
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def _take(file: IO[bytes]) -> None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


@contextlib.contextmanager
def locked(directory: Path) -> Iterator[int]:
    """Hold a directory for this process; the lock goes with the process, however it ends.

    Yields the descriptor of the lock: a process that inherits it holds the directory too.

    Raises
    ------
    ConfigError : another process holds it
    OutputError : it cannot be written
    """
    try:
        file = (directory / NAME).open("ab")
    except OSError as error:
        raise OutputError(
            f"{directory} cannot be written ({error.strerror}); name another directory"
        ) from None
    with file:
        try:
            _take(file)
        except OSError:
            raise ConfigError(
                f"another process works in {directory}; wait until it has ended, or name another "
                "directory"
            ) from None
        yield file.fileno()


def is_locked(directory: Path) -> bool:
    """Whether a process holds a directory now."""
    try:
        with (directory / NAME).open("rb+") as file:
            _take(file)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False
