"""What the functions on a crossbar use of it."""

from typing import Protocol

from numpy.typing import ArrayLike

from xbarsim.base.array_types import Booleans, Floats
from xbarsim.circuit.cells import Access, Memristor
from xbarsim.circuit.solution import Solution


class Array(Protocol):
    """A crossbar whose arguments are checked, see `crossbar.Crossbar`."""

    conductance: Floats  # (m, n) S
    word_segments: Floats  # (m, n + 1) ohm, infinite at ends that are not connected
    bit_segments: Floats  # (m + 1, n) ohm
    floating_word_lines: Booleans  # (m,)
    floating_bit_lines: Booleans  # (n,)
    transposed: bool
    cell: Memristor | None
    access: Access | None

    @property
    def shape(self) -> tuple[int, int]:
        """(m, n): word lines, bit lines."""

    @property
    def terminals(self) -> tuple[int, int]:
        """(inputs, outputs): lines that are driven, lines that are sensed."""

    @property
    def ohmic(self) -> bool:
        """Whether every cell is a resistor."""

    def solve(self, input_voltage: ArrayLike, bias_voltage: ArrayLike = 0.0) -> Solution:
        """All voltages and currents for given terminal voltages."""
