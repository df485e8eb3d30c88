"""Slow, obvious twins of the solvers, to test against: they share no code with the package."""

import numpy as np


def stamped(g, r_word, r_bit):
    """Nodal matrix of a crossbar, stamped resistor by resistor: (matrix, index of word-line nodes,
    of bit-line nodes).

    g : (m, n) S; r_word, r_bit : (m, n) ohm > 0, the segment left of each word-line node, below
        each bit-line node.
    """
    m, n = g.shape
    y = np.zeros((2 * m * n, 2 * m * n), np.result_type(g, r_word, r_bit, float))
    word = np.arange(m * n).reshape(m, n)
    bit = word + m * n

    def stamp(a, b, conductance):
        y[a, a] += conductance
        if b is not None:
            y[b, b] += conductance
            y[a, b] -= conductance
            y[b, a] -= conductance

    for i in range(m):
        for j in range(n):
            stamp(word[i, j], bit[i, j], g[i, j])
            stamp(word[i, j], word[i, j - 1] if j else None, 1 / r_word[i, j])
            stamp(bit[i, j], bit[i + 1, j] if i + 1 < m else None, 1 / r_bit[i, j])
    return y, word, bit


def dense_solve(g, r_word, r_bit, voltage):
    """Node voltages (m, n) twice and output currents (n,) for word-line voltages (m,), bit lines
    sensed at 0 V.
    """
    m, n = g.shape
    y, word, bit = stamped(g, r_word, r_bit)
    rhs = np.zeros(2 * m * n)
    rhs[word[:, 0]] = voltage / r_word[:, 0]
    x = np.linalg.solve(y, rhs)
    return x[word], x[bit], x[bit[-1]] / r_bit[-1]


def dense_transfer(g, r_word, r_bit):
    """(n, m): output currents of every bit line per volt on every word line."""
    m, n = g.shape
    y, word, bit = stamped(g, r_word, r_bit)
    rhs = np.zeros((2 * m * n, m))
    rhs[word[:, 0], np.arange(m)] = 1 / r_word[:, 0]
    return np.linalg.solve(y, rhs)[bit[-1]] / r_bit[-1][:, None]


def counted_product(
    a,
    b,
    rows,
    top,
    sign="twos_complement",
    digit_bits=1,
    weighted=False,
    per_tile=None,
    conducts=None,
):
    """Product of integer codes a (t, k) and b (k, n) by counting, bit by bit: (product (t, n),
    conversions above `top`).

    rows : lines per conversion;  per_tile : elements on one tile;  conducts : function (line,
        output, closed) -> bool that
    may overrule a switch, `line` counted over all tiles
    """
    offset = 128 if sign == "offset" else 0

    def planes(code):
        """[(weight, bit)] of a code; the same number of planes for every code."""
        if sign == "magnitude":
            return [
                (s * 2**p, s * code > 0 and abs(code) >> p & 1) for s in (1, -1) for p in range(7)
            ]
        unsigned = code + 128 if sign == "offset" else code % 256
        return [
            (-(2**p) if p == 7 and sign == "twos_complement" else 2**p, unsigned >> p & 1)
            for p in range(8)
        ]

    def digits(code):
        """[(weight, [closed switches])]: cells of every digit, in units of their place."""
        bits, result = planes(code), []
        channels = [bits[:7], bits[7:]] if sign == "magnitude" else [bits]
        for channel in channels:
            for q in range(0, len(channel), digit_bits):
                part = channel[q : q + digit_bits]
                digit = sum(bit << v for v, (_, bit) in enumerate(part))
                if weighted:
                    closed = [digit >> v & 1 for v in range(digit_bits)]
                else:
                    closed = [digit > v for v in range(2**digit_bits - 1)]
                result.append((part[0][0], closed))
        return result

    cells = digit_bits if weighted else 2**digit_bits - 1
    units = [2**v if weighted else 1 for v in range(cells)]
    depth = len(b)
    per_tile = per_tile or depth
    product, saturated = np.zeros((len(a), b.shape[1])), 0
    for t in range(len(a)):
        for j in range(b.shape[1]):
            word = [planes(int(x)) for x in a[t]]
            switch = [digits(int(x)) for x in b[:, j]]
            for p in range(len(word[0])):
                for q in range(len(switch[0])):
                    weight = word[0][p][0] * switch[0][q][0]
                    for tile in range(0, depth, per_tile):
                        elements = range(tile, min(tile + per_tile, depth))
                        for first in range(0, len(elements), rows // cells):
                            count = 0
                            for i in elements[first : first + rows // cells]:
                                for v in range(cells):
                                    closed = switch[i][q][1][v]
                                    if conducts is not None:
                                        closed = conducts(i * cells + v, j, closed)
                                    count += bool(word[i][p][1]) and bool(closed) and units[v]
                            saturated += count > top
                            product[t, j] += weight * min(count, top)
    if offset:
        product -= offset * b.sum(axis=0) + offset * (a + offset).sum(axis=1, keepdims=True)
    return product, saturated


def eigenmodes(g, r_word, r_bit, voltage, c_word, c_bit, c_cell=0.0):
    """Response to a step of the inputs: rates (k,) 1/s, and amplitudes (n, k) A of what every
    output still lacks.
    """
    from scipy.linalg import eigh

    y, word, bit = stamped(g, r_word, r_bit)
    capacitance = np.diag(np.r_[np.full(g.size, c_word + c_cell), np.full(g.size, c_bit + c_cell)])
    for a, b in zip(word.ravel(), bit.ravel(), strict=True):
        capacitance[a, b] = capacitance[b, a] = -c_cell
    source = np.zeros(2 * g.size)
    source[word[:, 0]] = voltage / r_word[:, 0]
    rates, modes = eigh(y, capacitance)
    shares = modes.T @ (capacitance @ np.linalg.solve(y, source))
    return rates, modes[bit[-1]] * shares / r_bit[-1][:, None]


def last_exit(rates, amplitudes, tolerance):
    """Last time in s at which a sum of decaying exponentials is further from 0 than the tolerance."""
    from scipy.optimize import brentq

    def excess(time):
        return abs(amplitudes @ np.exp(-rates * time)) - tolerance

    times = np.concatenate(([0.0], np.geomspace(1e-4 / rates.max(), 60 / rates.min(), 6000)))
    values = abs(amplitudes @ np.exp(-np.outer(rates, times))) - tolerance
    outside = np.flatnonzero(values > 0)
    if not outside.size:
        return 0.0
    return brentq(excess, times[outside[-1]], times[outside[-1] + 1], xtol=1e-30, rtol=1e-12)
