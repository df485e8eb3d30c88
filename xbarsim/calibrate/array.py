"""A whole array from its currents: wire, source and sense resistances and the conductances of the
cells, jointly.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike
from threadpoolctl import threadpool_limits

from xbarsim.base.array_files import read_array
from xbarsim.base.array_types import Booleans, Floats
from xbarsim.base.errors import ConfigError, OutOfRangeError, ShapeError
from xbarsim.base.units import engineering
from xbarsim.calibrate.array_intervals import (
    CellIntervals,
    cell_intervals,
    estimates,
    nominal_spread,
    resistances,
)
from xbarsim.calibrate.array_posterior import Measured, Mode, Posterior, Resistance
from xbarsim.calibrate.result import Axis, Curve, FitResult, Line

MODEL = "cells, wires, source and sense resistances"
FILES = (("voltage", "V"), ("current", "A"), ("nominal", "S"), ("input_current", "A"))
LEAST_FREEDOM = 10  # currents beyond what is needed, that tell the noise
ROUNDING = 1e-12  # of the largest current: less than this is no noise
SMALL_ARRAY = 2000  # cells, below which more threads only wait
SHOWN = 5000  # currents in the picture


@dataclasses.dataclass(frozen=True, kw_only=True)
class ArrayFit(FitResult):
    """A FitResult with the conductance of every cell, its 90 % interval, and whether the data
    determine it: (m, n), S.
    """

    conductance: Floats
    conductance_low: Floats
    conductance_high: Floats
    conductance_identified: Booleans


@dataclasses.dataclass(frozen=True)
class _Noise:
    """Standard deviation (A) of the noise of a current, and from how many superfluous currents it
    was told; 0 where it was given.
    """

    sigma: float
    freedom: int


def fit_array(
    voltage: ArrayLike,
    current: ArrayLike,
    nominal: ArrayLike | None = None,
    input_current: ArrayLike | None = None,
    *,
    word_line_resistance: float | None = None,
    bit_line_resistance: float | None = None,
    source_resistance: float | None = None,
    sense_resistance: float | None = None,
    current_sigma: float | None = None,
    nominal_sigma: float | None = None,
) -> ArrayFit:
    """Resistances and conductances behind the currents of an array.

    Parameters
    ----------
    voltage : (k, m) V on the word lines; the identity for a transfer matrix
    current : (k, n) A out of the bit lines, at virtual ground
    nominal : (m, n) S, the conductances that were meant; the achieved ones differ from them by a
        factor with log-normal spread `nominal_sigma` (estimated if None).  Without it nothing is
        known about conductances
    input_current : (k, m) A drawn from the sources, if measured
    word_line_resistance, bit_line_resistance : ohm per segment;  source_resistance,
        sense_resistance : ohm; None to fit
    current_sigma : A, standard deviation of the noise of a current; from the input vectors that are
        more than needed if None

    Returns
    -------
    ArrayFit

    Raises
    ------
    ShapeError, OutOfRangeError : arrays that do not fit together, unknown noise
    ConvergenceError : no minimum

    Notes
    -----
    The mode of the posterior by Levenberg-Marquardt, intervals from its curvature.  A transfer
    matrix has as many entries as there are cells: wires and conductances together are determined
    only with `nominal` or `input_current`.  One step is O((m n)^3 / 3) for the factorisation.
    """
    given = {
        Resistance.WORD_LINE: word_line_resistance,
        Resistance.BIT_LINE: bit_line_resistance,
        Resistance.SOURCE: source_resistance,
        Resistance.SENSE: sense_resistance,
    }
    held = {name: value for name, value in given.items() if value is not None}
    measured, meant = _checked(voltage, current, nominal, input_current)
    noise = _noise(measured, current_sigma)
    posterior = Posterior(
        measured, meant, held, current_sigma=noise.sigma, nominal_sigma=nominal_sigma
    )
    threads = 1 if posterior.cells < SMALL_ARRAY else None
    with threadpool_limits(threads, "blas"):
        return _result(posterior, posterior.minimise(), noise)


def from_files(
    paths: Sequence[str | Path], columns: Mapping[str, str], where: Mapping[str, str]
) -> ArrayFit:
    """Wires and cells of an array, from VOLTAGE CURRENT [NOMINAL [INPUT_CURRENT]] as .npy, .csv or .h5:DATASET."""
    if columns or where:
        raise ConfigError("calibrate array takes whole files: no --column, no --where")
    if not 2 <= len(paths) <= 4:
        raise ConfigError(
            f"calibrate array got {len(paths)} files; allowed: VOLTAGE CURRENT [NOMINAL "
            "[INPUT_CURRENT]], in V, A, S and A"
        )
    arrays = [np.atleast_2d(read_array(path)) for path in paths]
    result = fit_array(*arrays)
    inputs = []
    for path, array, (name, unit) in zip(paths, arrays, FILES, strict=False):
        shape = " x ".join(map(str, array.shape))
        inputs.append(f"{path}: {name} in {unit}, {shape}")
    return dataclasses.replace(result, inputs=tuple(inputs))


# --- what comes in


def _checked(
    voltage: ArrayLike,
    current: ArrayLike,
    nominal: ArrayLike | None,
    input_current: ArrayLike | None,
) -> tuple[Measured, Floats | None]:
    """What was measured, and the nominal conductances, as matrices that fit together."""
    voltages = _matrix("voltage", voltage)
    currents = _matrix("current", current)
    meant = None
    if nominal is not None:
        meant = _matrix("nominal", nominal)
    drawn = None
    if input_current is not None:
        drawn = _matrix("input_current", input_current)
    vectors, word_lines = voltages.shape
    bit_lines = currents.shape[1]
    wanted = (
        ("current", currents, (vectors, bit_lines)),
        ("nominal", meant, (word_lines, bit_lines)),
        ("input_current", drawn, (vectors, word_lines)),
    )
    for name, array, shape in wanted:
        if array is not None and array.shape != shape:
            raise ShapeError(
                f"{name} has shape {array.shape} beside voltage {voltages.shape} and current "
                f"{currents.shape}; allowed: {shape}"
            )
    if meant is not None and not (meant > 0).all():
        raise OutOfRangeError(
            f"nominal is {meant.min():g} S; allowed: above 0 S (for an open cell a small "
            "conductance)"
        )
    if not voltages.any():
        raise OutOfRangeError("voltage is 0 V everywhere; allowed: at least one driven word line")
    return Measured(voltages, currents, drawn), meant


def _matrix(name: str, value: ArrayLike) -> Floats:
    """An argument as a matrix of finite numbers."""
    array = np.asarray(value, dtype=np.float64)
    if array.ndim != 2 or 0 in array.shape:
        rows = " (nominal: per word line)" if name == "nominal" else ""
        raise ShapeError(
            f"{name} has shape {array.shape}; allowed: a matrix, one row per input vector{rows}"
        )
    finite = np.isfinite(array)
    if not finite.all():
        place = tuple(map(int, np.argwhere(~finite)[0]))
        raise OutOfRangeError(f"{name} is {array[~finite][0]} at {place}; allowed: finite numbers")
    return array


def _noise(measured: Measured, given: float | None) -> _Noise:
    """The noise of a current; what a linear array cannot have answered is noise."""
    if given is not None:
        if not 0 < given < math.inf:
            raise OutOfRangeError(f"current_sigma is {given:g} A; allowed: above 0 A")
        return _Noise(float(given), 0)
    voltage = measured.voltage
    currents = measured.current
    if measured.input_current is not None:
        currents = np.hstack((measured.current, measured.input_current))
    vectors, word_lines = voltage.shape
    freedom = int((vectors - np.linalg.matrix_rank(voltage)) * currents.shape[1])
    if freedom < LEAST_FREEDOM:
        raise OutOfRangeError(
            f"{vectors} input vectors on {word_lines} word lines leave {freedom} currents over to "
            "tell the noise from; give current_sigma, or measure more input vectors than word "
            "lines (repeats count)"
        )
    rest = currents - voltage @ np.linalg.lstsq(voltage, currents, rcond=None)[0]
    sigma = math.sqrt((rest**2).sum() / freedom)
    if sigma <= ROUNDING * abs(currents).max():
        raise OutOfRangeError(
            f"the currents have no noise beyond rounding ({sigma:.1e} A); give current_sigma"
        )
    return _Noise(sigma, freedom)


# --- the result


def _result(posterior: Posterior, mode: Mode, noise: _Noise) -> ArrayFit:
    """The fit about the mode of a posterior."""
    found = estimates(posterior, mode)
    parameters = resistances(found)
    if posterior.estimates_spread:
        errors = (mode.theta - posterior.centre)[: posterior.cells]
        parameters.append(nominal_spread(mode.spread, errors))
    intervals = cell_intervals(found, posterior.has_nominal)
    residuals = posterior.residuals(posterior.crossbar(mode.theta))
    square = sum((r**2).sum() for r in residuals)
    chi_square = square / posterior.sigma**2
    points = sum(r.size for r in residuals)
    determined = found.determined
    return ArrayFit(
        kind="array",
        model=MODEL,
        parameters=tuple(parameters),
        points=points,
        goodness={
            "chi_square_per_freedom": chi_square / max(points - determined, 1.0),
            "parameters_determined": determined,
            "noise_A": posterior.sigma,
        },
        aic=points * math.log(2 * math.pi * posterior.sigma**2) + chi_square + 2 * determined,
        notes=tuple(_notes(posterior, intervals, noise)),
        curves=_curves(posterior, residuals[0]),
        conductance=found.conductance.reshape(posterior.shape),
        conductance_low=intervals.low.reshape(posterior.shape),
        conductance_high=intervals.high.reshape(posterior.shape),
        conductance_identified=intervals.identified.reshape(posterior.shape),
    )


def _notes(posterior: Posterior, intervals: CellIntervals, noise: _Noise) -> list[str]:
    notes = []
    for name, value in posterior.held.items():
        value = np.asarray(value)
        shown = f" at {engineering(float(value), 'ohm')}" if value.ndim == 0 else ""
        notes.append(f"{name} held{shown}")
    notes += _rank_note(posterior)
    unknown = int((~intervals.identified).sum())
    if unknown:
        notes.append(f"{unknown} of {posterior.cells} conductances are not identified by the data")
    inputs_measured = posterior.measured.input_current is not None
    if posterior.fitted and not posterior.has_nominal and not inputs_measured:
        notes.append(
            "a transfer matrix has as many entries as the array has cells: conductances take up "
            "the effect of wires; give nominal conductances or input currents to tell them apart"
        )
    if noise.freedom:
        sigma = engineering(noise.sigma, "A")
        notes.append(f"noise of a current from {noise.freedom} superfluous currents: {sigma}")
    return notes


def _rank_note(posterior: Posterior) -> list[str]:
    """A note where the input vectors do not tell all word lines apart."""
    word_lines = posterior.shape[0]
    rank = int(np.linalg.matrix_rank(posterior.measured.voltage))
    if rank == word_lines:
        return []
    follow = ", their values follow the nominal ones" if posterior.has_nominal else ""
    return [
        f"{rank} independent input vectors on {word_lines} word lines: {word_lines - rank} "
        f"combinations of the conductances of every bit line are not identified{follow}"
    ]


def _curves(posterior: Posterior, residual: Floats) -> dict[str, Curve]:
    """Panels of the output currents; residual : (k, n) A, measured less computed."""
    measured = posterior.measured.current
    computed = (measured - residual).ravel()
    shown = np.linspace(0, computed.size - 1, min(computed.size, SHOWN)).astype(int)
    ends = np.array([computed.min(), computed.max()])
    axis = Axis("computed current", "A")
    return {
        "measured against computed": Curve(
            x=axis,
            y=Axis("measured current", "A"),
            data={"bit lines": Line(computed[shown], measured.ravel()[shown])},
            fit={"equal": Line(ends, ends)},
        ),
        "residual": Curve(
            x=axis,
            y=Axis("measured - computed", "A"),
            data={"bit lines": Line(computed[shown], residual.ravel()[shown])},
            fit={
                "+ noise": Line(ends, np.full(2, posterior.sigma)),
                "- noise": Line(ends, np.full(2, -posterior.sigma)),
            },
        ),
    }
