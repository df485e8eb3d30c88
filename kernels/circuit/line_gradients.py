"""Conjugate gradients on the nodes of a crossbar, relaxed line by line."""

import numpy as np

from xbarsim.kernels._jit import jit

EPSILON = np.finfo(float).eps
# Measurements of the true residual; between them conjugate gradients, nearly always once.
ROUNDS = 4
# Of the currents that the node voltages alone would drive: no residual gets below.
ROUNDING = 16 * EPSILON
_SUM_IN_ANY_ORDER = {
    "reassoc",
    "nsz",
    "contract",
}  # vectorised reductions; NaN and infinities keep their meaning


@jit
def factor_lines(load, r, forward, backward, last):
    """Factorise one chain per column into `forward`, `backward` (k, lanes) and `last` (lanes,),
    see `_sweep`.

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
        y = load[0, lane] + (0.0 if held else 1 / r[0, lane])
        for j in range(1, k + 1):
            a, b = 0.0, 0.0
            if held or j > held_from:
                held = held and r[j, lane] == 0
                y = 1 / r[j, lane] if r[j, lane] > 0 else 0.0
            elif r[j, lane] == np.inf:
                b = 1 / y if y > 0 else 0.0
                y = 0.0
            else:
                a = 1 / (1 + r[j, lane] * y)
                b = r[j, lane] * a
                y *= a
            if j < k:
                forward[j, lane], backward[j, lane] = a, b
                y += load[j, lane]
            else:
                last[lane] = b  # the far terminal is at 0 V: what is left of the sweep


@jit
def _sweep(factors, x):
    """Solve every chain in place: currents into the nodes become node voltages.  x : (k, lanes)."""
    forward, backward, last = factors
    k, lanes = x.shape
    for j in range(1, k):
        for lane in range(lanes):
            x[j, lane] += forward[j, lane] * x[j - 1, lane]
    for lane in range(lanes):
        x[k - 1, lane] *= last[lane]
    for j in range(k - 1, 0, -1):
        for lane in range(lanes):
            x[j - 1, lane] = forward[j, lane] * x[j, lane] + backward[j, lane] * x[j - 1, lane]


@jit
def _terminals(r, first, last, current, voltage):
    """Currents that the terminals feed into the nodes next to them, voltages of the nodes that
    they hold; in place.
    """
    k, lanes = current.shape
    for lane in range(lanes):
        for j in range(k):
            current[j, lane] = voltage[j, lane] = 0.0
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
def _combine(x, a, y, b, z):
    """x = a y + b z, elementwise in one dimension."""
    for k in range(x.size):
        x[k] = a * y[k] + b * z[k]


@jit
def _times_transpose(g, x, out):
    """out = g * x.T in 4 x 4 blocks.  g, out : (m, n); x : (n, m)."""
    m, n = g.shape
    whole_m, whole_n = m - m % 4, n - n % 4
    for i in range(0, whole_m, 4):
        for j in range(0, whole_n, 4):
            for a in range(4):
                for b in range(4):
                    out[i + a, j + b] = g[i + a, j + b] * x[j + b, i + a]
    for i in range(m):
        for j in range(whole_n if i < whole_m else 0, n):
            out[i, j] = g[i, j] * x[j, i]


@jit(fastmath=_SUM_IN_ANY_ORDER)
def _dot(x, y):
    total = 0.0
    for k in range(x.size):
        total += x[k] * y[k]
    return total


@jit(fastmath=_SUM_IN_ANY_ORDER)
def _peak(x, y):
    """Largest |x y|."""
    largest = 0.0
    for k in range(x.size):
        largest = max(largest, abs(x[k] * y[k]))
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
def _relax(g_word, word, source, lift, u, w):
    """Word-line voltages w (n, m) that answer to bit-line voltages u (m, n)."""
    _times_transpose(g_word, u, w)
    _combine(w.ravel(), 1.0, w.ravel(), 1.0, source.ravel())
    _sweep(word, w)
    _combine(w.ravel(), 1.0, w.ravel(), 1.0, lift.ravel())


@jit
def solve_by_gradients(
    g,
    g_word,
    r_word,
    r_bit,
    word,
    bit,
    left,
    right,
    top,
    bottom,
    inject_word,
    inject_bit,
    tolerance,
    limit,
    w_out,
    u_out,
    scale,
    iterations,
    residual,
):
    """See `node_voltages`; the word-line side is (n, m) throughout; `scale` comes in as largest
    injection.
    """
    m, n = g.shape
    word_space, bit_space = np.zeros((7, n, m)), np.empty((3, m, n))
    r, z, image = word_space[0], word_space[1], word_space[2]
    p, m_p = word_space[3], word_space[4]  # a direction, and M times it
    source, lift = word_space[5], word_space[6]
    q, bit_source, bit_lift = bit_space[0], bit_space[1], bit_space[2]
    for s in range(left.shape[0]):
        w, u = w_out[s], u_out[s]
        _terminals(r_word, left[s], right[s], source, lift)
        _terminals(r_bit, top[s], bottom[s], bit_source, bit_lift)
        injected, previous = scale[s], np.inf
        if inject_word.size:
            _combine(source.ravel(), 1.0, source.ravel(), 1.0, inject_word[s].ravel())
            _combine(bit_source.ravel(), 1.0, bit_source.ravel(), 1.0, inject_bit[s].ravel())
        _combine(q.ravel(), 1.0, bit_lift.ravel(), 0.0, bit_lift.ravel())
        shrink = 1.0
        for _ in range(ROUNDS):
            # Relaxations without recurrences: the residual belongs to the very voltages that are
            # returned.
            _relax(g_word, word, source, lift, q, w)
            _relax(g, bit, bit_source, bit_lift, w, u)
            _combine(q.ravel(), 1.0, u.ravel(), -1.0, q.ravel())
            residual[s] = _peak(g.ravel(), q.ravel())
            scale[s] = max(injected, _largest_current(g, w, u))
            stalled = residual[s] > 0.5 * previous
            if residual[s] <= tolerance * scale[s] or stalled or iterations[s] == limit:
                break
            previous = residual[s]
            goal = shrink * max(tolerance * scale[s], ROUNDING * _peak(g.ravel(), u.ravel()))
            _times_transpose(g_word, q, r)
            rz_before = np.inf
            while True:
                _combine(z.ravel(), 1.0, r.ravel(), 0.0, r.ravel())
                _sweep(word, z)
                # z is what one more relaxation would add to w: g z is close to the KCL residual
                # that it would leave.
                if _peak(g_word.ravel(), z.ravel()) <= goal or iterations[s] == limit:
                    break
                rz = _dot(r.ravel(), z.ravel())
                _combine(p.ravel(), 1.0, z.ravel(), rz / rz_before, p.ravel())
                _combine(m_p.ravel(), 1.0, r.ravel(), rz / rz_before, m_p.ravel())
                _times_transpose(g, p, q)
                _sweep(bit, q)
                _times_transpose(g_word, q, image)
                _combine(image.ravel(), 1.0, m_p.ravel(), -1.0, image.ravel())
                step = rz / _dot(p.ravel(), image.ravel())
                _combine(w.ravel(), 1.0, w.ravel(), step, p.ravel())
                _combine(r.ravel(), 1.0, r.ravel(), -step, image.ravel())
                rz_before = rz
                iterations[s] += 1
            _relax(g, bit, bit_source, bit_lift, w, q)
            shrink /= 10
