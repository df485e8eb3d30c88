"""All node voltages of a resistive crossbar for any terminal voltages and injected currents.

Nodal equations for the voltages w of the word-line nodes and u of the bit-line nodes, both (m, n):

    [[Tw + D, -D], [-D, Tb + D]] [w, u] = [source, injection]

D holds the cell conductances, Tw and Tb the chains of wires, one tridiagonal matrix per line.
Eliminating u leaves S = (Tw + D) - D (Tb + D)^-1 D, symmetric positive definite, solved by
conjugate gradients preconditioned by M = Tw + D: each iteration is one sweep along every word line
and one along every bit line.  M p is carried along with each search direction p, so that Tw and Tb
are never applied, only solved with, and a line is solved in its *resistance form*: passing a
segment r turns the conductance y seen so far into y / (1 + r y).  In that form r = 0 (one node in
effect), r = inf (a break, an open end) and g = 0 are ordinary values, nothing is ever subtracted,
and a node joined to its terminal without resistance is held at the terminal's voltage exactly.  A
piece of line that nothing connects is at 0 V.

Kernels name: g conductance of the cells (m, n); r_word (m, n + 1) the segments of each word line,
from its left terminal (source resistance included) to its right terminal; r_bit (m + 1, n) those
of each bit line, from top to bottom; a *chain* (k, lanes) holds one line per column, so that all
lines are swept side by side in contiguous memory.
"""

from typing import NamedTuple

import numpy as np

from xbarsim.kernels.circuit import direct
from xbarsim.kernels.circuit.line_gradients import EPSILON, factor_lines, solve_by_gradients


def _chain(load, r):
    factors = np.zeros(load.shape), np.zeros(load.shape), np.zeros(load.shape[1])
    factor_lines(load, r, *factors)
    return factors


class Network(NamedTuple):
    """What depends on the network alone, precomputed for any number of inputs; see `factor`."""

    g: np.ndarray  # (m, n), shorts replaced by a finite conductance
    g_word: np.ndarray  # (n, m)
    r_word: np.ndarray  # (n + 1, m)
    r_bit: np.ndarray  # (m + 1, n)
    word: tuple  # factorised chains
    bit: tuple
    shorts: tuple  # rows and columns of the k shorted cells
    short_response: (
        np.ndarray
    )  # (k, k) ohm, voltage across each per current through each; its Cholesky factor
    wiring: direct.Wiring  # the network as it was given


def factor(g, r_word, r_bit, load_word=0.0, load_bit=0.0):
    """Precompute a `Network` for `node_voltages`.

    Parameters
    ----------
    g : (m, n) S; inf is a short, allowed where the two nodes are not both joined to their
        neighbours without resistance
    r_word : (m, n + 1) ohm; r_bit : (m + 1, n) ohm; 0 and inf included
    load_word, load_bit : (m, n) S, further conductance from each node to ground

    Notes
    -----
    O(m n).  A short is a finite conductance beside a current source whose current makes the cell's
    voltage vanish: k shorts cost k more solves here, and each later solve is done twice.
    """
    loads = (
        np.broadcast_to(np.asarray(load, dtype=float), g.shape) for load in (load_word, load_bit)
    )
    wiring = direct.Wiring(g, r_word, r_bit, *loads)
    shorts = np.nonzero(np.isinf(g))
    g, r_bit = np.array(g), np.ascontiguousarray(r_bit)
    if shorts[0].size:
        g[shorts] = _in_place_of_shorts(g, r_word, r_bit)
    g_word, r_word = np.ascontiguousarray(g.T), np.ascontiguousarray(r_word.T)
    word = _chain(g_word + np.transpose(load_word), r_word)
    bit = _chain(g + load_bit, r_bit)
    network = Network(g, g_word, r_word, r_bit, word, bit, shorts, np.empty((0, 0)), wiring)
    count = shorts[0].size
    if count == 0:
        return network
    response = np.empty((count, count))
    for k in range(count):
        through = _through_shorts(network, np.eye(count)[k : k + 1])
        w, u, *_ = _conjugate_gradients(network, _no_terminals(g, 1), through, 1e-14, None)
        response[k] = -(w - u)[0][shorts]
    return network._replace(short_response=np.linalg.cholesky((response + response.T) / 2))


def _in_place_of_shorts(g, r_word, r_bit):
    """Conductance in S of the size that the network has: the largest of a cell, or that of an
    average segment.
    """
    largest = g[np.isfinite(g)].max(initial=0.0)
    if largest > 0:
        return largest
    wires = np.concatenate((r_word.ravel(), r_bit.ravel()))
    wires = wires[np.isfinite(wires) & (wires > 0)]
    return 1 / wires.mean() if wires.size else 1.0


def _no_terminals(g, batch):
    m, n = g.shape
    return np.zeros((batch, m)), np.zeros((batch, m)), np.zeros((batch, n)), np.zeros((batch, n))


def _through_shorts(network, current):
    """Currents (b, k) through the shorts as injections into word-line and bit-line nodes, (b, m,
    n) each.
    """
    inject = np.zeros((len(current), *network.g.shape))
    inject[:, *network.shorts] = current
    return -inject, inject


def _conjugate_gradients(network, ends, inject, tolerance, limit):
    """Of the finite conductances alone: w, u, iterations, residual in ampere, largest current in
    ampere.
    """
    g = network.g
    m, n = g.shape
    batch = len(ends[0])
    w, u = np.empty((batch, n, m)), np.empty((batch, m, n))
    iterations, residual, scale = np.zeros(batch, np.int64), np.zeros(batch), np.zeros(batch)
    if inject is None:
        word = bit = np.empty((0, m, n))
    else:
        word, bit = inject
        scale[:] = np.maximum(abs(word).max(axis=(1, 2)), abs(bit).max(axis=(1, 2)))
    solve_by_gradients(
        *network[:6],
        *ends,
        np.ascontiguousarray(word.transpose(0, 2, 1)),
        np.ascontiguousarray(bit),
        tolerance,
        50 + 10 * (m + n) if limit is None else limit,
        w,
        u,
        scale,
        iterations,
        residual,
    )
    residual[~np.isfinite(u).all(axis=(1, 2))] = np.inf
    return np.ascontiguousarray(w.transpose(0, 2, 1)), u, iterations, residual, scale


class State(NamedTuple):
    """Voltages and currents of a crossbar for a batch of b terminal voltages; see
    `node_voltages`.
    """

    w: np.ndarray  # (b, m, n) V of the word-line nodes
    u: np.ndarray  # (b, m, n) V of the bit-line nodes
    across: (
        np.ndarray
    )  # (b, m, n) V across the cells: more digits than w - u where these are nearly equal
    current: np.ndarray  # (b, m, n) A through the cells, from word line to bit line
    from_word: np.ndarray  # (b, m) A from the terminals into the word lines
    into_bit: np.ndarray  # (b, n) A from the bit lines into their terminals
    iterations: np.ndarray  # (b,) int64
    residual: (
        np.ndarray
    )  # (b,) largest violation of Kirchhoff's current law over the largest current of a cell,
    #                               with what the rounding of the node voltages is worth

    def single(self):
        """The state of the only input, without the axis b."""
        return State(*(part[0] for part in self))


def node_voltages(
    network,
    left,
    right,
    top,
    bottom,
    inject_word=None,
    inject_bit=None,
    tolerance=1e-12,
    limit=None,
):
    """Node voltages and cell currents for a batch of terminal voltages and injected currents.

    Parameters
    ----------
    network : the result of `factor`
    left, right : (b, m) V at the ends of the word lines; top, bottom : (b, n) V at the ends of the
        bit lines; values at open ends (r = inf) must be 0
    inject_word, inject_bit : (b, m, n) A into the nodes, both or neither
    tolerance : KCL residual over the largest current of a cell (or injected current)
    limit : int, largest number of iterations; 50 + 10 (m + n) if None

    Returns
    -------
    State.  Its residual is that of the currents: above `tolerance` the iteration stopped early.

    Notes
    -----
    O(m n) per iteration; some sqrt(r g m n) iterations where r g m n is above 1.  Inputs for which
    the residual stays above the tolerance are solved by elimination and refined (`direct`), O(m
    n²) for n <= m, where memory allows.
    """
    ends = left, right, top, bottom
    inject = None if inject_word is None else (inject_word, inject_bit)
    state = _iterate(network, ends, inject, tolerance, limit)
    poor = np.flatnonzero(~(state.residual <= tolerance))
    if not poor.size:
        return state
    some = None if inject is None else tuple(part[poor] for part in inject)
    refined = _refine(
        network, tuple(end[poor] for end in ends), some, tolerance, limit, state, poor
    )
    better = ~(refined.residual > state.residual[poor])
    for whole, part in zip(state, refined, strict=True):
        whole[poor[better]] = part[better]
    return state


def _iterate(network, ends, inject, tolerance, limit):
    """`State` by conjugate gradients, shorts included."""
    w, u, iterations, residual, scale = _conjugate_gradients(
        network, ends, inject, tolerance, limit
    )
    across = w - u
    current = network.g * across
    rows, columns = network.shorts
    if rows.size:
        lower = network.short_response
        through = np.linalg.solve(lower.T, np.linalg.solve(lower, across[:, rows, columns].T)).T
        no_ends, flow = _no_terminals(network.g, len(w)), _through_shorts(network, through)
        extra = _conjugate_gradients(network, no_ends, flow, tolerance, limit)
        w, u, iterations, residual = (
            w + extra[0],
            u + extra[1],
            iterations + extra[2],
            residual + extra[3],
        )
        across = w - u
        current = network.g * across
        current[:, rows, columns] += through
        across[:, rows, columns] = 0.0
        scale = abs(current).max(axis=(1, 2))
        if inject is not None:
            scale = np.maximum(scale, abs(np.stack(inject)).max(axis=(0, 2, 3)))
    highest = np.maximum(abs(w), abs(u))
    lost = EPSILON * (network.g * highest).max(axis=(1, 2))  # of the currents, in w - u
    residual = _over(residual + lost, np.maximum(scale, _nothing(network, ends)))
    return State(
        w, u, across, current, current.sum(axis=2), current.sum(axis=1), iterations, residual
    )


def _nothing(network, ends):
    """(b,) A: what the rounding of the terminal voltages is worth in the best conductor; less is
    no current.
    """
    highest = np.max([abs(end).max(axis=1) for end in ends], axis=0)
    return EPSILON * highest * network.g.max()


def _over(residual, scale):
    """residual / scale, 0 where there is neither."""
    share = np.divide(residual, scale, out=np.zeros_like(residual), where=scale > 0)
    return np.where(np.isfinite(residual), share, np.inf)


def _refine(network, ends, inject, tolerance, limit, start, inputs):
    """`State` of some inputs by elimination, or conjugate gradients where it does not fit, and
    refinement.
    """
    wiring = network.wiring
    iterations = start.iterations[inputs]
    if wiring.fits():
        solve = direct.solver(wiring)
        w, u = solve(ends, inject)
    else:

        def solve(ends, inject):
            state = _iterate(network, ends, inject, 1e-10, limit)
            np.add(iterations, state.iterations, out=iterations)
            return state.w, state.u

        w, u = start.w[inputs], start.u[inputs]
    w, u, flow, scale, residual = direct.refine(
        wiring, solve, ends, inject, w, u, tolerance, _nothing(network, ends)
    )
    from_word = _at_terminals(
        wiring.r_word, flow.left + flow.right, flow.cell.sum(axis=2), inject is None
    )
    into_bit = _at_terminals(
        wiring.r_bit.T, -flow.top - flow.bottom, flow.cell.sum(axis=1), inject is None
    )
    return State(
        w, u, flow.across, flow.cell, from_word, into_bit, iterations, _over(residual, scale)
    )


def _at_terminals(r, by_terminals, by_cells, alone):
    """Currents of lines from their terminals' resistances where they have some, from their cells
    where not.
    """
    known = (r[:, 0] > 0) & (r[:, -1] > 0)
    return np.where(known & alone, by_terminals, by_cells)
