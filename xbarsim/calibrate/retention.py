"""Conductances against time after the write: relaxation (spread grows with log time) or drift (power law of each cell)."""
import dataclasses

import numpy as np
from scipy import stats

from xbarsim.calibrate.result import Curve, FitResult, Parameter
from xbarsim.calibrate.statistics import TAIL, t_interval
from xbarsim.calibrate.tables import Wanted, read_tables
from xbarsim.errors import ConfigError, OutOfRangeError, ShapeError
from xbarsim.units import MICROSIEMENS

COLUMNS = (Wanted("time", "s", ("time", "t", "timept")),
           Wanted("conductance", "S", ("conductance", "g", "measured")),
           Wanted("cell", "text", ("cell", "addr", "address", "device", "id"), optional=True),
           Wanted("initial", "S", ("initial", "g0"), optional=True))
LEAST_TIMES, LEAST_DECADES, LEAST_CELLS, LEAST_SHARE = 3, 1.0, 8, 0.5


def fit_retention(time, conductance, cell=None, initial=None):
    """Shift of the conductance since the write, d = G - G(first): its mean and variance against log10(time / 1 s).

    relaxation : mean and variance of d over the cells, each a straight line in log10 t (ordinary least squares over the
        times, all equal; times that fewer than half of the cells have are left out); intervals from the scatter of the
        cells, each of which is one observation of all times
    drift : G = G1 (t / t1)^-nu of each cell by its own least squares in ln t; mean and spread of nu over the cells, the
        spread without what the scatter of the points about each line adds

    The model whose mean and variance at the times describe the shifts better (AIC of normal marginals) is the result.

    Parameters
    ----------
    time : (n,) s since the write; 0 is the write itself.  Times within 25 % of each other count as one
    conductance : (n,) S;  cell : (n,) labels, one cell if None;  initial : (n,) S at the write; without it the first
        reading of each cell

    Returns
    -------
    FitResult : variance_slope, variance_offset (S², per decade and at 1 s), mean_slope, mean_offset (S), or
        drift_mean, drift_sigma

    Raises
    ------
    ShapeError, OutOfRangeError : not finite vectors of one length; negative times; no reading after the write
    """
    t, g = np.asarray(time, float), np.asarray(conductance, float)
    label = np.zeros(t.shape, int) if cell is None else np.unique(np.asarray(cell), return_inverse=True)[1]
    start = g if initial is None else np.asarray(initial, float)
    if t.ndim != 1 or not t.size or not t.shape == g.shape == label.shape == start.shape or not (
            np.isfinite(t) & np.isfinite(g) & np.isfinite(start)).all():
        raise ShapeError(f"time {t.shape}, conductance {g.shape}, cell {label.shape}, initial {start.shape}; allowed: "
                         "finite vectors of one length")
    if (t < 0).any():
        raise OutOfRangeError(f"time is {t.min():g} s; allowed: 0 (the write) or more")
    cells = label.max() + 1
    order = np.lexsort((t, label))
    t, g, label = t[order], g[order], label[order]
    first = np.searchsorted(label, np.arange(cells))
    start = start[order][first]
    keep = t > 0
    readings = t[keep], g[keep], label[keep]
    if initial is None:
        keep[first] = False                                          # the reference itself
    t, label, written = t[keep], label[keep], start[label[keep]]
    shift = g[keep] - written
    if not len(t):
        raise OutOfRangeError("no reading after the write; read each cell at several times")
    instant = _instants(t)
    often = np.bincount(instant) >= LEAST_SHARE * cells              # the others are of another choice of cells
    left_out = tuple(f"left out: {np.median(t[instant == k]):.3g} s, which {(instant == k).sum():,} of {cells:,} cells have"
                     for k in np.flatnonzero(~often))
    keep = often[instant]
    if not keep.any():
        raise OutOfRangeError(f"no time is shared by {LEAST_SHARE:.0%} of the cells; read all cells at the same times")
    t, label, shift = t[keep], label[keep], shift[keep]
    instant = _instants(t)
    moments = _moments(np.log10(t), shift, instant)
    decades = moments["x"].max() - moments["x"].min()
    missing = (f"{len(moments['x'])} times; {LEAST_TIMES} are needed" if len(moments["x"]) < LEAST_TIMES else
               f"the times span {decades:.2g} decades; {LEAST_DECADES:g} is needed" if decades < LEAST_DECADES else "")
    few = missing or (f"{cells} cells; a spread needs {LEAST_CELLS}" if cells < LEAST_CELLS else "")
    fits = [_relaxation(moments, t, shift, label, instant, cells, missing, few),
            _drift(readings, t, shift, label, cells, start, instant, missing, few)]
    fits.sort(key=lambda fit: fit.aic)
    curve = {}
    for name, unit, k in (("mean of the shift", "S", "mean"), ("variance of the shift", "S²", "variance")):
        curve[name] = Curve(("time", "s"), (name, unit), {"cells": (10 ** moments["x"], moments[k])},
                            {f.model.split(",")[0]: (10 ** moments["x"], f.curves[k]) for f in fits if k in f.curves}, True)
    fits = [dataclasses.replace(fit, curves={}) for fit in fits]
    notes = (f"{cells:,} cells at {len(moments['x'])} times from {t.min():.3g} to {t.max():.3g} s; shift against "
             + ("the first reading of each cell" if initial is None else "the initial conductance"),)
    return dataclasses.replace(fits[0], alternatives=(fits[1],), curves=curve, notes=notes + left_out + fits[0].notes)


def _instants(t):
    """Index of the instant of every reading: readings within 25 % of the one before, in order of time, share one."""
    order = np.argsort(t)
    group = np.concatenate(([0], np.cumsum(np.diff(np.log(t[order])) > np.log(1.25))))
    result = np.empty(len(t), int)
    result[order] = group
    return result


def _moments(x, shift, instant):
    """Mean and variance of the shift at every instant, and log10 of its median time."""
    count = np.bincount(instant)
    mean = np.bincount(instant, shift) / count
    deviation = shift - mean[instant]
    variance = np.bincount(instant, deviation ** 2) / np.maximum(count - 1, 1)
    return {"x": np.array([np.median(x[instant == k]) for k in range(len(count))]),
            "count": count, "mean": mean, "variance": variance,
            "deviation": deviation}


def _line(x, y):
    """(offset, slope, weights): weights (2, k) such that both are weights @ y."""
    design = np.stack([np.ones(len(x)), x], axis=1)
    weights = np.linalg.pinv(design)
    return *(weights @ y), weights


def _relaxation(moments, t, shift, label, instant, cells, missing, few):
    names = (("variance_offset", "S²"), ("variance_slope", "S²"), ("mean_offset", "S"), ("mean_slope", "S"))
    model = "relaxation, mean and variance linear in log10(time)"
    if missing:
        return FitResult("retention", model, tuple(Parameter.unknown(*name, missing) for name in names), len(t), {}, np.inf)
    x, parameters, lines = moments["x"], [], {}
    for key, unit, excess in (("variance", "S²", moments["deviation"] ** 2 - moments["variance"][instant]),
                              ("mean", "S", moments["deviation"])):
        offset, slope, weights = _line(x, moments[key])
        lines[key] = offset + slope * x
        for row, (name, value) in enumerate(((f"{key}_offset", offset), (f"{key}_slope", slope))):
            if few:
                parameters.append(Parameter.unknown(name, unit, few))
                continue
            influence = np.bincount(label, weights[row][instant] * excess / moments["count"][instant], cells)
            error = np.sqrt((influence ** 2).sum() * cells / (cells - 1))
            parameters.append(t_interval(name, unit, value, error, cells - 1))
    goodness = {f"r_squared_{key}": 1 - float(np.var(moments[key] - line) / max(np.var(moments[key]), 1e-300))
                for key, line in lines.items()}
    device = {}
    if not few and lines["variance"].min() >= 0:
        values = [p.value / MICROSIEMENS ** (2 if p.unit == "S²" else 1) for p in parameters]
        keys = ("variance_offset_us2", "variance_slope_us2", "mean_offset_us", "mean_slope_us")
        device = {"relaxation": dict(zip(keys, values, strict=True)) | {"valid_time_s": _valid(x)}}
    return FitResult("retention", model, tuple(parameters), len(t), goodness,
                     _aic(shift, lines["mean"][instant], lines["variance"][instant], 4), curves=lines, device=device)


def _valid(x):
    """Times in s that hold the fitted instants, rounded inward to six digits."""
    return [float(f"{10 ** x.min():.6g}"), float(f"{10 ** x.max():.6g}")]


def _aic(shift, mean, variance, parameters):
    if not (variance > 0).all():
        return np.inf
    return float((np.log(2 * np.pi * variance) + (shift - mean) ** 2 / variance).sum() + 2 * parameters)


def _drift(readings, t, shift, label, cells, start, instant, missing, few):
    model = "drift, G (t / t1)^-nu of each cell"
    names = (("drift_mean", "1"), ("drift_sigma", "1"))
    every, g, whose = readings
    usable = np.bincount(whose, g > 0, cells) == np.maximum(np.bincount(whose, minlength=cells), LEAST_TIMES)
    if not missing and not usable.any():
        missing = f"no cell has {LEAST_TIMES} times with a conductance above 0 S"
    if missing:
        return FitResult("retention", model, tuple(Parameter.unknown(*name, missing) for name in names), len(t), {}, np.inf)
    mine = usable[whose]
    x, y, owner = np.log(every[mine]), np.log(g[mine]), whose[mine]
    count = np.bincount(owner, minlength=cells)
    safe = np.maximum(count, 1)
    mx, my = np.bincount(owner, x, cells) / safe, np.bincount(owner, y, cells) / safe
    dx, dy = x - mx[owner], y - my[owner]
    sxx = np.bincount(owner, dx * dx, cells)
    usable &= sxx > 0
    nu = -np.bincount(owner, dx * dy, cells)[usable] / sxx[usable]
    everyone = np.zeros(cells)
    everyone[usable] = nu
    residual = dy + everyone[owner] * dx
    freedom = np.maximum(count - 2, 1)
    noise = (np.bincount(owner, residual ** 2, cells) / freedom)[usable].mean() / sxx[usable]
    k = len(nu)
    if k == 1:
        error = np.sqrt(noise[0])
        mean = t_interval(*names[0], nu[0], error, freedom[usable][0])
    else:
        mean = t_interval(*names[0], nu.mean(), nu.std(ddof=1) / np.sqrt(k), k - 1)
    if k < LEAST_CELLS:
        spread = Parameter.unknown(*names[1], few or f"{k} usable cells; a spread needs {LEAST_CELLS}")
    else:
        variance = nu.var(ddof=1)
        inside = np.clip(variance * (k - 1) / stats.chi2.ppf([1 - TAIL, 0.5, TAIL], k - 1) - noise.mean(), 0, None)
        spread = (Parameter.known(*names[1], np.sqrt(variance - noise.mean()), np.sqrt(inside[0]), np.sqrt(inside[2]))
                  if inside[0] > 0 else
                  Parameter.unknown(*names[1], "not above what the scatter about the lines alone gives"))
    reference = float(every.min())
    log = np.log(t / reference)
    sigma = spread.value if spread.identified else 0.0
    drifted = start[label] * np.exp(-mean.value * log)               # of nu normal: moments of a log-normal
    mean_shift = drifted * np.exp((sigma * log) ** 2 / 2) - start[label]
    scatter = (residual ** 2).sum() / max(len(residual) - 2 * k, 1)
    variance = (drifted ** 2 * np.exp((sigma * log) ** 2) * np.expm1((sigma * log) ** 2)
                + scatter * (drifted ** 2 + start[label] ** 2))
    unit = np.bincount(instant)
    curves = {"mean": np.bincount(instant, mean_shift) / unit, "variance": np.bincount(instant, variance) / unit}
    device = {}
    if mean.identified:
        device = {"drift": {"reference_s": reference, "nu_mean": mean.value, "nu_sigma": sigma,
                            "valid_time_s": [reference, float(t.max())]}}
    notes = () if k == cells else (f"drift from {k:,} cells: {cells - k:,} have fewer than {LEAST_TIMES} times, or a "
                                   "reading of 0 S or less",)
    return FitResult("retention", model, (mean, spread), len(t), {"rms_residual_percent": 100 * float(np.sqrt(
        (residual ** 2).mean()))}, _aic(shift, mean_shift, variance, 3), notes=notes, curves=curves, device=device)


def from_files(paths, columns, where):
    """`fit_retention` of files with time and conductance; a column of cells, or one cell in each file."""
    tables = read_tables(paths, COLUMNS, columns, where)
    for name in ("cell", "initial"):
        if len({name in table for table in tables}) > 1:
            raise ConfigError(f"some files have a column {name!r} and some have not; make them alike")
    joined = {name: np.concatenate([t[name] for t in tables]) for name in ("time", "conductance")}
    cell = np.concatenate([t["cell"] if "cell" in t else np.full(len(t), str(k)) for k, t in enumerate(tables)])
    initial = np.concatenate([t["initial"] for t in tables]) if "initial" in tables[0] else None
    if sum(map(len, tables)) < LEAST_TIMES:
        tables[0].require(LEAST_TIMES, "a fit of retention")
    result = fit_retention(joined["time"], joined["conductance"], cell, initial)
    return dataclasses.replace(result, inputs=tuple(t.echo for t in tables))
