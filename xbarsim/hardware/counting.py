"""What weights and attention share on computation crossbars: the crossbars of a chip, codes, keys."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from xbarsim.arrays.counting.crossbars import Crossbars
from xbarsim.arrays.settings import CountingSettings
from xbarsim.base.array_types import Booleans, Integers, Keys, Singles
from xbarsim.base.units import NANO
from xbarsim.config.study import Study
from xbarsim.config.synergy import Computation
from xbarsim.kernels.devices.random import row_keys
from xbarsim.models.int8 import LEVELS


class Pool:
    """The computation crossbars of one chip: one set per distinct settings, tiles numbered in the
    order of the products.

    seed : of the chip
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self._sets: dict[CountingSettings, Crossbars] = {}
        self._tiles = 0

    def crossbars(self, settings: Study) -> Crossbars:
        """Crossbars of a product's settings."""
        own = CountingSettings.of(settings)
        if own not in self._sets:
            self._sets[own] = Crossbars(own, self.seed)
        return self._sets[own]

    def first_tile(self, tiles: int) -> int:
        """Number of the first of so many further tiles."""
        first = self._tiles
        self._tiles += tiles
        return first


class Codes(NamedTuple):
    """values : int8 codes;  outside : which of them were held at the end of the range"""

    values: NDArray[np.int8]
    outside: Booleans


def to_codes(x: Singles, scale: float) -> Codes:
    """Integer codes of activations; `scale` is the value of one code."""
    wide = np.rint(x * np.float32(1 / scale))
    values = np.clip(wide, -LEVELS, LEVELS).astype(np.int8)
    return Codes(values, np.abs(wide) > LEVELS)


def code_scale(largest: float) -> float:
    """The value of one code where codes cover values up to `largest`."""
    return largest / LEVELS or 1.0


def keys_of(seed: int, index: int, names: Integers) -> Keys:
    """(b,) random keys of rows that are named (b, k)."""
    numbered = np.column_stack([np.full(len(names), index), names])
    keys: Keys = row_keys(np.uint64(seed), numbered.astype(np.int64))
    return keys


def read_energy(computation: Computation, read_time_ns: float) -> float:
    """Joule of one unit conductance in one read."""
    return computation.read_voltage_v**2 / computation.resistance_ohm * read_time_ns * NANO
