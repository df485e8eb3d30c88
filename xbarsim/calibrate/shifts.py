"""Readings of conductances as shifts since the write, at instants that most cells share."""

import dataclasses

import numpy as np

from xbarsim.base.errors import OutOfRangeError, ShapeError

LEAST_TIMES, LEAST_DECADES, LEAST_CELLS, LEAST_SHARE = 3, 1.0, 8, 0.5
SAME_INSTANT = 1.25  # ratio of times that count as one


@dataclasses.dataclass(frozen=True)
class Readings:
    """Readings sorted by cell, then time.

    time : (n,) s after the write;  conductance : (n,) S;  cell : (n,) number of the cell
    """

    time: np.ndarray
    conductance: np.ndarray
    cell: np.ndarray

    def where(self, keep):
        return Readings(self.time[keep], self.conductance[keep], self.cell[keep])


@dataclasses.dataclass(frozen=True)
class Shifts:
    """Shifts of conductances since the write, at instants that most cells share.

    time, shift : (n,) s and S;  cell, instant : (n,) numbers;  written : (cells,) S at the write
    missing : why nothing is identified, few : why no spread is, "" where they are
    """

    time: np.ndarray
    shift: np.ndarray
    cell: np.ndarray
    instant: np.ndarray
    written: np.ndarray
    missing: str = ""
    few: str = ""

    @property
    def cells(self):
        return len(self.written)

    def average(self, values):
        """Mean of (n,) values at every instant."""
        return np.bincount(self.instant, values) / np.bincount(self.instant)

    def log_time(self):
        """log10 of the median time of every instant."""
        logs = np.log10(self.time)
        return np.array([np.median(logs[self.instant == k]) for k in range(self.instant.max() + 1)])

    def deviation(self):
        """Shifts about the mean of their instant."""
        return self.shift - self.average(self.shift)[self.instant]

    def variance(self):
        """Variance over cells of the shift at every instant."""
        square = np.bincount(self.instant, self.deviation() ** 2)
        return square / np.maximum(np.bincount(self.instant) - 1, 1)


def sorted_readings(time, conductance, cell, initial):
    """(Readings, conductance of each cell at the write)."""
    t, g = np.asarray(time, float), np.asarray(conductance, float)
    label = np.zeros(t.shape, int)
    if cell is not None:
        label = np.unique(np.asarray(cell), return_inverse=True)[1]
    start = g if initial is None else np.asarray(initial, float)
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
    return readings, start[order][_first(readings)]


def _first(readings):
    """Index of the first reading of every cell."""
    return np.searchsorted(readings.cell, np.arange(readings.cell.max() + 1))


def shifts_since_write(readings, written, relative):
    """(Shifts, notes on the times that were left out).

    relative : the first reading of a cell is the reference itself, and no shift
    """
    keep = readings.time > 0
    if relative:
        keep[_first(readings)] = False
    if not keep.any():
        raise OutOfRangeError("no reading after the write; read each cell at several times")
    kept = readings.where(keep)
    cells = len(written)
    instant = _instants(kept.time, kept.cell)
    count = np.bincount(instant)
    often = count >= LEAST_SHARE * cells  # the others are of another choice of cells
    left_out = [
        f"left out: {np.median(kept.time[instant == k]):.3g} s, which {count[k]:,} of {cells:,} "
        "cells have"
        for k in np.flatnonzero(~often)
    ]
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
    return dataclasses.replace(shifts, missing=missing, few=few), left_out


def _missing(log_time):
    decades = log_time.max() - log_time.min()
    if len(log_time) < LEAST_TIMES:
        return f"{len(log_time)} times; {LEAST_TIMES} are needed"
    if decades < LEAST_DECADES:
        return f"the times span {decades:.2g} decades; {LEAST_DECADES:g} is needed"
    return ""


def _instants(t, cell):
    """Index of the instant of every reading.

    Readings within 25 % of the one before, in order of time, share an instant; where cells were
    read so often that this never ends, as many as lie within 25 % of the first.
    """
    order = np.argsort(t, kind="stable")
    log = np.log(t[order]) / np.log(SAME_INSTANT)
    linked = np.concatenate(([0], np.cumsum(np.diff(log) > 1)))
    start = log[np.searchsorted(linked, linked)]
    pairs = linked * (cell.max() + 1) + cell[order]
    repeated = np.bincount(linked) > np.bincount(linked[np.unique(pairs, return_index=True)[1]])
    within = np.where(repeated[linked], np.floor(log - start), 0)
    keys = np.stack([linked, within])
    result = np.empty(len(t), int)
    result[order] = np.unique(keys, axis=1, return_inverse=True)[1].ravel()
    return result
