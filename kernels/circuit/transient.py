"""Settling of an ohmic crossbar with capacitances: first moments, and steps in time.

Every node carries a capacitance to ground, every cell one from word line to bit line.  What the
nodes still lack of their final voltages, x, obeys C dx/dt = -G x with all terminals at 0 V: no
small output is the difference of large ones.
"""

from typing import NamedTuple

import numpy as np

from xbarsim.kernels.circuit import direct
from xbarsim.kernels.circuit.nodal import Terminals, factor, node_voltages

GAMMA = 1 - 0.5**0.5  # of the two-stage, second-order, L-stable DIRK method (Alexander, 1977)
LEAST_GROWTH = 0.2  # of the next step over this one
MOST_GROWTH = 4.0
SAFETY = 0.9


class Circuit(NamedTuple):
    """An ohmic crossbar with capacitances."""

    g: np.ndarray  # (m, n) S
    r_word: np.ndarray  # (m, n + 1) ohm
    r_bit: np.ndarray  # (m + 1, n) ohm
    c_word: np.ndarray  # (m, n) F of the word-line nodes to ground
    c_bit: np.ndarray  # (m, n) F of the bit-line nodes to ground
    c_cell: np.ndarray  # (m, n) F across the cells


def _charge(circuit, w, u):
    """C x at the word-line and the bit-line nodes, as (1, m, n) each."""
    across = circuit.c_cell * (w - u)
    return (circuit.c_word * w + across)[None], (circuit.c_bit * u - across)[None]


def _grounded(g):
    """Terminals of both ends of all lines at 0 V."""
    m, n = g.shape
    return Terminals(np.zeros((1, m)), np.zeros((1, m)), np.zeros((1, n)), np.zeros((1, n)))


def power(circuit, w, u):
    """x G x in W: what node voltages x = (w, u), (m, n) V each, dissipate with all terminals at 0
    V.
    """
    total = (circuit.g * (w - u) ** 2).sum()
    drops_word = np.diff(w, axis=1, prepend=0.0, append=0.0)
    drops_bit = np.diff(u, axis=0, prepend=0.0, append=0.0)
    total += _in_segments(circuit.r_word, drops_word)
    total += _in_segments(circuit.r_bit, drops_bit)
    return total


def _in_segments(r, drop):
    """W in segments of r ohm with `drop` V across them."""
    return np.divide(drop**2, r, out=np.zeros_like(drop), where=r > 0).sum()


def first_moments(circuit, missing):
    """(w, u) in V s: the integral over time of what each node still lacks of its final voltage,
    G^-1 C x(0).

    missing : (w, u), each (m, n) V at time 0
    """
    charge = _charge(circuit, *missing)
    network = factor(circuit.g, circuit.r_word, circuit.r_bit)
    state = node_voltages(network, _grounded(circuit.g), charge).single()
    return state.w, state.u


def steps(circuit, missing, too_large, first_step):
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
    time = 0.0
    h = first_step
    while True:
        rate = 1 / (GAMMA * h)
        network = _at_rate(circuit, rate)
        first = _change(circuit, network, x)
        base = _moved(x, (1 - GAMMA) * h * rate, first)
        second = _change(circuit, network, base)
        following = tuple(part + moved for part, moved in zip(base, second, strict=True))
        error = tuple(after - before for before, after in zip(first, second, strict=True))
        ratio = too_large(error, following)
        if ratio <= 1:
            time = time + h
            x = following
            yield time, x, tuple(rate * moved for moved in second)
        h *= _growth(ratio)


def _at_rate(circuit, rate):
    """`nodal.Network` of G + rate C."""
    return factor(
        circuit.g + circuit.c_cell * rate,
        circuit.r_word,
        circuit.r_bit,
        circuit.c_word * rate,
        circuit.c_bit * rate,
    )


def _change(circuit, network, base):
    """The change (w, u) of a stage from `base`, for the network at its rate."""
    shape = circuit.g.shape
    grounded = _grounded(circuit.g)
    unloaded = np.zeros(shape)
    wiring = direct.Wiring(circuit.g, circuit.r_word, circuit.r_bit, unloaded, unloaded)
    nothing = np.zeros((1, *shape))
    w, u = base
    flow = direct.currents(wiring, grounded, None, (w[None], nothing), (u[None], nothing))
    excess = (flow.word_excess, flow.bit_excess)
    state = node_voltages(network, grounded, excess).single()
    return state.w, state.u


def _moved(x, factor_of_change, change):
    """x + factor change, of both parts."""
    pairs = zip(x, change, strict=True)
    return tuple(part + factor_of_change * moved for part, moved in pairs)


def _growth(ratio):
    """The next step over this one, for an error that is `ratio` times the allowed one."""
    if not ratio > 0:
        return MOST_GROWTH
    return min(MOST_GROWTH, max(LEAST_GROWTH, SAFETY / ratio**0.5))
