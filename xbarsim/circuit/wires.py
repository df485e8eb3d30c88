"""Segment resistances of a tile from the wires of a study."""

import numpy as np

from xbarsim.base.array_types import Floats
from xbarsim.config.arrays import Wires


def have_resistance(wires: Wires) -> bool:
    """Whether a tile has any resistance beside its cells."""
    ends = (wires.source_resistance_ohm, wires.sense_resistance_ohm)
    return any((*wires.resistances(), *ends))


def wire_segments(wires: Wires, m: int, n: int, below: int = 0) -> tuple[Floats, Floats]:
    """Ohm, (m, n) each, of the segments left of and below every cell of m word lines and n bit
    lines, source and sense resistance included.

    below : further segments between the last cell and the sense amplifier
    """
    word, bit = wires.resistances()
    r_word = np.full((m, n), float(word))
    r_bit = np.full((m, n), float(bit))
    r_word[:, 0] += wires.source_resistance_ohm
    r_bit[-1] += wires.sense_resistance_ohm + below * bit
    return r_word, r_bit
