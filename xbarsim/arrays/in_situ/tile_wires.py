"""Transfer and power matrices of tiles behind their wires."""

import numpy as np

from xbarsim.base.array_types import Floats
from xbarsim.circuit.wires import wire_segments
from xbarsim.config.wires import Wires
from xbarsim.kernels.circuit.transfer import transfer_matrix


def solve_wires(conductance: Floats, wires: Wires | None) -> tuple[Floats, Floats]:
    """Transfer matrices (t, n, m) A/V of tiles (t, m, n) S, and the power matrix (m, m) W/V² of all
    of them together.

    wires : None where they have no resistance
    """
    if wires is None:
        return conductance.transpose(0, 2, 1), np.diag(conductance.sum(axis=(0, 2)))
    tiles, m, n = conductance.shape
    r_word, r_bit = wire_segments(wires, m, n)
    precision = np.float32 if wires.precision == "single" else np.float64
    transfer = np.empty((tiles, n, m))
    power = np.zeros((m, m))
    for t in range(tiles):
        cells = conductance[t].astype(precision, copy=False)
        transfer[t], drawn = transfer_matrix(cells, r_word, r_bit)
        power += drawn
    return transfer, power
