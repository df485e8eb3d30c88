"""Crossbars of nonlinear cells: damped Newton on the cell currents.

A state is a set of node voltages together with cell currents y that obey Kirchhoff's current law in the wires at exactly
these voltages.  Linearising every cell at its voltage v, i(v) + slope (v' - v), gives a linear network; its solution
has the state (v', y' = i + slope (v' - v)), and every mean of the two states is a state again.  So i(v) - y is the KCL
residual at the two nodes of a cell, and no wire is ever looked at: r = 0 needs no care here.  What the linear solver
leaves is added to it.

Residuals are relative to the largest cell current of the very state.  The currents at ideal wires are no scale: those
of a steep curve are larger by any number of orders of magnitude.  Where hardly any current flows, the scale is what the
rounding of the terminal voltages is worth, over the tolerance.

For non-decreasing curves the solution minimises a convex function (the co-content of Millar, 1951).  Its derivative
along the step d = v' - v is sum((i(v + t d) - y(t)) d), which costs one evaluation of the cells.  A full step that
overshoots is shortened until this derivative is at most half of what it was at the start: the iteration cannot diverge.
"""
import numpy as np

from xbarsim.kernels.nodal import factor, node_voltages

EPSILON = np.finfo(float).eps


def solve_cells(cell_currents, start, r_word, r_bit, terminals, tolerance, steps):
    """Node voltages of a crossbar whose cells carry i(v).

    Parameters
    ----------
    cell_currents : function of v (m, n) V that returns current (m, n) A and slope (m, n) S
    start : (m, n) V across the cells at ideal wires
    r_word, r_bit : (m, n + 1), (m + 1, n) ohm, see `nodal.factor`
    terminals : (left, right, top, bottom), each (1, lines) V
    tolerance : KCL residual over the largest cell current
    steps : int, largest number of Newton steps

    Returns
    -------
    w, u, current : (m, n) V, V, A
    taken : int, Newton steps
    residual : KCL residual over the largest cell current
    """
    start = _alone(cell_currents, start, r_word, r_bit)
    current, slope = cell_currents(start)
    highest = max(abs(end).max() for end in terminals)
    # The secant of each curve is closer to where the wires will let its voltage go than its tangent.
    secant = np.divide(current, start, out=slope.copy(), where=start != 0)
    linear_tolerance = max(tolerance / 100, 1e-15)
    w, u, y, _, left = (x[0] for x in node_voltages(factor(secant, r_word, r_bit), *terminals, tolerance=linear_tolerance))
    left *= highest * secant.max()
    for taken in range(steps + 1):
        v = w - u
        current, slope = cell_currents(v)
        scale = max(abs(current).max(), 32 * EPSILON * highest * slope.max() / tolerance) or 1.0
        residual = (abs(current - y).max() + left) / scale
        if residual <= tolerance or taken == steps:
            return w, u, current, taken, residual
        source = (current - slope * v)[None]
        w_full, u_full, flow, _, left_full = (x[0] for x in node_voltages(
            factor(slope, r_word, r_bit), *terminals, -source, source, tolerance=linear_tolerance))
        left_full *= max(highest * slope.max(), abs(source).max())
        y_full = flow + source[0]
        t = _step_length(cell_currents, v, (w_full - u_full) - v, y, y_full - y)
        w, u, y = w + t * (w_full - w), u + t * (u_full - u), y + t * (y_full - y)
        left += t * (left_full - left)
    raise AssertionError("unreachable")


def _alone(cell_currents, start, r_word, r_bit):
    """(m, n) V, to 1/1000 of `start`: of every cell if it were the only one on its lines.

    On steep curves the voltages at ideal wires are hopeless as a start: from there Newton descends by one voltage scale
    of an exponential per step.  Where the wires hardly matter nothing is to be gained, and `start` is returned.
    """
    path = _to_terminals(r_word) + _to_terminals(r_bit.T).T
    path[np.isinf(path)] = 0.0                                  # a floating line: fed through other cells, if at all
    if not (path * abs(cell_currents(start)[0]) > abs(start)).any():
        return start
    low, high = np.zeros(start.shape), np.ones(start.shape)    # shares of `start`
    for _ in range(10):
        share = (low + high) / 2
        below = share * abs(start) + path * abs(cell_currents(share * start)[0]) < abs(start)
        low, high = np.where(below, share, low), np.where(below, high, share)
    return high * start


def _to_terminals(r):
    """(lines, cells) ohm from each node to the terminals of its line, (lines, cells + 1) segments."""
    with np.errstate(divide="ignore"):
        return 1 / (1 / np.cumsum(r, axis=1)[:, :-1] + 1 / np.cumsum(r[:, ::-1], axis=1)[:, -2::-1])


def _step_length(cell_currents, v, d, y, dy):
    """Fraction t of the step d after which the co-content falls at most half as steeply as before, or just rises."""
    def slope_at(t):
        return ((cell_currents(v + t * d)[0] - y - t * dy) * d).sum()

    at_start, low, high, t = slope_at(0.0), 0.0, 1.0, 1.0
    below, above = at_start, None
    for _ in range(60):
        value = slope_at(t)
        if abs(value) <= 0.5 * abs(at_start) or value < 0 and t == 1.0:
            return t
        if value < 0:
            low, below = t, value
        else:
            high, above = t, value
        # Between secant and bisection, so that neither a steep nor a flat curve stalls it.
        secant = low - below * (high - low) / (above - below)
        t = min(max(secant, low + 0.1 * (high - low)), high - 0.1 * (high - low))
    return t
