"""Settling of an ohmic crossbar with capacitances: first moments, and steps in time.

Every node carries a capacitance to ground, every cell one from word line to bit line.  What the
nodes still lack of their final voltages, x, obeys C dx/dt = -G x with all terminals at 0 V: no
small output is the difference of large ones.
"""

import numpy as np

from xbarsim.kernels.circuit import direct
from xbarsim.kernels.circuit.nodal import factor, node_voltages

GAMMA = 1 - 0.5**0.5  # of the two-stage, second-order, L-stable DIRK method (Alexander, 1977)


def _charge(w, u, c_word, c_bit, c_cell):
    """C x at the word-line and the bit-line nodes, as (1, m, n) each."""
    across = c_cell * (w - u)
    return (c_word * w + across)[None], (c_bit * u - across)[None]


def _grounded(g):
    """Terminals of both ends of all lines at 0 V."""
    m, n = g.shape
    return np.zeros((1, m)), np.zeros((1, m)), np.zeros((1, n)), np.zeros((1, n))


def power(g, r_word, r_bit, w, u):
    """x G x in W: what node voltages x = (w, u), (m, n) V each, dissipate with all terminals at 0
    V.
    """
    total = (g * (w - u) ** 2).sum()
    for r, drop in (
        (r_word, np.diff(w, axis=1, prepend=0.0, append=0.0)),
        (r_bit, np.diff(u, axis=0, prepend=0.0, append=0.0)),
    ):
        total += np.divide(drop**2, r, out=np.zeros_like(drop), where=r > 0).sum()
    return total


def first_moments(g, r_word, r_bit, capacitance, missing):
    """(w, u) in V s: the integral over time of what each node still lacks of its final voltage,
    G^-1 C x(0).

    capacitance : (c_word, c_bit, c_cell), each (m, n) F;  missing : (w, u), each (m, n) V at time 0
    """
    charge = _charge(*missing, *capacitance)
    state = node_voltages(factor(g, r_word, r_bit), *_grounded(g), *charge).single()
    return state.w, state.u


def steps(g, r_word, r_bit, capacitance, missing, too_large, first_step):
    """Yields (time, x, dx/dt) after every accepted step from x = `missing` at time 0; x as (w, u),
    (m, n) V each.

    too_large : function of (error, x) to the ratio of the estimated error of a step to the allowed
        one
    first_step : s

    Every stage solves (G + C / (gamma h)) d = -G base for the change d = gamma h dx/dt: its
    currents are those that flow, however short the step.  The estimate, gamma h (f2 - f1), is that
    of the embedded first-order solution: the accepted one is better.
    """
    x = missing
    time, h = 0.0, first_step
    c_word, c_bit, c_cell = capacitance
    grounded, unloaded = _grounded(g), np.zeros(g.shape)
    wiring = direct.Wiring(g, r_word, r_bit, unloaded, unloaded)
    while True:
        rate = 1 / (GAMMA * h)
        network = factor(g + c_cell * rate, r_word, r_bit, c_word * rate, c_bit * rate)

        def change(base, network=network):
            w, u = ((part[None], np.zeros((1, *g.shape))) for part in base)
            flow = direct.currents(wiring, grounded, None, w, u)
            state = node_voltages(network, *grounded, flow.word_excess, flow.bit_excess).single()
            return state.w, state.u

        first = change(x)
        base = tuple(
            part + (1 - GAMMA) * h * rate * moved for part, moved in zip(x, first, strict=True)
        )
        second = change(base)
        y = tuple(part + moved for part, moved in zip(base, second, strict=True))
        error = tuple(b - a for a, b in zip(first, second, strict=True))
        ratio = too_large(error, y)
        if ratio <= 1:
            time, x = time + h, y
            yield time, x, tuple(rate * moved for moved in second)
        h *= min(4.0, max(0.2, 0.9 / ratio**0.5 if ratio > 0 else 4.0))
