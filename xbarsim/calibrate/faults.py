"""A map of conductances that were told to be one value: stuck cells, isolated or along whole lines."""
import dataclasses
from pathlib import Path

import numpy as np
from scipy import stats

from xbarsim.arrays import read_array
from xbarsim.calibrate.result import Curve, FitResult, Parameter
from xbarsim.calibrate.statistics import proportion
from xbarsim.calibrate.tables import unit_scale
from xbarsim.errors import ConfigError, OutOfRangeError, ShapeError
from xbarsim.units import MICROSIEMENS

SIGNIFICANT = 1e-3        # of the tests for lines, over all lines of a map
STUCK_LINE = 0.5          # share of stuck cells above which a line counts as stuck


def fit_faults(conductance, target=None):
    """Rates of stuck cells, and whether they lie on lines.

    A cell is stuck where it is farther from the median error than six robust standard deviations of the healthy cells
    (1.4826 x median absolute deviation): on above, off below.  A word or bit line is stuck where more than half of its
    cells are stuck the same way and that many are not chance at the rate of the other lines (binomial, p < 1e-3 over all
    lines).  What is left is isolated.  The alternative is a single rate for all cells.

    Parameters
    ----------
    conductance : (m, n) S;  target : (m, n) S, the same for all cells if None

    Returns
    -------
    FitResult : on_rate, off_rate of isolated cells; word_line_on_rate, ... of whole lines

    Raises
    ------
    ShapeError, OutOfRangeError : not a finite matrix of at least 64 cells
    """
    g = np.asarray(conductance, float)
    aim = np.zeros(g.shape) if target is None else np.asarray(target, float)
    if g.ndim != 2 or g.shape != aim.shape or not (np.isfinite(g) & np.isfinite(aim)).all():
        raise ShapeError(f"conductance {g.shape} and target {aim.shape}; allowed: finite matrices of one shape")
    if g.size < 64:
        raise OutOfRangeError(f"a map of {g.shape[0]} x {g.shape[1]} cells; rates need 64 cells or more")
    error = g - aim
    middle = np.median(error)
    sigma = 1.4826 * np.median(abs(error - middle))
    low, high = middle - 6 * sigma, middle + 6 * sigma
    masks = {"on": error > high, "off": error < low}
    stuck = masks["on"] | masks["off"]
    names = [f"{line}{way}_rate" for line in ("", "word_line_", "bit_line_") for way in masks]
    reason = ("half of the cells or more are alike: no healthy spread to tell stuck cells from" if sigma == 0 else
              f"{stuck.mean():.0%} of the cells are far from the median: the map is not of one target; give the targets "
              "as a second file" if stuck.mean() > 0.25 else "")
    shape = f"{g.shape[0]} x {g.shape[1]} cells"
    if reason:
        unknown = tuple(Parameter.unknown(name, "1", reason) for name in names)
        return FitResult("faults", "isolated and line faults", unknown, g.size, {}, np.inf,
                         notes=(shape,), curves=_curves(error, low, high))
    lines, isolated, parts = {}, {}, np.zeros(2)
    for way, mask in masks.items():
        lines[way] = _stuck_lines(mask)
        rows, columns = lines[way]
        rest = ~(rows[:, None] | columns)
        isolated[way] = (int(mask[rest].sum()), int(rest.sum()))
        counts = [isolated[way], (int(mask[~rest].sum()), int((~rest).sum())),      # off the stuck lines and on them
                  *((int(line.sum()), len(line)) for line in (rows, columns))]
        parts += [sum(_likelihood(*count) for count in counts), _likelihood(int(mask.sum()), mask.size)]
    parameters = [proportion(f"{way}_rate", *isolated[way]) for way in masks]
    parameters += [proportion(f"{line}_{way}_rate", int(lines[way][axis].sum()), g.shape[axis])
                   for axis, line in enumerate(("word_line", "bit_line")) for way in masks]
    if np.median(aim) + low <= 0:
        reason = "six deviations below the median is below 0 S: a cell stuck off cannot be told from a healthy one"
        parameters = [Parameter.unknown(p.name, "1", reason) if "off" in p.name else p for p in parameters]
    found = [f"{('word line', 'bit line')[axis]} {k} stuck {way}" for way in masks for axis in (0, 1)
             for k in np.flatnonzero(lines[way][axis])]
    spread = _dispersion(stuck, lines)
    notes = [f"{shape}; healthy {middle * 1e6:.4g} ± {sigma * 1e6:.3g} µS, stuck below {low * 1e6:.4g} and above "
             f"{high * 1e6:.4g} µS", ", ".join(found) or "no stuck line",
             *(f"isolated faults lie more unevenly on {axis} than by chance (p = {p:.2g}): they cluster"
               for axis, p in spread.items() if p < SIGNIFICANT)]
    device = {"stuck": {p.name: p.value for p in parameters if p.identified}}
    for way, mask in masks.items():
        if mask.any():
            device["stuck"][f"{way}_us"] = max(float(np.median(g[mask])) / MICROSIEMENS, 0.0)
    any_line = any(line.any() for pair in lines.values() for line in pair)
    fits = [FitResult("faults", "isolated and line faults", tuple(parameters), g.size,
                      {f"dispersion_{axis.replace(' ', '_')}_p": p for axis, p in spread.items()},
                      -2 * parts[0] + 2 * (6 if any_line else 2), notes=tuple(notes), curves=_curves(error, low, high),
                      device=device)]
    rates = tuple(proportion(f"{way}_rate", int(mask.sum()), g.size) for way, mask in masks.items())
    single = FitResult("faults", "one rate for all cells", rates, g.size, {}, -2 * parts[1] + 4)
    return dataclasses.replace(fits[0], alternatives=(single,))


def _stuck_lines(mask):
    """(m,) and (n,): word lines and bit lines that are stuck, worst first until no further one is beyond chance."""
    found = [np.zeros(size, bool) for size in mask.shape]
    while True:
        rest = ~(found[0][:, None] | found[1])
        best = None
        for axis in (0, 1):
            cells = rest.sum(axis=1 - axis)
            count = (mask & rest).sum(axis=1 - axis)
            others = np.maximum(rest.sum() - cells, 1)
            rate = np.clip(((mask & rest).sum() - count + 0.5) / (others + 1), 0, 1)
            p = np.where((cells > 1) & (count > STUCK_LINE * cells), stats.binom.sf(count - 1, cells, rate), 1.0)
            k = int(np.argmin(p))
            if p[k] * sum(mask.shape) < SIGNIFICANT and (best is None or p[k] < best[0]):
                best = (p[k], axis, k)
        if best is None:
            return found
        found[best[1]][best[2]] = True


def _likelihood(count, total):
    """Largest logarithm of the likelihood of a rate."""
    share = np.array([count, total - count])
    return float((share[share > 0] * np.log(share[share > 0] / total)).sum())


def _dispersion(stuck, lines):
    """{"word lines", "bit lines": p} of the chi-squared test that the faults outside stuck lines fall on lines evenly."""
    rows, columns = (lines["on"][axis] | lines["off"][axis] for axis in (0, 1))
    rest = stuck[~rows][:, ~columns]
    result = {}
    for axis, name in enumerate(("word lines", "bit lines")):
        count = rest.sum(axis=1 - axis)
        if count.sum() > 0 and 0 < rest.mean() < 1:
            expected = rest.shape[1 - axis] * rest.mean() * (1 - rest.mean())
            result[name] = float(stats.chi2.sf(((count - count.mean()) ** 2).sum() / expected, len(count) - 1))
    return result


def _curves(error, low, high):
    order = np.sort(error.ravel())
    rank = (np.arange(len(order)) + 0.5) / len(order)
    limits = {"stuck off below": (np.full(2, low), np.array([0.0, 1.0])),
              "stuck on above": (np.full(2, high), np.array([0.0, 1.0]))}
    return {"distribution of the map": Curve(("conductance - target", "S"), ("share below", ""), {"cells": (order, rank)},
                                             limits)}


def from_files(paths, columns, where):
    """`fit_faults` of a matrix of conductances (.csv, .npy, .h5), and a second one of targets if they differ.

    columns : {"conductance": ":UNIT"} of both where it is not S: a unit of conductance or of resistance
    """
    unit = columns.get("conductance", ":S").removeprefix(":")
    scale = unit_scale(unit, "S")
    if where or set(columns) - {"conductance"}:
        raise ConfigError("faults reads a plain matrix, word lines in rows: --where does not apply, and --column only as "
                          "conductance=:UNIT")
    if scale is None:
        raise ConfigError(f"--column conductance=:{unit}: {unit!r} is no unit of conductance or resistance; "
                          "examples: S, uS, kohm")
    if len(paths) > 2:
        raise ConfigError(f"faults takes a map and its targets, got {len(paths)} files")
    factor, inverted = scale
    with np.errstate(divide="ignore"):
        maps = [1 / (factor * read_array(path)) if inverted else factor * read_array(path) for path in paths]
    result = fit_faults(*maps)
    inputs = zip(paths, maps, ("conductance", "target"), strict=False)
    return dataclasses.replace(result, inputs=tuple(
        f"{Path(path).name}: {what} in {unit}, {' x '.join(map(str, array.shape))}" for path, array, what in inputs))
