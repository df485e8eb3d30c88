"""Several binary cells in parallel at one crosspoint, whose conductances are as 1 : 2 : 4 : ...

Together they hold one digit of a weight: every one is on or off, and what a bit line sees is their
sum.  A cell twice as large is taken to be the device with twice the conductance, so the largest digit
has the largest conductance of the device, whatever the number of cells.
"""

import dataclasses

import numpy as np

from xbarsim.arrays.in_situ.layout import Layout
from xbarsim.arrays.in_situ.tiles import program_cells
from xbarsim.arrays.settings import InSituSettings
from xbarsim.base.array_types import Floats
from xbarsim.devices.model import DeviceModel
from xbarsim.devices.programmed import Counts, Programmed
from xbarsim.devices.streams import Streams


def shares_of(cells: int) -> Floats:
    """(cells,) of the conductance of a crosspoint, the lowest digit first; their sum is 1."""
    weights = 2.0 ** np.arange(cells)
    found: Floats = weights / weights.sum()
    return found


def program_crosspoints(
    target: Floats,
    layout: Layout,
    device: DeviceModel,
    settings: InSituSettings,
    streams: Streams,
) -> Programmed:
    """`program_cells` of crosspoints with a binary cell for every bit of a digit.

    target : (planes, rows, outputs) S of whole crosspoints, at levels of their digits
    Counts are those of single cells; read noise is later drawn as that of one cell with their sum.
    """
    bits = settings.mapping.bits_per_cell
    low = device.conductance_min
    high = device.conductance_max
    digits = np.rint((target - low) / (high - low) * (2**bits - 1)).astype(np.int64)
    parts = []
    for bit in range(bits):
        on = digits >> bit & 1 == 1
        # cells of one crosspoint have random numbers of their own
        apart = streams.beyond(bit * layout.tiles)
        parts.append(program_cells(np.where(on, high, low), layout, device, settings, apart))
    shares = shares_of(bits)

    def total(name: str) -> Floats:
        values = [getattr(part, name) for part in parts]
        found: Floats = np.tensordot(shares, np.array(values), axes=1)
        return found

    return dataclasses.replace(
        parts[0],
        conductance=total("conductance"),
        target=total("target"),
        achieved=total("achieved"),
        counts=sum((part.counts for part in parts), Counts()),
    )
