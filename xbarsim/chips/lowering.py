"""A model on a chip: how many arrays, tiles and chips it takes, what every step costs in events,
and how long it takes.

Nothing is priced here; `rollup` multiplies events with the energies of components.  Every event is
an action of the component that plays its role.
"""

from xbarsim.chips.lowering_in_situ import InSituLowering
from xbarsim.chips.lowering_synergy import SynergyLowering


def lower(chip, shape, sequence, batch):
    """Plan of a model on an in-situ or synergy chip for `batch` sequences of `sequence` tokens.

    Raises
    ------
    ConfigError : a weight's cells do not fit on a tile
    """
    return (InSituLowering if chip.kind == "in-situ" else SynergyLowering)(
        chip, shape, sequence, batch
    ).plan()
