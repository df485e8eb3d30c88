"""Runs that were stopped: what they left, and whether a run may go on with it.

A run writes its parts into a directory `NAME.parts`, and beside them `run.json`: what determines its numbers.  A run
with the same origin takes over every part whose bytes are as they were written.
"""

import contextlib
import hashlib
import itertools
import json
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xbarsim.base.errors import ConfigError, OutputError, TraceError
from xbarsim.base.files import replacing
from xbarsim.base.given_files import read_json
from xbarsim.base.locks import is_locked
from xbarsim.studies.origin import Origin
from xbarsim.studies.trace_layout import RunAttributes, Sources, part_files, parts_of
from xbarsim.studies.trace_reader import read_trace

JOURNAL = "run.json"
FORMAT = "xbarsim-run"
VERSION = 1


@dataclass(frozen=True)
class Journal:
    """What a run says of itself beside its parts.  created : time of its start"""

    name: str
    created: str
    origin: Origin


def write_journal(parts: Path, journal: Journal) -> None:
    """Write it into a directory of parts.

    Raises
    ------
    OutputError : it cannot be written
    """
    content = {
        "name": journal.name,
        "created": journal.created,
        "study": journal.origin.study,
        "facts": journal.origin.facts,
    }
    head = {"format": FORMAT, "version": VERSION, "sha256": _digest(content)}
    with replacing(parts / JOURNAL) as file:
        json.dump(head | content, file, indent=1)
        file.write("\n")


def _digest(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def read_journal(parts: Path) -> Journal | None:
    """The journal of a directory of parts; None where there is none, or a damaged one."""
    try:
        content: Any = read_json(parts / JOURNAL, TraceError)
        known = content.pop("format") == FORMAT and content.pop("version") == VERSION
        if not known or content.pop("sha256") != _digest(content):
            return None
        origin = Origin(content["study"], content["facts"])
        return Journal(content["name"], content["created"], origin)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, TraceError):
        return None


def created_of(parts: Path) -> str | None:
    """When the run of a directory of parts was started."""
    journal = read_journal(parts)
    return None if journal is None else journal.created


# ---------------------------------------------------------------- places


def stem_of(name: str) -> str:
    """What files of a study are called."""
    return re.sub(r"[^\w.-]+", "-", name).strip(".") or "study"


def claim(directory: Path, name: str) -> Path:
    """The first free NAME.h5, NAME-2.h5, ... of a directory; the directory of its parts is made,
    which claims it.

    Raises
    ------
    TraceError : nothing can be written there
    """
    stem = stem_of(name)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for number in itertools.count(1):
            path = directory / (f"{stem}.h5" if number == 1 else f"{stem}-{number}.h5")
            with contextlib.suppress(FileExistsError):
                parts_of(path).mkdir()
                if not path.exists():
                    return path
                parts_of(path).rmdir()
        raise AssertionError("numbers end")
    except OSError as error:
        raise TraceError(
            f"cannot create a trace in {directory} ({error.strerror}); choose another --out "
            "directory"
        ) from None


def _numbered(directory: Path, name: str, suffix: str) -> list[Path]:
    """NAME.suffix, NAME-2.suffix, ... that are in a directory, by their numbers."""
    stem = re.escape(stem_of(name))
    pattern = re.compile(rf"{stem}(?:-(\d+))?\.{suffix}")
    found = []
    if directory.is_dir():
        for path in directory.iterdir():
            match = pattern.fullmatch(path.name)
            if match is not None:
                found.append((int(match[1] or 1), path))
    return [path for _, path in sorted(found)]


def find_unfinished(
    directory: Path, name: str, origin: Origin, say: Callable[[str], object]
) -> Path | None:
    """The parts of the latest unfinished run of the same origin; None where no run of the study's name is
    unfinished.  say : function (text) that hears of those that cannot be gone on with

    Raises
    ------
    ConfigError : all such runs began otherwise, or another process works on this one
    """
    same = []
    others = []
    for parts in _numbered(directory, name, "parts"):
        journal = read_journal(parts)
        if journal is None:
            if part_files(parts) and not is_locked(parts):
                say(f"{parts} cannot be gone on with: its {JOURNAL} is missing or damaged")
            continue
        if journal.name != name:
            continue
        if journal.origin == origin:
            same.append(parts)
        else:
            others.append((parts, journal.origin))
    free = [parts for parts in same if not is_locked(parts)]
    if free:
        return free[-1]
    if same:
        raise ConfigError(
            f"another process works in {same[-1]}; wait until it has ended, or start a second run "
            "without --resume"
        )
    if others:
        parts, before = others[-1]
        differences = "; ".join(before.differences(origin))
        raise ConfigError(
            f"the unfinished run {parts} began otherwise: {differences}; put that back to go on, or "
            "start anew without --resume"
        )
    return None


def find_finished(directory: Path, name: str, run: RunAttributes, sources: Sources) -> Path | None:
    """The latest complete trace of the same study, files and version; None without one."""
    for path in reversed(_numbered(directory, name, "h5")):
        try:
            trace = read_trace(path)
        except TraceError:
            continue
        stated = trace.run
        is_same = (
            stated.complete
            and not trace.damage
            and stated.study == run.study
            and stated.task_sha256 == run.task_sha256
            and stated.software_version == run.software_version
            and trace.sources == sources
        )
        if is_same:
            return path
    return None


def discard(directory: Path, name: str) -> None:
    """Remove what an unfinished run left under exactly this name.

    Raises
    ------
    OutputError : it cannot be removed
    """
    parts = parts_of(directory / f"{stem_of(name)}.h5")
    try:
        if parts.exists():
            shutil.rmtree(parts)
    except OSError as error:
        raise OutputError(f"{parts} cannot be removed ({error.strerror})") from None
