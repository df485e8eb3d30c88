"""Telegraph noise of traces: a two-state hidden Markov model by Baum and Welch.

L. Baum and T. Petrie, Ann. Math. Stat. 37, 1554 (1966).
"""

import math
from typing import NamedTuple

import numpy as np

from xbarsim.kernels.devices import telegraph


class Hidden(NamedTuple):
    """A two-state hidden Markov model of the traces."""

    offset: np.ndarray  # (t,) mean of the low state in each trace
    step: float  # high minus low
    sigma: float
    fall: float  # P(high -> low) between samples
    rise: float
    log_likelihood: float
    transitions: float  # expected number
    high: np.ndarray  # (n,) probability of the high state, all traces one after the other


def fit_hidden_markov(traces, white):
    """The model of highest likelihood; only roughly so where it hardly beats white noise.

    traces : sequence of (n,) samples;  white : log-likelihood of white noise
    """
    x = np.concatenate(traces)
    start = np.cumsum([0, *map(len, traces)])
    spread = math.sqrt(sum(((t - t.mean()) ** 2).sum() for t in traces) / len(x))
    deepest = max(np.quantile(t, 0.98) - np.quantile(t, 0.02) for t in traces)
    runs = []
    for step, position in ((2 * spread, 0.5), (deepest, 0.2), (deepest, 0.8)):
        for fall in (0.3, 0.02):
            m = np.array([t.mean() - position * step for t in traces])
            guess = (step, spread / 2, fall, fall)
            runs.append((m, *_climb(x, start, m, guess, tolerance=1e-3, limit=15)))
    m, *fit, transitions, high = max(runs, key=lambda run: run[1])
    for tolerance in (1e-3, 1e-6):
        *fit, transitions, high = _climb(x, start, m, fit[1:], tolerance=tolerance, limit=1000)
        if fit[0] < white + 6:
            break
    value, step, sigma, fall, rise = fit
    if step < 0:
        m, step, high = m + step, -step, 1 - high
        fall, rise = rise, fall
    return Hidden(m, step, sigma, fall, rise, value, transitions, high)


def _climb(x, start, m, guess, *, tolerance, limit):
    """(log-likelihood, step, sigma, fall, rise, transitions, high) from a guess of the middle four;
    `m` is changed in place."""
    high = np.empty(len(x))
    *fit, _ = telegraph.expectation_maximisation(x, start, m, *guess, high, tolerance, limit)
    return *fit, high


def chain(dwell_high, dwell_low):
    """P(high -> low), P(low -> high) between samples; dwell times in samples."""
    a, b = 1 / dwell_high, 1 / dwell_low
    moved = -math.expm1(-(a + b)) / (a + b)
    return a * moved, b * moved


def dwell(fall, rise):
    """Mean dwell times in samples, the inverse of `chain`."""
    total = -math.log1p(-(fall + rise)) / (fall + rise)
    return 1 / (fall * total), 1 / (rise * total)


def deviations(traces, hidden):
    """Standard deviations of log step, log sigma, log dwell_high, log dwell_low: the offsets of the
    traces are free.

    The information of a trace is the Hessian of its log-likelihood, by central differences, less
    what its offset takes.
    """
    shared = np.log([hidden.step, hidden.sigma, *dwell(hidden.fall, hidden.rise)])
    h = 1e-3 * np.array([hidden.sigma, 1, 1, 1, 1])
    h[1] *= min(1, hidden.sigma / hidden.step)
    information = np.zeros((4, 4))
    for x, offset in zip(traces, hidden.offset, strict=True):
        scratch = np.empty(len(x))

        def value(theta, x=x, scratch=scratch):
            step, sigma, *times = np.exp(theta[1:])
            return telegraph.filtered(x, theta[0], step, sigma, *chain(*times), scratch)

        full = -_hessian(value, np.array([offset, *shared]), h)
        information += full[1:, 1:] - np.outer(full[0, 1:], full[0, 1:]) / full[0, 0]
    with np.errstate(invalid="ignore"):
        return np.sqrt(np.diag(np.linalg.pinv(information, hermitian=True)))


def _hessian(value, at, h):
    """Second derivatives of a function, by central differences of steps h."""
    n = len(at)
    unit = np.diag(h)
    result = np.empty((n, n))
    for i in range(n):
        for j in range(i + 1):
            along = value(at + unit[i] + unit[j]) + value(at - unit[i] - unit[j])
            across = value(at + unit[i] - unit[j]) + value(at - unit[i] + unit[j])
            result[i, j] = result[j, i] = (along - across) / (4 * h[i] * h[j])
    return result
