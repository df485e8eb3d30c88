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
`elimination.eliminate_nodes` leaves them; the last of the `kept` columns is ground.  `high` and
`low` are the two parts of node voltages.
"""

from typing import NamedTuple

import numpy as np

from xbarsim.kernels._jit import jit
from xbarsim.kernels.circuit.elimination import eliminate_nodes
from xbarsim.kernels.circuit.small_blocks import HUGE, LEAST

REFINEMENTS = 8
LEAST_ROOT = 1e-150  # squares of less are no normal numbers, and a hundred times as slow
LARGEST_BYTES = 2**30  # of the eliminated conductances: 320 x 320 cells, or longer in one direction


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


class Line(NamedTuple):
    """Eliminated conductances of the nodes of one word line, and of the bit-line nodes below it."""

    word: np.ndarray  # (n, n + 1 + n); what stays: the bit-line nodes, and ground
    # (n, n + 1 + n); what stays: the bit-line nodes of the next word line, and ground; of the last
    # word line (n, 1 + n): ground
    bit: np.ndarray


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


class Refined(NamedTuple):
    """Node voltages and what flows at them."""

    w: np.ndarray  # (b, m, n) V
    u: np.ndarray
    flow: Currents
    scale: np.ndarray  # (b,) A, the largest current
    residual: np.ndarray  # (b,) A, the largest violation of Kirchhoff's current law


@jit
def _forward(y, kept, sources, passed):
    """Move the sources (s, b) of eliminated nodes to `passed` (kept, b); leaves what `_back` wants
    in `sources`.
    """
    for k in range(len(y) - 1, -1, -1):
        root = y[k, : kept + k].sum()
        for b in range(sources.shape[1]):
            share = 0.0  # of a node that sees nothing: it is at 0 V
            if root > 0:
                share = sources[k, b] / root
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
            voltage[k, b] = 0.0
            if root > 0:
                voltage[k, b] = total / root


@jit
def _eliminate_chain(y, kept, segments):
    """As `elimination.eliminate_nodes`, of the nodes of one line, which see each other through
    segments only.

    y : (s, kept + s), empty behind the kept columns;  segments : (s - 1,) S between neighbours
    """
    for k in range(len(y) - 1, -1, -1):
        link = 0.0
        if k > 0:
            link = segments[k - 1]
        total = y[k, :kept].sum() + link
        if total == 0:  # sees nothing
            continue
        scale = 1 / np.sqrt(total)
        for j in range(kept):
            value = y[k, j]
            passed = link * (value / total)
            if passed > LEAST:
                y[k - 1, j] += passed
            y[k, j] = 0.0
            if value * scale > LEAST_ROOT:
                y[k, j] = value * scale
        if k > 0:
            y[k, kept + k - 1] = link * scale


def _conductance(r):
    """(…) S of resistances in ohm, HUGE for none."""
    with np.errstate(divide="ignore"):
        conductance = np.minimum(1 / np.asarray(r, dtype=float), HUGE)
    return np.where(conductance > LEAST, conductance, 0.0)


def eliminate(wiring):
    """[`Line`] from the first word line to the last."""
    m, n = wiring.g.shape
    word = _conductance(wiring.r_word)
    bit = _conductance(wiring.r_bit)
    g = np.where(wiring.g > LEAST, np.minimum(wiring.g, HUGE), 0.0)
    lines = []
    front = np.zeros((n, n))  # S among the bit-line nodes that were reached
    ground = np.zeros(n)  # S from them to ground
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
        last = i == m - 1
        kept = 1 if last else n + 1
        x = np.zeros((n, kept + n))
        if last:
            ground += bit[m]
        else:
            x[:, :n] = np.diag(bit[i + 1])
        x[:, kept - 1] = ground
        x[:, kept:] = front
        eliminate_nodes(x, kept)
        lines.append(Line(y, x))
        to_next = x[:, : kept - 1]
        front = to_next.T @ to_next
        ground = to_next.T @ x[:, kept - 1]
    return lines


def substitute(lines, word_source, bit_source):
    """Node voltages w, u (m, n, b) for sources (m, n, b) in A, of one sign each, which are
    overwritten.
    """
    m, n, batch = word_source.shape
    carried = np.zeros((n, batch))
    for i, line in enumerate(lines):
        passed = np.zeros((n + 1, batch))
        _forward(line.word, n + 1, word_source[i], passed)
        bit_source[i] += passed[:n] + carried
        kept = 1 if i == m - 1 else n + 1
        passed = np.zeros((kept, batch))
        _forward(line.bit, kept, bit_source[i], passed)
        carried = passed[:n]
    below = np.zeros((0, batch))
    for i in range(m - 1, -1, -1):
        line = lines[i]
        _back(line.bit, len(below) + 1, below, bit_source[i])
        _back(line.word, n + 1, bit_source[i], word_source[i])
        below = bit_source[i]
    return word_source, bit_source


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


def _turned(x):
    """(b, m, n) as (b, n, m)."""
    return x.transpose(0, 2, 1)


def _free_sides(wiring):
    """(m, n) masks of the shorts whose bit-line node, and of the others, whose word-line node, has
    resistance towards both neighbours.
    """
    shorts = np.isinf(wiring.g)
    free_bit = (np.minimum(wiring.r_bit[:-1], wiring.r_bit[1:]) > 0) & shorts
    return free_bit, shorts & ~free_bit


def currents(wiring, ends, inject, w, u):
    """`Currents` of node voltages in two parts, w and u = (high, low), each (b, m, n) V."""
    left, right, top, bottom = ends
    w_high, w_low = w
    u_high, u_low = u
    across = (w_high - u_high) + (w_low - u_low)
    shorts = np.isinf(wiring.g)
    cell = np.where(shorts, 0.0, wiring.g) * across
    word = _along(wiring.r_word, left, w_high, w_low, right)
    bit = _turned(_along(wiring.r_bit.T, top, _turned(u_high), _turned(u_low), bottom))
    word_excess = word[..., :-1] - word[..., 1:] - cell - wiring.load_word * (w_high + w_low)
    bit_excess = bit[:, :-1] - bit[:, 1:] + cell - wiring.load_bit * (u_high + u_low)
    if inject is not None:
        word_excess += inject[0]
        bit_excess += inject[1]
    if shorts.any():
        # A shorted cell carries what is left over at the side where it has resistance towards both
        # neighbours.
        free_bit, free_word = _free_sides(wiring)
        through = np.where(free_bit, -bit_excess, 0.0) + np.where(free_word, word_excess, 0.0)
        cell = cell + through
        across = np.where(shorts, 0.0, across)
        word_excess -= through
        bit_excess += through
    _gather(wiring.r_word, word_excess)
    _gather(wiring.r_bit.T, _turned(bit_excess))
    return Currents(
        across=across,
        cell=cell,
        left=word[..., 0],
        right=-word[..., -1],
        top=bit[:, 0],
        bottom=-bit[:, -1],
        word_excess=word_excess,
        bit_excess=bit_excess,
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
    _join(wiring.r_bit.T, top, bottom, _turned(u))
    free_bit, free_word = _free_sides(wiring)
    u[:, free_bit] = w[:, free_bit]
    w[:, free_word] = u[:, free_word]


def _sources(r, first, last, inject):
    """Sources (b, lines, cells) A of terminals and injections at the nodes of lines."""
    conductance = _conductance(r)
    if inject is None:
        source = np.zeros((*first.shape, r.shape[1] - 1))
    else:
        source = inject.copy()
    source[..., 0] += conductance[:, 0] * first
    source[..., -1] += conductance[:, -1] * last
    return source


def _substitute_signs(lines, word_source, bit_source):
    """As `substitute`, for sources of any sign: the difference of two solutions."""
    batch = word_source.shape[2]
    found = substitute(lines, _signs_apart(word_source), _signs_apart(bit_source))
    return tuple(x[..., :batch] - x[..., batch:] for x in found)


def _signs_apart(x):
    """(m, n, 2 b): what is above 0 of x (m, n, b), then what is below."""
    return np.ascontiguousarray(np.concatenate((np.maximum(x, 0), np.maximum(-x, 0)), axis=2))


def solver(wiring):
    """A function of (ends, inject) to node voltages w, u (b, m, n) of a network that `fits`."""
    m, n = wiring.g.shape
    turned = m < n
    lines = eliminate(wiring.turned() if turned else wiring)

    def solve(ends, inject):
        left, right, top, bottom = ends
        word_inject = None
        bit_inject = None
        if inject is not None:
            word_inject = inject[0]
            bit_inject = _turned(inject[1])
        word = _sources(wiring.r_word, left, right, word_inject)  # (b, m, n)
        bit = _sources(wiring.r_bit.T, top, bottom, bit_inject)  # (b, n, m)
        if turned:
            u, w = _substitute_signs(lines, bit.transpose(1, 2, 0), word.transpose(2, 1, 0))
            w = w.transpose(2, 1, 0)
            u = u.transpose(2, 1, 0)
        else:
            w, u = _substitute_signs(lines, word.transpose(1, 2, 0), bit.transpose(2, 1, 0))
            w = w.transpose(2, 0, 1)
            u = u.transpose(2, 0, 1)
        w = np.ascontiguousarray(w)
        u = np.ascontiguousarray(u)
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


def _largest(x):
    """(b,) largest |x| of each (b, m, n)."""
    return abs(x).max(axis=(1, 2))


def _measured(wiring, ends, inject, w, u, floor):
    """`Refined` of node voltages in two parts."""
    flow = currents(wiring, ends, inject, w, u)
    scale = np.maximum(_largest(flow.cell), floor)
    if inject is not None:
        scale = np.maximum(scale, abs(np.stack(inject)).max(axis=(0, 2, 3)))
    residual = np.maximum(_largest(flow.word_excess), _largest(flow.bit_excess))
    return Refined(w[0], u[0], flow, scale, residual)


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
    Refined
    """
    grounded = tuple(np.zeros_like(end) for end in ends)
    w = w.copy()
    u = u.copy()
    _join_all(wiring, ends, w, u)
    w = (w, np.zeros_like(w))
    u = (u, np.zeros_like(u))
    best = None
    least = np.inf
    for _ in range(REFINEMENTS):
        found = _measured(wiring, ends, inject, w, u, floor)
        nothing = np.zeros_like(found.residual)
        shares = np.divide(found.residual, found.scale, out=nothing, where=found.scale > 0)
        share = shares.max()
        if best is None or share < least:
            best = found
            least = share
        if share <= tolerance or not share <= 2 * least:
            break
        flow = found.flow
        change_w, change_u = solve(grounded, (flow.word_excess, flow.bit_excess))
        w = _add(w, change_w)
        u = _add(u, change_u)
    return best
