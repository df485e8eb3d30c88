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

from typing import NamedTuple

import numpy as np

from xbarsim.kernels.circuit.nodal import State, factor, node_voltages

EPSILON = np.finfo(float).eps
STARTS = 10  # halvings of the voltage that a cell starts from
SHORTENINGS = 60  # of a step, at most


class Wires(NamedTuple):
    """What lies around the cells."""

    r_word: np.ndarray  # (m, n + 1) ohm, see `nodal.factor`
    r_bit: np.ndarray  # (m + 1, n) ohm
    terminals: tuple  # `nodal.Terminals` of one input


def solve_cells(cell_currents, start, wires, tolerance, steps):
    """Node voltages of a crossbar whose cells carry i(v).

    Parameters
    ----------
    cell_currents : function of v (m, n) V that returns current (m, n) A and slope (m, n) S
    start : (m, n) V across the cells at ideal wires
    wires : `Wires`
    tolerance : KCL residual over the largest cell current
    steps : int, largest number of Newton steps

    Returns
    -------
    nodal.State, without the axis b; its iterations are the Newton steps taken
    """
    linear_tolerance = max(tolerance / 10, 1e-14)
    highest = max(abs(end).max() for end in wires.terminals)
    state = _secants(cell_currents, start, wires, linear_tolerance)
    left = state.residual * abs(state.current).max()  # A, by the linear solver
    for taken in range(steps + 1):
        current, slope = cell_currents(state.across)
        scale = max(abs(current).max(), EPSILON * highest * slope.max()) or 1.0
        residual = (abs(current - state.current).max() + left) / scale
        if residual <= tolerance or taken == steps:
            break
        full, left_full = _tangents(state.across, current, slope, wires, linear_tolerance)
        t = _step_length(cell_currents, state, full)
        state = _mean(state, full, t)
        left += t * (left_full - left)
    return state._replace(
        current=current,
        from_word=current.sum(axis=1),
        into_bit=current.sum(axis=0),
        iterations=taken,
        residual=residual,
    )


def _secants(cell_currents, start, wires, tolerance):
    """`State` of cells as resistors of the secant of each curve: it is closer to where the wires
    will let the voltage go than the tangent.
    """
    start = _alone(cell_currents, start, wires)
    current, slope = cell_currents(start)
    secant = np.divide(current, start, out=slope.copy(), where=start != 0)
    network = factor(secant, wires.r_word, wires.r_bit)
    return node_voltages(network, wires.terminals, tolerance=tolerance).single()


def _tangents(v, current, slope, wires, tolerance):
    """`State` of cells linear around v, and what the linear solver leaves in A."""
    source = (current - slope * v)[None]
    network = factor(slope, wires.r_word, wires.r_bit)
    inject = (-source, source)
    full = node_voltages(network, wires.terminals, inject, tolerance).single()
    left = full.residual * max(abs(full.current).max(), abs(source).max())
    return full._replace(current=full.current + source[0]), left


def _mean(before, after, t):
    """The `State` at share t of the way."""
    pairs = zip(before, after, strict=True)
    return State(*(old + t * (new - old) for old, new in pairs))


def _alone(cell_currents, start, wires):
    """(m, n) V, to 1/1000 of `start`: of every cell if it were the only one on its lines.

    On steep curves the voltages at ideal wires are hopeless as a start: from there Newton descends
    by one voltage scale of an exponential per step.  Where the wires hardly matter nothing is to
    be gained, and `start` is returned.
    """
    path = _to_terminals(wires.r_word) + _to_terminals(wires.r_bit.T).T
    path[np.isinf(path)] = 0.0  # a floating line: fed through other cells, if at all
    whole = abs(start)
    if not (path * abs(cell_currents(start)[0]) > whole).any():
        return start
    low = np.zeros(start.shape)  # shares of `start`
    high = np.ones(start.shape)
    for _ in range(STARTS):
        share = (low + high) / 2
        drop = path * abs(cell_currents(share * start)[0])
        below = share * whole + drop < whole
        low = np.where(below, share, low)
        high = np.where(below, high, share)
    return high * start


def _to_terminals(r):
    """(lines, cells) ohm from each node to the terminals of its line, (lines, cells + 1)
    segments.
    """
    from_first = np.cumsum(r, axis=1)[:, :-1]
    from_last = np.cumsum(r[:, ::-1], axis=1)[:, -2::-1]
    with np.errstate(divide="ignore"):
        return 1 / (1 / from_first + 1 / from_last)


def _step_length(cell_currents, state, full):
    """Fraction t of the step from `state` to `full` after which the co-content falls at most half
    as steeply as before, or just rises.
    """
    v = state.across
    y = state.current
    d = full.across - v
    dy = full.current - y

    def slope_at(t):
        excess = cell_currents(v + t * d)[0] - y - t * dy
        return (excess * d).sum()

    at_start = slope_at(0.0)
    low = 0.0
    high = 1.0
    below = at_start
    above = None
    t = 1.0
    for _ in range(SHORTENINGS):
        value = slope_at(t)
        if abs(value) <= 0.5 * abs(at_start) or value < 0 and t == 1.0:
            return t
        if value < 0:
            low = t
            below = value
        else:
            high = t
            above = value
        # Between secant and bisection, so that neither a steep nor a flat curve stalls it.
        secant = low - below * (high - low) / (above - below)
        t = min(max(secant, low + 0.1 * (high - low)), high - 0.1 * (high - low))
    return t
