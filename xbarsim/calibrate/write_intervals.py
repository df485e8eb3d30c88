"""Intervals of what `write_errors` fits: mean, standard deviation, degrees of freedom."""

import numpy as np
from scipy import optimize, stats

from xbarsim.calibrate.result import CONFIDENCE, Parameter
from xbarsim.calibrate.statistics import TAIL
from xbarsim.calibrate.write_errors import FREEDOM, Student


def mean_covariance(fit):
    """(k, k) covariance of the mean's coefficients, S²; holds for errors of other forms too
    (sandwich)."""
    design, z, scale = fit.mean.design, fit.deviates, fit.scale
    weight, variance = fit.form.precision(z)
    curvature = (weight - z**2 * variance) / scale**2
    bread = np.linalg.pinv((design * curvature[:, None]).T @ design)
    score = design * (weight * z / scale)[:, None]
    freedom = max(len(z) - fit.mean.size, 1)
    return bread @ (score.T @ score) @ bread * (len(z) / freedom)


def scale_covariance(fit):
    """(k, k) covariance of the coefficients of a normal error's sigma, S²; holds for other forms
    too (sandwich)."""
    design, z, scale = fit.spread.design, fit.deviates, fit.scale
    bread = np.linalg.pinv(2 * (design / scale[:, None] ** 2).T @ design)
    score = design * ((z**2 - 1) / scale)[:, None]
    freedom = max(len(z) - fit.mean.size - fit.spread.size, 1)
    return bread @ (score.T @ score) @ bread * (len(z) / freedom)


def moment_interval(fit):
    """(low, high) S of the standard deviation, for errors of any form with four moments (Bonett,
    2006)."""
    n = len(fit.error)
    variance = fit.scale**2 * fit.form.variance
    square = (fit.error - fit.location) ** 2 * n / max(n - fit.mean.size, 1)
    mean = square.mean()
    error = np.sqrt(((square - variance * mean / variance.mean()) ** 2).sum()) / n / mean
    z = stats.norm.ppf(1 - TAIL)
    correction = n / (n - z)
    ratio = np.exp(z * correction * error / 2)
    return np.sqrt(correction * mean) / ratio, np.sqrt(correction * mean) * ratio


def band_centre(band):
    """(value, low, high) S of the mean of a Band's centre over the writes.

    The ends are the least and the largest mean of all lines whose band holds every error with a
    half width that the likelihood width**-n allows: exact about a constant (the midrange of Neyman
    and Pearson, 1928), where the likelihood ratio is exponential.
    """
    widest = band.half_width * (2 * TAIL) ** (-1 / (len(band.error) - band.size))
    middle = float(band.location.mean())
    if band.mean.degree == 0:
        reach = widest - band.half_width
        return middle, middle - reach, middle + reach
    design = band.mean.design
    residual = band.error - band.location
    ends = []
    for sign in (1, -1):
        found = optimize.linprog(
            sign * design.mean(axis=0),
            A_ub=np.vstack((design, -design)),
            b_ub=np.concatenate((residual + widest, widest - residual)) / widest,
            bounds=[(None, None)] * band.mean.size,
            method="highs",
        )
        ends.append(sign * found.fun * widest)
    return middle, middle + ends[0], middle + ends[1]


def freedom_ends(fit):
    """Ends of the degrees of freedom by their profile likelihood, None where it does not close."""
    z = fit.deviates

    def minus_two(log_freedom):
        freedom = np.exp(log_freedom)
        found = optimize.minimize_scalar(
            lambda log_scale: _student_minus_two(z, freedom, log_scale),
            bounds=(-1.5, 1.5),
            method="bounded",
        )
        return found.fun

    ends = profile_ends(minus_two, np.log(fit.form.freedom), np.log(FREEDOM))
    return [None if end is None else float(np.exp(end)) for end in ends]


def student_sigma(fit):
    """Parameter sigma of a Student fit."""
    z = fit.deviates
    best = 0.5 * np.log(fit.form.variance)

    def minus_two(log_deviation):
        def of_freedom(log_excess):
            freedom = 2 + np.exp(log_excess)
            return _student_minus_two(
                z, freedom, log_deviation - 0.5 * np.log(freedom / (freedom - 2))
            )

        return optimize.minimize_scalar(
            of_freedom, bounds=(np.log(0.01), np.log(200)), method="bounded"
        ).fun

    value = standard_deviation(fit)
    low, high = profile_ends(minus_two, best, (best - 1.5, best + 1.5))
    if low is None or high is None:
        return Parameter.unknown("sigma", "S", "the tails are too heavy for a standard deviation")
    by_moments = moment_interval(fit)
    return Parameter.known(
        "sigma",
        "S",
        value,
        min(value * np.exp(low - best), by_moments[0], value),
        max(value * np.exp(high - best), by_moments[1], value),
    )


def _student_minus_two(z, freedom, log_scale):
    return -2 * Student(freedom).log_density(z * np.exp(-log_scale)).sum() + 2 * len(z) * log_scale


def profile_ends(minus_two, best, limits):
    """Where -2 log likelihood rises by the interval's threshold either side of `best`; None where
    not within `limits`."""
    most = minus_two(best) + stats.chi2.ppf(CONFIDENCE, 1)
    ends = []
    for limit in limits:
        if (limit - best) * (limit - limits[0] - limits[1] + limit) <= 0 or minus_two(
            limit
        ) <= most:
            ends.append(None)
        else:
            ends.append(
                optimize.brentq(
                    lambda point: minus_two(point) - most, *sorted((best, limit)), xtol=1e-3
                )
            )
    return ends


def standard_deviation(fit):
    """Standard deviation (S) about the mean error, root mean square over the writes."""
    return float(np.sqrt((fit.scale**2).mean() * fit.form.variance))


def hessian(function, point, step=1e-3):
    """(k, k) second derivatives by central differences."""
    size = len(point)
    steps = step * np.eye(size)
    result = np.empty((size, size))
    for i in range(size):
        for j in range(size):
            corners = [
                function(point + a * steps[i] + b * steps[j])
                for a, b in ((1, 1), (1, -1), (-1, 1), (-1, -1))
            ]
            result[i, j] = (corners[0] - corners[1] - corners[2] + corners[3]) / (4 * step**2)
    return result
