"""Arguments of a crossbar: checked once, as arrays of stated shapes."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike

from xbarsim.base.arguments import shown
from xbarsim.base.array_files import numbers
from xbarsim.base.array_types import Booleans, Floats
from xbarsim.base.errors import ConfigError, OutOfRangeError, ShapeError

LEAST_CAPACITANCE = 1e-30  # F of a node of a line
MOST_CAPACITANCE = 1.0  # F

Shapes = Mapping[tuple[int, ...], str]  # {shape: what an array of it states}


def not_negative(
    name: str,
    value: ArrayLike,
    unit: str,
    shapes: Shapes,
    *,
    remedy: str = "",
    infinite: bool = False,
) -> Floats:
    """`value` as a float64 array of one of `shapes` ({shape: meaning}), finite and not negative."""
    array = numbers(name, value, unit)
    if array.shape not in shapes:
        raise ShapeError(f"{name} has shape {array.shape}; allowed: {_listed(shapes)}")
    wrong = np.isnan(array) | (array < 0) | (np.isinf(array) & (not infinite))
    if wrong.any():
        where = np.argwhere(wrong)[0]
        at = ""
        if array.ndim:
            at = f" at {tuple(int(k) for k in where)}"
        allowed = f"0 {unit} or more, finite"
        if infinite:
            allowed = f"0 {unit} to infinity"
        raise OutOfRangeError(
            f"{name} is {array[tuple(where)]:g} {unit}{at}; allowed: {allowed}{remedy}"
        )
    return array


def _listed(shapes: Shapes) -> str:
    return ", ".join(f"{shape} {meaning}" for shape, meaning in shapes.items())


def positive(name: str, value: float, unit: str, below: float = np.inf) -> float:
    """A number above 0 and below a limit."""
    number = numbers(name, value, unit)
    if number.ndim or not 0 < number < below:
        limit = "finite"
        if below != np.inf:
            limit = f"below {below:g}"
        raise OutOfRangeError(
            f"{name} is {shown(value)} {unit}".rstrip() + f"; allowed: above 0, {limit}"
        )
    return float(number)


def choice(name: str, value: str, allowed: Sequence[str]) -> str:
    """`value`, where it is one of those allowed."""
    if not isinstance(value, str) or value not in allowed:
        raise ConfigError(f"{name} is {shown(value)}; allowed: {', '.join(map(repr, allowed))}")
    return value


def line_mask(name: str, value: ArrayLike, count: int) -> Booleans:
    """A mask of lines from a mask or a list of indices."""
    try:
        array = np.asarray(value)
    except (TypeError, ValueError) as error:
        raise ShapeError(
            f"{name}: {error}; allowed: a mask ({count},) or a list of line numbers"
        ) from None
    if np.ma.isMaskedArray(value):
        raise ShapeError(
            f"{name} is a masked array; allowed: a plain mask or a list of line numbers"
        )
    if array.dtype == bool:
        if array.shape != (count,):
            raise ShapeError(
                f"{name} is a mask of shape {array.shape}; "
                f"allowed: ({count},), or a list of line numbers"
            )
        return array.copy()
    mask = np.zeros(count, dtype=bool)
    if array.size:
        if array.dtype.kind not in "iu" or array.ndim != 1:
            raise ShapeError(
                f"{name} must be a mask ({count},) or a list of line numbers, not {shown(value)}"
            )
        if array.min() < 0 or array.max() >= count:
            wrong = array.max()
            if array.min() < 0:
                wrong = array.min()
            raise OutOfRangeError(f"{name} names line {wrong}; allowed: 0 to {count - 1}")
        mask[array] = True
    return mask


def voltages(name: str, value: ArrayLike, shapes: Shapes, lines: int) -> Floats:
    """`value` as float64 of one of `shapes`, or a batch (b, lines), finite."""
    array = numbers(name, value, "V")
    batch = array.ndim == 2 and array.shape[1] == lines and len(array) > 0
    if array.shape not in shapes and not batch:
        raise ShapeError(
            f"{name} has shape {array.shape}; allowed: {_listed(shapes)}, (b, {lines}) a batch"
        )
    if not np.isfinite(array).all():
        where = tuple(map(int, np.argwhere(~np.isfinite(array))[0]))
        raise OutOfRangeError(f"{name} is {array[where]:g} V at {where}; allowed: finite voltages")
    return array


def capacitances(
    shape: tuple[int, int], word_line: ArrayLike, bit_line: ArrayLike, cell: ArrayLike
) -> tuple[Floats, Floats, Floats]:
    """(m, n) F each, above 0 at every node."""
    word = _per_cell("word_line_capacitance", word_line, shape)
    bit = _per_cell("bit_line_capacitance", bit_line, shape)
    across = _per_cell("cell_capacitance", cell, shape)
    if not (word >= LEAST_CAPACITANCE).all() or not (bit >= LEAST_CAPACITANCE).all():
        least = min(word.min(), bit.min())
        raise OutOfRangeError(
            f"word_line_capacitance or bit_line_capacitance is {least:g} F; allowed: above 0 F at "
            f"every node, {LEAST_CAPACITANCE:g} F at least"
        )
    most = max(word.max(), bit.max(), across.max())
    if most > MOST_CAPACITANCE:
        raise OutOfRangeError(
            f"a capacitance is {most:g} F; allowed: at most {MOST_CAPACITANCE:g} F"
        )
    return word, bit, across


def _per_cell(name: str, value: ArrayLike, shape: tuple[int, int]) -> Floats:
    checked = not_negative(name, value, "F", {(): "for all", shape: "per cell"})
    return np.broadcast_to(checked, shape)


def word_segments(
    resistance: ArrayLike,
    source_resistance: ArrayLike,
    *,
    drive: str,
    floating: Booleans,
    shape: tuple[int, int],
) -> Floats:
    """(m, n + 1) ohm from left to right, infinite at ends that are not connected."""
    first = drive != "right"
    last = drive != "left"
    per_segment = _resistances("word_line_resistance", resistance, shape, first and not last)
    at_end = _end_resistances("source_resistance", source_resistance, shape[0])
    segments = _between_terminals(per_segment, shape)
    _connect(segments[:, 0], at_end, first, floating)
    _connect(segments[:, -1], at_end, last, floating)
    return segments


def bit_segments(
    resistance: ArrayLike,
    sense_resistance: ArrayLike,
    *,
    sense: str,
    floating: Booleans,
    shape: tuple[int, int],
) -> Floats:
    """(m + 1, n) ohm from top to bottom: as word lines from bottom to top, seen upside down."""
    value = numbers("bit_line_resistance", resistance, "ohm")
    if value.ndim == 2:
        value = value[::-1].T
    first = sense != "top"
    last = sense != "bottom"
    m, n = shape
    per_segment = _resistances("bit_line_resistance", value, (n, m), first and not last)
    at_end = _end_resistances("sense_resistance", sense_resistance, n)
    segments = _between_terminals(per_segment, (n, m))
    _connect(segments[:, 0], at_end, first, floating)
    _connect(segments[:, -1], at_end, last, floating)
    return np.ascontiguousarray(segments.T[::-1])


_REMEDY = "; declare a line that is not connected as floating"


def _resistances(
    name: str, value: ArrayLike, shape: tuple[int, int], only_first_end: bool
) -> Floats:
    """Checked ohm of the segments of (lines, cells), in one of the forms that are allowed."""
    lines, cells = shape
    shapes: dict[tuple[int, ...], str] = {(): "for all", (lines,): "per line"}
    shapes[lines, cells + 1] = "per segment from terminal to terminal"
    if only_first_end:
        shapes[lines, cells] = "per segment, one on the terminal's side of each cell"
    return not_negative(name, value, "ohm", shapes, remedy=_REMEDY)


def _end_resistances(name: str, value: ArrayLike, lines: int) -> Floats:
    shapes: dict[tuple[int, ...], str] = {(): "for all", (lines,): "per line"}
    return not_negative(name, value, "ohm", shapes, remedy=_REMEDY)


def _between_terminals(resistance: Floats, shape: tuple[int, int]) -> Floats:
    """(lines, cells + 1) ohm from terminal to terminal of lines whose usual end is the first."""
    lines, cells = shape
    segments = np.empty((lines, cells + 1))
    if resistance.shape == (lines, cells):
        segments[:, :cells] = resistance
    elif resistance.ndim == 1:
        segments[:] = resistance[:, None]
    else:
        segments[:] = resistance
    return segments


def _connect(end: Floats, resistance: Floats, wired: bool, floating: Booleans) -> None:
    """Add what lies between the last segment of every line and its terminal, in place; infinite
    where they are not connected."""
    if wired:
        end[:] = np.where(floating, np.inf, end + resistance)
    else:
        end[:] = np.inf
