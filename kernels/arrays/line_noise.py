"""What the wires of a tile make of the fluctuation of a cell, to first order in it.

A fluctuation d of the conductance of cell (i, j) changes the current of bit line j by d times the
voltage across the cell times the voltage that one volt at the end of bit line j would leave across
it (the adjoint).  Both are nearly those of a ladder: a line with its segments and, at every node, a
cell in series with what the crossing line adds to it.
"""

import numpy as np

from xbarsim.kernels._jit import jit

SWEEPS = 3  # of word lines and bit lines in turn, each with the other's last impedances


@jit
def sweep_lines(load, r, passed, own, onward, back):
    """Every row of (k, n) nodes as a ladder that is driven at its left end.

    load : (k, n) S from each node to ground;  r : (k, n) ohm, the segment left of each node
    Results (k, n): passed, volts per volt of the driver; own, ohm from the node to ground without
    its own load; onward, volts per volt of the node before it when driven from the left; back,
    volts of the node per volt of the node behind it when that is driven
    """
    k, n = load.shape
    right = np.empty(n)
    for line in range(k):
        beyond = 0.0
        for a in range(n - 1, -1, -1):
            right[a] = beyond
            beyond += load[line, a]
            beyond = beyond / (1 + r[line, a] * beyond)
        volts = 1.0
        left = 0.0
        for a in range(n):
            if a > 0:
                towards = left * load[line, a - 1]
                behind = left + r[line, a] * (1 + towards)
                back[line, a - 1] = left / behind if behind > 0 else 1.0
                left = r[line, a] + left / (1 + towards)
            else:
                left = r[line, 0]
            own[line, a] = left / (1 + left * right[a])
            onward[line, a] = 1 / (1 + r[line, a] * (right[a] + load[line, a]))
            volts *= onward[line, a]
            passed[line, a] = volts
        back[line, n - 1] = 1.0


@jit
def from_other_columns(weight, onward, back, found):
    """Sum over the other cells of a word line of weight times the square of the volts that reach
    them per volt at the cell; all (k, n).
    """
    k, n = weight.shape
    for line in range(k):
        total = 0.0
        for a in range(1, n):
            total = (total + weight[line, a - 1]) * back[line, a - 1] ** 2
            found[line, a] = total
        found[line, 0] = 0.0
        total = 0.0
        for a in range(n - 2, -1, -1):
            total = (total + weight[line, a + 1]) * onward[line, a + 1] ** 2
            found[line, a] += total


def _ladders(load, r):
    """Results of `sweep_lines`."""
    results = tuple(np.empty(load.shape) for _ in range(4))
    sweep_lines(load, r, *results)
    return results


def _bit_lines(array):
    """(m, n) -> (n, m), each bit line from its sensed end upwards."""
    return np.ascontiguousarray(array[::-1].T)


def _as_cells(lines):
    """The inverse of `_bit_lines`."""
    return np.ascontiguousarray(lines.T[::-1])


def cell_noise(g, r_word, r_bit, sigma):
    """What the fluctuations of the cells of a tile do where each is driven alone.

    g, sigma : (m, n) S;  r_word, r_bit : (m, n) ohm, of `transfer.transfer_matrix`

    Returns (m, n) each
    -------
    driven : volts across each cell per volt of its word line alone
    sensed : volts across each cell per volt at the end of its bit line alone
    others : A² per V² of the word line, of bit line j through the other cells of word line i

    Notes
    -----
    O(m n).  Neighbouring lines are impedances to ground: what they pass on to each other is of
    second order in the wires.
    """
    word_load = g
    bit_load = g
    r_from_end = _bit_lines(r_bit)
    for _ in range(SWEEPS):
        passed_word, own_word, onward, back = _ladders(word_load, r_word)
        passed_bit, own_bit, _, _ = _ladders(_bit_lines(bit_load), r_from_end)
        own_bit = _as_cells(own_bit)
        word_load = g / (1 + g * own_bit)
        bit_load = g / (1 + g * own_word)
    driven = passed_word / (1 + g * own_bit)
    sensed = _as_cells(passed_bit) / (1 + g * own_word)
    others = np.empty(g.shape)
    from_other_columns((sigma * driven) ** 2, onward, back, others)
    others *= (g * sensed * own_word) ** 2
    return driven, sensed, others
