"""The trace of a run, read from one HDF5 file, or from the directory of parts that a run
under way writes.

`docs/trace.md` is the specification of the layout, `trace_layout` its names and types.  A finished
trace is `NAME.h5`.  While a run is under way, and after it was killed, its trace is the directory
`NAME.parts` of files of the same layout, each of one path; `read_trace` takes either, and the name
`NAME.h5` for both.
"""

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import h5py
import numpy as np

from xbarsim.base.errors import TraceError
from xbarsim.studies.trace import (
    Case,
    Chip,
    Outputs,
    Trace,
)
from xbarsim.studies.trace_heaps import check_heaps
from xbarsim.studies.trace_items import attribute, members, plain_attributes, text_of
from xbarsim.studies.trace_layout import (
    FORMAT,
    READABLE,
    ExampleTable,
    PredictionTable,
    RunAttributes,
    Section,
    Sources,
    part_files,
    parts_of,
    record_from,
    text_sha256,
)
from xbarsim.studies.traced_steps import entries_of, traced_function, traced_matrix, traced_product

Result = TypeVar("Result")


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
    path = Path(path)
    if not path.exists() and parts_of(path).is_dir():
        path = parts_of(path)
    if not path.exists():
        raise TraceError(f"no trace at {path}")
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


@dataclass
class _PartialCase:
    """A case of which parts are read one after the other.

    number : its place in the study;  chips : by their numbers
    """

    number: int
    study: str
    chips: dict[int, Chip] = field(default_factory=dict)


class _Size(NamedTuple):
    """Examples of a trace, and predictions, None of an encoder."""

    examples: int
    predictions: int | None


@dataclass(frozen=True)
class _Head:
    """What the first part says of the run."""

    run: RunAttributes
    examples: ExampleTable
    sources: Sources
    predictions: PredictionTable | None

    @property
    def size(self) -> _Size:
        predictions = None if self.predictions is None else len(self.predictions)
        return _Size(len(self.examples), predictions)


class _Reading:
    """Collects a Trace from one file or several parts of one layout."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.head: _Head | None = None
        self.reference: dict[str, Outputs] = {}
        self.cases: dict[str, _PartialCase] = {}
        self.damage: list[str] = []

    def read(self, path: Path) -> None:
        """Add one file.  Raises FileNotFoundError, and TraceError where it holds nothing of a
        trace."""
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
        except Exception as error:  # see `_try`
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
        examples = self.head.size
        groups = self._members("the file", file)
        for name, group in self._members("reference", groups.get("reference", {})).items():
            found = self._try(f"reference {name}", _outputs, group, examples)
            if found is not None:
                self.reference[name] = found
        for name, group in self._members("cases", groups.get("cases", {})).items():
            self._collect_case(name, group, examples)

    def _collect_case(self, name: str, group: h5py.Group, examples: _Size) -> None:
        stated = self._try(f"case {name!r}", _case, group)
        if stated is None:
            return
        case = self.cases.setdefault(name, stated)
        for number, of_chip in self._members(f"case {name!r}", group).items():
            found = self._try(f"chip {number} of case {name!r}", _chip, of_chip, examples)
            if found is not None:
                case.chips[int(number)] = found

    def _members(self, what: str, group: Mapping[str, Any]) -> dict[str, Any]:
        """{name: group} of what can be opened in a group; the rest is damage."""
        names: list[str] = self._try(what, list, group) or []
        found = {name: self._try(f"{what}: {name}", group.__getitem__, name) for name in names}
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


def _head(path: Path, file: h5py.File) -> _Head:
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
    group = file["examples"]
    if version == 2:
        examples = ExampleTable(group["label"][:], group["tokens"][:], None, None)
        sources = Sources()
    else:
        examples = ExampleTable(
            label=group["label"][:],
            tokens=group["tokens"][:],
            index=group["index"][:],
            truncated=group["truncated"][:],
            size=group["size"][:] if "size" in group else None,
        )
        sources = _sources(file["sources"])
    _study(attributes)
    _check_examples(run, examples)
    predictions = None
    if "predictions" in file:
        predictions = _predictions(file["predictions"], len(examples))
    return _Head(run, examples, sources, predictions)


def _predictions(group: h5py.Group, examples: int) -> PredictionTable:
    found = PredictionTable(*(group[name][:] for name in ("example", "position", "token")))
    steps = np.diff(found.example, prepend=0)
    inside = len(found) and (steps >= 0).all() and found.example[-1] < examples
    if not inside or not found.example.shape == found.position.shape == found.token.shape:
        raise ValueError("the columns of /predictions do not fit the examples")
    return found


def _sources(group: h5py.Group) -> Sources:
    model = group["model"]
    hashes = {name: text_of(attribute(model, name)) for name in model.attrs}
    return Sources(_texts(group["devices"]), _texts(group["chips"]), hashes)


def _texts(group: h5py.Group) -> dict[str, str]:
    texts = {}
    for entry in members(group):
        text = text_of(attribute(entry, "text"))
        if text_sha256(text) != text_of(attribute(entry, "sha256")):
            raise ValueError(f"the text of {entry.name} does not have its sha256")
        texts[text_of(attribute(entry, "name"))] = text
    return texts


def _check_examples(run: RunAttributes, examples: ExampleTable) -> None:
    label = examples.label
    stated = [values for values in vars(examples).values() if values is not None]
    if label.ndim != 1 or any(values.shape != label.shape for values in stated):
        raise ValueError("the columns of /examples differ in length")
    if run.task_kind in ("labels", "images") and not ((0 <= label) & (label < run.classes)).all():
        raise ValueError(f"labels outside 0 to {run.classes - 1}")
    if not np.isfinite(label).all() or (examples.tokens < 1).any():
        raise ValueError("labels or token counts without sense")


def _study(attributes: Mapping[str, Any]) -> str:
    """The TOML text of a study or case, which is whole."""
    text = text_of(attributes["study"])
    stated = attributes.get("study_sha256")  # None in version 2
    if stated is not None and text_sha256(text) != text_of(stated):
        raise ValueError("the text of the study does not have its sha256")
    tomllib.loads(text)
    return text


# ---------------------------------------------------------------- paths


def _outputs(group: h5py.Group, size: _Size) -> Outputs:
    output = group["output"][:]
    done = group["done"][:].astype(bool)
    if done.shape != (size.examples,) or output.shape[:1] != done.shape or output.ndim != 2:
        raise ValueError(f"{output.shape} outputs for {size.examples} examples")
    if size.predictions is None:
        return Outputs(output, done)
    log_probability = group["log_probability"][:]
    likeliest = group["likeliest"][:].astype(bool)
    if not log_probability.shape == likeliest.shape == (size.predictions,):
        raise ValueError(f"{log_probability.shape} probabilities of {size.predictions} tokens")
    return Outputs(output, done, log_probability=log_probability, likeliest=likeliest)


def _case(group: h5py.Group) -> _PartialCase:
    attributes = plain_attributes(group)
    return _PartialCase(int(attributes["number"]), _study(attributes))


def _chip(group: h5py.Group, size: _Size) -> Chip:
    outputs = _outputs(group, size)
    done = outputs.done
    return Chip(
        outputs.output,
        done,
        seed=int(attribute(group, "seed")),
        layers=entries_of(group, Section.LAYERS, done, traced_matrix),
        products=entries_of(group, Section.PRODUCTS, done, traced_product),
        operations=entries_of(group, Section.OPERATIONS, done, traced_function),
        log_probability=outputs.log_probability,
        likeliest=outputs.likeliest,
    )
