"""Intervals and least squares that the fits share.  All intervals are at `result.CONFIDENCE`,
two-sided.
"""

from functools import cached_property

import numpy as np
from scipy import stats

from xbarsim.calibrate.result import CONFIDENCE, TIE, Parameter

TAIL = (1 - CONFIDENCE) / 2
GOLDEN, SECTIONS = 0.618034, 26
Z = stats.norm.ppf(1 - TAIL)


def akaike(rss, points, parameters):
    """AIC of least squares with normal errors of unknown variance, which counts as one more
    parameter.
    """
    return points * (np.log(2 * np.pi * max(rss, np.finfo(float).tiny) / points) + 1) + 2 * (
        parameters + 1
    )


def t_interval(name, unit, value, error, freedom):
    """Parameter from an estimate and its standard error."""
    half = stats.t.ppf(1 - TAIL, max(freedom, 1)) * error
    return Parameter.known(name, unit, value, value - half, value + half)


def sum_of_errors(first, first_freedom, second, second_freedom):
    """Half width of the interval of a sum of two estimates with independent standard errors, each
    known with its own degrees of freedom (the solution of Behrens and Fisher)."""
    level = (np.arange(400) + 0.5) / 400
    one = first * stats.t.ppf(level, max(first_freedom, 1))
    other = second * stats.t.ppf(level, max(second_freedom, 1))
    return float(np.quantile((one[:, None] + other).ravel(), 1 - TAIL))


def spread_interval(name, unit, values):
    """Parameter: standard deviation of values that need not be normal.

    D. G. Bonett, Comput. Stat. Data Anal. 50, 775 (2006): the kurtosis about a trimmed mean widens
    the interval of the logarithm of the variance.
    """
    n = len(values)
    deviation = values - values.mean()
    variance = values.var(ddof=1)
    if not variance > 0:
        return Parameter.known(name, unit, 0.0, 0.0, 0.0)
    centre = stats.trim_mean(values, min(1 / (2 * np.sqrt(max(n - 4, 1))), 0.49))
    kurtosis = n * ((values - centre) ** 4).sum() / (deviation**2).sum() ** 2
    z = stats.t.ppf(1 - TAIL, n - 1)
    small_sample = n / (n - z)
    error = small_sample * np.sqrt((kurtosis - (n - 3) / n) / (n - 1))
    low, high = (np.sqrt(small_sample * variance * np.exp(side * z * error)) for side in (-1, 1))
    return Parameter.known(name, unit, np.sqrt(variance), min(low, np.sqrt(variance)), high)


def by_aic(fits):
    """Fits in the order of AIC, lowest first; of a tie the one with fewer free parameters first.

    fits : (FitResult, number of its free parameters) of each.  What rounding alone
    changes is a tie.
    """
    finite = [fit.aic for fit, _ in fits if np.isfinite(fit.aic)]
    tie = max([TIE * abs(aic) for aic in finite], default=0.0)
    ordered = sorted(fits, key=lambda pair: pair[0].aic)
    ranked = []
    while ordered:
        lowest = ordered[0][0].aic
        tied = [pair for pair in ordered if pair[0].aic <= lowest + tie]
        simplest = min(tied, key=lambda pair: pair[1]) if np.isfinite(lowest) else ordered[0]
        ordered.remove(simplest)
        ranked.append(simplest[0])
    return ranked


def proportion(name, count, total):
    """Parameter: share of a binomial count, with the exact (Clopper-Pearson) interval, one-sided at
    0 and at `total`.
    """
    low = (
        0.0
        if count == 0
        else stats.beta.ppf(TAIL if count < total else 2 * TAIL, count, total - count + 1)
    )
    high = (
        1.0
        if count == total
        else stats.beta.ppf(1 - (TAIL if count else 2 * TAIL), count + 1, total - count)
    )
    return Parameter.known(name, "1", count / total, low, high)


def weighted_proportion(name, totals, unseen):
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


def _beta_quantile(level, rate, variance):
    """Quantile of the beta distribution of a rate, from the sums of weights and their squares."""
    events = rate**2 / variance
    trials = rate / variance
    return stats.beta.ppf(level, events, max(trials - events + 1, np.finfo(float).tiny))


def solve(design, y):
    """(coefficients, inverse normal matrix, residual sum of squares) of ordinary least squares."""
    scale = np.sqrt(np.einsum("ij,ij->j", design, design))
    scale[scale == 0] = 1.0
    gram = design.T @ design / np.outer(scale, scale)
    try:
        inverse = np.linalg.inv(gram)
    except np.linalg.LinAlgError:  # columns that are the same
        inverse = np.linalg.pinv(gram)
    inverse = inverse / np.outer(scale, scale)
    c = inverse @ (design.T @ y)
    c = c + inverse @ (design.T @ (y - design @ c))  # one refinement of the normal equations
    residual = y - design @ c
    return c, inverse, float(residual @ residual)


def correlation(residual):
    """Lag-one autocorrelation of residuals in the order of measurement."""
    centred = residual - residual.mean()
    power = (centred**2).sum()
    return float((centred[1:] * centred[:-1]).sum() / power) if power else 0.0


class Separable:
    """y = design(s) c + noise, linear in c: profiled over the one nonlinear parameter s.

    The interval of s is where the residual sum of squares stays within the F threshold of the best.
    That of a coefficient (or of a linear combination w(s) c) is the union over these s of its own.
    Residuals that are correlated (beyond chance, p < 1e-3) count as fewer points.

    costs : points that stand for one that is not correlated

    design : s -> (n, k);  grid : increasing values of s;  nearly exact where the model is linear in
        between;  spent : degrees of freedom that the weights of the points cost
    """

    def __init__(self, design, y, grid, spent=0):
        self.design, self.y = design, y
        self.grid = np.asarray(grid, float)
        best = int(np.argmin([self._rss(s) for s in self.grid]))
        low, high = self.grid[max(best - 1, 0)], self.grid[min(best + 1, len(self.grid) - 1)]
        self.value = self._minimum(low, high)
        self.c, self.inverse, self.rss = solve(design(self.value), y)
        self.residual = y - design(self.value) @ self.c
        self.n, self.k = len(y), len(self.c) + 1
        rho = correlation(self.residual)
        self.correlated = rho if rho > 3.3 / np.sqrt(self.n) else 0.0
        self.costs = (1 + self.correlated) / (1 - min(self.correlated, 0.99))
        self.freedom = max((self.n - self.k - spent) / self.costs, 1.0)
        self.threshold = self.rss * (1 + stats.f.ppf(CONFIDENCE, 1, self.freedom) / self.freedom)

    def _rss(self, s):
        return solve(self.design(s), self.y)[2]

    def _minimum(self, low, high):
        """Where the sum of squares is lowest between two values of s, by golden section."""
        left, right = high - GOLDEN * (high - low), low + GOLDEN * (high - low)
        of_left, of_right = self._rss(left), self._rss(right)
        for _ in range(SECTIONS):
            if of_left < of_right:
                high, right, of_right = right, left, of_left
                left = high - GOLDEN * (high - low)
                of_left = self._rss(left)
            else:
                low, left, of_left = left, right, of_right
                right = low + GOLDEN * (high - low)
                of_right = self._rss(right)
        return (low + high) / 2

    @cached_property
    def low(self):
        """Lower end of the interval of s; None where it is open."""
        return self._end(-1)

    @cached_property
    def high(self):
        """Upper end of the interval of s; None where it is open."""
        return self._end(1)

    def _end(self, direction):
        """Where the profile crosses the threshold in one direction; None where it does not within
        the grid."""
        beyond = self.grid[self.grid > self.value]
        if direction < 0:
            beyond = self.grid[self.grid < self.value][::-1]
        inside, outside = self.value, None
        for s in beyond:
            if self._rss(s) > self.threshold:
                outside = s
                break
            inside = s
        if outside is None:
            return None
        for _ in range(18):
            middle = (inside + outside) / 2
            if self._rss(middle) > self.threshold:
                outside = middle
            else:
                inside = middle
        return inside

    def combination(self, weights):
        """(value, low, high) of weights(s) @ c; the ends of the grid where the interval of s is
        open.
        """
        ends = (
            self.grid[0] if self.low is None else self.low,
            self.grid[-1] if self.high is None else self.high,
        )
        low, high = np.inf, -np.inf
        for s in np.concatenate((np.linspace(*ends, 15), [self.value])):
            c, inverse, rss = solve(self.design(s), self.y)
            w = weights(s)
            room = max(self.threshold - rss, 0.0) * (w @ inverse @ w)
            low, high = min(low, w @ c - np.sqrt(room)), max(high, w @ c + np.sqrt(room))
        return weights(self.value) @ self.c, low, high
