"""`Solution`: voltages and currents of a solved crossbar."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


def _line_currents(segments, injected):
    """Current in every segment of the lines, in the direction of growing index.

    segments : (lines, cells + 1) ohm; injected : (b, lines, cells) A, flowing into the nodes from
        the cells.
    Terminals of one line are at the same voltage.  Returns (b, lines, cells + 1) A.
    """
    first, last = np.isfinite(segments[:, 0]), np.isfinite(segments[:, -1])
    behind = np.cumsum(segments[:, :-1], axis=1)  # from the first terminal to each node
    total = segments.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        share = np.where(
            total[:, None] > 0, 1 - behind / total[:, None], 0.5
        )  # leaving through the first terminal
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

    output_current: NDArray[np.float64]
    input_current: NDArray[np.float64]
    word_line_voltage: NDArray[np.float64]
    bit_line_voltage: NDArray[np.float64]
    cell_voltage: NDArray[np.float64]
    cell_current: NDArray[np.float64]
    residual: NDArray[np.float64]
    iterations: NDArray[np.int64]
    _crossbar: object = field(repr=False)
    _terminals: tuple = field(repr=False)  # (b, m) word-line and (b, n) bit-line voltages

    @property
    def terminal_voltage(self) -> NDArray[np.float64]:
        """(b, m, n) V between the terminals of a cell's word line and bit line: its voltage if
        wires were ideal.
        """
        word, bit = self._terminals
        return word[..., :, None] - bit[..., None, :]

    def _lines(self):
        xb = self._crossbar
        cell = self.cell_current.reshape(-1, *xb.conductance.shape)
        return (
            _line_currents(xb.word_segments, -cell),
            _line_currents(xb.bit_segments.T, cell.transpose(0, 2, 1)).transpose(0, 2, 1),
        )

    @property
    def word_line_current(self) -> NDArray[np.float64]:
        """(b, m, n + 1) A in the word-line segments, from left to right."""
        return self._lines()[0].reshape(*self.residual.shape, *self._crossbar.word_segments.shape)

    @property
    def bit_line_current(self) -> NDArray[np.float64]:
        """(b, m + 1, n) A in the bit-line segments, from top to bottom."""
        return self._lines()[1].reshape(*self.residual.shape, *self._crossbar.bit_segments.shape)

    @property
    def cell_power(self) -> NDArray[np.float64]:
        """(b,) W dissipated in the cells."""
        return (self.cell_voltage * self.cell_current).sum(axis=(-2, -1))

    @property
    def wire_power(self) -> NDArray[np.float64]:
        """(b,) W dissipated in wires, source and sense resistances."""
        xb = self._crossbar
        total = sum(
            (np.where(np.isfinite(r), r, 0) * i**2).sum(axis=(1, 2))
            for r, i in zip((xb.word_segments, xb.bit_segments), self._lines(), strict=True)
        )
        return total.reshape(self.residual.shape)

    @property
    def power(self) -> NDArray[np.float64]:
        """(b,) W delivered by all terminals: cell_power + wire_power, from the terminal currents
        alone.
        """
        word, bit = self._terminals
        into_word, out_of_bit = self.cell_current.sum(axis=-1), self.cell_current.sum(axis=-2)
        return (word * into_word).sum(axis=-1) - (bit * out_of_bit).sum(axis=-1)
