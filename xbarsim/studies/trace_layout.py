"""Names, units and types of everything in a trace, stated once: the writer writes these records and
the reader returns them.

`docs/trace.md` is the specification for readers of the file.
"""

import dataclasses
import enum
import hashlib
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from xbarsim.base.array_types import Floats, Integers
from xbarsim.models.graph import Kind, Role
from xbarsim.studies.error_statistics import ErrorStatistics

FORMAT = "xbarsim-trace"
VERSION = 5
READABLE = (2, 3, 4, 5)

# data sets of a matrix that are not one value of every example, and their units
CODE_COUNTS = "code_counts"
CODES_BEYOND = "codes_beyond"
WORST_TILE = "worst_tile_map"
UNITS_OF_TILES = {
    "attenuation_mean": "1",
    "attenuation_std": "1",
    WORST_TILE: "1",
    "read_noise_error": "1",
    "conductance_edges": "S",
    "conductance_counts": "1",
}

Record = TypeVar("Record")


class Section(StrEnum):
    """Groups of a chip, by what their entries are."""

    LAYERS = "layers"  # matrices
    PRODUCTS = "products"  # of two activations
    OPERATIONS = "operations"  # functions


# ---------------------------------------------------------------- rows: a value of every example


def _quantity(unit: str) -> Any:
    """A data set of float64."""
    return field(metadata={"unit": unit, "type": np.float64})


def _count() -> Any:
    """A data set of whole numbers."""
    return field(metadata={"unit": "1", "type": np.int64})


@dataclass(frozen=True, kw_only=True)
class FunctionRows:
    """What every example (n,) says of a function on hardware.

    local, accumulated : errors for the same input, and against the float32 path
    saturations : codes held at the end of their range
    """

    local: ErrorStatistics
    accumulated: ErrorStatistics
    saturations: Integers = _count()


@dataclass(frozen=True, kw_only=True)
class MatrixRows:
    """What every example (n,) says of a matrix: errors as of `FunctionRows`, counted events, and
    the joule that word-line drivers deliver.
    """

    local: ErrorStatistics
    accumulated: ErrorStatistics
    dac_saturations: Integers = _count()
    adc_saturations: Integers = _count()
    tile_reads: Integers = _count()
    adc_conversions: Integers = _count()
    dac_drives: Integers = _count()
    shift_adds: Integers = _count()
    comparisons: Integers = _count()
    multiplications: Integers = _count()
    array_energy: Floats = _quantity("J")


@dataclass(frozen=True, kw_only=True)
class ProductRows(MatrixRows):
    """The same of a product of two activations, and cells and joule of writing its second operand."""

    cells_set: Integers = _count()
    write_energy: Floats = _quantity("J")


Rows = MatrixRows | ProductRows | FunctionRows


@dataclass(frozen=True)
class CodeHistogram:
    """Conversions of a matrix by their codes.

    counts : (bins,), of bins of `codes_per_bin` codes from `lowest_code` on
    beyond : (2,), held at the lowest and at the highest code
    """

    counts: Integers
    beyond: Integers


@dataclass(frozen=True)
class Entries:
    """What a batch says of every step on hardware, by the names of the steps.

    codes : of the matrices whose codes are counted, of all examples of the batch together
    """

    layers: dict[str, MatrixRows] = field(default_factory=dict)
    products: dict[str, ProductRows] = field(default_factory=dict)
    operations: dict[str, FunctionRows] = field(default_factory=dict)
    codes: dict[str, CodeHistogram] = field(default_factory=dict)

    def sums(self) -> dict[str, Integers]:
        """{section/step/data set: counts} to add to those of other batches."""
        found = {}
        for step, histogram in self.codes.items():
            found[f"{Section.LAYERS}/{step}/{CODE_COUNTS}"] = histogram.counts
            found[f"{Section.LAYERS}/{step}/{CODES_BEYOND}"] = histogram.beyond
        return found

    def arrays(self) -> dict[str, NDArray[Any]]:
        """{section/step/data set: (n,)}."""
        sections: dict[Section, Mapping[str, Rows]] = {
            Section.LAYERS: self.layers,
            Section.PRODUCTS: self.products,
            Section.OPERATIONS: self.operations,
        }
        return {
            f"{section}/{step}/{name}": values
            for section, steps in sections.items()
            for step, rows in steps.items()
            for name, values in arrays_of(rows).items()
        }


@dataclass(frozen=True)
class Column:
    """A data set with one value of every example.

    may_be_infinite : an error over a signal of 0, a signal without any error
    """

    name: str
    unit: str
    type: type[np.int64] | type[np.float64]
    may_be_infinite: bool

    def empty(self, examples: int) -> NDArray[Any]:
        """Before anything is done: zeros of counts, NaN of quantities."""
        if self.type is np.int64:
            return np.zeros(examples, np.int64)
        return np.full(examples, np.nan)

    def is_valid(self, values: NDArray[Any]) -> bool:
        """Whether all values are numbers that the data set may hold."""
        if self.may_be_infinite:
            return not np.isnan(values).any()
        return bool(np.isfinite(values).all())


def columns_of(rows: type[Any]) -> dict[str, Column]:
    """{name: Column} of a kind of rows; the statistics of errors are called local_... and
    accumulated_...
    """
    return _COLUMNS[rows]


def _columns(rows: type[Any]) -> dict[str, Column]:
    columns = {}
    for part in dataclasses.fields(rows):
        if part.type is ErrorStatistics:
            for statistic in dataclasses.fields(ErrorStatistics):
                name = f"{part.name}_{statistic.name}"
                columns[name] = _column(name, statistic.metadata)
        else:
            columns[part.name] = _column(part.name, part.metadata)
    return columns


def _column(name: str, metadata: Mapping[str, Any]) -> Column:
    return Column(
        name,
        metadata["unit"],
        metadata.get("type", np.float64),
        metadata.get("may_be_infinite", False),
    )


_COLUMNS = {kind: _columns(kind) for kind in (MatrixRows, ProductRows, FunctionRows)}


def arrays_of(rows: Rows) -> dict[str, NDArray[Any]]:
    """{data set: values} of rows."""
    arrays: dict[str, NDArray[Any]] = {}
    for part in dataclasses.fields(rows):
        values = getattr(rows, part.name)
        if isinstance(values, ErrorStatistics):
            for statistic, of_statistic in vars(values).items():
                arrays[f"{part.name}_{statistic}"] = of_statistic
        else:
            arrays[part.name] = values
    return arrays


def joined_rows(parts: Sequence[MatrixRows]) -> MatrixRows:
    """Rows of several examples, one after the other."""
    arrays = [arrays_of(part) for part in parts]
    names = columns_of(MatrixRows)
    return rows_from(
        MatrixRows, {name: np.concatenate([part[name] for part in arrays]) for name in names}
    )


def rows_from(kind: type[Record], arrays: Mapping[str, NDArray[Any]]) -> Record:
    """Rows of a kind from {data set: values}.

    Raises
    ------
    KeyError : a data set is missing
    """
    found: dict[str, Any] = {}
    for part in dataclasses.fields(kind):  # type: ignore[arg-type]  # of a dataclass, as all rows
        if part.type is ErrorStatistics:
            statistics = [statistic.name for statistic in dataclasses.fields(ErrorStatistics)]
            found[part.name] = ErrorStatistics(
                **{name: arrays[f"{part.name}_{name}"] for name in statistics}
            )
        else:
            found[part.name] = arrays[part.name]
    return kind(**found)


# ---------------------------------------------------------------- attributes


@dataclass(frozen=True, kw_only=True)
class RunAttributes:
    """What the head of a trace says of its run; docs/trace.md explains each.

    heads : of the model's attention, None where an older trace does not say it
    notes, idle_settings : a line each
    training : JSON of how `xbarsim train` made the model, None of another one
    """

    software_version: str
    created: str
    complete: bool
    seed: int
    study: str
    model: str
    model_sha256: str
    task: str
    task_sha256: str
    task_kind: str
    metric: str
    head: str
    classes: int
    truncated_sentences: int
    heads: int | None = None
    notes: str = ""
    idle_settings: str = ""
    training: str | None = None
    version: int = VERSION


@dataclass(frozen=True, kw_only=True)
class Place:
    """What a step is to the model, as `models.graph.Step` states it; layer : None outside the
    layers.
    """

    kind: Kind
    role: Role
    layer: int | None = None


Attribute = str | int | float | bool


def attributes_of(record: Any) -> dict[str, Attribute]:
    """{attribute: value} of a record; what is None is left out."""
    stated = {name: value for name, value in vars(record).items() if value is not None}
    return {
        name: str(value) if isinstance(value, enum.Enum) else value
        for name, value in stated.items()
    }


def record_from(kind: type[Record], attributes: Mapping[str, Any]) -> Record:
    """A record of its kind from attributes; others than its own are passed over.

    Raises
    ------
    ValueError : attributes that are missing or of another type, by name
    """
    found: dict[str, Any] = {}
    wrong = []
    hints = typing.get_type_hints(kind)
    for part in dataclasses.fields(kind):  # type: ignore[arg-type]  # of a dataclass, as all records
        if part.name not in attributes:
            if part.default is dataclasses.MISSING:
                wrong.append(part.name)
            continue
        value = attributes[part.name]
        allowed = _allowed(hints[part.name])
        if isinstance(value, allowed):
            found[part.name] = value
        elif isinstance(value, str) and issubclass(allowed[0], enum.Enum):
            found[part.name] = allowed[0](value)
        else:
            wrong.append(part.name)
    if wrong:
        raise ValueError(f"lacks the attributes {', '.join(wrong)}")
    return kind(**found)


def _allowed(hint: Any) -> tuple[type, ...]:
    """Types of an annotation, without None."""
    if isinstance(hint, types.UnionType):
        return tuple(choice for choice in hint.__args__ if choice is not types.NoneType)
    return (hint,)


# ---------------------------------------------------------------- files


@dataclass(frozen=True)
class Sources:
    """What a run was made of beside its study.

    devices, chips : {name in the study: text of the file};  model_files : {file of the checkpoint:
        sha256}
    """

    devices: dict[str, str] = field(default_factory=dict)
    chips: dict[str, str] = field(default_factory=dict)
    model_files: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ExampleTable:
    """The examples (n,) of a run.

    label : class, or score of a pair; of a language task 1 of a good sentence and of a right choice
    tokens : of the example
    index : place in the task file;  truncated : sentences that were cut; both None in a trace of
        version 2
    size : of a language task, UTF-8 bytes of what is predicted
    """

    label: NDArray[Any]
    tokens: Integers
    index: Integers | None
    truncated: Integers | None
    size: Integers | None = None

    def __len__(self) -> int:
        return len(self.label)


@dataclass(frozen=True)
class PredictionTable:
    """The tokens (p,) that a decoder predicts in a run.

    example : that a token belongs to, ascending;  position : tokens of the example before it
    token : its id
    """

    example: Integers
    position: Integers
    token: Integers

    def __len__(self) -> int:
        return len(self.example)

    def of(self, where: slice) -> slice:
        """The predictions of a slice of examples."""
        start, stop = np.searchsorted(self.example, [where.start, where.stop]).tolist()
        return slice(start, stop)


def text_sha256(text: str) -> str:
    """Hex digest of a text in UTF-8."""
    return hashlib.sha256(text.encode()).hexdigest()


def parts_of(path: str | Path) -> Path:
    """The directory of parts of the trace `path` (NAME.h5)."""
    return Path(path).with_suffix(".parts")


def part_files(parts: Path) -> list[Path]:
    """The files of a directory of parts in their order, without one that was being written when its
    run was killed."""
    return sorted(parts.glob("[0-9]*.h5"))
