"""Targets and achieved conductances of a write: mean error, spread and form (Gaussian, bounded,
heavy-tailed)."""

import dataclasses

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from xbarsim.base.errors import OutOfRangeError, ShapeError
from xbarsim.base.units import MICROSIEMENS
from xbarsim.calibrate.result import Curve, FitResult, Level, Parameter
from xbarsim.calibrate.statistics import TAIL, t_interval
from xbarsim.calibrate.tables import Wanted, read_tables
from xbarsim.calibrate.write_errors import (
    FREEDOM,
    Mixture,
    Normal,
    Student,
    fit_band,
    fit_form,
    micro,
)
from xbarsim.calibrate.write_intervals import (
    band_centre,
    freedom_ends,
    hessian,
    mean_covariance,
    moment_interval,
    scale_covariance,
    standard_deviation,
    student_sigma,
)

COLUMNS = (
    Wanted("target", "S", ("target", "set", "aim", "goal")),
    Wanted("achieved", "S", ("achieved", "measured", "read", "conductance", "g")),
)
LEAST = 10
IMPLAUSIBLE = 1e-3  # a goodness of fit below that is a warning
UNDETERMINED = 10.0  # of AIC: a form whose shape is not identified must be better by more
LEAST_TESTED = 8  # writes at a level whose distribution is tested alone
DRAWN = 200  # points of the fitted distribution in the picture


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
    target, achieved = _checked(target, achieved)
    error = achieved - target
    x = target / target.max()
    _check_degree("degree", degree, x)
    _check_degree("bias_degree", bias_degree, x)
    normal = fit_form(error, x, Normal(), degree, bias_degree)
    student = fit_form(error, x, Student(), degree, bias_degree)[0]
    band = fit_band(error, x, bias_degree)
    ranked = [(fit.cost, _gaussian(fit, target, first=fit is normal[0])) for fit in normal]
    ranked += [(student.cost, _student(student, target)), (band.cost, _bounded(band, target))]
    if stats.kurtosis(normal[0].deviates) > 0:
        mixture = fit_form(error, x, Mixture(), degree, bias_degree)[0]
        ranked.append((mixture.cost, _mixture(mixture, target)))
    best = min(ranked, key=lambda pair: pair[0] + (0.0 if pair[1].device else UNDETERMINED))[1]
    others = sorted(
        (result for _, result in ranked if result is not best), key=lambda result: result.aic
    )
    return dataclasses.replace(best, alternatives=tuple(others))


def _checked(target, achieved):
    target = np.asarray(target, float)
    achieved = np.asarray(achieved, float)
    if (
        target.ndim != 1
        or target.shape != achieved.shape
        or not (np.isfinite(target) & np.isfinite(achieved)).all()
    ):
        raise ShapeError(
            f"target {target.shape} and achieved {achieved.shape}; allowed: finite vectors of "
            f"one length"
        )
    if len(target) < LEAST:
        raise OutOfRangeError(f"{len(target)} writes; a distribution needs {LEAST} or more")
    if target.min() < 0 or target.max() == 0:
        raise OutOfRangeError(
            f"targets are {target.min():g} to {target.max():g} S; allowed: 0 or more, one above 0"
        )
    error = achieved - target
    if np.ptp(error) <= 1e-9 * target.max():
        raise OutOfRangeError("all errors are the same; these are not measured conductances")
    return target, achieved


def _check_degree(name, degree, x):
    highest = min(3, len(np.unique(x)) - 1)
    if degree is not None and degree not in range(highest + 1):
        raise OutOfRangeError(f"{name} is {degree!r}; allowed: 0 to {highest} for these targets")


def _gaussian(fit, target, first):
    """Result of a Gaussian ErrorFit; the coefficients of its sigma for the first, best one."""
    low, high = moment_interval(fit)
    parameters = [*_bias(fit), Parameter.known("sigma", "S", standard_deviation(fit), low, high)]
    if first and fit.spread.degree:
        error = np.sqrt(np.diag(scale_covariance(fit)))
        freedom = len(target) - fit.spread.size
        parameters += [
            t_interval(f"sigma_{k}", "S", fit.scale_coefficients[k], error[k], freedom)
            for k in range(fit.spread.size)
        ]
    return _result(
        fit, f"Gaussian, sigma {fit.spread.name}", parameters, target, {"model": "gaussian"}
    )


def _student(fit, target):
    """Result of a Student ErrorFit; intervals are profile likelihoods, that of sigma also covers
    the moments' one."""
    freedom = fit.form.freedom
    parameters = list(_bias(fit))
    low, high = freedom_ends(fit)
    if high is None:
        shape = Parameter.unknown(
            "degrees_of_freedom",
            "1",
            "tails no heavier than a Gaussian's are within the interval, "
            f"{low or FREEDOM[0]:.3g} and more",
        )
    elif low is None or freedom <= 2.01:
        shape = Parameter.unknown(
            "degrees_of_freedom",
            "1",
            f"the tails are too heavy for a standard deviation: {high:.3g} or less",
        )
    else:
        shape = Parameter.known("degrees_of_freedom", "1", freedom, low, high)
    if freedom > 2.01:
        parameters.append(student_sigma(fit))
    else:
        parameters.append(
            Parameter.unknown("sigma", "S", "the tails are too heavy for a standard deviation")
        )
    table = {"model": "student", "degrees_of_freedom": freedom} if shape.identified else {}
    return _result(fit, "heavy-tailed, Student t", [*parameters, shape], target, table)


def _mixture(fit, target):
    """Result of a mixture ErrorFit; intervals from the curvature in logarithms of scale, odds and
    factor."""
    z = fit.deviates
    form = fit.form

    def minus_log(theta):
        scale = np.exp(theta[0])
        return (
            -Mixture(1 / (1 + np.exp(-theta[1])), np.exp(theta[2])).log_density(z / scale).sum()
            + len(z) * theta[0]
        )

    def log_deviation(theta):
        trial = Mixture(1 / (1 + np.exp(-theta[1])), np.exp(theta[2]))
        return theta[0] + 0.5 * np.log(trial.variance)

    best = np.array([0.0, np.log(form.fraction / (1 - form.fraction)), np.log(form.factor)])
    covariance = np.linalg.pinv(hessian(minus_log, best))
    steps = 1e-4 * np.eye(3)
    slope = np.array(
        [(log_deviation(best + step) - log_deviation(best - step)) / 2e-4 for step in steps]
    )
    reach = stats.norm.ppf(1 - TAIL)
    of_fraction, of_factor = reach * np.sqrt(np.maximum(np.diag(covariance)[1:], 0))
    of_sigma = np.exp(reach * np.sqrt(max(slope @ covariance @ slope, 0)))
    parameters = [
        *_bias(fit),
        Parameter.known(
            "sigma",
            "S",
            standard_deviation(fit),
            standard_deviation(fit) / of_sigma,
            standard_deviation(fit) * of_sigma,
        ),
    ]
    odds = np.exp(best[1] + of_fraction * np.array([-1, 1]))
    if of_fraction < 5 and of_factor < 3:
        parameters += [
            Parameter.known("tail_fraction", "1", form.fraction, *(odds / (1 + odds))),
            Parameter.known(
                "tail_factor",
                "1",
                form.factor,
                *(form.factor * np.exp(of_factor * np.array([-1, 1]))),
            ),
        ]
        table = {"model": "mixture", "tail_fraction": form.fraction, "tail_factor": form.factor}
    else:
        reason = "narrow and wide errors cannot be told apart"
        parameters += [
            Parameter.unknown("tail_fraction", "1", reason),
            Parameter.unknown("tail_factor", "1", reason),
        ]
        table = {}
    return _result(fit, "heavy-tailed, mixture of two Gaussians", parameters, target, table)


def _bounded(band, target):
    """Result of a Band.  largest error / w is a beta variable, so the interval of w is exact
    (two-sided in the centre)."""
    n = len(target)
    width = band.half_width
    share = stats.beta.ppf(2 * TAIL, n - band.size, band.size + 1)  # of w that the errors reach
    half = Parameter.known("half_width", "S", width, width, width / share)
    sigma = Parameter.known(
        "sigma", "S", *(end / np.sqrt(3) for end in (half.value, half.low, half.high))
    )
    parameters = [sigma, half]
    centre = "the target"
    if band.mean is not None:
        parameters.insert(0, Parameter.known("bias", "S", *band_centre(band)))
        centre = "a constant error" if band.mean.degree == 0 else "an error linear in the target"
    share_below = (band.error - band.location + width) / (2 * width)
    drawn = np.linspace(0.5 / DRAWN, 1 - 0.5 / DRAWN, DRAWN)
    model = "bounded, uniform within the half width" + (
        f" of {centre}" if band.mean is not None else ""
    )
    table = {"model": "bounded", "half_width_us": float(width / MICROSIEMENS)} | _bias_entry(
        band, target
    )
    return _assembled(
        model,
        parameters,
        target,
        band.error,
        band.location,
        np.full(n, width / np.sqrt(3)),
        share_below,
        width * (2 * drawn - 1),
        np.full(n, 1.0),
        band.aic,
        table,
    )


def _result(fit, model, parameters, target, table):
    """FitResult of an ErrorFit; no device table where `table` is empty."""
    deviation = np.sqrt(fit.form.variance)
    if fit.mean.degree != 0:
        model += f", bias {fit.mean.name}"
    if table:
        coefficients = micro(fit.scale_coefficients * deviation)
        if fit.spread.degree is None:
            table = table | {
                "sigma": [{"target_us": micro(np.unique(target)), "sigma_us": coefficients}]
            }
        else:
            table = table | {
                "sigma": [{"polynomial_us": coefficients}],
                "scale_us": float(target.max() / MICROSIEMENS),
            }
        table = table | _bias_entry(fit, target)
    drawn = np.linspace(0.5 / DRAWN, 1 - 0.5 / DRAWN, DRAWN)
    quantiles = np.interp(drawn, fit.form.cdf(_GRID), _GRID)
    shown = deviation if np.isfinite(deviation) else 1.0
    return _assembled(
        model,
        parameters,
        target,
        fit.error,
        fit.location,
        fit.scale * shown,
        fit.form.cdf(fit.deviates),
        quantiles,
        fit.scale,
        fit.aic,
        table,
    )


_GRID = np.concatenate((-np.geomspace(1e3, 1e-3, 800), [0.0], np.geomspace(1e-3, 1e3, 800)))


def _assembled(
    model, parameters, target, error, location, sigma, share_below, quantiles, scale, aic, table
):
    """FitResult with goodness, statistics of levels, warnings, picture and tables.

    location, sigma : (n,) S, mean and standard deviation at every write;  share_below : (n,)
        cumulated probability
    quantiles : of the standardised error, which `scale` (n,) multiplies
    """
    goodness = {
        "kolmogorov_smirnov_p": float(stats.kstest(share_below, "uniform").pvalue),
        "excess_kurtosis": float(stats.kurtosis((error - location) / sigma)),
        "measured_sigma_us": float((error - location).std() / MICROSIEMENS),
    }
    levels = _levels(target, error, share_below)
    device = {"programming": table} if table else {}
    distinct = np.unique(target)
    if device and len(distinct) > 1:
        low, high = micro(distinct[[0, -1]])
        device = {
            "conductance": {"minimum_us": low, "maximum_us": high, "valid_range_us": [low, high]}
        } | device
    order = np.sort(error)
    fitted = np.quantile(
        (location[:, None] + scale[:, None] * quantiles)[:: max(1, len(error) // 500)],
        np.linspace(0.0025, 0.9975, DRAWN),
    )
    lines = {
        "mean error": _line(target, location),
        "+ sigma": _line(target, location + sigma),
        "- sigma": _line(target, location - sigma),
    }
    shares = (np.arange(len(error)) + 0.5) / len(error)
    curves = {
        "error against target": Curve(
            ("target", "S"), ("achieved - target", "S"), {"writes": (target, error)}, lines
        ),
        "distribution": Curve(
            ("achieved - target", "S"),
            ("share below", ""),
            {"writes": (order, shares)},
            {"fit": (fitted, np.linspace(0.0025, 0.9975, DRAWN))},
        ),
    }
    return FitResult(
        "programming",
        model,
        tuple(parameters),
        len(error),
        goodness,
        aic,
        curves=curves,
        device=device,
        levels=levels,
        warnings=tuple(_warnings(goodness, levels)),
    )


def _line(x, y):
    order = np.argsort(x)
    return x[order], y[order]


def _levels(target, error, share_below):
    """Level of every target; none where targets do not repeat."""
    distinct, counts = np.unique(target, return_counts=True)
    if len(distinct) > max(20, len(target) // 8) or counts.min() < 2:
        return ()
    found = []
    for level in distinct:
        here = target == level
        p = (
            float(stats.kstest(share_below[here], "uniform").pvalue)
            if here.sum() >= LEAST_TESTED
            else None
        )
        found.append(
            Level(
                float(level),
                int(here.sum()),
                float(error[here].mean()),
                float(error[here].std(ddof=1)),
                p,
            )
        )
    return tuple(found)


def _warnings(goodness, levels):
    """Where the data contradict the distribution, over all writes and level by level
    (Bonferroni)."""
    found = []
    overall = goodness["kolmogorov_smirnov_p"]
    if overall < IMPLAUSIBLE:
        found.append(
            f"the fitted distribution contradicts the data (Kolmogorov-Smirnov p = "
            f"{overall:.2g}): cells drawn from "
            "it will differ from these writes; look at the picture and at the alternatives"
        )
    tested = [level for level in levels if level.fit_p is not None]
    worst = min(tested, key=lambda level: level.fit_p, default=None)
    if worst is not None and worst.fit_p * len(tested) < IMPLAUSIBLE:
        found.append(
            f"the fitted distribution contradicts the writes to "
            f"{worst.target / MICROSIEMENS:.4g} µS "
            f"(Kolmogorov-Smirnov p = {worst.fit_p:.2g}, the worst of {len(tested)} levels)"
        )
    return found


def _bias(fit):
    """Parameters of the mean error: over all writes, and the coefficients of a polynomial."""
    covariance = mean_covariance(fit)
    average = fit.mean.design.mean(axis=0)
    freedom = len(fit.error) - fit.mean.size
    found = [
        t_interval(
            "bias",
            "S",
            average @ fit.mean_coefficients,
            np.sqrt(average @ covariance @ average),
            freedom,
        )
    ]
    if fit.mean.degree:
        error = np.sqrt(np.diag(covariance))
        found += [
            t_interval(f"bias_{k}", "S", fit.mean_coefficients[k], error[k], freedom)
            for k in range(fit.mean.size)
        ]
    return found


def _bias_entry(fit, target):
    """{"bias_us": ...} of a device file: nothing, a number or a law of the target."""
    if fit.mean is None:
        return {}
    coefficients = micro(fit.coefficients if hasattr(fit, "half_width") else fit.mean_coefficients)
    if fit.mean.degree == 0:
        return {"bias_us": coefficients[0]}
    if fit.mean.degree is None:
        return {
            "bias_us": {
                "law": "table",
                "conductance_us": micro(np.unique(target)),
                "values": coefficients,
            }
        }
    return {
        "bias_us": {
            "law": "polynomial",
            "scale_us": float(target.max() / MICROSIEMENS),
            "coefficients": coefficients,
        }
    }


def from_files(paths, columns, where):
    """`fit_programming` of files with a column of targets and one of achieved conductances, taken
    together."""
    tables = read_tables(paths, COLUMNS, columns, where)
    for table in tables:
        table.require(LEAST, "a programming fit")
    result = fit_programming(
        *(np.concatenate([t[name] for t in tables]) for name in ("target", "achieved"))
    )
    return dataclasses.replace(result, inputs=tuple(t.echo for t in tables))
