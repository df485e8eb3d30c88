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
from typing import NamedTuple

import numpy as np

from xbarsim.kernels._jit import jit

OHMIC, SINH, POLYNOMIAL, TABLE, TRANSISTOR = range(5)
SERIES_STEPS = 200  # of the voltage between two elements in series, at most
SERIES_TOLERANCE = 1e-16  # of the voltage across both


class Curve(NamedTuple):
    """f of a kind of element."""

    kind: int
    p: np.ndarray


class Cells(NamedTuple):
    """k cells: memristors of one curve, each in series with the same access device."""

    memristor: Curve
    c: np.ndarray  # (k,) S of the memristors at 0 V
    access: Curve
    access_c: float  # S at 0 V; inf for nothing in series
    limit: float  # V


@jit
def _polynomial(p, x):
    """f(x) and its slope."""
    f = 0.0
    slope = 0.0
    for k in range(p.size - 1, -1, -1):
        slope = slope * x + f
        f = f * x + p[k]
    # x + x² q(x), with f = q, slope = q'
    return x + x * x * f, 1.0 + x * (2 * f + x * slope)


@jit
def _table(p, v):
    """f(v) and its slope."""
    points = p.size // 2
    k = min(max(np.searchsorted(p[:points], v), 1), points - 1)
    rise = p[points + k] - p[points + k - 1]
    slope = rise / (p[k] - p[k - 1])
    return p[points + k] + slope * (v - p[k]), slope


@jit
def _transistor(p, v):
    """f(v) and its slope."""
    x = abs(v)
    triode = min(x, p[0])
    channel = triode - triode * triode / (2 * p[0])
    factor = 1 + p[1] * x
    return math.copysign(channel * factor, v), (1 - triode / p[0]) * factor + channel * p[1]


@jit
def _value(curve, limit, v):
    """f(v) and its slope."""
    p = curve.p
    if curve.kind == OHMIC:
        return v, 1.0
    if curve.kind == TABLE:
        return _table(p, v)
    if curve.kind == TRANSISTOR:
        return _transistor(p, v)
    inside = min(max(v, -limit), limit)
    if curve.kind == SINH:
        f = p[0] * math.sinh(inside / p[0])
        slope = math.cosh(inside / p[0])
    else:
        f, slope = _polynomial(p, inside)
    return f + slope * (v - inside), slope


@jit
def _in_series(cells, c, v):
    """Current in A and slope in S of a memristor of c (S) in series with its access device, v (V)
    across both: Newton steps kept within a bracket, or bisection where they do not halve.
    """
    access_c = cells.access_c
    low = min(0.0, v)
    high = max(0.0, v)
    x = v * access_c / (c + access_c)
    moved = abs(v)
    for _ in range(SERIES_STEPS):
        f, df = _value(cells.memristor, cells.limit, x)
        fa, dfa = _value(cells.access, cells.limit, v - x)
        excess = c * f - access_c * fa
        total = c * df + access_c * dfa
        if excess > 0:
            high = x
        else:
            low = x
        following = x - excess / total
        outside = not low <= following <= high
        if outside or abs(following - x) > moved / 2:
            following = (low + high) / 2
        moved = abs(following - x)
        x = following
        if moved <= SERIES_TOLERANCE * abs(v) or excess == 0:
            break
    f, df = _value(cells.memristor, cells.limit, x)
    fa, dfa = _value(cells.access, cells.limit, v - x)
    # The flatter of the two curves feels the rounding of x least.
    current = access_c * fa
    if c * df < access_c * dfa:
        current = c * f
    total = c * df + access_c * dfa
    if total > 0:
        return current, c * df * access_c * dfa / total
    return current, 0.0


@jit
def cell_currents(cells, v, current, slope):
    """Current and differential conductance of every cell.

    cells : `Cells`; v : (k,) V.  Results go to current (k,) A and slope (k,) S.

    In series, the memristor's voltage x solves c f(x) = access_c f_access(v - x).
    """
    for k in range(v.size):
        c = cells.c[k]
        if c == 0:
            current[k] = 0.0
            slope[k] = 0.0
        elif cells.access_c == np.inf:
            f, df = _value(cells.memristor, cells.limit, v[k])
            current[k] = c * f
            slope[k] = c * df
        else:
            current[k], slope[k] = _in_series(cells, c, v[k])
