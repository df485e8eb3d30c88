"""Settling of an ohmic crossbar with capacitances: first moments, and steps in time.

Every node carries a capacitance to ground, every cell one from word line to bit line: C dx/dt = s - G x from x = 0.
"""
import numpy as np

from xbarsim.kernels.nodal import factor, node_voltages

GAMMA = 1 - 0.5 ** 0.5                   # of the two-stage, second-order, L-stable DIRK method (Alexander, 1977)


def _charge(w, u, c_word, c_bit, c_cell):
    """C x at the word-line and the bit-line nodes, as (1, m, n) each."""
    across = c_cell * (w - u)
    return (c_word * w + across)[None], (c_bit * u - across)[None]


def first_moments(g, r_word, r_bit, capacitance, ends, steady):
    """(w, u) in V s: the integral over time of what each node still lacks of its final voltage, G^-1 C x(infinity).

    capacitance : (c_word, c_bit, c_cell), each (m, n) F;  ends, steady : as in `steps`
    """
    zero = tuple(np.zeros_like(end) for end in ends)
    w, u, *_ = node_voltages(factor(g, r_word, r_bit), *zero, *_charge(*steady, *capacitance))
    return w[0], u[0]


def steps(g, r_word, r_bit, capacitance, ends, steady, tolerance, first_step):
    """Yields (time, w, u) after every accepted step following a voltage step of the terminals at time 0.

    ends : (left, right, top, bottom), each (1, lines) V;  steady : (w, u), each (m, n) V, the final voltages
    tolerance : V, estimated error of a step;  first_step : s

    Every stage solves (G + C / (gamma h)) y = C base / (gamma h) + s.  The estimate, gamma h |f2 - f1|, is that of the
    embedded first-order solution: the accepted one is better.
    """
    w, u = np.zeros(g.shape), np.zeros(g.shape)
    time, h = 0.0, first_step
    c_word, c_bit, c_cell = capacitance
    while True:
        rate = 1 / (GAMMA * h)
        network = factor(g + c_cell * rate, r_word, r_bit, c_word * rate, c_bit * rate)

        def stage(base, network=network, rate=rate):
            charge = (part * rate for part in _charge(*base, *capacitance))
            y_word, y_bit, *_ = node_voltages(network, *ends, *charge)
            return (y_word[0], y_bit[0]), ((y_word[0] - base[0]) * rate, (y_bit[0] - base[1]) * rate)

        _, f1 = stage((w, u))
        y, f2 = stage((w + (1 - GAMMA) * h * f1[0], u + (1 - GAMMA) * h * f1[1]))
        error = GAMMA * h * max(abs(f2[0] - f1[0]).max(), abs(f2[1] - f1[1]).max())
        if error <= tolerance:
            time, (w, u) = time + h, y
            yield time, w, u
        h *= min(4.0, max(0.2, 0.9 * (tolerance / error) ** 0.5 if error > 0 else 4.0))
