"""Sweeps of current against voltage: the curve of a state that a cell holds, one cell or many."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from xbarsim.base.errors import ConfigError, OutOfRangeError, ShapeError
from xbarsim.calibrate.iv_models import fit_branches
from xbarsim.calibrate.result import FitResult, Parameter
from xbarsim.calibrate.statistics import by_aic, spread_interval, t_interval
from xbarsim.calibrate.sweeps import LEAST, branches, held, summary, with_sign
from xbarsim.calibrate.tables import Wanted, read_tables

COLUMNS = (
    Wanted("voltage", "V", ("voltage", "v", "bias", "vd", "vds", "av", "anodev", "drainv")),
    Wanted("current", "A", ("current", "i", "id", "ids", "ai", "anodei", "draini", "absi")),
    Wanted("cell", "text", ("cell", "device", "dut", "addr", "address", "die"), optional=True),
    Wanted("sweep", "text", ("sweep", "cycle", "loop", "block"), optional=True),
)
LEAST_CELLS = 8  # for a spread over cells


def fit_iv(
    voltage: ArrayLike | Sequence[ArrayLike],
    current: ArrayLike | Sequence[ArrayLike],
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
    labels = [""] * len(recordings) if cell is None else [str(label) for label in cell]
    if len(labels) != len(recordings):
        raise ShapeError(f"cell has {len(labels)} labels for {len(recordings)} recordings")
    names = list(dict.fromkeys(labels))
    if len(names) == 1:
        return _one_cell(recordings)
    fits = {}
    for name in names:
        mine = [r for r, label in zip(recordings, labels, strict=True) if label == name]
        try:
            fits[name] = _one_cell(mine)
        except OutOfRangeError as error:
            raise OutOfRangeError(f"cell {name}: {error}") from None
    return _over_cells(fits)


def _recordings(voltage, current):
    """(voltage, current) arrays of every recording."""
    if len(voltage) != len(current) or not len(voltage):
        raise ShapeError(
            f"voltage has {len(voltage)} entries, current {len(current)}; allowed: finite vectors "
            "of one length"
        )
    several = np.ndim(voltage[0]) > 0
    pairs = zip(voltage, current, strict=True) if several else [(voltage, current)]
    recordings = []
    for v, i in pairs:
        v, i = np.asarray(v, float), np.asarray(i, float)
        finite = v.shape == i.shape and np.isfinite(v).all() and np.isfinite(i).all()
        if v.ndim != 1 or not finite:
            raise ShapeError(
                f"voltage {v.shape} and current {i.shape}; allowed: finite vectors of one length"
            )
        recordings.append((v, i))
    return recordings


# --- one cell


def _one_cell(recordings):
    """FitResult of the recordings of one cell."""
    found, remarks = [], []
    for voltage, current in recordings:
        current, remark = with_sign(voltage, current)
        found += branches(voltage, current)
        remarks += [remark] if remark else []
    if not found:
        raise OutOfRangeError(
            f"no branch of {LEAST} or more points below the compliance; measure finer steps"
        )
    chosen, what = held(found)
    notes = [summary(found), f"fitted: {what}", *dict.fromkeys(remarks)]
    result = fit_branches(chosen, notes)
    sides = {
        "positive": [b for b in found if b.positive],
        "negative": [b for b in found if not b.positive],
    }
    return _with_polarities(result, sides) if all(sides.values()) else result


def _with_polarities(result, sides):
    """The result with the parameters of each polarity's own branches beside its own."""
    parameters, notes = [], []
    for side, mine in sides.items():
        chosen, what = held(mine)
        notes.append(f"{side} voltages by themselves: {what}")
        for parameter in fit_branches(chosen, []).parameters[:2]:
            parameters.append(dataclasses.replace(parameter, name=f"{parameter.name}_{side}"))
    return dataclasses.replace(
        result,
        parameters=(*result.parameters, *parameters),
        notes=(*result.notes, *notes),
    )


# --- several cells


def _over_cells(fits):
    """FitResult with the mean and the spread over cells of every parameter, for every model.

    fits : {label: FitResult}
    """
    first = next(iter(fits.values()))
    models = [first.model, *(other.model for other in first.alternatives)]
    pooled = [_pooled({label: fit.choose(m) for label, fit in fits.items()}) for m in models]
    counted = [(fit, len(fit.parameters)) for fit in pooled[1:]]
    return dataclasses.replace(
        pooled[0],
        alternatives=tuple(by_aic(counted)),
        parts=fits,
        notes=(f"{len(fits):,} cells, each a fit of its own", *pooled[0].notes),
    )


def _pooled(fits):
    """Mean and spread of every parameter over the cells whose fits identify it."""
    parameters, notes, means = [], [], {}
    first = next(iter(fits.values()))
    for name in dict.fromkeys(p.name for fit in fits.values() for p in fit.parameters):
        values = {label: _value(fit, name) for label, fit in fits.items()}
        known = np.array([value for value in values.values() if value is not None])
        if 0 < len(known) < len(fits):
            notes.append(f"{name} of {len(known):,} cells: not identified in the others")
        unit = next(p.unit for fit in fits.values() for p in fit.parameters if p.name == name)
        parameters += _mean_and_spread(name, unit, known)
        if len(known):
            means[name] = float(known.mean())
    return FitResult(
        kind=first.kind,
        model=first.model,
        parameters=tuple(parameters),
        points=sum(fit.points for fit in fits.values()),
        goodness={"cells": len(fits)},
        aic=sum(fit.aic for fit in fits.values()),
        notes=tuple(notes),
        curves=first.curves,
        device=_table(fits, means),
    )


def _value(fit, name):
    return next((p.value for p in fit.parameters if p.name == name), None)


def _mean_and_spread(name, unit, values):
    """Parameters NAME_mean and NAME_sigma of values over cells."""
    count = len(values)
    mean_name, sigma_name = f"{name}_mean", f"{name}_sigma"
    if count < 2:
        reason = f"identified in {count} cell{'s' * (count != 1)}; 2 are needed"
        return [Parameter.unknown(n, unit, reason) for n in (mean_name, sigma_name)]
    mean = t_interval(
        mean_name, unit, values.mean(), values.std(ddof=1) / np.sqrt(count), count - 1
    )
    if (values > 0).all():  # so is their mean
        mean = dataclasses.replace(mean, low=max(mean.low, 0.0))
    if count < LEAST_CELLS:
        reason = f"{count} cells; a spread needs {LEAST_CELLS}"
        return [mean, Parameter.unknown(sigma_name, unit, reason)]
    return [mean, spread_interval(sigma_name, unit, values)]


def _table(fits, means):
    """The table of a device file with the mean curve, where most cells have one."""
    tables = [fit.device["iv"] for fit in fits.values() if "iv" in fit.device]
    if 2 * len(tables) < len(fits) or not tables:
        return {}
    valid = min(table["valid_voltage_v"] for table in tables)
    if tables[0]["model"] == "sinh":
        return {"iv": {"model": "sinh", "v0_v": means["voltage_scale"], "valid_voltage_v": valid}}
    coefficients = np.mean([table["coefficients"] for table in tables], axis=0)
    return {"iv": tables[0] | {"coefficients": coefficients.tolist(), "valid_voltage_v": valid}}


# --- files


def from_files(paths, columns, where):
    """`fit_iv` of files with a column of voltages and one of currents; each file is a recording of
    its own, and so is each run of rows with the same cell and sweep."""
    tables = read_tables(paths, COLUMNS, columns, where)
    with_cells = [table for table in tables if "cell" in table]
    if with_cells and len(with_cells) < len(tables):
        raise ConfigError("some files have a column 'cell' and some have not; make them alike")
    voltage, current, cell = [], [], []
    for table in tables:
        table.require(LEAST, "an I-V fit")
        for rows, label in _runs(table):
            voltage.append(table["voltage"][rows])
            current.append(table["current"][rows])
            cell.append(label)
    result = fit_iv(voltage, current, cell if with_cells else None)
    return dataclasses.replace(result, inputs=tuple(t.echo for t in tables))


def _runs(table):
    """(rows, label of the cell) of every recording of a file, in order."""
    cells = table["cell"] if "cell" in table else np.full(len(table), "")
    sweeps = table["sweep"] if "sweep" in table else np.full(len(table), "")
    for label in dict.fromkeys(cells.tolist()):
        rows = np.flatnonzero(cells == label)
        new = np.flatnonzero(sweeps[rows][1:] != sweeps[rows][:-1]) + 1
        for run in np.split(rows, new):
            yield run, label
