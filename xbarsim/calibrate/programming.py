"""Targets and achieved conductances of a write: is the error Gaussian, bounded by a verify window, or heavy-tailed?"""
import dataclasses

import numpy as np
from scipy import stats
from scipy.special import gammaln

from xbarsim.calibrate.result import CONFIDENCE, Curve, FitResult, Parameter
from xbarsim.calibrate.statistics import TAIL, t_interval
from xbarsim.calibrate.tables import Wanted, read_tables
from xbarsim.errors import OutOfRangeError, ShapeError
from xbarsim.units import MICROSIEMENS

COLUMNS = (Wanted("target", "S", ("target", "set", "aim", "goal")),
           Wanted("achieved", "S", ("achieved", "measured", "read", "conductance", "g")))
LEAST = 10
DEGREES_OF_FREEDOM = np.geomspace(0.8, 200, 48)


def fit_programming(target, achieved, degree=None):
    """Distribution of achieved - target.

    Gaussian with a standard deviation that is a polynomial of the target (degree 0 to 3 by AIC) or one number per
    level; uniform within a half width of the target; Student t with the same standard deviation.  The lowest AIC is
    the result, the others its alternatives.

    Parameters
    ----------
    target, achieved : (n,) S;  degree : of the polynomial, 0 to 3; by AIC if None

    Returns
    -------
    FitResult : bias, sigma (of all errors about their mean) in S; half_width (S), degrees_of_freedom, or sigma_0, sigma_1
        ... (S), coefficients of the polynomial in target / largest target

    Raises
    ------
    ShapeError, OutOfRangeError : not finite vectors of one length; too few; all errors 0
    """
    target, achieved = np.asarray(target, float), np.asarray(achieved, float)
    if target.ndim != 1 or target.shape != achieved.shape or not (np.isfinite(target) & np.isfinite(achieved)).all():
        raise ShapeError(f"target {target.shape} and achieved {achieved.shape}; allowed: finite vectors of one length")
    if len(target) < LEAST:
        raise OutOfRangeError(f"{len(target)} writes; a distribution needs {LEAST} or more")
    if target.min() < 0 or target.max() == 0:
        raise OutOfRangeError(f"targets are {target.min():g} to {target.max():g} S; allowed: 0 or more, one above 0")
    error = achieved - target
    if not error.any() or error.std() == 0:
        raise OutOfRangeError("all errors are the same; these are not measured conductances")
    n, scale = len(error), target.max()
    x, centred = target / scale, error - error.mean()
    shapes = _sigma_shapes(x, centred)
    if degree is not None:
        shapes = [shape for shape in shapes if shape[0].endswith(f"degree {degree}")]
        if not shapes:
            raise OutOfRangeError(f"degree is {degree!r}; allowed: 0 to {min(3, len(np.unique(x)) - 1)} for these targets")
    shapes.sort(key=lambda shape: shape[3])
    sigma = shapes[0][2]
    fits = [_gaussian(*shape, target, error, shape is shapes[0]) for shape in shapes]
    # Normal likelihoods of heavy tails bend high polynomials towards single outliers: two stiff shapes for Student t.
    stiff = [(fit, shape) for fit, shape in zip(fits, shapes, strict=True)
             if "polynomial" in shape[0] and len(shape[1]) <= 2]
    students = [_student(error - np.median(error), shape[2], len(shape[1]), fit)
                for fit, shape in stiff or [(fits[0], shapes[0])]]
    ranked = sorted([*fits, min(students, key=lambda fit: fit.aic), _bounded(error)], key=lambda fit: fit.aic)
    levels = np.unique(target)
    grouped = len(levels) <= max(20, n // 8) and all((target == level).sum() > 1 for level in levels)
    notes = []
    if grouped:
        notes.append("by level (target: writes, mean error, standard deviation in µS): " + "; ".join(
            f"{level * 1e6:.4g}: {(target == level).sum()}, {error[target == level].mean() * 1e6:+.3g}, "
            f"{error[target == level].std(ddof=1) * 1e6:.3g}" for level in levels))
    window = {}
    if len(levels) > 1:
        low, high = (float(value / MICROSIEMENS) for value in (levels[0], levels[-1]))
        window = {"conductance": {"minimum_us": low, "maximum_us": high, "valid_range_us": [low, high]}}
    ranked = [dataclasses.replace(fit, device=window | fit.device if fit.device else {}) for fit in ranked]
    quantiles = (np.arange(n) + 0.5) / n
    order = np.sort(error)
    lines = {"Gaussian": (order, stats.norm.cdf(order, error.mean(), error.std())),
               "bounded": (order, np.clip((order / abs(error).max() + 1) / 2, 0, 1))}
    curves = {"error against target": Curve(("target", "S"), ("achieved - target", "S"), {"writes": (target, error)},
                                            {"+ sigma": _line(target, error.mean() + sigma),
                                             "- sigma": _line(target, error.mean() - sigma)}),
              "distribution": Curve(("achieved - target", "S"), ("share below", ""), {"writes": (order, quantiles)},
                                    lines)}
    return dataclasses.replace(ranked[0], alternatives=tuple(ranked[1:]), notes=tuple(notes), curves=curves)


def _line(x, y):
    order = np.argsort(x)
    return x[order], y[order]


def _common(error):
    """(bias, sigma): the standard deviation's interval uses the fourth moment, so it holds for any distribution."""
    n, variance = len(error), error.var()
    spread = np.sqrt(max(((error - error.mean()) ** 4).mean() - variance ** 2, 0) / n)
    z = stats.norm.ppf(1 - TAIL)
    ratio = np.exp(z * spread / (2 * variance))                      # of a logarithm: stays above 0
    return (t_interval("bias", "S", error.mean(), error.std(ddof=1) / np.sqrt(n), n - 1),
            Parameter.known("sigma", "S", np.sqrt(variance), np.sqrt(variance) / ratio, np.sqrt(variance) * ratio))


def _sigma_shapes(x, centred):
    """[(name, coefficients or {level: sigma}, sigma (n,), AIC)] of normal errors with standard deviations that follow x."""
    shapes, levels = [], np.unique(x)
    for degree in range(min(4, len(levels))):
        design = x[:, None] ** np.arange(degree + 1)
        beta, about = np.zeros(degree + 1), centred
        beta[0] = centred.std()
        for _ in range(1 if degree == 0 else 2):                     # the mean that belongs to unequal sigmas
            beta, sigma = _scoring(design, about, beta, range(degree + 1))
            about = centred - np.average(centred, weights=sigma ** -2)
        shapes.append((f"sigma a polynomial of degree {degree}", beta, sigma, _normal_aic(about, sigma, degree + 1)))
    each = np.array([(x == level).sum() for level in levels])
    if 1 < len(levels) <= 64 and each.min() >= 5:
        values = np.array([np.sqrt((centred[x == level] ** 2).mean()) for level in levels])
        sigma = values[np.searchsorted(levels, x)]
        if values.min() > 0:
            shapes.append(("sigma of every level", values, sigma, _normal_aic(centred, sigma, len(levels))))
    return shapes


def _scoring(design, centred, beta, free):
    """(beta, sigma = design @ beta) of the largest likelihood over the coefficients `free`, the others held.

    Fisher scoring; a step that would take a sigma below 2 % of the overall one is halved.
    """
    beta, floor, part = beta.copy(), 0.02 * centred.std(), design[:, list(free)]
    for _ in range(50):
        sigma = design @ beta
        step = np.zeros_like(beta)
        step[list(free)] = np.linalg.solve(2 * (part / sigma[:, None] ** 2).T @ part,
                                           part.T @ (centred ** 2 / sigma ** 3 - 1 / sigma))
        while (design @ (beta + step) <= floor).any() and abs(step).max() > 1e-30:
            step = step / 2
        beta = beta + step
        if abs(step).max() < 1e-7 * abs(beta).max():
            break
    return beta, design @ beta


def _profile(design, centred, beta, k):
    """Parameter sigma_k: where the likelihood, largest over the other coefficients, falls to the interval's threshold."""
    most = _normal_aic(centred, design @ beta, 0) + stats.chi2.ppf(CONFIDENCE, 1)
    others = [j for j in range(len(beta)) if j != k]
    unit = np.sqrt(np.linalg.inv(2 * (design / (design @ beta)[:, None] ** 2).T @ design)[k, k])
    ends = []
    for sign in (-1, 1):
        inside, outside, start = 0.0, None, beta
        for _ in range(16):
            distance = 2 * inside + 1.5 if outside is None else (inside + outside) / 2
            trial = start.copy()
            trial[k] = beta[k] + sign * distance * unit
            trial[0] += 0 if k == 0 else max(0.0, 0.1 * centred.std() - (design @ trial).min())
            if k == 0 and (design @ trial).min() <= 0:               # held: lift the rest
                trial[1:] += 0.1 * centred.std() / max(design[:, 1:].min(), 1e-3) if len(beta) > 1 else 0.0
            trial, sigma = _scoring(design, centred, trial, others)
            if sigma.min() <= 0 or _normal_aic(centred, sigma, 0) > most:
                outside = distance
            else:
                inside, start = distance, trial
        ends.append(beta[k] + sign * inside * unit)
    return Parameter.known(f"sigma_{k}", "S", beta[k], *ends)


def _normal_aic(centred, sigma, parameters):
    return float(2 * np.log(sigma).sum() + len(sigma) * np.log(2 * np.pi) + ((centred / sigma) ** 2).sum()
                 + 2 * (parameters + 1))


def _gaussian(name, beta, sigma, aic, target, error, detailed):
    scale = target.max()
    parameters = list(_common(error))
    if name.endswith("every level"):
        entry = {"target_us": (np.unique(target) / MICROSIEMENS).tolist(), "sigma_us": (beta / MICROSIEMENS).tolist()}
    else:
        entry = {"polynomial_us": (beta / MICROSIEMENS).tolist()}
        if len(beta) > 1 and detailed:
            design = (target / scale)[:, None] ** np.arange(len(beta))
            about = error - np.average(error, weights=sigma ** -2)
            parameters += [_profile(design, about, beta, k) for k in range(len(beta))]
    device = {"model": "gaussian", "sigma": [entry], "bias_us": float(error.mean() / MICROSIEMENS)}
    if "polynomial_us" in entry:
        device["scale_us"] = float(scale / MICROSIEMENS)
    z = (error - error.mean()) / sigma
    return FitResult("programming", f"Gaussian, {name}", tuple(parameters), len(error),
                     {"kolmogorov_smirnov_p": float(stats.kstest(z, "norm").pvalue),
                      "excess_kurtosis": float(stats.kurtosis(z))},
                     aic, device={"programming": device})


def _bounded(error):
    """Uniform within +-w of the target: (largest error / w)^n is uniform, so the interval of w is exact."""
    n, largest = len(error), float(abs(error).max())
    half = Parameter.known("half_width", "S", largest, largest, largest * (2 * TAIL) ** (-1 / n))
    return FitResult("programming", "bounded, uniform within the half width", (*_common(error), half), n,
                     {"kolmogorov_smirnov_p": float(stats.kstest(error, "uniform", (-largest, 2 * largest)).pvalue),
                      "excess_kurtosis": float(stats.kurtosis(error))},
                     2 * n * np.log(2 * largest) + 2, device={"programming": {"model": "bounded",
                                                                              "half_width_us": largest / MICROSIEMENS}})


def _student(centred, sigma, parameters, gaussian):
    """Student t of the standard deviation's shape: profile of the degrees of freedom, the scale solved for each."""
    z, n = centred / sigma, len(centred)
    nu = DEGREES_OF_FREEDOM[:, None]
    squared = z ** 2
    s2 = np.full(nu.shape, squared.mean())
    for _ in range(60):                                             # expectation-maximisation of the scale
        s2 = ((nu + 1) * squared / (nu + squared / s2)).mean(axis=1, keepdims=True)
    minus_two = (-2 * n * (gammaln((nu + 1) / 2) - gammaln(nu / 2) - 0.5 * np.log(nu * np.pi * s2))[:, 0]
                 + ((nu + 1) * np.log1p(squared / s2 / nu)).sum(axis=1) + 2 * np.log(sigma).sum())
    best = int(np.argmin(minus_two))
    excess = minus_two - minus_two[best] - stats.chi2.ppf(CONFIDENCE, 1)
    inside = np.flatnonzero(excess <= 0)
    value, log_nu = float(DEGREES_OF_FREEDOM[best]), np.log(DEGREES_OF_FREEDOM)
    low, high = (float(np.exp(np.interp(0, *zip(*sorted(((excess[k], log_nu[k]), (excess[o], log_nu[o]))), strict=True))))
                 if 0 <= o < len(log_nu) else float(DEGREES_OF_FREEDOM[k])
                 for k, o in ((inside[0], inside[0] - 1), (inside[-1], inside[-1] + 1)))
    if inside[-1] == len(DEGREES_OF_FREEDOM) - 1:
        freedom = Parameter.unknown("degrees_of_freedom", "1", "tails no heavier than a Gaussian's are within the "
                                                               f"interval, {low:.3g} and more")
    elif inside[0] == 0:
        freedom = Parameter.unknown("degrees_of_freedom", "1", f"the tails are too heavy to tell: {high:.3g} or less")
    else:
        freedom = Parameter.known("degrees_of_freedom", "1", value, low, high)
    finite = value > 2.01                                            # else no standard deviation, which the file needs
    factor = np.sqrt(s2[best, 0] * value / (value - 2)) if finite else 1.0       # over the Gaussian fit's
    device = dict(gaussian.device["programming"])
    device["sigma"] = [{key: [v * factor for v in values] if key.endswith("_us") and key != "target_us" else values
                        for key, values in entry.items()} for entry in device["sigma"]]
    device |= {"model": "student", "degrees_of_freedom": value}
    return FitResult("programming", "heavy-tailed, Student t", (*gaussian.parameters[:2], freedom), n,
                     {"kolmogorov_smirnov_p": float(stats.kstest(z / np.sqrt(s2[best, 0]), "t", (value,)).pvalue),
                      "excess_kurtosis": float(stats.kurtosis(z))},
                     float(minus_two[best] + 2 * (parameters + 2)),
                     device={"programming": device} if freedom.identified and finite else {})


def from_files(paths, columns, where):
    """`fit_programming` of files with a column of targets and one of achieved conductances, taken together."""
    tables = read_tables(paths, COLUMNS, columns, where)
    for table in tables:
        table.require(LEAST, "a programming fit")
    result = fit_programming(*(np.concatenate([t[name] for t in tables]) for name in ("target", "achieved")))
    return dataclasses.replace(result, inputs=tuple(t.echo for t in tables))
