"""`Solution`: voltages and currents of a solved crossbar."""

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from xbarsim.base.array_types import Floats, Integers


class Segments(NamedTuple):
    """Resistances from terminal to terminal, infinite at ends that are not connected."""

    word: Floats  # (m, n + 1) ohm
    bit: Floats  # (m + 1, n) ohm


def _line_currents(segments: Floats, injected: Floats) -> Floats:
    """Current in every segment of the lines, in the direction of growing index.

    segments : (lines, cells + 1) ohm; injected : (b, lines, cells) A, flowing into the nodes from
        the cells.
    Terminals of one line are at the same voltage.  Returns (b, lines, cells + 1) A.
    """
    first = np.isfinite(segments[:, 0])
    last = np.isfinite(segments[:, -1])
    behind = np.cumsum(segments[:, :-1], axis=1)  # from the first terminal to each node
    total = segments.sum(axis=1)[:, None]
    with np.errstate(invalid="ignore", divide="ignore"):
        # what leaves through the first terminal
        share = np.where(total > 0, 1 - behind / total, 0.5)
    share = np.where((first & last)[:, None], share, (first & ~last)[:, None].astype(float))
    current = np.empty((*injected.shape[:2], segments.shape[1]))
    current[..., 0] = -(share * injected).sum(axis=2)
    np.cumsum(injected, axis=2, out=current[..., 1:])
    current[..., 1:] += current[..., :1]
    current[:, ~last, -1] = 0.0
    return current


@dataclass(frozen=True)
class Solution:
    """State of a crossbar for a batch of b inputs; for one input vector the axis b is absent
    everywhere.

    Attributes
    ----------
    output_current : (b, n) A into the sense amplifiers of the bit lines (transposed: (b, m), of
        the word lines)
    input_current : (b, m) A drawn from the sources of the word lines (transposed: (b, n))
    word_line_voltage, bit_line_voltage : (b, m, n) V
    cell_voltage : (b, m, n) V across the cells, word line minus bit line, to more digits than the
        difference of the two where these are nearly equal
    cell_current : (b, m, n) A from word line to bit line
    residual : (b,) largest violation of Kirchhoff's current law at a node, over the largest cell
        current
    iterations : (b,) iterations of the linear solver; Newton steps where cells are not ohmic
    """

    output_current: Floats
    input_current: Floats
    word_line_voltage: Floats
    bit_line_voltage: Floats
    cell_voltage: Floats
    cell_current: Floats
    residual: Floats
    iterations: Integers
    _segments: Segments = field(repr=False)
    # (b, m) word-line and (b, n) bit-line voltages
    _terminals: tuple[Floats, Floats] = field(repr=False)

    @property
    def terminal_voltage(self) -> Floats:
        """(b, m, n) V between the terminals of a cell's word line and bit line: its voltage if
        wires were ideal.
        """
        word, bit = self._terminals
        ideal: Floats = word[..., :, None] - bit[..., None, :]
        return ideal

    def _line_currents(self) -> Segments:
        """(b, m, n + 1) and (b, m + 1, n) A, with the axis b also for one input."""
        segments = self._segments
        m, n = self.cell_current.shape[-2:]
        cell = self.cell_current.reshape(-1, m, n)
        into_bit_lines = cell.transpose(0, 2, 1)
        return Segments(
            word=_line_currents(segments.word, -cell),
            bit=_line_currents(segments.bit.T, into_bit_lines).transpose(0, 2, 1),
        )

    @property
    def word_line_current(self) -> Floats:
        """(b, m, n + 1) A in the word-line segments, from left to right."""
        return self._line_currents().word.reshape(*self.residual.shape, *self._segments.word.shape)

    @property
    def bit_line_current(self) -> Floats:
        """(b, m + 1, n) A in the bit-line segments, from top to bottom."""
        return self._line_currents().bit.reshape(*self.residual.shape, *self._segments.bit.shape)

    @property
    def cell_power(self) -> Floats:
        """(b,) W dissipated in the cells."""
        power: Floats = (self.cell_voltage * self.cell_current).sum(axis=(-2, -1))
        return power

    @property
    def wire_power(self) -> Floats:
        """(b,) W dissipated in wires, source and sense resistances."""
        current = self._line_currents()
        word = _dissipated(self._segments.word, current.word)
        bit = _dissipated(self._segments.bit, current.bit)
        return (word + bit).reshape(self.residual.shape)

    @property
    def power(self) -> Floats:
        """(b,) W delivered by all terminals: cell_power + wire_power, from the terminal currents
        alone.
        """
        word, bit = self._terminals
        into_word = self.cell_current.sum(axis=-1)
        out_of_bit = self.cell_current.sum(axis=-2)
        power: Floats = (word * into_word).sum(axis=-1) - (bit * out_of_bit).sum(axis=-1)
        return power


def _dissipated(segments: Floats, current: Floats) -> Floats:
    """(b,) W in segments that are connected."""
    power: Floats = (np.where(np.isfinite(segments), segments, 0) * current**2).sum(axis=(1, 2))
    return power
