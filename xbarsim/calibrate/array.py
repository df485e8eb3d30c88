"""A whole array from its currents: wire, source and sense resistances and the conductances of the cells, jointly.

Word lines are driven at the left, bit lines sensed at the bottom.  Unknowns are logarithms, so that none turns negative.
By the adjoint, with 1 V on one terminal and 0 V on all others, of the transfer from word line i to bit line j,

    d T_ji / d g = -U_i A_j     (cell voltages, for 1 V on input i and for 1 V on output j)
    d T_ji / d r = +sum of the currents of both states through every segment of resistance r

so that m + n solutions give all derivatives, whatever the number of input vectors V.  The normal matrix of the cells is
an elementwise product, g g' * (U' V'V U) * (A' A): the Jacobian itself is never formed.
"""
import dataclasses
import math

import numpy as np
from numpy.typing import ArrayLike
from scipy.linalg import cho_solve, cholesky, lapack
from threadpoolctl import threadpool_limits

from xbarsim.base.array_files import read_array
from xbarsim.base.errors import ConfigError, ConvergenceError, OutOfRangeError, ShapeError
from xbarsim.base.units import engineering
from xbarsim.calibrate import conditional
from xbarsim.calibrate.result import Curve, FitResult, Parameter
from xbarsim.calibrate.statistics import Z
from xbarsim.circuit.crossbar import Crossbar

RESISTANCES = ("word_line_resistance", "bit_line_resistance", "source_resistance", "sense_resistance")
VAGUE = 3.0                      # standard deviation of the logarithm of what nothing is known about: a factor of 20
WIDEST = math.log(3)             # a conductance is within a factor of 3 either way, or has no value


@dataclasses.dataclass(frozen=True)
class ArrayFit(FitResult):
    """A FitResult with the conductance of every cell, its 90 % interval, and whether the data determine it: (m, n), S."""

    conductance: np.ndarray = None
    conductance_low: np.ndarray = None
    conductance_high: np.ndarray = None
    conductance_identified: np.ndarray = None


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
    nominal : (m, n) S, the conductances that were meant; the achieved ones differ from them by a factor with log-normal
        spread `nominal_sigma` (estimated if None).  Without it nothing is known about conductances
    input_current : (k, m) A drawn from the sources, if measured
    word_line_resistance, bit_line_resistance : ohm per segment;  source_resistance, sense_resistance : ohm; None to fit
    current_sigma : A, standard deviation of the noise of a current; from the input vectors that are more than needed if
        None

    Returns
    -------
    ArrayFit

    Raises
    ------
    ShapeError, OutOfRangeError : arrays that do not fit together, unknown noise
    ConvergenceError : no minimum

    Notes
    -----
    The mode of the posterior by Levenberg-Marquardt, intervals from its curvature.  A transfer matrix has as many entries
    as there are cells: wires and conductances together are determined only with `nominal` or `input_current`.  One
    step is O((m n)^3 / 3) for the factorisation.
    """
    v, out, drawn, nominal = _checked(voltage, current, nominal, input_current)
    held = dict(zip(RESISTANCES, (word_line_resistance, bit_line_resistance, source_resistance, sense_resistance),
                    strict=True))
    sigma, freedom = _noise(v, out, drawn, current_sigma)
    problem = _Problem(v, out, drawn, nominal, held, sigma, nominal_sigma)
    with threadpool_limits(1 if out.shape[1] * v.shape[1] < 2000 else None, "blas"):     # more threads only wait
        theta, spread = problem.minimise()
        return _result(problem, theta, spread, freedom)


def from_files(paths, columns, where):
    """Wires and cells of an array, from VOLTAGE CURRENT [NOMINAL [INPUT_CURRENT]] as .npy, .csv or .h5:DATASET."""
    if columns or where:
        raise ConfigError("calibrate array takes whole files: no --column, no --where")
    if not 2 <= len(paths) <= 4:
        raise ConfigError(f"calibrate array got {len(paths)} files; allowed: VOLTAGE CURRENT [NOMINAL [INPUT_CURRENT]], in "
                          "V, A, S and A")
    arrays = [np.atleast_2d(read_array(path)) for path in paths]
    result = fit_array(*arrays)
    names = (("voltage", "V"), ("current", "A"), ("nominal", "S"), ("input_current", "A"))
    return dataclasses.replace(result, inputs=tuple(
        f"{path}: {name} in {unit}, {' x '.join(map(str, a.shape))}"
        for path, a, (name, unit) in zip(paths, arrays, names, strict=False)))


def _checked(voltage, current, nominal, input_current):
    arrays = {"voltage": voltage, "current": current, "nominal": nominal, "input_current": input_current}
    for name, value in arrays.items():
        if value is not None:
            arrays[name] = value = np.asarray(value, dtype=np.float64)
            if value.ndim != 2 or 0 in value.shape:
                raise ShapeError(f"{name} has shape {value.shape}; allowed: a matrix, one row per input vector"
                                 + " (nominal: per word line)" * (name == "nominal"))
            if not np.isfinite(value).all():
                raise OutOfRangeError(f"{name} is {value[~np.isfinite(value)][0]} at "
                                      f"{tuple(map(int, np.argwhere(~np.isfinite(value))[0]))}; allowed: finite numbers")
    v, out, nominal, drawn = arrays.values()
    (k, m), n = v.shape, out.shape[1]
    for name, shape in (("current", (k, n)), ("nominal", (m, n)), ("input_current", (k, m))):
        if arrays[name] is not None and arrays[name].shape != shape:
            raise ShapeError(f"{name} has shape {arrays[name].shape} beside voltage {v.shape} and current {out.shape}; "
                             f"allowed: {shape}")
    if nominal is not None and not (nominal > 0).all():
        raise OutOfRangeError(f"nominal is {nominal.min():g} S; allowed: above 0 S (for an open cell a small conductance)")
    if not v.any():
        raise OutOfRangeError("voltage is 0 V everywhere; allowed: at least one driven word line")
    return v, out, drawn, nominal


def _noise(v, out, drawn, given):
    """(A, degrees of freedom) of the noise; what a linear array cannot have answered is noise."""
    if given is not None:
        if not 0 < given < math.inf:
            raise OutOfRangeError(f"current_sigma is {given:g} A; allowed: above 0 A")
        return float(given), 0
    measured = out if drawn is None else np.hstack((out, drawn))
    freedom = (len(v) - np.linalg.matrix_rank(v)) * measured.shape[1]
    if freedom < 10:
        raise OutOfRangeError(f"{len(v)} input vectors on {v.shape[1]} word lines leave {freedom} currents over to tell the "
                              "noise from; give current_sigma, or measure more input vectors than word lines (repeats "
                              "count)")
    rest = measured - v @ np.linalg.lstsq(v, measured, rcond=None)[0]
    sigma = math.sqrt((rest ** 2).sum() / freedom)
    if sigma <= 1e-12 * abs(measured).max():
        raise OutOfRangeError(f"the currents have no noise beyond rounding ({sigma:.1e} A); give current_sigma")
    return sigma, freedom


class _Problem:
    """Posterior of theta = logarithms of the m n conductances and of the fitted resistances."""

    def __init__(self, v, out, drawn, nominal, held, sigma, nominal_sigma):
        self.v, self.out, self.drawn, self.sigma = v, out, drawn, sigma
        self.m, self.n = v.shape[1], out.shape[1]
        self.held = {name: value for name, value in held.items() if value is not None}
        self.fitted = [name for name in held if name not in self.held]
        self.gram = v.T @ v
        self.has_nominal, self.nominal_sigma = nominal is not None, nominal_sigma
        if nominal is None:
            nominal = np.linalg.lstsq(v, out, rcond=None)[0]
            if not (nominal > 0).any():
                raise OutOfRangeError("no current flows as through a conductance; check the signs of voltage and current")
            nominal = np.maximum(nominal, 1e-3 * np.median(nominal[nominal > 0]))
        elif nominal_sigma is not None and not 0 < nominal_sigma < math.inf:
            raise OutOfRangeError(f"nominal_sigma is {nominal_sigma:g}; allowed: above 0")
        # A resistance that takes some 10 % of the voltage: a wire by its length squared, an end by its length.
        longest = max(self.m, self.n)
        start = [0.2 / (nominal.mean() * longest ** (2 if "line" in name else 1)) for name in self.fitted]
        self.centre = np.log(np.r_[nominal.ravel(), start])

    def deviation(self, spread):
        """Standard deviations of the prior."""
        cells = self.m * self.n
        return np.r_[np.full(cells, spread), np.full(len(self.fitted), VAGUE)]

    def crossbar(self, theta):
        values = np.exp(theta)
        cells = self.m * self.n
        wires = self.held | dict(zip(self.fitted, values[cells:], strict=True))
        return Crossbar(values[:cells].reshape(self.m, self.n), **wires)

    def residuals(self, xb):
        """Measured minus computed currents: of the outputs, and of the inputs or None."""
        rest = self.out - self.v @ xb.transfer_matrix().T
        return rest, None if self.drawn is None else self.drawn - self.v @ xb.power_matrix()

    def cost(self, theta, spread):
        """-2 log of the posterior, but for constants."""
        square = sum((r ** 2).sum() for r in self.residuals(self.crossbar(theta)) if r is not None)
        return square / self.sigma ** 2 + (((theta - self.centre) / self.deviation(spread)) ** 2).sum()

    def linearise(self, theta):
        """Data part of the normal matrix, and the function that pulls residuals back to a descent direction."""
        xb, m, n = self.crossbar(theta), self.m, self.n
        cells, count = m * n, m * n + len(self.fitted)
        g, r = np.exp(theta[:cells]), np.exp(theta[cells:])
        forward, adjoint = xb.solve(np.eye(m), 0.0, 1e-10), xb.solve(np.zeros(m), np.eye(n), 1e-10)
        u = forward.cell_voltage.reshape(m, -1)
        driven = u.T @ (self.gram @ u)
        sides = []                    # sign of the derivatives by g, cell voltages of the adjoint, derivatives by log r
        for sign, state, lines in ((-1, adjoint, n), (1, forward, m))[:1 if self.drawn is None else 2]:
            slopes = [-sign * r[k] * (self._segments(forward, name, m) @ self._segments(state, name, lines).T)
                      for k, name in enumerate(self.fitted)]
            sides.append((sign, state.cell_voltage.reshape(lines, -1), slopes))
        matrix = np.zeros((count, count))
        for sign, other, slopes in sides:
            matrix[:cells, :cells] += driven * (other.T @ other)
            for k, slope in enumerate(slopes):
                weighted = self.gram @ slope
                matrix[cells + k, :cells] += sign * (u * (weighted @ other)).sum(axis=0)
                matrix[cells + k, cells:] += [(weighted * slope).sum() for slope in slopes]
        matrix[:cells, cells:] = matrix[cells:, :cells].T
        scale = np.r_[g, np.ones(len(r))] / self.sigma
        matrix *= scale
        matrix *= scale[:, None]

        def pull(residuals):
            result = np.zeros(count)
            for (sign, other, slopes), residual in zip(sides, residuals, strict=False):
                seen = self.v.T @ residual
                result[:cells] += sign * g * (u * (seen @ other)).sum(axis=0)
                result[cells:] += [(seen * slope).sum() for slope in slopes]
            return result / self.sigma ** 2

        return matrix, pull

    @staticmethod
    def _segments(solution, name, states):
        """(states, segments) A through every segment that has this resistance."""
        word = name in ("word_line_resistance", "source_resistance")
        lines = solution.word_line_current[..., :-1] if word else solution.bit_line_current[:, 1:]
        if name == "source_resistance":
            lines = lines[..., :1]
        elif name == "sense_resistance":
            lines = lines[:, -1:]
        return lines.reshape(states, -1)

    def minimise(self):
        """(theta, spread of the cells around their nominal values), by Levenberg-Marquardt."""
        cells = self.m * self.n
        estimated = self.has_nominal and self.nominal_sigma is None
        spread = 0.1 if estimated else self.nominal_sigma if self.has_nominal else VAGUE
        theta, damping, left = self.centre.copy(), 1e-3, 0.0
        cost = self.cost(theta, spread)
        for _ in range(100):
            matrix, pull = self.linearise(theta)
            weight = self.deviation(spread) ** -2
            matrix[np.diag_indices_from(matrix)] += weight
            while True:
                damped = matrix.copy()
                damped[np.diag_indices_from(damped)] *= 1 + damping
                trial = self._step(theta, pull, weight, cholesky(damped, lower=True, overwrite_a=True))
                gain = cost - self.cost(trial, spread)
                if gain >= -1e-9 * cost:
                    break
                damping *= 10
                if damping > 1e10:
                    raise ConvergenceError("no step lowers the misfit; check units, signs and that the arrays belong "
                                           "together", iterate=np.exp(theta), residual=cost)
            theta, damping, before = trial, damping / 10, spread
            if estimated:                                # expectation and maximisation
                if gain < 1:                             # what is left open counts as well; it costs more than a step
                    left = np.diag(_inverse(matrix))[:cells]
                spread = max(math.sqrt((((theta - self.centre)[:cells] ** 2) + left).mean()), 1e-6)
            cost = self.cost(theta, spread)
            if gain < 1e-3 and abs(spread / before - 1) < 1e-3:
                return theta, spread
        raise ConvergenceError("the misfit still falls after 100 steps: hold some resistances, or give nominal conductances",
                               iterate=np.exp(theta), residual=gain, iterations=100)

    def _step(self, theta, pull, weight, lower):
        """One step, and then corrections of the cells alone.

        The currents tell far more about cells and wires together than about either: the posterior is a narrow curved
        valley.  The corrections, with the factor at hand, bring a straight step back into it.
        """
        cells = self.m * self.n

        def descent(at):
            return pull([r for r in self.residuals(self.crossbar(at)) if r is not None]) - weight * (at - self.centre)

        trial = theta + np.clip(cho_solve((lower, True), descent(theta)), -2, 2)
        for _ in range(4):
            change = cho_solve((lower[:cells, :cells], True), descent(trial)[:cells])
            trial[:cells] += np.clip(change, -2, 2)
        return trial


def _inverse(matrix):
    """Inverse of a positive definite matrix."""
    inverse, _ = lapack.dpotri(cholesky(matrix, lower=True), lower=True)
    return np.tril(inverse) + np.tril(inverse, -1).T


def _result(problem, theta, spread, freedom):
    cells, fitted = problem.m * problem.n, problem.fitted
    data, pull = problem.linearise(theta)
    values, start = np.exp(theta), np.exp(problem.centre)
    # Resistances in ohm from here on, and conductances without nominal values in S: where one is as
    # small as nothing, its logarithm hides how it trades with the others.
    linear = np.r_[np.full(cells, not problem.has_nominal), np.full(len(fitted), True)]
    unit = np.where(linear, values, 1.0)
    data /= unit[:, None]
    data /= unit
    wide = 30 * np.r_[np.full(cells, values[:cells].mean()), (start + values)[cells:]]
    prior = np.where(linear, wide, problem.deviation(spread))
    covariance = _inverse(data + np.diag(prior ** -2))
    deviation = np.sqrt(np.diag(covariance))
    estimates = values + covariance @ (_slope(problem, theta, spread, pull, linear) / unit)
    bounds = _upper_bounds(estimates[cells:], deviation[cells:], prior[cells:])
    parameters = [
        _resistance(k, fitted, values[cells:], estimates[cells:], bounds, data[cells:, cells:],
                    covariance[cells:, cells:])
        for k in range(len(fitted))
    ]
    notes = [f"{name} held at {engineering(float(value), 'ohm')}" if np.ndim(value) == 0 else f"{name} held"
             for name, value in problem.held.items()]
    if problem.has_nominal and problem.nominal_sigma is None:
        parameters.append(_nominal_spread(spread, (theta - problem.centre)[:cells]))
    g = values[:cells]
    if problem.has_nominal:
        low, high, known = _around_nominal(g, deviation[:cells], prior[:cells])
    else:
        low, high, known = _clear_of_noise(estimates[:cells], deviation[:cells])
    rank = int(np.linalg.matrix_rank(problem.v))
    if rank < problem.m:
        notes.append(f"{rank} independent input vectors on {problem.m} word lines: {problem.m - rank} combinations of the "
                     "conductances of every bit line are not identified"
                     + (", their values follow the nominal ones" if problem.has_nominal else ""))
    if not known.all():
        notes.append(f"{int((~known).sum())} of {cells} conductances are not identified by the data")
    if not problem.has_nominal and problem.drawn is None and fitted:
        notes.append("a transfer matrix has as many entries as the array has cells: conductances take up the effect of "
                     "wires; give nominal conductances or input currents to tell them apart")
    xb = problem.crossbar(theta)
    rest, rest_in = problem.residuals(xb)
    square = sum((r ** 2).sum() for r in (rest, rest_in) if r is not None)
    points = rest.size + (0 if rest_in is None else rest_in.size)
    used = float((1 - np.diag(covariance) / prior ** 2).sum())       # parameters that the data determine
    goodness = {"chi_square_per_freedom": square / problem.sigma ** 2 / max(points - used, 1.0),
                "parameters_determined": used, "noise_A": problem.sigma}
    if freedom:
        notes.append(f"noise of a current from {freedom} superfluous currents: {engineering(problem.sigma, 'A')}")
    computed = (problem.out - rest).ravel()
    pick = np.linspace(0, computed.size - 1, min(computed.size, 5000)).astype(int)
    ends = np.array([computed.min(), computed.max()])
    curves = {
        "measured against computed": Curve(
            ("computed current", "A"), ("measured current", "A"),
            {"bit lines": (computed[pick], problem.out.ravel()[pick])}, {"equal": (ends, ends)}),
        "residual": Curve(("computed current", "A"), ("measured - computed", "A"),
                          {"bit lines": (computed[pick], rest.ravel()[pick])},
                          {"+ noise": (ends, np.full(2, problem.sigma)), "- noise": (ends, np.full(2, -problem.sigma))})}
    shape = (problem.m, problem.n)
    return ArrayFit("array", "cells, wires, source and sense resistances", tuple(parameters), points, goodness,
                    points * math.log(2 * math.pi * problem.sigma ** 2) + square / problem.sigma ** 2 + 2 * used,
                    notes=tuple(notes), curves=curves, conductance=g.reshape(shape),
                    conductance_low=low.reshape(shape),
                    conductance_high=high.reshape(shape),
                    conductance_identified=known.reshape(shape))


def _nominal_spread(spread, errors):
    """Parameter nominal_spread; its interval is by the fourth moment, which holds for any shape.

    errors : (cells,) logarithms of achieved over nominal conductances
    """
    square = max((errors ** 2).mean(), np.finfo(float).tiny ** 0.25)
    kurtosis = max((errors ** 4).mean() / square ** 2, 1.0)
    factor = math.exp(Z * math.sqrt((kurtosis - 1) / (4 * errors.size)))
    return Parameter.known("nominal_spread", "1", spread, spread / factor, spread * factor)


def _slope(problem, theta, spread, pull, linear):
    """Slope of the logarithm of the posterior by logarithms, without the prior of the `linear` ones.

    The prior of a logarithm holds a quantity above zero, away from where least squares has it.
    """
    residuals = [r for r in problem.residuals(problem.crossbar(theta)) if r is not None]
    of_prior = (theta - problem.centre) / problem.deviation(spread) ** 2
    return pull(residuals) - np.where(linear, 0.0, of_prior)


def _around_nominal(conductance, deviation, prior):
    """(low, high, identified) of conductances (cells,) S with nominal values: the posterior's.

    deviation, prior : (cells,) standard deviations of the logarithm, after and before the data
    """
    factor = np.exp(Z * deviation)
    known = (deviation * Z < WIDEST) & (deviation < 0.9 * prior)
    return conductance / factor, conductance * factor, known


def _clear_of_noise(estimates, deviation):
    """(low, high, identified) of conductances (cells,) S without nominal values.

    A cell has a value where its current stands clear of the noise; the others have a bound.
    """
    known = conditional.stands_clear(estimates, deviation)
    low, high = conditional.interval(estimates, deviation)
    bound = conditional.upper_bound(estimates, deviation)
    return np.where(known, low, 0.0), np.where(known, high, bound), known


def _upper_bounds(estimates, deviation, prior):
    """What resistances (ohm) are below at 95 %; None where only the prior says it."""
    bounds = conditional.upper_bound(estimates, deviation)
    by_data = deviation < 0.5 * prior
    return [float(bound) if told else None for bound, told in zip(bounds, by_data, strict=True)]


def _resistance(k, names, values, estimates, bounds, alone, covariance):
    """Parameter k of the fitted resistances.

    values : ohm, the mode of the posterior
    estimates : ohm, of least squares with cells near nominal, below 0 where noise has it so
    bounds : ohm, what they are below, or None
    alone : information of the data on the resistances, were all cells known
    covariance : cells unknown; in ohm
    """
    name, estimate = names[k], estimates[k]
    deviation = math.sqrt(covariance[k, k])

    def vague(deviation):
        return Z * deviation >= WIDEST * values[k]

    if conditional.stands_clear(estimate, deviation):
        return Parameter.known(name, "ohm", estimate, *conditional.interval(estimate, deviation))
    if vague(1 / math.sqrt(max(alone[k, k], 1e-300))):
        reason = "its effect is below the noise"
    elif vague(1 / math.sqrt(np.linalg.inv(covariance)[k, k])):
        reason = (
            "the cells can take up its effect: give (better) nominal conductances or input currents"
        )
    else:
        reason = _flat_direction(k, names, covariance) or "it does not stand clear of zero"
    if bounds[k] is not None:
        reason += f"; the data only say that it is below {engineering(bounds[k], 'ohm')}"
    return Parameter.unknown(name, "ohm", reason, bounds[k])


def _flat_direction(k, names, covariance):
    """The resistances that move with resistance k and leave the currents as they are, or ""."""
    vector = np.linalg.eigh(covariance)[1][:, -1]
    moving = [j for j in np.argsort(-abs(vector)) if abs(vector[j]) > 0.1 * abs(vector).max()]
    if k not in moving or len(moving) == 1:
        return ""
    ways = [f"{names[j]} {'up' if vector[j] * vector[k] > 0 else 'down'}" for j in moving]
    return f"flat direction: {', '.join(ways)} together leave the currents as they are"
