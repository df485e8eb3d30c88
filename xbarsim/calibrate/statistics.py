"""Intervals and least squares that the fits share.  All intervals are at `result.CONFIDENCE`,
two-sided.
"""

import math
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from xbarsim.base.array_types import Floats
from xbarsim.calibrate.result import CONFIDENCE, TIE, FitResult, Parameter

TAIL = (1 - CONFIDENCE) / 2
GOLDEN = 0.618034
SECTIONS = 26
HALVINGS = 18  # of the way to an end of a profile's interval
Z = stats.norm.ppf(1 - TAIL)

Design: TypeAlias = Callable[[float], Floats]  # what multiplies coefficients, of one parameter


class Estimate(NamedTuple):
    """A value and the ends of its interval, in one unit."""

    value: float
    low: float
    high: float


class LeastSquares(NamedTuple):
    """Ordinary least squares of y = design @ coefficients.

    coefficients : (k,);  inverse : (k, k), of the normal matrix;  rss : residual sum of squares
    """

    coefficients: Floats
    inverse: Floats
    rss: float


def akaike(rss: float, points: int, parameters: int) -> float:
    """AIC of least squares with normal errors of unknown variance, which counts as one more
    parameter.
    """
    variance = 2 * np.pi * max(rss, np.finfo(float).tiny) / points
    return float(points * (np.log(variance) + 1) + 2 * (parameters + 1))


def t_interval(name: str, unit: str, value: float, error: float, freedom: float) -> Parameter:
    """Parameter from an estimate and its standard error."""
    half = stats.t.ppf(1 - TAIL, max(freedom, 1)) * error
    return Parameter.known(name, unit, value, value - half, value + half)


def sum_of_errors(
    first: float, first_freedom: float, second: float, second_freedom: float
) -> float:
    """Half width of the interval of a sum of two estimates with independent standard errors, each
    known with its own degrees of freedom (the solution of Behrens and Fisher)."""
    level = (np.arange(400) + 0.5) / 400
    one = first * stats.t.ppf(level, max(first_freedom, 1))
    other = second * stats.t.ppf(level, max(second_freedom, 1))
    return float(np.quantile((one[:, None] + other).ravel(), 1 - TAIL))


def spread_interval(name: str, unit: str, values: Floats) -> Parameter:
    """Parameter: standard deviation of values that need not be normal.

    D. G. Bonett, Comput. Stat. Data Anal. 50, 775 (2006): the kurtosis about a trimmed mean widens
    the interval of the logarithm of the variance.
    """
    n = len(values)
    deviation = values - values.mean()
    variance = values.var(ddof=1)
    if not variance > 0:
        return Parameter.known(name, unit, 0.0, 0.0, 0.0)
    trimmed = min(1 / (2 * np.sqrt(max(n - 4, 1))), 0.49)  # share at either end
    centre = stats.trim_mean(values, trimmed)
    fourth = ((values - centre) ** 4).sum()
    kurtosis = n * fourth / (deviation**2).sum() ** 2
    z = stats.t.ppf(1 - TAIL, n - 1)
    small_sample = n / (n - z)
    error = small_sample * np.sqrt((kurtosis - (n - 3) / n) / (n - 1))
    low = np.sqrt(small_sample * variance * np.exp(-z * error))
    high = np.sqrt(small_sample * variance * np.exp(z * error))
    value = np.sqrt(variance)
    return Parameter.known(name, unit, value, min(low, value), high)


def by_aic(fits: Sequence[tuple[FitResult, int]]) -> list[FitResult]:
    """Fits in the order of AIC, lowest first; of a tie the one with fewer free parameters first.

    fits : (fit, number of its free parameters) of each.  What rounding alone changes is a tie.
    """
    finite = [fit.aic for fit, _ in fits if math.isfinite(fit.aic)]
    tie = max([TIE * abs(aic) for aic in finite], default=0.0)
    ordered = sorted(fits, key=lambda pair: pair[0].aic)
    ranked = []
    while ordered:
        lowest = ordered[0][0].aic
        tied = [pair for pair in ordered if pair[0].aic <= lowest + tie]
        simplest = ordered[0]
        if math.isfinite(lowest):
            simplest = min(tied, key=lambda pair: pair[1])
        ordered.remove(simplest)
        ranked.append(simplest[0])
    return ranked


def proportion(name: str, count: int, total: int) -> Parameter:
    """Parameter: share of a binomial count, with the exact (Clopper-Pearson) interval, one-sided at
    0 and at `total`.
    """
    one_sided = count in (0, total)
    tail = 2 * TAIL if one_sided else TAIL
    low = 0.0
    if count > 0:
        low = stats.beta.ppf(tail, count, total - count + 1)
    high = 1.0
    if count < total:
        high = stats.beta.ppf(1 - tail, count + 1, total - count)
    return Parameter.known(name, "1", count / total, low, high)


def weighted_proportion(name: str, totals: Sequence[int] | Floats, unseen: int) -> Parameter:
    """Parameter: a rate from events of unequal exposure, the sum of 1 / total over the events.

    The interval is that of Fay and Feuer (Stat. Med. 16, 791, 1997), with the binomial in the place
    of the Poisson distribution: exact (Clopper-Pearson) where all totals are the same, and wider
    than nominal else.

    Parameters
    ----------
    totals : (events,), for every event the number of trials that could have shown it
    unseen : number of trials that could have shown an event, where there was none
    """
    if len(totals) == 0:
        return proportion(name, 0, unseen)
    weights = 1 / np.asarray(totals, float)
    rate = weights.sum()
    variance = (weights**2).sum()
    largest = weights.max()
    low = _beta_quantile(TAIL, rate, variance)
    high = _beta_quantile(1 - TAIL, rate + largest, variance + largest**2)
    return Parameter.known(name, "1", rate, min(low, rate), max(high, rate))


def _beta_quantile(level: float, rate: float, variance: float) -> float:
    """Quantile of the beta distribution of a rate, from the sums of weights and their squares."""
    events = rate**2 / variance
    trials = rate / variance
    others = max(trials - events + 1, np.finfo(float).tiny)
    return float(stats.beta.ppf(level, events, others))


def solve(design: Floats, y: Floats) -> LeastSquares:
    """Ordinary least squares of y (n,) on the columns of design (n, k)."""
    scale = np.sqrt(np.einsum("ij,ij->j", design, design))
    scale[scale == 0] = 1.0
    gram = design.T @ design / np.outer(scale, scale)
    try:
        inverse = np.linalg.inv(gram)
    except np.linalg.LinAlgError:  # columns that are the same
        inverse = np.linalg.pinv(gram)
    inverse = inverse / np.outer(scale, scale)
    first = inverse @ (design.T @ y)
    coefficients = first + inverse @ (design.T @ (y - design @ first))  # refined once
    residual = y - design @ coefficients
    return LeastSquares(coefficients, inverse, float(residual @ residual))


def correlation(residual: Floats) -> float:
    """Lag-one autocorrelation of residuals in the order of measurement."""
    centred = residual - residual.mean()
    power = (centred**2).sum()
    if not power:
        return 0.0
    return float((centred[1:] * centred[:-1]).sum() / power)


class Separable:
    """y = design(s) c + noise, linear in c: profiled over the one nonlinear parameter s.

    The interval of s is where the residual sum of squares stays within the F threshold of the best.
    That of a coefficient (or of a linear combination w(s) c) is the union over these s of its own.
    Residuals that are correlated (beyond chance, p < 1e-3) count as fewer points.

    value, c, inverse, rss : best s, and least squares there;  residual : (n,)
    n, k : points, and parameters with s;  freedom : degrees of freedom that are left
    correlated : lag-one correlation of the residuals, 0 within chance
    costs : points that stand for one that is not correlated
    threshold : of the residual sum of squares
    """

    def __init__(self, design: Design, y: Floats, grid: ArrayLike, spent: int = 0) -> None:
        """
        design : s to (n, k);  grid : increasing values of s, nearly exact where the model is linear
            in between;  spent : degrees of freedom that the weights of the points cost
        """
        self.design = design
        self.y = y
        self.grid: Floats = np.asarray(grid, float)
        self.value = self._best_value()
        self.c, self.inverse, self.rss = solve(design(self.value), y)
        self.residual: Floats = y - design(self.value) @ self.c
        self.n = len(y)
        self.k = len(self.c) + 1
        rho = correlation(self.residual)
        self.correlated = rho if rho > 3.3 / np.sqrt(self.n) else 0.0
        self.costs = (1 + self.correlated) / (1 - min(self.correlated, 0.99))
        self.freedom = max((self.n - self.k - spent) / self.costs, 1.0)
        self.threshold = self.rss * (1 + stats.f.ppf(CONFIDENCE, 1, self.freedom) / self.freedom)

    def _rss(self, s: float) -> float:
        return solve(self.design(s), self.y).rss

    def _best_value(self) -> float:
        """The s of the least sum of squares: of the grid, then between its neighbours."""
        best = int(np.argmin([self._rss(s) for s in self.grid]))
        low = self.grid[max(best - 1, 0)]
        high = self.grid[min(best + 1, len(self.grid) - 1)]
        return self._minimum(low, high)

    def _minimum(self, low: float, high: float) -> float:
        """Where the sum of squares is lowest between two values of s, by golden section."""
        left = high - GOLDEN * (high - low)
        right = low + GOLDEN * (high - low)
        of_left = self._rss(left)
        of_right = self._rss(right)
        for _ in range(SECTIONS):
            if of_left < of_right:
                high = right
                right = left
                of_right = of_left
                left = high - GOLDEN * (high - low)
                of_left = self._rss(left)
            else:
                low = left
                left = right
                of_left = of_right
                right = low + GOLDEN * (high - low)
                of_right = self._rss(right)
        return (low + high) / 2

    @cached_property
    def low(self) -> float | None:
        """Lower end of the interval of s; None where it is open."""
        return self._end(self.grid[self.grid < self.value][::-1])

    @cached_property
    def high(self) -> float | None:
        """Upper end of the interval of s; None where it is open."""
        return self._end(self.grid[self.grid > self.value])

    def _end(self, beyond: Floats) -> float | None:
        """Where the profile crosses the threshold, going through the values `beyond` the best one;
        None where it does not."""
        inside = self.value
        for s in beyond:
            if self._rss(s) > self.threshold:
                return self._crossing(inside, outside=s)
            inside = s
        return None

    def _crossing(self, inside: float, outside: float) -> float:
        """The last s within the threshold, by bisection."""
        for _ in range(HALVINGS):
            middle = (inside + outside) / 2
            if self._rss(middle) > self.threshold:
                outside = middle
            else:
                inside = middle
        return inside

    def combination(self, weights: Design) -> Estimate:
        """weights(s) @ c with its interval; over the ends of the grid where the interval of s is
        open.
        """
        first = self.grid[0] if self.low is None else self.low
        last = self.grid[-1] if self.high is None else self.high
        low = np.inf
        high = -np.inf
        for s in np.append(np.linspace(first, last, 15), self.value):
            found = solve(self.design(s), self.y)
            w = weights(s)
            middle = w @ found.coefficients
            room = max(self.threshold - found.rss, 0.0) * (w @ found.inverse @ w)
            low = min(low, middle - np.sqrt(room))
            high = max(high, middle + np.sqrt(room))
        return Estimate(float(weights(self.value) @ self.c), float(low), float(high))
