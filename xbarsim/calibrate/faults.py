"""Stuck cells, isolated or along whole lines, of a map of conductances; or of a list of devices.

A stuck cell that was told a value near the one at which it sits looks healthy.  Every fault that is
seen therefore counts as 1 / E, where E is the number of cells in which a fault at its conductance
would have been seen (Horvitz-Thompson).
"""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from xbarsim.base.array_files import read_array
from xbarsim.base.array_types import Floats
from xbarsim.base.errors import ConfigError
from xbarsim.base.units import MICROSIEMENS
from xbarsim.calibrate.healthy_cells import Healthy, Map, checked_map, healthy_cells
from xbarsim.calibrate.quantities import Scale
from xbarsim.calibrate.result import Axis, Curve, DeviceTable, FitResult, Line, Parameter
from xbarsim.calibrate.statistics import proportion, weighted_proportion
from xbarsim.calibrate.stuck_cells import (
    SIGNIFICANT,
    Faults,
    Lines,
    Way,
    dispersion,
    find_faults,
    likelihood_of_one_rate,
    likelihood_with_lines,
)
from xbarsim.calibrate.tables import unit_scale
from xbarsim.calibrate.yields import is_list, yield_from_files

MODEL = "isolated and line faults"
MOST_STUCK = 0.25  # a larger share of cells far from their targets: these are not the targets
HEALTHY_BELOW_ZERO = (
    "the healthy cells reach below 0 S: a {what} stuck off cannot be told from a healthy one"
)


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
    faults = [find_faults(way, cells, healthy) for way in Way]
    parameters = _rates(faults, cells, healthy)
    clusters = dispersion(faults)
    likelihood = sum(likelihood_with_lines(found) for found in faults)
    any_line = any(found.on_lines.any() for found in faults)
    free = 6 if any_line else 2
    return FitResult(
        kind="faults",
        model=MODEL,
        parameters=tuple(parameters),
        points=int(cells.measured.sum()),
        goodness={f"dispersion_{_key(lines)}s_p": p for lines, p in clusters.items()},
        aic=-2 * likelihood + 2 * free,
        alternatives=(_single_rate(faults, cells, healthy),),
        notes=tuple(_notes(cells, healthy, faults, clusters)),
        curves=_curves(cells, healthy),
        device={"stuck": _table(parameters, faults)},
    )


def _key(lines: Lines) -> str:
    """As it stands in names of parameters: word_line."""
    return lines.value.replace(" ", "_")


# --- maps that tell nothing


def _why_unknown(cells: Map, healthy: Healthy) -> str:
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


def _unknown(cells: Map, healthy: Healthy, reason: str) -> FitResult:
    names = [f"{way.value}_rate" for way in Way]
    for lines in Lines:
        names += [f"{_key(lines)}_{way.value}_rate" for way in Way]
    return FitResult(
        kind="faults",
        model=MODEL,
        parameters=tuple(Parameter.unknown(name, "1", reason) for name in names),
        points=int(cells.measured.sum()),
        goodness={},
        aic=np.inf,
        notes=(_shape(cells),),
        curves=_curves(cells, healthy),
    )


# --- rates


def _rates(faults: Sequence[Faults], cells: Map, healthy: Healthy) -> list[Parameter]:
    """Parameters of isolated cells, then of word lines and of bit lines."""
    parameters = [_isolated_rate(found, cells, healthy) for found in faults]
    for lines in Lines:
        parameters += [_line_rate(found, lines, cells) for found in faults]
    return parameters


def _isolated_rate(found: Faults, cells: Map, healthy: Healthy) -> Parameter:
    """Parameter of the faults off the stuck lines."""
    name = f"{found.way.value}_rate"
    if found.way is Way.OFF and not healthy.shows(0.0).any():
        return Parameter.unknown(name, "1", HEALTHY_BELOW_ZERO.format(what="cell"))
    rest = cells.measured & ~found.on_lines
    exposure = healthy.exposure(cells.conductance[found.seen & rest], rest)
    unseen = int(healthy.exposure([found.value], rest)[0])
    if not exposure.size and not unseen:
        return Parameter.unknown(
            name, "1", "every cell in which a fault would be seen lies on a stuck line"
        )
    return weighted_proportion(name, exposure.astype(float), unseen)


def _line_rate(found: Faults, lines: Lines, cells: Map) -> Parameter:
    """Parameter of the stuck lines of a kind, of those with a measured cell."""
    name = f"{_key(lines)}_{found.way.value}_rate"
    if not found.shown.any():
        return Parameter.unknown(name, "1", HEALTHY_BELOW_ZERO.format(what="line"))
    measured = (found.shown & cells.measured).any(axis=lines.along)
    return proportion(name, int(found.stuck(lines).sum()), int(measured.sum()))


def _single_rate(faults: Sequence[Faults], cells: Map, healthy: Healthy) -> FitResult:
    """The fit of one rate for all cells."""
    rates = [_isolated_rate(found.without_lines(), cells, healthy) for found in faults]
    likelihood = sum(likelihood_of_one_rate(found) for found in faults)
    return FitResult(
        kind="faults",
        model="one rate for all cells",
        parameters=tuple(rates),
        points=int(cells.measured.sum()),
        goodness={},
        aic=-2 * likelihood + 4,
    )


def _table(parameters: Sequence[Parameter], faults: Sequence[Faults]) -> DeviceTable:
    """[stuck] of a device file."""
    table: DeviceTable = {p.name: p.value for p in parameters if p.identified}
    for found in faults:
        if found.seen.any():
            table[f"{found.way.value}_us"] = max(found.value / MICROSIEMENS, 0.0)
    return table


# --- what is said of a map


def _notes(
    cells: Map, healthy: Healthy, faults: Sequence[Faults], clusters: Mapping[Lines, float]
) -> list[str]:
    notes = [
        f"{_shape(cells)}; {_healthy_note(cells, healthy)}",
        ", ".join(_stuck_lines(faults)) or "no stuck line",
    ]
    for found in faults:
        if (cells.measured & ~found.shown).any():
            notes.append(_hidden_note(found, cells))
    for lines, p in clusters.items():
        if p < SIGNIFICANT:
            notes.append(
                f"isolated faults lie more unevenly on {lines.value}s than by chance "
                f"(p = {p:.2g}): they cluster"
            )
    return notes


def _stuck_lines(faults: Sequence[Faults]) -> list[str]:
    """ "word line 3 stuck on" and so on."""
    names = []
    for found in faults:
        for lines in Lines:
            numbers = np.flatnonzero(found.stuck(lines))
            names += [f"{lines.value} {number} stuck {found.way.value}" for number in numbers]
    return names


def _shape(cells: Map) -> str:
    rows, columns = cells.conductance.shape
    missing = int((~cells.measured).sum())
    if not missing:
        return f"{rows} x {columns} cells"
    return f"{rows} x {columns} cells, {missing:,} of them not measured"


def _healthy_note(cells: Map, healthy: Healthy) -> str:
    middle = healthy.middle[healthy.known] * 1e6
    sigma = healthy.sigma[healthy.known] * 1e6
    if np.ptp(healthy.middle[healthy.known]) == 0:
        low = healthy.low[healthy.known][0] * 1e6
        high = healthy.high[healthy.known][0] * 1e6
        return (
            f"healthy {middle[0]:.4g} ± {sigma[0]:.3g} µS, stuck below {low:.4g} and above "
            f"{high:.4g} µS"
        )
    spread = f"{sigma.min():.3g}"
    if np.ptp(sigma) != 0:
        spread = f"{sigma.min():.3g} to {sigma.max():.3g}"
    targets = np.unique(cells.target[cells.measured]).size
    return (
        f"{targets:,} targets; healthy cells ± {spread} µS about theirs, stuck beyond "
        f"{healthy.reach:.3g} times as much"
    )


def _hidden_note(found: Faults, cells: Map) -> str:
    place = "not seen at all"
    if np.isfinite(found.value) and found.shown.any():
        place = f"seen in {found.shown.sum():,} of {cells.measured.sum():,} cells"
    value = f"{found.value * 1e6:.4g} µS"
    return f"a cell stuck {found.way.value} at {value} is {place}; the rate is of these"


def _curves(cells: Map, healthy: Healthy) -> dict[str, Curve]:
    """Panel: distribution of the errors of all cells, and where stuck cells begin."""
    known = healthy.known if healthy.known.any() else cells.measured
    error = np.sort((cells.conductance - cells.target)[known])
    rank = (np.arange(error.size) + 0.5) / error.size
    low = np.median((healthy.low - cells.target)[known])
    high = np.median((healthy.high - cells.target)[known])
    whole = np.array([0.0, 1.0])
    curve = Curve(
        x=Axis("conductance - target", "S"),
        y=Axis("share below", ""),
        data={"cells": Line(error, rank)},
        fit={
            "stuck off below": Line(np.full(2, low), whole),
            "stuck on above": Line(np.full(2, high), whole),
        },
    )
    return {"distribution of the map": curve}


# --- files


def from_files(
    paths: Sequence[str | Path], columns: Mapping[str, str], where: Mapping[str, str]
) -> FitResult:
    """Rates of stuck cells of a map, of a map and its targets, or of lists of devices.

    A map is a plain matrix (.csv, .npy, .h5), word lines in rows; `columns` may say {"conductance":
    ":UNIT"} of both where it is not S.  Lists have a header: see `xbarsim.calibrate.yields`.
    """
    if is_list(paths[0], columns):
        return yield_from_files(paths, columns, where)
    return _from_maps(paths, columns, where)


def _from_maps(
    paths: Sequence[str | Path], columns: Mapping[str, str], where: Mapping[str, str]
) -> FitResult:
    unit = columns.get("conductance", ":S").removeprefix(":")
    if where or set(columns) - {"conductance"}:
        raise ConfigError(
            "faults reads a plain matrix of conductances, word lines in rows: --where does not "
            "apply, and --column only as conductance=:UNIT; or a list of devices with a header, "
            "one of whose columns says whether a device works"
        )
    scale = unit_scale(unit, "S")
    if scale is None:
        raise ConfigError(
            f"--column conductance=:{unit}: {unit!r} is no unit of conductance or resistance; "
            "examples: S, uS, kohm"
        )
    if len(paths) > 2:
        raise ConfigError(f"faults takes a map and its targets, got {len(paths)} files")
    maps = [_in_siemens(read_array(path), scale) for path in paths]
    result = fit_faults(*maps)
    inputs = []
    for path, array, what in zip(paths, maps, ("conductance", "target"), strict=False):
        shape = " x ".join(map(str, array.shape))
        inputs.append(f"{Path(path).name}: {what} in {unit}, {shape}")
    return dataclasses.replace(result, inputs=tuple(inputs))


def _in_siemens(array: Floats, scale: Scale) -> Floats:
    """A map in S; a resistance of 0 is infinite, and refused by the fit."""
    if not scale.inverted:
        return scale.factor * array
    with np.errstate(divide="ignore"):
        return 1 / (scale.factor * array)
