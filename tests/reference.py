"""Slow, obvious twins of the solvers, to test against: they share no code with the package."""
import numpy as np


def stamped(g, r_word, r_bit):
    """Nodal matrix of a crossbar, stamped resistor by resistor: (matrix, index of word-line nodes, of bit-line nodes).

    g : (m, n) S; r_word, r_bit : (m, n) ohm > 0, the segment left of each word-line node, below each bit-line node.
    """
    m, n = g.shape
    y = np.zeros((2 * m * n, 2 * m * n))
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
    """Node voltages (m, n) twice and output currents (n,) for word-line voltages (m,), bit lines sensed at 0 V."""
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
