"""One crossbar from files, solved: what `xbarsim solve` does."""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from xbarsim.base.array_files import (
    Arrays,
    place_of,
    read_array,
    read_matrix,
    read_number_or_array,
    read_number_or_matrix,
    read_vectors,
)
from xbarsim.base.array_types import Floats
from xbarsim.base.errors import ConfigError, OutOfRangeError, ShapeError
from xbarsim.circuit import cells
from xbarsim.circuit.crossbar import Crossbar
from xbarsim.circuit.solution import Solution

SIEMENS = {"S": 1.0, "mS": 1e-3, "uS": 1e-6, "µS": 1e-6, "nS": 1e-9}
OHMS = {"ohm": 1.0, "kohm": 1e3, "Mohm": 1e6}
RESULTS = (  # fields of a Solution and their units
    ("output_current", "A"),
    ("input_current", "A"),
    ("word_line_voltage", "V"),
    ("bit_line_voltage", "V"),
    ("cell_voltage", "V"),
    ("cell_current", "A"),
    ("power", "W"),
    ("cell_power", "W"),
    ("wire_power", "W"),
    ("residual", "1"),
)

MAPS = {  # results with a number for every node or cell
    "word_line_voltage",
    "bit_line_voltage",
    "cell_voltage",
    "cell_current",
    "cell_power",
    "sensitivity",
}


@dataclass(frozen=True)
class CrossbarFiles:
    """A crossbar as texts name it; files are .npy, .csv or .h5 (FILE:DATASET).

    conductance : file of the (m, n) cells;  unit : of them, a key of SIEMENS or OHMS
    word_line_resistance, bit_line_resistance : ohm, a number, or a file of one per line or segment
    source_resistance, sense_resistance : ohm, a number, or a file of one per line
    cell : sinh:V0, polynomial:VMAX,C2,C3... or table:FILE (columns V and A)
    access : selector:G,V0 or transistor:R,OVERDRIVE,LAMBDA
    lines : further arguments of `Crossbar`: drive, sense, transposed, floating lines
    """

    conductance: str
    unit: str = "S"
    word_line_resistance: str = "1"
    bit_line_resistance: str = "1"
    source_resistance: str = "0"
    sense_resistance: str = "0"
    cell: str | None = None
    access: str | None = None
    lines: dict[str, Any] = field(default_factory=dict)

    def wires(self) -> dict[str, str]:
        """{name of an argument of `Crossbar`: number or file}."""
        return {
            "word_line_resistance": self.word_line_resistance,
            "bit_line_resistance": self.bit_line_resistance,
            "source_resistance": self.source_resistance,
            "sense_resistance": self.sense_resistance,
        }


@dataclass(frozen=True)
class Asked:
    """What is solved for, as texts name it.

    voltage : file of (m,) or (b, m) V; None for the transfer matrix
    bias : V of the sense amplifiers, a number or a file
    sensitivity : also the derivative of every output by every conductance
    noise : also the noise of the outputs: standard deviation of the cells in S, a number or a file
    settle : also delay and settling: F of word-line nodes, bit-line nodes and perhaps cells
    within, lsb : see `Crossbar.settle`
    """

    voltage: str | None = None
    bias: str = "0"
    sensitivity: bool = False
    noise: str | None = None
    settle: Sequence[float] | None = None
    within: float = 1e-3
    lsb: float | None = None


@dataclass(frozen=True)
class Solved:
    """What `solve_files` found.

    given, results : {name: (array, unit)}
    solution : None where the transfer matrix was asked for
    volts, bias_voltage : V as read; 0 where the transfer matrix was asked for
    """

    crossbar: Crossbar
    given: Arrays
    results: Arrays
    solution: Solution | None = None
    volts: Floats | None = None
    bias_voltage: float | Floats = 0.0

    def content(self) -> Arrays:
        """All arrays of a result file: the results, and what was solved under `solved/`."""
        given = {f"solved/{name}": value for name, value in self.given.items()}
        return {**self.results, **given}

    def printed(self) -> list[str]:
        """Lines of the first result, numbers separated by commas."""
        first, _ = next(iter(self.results.values()))
        return [_line_of(row) for row in np.atleast_2d(np.asarray(first))]

    def to_json(self) -> dict[str, Any]:
        """Results that are no maps of the cells, as plain values, and the unit of each."""
        content: dict[str, Any] = {}
        units = {}
        for name, (value, unit) in self.results.items():
            if name in MAPS:
                continue
            content[name] = _plain(np.asarray(value).tolist())
            units[name] = unit
        return content | {"units": units}


def _plain(numbers: Any) -> Any:
    """Numbers, or lists of them, with null where one is not finite."""
    if isinstance(numbers, list):
        return [_plain(number) for number in numbers]
    if not math.isfinite(numbers):
        return None
    return numbers


def _line_of(row: Floats) -> str:
    return ",".join(f"{value:.17g}" for value in row)


def names_of(files: CrossbarFiles, asked: Asked) -> list[str]:
    """Every file that may be read, without the names of data sets."""
    names = [files.conductance, *files.wires().values(), asked.bias]
    for name in (files.cell, asked.voltage, asked.noise):
        if name is not None:
            names.append(name.removeprefix("table:"))
    return [str(place_of(name)[0]) for name in names]


def solve_files(files: CrossbarFiles, asked: Asked) -> Solved:
    """Read a crossbar and its inputs, and solve it.

    Raises
    ------
    ConfigError, ShapeError, OutOfRangeError : a file or a text that is no such thing
    ConvergenceError : see `Crossbar.solve`
    """
    conductance = read_conductances(files.conductance, files.unit)
    m, n = conductance.shape
    lines = {"word_line": m, "bit_line": n, "source": m, "sense": n}
    wires: dict[str, Any] = {
        name: read_per_line(text, lines[name.removesuffix("_resistance")])
        for name, text in files.wires().items()
    }
    crossbar = Crossbar(
        conductance,
        **wires,
        **files.lines,
        cell=read_cell(files.cell),
        access=_access(files.access),
    )
    given: dict[str, tuple[Any, str]] = {"conductance": (conductance, "S")}
    for name, value in wires.items():
        given[name] = (value, "ohm")
    if asked.voltage is None:
        return Solved(crossbar, given, {"transfer_matrix": (crossbar.transfer_matrix(), "S")})
    inputs, outputs = crossbar.terminals
    volts = read_vectors(asked.voltage, inputs)
    bias = _read_bias(asked.bias, outputs)
    given["input_voltage"] = (volts, "V")
    given["bias_voltage"] = (bias, "V")
    solution = crossbar.solve(volts, bias)
    results = {name: (getattr(solution, name), unit) for name, unit in RESULTS}
    if asked.sensitivity:
        results["sensitivity"] = (crossbar.sensitivity(volts, None, bias), "A/S")
    if asked.noise is not None:
        sigma = read_number_or_matrix(asked.noise)
        given["conductance_sigma"] = (sigma, "S")
        results["output_noise"] = (crossbar.output_noise(volts, sigma, bias), "A")
    if asked.settle is not None:
        settling = crossbar.settle(volts, *asked.settle, within=asked.within, lsb=asked.lsb)
        results["elmore_delay"] = (settling.elmore_delay, "s")
        results["settling_time"] = (settling.settling_time, "s")
    return Solved(crossbar, given, results, solution, volts, bias)


def read_conductances(name: str, unit: str) -> Floats:
    """(m, n) S of a file in a unit of conductance or resistance; a warning where the unit looks
    wrong.
    """
    if unit not in SIEMENS | OHMS:
        raise ConfigError(f"unit {unit!r}; allowed: {', '.join(SIEMENS | OHMS)}")
    values = read_matrix(name)
    if unit in OHMS:
        if (values < 0).any() or np.isnan(values).any():
            raise OutOfRangeError(
                f"{name} holds resistances below 0 or nan; allowed: 0 {unit} (a short) to "
                "inf (an open cell)"
            )
        with np.errstate(divide="ignore"):
            inverse: Floats = 1 / (values * OHMS[unit])
        return inverse
    g: Floats = values * SIEMENS[unit]
    conducting = g[np.isfinite(g) & (g > 0)]
    if conducting.size and np.median(conducting) >= 1:
        warnings.warn(
            f"{name}: conductances of {conducting.min():g} to {conducting.max():g} S are taken as "
            "they are; if these are resistances, pass --unit ohm, if microsiemens, --unit uS",
            stacklevel=2,
        )
    return g


def read_per_line(text: str, lines: int) -> float | Floats:
    """A number, one per line, or a matrix of one per segment; a file of one row is one per line
    where it can be.
    """
    value = read_number_or_array(text)
    if isinstance(value, float) or lines == 1 or value.shape != (1, lines):
        return value
    row: Floats = value[0]
    return row


def _read_bias(text: str, lines: int) -> float | Floats:
    try:
        return float(text)
    except ValueError:
        return read_vectors(text, lines)


def read_cell(text: str | None) -> cells.Memristor | None:
    """The curve of the memristors of a text such as sinh:V0 or table:FILE."""
    if text is None:
        return None
    if text.startswith("table:"):
        table = read_array(text.removeprefix("table:"))
        if table.ndim != 2 or table.shape[1] != 2:
            raise ShapeError(
                f"{text}: a table of shape {table.shape}; allowed: two columns, V and A"
            )
        return cells.Table(tuple(table[:, 0]), tuple(table[:, 1]))
    cell = cells.from_text(text)
    if not isinstance(cell, cells.MEMRISTORS):
        raise ConfigError(f"{text!r} is no memristor; allowed: sinh, polynomial, table")
    return cell


def _access(text: str | None) -> cells.Access | None:
    if text is None:
        return None
    access = cells.from_text(text)
    if not isinstance(access, cells.ACCESS):
        raise ConfigError(f"{text!r} is no access device; allowed: selector, transistor")
    return access
