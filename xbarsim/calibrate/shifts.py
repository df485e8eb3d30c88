"""Readings of conductances as shifts since the write, at instants that most cells share."""

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from xbarsim.base.array_types import Booleans, Floats, Integers
from xbarsim.base.errors import OutOfRangeError, ShapeError

LEAST_TIMES = 3
LEAST_DECADES = 1.0
LEAST_CELLS = 8
LEAST_SHARE = 0.5  # of the cells that have a time
SAME_INSTANT = 1.25  # ratio of times that count as one


@dataclasses.dataclass(frozen=True)
class Readings:
    """Readings sorted by cell, then time.

    time : (n,) s after the write;  conductance : (n,) S;  cell : (n,) number of the cell
    """

    time: Floats
    conductance: Floats
    cell: Integers

    def where(self, keep: Booleans) -> "Readings":
        """Those that are kept (n,)."""
        return Readings(self.time[keep], self.conductance[keep], self.cell[keep])

    def first(self) -> Integers:
        """(cells,) index of the first reading of every cell."""
        return np.searchsorted(self.cell, np.arange(self.cell.max() + 1))


@dataclasses.dataclass(frozen=True)
class Shifts:
    """Shifts of conductances since the write, at instants that most cells share.

    time, shift : (n,) s and S;  cell, instant : (n,) numbers;  written : (cells,) S at the write
    missing : why nothing is identified, few : why no spread is, "" where they are
    """

    time: Floats
    shift: Floats
    cell: Integers
    instant: Integers
    written: Floats
    missing: str = ""
    few: str = ""

    @property
    def cells(self) -> int:
        return len(self.written)

    def average(self, values: Floats) -> Floats:
        """Mean of (n,) values at every instant."""
        average: Floats = np.bincount(self.instant, values) / np.bincount(self.instant)
        return average

    def log_time(self) -> Floats:
        """log10 of the median time of every instant."""
        logs = np.log10(self.time)
        instants = range(self.instant.max() + 1)
        return np.array([np.median(logs[self.instant == k]) for k in instants])

    def deviation(self) -> Floats:
        """Shifts about the mean of their instant."""
        deviation: Floats = self.shift - self.average(self.shift)[self.instant]
        return deviation

    def variance(self) -> Floats:
        """Variance over cells of the shift at every instant."""
        square = np.bincount(self.instant, self.deviation() ** 2)
        variance: Floats = square / np.maximum(np.bincount(self.instant) - 1, 1)
        return variance


class Written(NamedTuple):
    """Readings, and the conductance (cells,) S of each cell at the write."""

    readings: Readings
    conductance: Floats


class SharedShifts(NamedTuple):
    """Shifts at instants that most cells share, and notes on the times that were left out."""

    shifts: Shifts
    left_out: list[str]


def sorted_readings(
    time: ArrayLike,
    conductance: ArrayLike,
    cell: ArrayLike | Sequence[object] | None,
    initial: ArrayLike | None,
) -> Written:
    """Readings by cell and time; arguments as of `fit_retention`.

    Raises
    ------
    ShapeError, OutOfRangeError : not finite vectors of one length; negative times
    """
    t: Floats = np.asarray(time, float)
    g: Floats = np.asarray(conductance, float)
    label = np.zeros(t.shape, int)
    if cell is not None:
        label = np.unique(np.asarray(cell), return_inverse=True)[1]
    start = g
    if initial is not None:
        start = np.asarray(initial, float)
    alike = t.shape == g.shape == label.shape == start.shape
    if t.ndim != 1 or not t.size or not alike or not np.isfinite([t, g, start]).all():
        raise ShapeError(
            f"time {t.shape}, conductance {g.shape}, cell {label.shape}, initial {start.shape}; "
            "allowed: finite vectors of one length"
        )
    if (t < 0).any():
        raise OutOfRangeError(f"time is {t.min():g} s; allowed: 0 (the write) or more")
    order = np.lexsort((t, label))
    readings = Readings(t[order], g[order], label[order])
    return Written(readings, start[order][readings.first()])


def shifts_since_write(readings: Readings, written: Floats, relative: bool) -> SharedShifts:
    """Shifts against `written` (cells,) S.

    relative : the first reading of a cell is the reference itself, and no shift

    Raises
    ------
    OutOfRangeError : no reading after the write; no time that enough cells share
    """
    keep = readings.time > 0
    if relative:
        keep[readings.first()] = False
    if not keep.any():
        raise OutOfRangeError("no reading after the write; read each cell at several times")
    kept = readings.where(keep)
    cells = len(written)
    instant = _instants(kept.time, kept.cell)
    count = np.bincount(instant)
    often = count >= LEAST_SHARE * cells  # the others are of another choice of cells
    left_out = []
    for k in np.flatnonzero(~often):
        time = np.median(kept.time[instant == k])
        left_out.append(f"left out: {time:.3g} s, which {count[k]:,} of {cells:,} cells have")
    kept = kept.where(often[instant])
    if not kept.time.size:
        raise OutOfRangeError(
            f"no time is shared by {LEAST_SHARE:.0%} of the cells; read all cells at the same times"
        )
    shift = kept.conductance - written[kept.cell]
    instant = _instants(kept.time, kept.cell)
    shifts = Shifts(kept.time, shift, kept.cell, instant, written)
    missing = _missing(shifts.log_time())
    few = missing
    if not missing and cells < LEAST_CELLS:
        few = f"{cells} cells; a spread needs {LEAST_CELLS}"
    return SharedShifts(dataclasses.replace(shifts, missing=missing, few=few), left_out)


def _missing(log_time: Floats) -> str:
    """Why times do not tell how shifts go on, "" where they do."""
    decades = log_time.max() - log_time.min()
    if len(log_time) < LEAST_TIMES:
        return f"{len(log_time)} times; {LEAST_TIMES} are needed"
    if decades < LEAST_DECADES:
        return f"the times span {decades:.2g} decades; {LEAST_DECADES:g} is needed"
    return ""


def _instants(t: Floats, cell: Integers) -> Integers:
    """Index of the instant of every reading.

    Readings within 25 % of the one before, in order of time, share an instant; where cells were
    read so often that this never ends, as many as lie within 25 % of the first.
    """
    order = np.argsort(t, kind="stable")
    log = np.log(t[order]) / np.log(SAME_INSTANT)
    linked = np.concatenate(([0], np.cumsum(np.diff(log) > 1)))
    start = log[np.searchsorted(linked, linked)]
    pairs = linked * (cell.max() + 1) + cell[order]
    once = np.unique(pairs, return_index=True)[1]  # a reading of every cell in every instant
    repeated = np.bincount(linked) > np.bincount(linked[once])
    within = np.where(repeated[linked], np.floor(log - start), 0)
    keys = np.stack([linked, within])
    result = np.empty(len(t), int)
    result[order] = np.unique(keys, axis=1, return_inverse=True)[1].ravel()
    return result
