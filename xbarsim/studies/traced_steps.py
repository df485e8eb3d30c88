"""The steps of a chip in a trace: matrices, products and functions, read from their groups."""

from collections.abc import Callable
from typing import Any, TypeVar

import h5py
import numpy as np
from numpy.typing import NDArray

from xbarsim.base.array_types import Booleans
from xbarsim.hardware.attributes import MatrixAttributes, ProductAttributes
from xbarsim.studies import older_traces
from xbarsim.studies.trace import (
    Attenuation,
    ConductanceHistogram,
    TracedFunction,
    TracedMatrix,
    TracedProduct,
)
from xbarsim.studies.trace_items import attribute, members, plain_attributes
from xbarsim.studies.trace_layout import (
    CODE_COUNTS,
    CODES_BEYOND,
    WORST_TILE,
    CodeHistogram,
    FunctionRows,
    MatrixRows,
    Place,
    ProductRows,
    Section,
    columns_of,
    record_from,
    rows_from,
)

Result = TypeVar("Result")


def entries_of(
    group: h5py.Group,
    section: Section,
    done: Booleans,
    read: Callable[[h5py.Group, Place, Booleans], Result],
) -> dict[str, Result]:
    """{step: entry} of a section in the order in which they were written."""
    if section not in group:
        return {}
    in_order = sorted(members(group[section]), key=lambda entry: attribute(entry, "number"))
    entries = {}
    for entry in in_order:
        name = entry.name.rpartition("/")[2]
        entries[name] = read(entry, _place(name, section, entry), done)
    return entries


def _place(name: str, section: Section, group: h5py.Group) -> Place:
    if "kind" not in group.attrs:
        return older_traces.place_of(name, section)
    return record_from(Place, plain_attributes(group))


def traced_matrix(group: h5py.Group, place: Place, done: Booleans) -> TracedMatrix:
    attenuation = None
    if "attenuation_mean" in group:
        attenuation = Attenuation(group["attenuation_mean"][:], group["attenuation_std"][:])
    conductances = None
    if "conductance_counts" in group:
        edges = group["conductance_edges"][:]
        conductances = ConductanceHistogram(edges, group["conductance_counts"][:])
    codes = None
    if CODE_COUNTS in group:
        codes = CodeHistogram(group[CODE_COUNTS][:], group[CODES_BEYOND][:])
    worst_tile = None
    if WORST_TILE in group:
        worst_tile = group[WORST_TILE][:]
    noise_error = None
    if "read_noise_error" in group:
        noise_error = group["read_noise_error"][:]
    return TracedMatrix(
        place,
        record_from(MatrixAttributes, plain_attributes(group)),
        _rows(MatrixRows, group, done),
        attenuation,
        conductances,
        codes,
        worst_tile,
        noise_error,
    )


def traced_product(group: h5py.Group, place: Place, done: Booleans) -> TracedProduct:
    attributes = record_from(ProductAttributes, plain_attributes(group))
    return TracedProduct(place, attributes, _rows(ProductRows, group, done))


def traced_function(group: h5py.Group, place: Place, done: Booleans) -> TracedFunction:
    return TracedFunction(place, _rows(FunctionRows, group, done))


def _rows(kind: type[Result], group: h5py.Group, done: Booleans) -> Result:
    arrays: dict[str, NDArray[Any]] = {
        name: group[name][:][done] for name in columns_of(kind) if name in group
    }
    if "local_error_rms" not in arrays:  # version 2
        older_traces.repair_errors(arrays)
    if "array_energy" in arrays:  # before scales of inputs were counted there were none
        for name in ("comparisons", "multiplications"):
            arrays.setdefault(name, np.zeros(len(arrays["array_energy"]), np.int64))
    return rows_from(kind, arrays)
