"""Sweeps of current against voltage: the curve of a state that a cell holds, one cell or many."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from xbarsim.base.array_types import Floats, Integers, Vectors
from xbarsim.base.errors import ConfigError, OutOfRangeError, ShapeError
from xbarsim.calibrate.iv_models import fit_branches
from xbarsim.calibrate.result import DeviceTable, FitResult, Parameter
from xbarsim.calibrate.statistics import by_aic, spread_interval, t_interval
from xbarsim.calibrate.sweeps import LEAST, Branch, branches, held, summary, with_sign
from xbarsim.calibrate.tables import FilePath, Table, Wanted, read_tables

COLUMNS = (
    Wanted("voltage", "V", ("voltage", "v", "bias", "vd", "vds", "av", "anodev", "drainv")),
    Wanted("current", "A", ("current", "i", "id", "ids", "ai", "anodei", "draini", "absi")),
    Wanted("cell", "text", ("cell", "device", "dut", "addr", "address", "die"), optional=True),
    Wanted("sweep", "text", ("sweep", "cycle", "loop", "block"), optional=True),
)
LEAST_CELLS = 8  # for a spread over cells


class Recording(NamedTuple):
    """Points of one recording in the order of measurement: (n,) V and A."""

    voltage: Floats
    current: Floats


def fit_iv(
    voltage: Vectors,
    current: Vectors,
    cell: Sequence[object] | None = None,
) -> FitResult:
    """I = G V0 sinh(V / V0) of the state that a cell holds along its sweeps.

    Fitted are the branches in which the state does not change: the returns of resets (the
    high-resistance state) where there are any, else the returns of sets, else all branches.  Points
    at a compliance do not count.  Several branches share V0 and have a conductance each;
    `conductance` is then their mean.  An offset of the instrument is fitted where it describes the
    currents decisively better.  Least squares, weighted by the noise that the residuals show.
    Alternatives: a straight line, odd polynomials.

    Sweeps to both polarities are also fitted by themselves, each polarity with what its own sweeps
    leave.  Several cells are fits of their own, in `parts`; the parameters are then the mean and
    the spread over the cells.

    Parameters
    ----------
    voltage, current : (n,) V and A in the order of measurement, or sequences of such arrays, one
        for each recording
    cell : label of every recording; one cell if None

    Returns
    -------
    FitResult : conductance (S, at 0 V), voltage_scale (V0 in V), current_offset (A); with both
        polarities conductance_positive, voltage_scale_positive, ..._negative; of several cells
        conductance_mean, conductance_sigma and so on

    Raises
    ------
    ShapeError, OutOfRangeError : not two finite vectors of one length; a current whose sign is
        lost; no branch with enough points
    """
    recordings = _recordings(voltage, current)
    if cell is None:
        return _one_cell(recordings)
    labels = [str(label) for label in cell]
    if len(labels) != len(recordings):
        raise ShapeError(f"cell has {len(labels)} labels for {len(recordings)} recordings")
    of_cells: dict[str, list[Recording]] = {}
    for recording, label in zip(recordings, labels, strict=True):
        of_cells.setdefault(label, []).append(recording)
    if len(of_cells) == 1:
        return _one_cell(recordings)
    fits = {}
    for label, mine in of_cells.items():
        try:
            fits[label] = _one_cell(mine)
        except OutOfRangeError as error:
            raise OutOfRangeError(f"cell {label}: {error}") from None
    return _over_cells(fits)


def _recordings(voltage: Vectors, current: Vectors) -> list[Recording]:
    """Every recording, as vectors."""
    if len(voltage) != len(current) or not len(voltage):
        raise ShapeError(
            f"voltage has {len(voltage)} entries, current {len(current)}; allowed: finite vectors "
            "of one length"
        )
    if np.ndim(voltage[0]) == 0:
        return [_recording(voltage, current)]
    return [_recording(v, i) for v, i in zip(voltage, current, strict=True)]


def _recording(voltage: ArrayLike | Vectors, current: ArrayLike | Vectors) -> Recording:
    v = np.asarray(voltage, float)
    i = np.asarray(current, float)
    finite = np.isfinite(v).all() and np.isfinite(i).all()
    if v.ndim != 1 or v.shape != i.shape or not finite:
        raise ShapeError(
            f"voltage {v.shape} and current {i.shape}; allowed: finite vectors of one length"
        )
    return Recording(v, i)


# --- one cell


def _one_cell(recordings: Sequence[Recording]) -> FitResult:
    """The fit of the recordings of one cell."""
    found: list[Branch] = []
    remarks = []
    for recording in recordings:
        signed, remark = with_sign(recording.voltage, recording.current)
        found += branches(recording.voltage, signed)
        if remark:
            remarks.append(remark)
    if not found:
        raise OutOfRangeError(
            f"no branch of {LEAST} or more points below the compliance; measure finer steps"
        )
    chosen, what = held(found)
    result = fit_branches(chosen, [summary(found), f"fitted: {what}", *dict.fromkeys(remarks)])
    positive = [branch for branch in found if branch.positive]
    negative = [branch for branch in found if not branch.positive]
    if positive and negative:
        result = _with_polarity(result, "positive", positive)
        result = _with_polarity(result, "negative", negative)
    return result


def _with_polarity(result: FitResult, side: str, mine: Sequence[Branch]) -> FitResult:
    """The result with the parameters of one polarity's own branches behind its own."""
    chosen, what = held(mine)
    parameters = []
    for parameter in fit_branches(chosen, []).parameters:
        if parameter.name in ("conductance", "voltage_scale"):
            parameters.append(dataclasses.replace(parameter, name=f"{parameter.name}_{side}"))
    return dataclasses.replace(
        result,
        parameters=(*result.parameters, *parameters),
        notes=(*result.notes, f"{side} voltages by themselves: {what}"),
    )


# --- several cells


def _over_cells(fits: dict[str, FitResult]) -> FitResult:
    """The fit with the mean and the spread over cells of every parameter, for every model.

    fits : by the labels of the cells
    """
    first = next(iter(fits.values()))
    pooled = _pooled(fits, first.model)
    others = [_pooled(fits, other.model) for other in first.alternatives]
    counted = [(fit, len(fit.parameters)) for fit in others]
    return dataclasses.replace(
        pooled,
        alternatives=tuple(by_aic(counted)),
        parts=fits,
        notes=(f"{len(fits):,} cells, each a fit of its own", *pooled.notes),
    )


def _pooled(of_cells: Mapping[str, FitResult], model: str) -> FitResult:
    """Mean and spread of every parameter of a model, over the cells whose fits identify it."""
    fits = [fit.choose(model) for fit in of_cells.values()]
    parameters = []
    notes = []
    means = {}
    for name, unit in _units(fits).items():
        values = _identified(fits, name)
        if 0 < len(values) < len(fits):
            notes.append(f"{name} of {len(values):,} cells: not identified in the others")
        parameters += _mean_and_spread(name, unit, values)
        if len(values):
            means[name] = float(values.mean())
    return FitResult(
        kind=fits[0].kind,
        model=fits[0].model,
        parameters=tuple(parameters),
        points=sum(fit.points for fit in fits),
        goodness={"cells": len(fits)},
        aic=sum(fit.aic for fit in fits),
        notes=tuple(notes),
        curves=fits[0].curves,
        device=_device_tables(fits, means),
    )


def _units(fits: Sequence[FitResult]) -> dict[str, str]:
    """Unit of every parameter that a fit has, by its name."""
    units: dict[str, str] = {}
    for fit in fits:
        for parameter in fit.parameters:
            units.setdefault(parameter.name, parameter.unit)
    return units


def _identified(fits: Sequence[FitResult], name: str) -> Floats:
    """Values of a parameter, of the fits that identify it."""
    values = []
    for fit in fits:
        for parameter in fit.parameters:
            if parameter.name == name and parameter.value is not None:
                values.append(parameter.value)
    return np.array(values)


def _mean_and_spread(name: str, unit: str, values: Floats) -> list[Parameter]:
    """Parameters NAME_mean and NAME_sigma of values over cells."""
    count = len(values)
    mean_name = f"{name}_mean"
    sigma_name = f"{name}_sigma"
    if count < 2:
        cells = "1 cell" if count == 1 else f"{count} cells"
        reason = f"identified in {cells}; 2 are needed"
        return [Parameter.unknown(n, unit, reason) for n in (mean_name, sigma_name)]
    error = values.std(ddof=1) / np.sqrt(count)
    mean = t_interval(mean_name, unit, values.mean(), error, count - 1)
    if (values > 0).all():  # so is their mean
        mean = mean.not_below_zero()
    if count < LEAST_CELLS:
        reason = f"{count} cells; a spread needs {LEAST_CELLS}"
        return [mean, Parameter.unknown(sigma_name, unit, reason)]
    return [mean, spread_interval(sigma_name, unit, values)]


def _device_tables(fits: Sequence[FitResult], means: Mapping[str, float]) -> dict[str, DeviceTable]:
    """[iv] of a device file with the mean curve, where most cells have one."""
    tables = [fit.device["iv"] for fit in fits if "iv" in fit.device]
    if 2 * len(tables) < len(fits) or not tables:
        return {}
    pooled = dict(tables[0])
    pooled["valid_voltage_v"] = min(table["valid_voltage_v"] for table in tables)
    if pooled["model"] == "sinh":
        pooled["v0_v"] = means["voltage_scale"]
    else:
        coefficients = np.mean([table["coefficients"] for table in tables], axis=0)
        pooled["coefficients"] = coefficients.tolist()
    return {"iv": pooled}


# --- files


def from_files(
    paths: Sequence[FilePath], columns: Mapping[str, str], where: Mapping[str, str]
) -> FitResult:
    """`fit_iv` of files with a column of voltages and one of currents; each file is a recording of
    its own, and so is each run of rows with the same cell and sweep."""
    tables = read_tables(paths, COLUMNS, columns, where)
    with_cells = [table for table in tables if "cell" in table]
    if with_cells and len(with_cells) < len(tables):
        raise ConfigError("some files have a column 'cell' and some have not; make them alike")
    voltage = []
    current = []
    cell = []
    for table in tables:
        table.require(LEAST, "an I-V fit")
        for run in _runs(table):
            voltage.append(table["voltage"][run.rows])
            current.append(table["current"][run.rows])
            cell.append(run.cell)
    result = fit_iv(voltage, current, cell if with_cells else None)
    return dataclasses.replace(result, inputs=tuple(table.echo for table in tables))


class _Run(NamedTuple):
    """Rows of one recording of a file, and the label of its cell."""

    rows: Integers
    cell: str


def _runs(table: Table) -> Iterator[_Run]:
    """Recordings of a file, in order."""
    none = np.full(len(table), "")
    cells = table["cell"] if "cell" in table else none
    sweeps = table["sweep"] if "sweep" in table else none
    for label in dict.fromkeys(cells.tolist()):
        rows = np.flatnonzero(cells == label)
        new = np.flatnonzero(sweeps[rows][1:] != sweeps[rows][:-1]) + 1
        for run in np.split(rows, new):
            yield _Run(run, label)
