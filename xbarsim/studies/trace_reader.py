"""The trace of a run, read from one HDF5 file, or from the directory of parts that a run
under way writes.

`docs/trace.md` is the specification of the layout, `trace_layout` its names and types.  A finished
trace is `NAME.h5`.  While a run is under way, and after it was killed, its trace is the directory
`NAME.parts` of files of the same layout, each of one path; `read_trace` takes either, and the name
`NAME.h5` for both.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import h5py
import numpy as np

from xbarsim.base.arguments import path_of
from xbarsim.base.errors import TraceError
from xbarsim.base.given_files import check_file, exists, printable
from xbarsim.studies.trace import Case, Outputs, Trace
from xbarsim.studies.trace_checks import LABELLED, check_counts, check_examples, check_run
from xbarsim.studies.trace_heaps import check_heaps
from xbarsim.studies.trace_items import (
    as_text,
    attribute,
    group_in,
    members,
    plain_attributes,
    study_text,
    values_in,
)
from xbarsim.studies.trace_layout import (
    FORMAT,
    READABLE,
    ExampleTable,
    PredictionTable,
    RunAttributes,
    Sources,
    part_files,
    parts_of,
    record_from,
    text_sha256,
)
from xbarsim.studies.trace_paths import Head, PartialCase, read_case, read_chip, read_path

Result = TypeVar("Result")
LONGEST_NAME = 500  # characters of a path that a message shows


def read_trace(path: str | Path) -> Trace:
    """Trace of a file, or of the parts of a run that is under way or was killed.

    Of a damaged file everything that can be read is kept; `Trace.damage` says what is lost.

    Parameters
    ----------
    path : NAME.h5 that `run_study` wrote, or NAME.parts while it is under way

    Returns
    -------
    Trace : its data sets, with units, are those of docs/trace.md

    Raises
    ------
    TraceError : missing, not a trace of ours, of another version, or so damaged that nothing can be
        said
    """
    path = path_of("trace", path, TraceError)
    if not exists(path) and exists(parts_of(path)):
        path = parts_of(path)
    if not exists(path):
        raise TraceError(
            f"no trace at {printable(str(path))[:LONGEST_NAME]}; give NAME.h5 of a run, or NAME.parts"
        )
    files = part_files(path) if path.is_dir() else [path]
    if not files:
        raise TraceError(
            f"{path} is a directory without parts of a trace; give one trace, "
            "NAME.h5 or NAME.parts, or the directory of a sweep or a budget"
        )
    reading = _Reading(path)
    for part in files:
        try:
            reading.read(part)
        except FileNotFoundError:
            if path.is_dir() or not path.with_suffix(".h5").is_file():
                raise TraceError(f"{path} changed while it was read; read it again") from None
            return read_trace(
                path.with_suffix(".h5")
            )  # the run has just ended and joined its parts
    return reading.trace()


class _Readable:
    """A binary file for h5py that takes a file as longer than it is: of a file that was cut, what
    is there is read, and reading beyond its end is an error of that data set alone."""

    def __init__(self, path: Path) -> None:
        self.file = path.open("rb")
        self.size = path.stat().st_size
        self.position = 0

    def seek(self, offset: int, whence: int = 0) -> int:
        self.position = offset + {0: 0, 1: self.position, 2: 2**62}[whence]
        return self.position

    def tell(self) -> int:
        return self.position

    def readinto(self, buffer: bytearray) -> int:
        if self.position + len(buffer) > self.size:
            raise OSError("beyond the end of the file")
        self.file.seek(self.position)
        self.position += len(buffer)
        return self.file.readinto(buffer)

    def read(self, count: int) -> bytes:
        data = bytearray(count)
        self.readinto(data)
        return bytes(data)

    def flush(self) -> None:
        pass

    def close(self) -> None:
        self.file.close()


class _Reading:
    """Collects a Trace from one file or several parts of one layout."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.head: Head | None = None
        self.reference: dict[str, Outputs] = {}
        self.cases: dict[str, PartialCase] = {}
        self.damage: list[str] = []

    def read(self, path: Path) -> None:
        """Add one file.  Raises FileNotFoundError, and TraceError where it holds nothing of a
        trace."""
        check_file(path, TraceError)
        try:
            check_heaps(path)
            with h5py.File(path, "r") as file:
                self._collect(file)
        except FileNotFoundError:
            raise
        except BlockingIOError:
            raise TraceError(
                f"{path} is being written by a run of an older xbarsim; read it when the run has "
                "ended, or a copy of it now"
            ) from None
        except TraceError:
            raise
        except Exception as error:  # see `_try`; what is read of it is read again
            self._read_cut(path, error)

    def _read_cut(self, path: Path, first_error: Exception) -> None:
        self.damage.append(f"{path.name} is damaged ({_one_line(first_error)})")
        cut = _Readable(path)
        try:
            with h5py.File(cut, "r") as file:
                self._collect(file)
        except TraceError:
            raise
        except Exception:  # nothing of it can be read
            pass
        finally:
            cut.close()

    def _collect(self, file: h5py.File) -> None:
        if self.head is None:
            self.head = _head(self.path, file)
        for name, group in self._members_of("reference", file).items():
            found = self._try(f"reference {name}", read_path, group, self.head)
            if found is not None:
                self.reference[name] = found
        for name, group in self._members_of("cases", file).items():
            self._collect_case(name, group, self.head)

    def _collect_case(self, name: str, group: h5py.Group, head: Head) -> None:
        stated = self._try(f"case {name!r}", read_case, group)
        if stated is None:
            return
        case = self.cases.setdefault(name, stated)
        for number, of_chip in self._members(f"case {name!r}", group).items():
            what = f"chip {number} of case {name!r}"
            place = self._try(what, int, number)
            found = self._try(what, read_chip, of_chip, head)
            if found is not None and place is not None:
                case.chips[place] = found

    def _members_of(self, name: str, file: h5py.File) -> dict[str, Any]:
        """{name: group} of a group of the file, {} where there is none."""
        if name not in file:
            return {}
        group = self._try("the file", group_in, file, name)
        if group is None:
            return {}
        return self._members(name, group)

    def _members(self, what: str, group: h5py.Group) -> dict[str, Any]:
        """{name: group} of what can be opened in a group; the rest is damage."""
        names: list[str] = self._try(what, list, group) or []
        found = {name: self._try(f"{what}: {name}", group_in, group, name) for name in names}
        return {name: member for name, member in found.items() if member is not None}

    def _try(self, what: str, read: Callable[..., Result], *arguments: Any) -> Result | None:
        """`read(*arguments)`, or None and a line of damage."""
        try:
            return read(*arguments)
        except Exception as error:  # h5py raises many kinds for a damaged file
            self.damage.append(f"{what} cannot be read ({_one_line(error)})")
            return None

    def trace(self) -> Trace:
        """What was read.

        Raises
        ------
        TraceError : not even the head
        """
        if self.head is None:
            raise TraceError(
                f"{self.path} cannot be read as a trace: {'; '.join(self.damage)}; it is truncated "
                "or not HDF5: run the study again"
            )
        in_order = sorted(self.cases.items(), key=lambda item: item[1].number)
        cases = {}
        for name, case in in_order:
            chips = tuple(case.chips[number] for number in sorted(case.chips))
            cases[name] = Case(case.study, chips)
        return Trace(
            self.path,
            self.head.run,
            self.head.examples,
            self.reference,
            cases,
            sources=self.head.sources,
            damage=tuple(self.damage),
            predictions=self.head.predictions,
        )


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 160 else text[:157] + "..."


# ---------------------------------------------------------------- the head


def _head(path: Path, file: h5py.File) -> Head:
    attributes = plain_attributes(file)
    if attributes.get("format") != FORMAT:
        raise TraceError(f"{path} is an HDF5 file, but not a trace of xbarsim")
    version = attributes.get("version")
    if version not in READABLE:
        raise TraceError(
            f"{path} is a trace of version {version}; this xbarsim "
            f"reads versions {READABLE[0]} to {READABLE[-1]}: install the xbarsim that wrote "
            f"it ({attributes.get('software_version')})"
        )
    try:
        run = record_from(RunAttributes, attributes)
    except ValueError as error:
        raise TraceError(f"{path} {error}; it is damaged: run the study again") from None
    try:
        check_run(run)
    except ValueError as error:
        raise TraceError(f"{path}: {error}; it is damaged: run the study again") from None
    group = group_in(file, "examples")
    if version == 2:
        examples = ExampleTable(values_in(group, "label"), values_in(group, "tokens"), None, None)
        sources = Sources()
    else:
        examples = ExampleTable(
            label=values_in(group, "label"),
            tokens=values_in(group, "tokens"),
            index=values_in(group, "index"),
            truncated=values_in(group, "truncated"),
            size=values_in(group, "size") if "size" in group else None,
        )
        sources = _sources(group_in(file, "sources"))
    study_text(attributes)
    check_examples(run, examples)
    predictions = None
    if run.task_kind not in LABELLED:
        if examples.size is None:
            raise ValueError("the examples of a language task have no size")
        predictions = _predictions(group_in(file, "predictions"), len(examples))
    return Head(run, examples, sources, predictions)


def _predictions(group: h5py.Group, examples: int) -> PredictionTable:
    columns = [values_in(group, name) for name in ("example", "position", "token")]
    for values in columns:
        check_counts("the columns of /predictions", values)
    found = PredictionTable(*columns)
    steps = np.diff(found.example, prepend=0)
    inside = len(found) and (steps >= 0).all() and found.example[-1] < examples
    if not inside or not found.example.shape == found.position.shape == found.token.shape:
        raise ValueError("the columns of /predictions do not fit the examples")
    return found


def _sources(group: h5py.Group) -> Sources:
    model = group_in(group, "model")
    hashes = {name: as_text(attribute(model, name)) for name in model.attrs}
    return Sources(_texts(group_in(group, "devices")), _texts(group_in(group, "chips")), hashes)


def _texts(group: h5py.Group) -> dict[str, str]:
    texts = {}
    for entry in members(group):
        text = as_text(attribute(entry, "text"))
        if text_sha256(text) != as_text(attribute(entry, "sha256")):
            raise ValueError(f"the text of {entry.name} does not have its sha256")
        texts[as_text(attribute(entry, "name"))] = text
    return texts
