"""Paths of a trace read from its groups: outputs, chips, and the steps on hardware.

Each function raises ValueError, KeyError or what h5py raises of a damaged file.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

import h5py
import numpy as np
from numpy.typing import NDArray

from xbarsim.base.array_types import Booleans, Floats, Singles
from xbarsim.hardware.attributes import MatrixAttributes, ProductAttributes
from xbarsim.studies import older_traces
from xbarsim.studies.trace import (
    Attenuation,
    Chip,
    ConductanceHistogram,
    Outputs,
    TracedFunction,
    TracedMatrix,
    TracedProduct,
)
from xbarsim.studies.trace_checks import (
    check_attenuation,
    check_codes,
    check_columns,
    check_conductances,
    check_converters,
    check_counts,
    check_outputs,
    check_record,
)
from xbarsim.studies.trace_items import (
    attribute,
    group_in,
    members,
    plain_attributes,
    study_text,
    values_in,
    whole_number,
)
from xbarsim.studies.trace_layout import (
    CODE_COUNTS,
    CODES_BEYOND,
    VERSION,
    WORST_TILE,
    CodeHistogram,
    ExampleTable,
    FunctionRows,
    MatrixRows,
    Place,
    PredictionTable,
    ProductRows,
    RunAttributes,
    Section,
    Sources,
    columns_of,
    record_from,
    rows_from,
)

Result = TypeVar("Result")


class Size(NamedTuple):
    """Examples of a trace, and predictions, None of an encoder."""

    examples: int
    predictions: int | None


@dataclass(frozen=True)
class Head:
    """What the first part says of the run."""

    run: RunAttributes
    examples: ExampleTable
    sources: Sources
    predictions: PredictionTable | None

    @property
    def size(self) -> Size:
        predictions = None if self.predictions is None else len(self.predictions)
        return Size(len(self.examples), predictions)


@dataclass
class PartialCase:
    """A case of which parts are read one after the other.

    number : its place in the study;  chips : by their numbers
    """

    number: int
    study: str
    chips: dict[int, Chip] = field(default_factory=dict)


def read_path(group: h5py.Group, head: Head) -> Outputs:
    """A path of its group, checked."""
    outputs = _outputs(group, head.size)
    check_outputs(head.run, outputs)
    return outputs


def _outputs(group: h5py.Group, size: Size) -> Outputs:
    output = values_in(group, "output")
    done = _marks(group, "done")
    if done.shape != (size.examples,) or output.shape[:1] != done.shape or output.ndim != 2:
        raise ValueError(f"{output.shape} outputs for {size.examples} examples")
    if size.predictions is None:
        return Outputs(output, done)
    log_probability = values_in(group, "log_probability")
    likeliest = _marks(group, "likeliest")
    if not log_probability.shape == likeliest.shape == (size.predictions,):
        raise ValueError(f"{log_probability.shape} probabilities of {size.predictions} tokens")
    return Outputs(output, done, log_probability=log_probability, likeliest=likeliest)


def _marks(group: h5py.Group, name: str) -> Booleans:
    """A data set of 0 and 1."""
    values = values_in(group, name)
    check_counts(name, values, 1)
    return values.astype(bool)


def read_case(group: h5py.Group) -> PartialCase:
    """A case without its chips."""
    attributes = plain_attributes(group)
    return PartialCase(whole_number("number", attributes["number"]), study_text(attributes))


def read_chip(group: h5py.Group, head: Head) -> Chip:
    """A chip of its group, checked."""
    outputs = read_path(group, head)
    if head.run.version == VERSION:
        _check_steps(group)
    done = outputs.done
    return Chip(
        outputs.output,
        done,
        seed=whole_number("seed", attribute(group, "seed")),
        layers=_entries(group, Section.LAYERS, done, _matrix),
        products=_entries(group, Section.PRODUCTS, done, _product),
        operations=_entries(group, Section.OPERATIONS, done, _function),
        log_probability=outputs.log_probability,
        likeliest=outputs.likeliest,
    )


def _check_steps(group: h5py.Group) -> None:
    """Refuse a chip that lacks a step: all together they are numbered from 0 on."""
    numbers = [
        whole_number("number", attribute(entry, "number"))
        for section in Section
        if section in group
        for entry in members(group_in(group, section))
    ]
    missing = sorted(set(range(len(numbers))) - set(numbers))
    if missing:
        raise ValueError(f"step {missing[0]} of the chip is missing, or is there twice")


def _entries(
    group: h5py.Group,
    section: Section,
    done: Booleans,
    read: Callable[[h5py.Group, Place, Booleans], Result],
) -> dict[str, Result]:
    """{step: entry} of a section in the order in which they were written."""
    if section not in group:
        return {}
    in_order = sorted(
        members(group_in(group, section)),
        key=lambda entry: whole_number("number", attribute(entry, "number")),
    )
    entries = {}
    for entry in in_order:
        name = entry.name.rpartition("/")[2]
        entries[name] = read(entry, _place(name, section, entry), done)
    return entries


def _place(name: str, section: Section, group: h5py.Group) -> Place:
    if "kind" not in group.attrs:
        return older_traces.place_of(name, section)
    place = record_from(Place, plain_attributes(group))
    check_record(place)
    return place


def _matrix(group: h5py.Group, place: Place, done: Booleans) -> TracedMatrix:
    attributes = record_from(MatrixAttributes, plain_attributes(group))
    check_converters(attributes)
    return TracedMatrix(
        place,
        attributes,
        _rows(MatrixRows, group, done),
        _attenuation(group),
        _conductances(group),
        _codes(group),
        _map_of_cells(group),
        _noise_error(group),
    )


def _attenuation(group: h5py.Group) -> Attenuation | None:
    if "attenuation_mean" not in group:
        return None
    found = Attenuation(values_in(group, "attenuation_mean"), values_in(group, "attenuation_std"))
    check_attenuation(found)
    return found


def _conductances(group: h5py.Group) -> ConductanceHistogram | None:
    if "conductance_counts" not in group:
        return None
    found = ConductanceHistogram(
        values_in(group, "conductance_edges"), values_in(group, "conductance_counts")
    )
    check_conductances(found)
    return found


def _codes(group: h5py.Group) -> CodeHistogram | None:
    if CODE_COUNTS not in group:
        return None
    found = CodeHistogram(values_in(group, CODE_COUNTS), values_in(group, CODES_BEYOND))
    check_codes(found)
    return found


def _map_of_cells(group: h5py.Group) -> Singles | None:
    if WORST_TILE not in group:
        return None
    values = values_in(group, WORST_TILE)
    if values.ndim != 2 or values.dtype.kind != "f" or not values.size:
        raise ValueError(f"{WORST_TILE} has shape {values.shape}; allowed: (rows, columns)")
    return values


def _noise_error(group: h5py.Group) -> Floats | None:
    if "read_noise_error" not in group:
        return None
    values = values_in(group, "read_noise_error")
    if values.ndim != 1 or values.dtype.kind != "f":
        raise ValueError(f"read_noise_error has shape {values.shape}; allowed: (tiles,)")
    return values


def _product(group: h5py.Group, place: Place, done: Booleans) -> TracedProduct:
    attributes = record_from(ProductAttributes, plain_attributes(group))
    check_converters(attributes)
    return TracedProduct(place, attributes, _rows(ProductRows, group, done))


def _function(group: h5py.Group, place: Place, done: Booleans) -> TracedFunction:
    return TracedFunction(place, _rows(FunctionRows, group, done))


def _rows(kind: type[Result], group: h5py.Group, done: Booleans) -> Result:
    arrays: dict[str, NDArray[Any]] = {
        name: _of_examples(group, name, done) for name in columns_of(kind) if name in group
    }
    if "local_error_rms" not in arrays:  # version 2
        older_traces.repair_errors(arrays)
    if "array_energy" in arrays:  # before scales of inputs were counted there were none
        for name in ("comparisons", "multiplications"):
            arrays.setdefault(name, np.zeros(len(arrays["array_energy"]), np.int64))
    check_columns(columns_of(kind), arrays)
    return rows_from(kind, arrays)


def _of_examples(group: h5py.Group, name: str, done: Booleans) -> NDArray[Any]:
    """A data set with a value of every example, of those that are done."""
    values = values_in(group, name)
    if values.shape != done.shape:
        raise ValueError(f"{name} has shape {values.shape}; allowed: {done.shape}")
    return values[done]
