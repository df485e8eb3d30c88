"""Telegraph noise of traces: a two-state hidden Markov model by Baum and Welch.

L. Baum and T. Petrie, Ann. Math. Stat. 37, 1554 (1966).
"""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from xbarsim.base.array_types import Floats
from xbarsim.kernels.devices import telegraph

FIRST_MOVES = (0.3, 0.02)  # P(high -> low) and P(low -> high) with which the search begins
ROUGH = 1e-3  # gain of the log-likelihood in a step, below which a search ends
FINE = 1e-6
HARDLY_BETTER = 6.0  # log-likelihood over white noise, below which a rough model is enough


@dataclasses.dataclass(frozen=True)
class Hidden:
    """A two-state hidden Markov model of traces.

    offset : (t,) mean of the low state in each trace;  step : high minus low;  sigma : of white
        noise; all in the unit of the samples
    fall, rise : P(high -> low), P(low -> high) from one sample to the next
    transitions : expected number
    high : (n,) probability of the high state, all traces one after the other
    """

    offset: Floats
    step: float
    sigma: float
    fall: float
    rise: float
    log_likelihood: float
    transitions: float
    high: Floats


class Chain(NamedTuple):
    """P(high -> low) and P(low -> high) between samples."""

    fall: float
    rise: float


class Dwell(NamedTuple):
    """Mean times in the states, in samples."""

    high: float
    low: float


class Deviations(NamedTuple):
    """Standard deviations of logarithms."""

    step: float
    sigma: float
    dwell_high: float
    dwell_low: float


@dataclasses.dataclass(frozen=True)
class _Joined:
    """Traces one after the other: samples (n,), and where each begins and the last ends (t + 1,)."""

    samples: Floats
    start: Floats


def fit_hidden_markov(traces: Sequence[Floats], white: float) -> Hidden:
    """The model of highest likelihood; only roughly so where it hardly beats white noise.

    traces : (n,) samples each;  white : log-likelihood of white noise
    """
    joined = _Joined(np.concatenate(traces), np.cumsum([0, *map(len, traces)]))
    rough = [_climb(joined, guess, ROUGH, limit=15) for guess in _guesses(traces)]
    best = max(rough, key=lambda hidden: hidden.log_likelihood)
    for tolerance in (ROUGH, FINE):
        best = _climb(joined, best, tolerance, limit=1000)
        if best.log_likelihood < white + HARDLY_BETTER:
            break
    if best.step < 0:
        return _turned(best)
    return best


def _guesses(traces: Sequence[Floats]) -> list[Hidden]:
    """Where the search begins: a small step, or deep ones seldom or mostly high."""
    square = sum(((t - t.mean()) ** 2).sum() for t in traces)
    spread = math.sqrt(square / sum(map(len, traces)))
    deepest = max(np.quantile(t, 0.98) - np.quantile(t, 0.02) for t in traces)
    guesses = []
    for step, share_high in ((2 * spread, 0.5), (deepest, 0.2), (deepest, 0.8)):
        offset = np.array([t.mean() - share_high * step for t in traces])
        for move in FIRST_MOVES:
            guesses.append(
                Hidden(
                    offset=offset,
                    step=step,
                    sigma=spread / 2,
                    fall=move,
                    rise=move,
                    log_likelihood=-math.inf,
                    transitions=0.0,
                    high=np.empty(0),
                )
            )
    return guesses


def _climb(joined: _Joined, guess: Hidden, tolerance: float, limit: int) -> Hidden:
    """Baum and Welch from a guess, until a step gains less than `tolerance` or `limit` steps."""
    offset = guess.offset.copy()  # changed in place
    high = np.empty(len(joined.samples))
    log_likelihood, step, sigma, fall, rise, transitions, _ = telegraph.expectation_maximisation(
        joined.samples,
        start=joined.start,
        m=offset,
        d=guess.step,
        s=guess.sigma,
        p=guess.fall,
        q=guess.rise,
        high=high,
        tolerance=tolerance,
        limit=limit,
    )
    return Hidden(
        offset=offset,
        step=step,
        sigma=sigma,
        fall=fall,
        rise=rise,
        log_likelihood=log_likelihood,
        transitions=transitions,
        high=high,
    )


def _turned(hidden: Hidden) -> Hidden:
    """The same with the states' names exchanged, so that the step is above 0."""
    return dataclasses.replace(
        hidden,
        offset=hidden.offset + hidden.step,
        step=-hidden.step,
        fall=hidden.rise,
        rise=hidden.fall,
        high=1 - hidden.high,
    )


def chain(dwell_high: float, dwell_low: float) -> Chain:
    """Probabilities of mean dwell times in samples."""
    fall_rate = 1 / dwell_high
    rise_rate = 1 / dwell_low
    total = fall_rate + rise_rate
    moved = -math.expm1(-total) / total
    return Chain(fall_rate * moved, rise_rate * moved)


def dwell(fall: float, rise: float) -> Dwell:
    """Mean dwell times, the inverse of `chain`."""
    total = -math.log1p(-(fall + rise)) / (fall + rise)
    return Dwell(1 / (fall * total), 1 / (rise * total))


def deviations(traces: Sequence[Floats], hidden: Hidden) -> Deviations:
    """Of step, sigma and dwell times: the offsets of the traces are free.

    The information of a trace is the Hessian of its log-likelihood, by central differences, less
    what its offset takes.
    """
    shared = np.log([hidden.step, hidden.sigma, *dwell(hidden.fall, hidden.rise)])
    h = 1e-3 * np.array([hidden.sigma, 1, 1, 1, 1])
    h[1] *= min(1, hidden.sigma / hidden.step)
    information = np.zeros((4, 4))
    for trace, offset in zip(traces, hidden.offset, strict=True):
        full = -_hessian(_log_likelihood_of(trace), np.array([offset, *shared]), h)
        information += full[1:, 1:] - np.outer(full[0, 1:], full[0, 1:]) / full[0, 0]
    with np.errstate(invalid="ignore"):
        found = np.sqrt(np.diag(np.linalg.pinv(information, hermitian=True)))
    return Deviations(*found)


def _log_likelihood_of(trace: Floats) -> Callable[[Floats], float]:
    """Log-likelihood of a trace, of (offset, log step, log sigma, log dwell_high, log dwell_low)."""
    scratch = np.empty(len(trace))

    def value(theta: Floats) -> float:
        step, sigma, dwell_high, dwell_low = np.exp(theta[1:])
        moves = chain(dwell_high, dwell_low)
        found: float = telegraph.filtered(
            trace, m=theta[0], d=step, s=sigma, p=moves.fall, q=moves.rise, high=scratch
        )
        return found

    return value


def _hessian(value: Callable[[Floats], float], at: Floats, h: Floats) -> Floats:
    """Second derivatives of a function, by central differences of steps h."""
    n = len(at)
    unit = np.diag(h)
    result = np.empty((n, n))
    for i in range(n):
        for j in range(i + 1):
            along = value(at + unit[i] + unit[j]) + value(at - unit[i] - unit[j])
            across = value(at + unit[i] - unit[j]) + value(at - unit[i] + unit[j])
            second = (along - across) / (4 * h[i] * h[j])
            result[i, j] = second
            result[j, i] = second
    return result
