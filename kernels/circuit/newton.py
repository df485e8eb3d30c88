"""Crossbars of nonlinear cells: damped Newton on the cell currents.

A state is a set of node voltages together with cell currents y that obey Kirchhoff's current law
in the wires at exactly these voltages.  Linearising every cell at its voltage v,
i(v) + slope (v' - v), gives a linear network; its solution has the state
(v', y' = i + slope (v' - v)), and every mean of the two states is a state again.  So i(v) - y is
the KCL residual at the two nodes of a cell, and no wire is ever looked at: r = 0 needs no care
here.  What the linear solver leaves is added to it.

Residuals are relative to the largest cell current of the very state.  The currents at ideal wires
are no scale: those of a steep curve are larger by any number of orders of magnitude.  What the
rounding of the terminal voltages is worth in the best conductor counts as no current.  The
voltages across the cells are carried beside those of the nodes: where wires are far above the
cells, the difference of two nodes has lost the digits that tell the current.

For non-decreasing curves the solution minimises a convex function (the co-content of Millar,
1951).  Its derivative along the step d = v' - v is sum((i(v + t d) - y(t)) d), which costs one
evaluation of the cells.  A full step that overshoots is shortened until this derivative is at most
half of what it was at the start: the iteration cannot diverge.
"""

import numpy as np

from xbarsim.kernels.circuit.nodal import State, factor, node_voltages

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
    nodal.State, without the axis b; its iterations are the Newton steps taken
    """
    start = _alone(cell_currents, start, r_word, r_bit)
    current, slope = cell_currents(start)
    highest = max(abs(end).max() for end in terminals)
    # The secant of each curve is closer to where the wires will let its voltage go than its
    # tangent.
    secant = np.divide(current, start, out=slope.copy(), where=start != 0)
    linear_tolerance = max(tolerance / 10, 1e-14)
    state = node_voltages(
        factor(secant, r_word, r_bit), *terminals, tolerance=linear_tolerance
    ).single()
    left = state.residual * abs(state.current).max()
    for taken in range(steps + 1):
        v, y = state.across, state.current
        current, slope = cell_currents(v)
        scale = max(abs(current).max(), EPSILON * highest * slope.max()) or 1.0
        residual = (abs(current - y).max() + left) / scale
        if residual <= tolerance or taken == steps:
            return state._replace(
                current=current,
                from_word=current.sum(axis=1),
                into_bit=current.sum(axis=0),
                iterations=taken,
                residual=residual,
            )
        source = (current - slope * v)[None]
        full = node_voltages(
            factor(slope, r_word, r_bit), *terminals, -source, source, tolerance=linear_tolerance
        ).single()
        left_full = full.residual * max(abs(full.current).max(), abs(source).max())
        full = full._replace(current=full.current + source[0])
        t = _step_length(cell_currents, v, full.across - v, y, full.current - y)
        state = State(
            *(before + t * (after - before) for before, after in zip(state, full, strict=True))
        )
        left += t * (left_full - left)
    raise AssertionError("unreachable")


def _alone(cell_currents, start, r_word, r_bit):
    """(m, n) V, to 1/1000 of `start`: of every cell if it were the only one on its lines.

    On steep curves the voltages at ideal wires are hopeless as a start: from there Newton descends
    by one voltage scale of an exponential per step.  Where the wires hardly matter nothing is to
    be gained, and `start` is returned.
    """
    path = _to_terminals(r_word) + _to_terminals(r_bit.T).T
    path[np.isinf(path)] = 0.0  # a floating line: fed through other cells, if at all
    if not (path * abs(cell_currents(start)[0]) > abs(start)).any():
        return start
    low, high = np.zeros(start.shape), np.ones(start.shape)  # shares of `start`
    for _ in range(10):
        share = (low + high) / 2
        below = share * abs(start) + path * abs(cell_currents(share * start)[0]) < abs(start)
        low, high = np.where(below, share, low), np.where(below, high, share)
    return high * start


def _to_terminals(r):
    """(lines, cells) ohm from each node to the terminals of its line, (lines, cells + 1)
    segments.
    """
    with np.errstate(divide="ignore"):
        return 1 / (1 / np.cumsum(r, axis=1)[:, :-1] + 1 / np.cumsum(r[:, ::-1], axis=1)[:, -2::-1])


def _step_length(cell_currents, v, d, y, dy):
    """Fraction t of the step d after which the co-content falls at most half as steeply as before,
    or just rises.
    """

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
