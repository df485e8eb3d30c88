"""Conjugate gradients on the nodes of a crossbar, relaxed line by line.

Kernels name: w (n, m) V of the word-line nodes, u (m, n) V of the bit-line nodes; r the residual,
p a search direction, z the residual after one sweep along the word lines; M = Tw + D (see `nodal`).
"""

from typing import NamedTuple

import numpy as np

from xbarsim.kernels._jit import jit

EPSILON = np.finfo(float).eps
# Measurements of the true residual; between them conjugate gradients, nearly always once.
ROUNDS = 4
# Of the currents that the node voltages alone would drive: no residual gets below.
ROUNDING = 16 * EPSILON
# Vectorised reductions; NaN and infinities keep their meaning.
_SUM_IN_ANY_ORDER = {"reassoc", "nsz", "contract"}


class Factors(NamedTuple):
    """Factorised chains, one per column; see `factor_lines`."""

    forward: np.ndarray  # (k, lanes)
    backward: np.ndarray  # (k, lanes) ohm
    last: np.ndarray  # (lanes,) ohm


class Lines(NamedTuple):
    """All lines of one direction, one per column, of k nodes each."""

    g: np.ndarray  # (k, lanes) S of the cells at the nodes
    r: np.ndarray  # (k + 1, lanes) ohm of the segments, terminals outermost
    factors: Factors


class Drive(NamedTuple):
    """What drives all lines of one direction, for a batch of b inputs."""

    first: np.ndarray  # (b, lanes) V of the terminals at the starts
    last: np.ndarray  # (b, lanes) V of those at the ends
    inject: np.ndarray  # (b, k, lanes) A into the nodes; (0, k, lanes) for none


class Stop(NamedTuple):
    """When an iteration is over."""

    tolerance: float  # residual over the largest current of a cell
    limit: int  # of all iterations of an input


class Result(NamedTuple):
    """What `solve_by_gradients` writes, for a batch of b inputs."""

    w: np.ndarray  # (b, n, m) V
    u: np.ndarray  # (b, m, n) V
    scale: np.ndarray  # (b,) A, largest current; comes in as the largest injection
    iterations: np.ndarray  # (b,) int64
    residual: np.ndarray  # (b,) A


class _Feed(NamedTuple):
    """What one input feeds into all lines of one direction."""

    source: np.ndarray  # (k, lanes) A into the nodes
    lift: np.ndarray  # (k, lanes) V of the nodes that terminals hold, 0 elsewhere


class _Space(NamedTuple):
    """Scratch of the iteration."""

    r: np.ndarray  # (n, m) A
    z: np.ndarray  # (n, m) V
    image: np.ndarray  # (n, m) A, S p
    p: np.ndarray  # (n, m) V
    m_p: np.ndarray  # (n, m) A, M p
    q: np.ndarray  # (m, n) V of bit-line nodes


@jit
def _inverse(x):
    """1 / x, 0 for 0."""
    if x > 0:
        return 1 / x
    return 0.0


@jit
def factor_lines(load, r, factors):
    """Factorise one chain per column into `factors`, see `_sweep`.

    load : (k, lanes) S, from each node to anywhere but its neighbours; r : (k + 1, lanes) ohm,
        terminals outermost.
    A node that a terminal holds gets coefficients 0: in the sweep it neither moves nor passes
    anything on.
    """
    k, lanes = load.shape
    for lane in range(lanes):
        held_from = k  # nodes from here on are held by the terminal at the end
        while held_from > 0 and r[held_from, lane] == 0:
            held_from -= 1
        held = r[0, lane] == 0  # by the terminal at the start
        y = load[0, lane] + _inverse(r[0, lane])  # S, seen so far
        for j in range(1, k + 1):
            segment = r[j, lane]
            a = 0.0
            b = 0.0
            if held or j > held_from:
                held = held and segment == 0
                y = _inverse(segment)
            elif segment == np.inf:
                b = _inverse(y)
                y = 0.0
            else:
                a = 1 / (1 + segment * y)
                b = segment * a
                y *= a
            if j < k:
                factors.forward[j, lane] = a
                factors.backward[j, lane] = b
                y += load[j, lane]
            else:
                factors.last[lane] = b  # the far terminal is at 0 V: what is left of the sweep


@jit
def _sweep(factors, x):
    """Solve every chain in place: currents into the nodes become node voltages.  x : (k, lanes)."""
    forward = factors.forward
    backward = factors.backward
    k, lanes = x.shape
    for j in range(1, k):
        for lane in range(lanes):
            x[j, lane] += forward[j, lane] * x[j - 1, lane]
    for lane in range(lanes):
        x[k - 1, lane] *= factors.last[lane]
    for j in range(k - 1, 0, -1):
        for lane in range(lanes):
            x[j - 1, lane] = forward[j, lane] * x[j, lane] + backward[j, lane] * x[j - 1, lane]


@jit
def _terminals(r, first, last, feed):
    """Currents that terminals at `first` and `last` (lanes,) V feed into the nodes next to them,
    and voltages of the nodes that they hold, into `feed`.
    """
    current = feed.source
    voltage = feed.lift
    k, lanes = current.shape
    for lane in range(lanes):
        for j in range(k):
            current[j, lane] = 0.0
            voltage[j, lane] = 0.0
        j = k
        while j > 0 and r[j, lane] == 0:
            j -= 1
            voltage[j, lane] = last[lane]
        if j > 0:
            current[j - 1, lane] = last[lane] / r[j, lane]
        j = 0
        while j < k and r[j, lane] == 0:
            voltage[j, lane] = first[lane]
            j += 1
        if j < k:
            current[j, lane] += first[lane] / r[j, lane]


@jit
def _copy(x, y):
    """x = y."""
    target = x.ravel()
    source = y.ravel()
    for k in range(target.size):
        target[k] = source[k]


@jit
def _add(x, y):
    """x += y."""
    total = x.ravel()
    more = y.ravel()
    for k in range(total.size):
        total[k] += more[k]


@jit
def _add_times(x, factor, y):
    """x += factor y."""
    total = x.ravel()
    more = y.ravel()
    for k in range(total.size):
        total[k] += factor * more[k]


@jit
def _times_and_add(x, factor, y):
    """x = factor x + y."""
    total = x.ravel()
    more = y.ravel()
    for k in range(total.size):
        total[k] = factor * total[k] + more[k]


@jit
def _subtract_from(x, y):
    """x = y - x."""
    total = x.ravel()
    whole = y.ravel()
    for k in range(total.size):
        total[k] = whole[k] - total[k]


@jit
def _times_transpose(g, x, out):
    """out = g * x.T in 4 x 4 blocks.  g, out : (m, n); x : (n, m)."""
    m, n = g.shape
    whole_m = m - m % 4
    whole_n = n - n % 4
    for i in range(0, whole_m, 4):
        for j in range(0, whole_n, 4):
            for a in range(4):
                for b in range(4):
                    out[i + a, j + b] = g[i + a, j + b] * x[j + b, i + a]
    for i in range(whole_m):
        for j in range(whole_n, n):
            out[i, j] = g[i, j] * x[j, i]
    for i in range(whole_m, m):
        for j in range(n):
            out[i, j] = g[i, j] * x[j, i]


@jit(fastmath=_SUM_IN_ANY_ORDER)
def _dot(x, y):
    """Sum of x y."""
    first = x.ravel()
    second = y.ravel()
    total = 0.0
    for k in range(first.size):
        total += first[k] * second[k]
    return total


@jit(fastmath=_SUM_IN_ANY_ORDER)
def _peak(x, y):
    """Largest |x y|."""
    first = x.ravel()
    second = y.ravel()
    largest = 0.0
    for k in range(first.size):
        largest = max(largest, abs(first[k] * second[k]))
    return largest


@jit
def _largest_current(g, w, u):
    """Largest current of a cell.  g, u : (m, n); w : (n, m)."""
    m, n = g.shape
    largest = 0.0
    for i in range(m):
        for j in range(n):
            largest = max(largest, g[i, j] * abs(w[j, i] - u[i, j]))
    return largest


@jit
def _relax(lines, feed, across, x):
    """Voltages x (k, lanes) of the lines' nodes that answer to those of the nodes across the cells,
    (lanes, k).
    """
    _times_transpose(lines.g, across, x)
    _add(x, feed.source)
    _sweep(lines.factors, x)
    _add(x, feed.lift)


@jit
def _feed(lines, drive, s, feed):
    """Input s of `drive` into `feed`."""
    _terminals(lines.r, drive.first[s], drive.last[s], feed)
    if drive.inject.size:
        _add(feed.source, drive.inject[s])


@jit
def _descend(word, bit, w, goal, steps, space):
    """Conjugate gradients on w until the KCL residual of one more relaxation would be `goal` (A),
    at most so many steps; returns those taken.

    `space.q` comes in as the bit-line voltages that a relaxation changed by; it is overwritten.
    """
    r, z, image, p, m_p, q = space
    _times_transpose(word.g, q, r)
    rz_before = np.inf
    taken = 0
    while True:
        _copy(z, r)
        _sweep(word.factors, z)
        # z is what one more relaxation would add to w: g z is close to the KCL residual that it
        # would leave.
        if _peak(word.g, z) <= goal or taken == steps:
            return taken
        rz = _dot(r, z)
        _times_and_add(p, rz / rz_before, z)
        _times_and_add(m_p, rz / rz_before, r)
        _times_transpose(bit.g, p, q)
        _sweep(bit.factors, q)
        _times_transpose(word.g, q, image)
        _subtract_from(image, m_p)
        step = rz / _dot(p, image)
        _add_times(w, step, p)
        _add_times(r, -step, image)
        rz_before = rz
        taken += 1


@jit
def _solve_one(word, bit, word_feed, bit_feed, stop, space, result, s):
    """Input s into `result`: relaxations that measure, conjugate gradients between them."""
    w = result.w[s]
    u = result.u[s]
    q = space.q
    injected = result.scale[s]
    previous = np.inf
    shrink = 1.0
    _copy(q, bit_feed.lift)
    for _ in range(ROUNDS):
        # Relaxations without recurrences: the residual belongs to the very voltages that are
        # returned.
        _relax(word, word_feed, q, w)
        _relax(bit, bit_feed, w, u)
        _subtract_from(q, u)
        residual = _peak(bit.g, q)
        scale = max(injected, _largest_current(bit.g, w, u))
        result.residual[s] = residual
        result.scale[s] = scale
        done = residual <= stop.tolerance * scale
        stalled = residual > 0.5 * previous
        if done or stalled or result.iterations[s] == stop.limit:
            break
        previous = residual
        goal = shrink * max(stop.tolerance * scale, ROUNDING * _peak(bit.g, u))
        steps = stop.limit - result.iterations[s]
        result.iterations[s] += _descend(word, bit, w, goal, steps, space)
        _relax(bit, bit_feed, w, q)
        shrink /= 10


@jit
def solve_by_gradients(word, bit, word_drive, bit_drive, stop, result):
    """Node voltages of every input, into `result`.

    word, bit : `Lines`; word_drive, bit_drive : `Drive`; stop : `Stop`; result : `Result`, whose
        iterations and residual come in as 0.  The word-line side is (n, m) throughout.
    """
    m, n = bit.g.shape
    words = np.zeros((7, n, m))
    bits = np.empty((3, m, n))
    space = _Space(words[0], words[1], words[2], words[3], words[4], bits[0])
    word_feed = _Feed(words[5], words[6])
    bit_feed = _Feed(bits[1], bits[2])
    for s in range(word_drive.first.shape[0]):
        _feed(word, word_drive, s, word_feed)
        _feed(bit, bit_drive, s, bit_feed)
        _solve_one(word, bit, word_feed, bit_feed, stop, space, result, s)
