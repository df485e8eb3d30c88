"""Conductances against time after the write: relaxation (the spread grows with the logarithm of the
time) or drift (a power law of each cell)."""

import dataclasses
import os
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from xbarsim.base.array_types import Floats, Integers
from xbarsim.base.errors import ConfigError
from xbarsim.base.units import MICROSIEMENS
from xbarsim.calibrate.result import Axis, Curve, DeviceTable, FitResult, Line, Parameter
from xbarsim.calibrate.shifts import (
    LEAST_CELLS,
    LEAST_TIMES,
    Readings,
    Shifts,
    shifts_since_write,
    sorted_readings,
)
from xbarsim.calibrate.statistics import by_aic, spread_interval, t_interval
from xbarsim.calibrate.tables import Wanted, read_tables
from xbarsim.calibrate.write_time import SinceWrite, since_write

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
RELAXATION_UNITS = {
    "variance_offset": "S²",
    "variance_slope": "S²",
    "mean_offset": "S",
    "mean_slope": "S",
}
DRIFT_UNITS = {"drift_mean": "1", "drift_sigma": "1"}
RELAXATION_FREE = 4  # parameters
DRIFT_FREE = 3  # with the scatter


class Moments(NamedTuple):
    """Mean (S) and variance (S²) of shifts, of every instant or every reading."""

    mean: Floats
    variance: Floats


@dataclasses.dataclass(frozen=True)
class Described:
    """A fit, its number of free parameters, and its moments of the shift at every instant, None
    where it is not identified."""

    fit: FitResult
    free: int
    moments: Moments | None = None

    @property
    def label(self) -> str:
        """Short name of the model."""
        return self.fit.model.split(",")[0]


def fit_retention(
    time: ArrayLike,
    conductance: ArrayLike,
    cell: ArrayLike | Sequence[object] | None = None,
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
    shifts, left_out = shifts_since_write(readings, written, relative=initial is None)
    relaxation = _relaxation(shifts)
    drift = _drift(readings.where(readings.time > 0), shifts, found)
    ranked = by_aic([(relaxation.fit, relaxation.free), (drift.fit, drift.free)])
    ordered = [relaxation, drift]
    if ranked[0] is drift.fit:
        ordered = [drift, relaxation]
    best = ordered[0].fit
    return dataclasses.replace(
        best,
        parameters=(*best.parameters, *found.parameters()),
        alternatives=tuple(described.fit for described in ordered[1:]),
        curves=_curves(shifts, ordered),
        notes=(_about(shifts, initial is None), *left_out, *found.notes(), *best.notes),
    )


def _about(shifts: Shifts, relative: bool) -> str:
    """A line on the readings; `relative` : to the first reading of each cell."""
    times = len(shifts.log_time())
    span = f"{shifts.time.min():.3g} to {shifts.time.max():.3g} s"
    against = "the first reading of each cell" if relative else "the initial conductance"
    return f"{shifts.cells:,} cells at {times} times from {span}; shift against {against}"


def _curves(shifts: Shifts, described: Sequence[Described]) -> dict[str, Curve]:
    """Panels of the picture: mean and variance of the shift against time."""
    time = 10 ** shifts.log_time()
    means = {}
    variances = {}
    for one in described:
        if one.moments is not None:
            means[one.label] = Line(time, one.moments.mean)
            variances[one.label] = Line(time, one.moments.variance)
    mean = "mean of the shift"
    variance = "variance of the shift"
    average = shifts.average(shifts.shift)
    return {
        mean: _panel(Axis(mean, "S"), Line(time, average), means),
        variance: _panel(Axis(variance, "S²"), Line(time, shifts.variance()), variances),
    }


def _panel(y: Axis, cells: Line, lines: dict[str, Line]) -> Curve:
    return Curve(x=Axis("time", "s"), y=y, data={"cells": cells}, fit=lines, log_x=True)


def _not_identified(model: str, units: dict[str, str], shifts: Shifts, free: int) -> Described:
    """The fit of a model that the times do not determine; units : of its parameters."""
    parameters = [Parameter.unknown(name, unit, shifts.missing) for name, unit in units.items()]
    fit = FitResult(
        kind="retention",
        model=model,
        parameters=tuple(parameters),
        points=len(shifts.time),
        goodness={},
        aic=np.inf,
    )
    return Described(fit, free)


def _aic(shifts: Shifts, instant: Integers, moments: Moments, free: int) -> float:
    """AIC of normal shifts; instant : (n,) index of the moments of every shift."""
    if not (moments.variance > 0).all():
        return np.inf
    mean = moments.mean[instant]
    variance = moments.variance[instant]
    deviance = np.log(2 * np.pi * variance) + (shifts.shift - mean) ** 2 / variance
    return float(deviance.sum() + 2 * free)


def _valid(log_time: Floats) -> list[float]:
    """Times in s that hold the fitted instants, rounded inward to six digits."""
    return [float(f"{10**end:.6g}") for end in (log_time.min(), log_time.max())]


# --- relaxation


@dataclasses.dataclass(frozen=True)
class LogLine:
    """A straight line in log10(time / 1 s) through a mean over cells.

    offset, slope : at 1 s, and per decade;  fitted : (times,) values at the instants;  r_squared :
        of them
    """

    offset: Parameter
    slope: Parameter
    fitted: Floats
    r_squared: float


def _relaxation(shifts: Shifts) -> Described:
    if shifts.missing:
        return _not_identified(RELAXATION, RELAXATION_UNITS, shifts, RELAXATION_FREE)
    deviation = shifts.deviation()
    square = shifts.variance()
    excess = deviation**2 - square[shifts.instant]
    variance = _log_line("variance", "S²", square, excess, shifts)
    mean = _log_line("mean", "S", shifts.average(shifts.shift), deviation, shifts)
    moments = Moments(mean.fitted, variance.fitted)
    fit = FitResult(
        kind="retention",
        model=RELAXATION,
        parameters=(variance.offset, variance.slope, mean.offset, mean.slope),
        points=len(shifts.time),
        goodness={"r_squared_variance": variance.r_squared, "r_squared_mean": mean.r_squared},
        aic=_aic(shifts, shifts.instant, moments, RELAXATION_FREE),
        device=_relaxation_table(variance, mean, shifts),
    )
    return Described(fit, RELAXATION_FREE, moments)


def _log_line(name: str, unit: str, data: Floats, excess: Floats, shifts: Shifts) -> LogLine:
    """Least squares through data (times,), means over cells; excess : (n,) what every reading has
    beyond the mean of its instant."""
    log_time = shifts.log_time()
    design = np.stack([np.ones(len(log_time)), log_time], axis=1)
    weights = np.linalg.pinv(design)  # (2, times): offset and slope of the data
    line = weights @ data
    parameters = []
    for of_line, value, row in zip(("offset", "slope"), line, weights, strict=True):
        if shifts.few:
            found = Parameter.unknown(f"{name}_{of_line}", unit, shifts.few)
        else:
            error = _error_by_cells(row, excess, shifts)
            found = t_interval(f"{name}_{of_line}", unit, value, error, shifts.cells - 1)
        parameters.append(found)
    fitted = design @ line
    offset, slope = parameters
    total = max(float(np.var(data)), 1e-300)
    r_squared = 1 - float(np.var(data - fitted) / total)
    return LogLine(offset=offset, slope=slope, fitted=fitted, r_squared=r_squared)


def _error_by_cells(weights: Floats, excess: Floats, shifts: Shifts) -> float:
    """Standard error of weights @ (a mean over cells at every instant), from the scatter of what
    each cell adds to it."""
    cells = shifts.cells
    count = np.bincount(shifts.instant)
    share = weights[shifts.instant] * excess / count[shifts.instant]
    influence = np.bincount(shifts.cell, share, cells)
    return float(np.sqrt((influence**2).sum() * cells / (cells - 1)))


def _relaxation_table(variance: LogLine, mean: LogLine, shifts: Shifts) -> dict[str, DeviceTable]:
    """Tables of a device file; none where a variance below 0 would be drawn."""
    if shifts.few or variance.fitted.min() < 0:
        return {}
    table: DeviceTable = {
        "variance_offset_us2": variance.offset.identified_value / MICROSIEMENS**2,
        "variance_slope_us2": variance.slope.identified_value / MICROSIEMENS**2,
        "mean_offset_us": mean.offset.identified_value / MICROSIEMENS,
        "mean_slope_us": mean.slope.identified_value / MICROSIEMENS,
        "valid_time_s": _valid(shifts.log_time()),
    }
    return {"relaxation": table}


# --- drift


@dataclasses.dataclass(frozen=True)
class _Exponents:
    """Power laws of cells.

    nu : (k,) exponents;  noise : (k,) variance that the scatter about the line gives each
    residual : (n,) of ln G;  freedom : (k,) of each line;  scatter : variance of ln G
    """

    nu: Floats
    noise: Floats
    residual: Floats
    freedom: Integers
    scatter: float


@dataclasses.dataclass(frozen=True)
class _DriftLaw:
    """Exponents that are normal over cells.

    reference : s, first time;  mean, sigma : of the exponents;  scatter : variance of ln G beside
    """

    reference: float
    mean: float
    sigma: float
    scatter: float

    def moments(self, shifts: Shifts) -> Moments:
        """Of the shift of every reading: those of a log-normal."""
        log = np.log(shifts.time / self.reference)
        written = shifts.written[shifts.cell]
        median = written * np.exp(-self.mean * log)
        spread = (self.sigma * log) ** 2
        mean = median * np.exp(spread / 2) - written
        variance = median**2 * np.exp(spread) * np.expm1(spread)
        return Moments(mean, variance + self.scatter * (median**2 + written**2))

    def table(self, until: float) -> DeviceTable:
        """[drift] of a device file; until : s, last time."""
        return {
            "reference_s": self.reference,
            "nu_mean": self.mean,
            "nu_sigma": self.sigma,
            "valid_time_s": [self.reference, until],
        }


def _drift(readings: Readings, shifts: Shifts, found: SinceWrite) -> Described:
    """readings : all those after the write, also where only some cells have them."""
    cells = shifts.cells
    positive = np.bincount(readings.cell, readings.conductance > 0, cells)
    every = np.bincount(readings.cell, minlength=cells)
    usable = positive == np.maximum(every, LEAST_TIMES)
    if not shifts.missing and not usable.any():
        missing = f"no cell has {LEAST_TIMES} times with a conductance above 0 S"
        shifts = dataclasses.replace(shifts, missing=missing)
    if shifts.missing:
        return _not_identified(DRIFT, DRIFT_UNITS, shifts, free=len(DRIFT_UNITS))
    keep = usable[readings.cell]
    mine = readings.where(keep)
    exponents = _exponents(mine, cells)

    def mean_exponent(time: Floats) -> float:
        return float(_exponents(dataclasses.replace(mine, time=time), cells).nu.mean())

    mean = _drift_mean(exponents, found.error_of(mean_exponent, keep))
    spread = _drift_sigma(exponents, shifts.few)
    law = _DriftLaw(
        reference=float(readings.time.min()),
        mean=mean.identified_value,
        sigma=spread.value or 0.0,
        scatter=exponents.scatter,
    )
    drifted = law.moments(shifts)
    notes = []
    left_out = cells - len(exponents.nu)
    if left_out:
        notes.append(
            f"drift from {len(exponents.nu):,} cells: {left_out:,} have fewer than {LEAST_TIMES} "
            "times, or a reading of 0 S or less"
        )
    rms = float(np.sqrt((exponents.residual**2).mean()))
    fit = FitResult(
        kind="retention",
        model=DRIFT,
        parameters=(mean, spread),
        points=len(shifts.time),
        goodness={"rms_residual_percent": 100 * rms},
        aic=_aic(shifts, np.arange(len(shifts.time)), drifted, DRIFT_FREE),
        notes=tuple(notes),
        device={"drift": law.table(until=float(shifts.time.max()))},
    )
    moments = Moments(shifts.average(drifted.mean), shifts.average(drifted.variance))
    return Described(fit, DRIFT_FREE, moments)


def _exponents(readings: Readings, cells: int) -> _Exponents:
    """Least squares of ln G against ln t for each cell."""
    x = np.log(readings.time)
    y = np.log(readings.conductance)
    owner = readings.cell
    count = np.bincount(owner, minlength=cells)
    safe = np.maximum(count, 1)
    dx = x - (np.bincount(owner, x, cells) / safe)[owner]
    dy = y - (np.bincount(owner, y, cells) / safe)[owner]
    square = np.bincount(owner, dx * dx, cells)
    usable = square > 0
    product = np.bincount(owner, dx * dy, cells)
    slope = np.divide(product, square, out=np.zeros(cells), where=usable)
    residual = dy - slope[owner] * dx
    freedom = np.maximum(count - 2, 1)
    of_each = np.bincount(owner, residual**2, cells) / freedom
    lines = int(usable.sum())
    left = max(len(residual) - 2 * lines, 1)
    return _Exponents(
        nu=-slope[usable],
        noise=of_each[usable].mean() / square[usable],
        residual=residual,
        freedom=freedom[usable],
        scatter=max((residual**2).sum() / left, EXACT**2),
    )


def _drift_mean(exponents: _Exponents, shared: float) -> Parameter:
    """shared : standard error that all exponents have from the time of the write."""
    nu = exponents.nu
    cells = len(nu)
    if cells == 1:
        error = np.sqrt(exponents.noise[0])
        freedom = exponents.freedom[0]
    else:
        error = nu.std(ddof=1) / np.sqrt(cells)
        freedom = cells - 1
    return t_interval("drift_mean", "1", nu.mean(), np.hypot(error, shared), freedom)


def _drift_sigma(exponents: _Exponents, few: str) -> Parameter:
    """Spread of the exponents over cells beyond what the scatter about the lines gives.

    few : why no spread is identified, "" where it is
    """
    cells = len(exponents.nu)
    if cells < LEAST_CELLS:
        reason = few or f"{cells} usable cells; a spread needs {LEAST_CELLS}"
        return Parameter.unknown("drift_sigma", "1", reason)
    every = spread_interval("drift_sigma", "1", exponents.nu)
    noise = exponents.noise.mean()
    if every.value is None or every.low is None or every.high is None:
        return every
    low = every.low**2 - noise
    if not low > 0:
        reason = "not above what the scatter about the lines alone gives"
        return Parameter.unknown("drift_sigma", "1", reason)
    value = np.sqrt(every.value**2 - noise)
    high = np.sqrt(every.high**2 - noise)
    return Parameter.known("drift_sigma", "1", value, np.sqrt(low), high)


# --- files


def from_files(
    paths: Sequence[str | os.PathLike[str]],
    columns: Mapping[str, str],
    where: Mapping[str, str],
) -> FitResult:
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
    labels = []
    for number, table in enumerate(tables):
        labels.append(table["cell"] if "cell" in table else np.full(len(table), str(number)))
    initial = None
    if "initial" in tables[0]:
        initial = np.concatenate([t["initial"] for t in tables])
    result = fit_retention(time, conductance, np.concatenate(labels), initial)
    return dataclasses.replace(result, inputs=tuple(t.echo for t in tables))
