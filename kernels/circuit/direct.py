"""All node voltages of a crossbar by eliminating its nodes, line by line, without any subtraction.

Conjugate gradients (`nodal`) are fast where wires are no worse than cells.  Where they are, and
where hardly any current flows for the voltages at the terminals, the node voltages themselves no
longer tell the currents: two nodes that differ by 1e-10 of their voltage have lost ten digits of
the current between them.  Two things help:

- Star-mesh elimination (see `transfer`), which only ever adds and multiplies positive numbers,
  followed by the substitution of the voltages, which is a mean of neighbours: for sources of one
  sign every voltage is exact to a few roundings of itself, however small.  Sources of two signs
  are the difference of two such solutions.
- Iterative refinement with node voltages in two parts, v = high + low.  Differences of the high
  parts of neighbours are exact, so that the violation of Kirchhoff's current law is known to a
  rounding of the currents that flow.

Kernels name: y (s, kept + s) the eliminated conductances of s nodes as
`elimination.eliminate_nodes` leaves them; the last of the `kept` columns is ground.
"""

from typing import NamedTuple

import numpy as np

from xbarsim.kernels._jit import jit
from xbarsim.kernels.circuit.elimination import eliminate_nodes
from xbarsim.kernels.circuit.small_blocks import HUGE, LEAST

REFINEMENTS = 8
LEAST_ROOT = 1e-150  # squares of less are no normal numbers, and a hundred times as slow
LARGEST_BYTES = 2**30  # of the eliminated conductances: 320 x 320 cells, or longer in one direction


@jit
def _forward(y, kept, sources, passed):
    """Move the sources (s, b) of eliminated nodes to `passed` (kept, b); leaves what `_back` wants
    in `sources`.
    """
    for k in range(len(y) - 1, -1, -1):
        root = y[k, : kept + k].sum()
        for b in range(sources.shape[1]):
            share = sources[k, b] / root if root > 0 else 0.0  # 0: sees nothing, is at 0 V
            sources[k, b] = share
            for j in range(kept):
                passed[j, b] += y[k, j] * share
            for j in range(k):
                sources[j, b] += y[k, kept + j] * share


@jit
def _back(y, kept, known, voltage):
    """Voltages (s, b) of eliminated nodes from those that stay, known (kept - 1, b); in place of
    their sources.
    """
    for k in range(len(y)):
        root = y[k, : kept + k].sum()
        for b in range(voltage.shape[1]):
            total = voltage[k, b]
            for j in range(kept - 1):
                total += y[k, j] * known[j, b]
            for j in range(k):
                total += y[k, kept + j] * voltage[j, b]
            voltage[k, b] = total / root if root > 0 else 0.0


class Wiring(NamedTuple):
    """A network as `nodal.factor` gets it, and what each node carries to ground."""

    g: np.ndarray  # (m, n) S; inf is a short
    r_word: np.ndarray  # (m, n + 1) ohm
    r_bit: np.ndarray  # (m + 1, n) ohm
    load_word: np.ndarray  # (m, n) S
    load_bit: np.ndarray

    def turned(self):
        """The same network with word lines and bit lines exchanged."""
        return Wiring(self.g.T, self.r_bit.T, self.r_word.T, self.load_bit.T, self.load_word.T)

    def fits(self):
        """Whether its eliminated conductances stay within LARGEST_BYTES."""
        short, long = sorted(self.g.shape)
        return 8 * 2 * long * short * (2 * short + 1) <= LARGEST_BYTES


def _conductance(r):
    """(…) S of resistances in ohm, HUGE for none."""
    with np.errstate(divide="ignore"):
        conductance = np.minimum(1 / np.asarray(r, dtype=float), HUGE)
    return np.where(conductance > LEAST, conductance, 0.0)


@jit
def _eliminate_chain(y, kept, segments):
    """As `elimination.eliminate_nodes`, of the nodes of one line, which see each other through
    segments only.

    y : (s, kept + s), empty behind the kept columns;  segments : (s - 1,) S between neighbours
    """
    for k in range(len(y) - 1, -1, -1):
        link = segments[k - 1] if k > 0 else 0.0
        total = y[k, :kept].sum() + link
        if total == 0:  # sees nothing
            continue
        scale = 1 / np.sqrt(total)
        for j in range(kept):
            value = y[k, j]
            passed = link * (value / total)
            if passed > LEAST:
                y[k - 1, j] += passed
            y[k, j] = value * scale if value * scale > LEAST_ROOT else 0.0
        if k > 0:
            y[k, kept + k - 1] = link * scale


def eliminate(wiring):
    """Eliminated conductances of every line, [(word line, its bit-line nodes)] from the first word
    line to the last.
    """
    m, n = wiring.g.shape
    word, bit = _conductance(wiring.r_word), _conductance(wiring.r_bit)
    g = np.where(wiring.g > LEAST, np.minimum(wiring.g, HUGE), 0.0)
    lines = []
    front, ground = np.zeros((n, n)), np.zeros(n)
    for i in range(m):
        y = np.zeros((n, n + 1 + n))
        y[:, :n] = np.diag(g[i])
        y[:, n] = wiring.load_word[i]
        y[0, n] += word[i, 0]
        y[-1, n] += word[i, n]
        _eliminate_chain(y, n + 1, word[i, 1:n])
        front += y[:, :n].T @ y[:, :n]
        ground += y[:, :n].T @ y[:, n] + wiring.load_bit[i]
        if i == 0:
            ground += bit[0]
        kept = n + 1 if i < m - 1 else 1
        x = np.zeros((n, kept + n))
        if i < m - 1:
            x[:, :n] = np.diag(bit[i + 1])
        else:
            ground += bit[m]
        x[:, kept - 1] = ground
        x[:, kept:] = front
        eliminate_nodes(x, kept)
        lines.append((y, x))
        front, ground = x[:, : kept - 1].T @ x[:, : kept - 1], x[:, : kept - 1].T @ x[:, kept - 1]
    return lines


def substitute(lines, word_source, bit_source):
    """Node voltages w, u (m, n, b) for sources (m, n, b) in A, of one sign each, which are
    overwritten.
    """
    m, n, batch = word_source.shape
    carried = np.zeros((n, batch))
    for i, (y, x) in enumerate(lines):
        passed = np.zeros((n + 1, batch))
        _forward(y, n + 1, word_source[i], passed)
        bit_source[i] += passed[:n] + carried
        passed = np.zeros((n + 1 if i < m - 1 else 1, batch))
        _forward(x, len(passed), bit_source[i], passed)
        carried = passed[:n]
    below = np.zeros((0, batch))
    for i in range(m - 1, -1, -1):
        y, x = lines[i]
        _back(x, len(below) + 1, below, bit_source[i])
        _back(y, n + 1, bit_source[i], word_source[i])
        below = bit_source[i]
    return word_source, bit_source


class Currents(NamedTuple):
    """What flows at given node voltages."""

    across: np.ndarray  # (b, m, n) V
    cell: np.ndarray  # (b, m, n) A
    left: np.ndarray  # (b, m) A from the terminals into the lines; 0 where the resistance is 0
    right: np.ndarray
    top: np.ndarray  # (b, n)
    bottom: np.ndarray
    word_excess: np.ndarray  # (b, m, n) A that flow into the nodes and not out of them
    bit_excess: np.ndarray


def _along(r, first, high, low, last):
    """Currents (b, lines, cells + 1) A along lines from their first terminal to their last; 0
    where r is 0 or infinite.
    """
    zero = np.zeros((*first.shape, 1))
    high = np.concatenate((first[..., None], high, last[..., None]), axis=2)
    low = np.concatenate((zero, low, zero), axis=2)
    drop = (high[..., :-1] - high[..., 1:]) + (low[..., :-1] - low[..., 1:])
    known = np.isfinite(r) & (r > 0)
    return np.divide(drop, r, out=np.zeros_like(drop), where=known)


def _gather(r, excess):
    """Sum `excess` (b, lines, cells) over nodes joined without resistance; 0 where a terminal
    holds them.  In place.
    """
    held = r[:, 0] == 0
    cells = excess.shape[2]
    for j in range(cells):
        if j:
            joined = r[:, j] == 0
            held &= joined
            excess[:, joined, j] += excess[:, joined, j - 1]
            excess[:, joined, j - 1] = 0.0
        excess[:, held, j] = 0.0
    excess[:, r[:, cells] == 0, cells - 1] = 0.0


def currents(wiring, ends, inject, w, u):
    """`Currents` of node voltages in two parts, w and u = (high, low), each (b, m, n) V."""
    left, right, top, bottom = ends
    r_word, r_bit = wiring.r_word, wiring.r_bit
    across = (w[0] - u[0]) + (w[1] - u[1])
    shorts = np.isinf(wiring.g)
    cell = np.where(shorts, 0.0, wiring.g) * across
    word = _along(r_word, left, *w, right)
    bit = _along(r_bit.T, top, *(part.transpose(0, 2, 1) for part in u), bottom).transpose(0, 2, 1)
    word_excess = word[..., :-1] - word[..., 1:] - cell - wiring.load_word * (w[0] + w[1])
    bit_excess = bit[:, :-1] - bit[:, 1:] + cell - wiring.load_bit * (u[0] + u[1])
    if inject is not None:
        word_excess += inject[0]
        bit_excess += inject[1]
    if shorts.any():
        # A shorted cell carries what is left over at the side where it has resistance towards both
        # neighbours.
        free_bit = (np.minimum(r_bit[:-1], r_bit[1:]) > 0) & shorts
        free_word = shorts & ~free_bit
        through = np.where(free_bit, -bit_excess, 0.0) + np.where(free_word, word_excess, 0.0)
        cell, across = cell + through, np.where(shorts, 0.0, across)
        word_excess -= through
        bit_excess += through
    _gather(r_word, word_excess)
    turned = bit_excess.transpose(0, 2, 1)
    _gather(r_bit.T, turned)
    return Currents(
        across, cell, word[..., 0], -word[..., -1], bit[:, 0], -bit[:, -1], word_excess, bit_excess
    )


def _join(r, first, last, x):
    """Give nodes that are joined without resistance, or held by a terminal, one voltage to the
    last bit.  In place.

    x : (b, lines, cells) V;  first, last : (b, lines) V of the terminals
    """
    cells = x.shape[2]
    held = r[:, 0] == 0
    x[:, held, 0] = first[:, held]
    for j in range(1, cells):
        joined = r[:, j] == 0
        x[:, joined, j] = x[:, joined, j - 1]
    held = np.ones(len(r), dtype=bool)
    for j in range(cells, 0, -1):
        held &= r[:, j] == 0
        x[:, held, j - 1] = last[:, held]


def _join_all(wiring, ends, w, u):
    """`_join` along all lines and across shorts, in place."""
    left, right, top, bottom = ends
    _join(wiring.r_word, left, right, w)
    _join(wiring.r_bit.T, top, bottom, u.transpose(0, 2, 1))
    shorts = np.isinf(wiring.g)
    free_bit = (np.minimum(wiring.r_bit[:-1], wiring.r_bit[1:]) > 0) & shorts
    free_word = shorts & ~free_bit
    u[:, free_bit], w[:, free_word] = w[:, free_bit], u[:, free_word]


def _sources(r, first, last, inject):
    """Sources (b, lines, cells) A of terminals and injections at the nodes of lines."""
    conductance = _conductance(r)
    source = np.zeros((*first.shape, r.shape[1] - 1)) if inject is None else inject.copy()
    source[..., 0] += conductance[:, 0] * first
    source[..., -1] += conductance[:, -1] * last
    return source


def solver(wiring):
    """A function of (ends, inject) to node voltages w, u (b, m, n) of a network that `fits`."""
    turned = wiring.g.shape[0] < wiring.g.shape[1]
    lines = eliminate(wiring.turned() if turned else wiring)

    def solve(ends, inject):
        left, right, top, bottom = ends
        word_inject, bit_inject = (None, None) if inject is None else inject
        bit_inject = None if bit_inject is None else bit_inject.transpose(0, 2, 1)
        word = _sources(wiring.r_word, left, right, word_inject)
        bit = _sources(wiring.r_bit.T, top, bottom, bit_inject).transpose(0, 2, 1)
        sources = word, bit
        order = (1, 2, 0)
        if turned:
            sources, order = (bit, word), (2, 1, 0)
        signs = (np.concatenate((np.maximum(part, 0), np.maximum(-part, 0))) for part in sources)
        found = substitute(lines, *(np.ascontiguousarray(part.transpose(order)) for part in signs))
        back = (2, 0, 1) if not turned else (2, 1, 0)
        batch = len(left)
        first, second = ((x[..., :batch] - x[..., batch:]).transpose(back) for x in found)
        w, u = (second, first) if turned else (first, second)
        w, u = np.ascontiguousarray(w), np.ascontiguousarray(u)
        _join_all(wiring, ends, w, u)
        return w, u

    return solve


def _add(parts, change):
    """Two-part numbers (high, low) plus change, with high the rounded sum."""
    high, low = parts
    total = high + change
    shifted = total - high
    lost = (high - (total - shifted)) + (change - shifted)  # exactly what the rounding lost (Knuth)
    low = low + lost
    rounded = total + low
    return rounded, low - (rounded - total)


def refine(wiring, solve, ends, inject, w, u, tolerance, floor):
    """Refine node voltages until Kirchhoff's current law holds to `tolerance` of the largest
    current of a cell.

    Parameters
    ----------
    solve : function of (ends, inject) to node voltages, to a few digits
    ends : (left, right, top, bottom), (b, lines) V each;  inject : (word, bit), (b, m, n) A each,
        or None
    w, u : (b, m, n) V, where to start
    floor : (b,) A, below which a current is nothing

    Returns
    -------
    w, u : (b, m, n) V;  flow : `Currents`;  scale, residual : (b,) A
    """
    zero = tuple(np.zeros_like(end) for end in ends)
    w, u = w.copy(), u.copy()
    _join_all(wiring, ends, w, u)
    w, u = (w, np.zeros_like(w)), (u, np.zeros_like(u))
    best = None
    for _ in range(REFINEMENTS):
        flow = currents(wiring, ends, inject, w, u)
        scale = np.maximum(abs(flow.cell).max(axis=(1, 2)), floor)
        if inject is not None:
            scale = np.maximum(scale, abs(np.stack(inject)).max(axis=(0, 2, 3)))
        residual = np.maximum(
            abs(flow.word_excess).max(axis=(1, 2)), abs(flow.bit_excess).max(axis=(1, 2))
        )
        share = np.divide(residual, scale, out=np.zeros_like(residual), where=scale > 0).max()
        if best is None or share < best[0]:
            best = share, (w[0], u[0], flow, scale, residual)
        if share <= tolerance or not share <= 2 * best[0]:
            break
        change_w, change_u = solve(zero, (flow.word_excess, flow.bit_excess))
        w, u = _add(w, change_w), _add(u, change_u)
    return best[1]
