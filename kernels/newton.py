"""Crossbars of nonlinear cells: damped Newton on the cell currents.

A state is a set of node voltages together with cell currents y that obey Kirchhoff's current law in the wires at exactly
these voltages.  Linearising every cell at its voltage v, i(v) + slope (v' - v), gives a linear network; its solution
has the state (v', y' = i + slope (v' - v)), and every mean of the two states is a state again.  So i(v) - y is the KCL
residual at the two nodes of a cell, and no wire is ever looked at: r = 0 needs no care here.

For non-decreasing curves the solution minimises a convex function (the co-content of Millar, 1951).  Its derivative
along the step d = v' - v is sum((i(v + t d) - y(t)) d), which costs one evaluation of the cells.  A full step that
overshoots is shortened until this derivative is at most half of what it was at the start: the iteration cannot diverge.
"""
import numpy as np

from xbarsim.kernels.nodal import factor, node_voltages


def solve_cells(cell_currents, start, r_word, r_bit, terminals, tolerance, steps):
    """Node voltages of a crossbar whose cells carry i(v).

    Parameters
    ----------
    cell_currents : function of v (m, n) V that returns current (m, n) A and slope (m, n) S
    start : (m, n) V across the cells at ideal wires, or any guess
    r_word, r_bit : (m, n + 1), (m + 1, n) ohm, see `nodal.factor`
    terminals : (left, right, top, bottom), each (1, lines) V
    tolerance : KCL residual over the largest cell current at `start`
    steps : int, largest number of Newton steps

    Returns
    -------
    w, u, current : (m, n) V, V, A
    taken : int, Newton steps
    residual : KCL residual over the largest cell current at `start`
    """
    current, slope = cell_currents(start)
    scale = abs(current).max() or 1.0
    # The secant of each curve is closer to where the wires will let its voltage go than its tangent.
    secant = np.divide(current, start, out=slope.copy(), where=start != 0)
    linear_tolerance = max(tolerance / 100, 1e-15)
    w, u, y, *_ = (x[0] for x in node_voltages(factor(secant, r_word, r_bit), *terminals, tolerance=linear_tolerance))
    for taken in range(steps + 1):
        v = w - u
        current, slope = cell_currents(v)
        residual = abs(current - y).max() / scale
        if residual <= tolerance or taken == steps:
            return w, u, current, taken, residual
        source = (current - slope * v)[None]
        w_full, u_full, flow, *_ = (x[0] for x in node_voltages(
            factor(slope, r_word, r_bit), *terminals, -source, source, tolerance=linear_tolerance))
        y_full = flow + source[0]
        t = _step_length(cell_currents, v, (w_full - u_full) - v, y, y_full - y)
        w, u, y = w + t * (w_full - w), u + t * (u_full - u), y + t * (y_full - y)
    raise AssertionError("unreachable")


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
