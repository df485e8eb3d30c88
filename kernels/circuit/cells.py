"""Current and slope of nonlinear cells: a memristor, alone or in series with a transistor or a
selector.

Every element is i = c f(v), c its conductance at 0 V (S) and f a non-decreasing curve with f(0) = 0
(V):

    OHMIC        f = v
    SINH         f = v0 sinh(v / v0)                                        p = (v0,)
    POLYNOMIAL   f = v + p[0] v² + p[1] v³ + ...
    TABLE        linear between the points, the outer pieces going on       p = (v_0 ... v_k, f_0 ... f_k)
    TRANSISTOR   f = (v - v² / 2 p0) (1 + p1 v) up to v = p0, then (p0 / 2) (1 + p1 v); odd    p = (overdrive, lambda)

SINH and POLYNOMIAL follow their tangent beyond +-limit, the largest voltage between any two
terminals.  No cell of a network of such elements can see more, so that this changes no solution; it
keeps every iterate finite.
"""

import math

import numpy as np

from xbarsim.kernels._jit import jit

OHMIC, SINH, POLYNOMIAL, TABLE, TRANSISTOR = range(5)


@jit
def _curve(kind, p, limit, v):
    """f(v) and its slope."""
    x = min(max(v, -limit), limit)
    if kind == SINH:
        f, slope = p[0] * math.sinh(x / p[0]), math.cosh(x / p[0])
    elif kind == POLYNOMIAL:
        f, slope = 0.0, 0.0
        for k in range(p.size - 1, -1, -1):
            slope = slope * x + f
            f = f * x + p[k]
        slope = 1.0 + x * (2 * f + x * slope)  # of x + x² q(x), with f = q, slope = q'
        f = x + x * x * f
    elif kind == TABLE:
        points = p.size // 2
        k = min(max(np.searchsorted(p[:points], v), 1), points - 1)
        slope = (p[points + k] - p[points + k - 1]) / (p[k] - p[k - 1])
        return p[points + k] + slope * (v - p[k]), slope
    elif kind == TRANSISTOR:
        x = abs(v)
        triode = min(x, p[0])
        channel, factor = triode - triode * triode / (2 * p[0]), 1 + p[1] * x
        return math.copysign(channel * factor, v), (1 - triode / p[0]) * factor + channel * p[1]
    else:
        return v, 1.0
    return f + slope * (v - x), slope


@jit
def cell_currents(kind, p, access_kind, access_p, access_c, c, v, limit, current, slope):
    """Current and differential conductance of every cell.

    kind, p : curve of the memristors; access_kind, access_p, access_c : curve and conductance of
        what is in series with
    each, access_c = inf for nothing; c : (k,) S conductance of the memristors at 0 V; v : (k,) V;
    limit : V. Results go to current (k,) A and slope (k,) S.

    In series, the memristor's voltage x solves c f(x) = access_c f_access(v - x): Newton steps kept
    within a bracket, or bisection where they do not halve.
    """
    for k in range(v.size):
        if c[k] == 0:
            current[k] = slope[k] = 0.0
        elif access_c == np.inf:
            f, df = _curve(kind, p, limit, v[k])
            current[k], slope[k] = c[k] * f, c[k] * df
        else:
            low, high = min(0.0, v[k]), max(0.0, v[k])
            x, moved = v[k] * access_c / (c[k] + access_c), abs(v[k])
            for _ in range(200):
                f, df = _curve(kind, p, limit, x)
                fa, dfa = _curve(access_kind, access_p, limit, v[k] - x)
                excess, total = c[k] * f - access_c * fa, c[k] * df + access_c * dfa
                if excess > 0:
                    high = x
                else:
                    low = x
                following = x - excess / total
                if (
                    not low <= following <= high or abs(following - x) > moved / 2
                ):  # outside or slow: halve
                    following = (low + high) / 2
                moved, x = abs(following - x), following
                if moved <= 1e-16 * abs(v[k]) or excess == 0:
                    break
            f, df = _curve(kind, p, limit, x)
            fa, dfa = _curve(access_kind, access_p, limit, v[k] - x)
            # The flatter of the two curves feels the rounding of x least.
            current[k] = c[k] * f if c[k] * df < access_c * dfa else access_c * fa
            total = c[k] * df + access_c * dfa
            slope[k] = c[k] * df * access_c * dfa / total if total > 0 else 0.0
