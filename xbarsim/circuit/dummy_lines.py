"""Correction of parasitic resistance by the array itself: a gain per row, and a dummy column.

Row: a driver whose word line draws current loses voltage in its own resistance.  Raising it by what it
loses on average restores the mean voltage at the word line.  Column: one more bit line of equal, known
cells sees the inputs through the same wires.  What it should give is the sum of the inputs times its
conductance; the ratio to what it gives is the gain of all columns, anew for every input.
"""

from dataclasses import dataclass

import numpy as np

from xbarsim.base.array_types import Floats
from xbarsim.base.errors import OutOfRangeError, ShapeError
from xbarsim.circuit.crossbar import Crossbar


@dataclass(frozen=True)
class Parasitics:
    """ohm : of a driver, of a segment of either line, of a sense amplifier (the neuron)"""

    source: float
    wire: float
    sense: float


@dataclass(frozen=True)
class CorrectionCost:
    """What the hardware has beside the array, and does for every input.

    cells : of the dummy column;  amplifiers : that raise rows;  conversions : of the dummy's current
    multiplications : of column currents by the gain
    """

    cells: int
    amplifiers: int
    conversions: int
    multiplications: int


@dataclass(frozen=True)
class Corrected:
    """Column currents (b, n) A: as they come, with rows raised, and with the dummy's gain too."""

    raw: Floats
    rows: Floats
    both: Floats


class CorrectedCrossbar:
    """A crossbar with a dummy column beside it.

    Parameters
    ----------
    conductance : (m, n) S;  parasitics : see `Parasitics`
    typical : (m,) V of the inputs, on average, for which rows are raised
    dummy : S of the cells of the dummy column, the mean of the others if None

    Attributes
    ----------
    row_gain : (m,) of the drivers, 1 or more

    Raises
    ------
    ShapeError, OutOfRangeError : of `Crossbar`, or inputs of another length
    """

    def __init__(
        self,
        conductance: Floats,
        parasitics: Parasitics,
        typical: Floats,
        dummy: float | None = None,
    ) -> None:
        m, n = conductance.shape
        if typical.shape != (m,) or not (np.isfinite(typical) & (typical >= 0)).all():
            raise ShapeError(
                f"typical inputs have shape {typical.shape}; needed are {m} voltages of 0 V or more, "
                "one for each word line"
            )
        self.dummy = float(conductance.mean()) if dummy is None else dummy
        if self.dummy <= 0:
            raise OutOfRangeError(
                f"cells of the dummy column have {self.dummy:g} S; allowed: more than 0 S"
            )
        cells = np.concatenate([conductance, np.full((m, 1), self.dummy)], axis=1)
        array = Crossbar(
            cells,
            parasitics.wire,
            parasitics.wire,
            source_resistance=parasitics.source,
            sense_resistance=parasitics.sense,
        )
        self.transfer = array.transfer_matrix()
        self.drawn = array.power_matrix()  # amperes of every driver for volts of all
        self.source = parasitics.source
        self.shape = (m, n)
        lost = self.source * (self.drawn @ typical)
        left = typical - lost
        self.row_gain = np.divide(typical, left, out=np.ones(m), where=left > 0)

    @property
    def cost(self) -> CorrectionCost:
        m, n = self.shape
        return CorrectionCost(cells=m, amplifiers=m, conversions=1, multiplications=n)

    def source_voltage(self, volts: Floats) -> Floats:
        """(b, m) V at the beginning of the word lines, of drivers at volts (b, m)."""
        found: Floats = volts - self.source * (volts @ self.drawn.T)
        return found

    def currents(self, volts: Floats) -> Corrected:
        """Of inputs (b, m) V."""
        raised = volts * self.row_gain
        of_raised = raised @ self.transfer.T
        dummy = of_raised[:, -1]
        wanted = self.dummy * volts.sum(axis=1)
        gain = np.divide(wanted, dummy, out=np.ones(len(volts)), where=dummy > 0)
        return Corrected(
            raw=(volts @ self.transfer.T)[:, :-1],
            rows=of_raised[:, :-1],
            both=of_raised[:, :-1] * gain[:, None],
        )
