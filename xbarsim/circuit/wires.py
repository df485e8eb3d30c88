"""Segment resistances of a tile from the wires of a study."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from xbarsim.base.arguments import mapping
from xbarsim.base.array_types import Floats
from xbarsim.base.toml_files import validated
from xbarsim.config.wires import Wires


def wire_resistances(wires: Mapping[str, Any]) -> tuple[float, float]:
    """Resistance of one segment of a word line and of a bit line, in ohm.

    Parameters
    ----------
    wires : the table `[wires]` of a study: a node, a metal and a cross-section, or resistances

    Returns
    -------
    (word line, bit line)

    Raises
    ------
    ConfigError : an unknown key, node or metal; a geometry that cannot be; a value out of range

    Examples
    --------
    >>> wire_resistances({"node": "32nm", "pitch": "4F"})
    (2.12, 2.12)
    >>> word_line, bit_line = wire_resistances(
    ...     {"geometry": {"half_pitch_nm": 6.0, "metal": "tungsten", "aspect_ratio": 5.0}}
    ... )
    >>> round(word_line, 2)
    14.96
    """
    mapping("wires", wires, 'keys of [wires], such as {"node": "32nm"}')
    return validated(Wires, dict(wires), "wires").resistances()


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
