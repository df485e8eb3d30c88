"""Fitted forms of write errors as results: parameters with intervals, keys of `[programming]`."""

import numpy as np
from scipy import stats

from xbarsim.base.array_types import Floats
from xbarsim.base.units import MICROSIEMENS
from xbarsim.calibrate.programming_result import (
    DRAWN,
    Description,
    Distribution,
    Writes,
    programming_result,
)
from xbarsim.calibrate.result import DeviceTable, FitResult, Parameter
from xbarsim.calibrate.statistics import TAIL, t_interval
from xbarsim.calibrate.write_errors import (
    FREEDOM,
    Band,
    ErrorFit,
    Law,
    Mixture,
    Normal,
    Student,
    micro,
)
from xbarsim.calibrate.write_intervals import (
    AnyErrorFit,
    band_centre,
    freedom_ends,
    hessian,
    mean_covariance,
    moment_interval,
    scale_covariance,
    standard_deviation,
    student_sigma,
)

HEAVIEST = 2.01  # degrees of freedom at and below which a standard deviation is none
WIDEST_ODDS = 5.0  # half width of the interval of ln odds beyond which they are not identified
WIDEST_FACTOR = 3.0  # the same of ln of the factor
TOO_HEAVY = "the tails are too heavy for a standard deviation"

_SIDES = np.array([-1, 1])
_FALLING = np.geomspace(1e3, 1e-3, 800)
_RISING = np.geomspace(1e-3, 1e3, 800)
_GRID = np.concatenate((-_FALLING, [0.0], _RISING))  # of deviates
_SHARES = np.linspace(0.5 / DRAWN, 1 - 0.5 / DRAWN, DRAWN)


# --- Gaussian


def gaussian_result(fit: ErrorFit[Normal], writes: Writes, with_coefficients: bool) -> FitResult:
    """Result of Gaussian errors; `with_coefficients` : of the polynomial of sigma, too."""
    parameters = _bias_parameters(fit)
    parameters.append(Parameter.known("sigma", "S", *moment_interval(fit)))
    if with_coefficients and fit.spread.degree:
        error = np.sqrt(np.diag(scale_covariance(fit)))
        freedom = len(writes.error) - fit.spread.size
        for k, coefficient in enumerate(fit.scale_coefficients):
            parameters.append(t_interval(f"sigma_{k}", "S", coefficient, error[k], freedom))
    model = f"Gaussian, sigma {fit.spread.name}"
    return _result(fit, model, parameters, writes, {"model": "gaussian"})


# --- Student t


def student_result(fit: ErrorFit[Student], writes: Writes) -> FitResult:
    """Result of Student errors; intervals are profile likelihoods."""
    freedom = fit.form.freedom
    parameters = _bias_parameters(fit)
    if freedom > HEAVIEST:
        parameters.append(student_sigma(fit))
    else:
        parameters.append(Parameter.unknown("sigma", "S", TOO_HEAVY))
    shape = _freedom_parameter(fit)
    parameters.append(shape)
    table: DeviceTable = {}
    if shape.identified:
        table = {"model": "student", "degrees_of_freedom": freedom}
    return _result(fit, "heavy-tailed, Student t", parameters, writes, table)


def _freedom_parameter(fit: ErrorFit[Student]) -> Parameter:
    name = "degrees_of_freedom"
    freedom = fit.form.freedom
    low, high = freedom_ends(fit)
    if high is None:
        least = low or FREEDOM[0]
        reason = f"tails no heavier than a Gaussian's are within the interval, {least:.3g} and more"
        return Parameter.unknown(name, "1", reason)
    if low is None or freedom <= HEAVIEST:
        return Parameter.unknown(name, "1", f"{TOO_HEAVY}: {high:.3g} or less")
    return Parameter.known(name, "1", freedom, low, high)


# --- mixture


def mixture_result(fit: ErrorFit[Mixture], writes: Writes) -> FitResult:
    """Result of a mixture; intervals from the curvature in logarithms of scale, odds and factor."""
    form = fit.form
    best = np.array([0.0, np.log(form.fraction / (1 - form.fraction)), np.log(form.factor)])
    covariance = _mixture_covariance(fit.deviates, best)
    shape = _shape_parameters(form, best, covariance)
    parameters = [*_bias_parameters(fit), _mixture_sigma(fit, best, covariance), *shape]
    table: DeviceTable = {}
    if all(parameter.identified for parameter in shape):
        table = {"model": "mixture", "tail_fraction": form.fraction, "tail_factor": form.factor}
    return _result(fit, "heavy-tailed, mixture of two Gaussians", parameters, writes, table)


def _mixture_at(theta: Floats) -> Mixture:
    """Mixture of (ln scale, ln odds of the fraction, ln factor)."""
    return Mixture(1 / (1 + np.exp(-theta[1])), np.exp(theta[2]))


def _mixture_covariance(z: Floats, best: Floats) -> Floats:
    """(3, 3) of (ln scale, ln odds of the fraction, ln factor) at the best."""

    def minus_log(theta: Floats) -> float:
        density = _mixture_at(theta).log_density(z / np.exp(theta[0]))
        return float(-density.sum() + len(z) * theta[0])

    return np.asarray(np.linalg.pinv(hessian(minus_log, best)), float)


def _mixture_sigma(fit: ErrorFit[Mixture], best: Floats, covariance: Floats) -> Parameter:
    def log_deviation(theta: Floats) -> float:
        return float(theta[0] + 0.5 * np.log(_mixture_at(theta).variance))

    step = 1e-4
    slope = np.empty(3)
    for k, move in enumerate(step * np.eye(3)):
        slope[k] = (log_deviation(best + move) - log_deviation(best - move)) / (2 * step)
    variance = float(slope @ covariance @ slope)
    ratio = np.exp(_reach() * np.sqrt(max(variance, 0.0)))
    value = standard_deviation(fit)
    return Parameter.known("sigma", "S", value, value / ratio, value * ratio)


def _shape_parameters(form: Mixture, best: Floats, covariance: Floats) -> list[Parameter]:
    """tail_fraction and tail_factor."""
    of_odds, of_factor = _reach() * np.sqrt(np.maximum(np.diag(covariance)[1:], 0))
    if of_odds >= WIDEST_ODDS or of_factor >= WIDEST_FACTOR:
        reason = "narrow and wide errors cannot be told apart"
        return [
            Parameter.unknown("tail_fraction", "1", reason),
            Parameter.unknown("tail_factor", "1", reason),
        ]
    odds = np.exp(best[1] + of_odds * _SIDES)
    low, high = odds / (1 + odds)
    least, most = form.factor * np.exp(of_factor * _SIDES)
    return [
        Parameter.known("tail_fraction", "1", form.fraction, low, high),
        Parameter.known("tail_factor", "1", form.factor, least, most),
    ]


def _reach() -> float:
    """Standard errors either side of a normal estimate."""
    return float(stats.norm.ppf(1 - TAIL))


# --- bounded


def bounded_result(band: Band, writes: Writes) -> FitResult:
    """Result of a Band.

    largest error / w is a beta variable, so the interval of the half width w is exact (two-sided in
    the centre).
    """
    n = len(writes.error)
    width = band.half_width
    share = stats.beta.ppf(2 * TAIL, n - band.size, band.size + 1)  # of w that the errors reach
    widest = width / share
    root = np.sqrt(3)
    parameters = [
        Parameter.known("sigma", "S", width / root, width / root, widest / root),
        Parameter.known("half_width", "S", width, width, widest),
    ]
    model = "bounded, uniform within the half width"
    table: DeviceTable = {"model": "bounded", "half_width_us": float(width / MICROSIEMENS)}
    if band.mean is not None:
        parameters.insert(0, Parameter.known("bias", "S", *band_centre(band, band.mean)))
        table |= _bias_entry(band.mean, band.coefficients, writes)
        centre = "a constant error" if band.mean.degree == 0 else "an error linear in the target"
        model += f" of {centre}"
    distribution = Distribution(
        location=band.location,
        sigma=np.full(n, width / root),
        share_below=(band.error - band.location + width) / (2 * width),
        scale=np.full(n, 1.0),
        quantiles=width * (2 * _SHARES - 1),
    )
    return programming_result(Description(model, parameters, band.aic, table), distribution, writes)


# --- what the forms share


def _result(
    fit: AnyErrorFit, model: str, parameters: list[Parameter], writes: Writes, table: DeviceTable
) -> FitResult:
    """Result of an ErrorFit; `table` : keys of the form, no device file where it is empty."""
    if fit.mean.degree != 0:
        model += f", bias {fit.mean.name}"
    if table:
        table = table | _sigma_entry(fit, writes)
        table = table | _bias_entry(fit.mean, fit.mean_coefficients, writes)
    deviation = np.sqrt(fit.form.variance)
    shown = deviation if np.isfinite(deviation) else 1.0
    distribution = Distribution(
        location=fit.location,
        sigma=fit.scale * shown,
        share_below=fit.form.cdf(fit.deviates),
        scale=fit.scale,
        quantiles=np.interp(_SHARES, fit.form.cdf(_GRID), _GRID),
    )
    return programming_result(Description(model, parameters, fit.aic, table), distribution, writes)


def _bias_parameters(fit: AnyErrorFit) -> list[Parameter]:
    """The mean error over all writes, and the coefficients of its polynomial."""
    covariance = mean_covariance(fit)
    average = fit.mean.design.mean(axis=0)
    freedom = len(fit.error) - fit.mean.size
    value = average @ fit.mean_coefficients
    of_value = np.sqrt(average @ covariance @ average)
    found = [t_interval("bias", "S", value, of_value, freedom)]
    if fit.mean.degree:
        error = np.sqrt(np.diag(covariance))
        for k, coefficient in enumerate(fit.mean_coefficients):
            found.append(t_interval(f"bias_{k}", "S", coefficient, error[k], freedom))
    return found


def _sigma_entry(fit: AnyErrorFit, writes: Writes) -> DeviceTable:
    """Keys of a device file for the law of the standard deviation."""
    deviation = np.sqrt(fit.form.variance)
    coefficients = micro(fit.scale_coefficients * deviation)
    if fit.spread.degree is None:
        return {"sigma": [{"target_us": micro(writes.levels), "sigma_us": coefficients}]}
    return {"sigma": [{"polynomial_us": coefficients}], "scale_us": writes.scale_us}


def _bias_entry(mean: Law, coefficients: Floats, writes: Writes) -> DeviceTable:
    """Key of a device file for the mean error: a number, or a law of the target."""
    values = micro(coefficients)
    if mean.degree == 0:
        return {"bias_us": values[0]}
    if mean.degree is None:
        conductance = micro(writes.levels)
        return {"bias_us": {"law": "table", "conductance_us": conductance, "values": values}}
    scale = writes.scale_us
    return {"bias_us": {"law": "polynomial", "scale_us": scale, "coefficients": values}}
