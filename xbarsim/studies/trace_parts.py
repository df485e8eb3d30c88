"""The parts of a trace joined into its one file."""

import contextlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py

from xbarsim.base.errors import OutputError
from xbarsim.studies.trace_layout import part_files

LIBRARY = ("v110", "v110")  # HDF5 1.10 and later read it; one chunk lies under one checksum


class _Steady:
    """A binary file for h5py that keeps the first error of the disk instead of raising it: HDF5
    does not survive one.  After it nothing is written any more."""

    def __init__(self, path: Path) -> None:
        self.error: OSError | None = None
        self.file = path.open("w+b", buffering=0)

    def _attempt(self, action: Callable[..., Any], *arguments: Any) -> Any:
        """The result of an action of the file; 0 after an error."""
        if self.error is None:
            try:
                return action(*arguments)
            except OSError as error:
                self.error = error
        return 0

    def seek(self, offset: int, whence: int = 0) -> Any:
        return self._attempt(self.file.seek, offset, whence)

    def tell(self) -> Any:
        return self._attempt(self.file.tell)

    def write(self, data: Any) -> int:
        rest = memoryview(data)
        while len(rest) and self.error is None:
            rest = rest[self._attempt(self.file.write, rest) :]
        return len(data)

    def truncate(self, size: int) -> Any:
        return self._attempt(self.file.truncate, size)

    def readinto(self, buffer: Any) -> Any:
        return self._attempt(self.file.readinto, buffer)

    def read(self, count: int = -1) -> Any:
        return self._attempt(self.file.read, count)

    def flush(self) -> None:
        pass

    def finish(self) -> None:
        """Everything onto the disk; raises the error that was kept."""
        self._attempt(os.fsync, self.file.fileno())
        self.file.close()
        if self.error is not None:
            raise self.error


def join_parts(parts: Path, path: Path) -> None:
    """Copy all parts into the trace `path`, and remove them when it is there.

    Raises
    ------
    OutputError : it cannot be written; the parts stay as they are
    """
    joined = parts / "joined"
    try:
        target = _Steady(joined)
        with h5py.File(target, "w", libver=LIBRARY) as file:
            for action in (_frame, _copy):
                for part in part_files(parts):
                    with h5py.File(part, "r") as source:
                        action(source, file)
                    file.flush()  # a part lies before the next: of a cut file the first remain
        target.finish()
        joined.replace(path)
    except (OSError, RuntimeError, KeyError) as error:
        with contextlib.suppress(OSError):
            joined.unlink(missing_ok=True)
        reason = getattr(error, "strerror", None) or error
        raise OutputError(
            f"the parts of the trace cannot be joined to {path} ({reason}); {parts} is read like "
            "a trace"
        ) from None
    shutil.rmtree(parts, ignore_errors=True)


def _frame(source: h5py.Group, target: h5py.Group, levels: int = 3) -> None:
    """The groups of a part down to its path, empty: their links lie before all data."""
    for name in source:
        if levels and isinstance(source[name], h5py.Group):
            _frame(source[name], target.require_group(name), levels - 1)


def _copy(source: h5py.Group, target: h5py.Group) -> None:
    """A group's attributes and members into another, which may have some of the groups already."""
    for name, value in source.attrs.items():
        target.attrs[name] = value
    for name in source:
        if name in target:
            _copy(source[name], target[name])
        else:
            source.copy(name, target)
