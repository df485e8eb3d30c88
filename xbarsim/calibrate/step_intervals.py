"""Intervals of functions of fitted steps, by the curvature of their likelihood."""

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import numpy as np
from scipy import stats

from xbarsim.base.array_types import Floats
from xbarsim.calibrate.statistics import TAIL, Estimate
from xbarsim.calibrate.steps import NOISE, Restriction, Steps

OfSteps: TypeAlias = Callable[[Steps], float]


class Tangent(NamedTuple):
    """Value of a function, and its gradient (k,) by the free parameters."""

    value: float
    gradient: Floats


class Uncertainty:
    """Intervals of functions of fitted Steps, by the curvature of the restricted likelihood.

    steps : `Steps.restricted`
    point : (k,) free parameters and the logarithm of the variance;  widths : (k,) of differences
    covariance : (k, k) of the point;  freedom : degrees of freedom of the reads
    """

    def __init__(self, steps: Steps) -> None:
        self.steps = steps
        self.restriction = steps.restriction or Restriction(steps)
        self.point: Floats = np.append(steps.values, np.log(steps.variance))
        self.widths: Floats = np.full(len(self.point), 1e-3)
        for _ in range(2):  # about a third of a standard error
            along = np.maximum(abs(np.diag(self._hessian())), 1e-6)
            self.widths = np.clip(0.3 / np.sqrt(along), 1e-9, 0.1)
        self.covariance = _inverse(self._hessian())
        counted = int((steps.trains.way != 0).sum())
        self.freedom = max(counted - len(self.point), 1)

    def interval(self, function: OfSteps, variance: float = 0.0) -> Estimate:
        """A function of the steps, with a variance that it has beside the parameters'."""
        value, gradient = self._tangent(function)
        of_parameters = max(_quadratic(gradient, self.covariance), 0.0)
        error = np.sqrt(of_parameters + variance)
        of_law = gradient[: len(self.steps.law)]
        half = stats.t.ppf(1 - TAIL, self._effective(of_law)) * error
        return Estimate(float(value), float(value - half), float(value + half))

    def deviation(self, function: OfSteps) -> Estimate:
        """The same for a standard deviation: chi-squared with the degrees of freedom of its
        error."""
        logarithm, gradient = self._tangent(lambda steps: np.log(function(steps)))
        variance = max(_quadratic(gradient, self.covariance), 1e-12)
        freedom = 0.5 / variance
        ends = stats.chi2.ppf([1 - TAIL, TAIL], freedom)
        shares = np.maximum(ends / freedom, 1e-100)
        value = np.exp(logarithm)
        low, high = value / np.sqrt(shares)
        return Estimate(float(value), float(low), float(high))

    def positive(self, function: OfSteps, variance: float = 0.0) -> Estimate:
        """The same for a quantity above 0, on a logarithmic scale; a variance of its logarithm."""
        logarithms = self.interval(lambda steps: np.log(function(steps)), variance)
        value, low, high = np.exp(np.clip(logarithms, -300, 300))
        return Estimate(float(value), float(low), float(high))

    def _at(self, point: Floats) -> Steps:
        return self.steps.at(point[:-1], np.exp(point[-1]))

    def _hessian(self) -> Floats:
        """(k, k) second derivatives of half of -2 log likelihood at the point."""
        size = len(self.point)
        result = np.empty((size, size))
        for i in range(size):
            for j in range(i, size):
                bend = self._bend(i, j)
                bend /= 8 * self.widths[i] * self.widths[j]
                result[i, j] = bend
                result[j, i] = bend
        return result

    def _bend(self, i: int, j: int) -> float:
        """Second difference of -2 log likelihood in two parameters."""
        total = 0.0
        for first, second in ((1, 1), (1, -1), (-1, 1), (-1, -1)):
            corner = self.point.copy()
            corner[i] += first * self.widths[i]
            corner[j] += second * self.widths[j]
            total += first * second * self._at(corner).minus_two
        return total

    def _tangent(self, function: OfSteps) -> Tangent:
        gradient = np.empty(len(self.point))
        for k, width in enumerate(self.widths):
            move = np.zeros(len(self.point))
            move[k] = width
            above = function(self._at(self.point + move))
            below = function(self._at(self.point - move))
            gradient[k] = (above - below) / (2 * width)
        return Tangent(function(self._at(self.point)), gradient)

    def _effective(self, gradient: Floats) -> float:
        """Degrees of freedom (Satterthwaite, 1946) behind the error of a function of the law.

        gradient : of the function by the law's free parameters
        """
        if not gradient.any():
            return self.freedom
        law = len(gradient)
        log_odds = self.steps.theta[NOISE]

        def log_variance(moved: float) -> float:
            information = self.restriction.information(moved)
            return float(np.log(gradient @ np.linalg.solve(information, gradient)))

        slopes = np.ones(len(self.point) - law)  # the last by the logarithm of the variance
        if NOISE in self.steps.free:
            width = self.widths[law]
            above = log_variance(log_odds + width)
            below = log_variance(log_odds - width)
            slopes[0] = (above - below) / (2 * width)
        error = _quadratic(slopes, self.covariance[law:, law:])
        return float(np.clip(2 / max(error, 1e-12), 1.0, self.freedom))


def _quadratic(gradient: Floats, covariance: Floats) -> float:
    """Variance of a function, from its gradient (k,) and the covariance (k, k)."""
    return float(gradient @ covariance @ gradient)


def _inverse(curvature: Floats) -> Floats:
    """Inverse (k, k) of a symmetric matrix, its scaled eigenvalues kept above 1e-6."""
    diagonal = abs(np.diag(curvature))
    scale = np.sqrt(np.maximum(diagonal, 1e-12))
    scales = np.outer(scale, scale)
    values, vectors = np.linalg.eigh(curvature / scales)
    inverse = 1 / np.maximum(values, 1e-6)
    result: Floats = (vectors * inverse) @ vectors.T / scales
    return result
