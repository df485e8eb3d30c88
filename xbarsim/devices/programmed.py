"""Cells after a write, and what happened to them in it."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import ArrayLike

from xbarsim.base.array_types import Booleans, Floats
from xbarsim.base.errors import ShapeError


@dataclass(frozen=True)
class Counts:
    """What happened in a write, in cells.

    stuck_on, stuck_off : that no write moves
    bounded : held at a physical bound
    rounded : targets that were not one of the levels
    unverified : not within the tolerance after the allowed pulses
    pulses : of all cells
    write_energy : J, None if not stated
    rewritten : cells that were read back and written again, once for every time
    """

    stuck_on: int = 0
    stuck_off: int = 0
    bounded: int = 0
    rounded: int = 0
    unverified: int = 0
    pulses: int = 0
    write_energy: float | None = None
    rewritten: int = 0

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(
            stuck_on=self.stuck_on + other.stuck_on,
            stuck_off=self.stuck_off + other.stuck_off,
            bounded=self.bounded + other.bounded,
            rounded=self.rounded + other.rounded,
            unverified=self.unverified + other.unverified,
            pulses=self.pulses + other.pulses,
            write_energy=_sum_of_stated(self.write_energy, other.write_energy),
            rewritten=self.rewritten + other.rewritten,
        )


def _sum_of_stated(one: float | None, other: float | None) -> float | None:
    if one is None:
        return other
    if other is None:
        return one
    return one + other


@dataclass(frozen=True)
class StuckCells:
    """Which cells (t, m, n) no write moves, and the S where these sit; elsewhere it says nothing."""

    mask: Booleans
    conductance: Floats


@dataclass(frozen=True)
class Programmed:
    """Cells after a write: the conductances that a law may mean, of the same shape, S.

    conductance : what is read, at the device's time and temperature (`of = "read"`)
    target : what the write aimed at, levels included
    achieved : just after the write, before ageing
    counts : of the write

    A stuck cell is aimed at where it is stuck.
    """

    conductance: Floats
    target: Floats
    achieved: Floats
    counts: Counts = Counts()

    @classmethod
    def exactly(cls, conductance: ArrayLike) -> Self:
        """Cells (m, n) or (tiles, m, n) S that are read exactly where they were aimed at."""
        g = np.asarray(conductance, float)
        return cls(g, g, g)


def tiles_of(array: Floats) -> Floats:
    """(tiles, m, n) view of conductances (m, n) or (tiles, m, n)."""
    if array.ndim not in (2, 3):
        raise ShapeError(
            f"conductances have shape {array.shape}; allowed: (m, n), or (tiles, m, n)"
        )
    return array.reshape(-1, *array.shape[-2:])
