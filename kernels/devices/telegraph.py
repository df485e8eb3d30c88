"""Two-state telegraph noise seen through white noise: a hidden Markov model by scaled forward
filter and smoother.

States: high with the mean m + d, low with the mean m, both with normal noise of standard deviation
s.
p = P(high -> low), q = P(low -> high) from one sample to the next; the first sample is in
equilibrium.
"""

import math

import numpy as np

from xbarsim.kernels._jit import jit


@jit
def filtered(x, m, d, s, p, q, high):
    """Log-likelihood of x (n,); `high` (n,) becomes P(high | samples up to this one)."""
    total = -x.size * math.log(s * math.sqrt(2 * math.pi))
    ahead = q / (p + q)
    for k in range(x.size):
        log_high = -0.5 * ((x[k] - m - d) / s) ** 2
        log_low = -0.5 * ((x[k] - m) / s) ** 2
        largest = max(log_high, log_low)
        a = ahead * math.exp(log_high - largest)
        b = (1 - ahead) * math.exp(log_low - largest)
        total += largest + math.log(a + b)
        high[k] = a / (a + b)
        ahead = high[k] * (1 - p) + (1 - high[k]) * q
    return total


@jit
def smooth(p, q, high):
    """Turn P(high | past) of `filtered` into P(high | all samples) in place.

    Returns the expected numbers of steps high -> low, low -> high, and of samples before a step
    that are high.
    """
    falls = 0.0
    rises = 0.0
    from_high = 0.0
    for k in range(high.size - 2, -1, -1):
        past = high[k]
        later = high[k + 1]
        ahead = past * (1 - p) + (1 - past) * q
        to_high = later / ahead if ahead > 0 else 0.0
        to_low = (1 - later) / (1 - ahead) if ahead < 1 else 0.0
        falls += past * p * to_low
        rises += (1 - past) * q * to_high
        high[k] = min(past * ((1 - p) * to_high + p * to_low), 1.0)
        from_high += high[k]
    return falls, rises, from_high


@jit
def expectation_maximisation(x, start, m, d, s, p, q, high, tolerance, limit):
    """Baum-Welch: raise the likelihood of traces that share d, s, p, q, each with its own m, until
    it gains < tolerance.

    x : (n,) all traces one after the other; start : (t + 1,) where each begins, and n; m : (t,), in
        place
    high : (n,), becomes P(high | all samples)
    Returns log-likelihood, d, s, p, q, steps between states (expected), iterations.
    """
    before = -np.inf
    traces = m.size
    for iteration in range(limit):
        total = 0.0
        falls = 0.0
        rises = 0.0
        from_high = 0.0
        steps = 0
        for t in range(traces):
            piece = high[start[t] : start[t + 1]]
            total += filtered(x[start[t] : start[t + 1]], m[t], d, s, p, q, piece)
            own_falls, own_rises, own_from_high = smooth(p, q, piece)
            falls += own_falls
            rises += own_rises
            from_high += own_from_high
            steps += piece.size - 1
        if total - before < tolerance or iteration == limit - 1:
            return total, d, s, p, q, falls + rises, iteration
        before = total
        # Regression of x on the expected states with one offset per trace.
        top = 0.0
        bottom = 0.0
        for t in range(traces):
            h = high[start[t] : start[t + 1]]
            y = x[start[t] : start[t + 1]]
            mean_h = h.mean()
            mean_y = y.mean()
            for k in range(y.size):
                top += h[k] * (y[k] - mean_y)
            bottom += y.size * mean_h * (1 - mean_h)
        if bottom > 0:
            d = top / bottom
        square = 0.0
        for t in range(traces):
            h = high[start[t] : start[t + 1]]
            y = x[start[t] : start[t + 1]]
            m[t] = y.mean() - d * h.mean()
            for k in range(y.size):
                square += h[k] * (y[k] - m[t] - d) ** 2 + (1 - h[k]) * (y[k] - m[t]) ** 2
        s = max(math.sqrt(square / x.size), 1e-12 * abs(d))
        p = min(max(falls / max(from_high, 1e-300), 1e-9), 1 - 1e-9)
        q = min(max(rises / max(steps - from_high, 1e-300), 1e-9), 1 - 1e-9)
        if p + q > 0.99:  # samples of a process in continuous time never alternate on purpose
            rate = p + q
            p = 0.99 * p / rate
            q = 0.99 * q / rate
    return before, d, s, p, q, 0.0, limit
