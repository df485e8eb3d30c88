"""Arguments of a crossbar: checked once, as arrays of stated shapes."""

import numpy as np

from xbarsim.base.array_files import numbers
from xbarsim.base.errors import ConfigError, OutOfRangeError, ShapeError


def not_negative(name, value, unit, shapes, remedy="", infinite=False):
    """`value` as a float64 array of one of `shapes` ({shape: meaning}), finite and not negative."""
    array = numbers(name, value, unit)
    if array.shape not in shapes:
        allowed = ", ".join(f"{shape} {meaning}" for shape, meaning in shapes.items())
        raise ShapeError(f"{name} has shape {array.shape}; allowed: {allowed}")
    wrong = np.isnan(array) | (array < 0) | (np.isinf(array) & (not infinite))
    if wrong.any():
        where = np.argwhere(wrong)[0]
        at = f" at {tuple(int(k) for k in where)}" if array.ndim else ""
        allowed = f"0 {unit} to infinity" if infinite else f"0 {unit} or more, finite"
        raise OutOfRangeError(
            f"{name} is {array[tuple(where)]:g} {unit}{at}; allowed: {allowed}{remedy}"
        )
    return array


def positive(name, value, unit, below=np.inf):
    """A number above 0 and below a limit."""
    number = numbers(name, value, unit)
    if number.ndim or not 0 < number < below:
        limit = "finite" if below == np.inf else f"below {below:g}"
        raise OutOfRangeError(
            f"{name} is {value!r} {unit}".rstrip() + f"; allowed: above 0, {limit}"
        )
    return float(number)


def choice(name, value, allowed):
    if value not in allowed:
        raise ConfigError(f"{name} is {value!r}; allowed: {', '.join(map(repr, allowed))}")
    return value


def line_mask(name, value, count):
    """A mask of lines from a mask or a list of indices."""
    array = np.asarray(value)
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
                f"{name} must be a mask ({count},) or a list of line numbers, not {value!r}"
            )
        if array.min() < 0 or array.max() >= count:
            wrong = array.min() if array.min() < 0 else array.max()
            raise OutOfRangeError(f"{name} names line {wrong}; allowed: 0 to {count - 1}")
        mask[array] = True
    return mask


def voltages(name, value, shapes, lines):
    """`value` as float64 of one of `shapes`, or a batch (b, lines), finite."""
    array = numbers(name, value, "V")
    batch = array.ndim == 2 and array.shape[1] == lines and len(array) > 0
    if array.shape not in shapes and not batch:
        allowed = ", ".join(f"{shape} {meaning}" for shape, meaning in shapes.items())
        raise ShapeError(
            f"{name} has shape {array.shape}; allowed: {allowed}, (b, {lines}) a batch"
        )
    if not np.isfinite(array).all():
        where = tuple(map(int, np.argwhere(~np.isfinite(array))[0]))
        raise OutOfRangeError(f"{name} is {array[where]:g} V at {where}; allowed: finite voltages")
    return array


def capacitances(shape, word_line, bit_line, cell):
    """(m, n) F each, above 0 at every node."""
    shapes = {(): "for all", shape: "per cell"}
    names = "word_line_capacitance", "bit_line_capacitance", "cell_capacitance"
    values = zip(names, (word_line, bit_line, cell), strict=True)
    word_line, bit_line, cell = (
        np.broadcast_to(not_negative(name, value, "F", shapes), shape) for name, value in values
    )
    if not (word_line > 0).all() or not (bit_line > 0).all():
        raise OutOfRangeError(
            "word_line_capacitance or bit_line_capacitance is 0 F; allowed: above 0 F at every node"
        )
    return word_line, bit_line, cell


def word_segments(resistance, source_resistance, drive, floating, shape):
    """(m, n + 1) ohm from left to right, infinite at ends that are not connected."""
    names = "word_line_resistance", "source_resistance"
    connected = drive != "right", drive != "left"
    return _segments(names, (resistance, source_resistance), connected, floating, shape)


def bit_segments(resistance, sense_resistance, sense, floating, shape):
    """(m + 1, n) ohm from top to bottom: as word lines from bottom to top, seen upside down."""
    value = numbers("bit_line_resistance", resistance, "ohm")
    flipped = value[::-1].T if value.ndim == 2 else value
    names = "bit_line_resistance", "sense_resistance"
    connected = sense != "top", sense != "bottom"
    segments = _segments(names, (flipped, sense_resistance), connected, floating, shape[::-1])
    return np.ascontiguousarray(segments.T[::-1])


def _segments(names, resistances, connected, floating, shape):
    """(lines, cells + 1) resistances from terminal to terminal of lines whose usual end is the
    first.
    """
    lines, cells = shape
    first, last = connected
    shapes = {(): "for all", (lines,): "per line"}
    shapes[lines, cells + 1] = "per segment from terminal to terminal"
    if first and not last:
        shapes[lines, cells] = "per segment, one on the terminal's side of each cell"
    remedy = "; declare a line that is not connected as floating"
    resistance = not_negative(names[0], resistances[0], "ohm", shapes, remedy)
    end_shapes = {(): "for all", (lines,): "per line"}
    end_resistance = not_negative(names[1], resistances[1], "ohm", end_shapes, remedy)
    segments = np.empty((lines, cells + 1))
    if resistance.shape == (lines, cells):
        segments[:, :cells] = resistance
    else:
        segments[:] = resistance[:, None] if resistance.ndim == 1 else resistance
    for end, wired in ((0, first), (cells, last)):
        behind = segments[:, end] + end_resistance
        segments[:, end] = np.where(floating, np.inf, behind) if wired else np.inf
    return segments
