"""Output files: written beside their place and renamed, so that a reader sees all of one or the old
one."""

import contextlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

from xbarsim.base.errors import ConfigError, OutputError
from xbarsim.base.given_files import exists


@contextlib.contextmanager
def replacing(path: str | Path, mode: str = "w", **options: Any) -> Iterator[IO[Any]]:
    """Open a file beside `path`, and rename it to `path` when the block ends without an error.

    A device or a pipe, such as /dev/stdout, is written as it is; of a link the file it leads to is
    replaced.

    Parameters
    ----------
    path : file to write; its directory is made
    mode : "w" (UTF-8) or "wb"
    options : of `open`, such as newline

    Raises
    ------
    OutputError : the file cannot be written; `path` is what it was before
    """
    path = Path(path)
    if "b" not in mode:
        options = {"encoding": "utf-8"} | options
    target = Path(os.path.realpath(path))
    beside = target.with_name(f".incomplete-{os.getpid()}-{target.name[-150:]}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.exists() and not target.is_file():
            with target.open(mode, **options) as file:
                yield file
            return
        with beside.open(mode, **options) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        beside.replace(target)
    except OSError as error:
        raise OutputError(
            f"{path} cannot be written ({error.strerror or error}); free space there or name "
            "another place"
        ) from None
    finally:
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)


def refuse_overwriting(
    written: Iterable[tuple[str, str | Path | None]], read: Iterable[str | Path | None]
) -> None:
    """Refuse outputs of a command that are one of its inputs, or one file twice.

    Parameters
    ----------
    written : [(what the command line calls the output, path or None)]
    read : paths or names; those that are no files are passed over

    Raises
    ------
    ConfigError
    """
    inputs = {Path(name).resolve() for name in read if name is not None and exists(name)}
    seen: dict[Path, str] = {}
    for option, path in written:
        if path is None:
            continue
        place = Path(path).resolve()
        if any(_is_same(place, given) for given in inputs):
            raise ConfigError(
                f"{option} {path} is an input of this command and would be lost; choose another name"
            )
        if place in seen:
            raise ConfigError(f"{option} {path} is the file of {seen[place]}; choose another name")
        seen[place] = option


def _is_same(one: Path, other: Path) -> bool:
    """Whether two paths lead to one file, hard links included."""
    return one.exists() and one.samefile(other)


def check_empty(directory: Path, *, resume: bool) -> None:
    """Refuse a directory with something in it, unless it is gone on with, and what is none.

    Raises
    ------
    ConfigError
    """
    if not directory.exists():
        return
    if not directory.is_dir():
        raise ConfigError(f"{directory} is a file; give --out a directory")
    if not resume and any(directory.iterdir()):
        raise ConfigError(
            f"{directory} is not empty; give another --out, or --resume to go on with it"
        )
