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
from xbarsim.kernels.circuit.line_gradients import (
    EPSILON,
    Drive,
    Factors,
    Lines,
    Result,
    Stop,
    factor_lines,
    solve_by_gradients,
)

SHORTS_TOLERANCE = 1e-14  # of the response of shorts to each other
# Of solutions that refinement goes on from.
ROUGH_TOLERANCE = 1e-10


class Network(NamedTuple):
    """What depends on the network alone, precomputed for any number of inputs; see `factor`."""

    word: Lines  # word lines, (n, m); shorts replaced by a finite conductance
    bit: Lines  # bit lines, (m, n)
    shorts: tuple  # rows and columns of the k shorted cells
    # (k, k) ohm, voltage across each short per current through each; its Cholesky factor
    short_response: np.ndarray
    wiring: direct.Wiring  # the network as it was given

    @property
    def g(self):
        """(m, n) S of the cells, shorts replaced by a finite conductance."""
        return self.bit.g


class Terminals(NamedTuple):
    """Voltages of the terminals for a batch of b inputs, 0 at open ends (r = inf)."""

    left: np.ndarray  # (b, m) V at the ends of the word lines
    right: np.ndarray
    top: np.ndarray  # (b, n) V at the ends of the bit lines
    bottom: np.ndarray

    def some(self, inputs):
        """Those of some inputs."""
        return Terminals(*(end[inputs] for end in self))


class State(NamedTuple):
    """Voltages and currents of a crossbar for a batch of b terminal voltages; see
    `node_voltages`.
    """

    w: np.ndarray  # (b, m, n) V of the word-line nodes
    u: np.ndarray  # (b, m, n) V of the bit-line nodes
    # (b, m, n) V across the cells: more digits than w - u where these are nearly equal
    across: np.ndarray
    current: np.ndarray  # (b, m, n) A through the cells, from word line to bit line
    from_word: np.ndarray  # (b, m) A from the terminals into the word lines
    into_bit: np.ndarray  # (b, n) A from the bit lines into their terminals
    iterations: np.ndarray  # (b,) int64
    # (b,) largest violation of Kirchhoff's current law over the largest current of a cell, with
    # what the rounding of the node voltages is worth
    residual: np.ndarray

    def single(self):
        """The state of the only input, without the axis b."""
        return State(*(part[0] for part in self))


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
    load_word = np.broadcast_to(np.asarray(load_word, dtype=float), g.shape)
    load_bit = np.broadcast_to(np.asarray(load_bit, dtype=float), g.shape)
    wiring = direct.Wiring(g, r_word, r_bit, load_word, load_bit)
    shorts = np.nonzero(np.isinf(g))
    finite = np.array(g)
    if shorts[0].size:
        finite[shorts] = _in_place_of_shorts(g, r_word, r_bit)
    network = Network(
        word=_lines(np.ascontiguousarray(finite.T), r_word.T, load_word.T),
        bit=_lines(finite, r_bit, load_bit),
        shorts=shorts,
        short_response=np.empty((0, 0)),
        wiring=wiring,
    )
    if shorts[0].size == 0:
        return network
    return network._replace(short_response=_response_of_shorts(network))


def _lines(g, r, load):
    """`Lines` with cells g (k, lanes) S, segments r (k + 1, lanes) ohm, and loads (k, lanes) S."""
    r = np.ascontiguousarray(r)
    total = g + load
    factors = Factors(np.zeros(g.shape), np.zeros(g.shape), np.zeros(g.shape[1]))
    factor_lines(total, r, factors)
    return Lines(g, r, factors)


def _in_place_of_shorts(g, r_word, r_bit):
    """Conductance in S of the size that the network has: the largest of a cell, or that of an
    average segment.
    """
    largest = g[np.isfinite(g)].max(initial=0.0)
    if largest > 0:
        return largest
    wires = np.concatenate((r_word.ravel(), r_bit.ravel()))
    wires = wires[np.isfinite(wires) & (wires > 0)]
    if wires.size == 0:
        return 1.0
    return 1 / wires.mean()


def _response_of_shorts(network):
    """(k, k) Cholesky factor of the ohm between the k shorted cells."""
    count = network.shorts[0].size
    grounded = _grounded(network.g, 1)
    stop = Stop(SHORTS_TOLERANCE, _most_iterations(network))
    response = np.empty((count, count))
    for k in range(count):
        through = _through_shorts(network, np.eye(count)[k : k + 1])
        found = _conjugate_gradients(network, grounded, through, stop)
        response[k] = -(found.w - found.u)[0][network.shorts]
    return np.linalg.cholesky((response + response.T) / 2)


def _most_iterations(network):
    m, n = network.g.shape
    return 50 + 10 * (m + n)


def _grounded(g, batch):
    """All terminals at 0 V."""
    m, n = g.shape
    return Terminals(
        left=np.zeros((batch, m)),
        right=np.zeros((batch, m)),
        top=np.zeros((batch, n)),
        bottom=np.zeros((batch, n)),
    )


def _through_shorts(network, current):
    """Currents (b, k) through the shorts as injections into word-line and bit-line nodes, (b, m,
    n) each.
    """
    inject = np.zeros((len(current), *network.g.shape))
    inject[:, *network.shorts] = current
    return -inject, inject


def _largest_injection(inject):
    """(b,) A of injections (word, bit)."""
    return abs(np.stack(inject)).max(axis=(0, 2, 3))


def _conjugate_gradients(network, ends, inject, stop):
    """`Result` of the finite conductances alone, w as (b, m, n), residual infinite where it
    failed.
    """
    m, n = network.g.shape
    batch = len(ends.left)
    result = Result(
        w=np.empty((batch, n, m)),
        u=np.empty((batch, m, n)),
        scale=np.zeros(batch),
        iterations=np.zeros(batch, np.int64),
        residual=np.zeros(batch),
    )
    if inject is None:
        inject_word = np.empty((0, m, n))
        inject_bit = inject_word
    else:
        inject_word, inject_bit = inject
        result.scale[:] = _largest_injection(inject)
    inject_word = np.ascontiguousarray(inject_word.transpose(0, 2, 1))
    inject_bit = np.ascontiguousarray(inject_bit)
    solve_by_gradients(
        network.word,
        network.bit,
        Drive(ends.left, ends.right, inject_word),
        Drive(ends.top, ends.bottom, inject_bit),
        stop,
        result,
    )
    failed = ~np.isfinite(result.u).all(axis=(1, 2))
    result.residual[failed] = np.inf
    return result._replace(w=np.ascontiguousarray(result.w.transpose(0, 2, 1)))


def node_voltages(network, ends, inject=None, tolerance=1e-12):
    """Node voltages and cell currents for a batch of terminal voltages and injected currents.

    Parameters
    ----------
    network : the result of `factor`
    ends : `Terminals`
    inject : (b, m, n) A into the word-line nodes, and into the bit-line nodes; None for none
    tolerance : KCL residual over the largest current of a cell (or injected current)

    Returns
    -------
    State.  Its residual is that of the currents: above `tolerance` the iteration stopped early.

    Notes
    -----
    O(m n) per iteration; some sqrt(r g m n) iterations where r g m n is above 1.  Inputs for which
    the residual stays above the tolerance are solved by elimination and refined (`direct`), O(m
    n²) for n <= m, where memory allows.
    """
    ends = Terminals(*ends)
    stop = Stop(tolerance, _most_iterations(network))
    state = _iterate(network, ends, inject, stop)
    poor = np.flatnonzero(~(state.residual <= tolerance))
    if not poor.size:
        return state
    some_ends = ends.some(poor)
    some_inject = None
    if inject is not None:
        some_inject = tuple(part[poor] for part in inject)
    start = State(*(part[poor] for part in state))
    refined = _refine(network, some_ends, some_inject, stop, start)
    better = ~(refined.residual > start.residual)
    for whole, part in zip(state, refined, strict=True):
        whole[poor[better]] = part[better]
    return state


def _iterate(network, ends, inject, stop):
    """`State` by conjugate gradients, shorts included."""
    found = _conjugate_gradients(network, ends, inject, stop)
    across = found.w - found.u
    current = network.g * across
    rows, columns = network.shorts
    if rows.size:
        through = _currents_through_shorts(network, across)
        found = _add_flow_through_shorts(network, found, through, stop)
        across = found.w - found.u
        current = network.g * across
        current[:, rows, columns] += through
        across[:, rows, columns] = 0.0
        scale = abs(current).max(axis=(1, 2))
        if inject is not None:
            scale = np.maximum(scale, _largest_injection(inject))
        found = found._replace(scale=scale)
    highest = np.maximum(abs(found.w), abs(found.u))
    lost = EPSILON * (network.g * highest).max(axis=(1, 2))  # of the currents, in w - u
    scale = np.maximum(found.scale, _nothing(network, ends))
    return State(
        w=found.w,
        u=found.u,
        across=across,
        current=current,
        from_word=current.sum(axis=2),
        into_bit=current.sum(axis=1),
        iterations=found.iterations,
        residual=_over(found.residual + lost, scale),
    )


def _currents_through_shorts(network, across):
    """(b, k) A that make the voltages across the shorts vanish, of (b, m, n) V without them."""
    lower = network.short_response
    rows, columns = network.shorts
    voltage = across[:, rows, columns].T
    return np.linalg.solve(lower.T, np.linalg.solve(lower, voltage)).T


def _add_flow_through_shorts(network, found, through, stop):
    """`Result` with what currents (b, k) A through the shorts add."""
    flow = _through_shorts(network, through)
    grounded = _grounded(network.g, len(through))
    extra = _conjugate_gradients(network, grounded, flow, stop)
    return found._replace(
        w=found.w + extra.w,
        u=found.u + extra.u,
        iterations=found.iterations + extra.iterations,
        residual=found.residual + extra.residual,
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


def _refine(network, ends, inject, stop, start):
    """`State` by elimination and refinement, or by conjugate gradients from the state `start` and
    refinement where the elimination does not fit.
    """
    wiring = network.wiring
    iterations = start.iterations
    if wiring.fits():
        solve = direct.solver(wiring)
        w, u = solve(ends, inject)
    else:
        rough = Stop(ROUGH_TOLERANCE, stop.limit)

        def solve(ends, inject):
            state = _iterate(network, Terminals(*ends), inject, rough)
            np.add(iterations, state.iterations, out=iterations)
            return state.w, state.u

        w = start.w
        u = start.u
    floor = _nothing(network, ends)
    refined = direct.refine(wiring, solve, ends, inject, w, u, stop.tolerance, floor)
    flow = refined.flow
    from_word = flow.cell.sum(axis=2)
    into_bit = flow.cell.sum(axis=1)
    if inject is None:
        # From the resistances of the terminals where they have some.
        from_word = np.where(_resistive(wiring.r_word), flow.left + flow.right, from_word)
        into_bit = np.where(_resistive(wiring.r_bit.T), -flow.top - flow.bottom, into_bit)
    return State(
        w=refined.w,
        u=refined.u,
        across=flow.across,
        current=flow.cell,
        from_word=from_word,
        into_bit=into_bit,
        iterations=iterations,
        residual=_over(refined.residual, refined.scale),
    )


def _resistive(r):
    """(lines,) whether both ends of lines (lines, cells + 1) have a resistance."""
    return (r[:, 0] > 0) & (r[:, -1] > 0)
