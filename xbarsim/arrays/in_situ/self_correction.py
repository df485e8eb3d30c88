"""What stands beside the tiles of a row block to make up for losses in wires, drivers and sense nodes:
amplifiers that raise rows, and dummy columns.

Row: a driver loses what its word line draws times its own resistance.  Its amplifier has a fixed
gain, so that typical inputs, all at once, find their voltages behind the drivers.

Column: one more bit line of every tile, of equal cells that are programmed as others are.  What it
should give is known, their target times the sum of the voltages; see `dummy_array`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from xbarsim.arrays.in_situ.layout import Layout
from xbarsim.arrays.in_situ.tile_wires import solve_wires
from xbarsim.arrays.settings import InSituSettings
from xbarsim.base.array_types import AnyFloats, Floats, Singles
from xbarsim.base.units import MICROSIEMENS, NANO
from xbarsim.config.wires import Wires
from xbarsim.devices.model import DeviceModel
from xbarsim.devices.streams import Streams


@dataclass(frozen=True)
class DummyColumns:
    """Dummy columns of the tiles of a row block.

    transfer : (tiles, rows) A/V;  variance : the same of read noise, A²/V²
    target : S of their cells
    """

    transfer: Singles
    variance: Singles
    target: float


class SolvedTiles(NamedTuple):
    """transfer (tiles, n, m) A/V;  power (m, m) W/V² of all tiles;  dummies : None without"""

    transfer: Floats
    power: Floats
    dummies: DummyColumns | None


@dataclass(frozen=True)
class BesideTiles:
    """What stands beside the tiles of a row block.

    typical : (rows,) of the inputs, in any unit, that rows are raised for; None where they are not
    dummy, sigma : (tiles, word_lines) S of the cells of dummy columns, and of their read noise; None
        without
    target : S, of dummy cells
    place : number of the bit line before which dummy columns stand
    """

    typical: AnyFloats | None
    dummy: Floats | None
    sigma: Floats | None
    target: float
    place: int

    @classmethod
    def of(
        cls,
        settings: InSituSettings,
        layout: Layout,
        device: DeviceModel,
        *,
        typical: AnyFloats | None,
        mean_target: float,
        streams: Streams,
    ) -> BesideTiles:
        """mean_target : S of the cells of the matrix;  streams : of the cells of dummy columns"""
        correction = settings.correction
        target = mean_target
        if correction.dummy_us is not None:
            target = correction.dummy_us * MICROSIEMENS
        place = layout.bit_lines
        if correction.dummy_place == "middle":
            place = layout.bit_lines // 2
        if correction.columns == "none":
            return cls(typical, dummy=None, sigma=None, target=target, place=place)
        shape = (layout.tiles_per_row_block, layout.word_lines, 1)
        cells = device.program(np.full(shape, target), streams)
        read_time = settings.dac.read_time_ns * NANO
        sigma = np.broadcast_to(device.read_noise_sigma(cells, streams, read_time), shape)
        return cls(
            typical=typical,
            dummy=cells.conductance[:, :, 0],
            sigma=sigma[:, :, 0],
            target=target,
            place=place,
        )

    def solve(self, conductance: Floats, wires: Wires | None, rows: int) -> SolvedTiles:
        """Tiles (t, m, n) S, of which `rows` word lines are driven, with what stands beside them."""
        cells = conductance
        if self.dummy is not None:
            cells = np.insert(conductance, self.place, self.dummy, axis=2)
        tiles, m, lines = cells.shape
        transfer = np.empty((tiles, lines, m))
        power = np.zeros((m, m))
        for tile in range(tiles):  # drivers of every tile are its own
            one = slice(tile, tile + 1)
            of_tile, drawn = solve_wires(cells[one], wires)
            gain = self._gains(drawn, wires)
            transfer[one] = of_tile * gain
            power += gain[:, None] * drawn * gain
        if self.dummy is None or self.sigma is None:
            return SolvedTiles(transfer, power, None)
        of_dummies = transfer[:, self.place]
        passed = np.divide(
            of_dummies, self.dummy, out=np.zeros(self.dummy.shape), where=self.dummy > 0
        )
        dummies = DummyColumns(
            transfer=of_dummies[:, :rows].astype(np.float32),
            variance=((self.sigma * passed) ** 2)[:, :rows].astype(np.float32),
            target=self.target,
        )
        return SolvedTiles(np.delete(transfer, self.place, axis=1), power, dummies)

    def _gains(self, drawn: Floats, wires: Wires | None) -> Floats:
        """(m,) of the drivers of a tile whose drivers give the currents `drawn` (m, m) A/V."""
        gain = np.ones(len(drawn))
        if self.typical is None or wires is None:
            return gain
        typical = np.zeros(len(drawn))
        typical[: len(self.typical)] = self.typical
        left = typical - wires.source_resistance_ohm * (drawn @ typical)
        return np.divide(typical, left, out=gain, where=left > 0)
