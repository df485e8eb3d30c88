"""Intervals of what `write_errors` fits: mean, standard deviation, degrees of freedom."""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from scipy import optimize, stats

from xbarsim.base.array_types import Floats
from xbarsim.calibrate.result import CONFIDENCE, Parameter
from xbarsim.calibrate.statistics import TAIL, Estimate
from xbarsim.calibrate.write_errors import FREEDOM, Band, ErrorFit, Law, Student

REACH = 1.5  # of profiles, either side of the best logarithm
HESSIAN_STEP = 1e-3
EXCESS = (0.01, 200.0)  # degrees of freedom above 2 that a profile of sigma looks through

AnyErrorFit: TypeAlias = ErrorFit[Any]


class Ends(NamedTuple):
    """Ends of an interval; None where it is open."""

    low: float | None
    high: float | None


def mean_covariance(fit: AnyErrorFit) -> Floats:
    """(k, k) covariance of the mean's coefficients, S²; holds for errors of other forms too
    (sandwich)."""
    design = fit.mean.design
    z = fit.deviates
    scale = fit.scale
    weight, variance = fit.form.precision(z)
    curvature = (weight - z**2 * variance) / scale**2
    bread = np.linalg.pinv((design * curvature[:, None]).T @ design)
    score = design * (weight * z / scale)[:, None]
    freedom = max(len(z) - fit.mean.size, 1)
    covariance: Floats = bread @ (score.T @ score) @ bread * (len(z) / freedom)
    return covariance


def scale_covariance(fit: AnyErrorFit) -> Floats:
    """(k, k) covariance of the coefficients of a normal error's sigma, S²; holds for other forms
    too (sandwich)."""
    design = fit.spread.design
    z = fit.deviates
    scale = fit.scale
    bread = np.linalg.pinv(2 * (design / scale[:, None] ** 2).T @ design)
    score = design * ((z**2 - 1) / scale)[:, None]
    freedom = max(len(z) - fit.mean.size - fit.spread.size, 1)
    covariance: Floats = bread @ (score.T @ score) @ bread * (len(z) / freedom)
    return covariance


def moment_interval(fit: AnyErrorFit) -> Estimate:
    """Standard deviation (S), for errors of any form with four moments (Bonett, 2006)."""
    n = len(fit.error)
    variance = fit.scale**2 * fit.form.variance
    residual = fit.error - fit.location
    square = residual**2 * n / max(n - fit.mean.size, 1)
    mean = square.mean()
    excess = square - variance * mean / variance.mean()
    error = np.sqrt((excess**2).sum()) / n / mean
    z = stats.norm.ppf(1 - TAIL)
    correction = n / (n - z)
    ratio = np.exp(z * correction * error / 2)
    middle = np.sqrt(correction * mean)
    return Estimate(standard_deviation(fit), float(middle / ratio), float(middle * ratio))


def band_centre(band: Band, mean: Law) -> Estimate:
    """The mean (S) over the writes of the centre of a Band, which follows the law `mean`.

    The ends are the least and the largest mean of all lines whose band holds every error with a
    half width that the likelihood width**-n allows: exact about a constant (the midrange of Neyman
    and Pearson, 1928), where the likelihood ratio is exponential.
    """
    widest = band.half_width * (2 * TAIL) ** (-1 / (len(band.error) - band.size))
    middle = float(band.location.mean())
    if mean.degree == 0:
        reach = widest - band.half_width
        return Estimate(middle, middle - reach, middle + reach)
    lowest = _least_centre(band, mean.design, widest, sign=1)
    highest = _least_centre(band, mean.design, widest, sign=-1)
    return Estimate(middle, middle + lowest, middle + highest)


def _least_centre(band: Band, design: Floats, widest: float, sign: int) -> float:
    """Least (largest for sign -1) mean, less that of the band, of lines with all errors within
    `widest` (S)."""
    residual = band.error - band.location
    found = optimize.linprog(
        sign * design.mean(axis=0),
        A_ub=np.vstack((design, -design)),
        b_ub=np.concatenate((residual + widest, widest - residual)) / widest,
        bounds=[(None, None)] * design.shape[1],
        method="highs",
    )
    return float(sign * found.fun * widest)


def freedom_ends(fit: ErrorFit[Student]) -> Ends:
    """Ends of the degrees of freedom by their profile likelihood."""
    z = fit.deviates

    def minus_two(log_freedom: float) -> float:
        freedom = np.exp(log_freedom)
        found = optimize.minimize_scalar(
            lambda log_scale: _student_minus_two(z, freedom, log_scale),
            bounds=(-REACH, REACH),
            method="bounded",
        )
        return float(found.fun)

    least, most = np.log(FREEDOM)
    low, high = profile_ends(minus_two, np.log(fit.form.freedom), least, most)
    if low is not None:
        low = float(np.exp(low))
    if high is not None:
        high = float(np.exp(high))
    return Ends(low, high)


def student_sigma(fit: ErrorFit[Student]) -> Parameter:
    """Parameter sigma of a Student fit, by its profile likelihood; covers the moments' interval."""
    z = fit.deviates
    best = 0.5 * np.log(fit.form.variance)

    def minus_two(log_deviation: float) -> float:
        def of_freedom(log_excess: float) -> float:
            freedom = 2 + np.exp(log_excess)
            log_scale = log_deviation - 0.5 * np.log(freedom / (freedom - 2))
            return _student_minus_two(z, freedom, log_scale)

        found = optimize.minimize_scalar(of_freedom, bounds=np.log(EXCESS), method="bounded")
        return float(found.fun)

    low, high = profile_ends(minus_two, best, best - REACH, best + REACH)
    if low is None or high is None:
        return Parameter.unknown("sigma", "S", "the tails are too heavy for a standard deviation")
    by_moments = moment_interval(fit)
    value = by_moments.value
    return Parameter.known(
        "sigma",
        "S",
        value,
        low=min(value * np.exp(low - best), by_moments.low, value),
        high=max(value * np.exp(high - best), by_moments.high, value),
    )


def _student_minus_two(z: Floats, freedom: float, log_scale: float) -> float:
    """-2 log likelihood of z times the exponential of -log_scale."""
    log_density = Student(freedom).log_density(z * np.exp(-log_scale)).sum()
    return float(-2 * log_density + 2 * len(z) * log_scale)


def profile_ends(
    minus_two: Callable[[float], float], best: float, least: float, most: float
) -> Ends:
    """Where -2 log likelihood rises by the interval's threshold either side of `best`; open where
    not between `least` and `most`."""
    threshold = minus_two(best) + stats.chi2.ppf(CONFIDENCE, 1)

    def excess(point: float) -> float:
        return float(minus_two(point) - threshold)

    low = None
    if least < best and excess(least) > 0:
        low = optimize.brentq(excess, least, best, xtol=1e-3)
    high = None
    if most > best and excess(most) > 0:
        high = optimize.brentq(excess, best, most, xtol=1e-3)
    return Ends(low, high)


def standard_deviation(fit: AnyErrorFit) -> float:
    """Standard deviation (S) about the mean error, root mean square over the writes."""
    return float(np.sqrt((fit.scale**2).mean() * fit.form.variance))


def hessian(function: Callable[[Floats], float], point: Floats) -> Floats:
    """(k, k) second derivatives of a function of (k,), by central differences."""
    size = len(point)
    result = np.empty((size, size))
    moves = HESSIAN_STEP * np.eye(size)
    for i, one in enumerate(moves):
        for j, other in enumerate(moves):
            bend = function(point + one + other) - function(point + one - other)
            bend = bend - function(point - one + other) + function(point - one - other)
            result[i, j] = bend / (4 * HESSIAN_STEP**2)
    return result
