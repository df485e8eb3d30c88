"""Stuck cells, isolated or along whole lines, of a map of conductances; or of a list of devices.

A stuck cell that was told a value near the one at which it sits looks healthy.  Every fault that is
seen therefore counts as 1 / E, where E is the number of cells in which a fault at its conductance
would have been seen (Horvitz-Thompson).
"""

import dataclasses
import enum
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from xbarsim.base.array_files import read_array
from xbarsim.base.errors import ConfigError
from xbarsim.base.units import MICROSIEMENS
from xbarsim.calibrate.healthy_cells import checked_map, healthy_cells
from xbarsim.calibrate.result import Curve, FitResult, Parameter
from xbarsim.calibrate.statistics import proportion, weighted_proportion
from xbarsim.calibrate.tables import unit_scale
from xbarsim.calibrate.yields import fit_yield, is_list, read_yield

SIGNIFICANT = 1e-3  # of the tests for lines, over all lines of a map
STUCK_LINE = 0.5  # share of stuck cells above which a line counts as stuck
MOST_STUCK = 0.25  # a larger share of cells far from their targets: these are not the targets
LINES = ("word line", "bit line")


class Way(enum.Enum):
    """At which end of the window a cell is stuck."""

    ON = "on"
    OFF = "off"


@dataclasses.dataclass(frozen=True)
class _Faults:
    """Cells stuck one way.

    seen : (m, n) bool;  value : S, where one sits (of those seen, or the end of the targets)
    shown : (m, n) bool, cells in which a fault at `value` is seen;  rows, columns : (m,), (n,)
        bool, stuck lines
    """

    way: Way
    seen: np.ndarray
    value: float
    shown: np.ndarray
    rows: np.ndarray
    columns: np.ndarray

    @property
    def on_lines(self):
        return self.rows[:, None] | self.columns


def fit_faults(conductance: ArrayLike, target: ArrayLike | None = None) -> FitResult:
    """Rates of stuck cells, and whether they lie on lines.

    A cell is stuck where it is farther from the healthy cells of its target than six robust
    standard deviations of these (median, and 1.4826 x median absolute deviation; neighbouring
    targets are taken together up to 64 cells), more if their tails are heavier than normal: on
    above the middle of the targets, off below.  A word or bit line is stuck where more than half of
    its cells are stuck the same way and that many are not chance at the rate of the other lines
    (binomial, p < 1e-3 over all lines).  What is left is isolated.  A fault counts by the cells in
    which it would have been seen, not by all cells: with targets all over the window, cells stuck
    at an end of it are hidden where they were told to be there.  The alternative is a single rate.

    Parameters
    ----------
    conductance : (m, n) S, NaN for a cell that was not measured;  target : (m, n) S, the same for
        all cells if None

    Returns
    -------
    FitResult : on_rate, off_rate of isolated cells; word_line_on_rate, ... of whole lines

    Raises
    ------
    ShapeError, OutOfRangeError : not a matrix, an infinite conductance, fewer than 64 measured
        cells

    Examples
    --------
    >>> import numpy as np
    >>> g = np.random.default_rng(0).normal(20e-6, 0.5e-6, (64, 64))
    >>> g[3, :8] = 1e-6
    >>> f"{fit_faults(g).off_rate.value:.5f}"
    '0.00195'
    """
    cells = checked_map(conductance, target)
    healthy = healthy_cells(cells)
    reason = _why_unknown(cells, healthy)
    if reason:
        return _unknown(cells, healthy, reason)
    faults = [_find(way, cells, healthy) for way in Way]
    isolated = [_isolated_rate(found, cells, healthy) for found in faults]
    lines = [_line_rate(found, axis, cells) for axis in (0, 1) for found in faults]
    parameters = (*isolated, *lines)
    clusters = _dispersion(faults)
    any_line = any(found.on_lines.any() for found in faults)
    likelihood = sum(_likelihood_with_lines(found) for found in faults)
    return FitResult(
        "faults",
        "isolated and line faults",
        parameters,
        int(cells.measured.sum()),
        {f"dispersion_{line.replace(' ', '_')}s_p": p for line, p in clusters.items()},
        -2 * likelihood + 2 * (6 if any_line else 2),
        alternatives=(_single_rate(faults, cells, healthy),),
        notes=_notes(cells, healthy, faults, clusters),
        curves=_curves(cells, healthy),
        device={"stuck": _table(parameters, faults)},
    )


# ---------------------------------------------------------------- maps that tell nothing


def _why_unknown(cells, healthy):
    """Why no rate can be told, or ""."""
    if not healthy.known.any():
        return "half of the cells or more are alike: no healthy spread to tell stuck cells from"
    far = healthy.shows(cells.conductance).sum() / healthy.known.sum()
    if far > MOST_STUCK:
        return (
            f"{far:.0%} of the cells are far from the median: the map is not of one target; give "
            "the targets as a "
            "second file"
        )
    return ""


def _unknown(cells, healthy, reason):
    names = [f"{line}{way.value}_rate" for line in ("", "word_line_", "bit_line_") for way in Way]
    parameters = tuple(Parameter.unknown(name, "1", reason) for name in names)
    return FitResult(
        "faults",
        "isolated and line faults",
        parameters,
        int(cells.measured.sum()),
        {},
        np.inf,
        notes=(_shape(cells),),
        curves=_curves(cells, healthy),
    )


# ---------------------------------------------------------------- faults


def _find(way, cells, healthy):
    """_Faults of one way."""
    middles = healthy.middle[healthy.known]
    centre = (middles.min() + middles.max()) / 2
    side = cells.conductance > centre if way is Way.ON else cells.conductance < centre
    seen = healthy.shows(cells.conductance) & side
    value = _stuck_value(way, seen, cells, healthy)
    shown = seen | healthy.shows(value)
    return _Faults(way, seen, value, shown, *_stuck_lines(seen, shown))


def _stuck_value(way, seen, cells, healthy):
    """Conductance (S) of a fault: the median of those seen, weighed; else the end of the targets.

    With one target there is no end: 0 S is off, and above every healthy cell is on.
    """
    if seen.any():
        values = np.sort(cells.conductance[seen])
        weights = np.cumsum(1 / healthy.exposure(values, cells.measured))
        return float(values[np.searchsorted(weights, weights[-1] / 2)])
    middles = healthy.middle[healthy.known]
    end = middles.max() if way is Way.ON else middles.min()
    if healthy.shows(end).any():
        return float(end)
    return np.inf if way is Way.ON else 0.0


def _stuck_lines(seen, shown):
    """(m,) and (n,): stuck word and bit lines, worst first until the next may be chance."""
    found = [np.zeros(size, bool) for size in seen.shape]
    while True:
        rest = shown & ~(found[0][:, None] | found[1])
        worst = min(
            (_worst_line(seen & rest, rest, axis) for axis in (0, 1)), key=lambda line: line[0]
        )
        probability, axis, line = worst
        if probability * sum(seen.shape) >= SIGNIFICANT:
            return found
        found[axis][line] = True


def _worst_line(stuck, cells, axis):
    """(probability by chance, axis, index) of the line of an axis that is least likely chance."""
    total = cells.sum(axis=1 - axis)
    count = stuck.sum(axis=1 - axis)
    others = np.maximum(cells.sum() - total, 1)
    rate = np.clip((stuck.sum() - count + 0.5) / (others + 1), 0, 1)
    suspect = (total > 1) & (count > STUCK_LINE * total)
    probability = np.where(suspect, stats.binom.sf(count - 1, total, rate), 1.0)
    line = int(np.argmin(probability))
    return probability[line], axis, line


def _isolated_rate(found, cells, healthy):
    """Parameter of the faults off the stuck lines."""
    name = f"{found.way.value}_rate"
    if found.way is Way.OFF and not healthy.shows(0.0).any():
        return Parameter.unknown(
            name,
            "1",
            "the healthy cells reach below 0 S: a cell stuck off cannot be told from a healthy one",
        )
    rest = cells.measured & ~found.on_lines
    exposure = healthy.exposure(cells.conductance[found.seen & rest], rest)
    unseen = healthy.exposure([found.value], rest)[0]
    if not exposure.size and not unseen:
        return Parameter.unknown(
            name, "1", "every cell in which a fault would be seen lies on a stuck line"
        )
    return weighted_proportion(name, exposure, unseen)


def _line_rate(found, axis, cells):
    """Parameter of the stuck lines of an axis, of those with a measured cell."""
    name = f"{LINES[axis].replace(' ', '_')}_{found.way.value}_rate"
    if not found.shown.any():
        return Parameter.unknown(
            name,
            "1",
            "the healthy cells reach below 0 S: a line stuck off cannot be told from a healthy one",
        )
    stuck = (found.rows, found.columns)[axis]
    measured = (found.shown & cells.measured).any(axis=1 - axis)
    return proportion(name, int(stuck.sum()), int(measured.sum()))


def _single_rate(faults, cells, healthy):
    """FitResult of one rate for all cells."""
    rates = []
    for found in faults:
        without_lines = dataclasses.replace(
            found, rows=np.zeros_like(found.rows), columns=np.zeros_like(found.columns)
        )
        rates.append(_isolated_rate(without_lines, cells, healthy))
    likelihood = sum(_likelihood(found.seen.sum(), found.shown.sum()) for found in faults)
    return FitResult(
        "faults",
        "one rate for all cells",
        tuple(rates),
        int(cells.measured.sum()),
        {},
        -2 * likelihood + 4,
    )


def _likelihood_with_lines(found):
    """Logarithm of the likelihood of cells on and off the stuck lines, and of the lines."""
    parts = [
        (found.seen & where, found.shown & where) for where in (found.on_lines, ~found.on_lines)
    ]
    in_cells = sum(_likelihood(seen.sum(), shown.sum()) for seen, shown in parts)
    return in_cells + sum(
        _likelihood(line.sum(), line.size) for line in (found.rows, found.columns)
    )


def _likelihood(count, total):
    """Largest logarithm of the likelihood of a rate."""
    share = np.array([count, total - count])
    return float((share[share > 0] * np.log(share[share > 0] / total)).sum())


def _dispersion(faults):
    """{"word line", "bit line": p} that faults outside stuck lines fall evenly (chi-squared)."""
    rows = faults[0].rows | faults[1].rows
    columns = faults[0].columns | faults[1].columns
    result = {}
    for axis, line in enumerate(LINES):
        count, expected, variance = 0, 0, 0
        for found in faults:
            seen = found.seen[~rows][:, ~columns].sum(axis=1 - axis)
            shown = found.shown[~rows][:, ~columns].sum(axis=1 - axis)
            rate = seen.sum() / max(shown.sum(), 1)
            count = count + seen
            expected = expected + rate * shown
            variance = variance + rate * (1 - rate) * shown
        able = variance > 0
        if able.sum() > 1:
            squares = (count - expected)[able] ** 2 / variance[able]
            result[line] = float(stats.chi2.sf(squares.sum(), able.sum() - 1))
    return result


# ---------------------------------------------------------------- what is written down


def _table(parameters, faults):
    """[stuck] of a device file."""
    table = {p.name: p.value for p in parameters if p.identified}
    for found in faults:
        if found.seen.any():
            table[f"{found.way.value}_us"] = max(found.value / MICROSIEMENS, 0.0)
    return table


def _notes(cells, healthy, faults, clusters):
    stuck_lines = [
        f"{line} {k} stuck {found.way.value}"
        for found in faults
        for line, mask in zip(LINES, (found.rows, found.columns), strict=True)
        for k in np.flatnonzero(mask)
    ]
    return (
        f"{_shape(cells)}; {_healthy_note(cells, healthy)}",
        ", ".join(stuck_lines) or "no stuck line",
        *(_hidden_note(found, cells) for found in faults if (cells.measured & ~found.shown).any()),
        *(
            f"isolated faults lie more unevenly on {line}s than by chance (p = {p:.2g}): they "
            "cluster"
            for line, p in clusters.items()
            if p < SIGNIFICANT
        ),
    )


def _shape(cells):
    rows, columns = cells.conductance.shape
    missing = int((~cells.measured).sum())
    return f"{rows} x {columns} cells" + (f", {missing:,} of them not measured" if missing else "")


def _healthy_note(cells, healthy):
    sigma = healthy.sigma[healthy.known] * 1e6
    if np.ptp(healthy.middle[healthy.known]) == 0:
        return (
            f"healthy {healthy.middle[healthy.known][0] * 1e6:.4g} ± {sigma[0]:.3g} µS, stuck "
            "below "
            f"{healthy.low[healthy.known][0] * 1e6:.4g} and above "
            f"{healthy.high[healthy.known][0] * 1e6:.4g} µS"
        )
    spread = (
        f"{sigma.min():.3g}" if np.ptp(sigma) == 0 else f"{sigma.min():.3g} to {sigma.max():.3g}"
    )
    targets = np.unique(cells.target[cells.measured]).size
    return (
        f"{targets:,} targets; healthy cells ± {spread} µS about theirs, stuck beyond "
        f"{healthy.reach:.3g} times as much"
    )


def _hidden_note(found, cells):
    place = (
        "not seen at all"
        if not np.isfinite(found.value) or not found.shown.any()
        else (f"seen in {found.shown.sum():,} of {cells.measured.sum():,} cells")
    )
    value = f"{found.value * 1e6:.4g} µS"
    return f"a cell stuck {found.way.value} at {value} is {place}; the rate is of these"


def _curves(cells, healthy):
    known = healthy.known if healthy.known.any() else cells.measured
    error = np.sort((cells.conductance - cells.target)[known])
    rank = (np.arange(error.size) + 0.5) / error.size
    low, high = ((bound - cells.target)[known] for bound in (healthy.low, healthy.high))
    limits = {
        "stuck off below": (np.full(2, np.median(low)), np.array([0.0, 1.0])),
        "stuck on above": (np.full(2, np.median(high)), np.array([0.0, 1.0])),
    }
    return {
        "distribution of the map": Curve(
            ("conductance - target", "S"), ("share below", ""), {"cells": (error, rank)}, limits
        )
    }


# ---------------------------------------------------------------- files


def from_files(paths, columns, where):
    """Rates of stuck cells of a map, of a map and its targets, or of lists of devices.

    A map is a plain matrix (.csv, .npy, .h5), word lines in rows; `columns` may say {"conductance":
    ":UNIT"} of both where it is not S.  Lists have a header: see `xbarsim.calibrate.yields`.
    """
    if is_list(paths[0], columns):
        return fit_yield(*read_yield(paths, columns, where))
    return _from_maps(paths, columns, where)


def _from_maps(paths, columns, where):
    unit = columns.get("conductance", ":S").removeprefix(":")
    if where or set(columns) - {"conductance"}:
        raise ConfigError(
            "faults reads a plain matrix of conductances, word lines in rows: --where does not "
            "apply, and --column only as conductance=:UNIT; or a list of devices with a header, "
            "one of whose columns says whether a device works"
        )
    if unit_scale(unit, "S") is None:
        raise ConfigError(
            f"--column conductance=:{unit}: {unit!r} is no unit of conductance or resistance; "
            "examples: S, uS, kohm"
        )
    if len(paths) > 2:
        raise ConfigError(f"faults takes a map and its targets, got {len(paths)} files")
    maps = [_in_siemens(read_array(path), unit) for path in paths]
    result = fit_faults(*maps)
    inputs = zip(paths, maps, ("conductance", "target"), strict=False)
    return dataclasses.replace(
        result,
        inputs=tuple(
            f"{Path(path).name}: {what} in {unit}, {' x '.join(map(str, array.shape))}"
            for path, array, what in inputs
        ),
    )


def _in_siemens(array, unit):
    factor, inverted = unit_scale(unit, "S")
    if not inverted:
        return factor * array
    with np.errstate(divide="ignore"):
        return 1 / (factor * array)
