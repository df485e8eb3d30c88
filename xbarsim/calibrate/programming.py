"""Targets and achieved conductances of a write: mean error, spread and form (Gaussian, bounded,
heavy-tailed)."""

import dataclasses
import os
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from xbarsim.base.array_types import Floats
from xbarsim.base.errors import OutOfRangeError, ShapeError
from xbarsim.calibrate.programming_forms import (
    bounded_result,
    gaussian_result,
    mixture_result,
    student_result,
)
from xbarsim.calibrate.programming_result import Writes
from xbarsim.calibrate.result import FitResult
from xbarsim.calibrate.tables import Wanted, read_tables
from xbarsim.calibrate.write_errors import Mixture, Normal, Student, fit_band, fit_form

COLUMNS = (
    Wanted("target", "S", ("target", "set", "aim", "goal")),
    Wanted("achieved", "S", ("achieved", "measured", "read", "conductance", "g")),
)
LEAST = 10
UNDETERMINED = 10.0  # of AIC: a form whose shape is not identified must be better by more


class Candidate(NamedTuple):
    """A distribution that was fitted, and Akaike's criterion with what its laws cost more."""

    cost: float
    result: FitResult


def fit_programming(
    target: ArrayLike,
    achieved: ArrayLike,
    degree: int | None = None,
    bias_degree: int | None = None,
) -> FitResult:
    """Distribution of achieved - target.

    The mean error and the standard deviation follow the target, each by a polynomial (degree 0 to 3
    by AIC) or by one number per level.  What remains is Gaussian, Student t, a mixture of a narrow
    and a wide Gaussian, or uniform within a band about the target or a line.  The lowest AIC is the
    result, the others its alternatives, where a law of more coefficients must better it by more
    than 2 for each.

    Parameters
    ----------
    target, achieved : (n,) S
    degree, bias_degree : of the polynomials of standard deviation and mean error, 0 to 3; by AIC if
        None

    Returns
    -------
    FitResult : bias (mean error over these writes), sigma (root mean square about the mean error)
        of the fitted distribution, in S; half_width (S), degrees_of_freedom, or tail_fraction and
        tail_factor; of a polynomial bias_0, bias_1 ... and sigma_0, sigma_1 ... (S), coefficients
        in target / largest target.  `levels` holds the statistics of every target, `warnings` what
        the distribution misses.

    Raises
    ------
    ShapeError, OutOfRangeError : not finite vectors of one length; too few; all errors 0
    """
    writes = _checked(target, achieved)
    _check_degree("degree", degree, writes)
    _check_degree("bias_degree", bias_degree, writes)
    candidates = _candidates(writes, degree, bias_degree)
    best = min(candidates, key=_cost_with_shape).result
    others = [candidate.result for candidate in candidates if candidate.result is not best]
    others.sort(key=lambda result: result.aic)
    return dataclasses.replace(best, alternatives=tuple(others))


def _candidates(writes: Writes, degree: int | None, bias_degree: int | None) -> list[Candidate]:
    """Every form, fitted; Gaussian with every law of the spread."""
    error = writes.error
    x = writes.relative_target
    gaussian = fit_form(error, x, Normal(), degree, bias_degree)
    student = fit_form(error, x, Student(), degree, bias_degree)[0]
    band = fit_band(error, x, bias_degree)
    candidates = [
        Candidate(fit.cost, gaussian_result(fit, writes, with_coefficients=fit is gaussian[0]))
        for fit in gaussian
    ]
    candidates.append(Candidate(student.cost, student_result(student, writes)))
    candidates.append(Candidate(band.cost, bounded_result(band, writes)))
    if stats.kurtosis(gaussian[0].deviates) > 0:
        mixture = fit_form(error, x, Mixture(), degree, bias_degree)[0]
        candidates.append(Candidate(mixture.cost, mixture_result(mixture, writes)))
    return candidates


def _cost_with_shape(candidate: Candidate) -> float:
    """Its cost, and more where its shape is not identified, so that it fills no device file."""
    if candidate.result.device:
        return candidate.cost
    return candidate.cost + UNDETERMINED


def _checked(target: ArrayLike, achieved: ArrayLike) -> Writes:
    wanted: Floats = np.asarray(target, float)
    reached: Floats = np.asarray(achieved, float)
    alike = wanted.ndim == 1 and wanted.shape == reached.shape
    if not alike or not (np.isfinite(wanted) & np.isfinite(reached)).all():
        raise ShapeError(
            f"target {wanted.shape} and achieved {reached.shape}; allowed: finite vectors of "
            f"one length"
        )
    if len(wanted) < LEAST:
        raise OutOfRangeError(f"{len(wanted)} writes; a distribution needs {LEAST} or more")
    if wanted.min() < 0 or wanted.max() == 0:
        raise OutOfRangeError(
            f"targets are {wanted.min():g} to {wanted.max():g} S; allowed: 0 or more, one above 0"
        )
    error = reached - wanted
    if np.ptp(error) <= 1e-9 * wanted.max():
        raise OutOfRangeError("all errors are the same; these are not measured conductances")
    return Writes(wanted, error)


def _check_degree(name: str, degree: int | None, writes: Writes) -> None:
    highest = min(3, len(writes.levels) - 1)
    if degree is not None and degree not in range(highest + 1):
        raise OutOfRangeError(f"{name} is {degree!r}; allowed: 0 to {highest} for these targets")


def from_files(
    paths: Sequence[str | os.PathLike[str]],
    columns: Mapping[str, str],
    where: Mapping[str, str],
) -> FitResult:
    """`fit_programming` of files with a column of targets and one of achieved conductances, taken
    together."""
    tables = read_tables(paths, COLUMNS, columns, where)
    for table in tables:
        table.require(LEAST, "a programming fit")
    target = np.concatenate([table["target"] for table in tables])
    achieved = np.concatenate([table["achieved"] for table in tables])
    result = fit_programming(target, achieved)
    return dataclasses.replace(result, inputs=tuple(table.echo for table in tables))
