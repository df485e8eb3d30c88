"""Conductances against time after the write: relaxation (the spread grows with the logarithm of the
time) or drift (a power law of each cell)."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from xbarsim.base.errors import ConfigError
from xbarsim.base.units import MICROSIEMENS
from xbarsim.calibrate.result import Curve, FitResult, Parameter
from xbarsim.calibrate.shifts import (
    LEAST_CELLS,
    LEAST_TIMES,
    shifts_since_write,
    sorted_readings,
)
from xbarsim.calibrate.statistics import by_aic, spread_interval, t_interval
from xbarsim.calibrate.tables import Wanted, read_tables
from xbarsim.calibrate.write_time import since_write

COLUMNS = (
    Wanted("time", "s", ("time", "t", "timept", "elapsed", "timestamp", "unix", "epoch", "delay")),
    Wanted("conductance", "S", ("conductance", "g", "measured", "gread")),
    Wanted(
        "cell",
        "text",
        ("cell", "addr", "address", "device", "id", "dut", "cellid", "deviceid", "index", "die"),
        optional=True,
    ),
    Wanted(
        "initial",
        "S",
        (
            "initial",
            "g0",
            "init",
            "ginit",
            "ginitial",
            "start",
            "gstart",
            "programmed",
            "gprog",
            "prog",
            "written",
        ),
        optional=True,
    ),
)
EXACT = 1e-10  # scatter of ln G that numbers of a file do not resolve
RELAXATION = "relaxation, mean and variance linear in log10(time)"
DRIFT = "drift, G (t / t1)^-nu of each cell"
RELAXATION_NAMES = (
    ("variance_offset", "S²"),
    ("variance_slope", "S²"),
    ("mean_offset", "S"),
    ("mean_slope", "S"),
)
DRIFT_NAMES = (("drift_mean", "1"), ("drift_sigma", "1"))


@dataclasses.dataclass(frozen=True)
class Described:
    """A fit, its mean and variance of the shift at every instant, its number of free parameters."""

    fit: FitResult
    mean: np.ndarray | None
    variance: np.ndarray | None
    free: int


def fit_retention(
    time: ArrayLike,
    conductance: ArrayLike,
    cell: Sequence[object] | None = None,
    initial: ArrayLike | None = None,
) -> FitResult:
    """Shift of the conductance since the write, d = G - G(first): its mean and variance against
    log10(time / 1 s).

    relaxation : mean and variance of d over the cells, each a straight line in log10 t (ordinary
        least squares over the times, all equal; times that fewer than half of the cells have are
        left out); intervals from the scatter of the cells, each of which is one observation of all
        times
    drift : G = G1 (t / t1)^-nu of each cell by its own least squares in ln t; mean and spread of nu
        over the cells, the spread without what the scatter of the points about each line adds

    The model whose mean and variance at the times describe the shifts better (AIC of normal
    marginals) is the result; of a tie, drift, which has fewer parameters.

    Parameters
    ----------
    time : (n,) s since the write; 0 is the write itself.  Times within 25 % of each other count as
        one.  Unix times are recognised; the write is then a fitted time before the first reading of
        each cell
    conductance : (n,) S;  cell : (n,) labels, one cell if None;  initial : (n,) S at the write;
        without it the first reading of each cell

    Returns
    -------
    FitResult : variance_slope, variance_offset (S², per decade and at 1 s), mean_slope, mean_offset
        (S), or drift_mean, drift_sigma; write_delay (s) with Unix times

    Raises
    ------
    ShapeError, OutOfRangeError : not finite vectors of one length; negative times; no reading after
        the write
    """
    readings, written = sorted_readings(time, conductance, cell, initial)
    found = since_write(readings.time, readings.conductance, readings.cell)
    readings = dataclasses.replace(readings, time=found.time)
    shifts, left_out = shifts_since_write(readings, written, initial is None)
    described = [
        _relaxation(shifts),
        _drift(readings.where(readings.time > 0), shifts, found),
    ]
    ranked = by_aic([(d.fit, d.free) for d in described])
    ordered = sorted(described, key=lambda d: ranked.index(d.fit))
    times = shifts.log_time()
    against = "the first reading of each cell" if initial is None else "the initial conductance"
    span = f"{shifts.time.min():.3g} to {shifts.time.max():.3g} s"
    about = f"{shifts.cells:,} cells at {len(times)} times from {span}; shift against {against}"
    best = ordered[0].fit
    return dataclasses.replace(
        best,
        parameters=(*best.parameters, *found.parameters()),
        alternatives=tuple(d.fit for d in ordered[1:]),
        curves=_curves(shifts, ordered),
        notes=(about, *left_out, *found.notes(), *best.notes),
    )


def _curves(shifts, ordered):
    """Panels of the picture: mean and variance of the shift against time."""
    time = 10 ** shifts.log_time()
    panels = {}
    for title, unit, key, data in (
        ("mean of the shift", "S", "mean", shifts.average(shifts.shift)),
        ("variance of the shift", "S²", "variance", shifts.variance()),
    ):
        lines = {
            d.fit.model.split(",")[0]: (time, getattr(d, key))
            for d in ordered
            if getattr(d, key) is not None
        }
        panels[title] = Curve(("time", "s"), (title, unit), {"cells": (time, data)}, lines, True)
    return panels


def _not_identified(model, names, shifts):
    """The fit of a model that the times do not determine."""
    parameters = tuple(Parameter.unknown(*name, shifts.missing) for name in names)
    fit = FitResult("retention", model, parameters, len(shifts.time), {}, np.inf)
    return Described(fit, None, None, len(names))


def _aic(shifts, mean, variance, free):
    """AIC of normal shifts with this mean and variance at every instant."""
    if not (variance > 0).all():
        return np.inf
    mean, variance = mean[shifts.instant], variance[shifts.instant]
    deviance = np.log(2 * np.pi * variance) + (shifts.shift - mean) ** 2 / variance
    return float(deviance.sum() + 2 * free)


def _valid(log_time):
    """Times in s that hold the fitted instants, rounded inward to six digits."""
    return [float(f"{10**end:.6g}") for end in (log_time.min(), log_time.max())]


# --- relaxation


def _relaxation(shifts):
    if shifts.missing:
        return _not_identified(RELAXATION, RELAXATION_NAMES, shifts)
    log_time = shifts.log_time()
    deviation, variance = shifts.deviation(), shifts.variance()
    parameters, lines, goodness = [], {}, {}
    for key, unit, data, excess in (
        ("variance", "S²", variance, deviation**2 - variance[shifts.instant]),
        ("mean", "S", shifts.average(shifts.shift), deviation),
    ):
        design = np.stack([np.ones(len(log_time)), log_time], axis=1)
        weights = np.linalg.pinv(design)  # (2, times): offset and slope of the data
        line = weights @ data
        lines[key] = design @ line
        goodness[f"r_squared_{key}"] = _r_squared(data, lines[key])
        for name, value, row in zip(("offset", "slope"), line, weights, strict=True):
            parameters.append(_of_cells(f"{key}_{name}", unit, value, row, excess, shifts))
    fit = FitResult(
        kind="retention",
        model=RELAXATION,
        parameters=tuple(parameters),
        points=len(shifts.time),
        goodness=goodness,
        aic=_aic(shifts, lines["mean"], lines["variance"], 4),
        device=_relaxation_table(parameters, lines, log_time, shifts),
    )
    return Described(fit, lines["mean"], lines["variance"], 4)


def _r_squared(data, line):
    return 1 - float(np.var(data - line) / max(np.var(data), 1e-300))


def _of_cells(name, unit, value, weights, excess, shifts):
    """Parameter that is weights @ (a mean over cells at every instant), with the error from the
    scatter of what each cell adds to it."""
    if shifts.few:
        return Parameter.unknown(name, unit, shifts.few)
    count, cells = np.bincount(shifts.instant), shifts.cells
    share = weights[shifts.instant] * excess / count[shifts.instant]
    influence = np.bincount(shifts.cell, share, cells)
    error = np.sqrt((influence**2).sum() * cells / (cells - 1))
    return t_interval(name, unit, value, error, cells - 1)


def _relaxation_table(parameters, lines, log_time, shifts):
    if shifts.few or lines["variance"].min() < 0:
        return {}
    keys = ("variance_offset_us2", "variance_slope_us2", "mean_offset_us", "mean_slope_us")
    power = {"S²": 2, "S": 1}
    values = [p.value / MICROSIEMENS ** power[p.unit] for p in parameters]
    table = dict(zip(keys, values, strict=True))
    return {"relaxation": table | {"valid_time_s": _valid(log_time)}}


# --- drift


@dataclasses.dataclass(frozen=True)
class _Exponents:
    """Power laws of cells.

    nu : (k,) exponents;  noise : (k,) variance that the scatter about the line gives each
    residual : (n,) of ln G;  freedom : (k,) of each line;  scatter : variance of ln G
    """

    nu: np.ndarray
    noise: np.ndarray
    residual: np.ndarray
    freedom: np.ndarray
    scatter: float


def _drift(readings, shifts, found):
    """readings : all those after the write, also where only some cells have them."""
    cells = shifts.cells
    positive = np.bincount(readings.cell, readings.conductance > 0, cells)
    every = np.bincount(readings.cell, minlength=cells)
    usable = positive == np.maximum(every, LEAST_TIMES)
    if not shifts.missing and not usable.any():
        missing = f"no cell has {LEAST_TIMES} times with a conductance above 0 S"
        shifts = dataclasses.replace(shifts, missing=missing)
    if shifts.missing:
        return _not_identified(DRIFT, DRIFT_NAMES, shifts)
    mine = readings.where(usable[readings.cell])
    exponents = _exponents(mine, cells)
    shared = found.error_of(
        lambda t: _exponents(dataclasses.replace(mine, time=t), cells).nu.mean(),
        usable[readings.cell],
    )
    mean, spread = _drift_mean(exponents, shared), _drift_sigma(exponents, shifts.few)
    reference = float(readings.time.min())
    sigma = spread.value if spread.identified else 0.0
    mean_shift, variance = _drifted(shifts, reference, mean.value, sigma, exponents.scatter)
    table = {
        "reference_s": reference,
        "nu_mean": mean.value,
        "nu_sigma": sigma,
        "valid_time_s": [reference, float(shifts.time.max())],
    }
    notes = ()
    if len(exponents.nu) < cells:
        notes = (
            f"drift from {len(exponents.nu):,} cells: {cells - len(exponents.nu):,} have fewer "
            f"than {LEAST_TIMES} times, or a reading of 0 S or less",
        )
    rms = float(np.sqrt((exponents.residual**2).mean()))
    fit = FitResult(
        kind="retention",
        model=DRIFT,
        parameters=(mean, spread),
        points=len(shifts.time),
        goodness={"rms_residual_percent": 100 * rms},
        aic=_aic_of_drift(shifts, mean_shift, variance),
        notes=notes,
        device={"drift": table},
    )
    return Described(fit, shifts.average(mean_shift), shifts.average(variance), 3)


def _exponents(readings, cells):
    """Least squares of ln G against ln t for each cell."""
    x, y, owner = np.log(readings.time), np.log(readings.conductance), readings.cell
    count = np.bincount(owner, minlength=cells)
    safe = np.maximum(count, 1)
    dx = x - (np.bincount(owner, x, cells) / safe)[owner]
    dy = y - (np.bincount(owner, y, cells) / safe)[owner]
    square = np.bincount(owner, dx * dx, cells)
    usable = square > 0
    slope = np.divide(np.bincount(owner, dx * dy, cells), square, out=np.zeros(cells), where=usable)
    residual = dy - slope[owner] * dx
    freedom = np.maximum(count - 2, 1)
    of_each = np.bincount(owner, residual**2, cells) / freedom
    k = int(usable.sum())
    return _Exponents(
        nu=-slope[usable],
        noise=of_each[usable].mean() / square[usable],
        residual=residual,
        freedom=freedom[usable],
        scatter=max((residual**2).sum() / max(len(residual) - 2 * k, 1), EXACT**2),
    )


def _drift_mean(exponents, shared):
    """shared : standard error that all exponents have from the time of the write."""
    nu, k = exponents.nu, len(exponents.nu)
    if k == 1:
        error, freedom = np.sqrt(exponents.noise[0]), exponents.freedom[0]
    else:
        error, freedom = nu.std(ddof=1) / np.sqrt(k), k - 1
    return t_interval(*DRIFT_NAMES[0], nu.mean(), np.hypot(error, shared), freedom)


def _drift_sigma(exponents, few):
    """Spread of the exponents over cells beyond what the scatter about the lines gives."""
    k = len(exponents.nu)
    if k < LEAST_CELLS:
        reason = few or f"{k} usable cells; a spread needs {LEAST_CELLS}"
        return Parameter.unknown(*DRIFT_NAMES[1], reason)
    every = spread_interval(*DRIFT_NAMES[1], exponents.nu)
    noise = exponents.noise.mean()
    low, value, high = (end**2 - noise for end in (every.low, every.value, every.high))
    if not low > 0:
        reason = "not above what the scatter about the lines alone gives"
        return Parameter.unknown(*DRIFT_NAMES[1], reason)
    return Parameter.known(*DRIFT_NAMES[1], np.sqrt(value), np.sqrt(low), np.sqrt(high))


def _drifted(shifts, reference, nu, sigma, scatter):
    """(mean, variance) of the shift of every reading: moments of a log-normal, nu being normal."""
    log = np.log(shifts.time / reference)
    written = shifts.written[shifts.cell]
    median = written * np.exp(-nu * log)
    spread = (sigma * log) ** 2
    mean = median * np.exp(spread / 2) - written
    variance = median**2 * np.exp(spread) * np.expm1(spread)
    return mean, variance + scatter * (median**2 + written**2)


def _aic_of_drift(shifts, mean, variance):
    """`_aic` with the mean and variance of every reading."""
    every = dataclasses.replace(shifts, instant=np.arange(len(shifts.time)))
    return _aic(every, mean, variance, 3)


# --- files


def from_files(paths, columns, where):
    """`fit_retention` of files with time and conductance; a column of cells, or one cell in each
    file."""
    tables = read_tables(paths, COLUMNS, columns, where)
    for name in ("cell", "initial"):
        if len({name in table for table in tables}) > 1:
            raise ConfigError(
                f"some files have a column {name!r} and some have not; make them alike"
            )
    if sum(map(len, tables)) < LEAST_TIMES:
        tables[0].require(LEAST_TIMES, "a fit of retention")
    time = np.concatenate([t["time"] for t in tables])
    conductance = np.concatenate([t["conductance"] for t in tables])
    labels = [t["cell"] if "cell" in t else np.full(len(t), str(k)) for k, t in enumerate(tables)]
    initial = None
    if "initial" in tables[0]:
        initial = np.concatenate([t["initial"] for t in tables])
    result = fit_retention(time, conductance, np.concatenate(labels), initial)
    return dataclasses.replace(result, inputs=tuple(t.echo for t in tables))
