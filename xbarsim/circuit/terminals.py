"""Voltages of the terminals of a crossbar."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from xbarsim.base.array_types import Floats
from xbarsim.base.errors import OutOfRangeError, ShapeError
from xbarsim.circuit.arguments import voltages
from xbarsim.circuit.array import Array

Ends = tuple[Floats, Floats, Floats, Floats]  # V at the left, right, top and bottom ends


@dataclass(frozen=True)
class Terminals:
    """Voltages of a batch of b inputs, 0 V at floating lines.

    word : (b, m) V of the word-line terminals
    bit : (b, n) V of the bit-line terminals
    single : whether one input was given, not a batch
    """

    word: Floats
    bit: Floats
    single: bool


def terminal_voltages(
    array: Array, input_voltage: ArrayLike, bias_voltage: ArrayLike = 0.0
) -> Terminals:
    """Terminals of given inputs and biases, see `Crossbar.solve`.

    Raises
    ------
    ShapeError, OutOfRangeError : no finite voltages of these lines, batches that do not agree
    """
    inputs, outputs = array.terminals
    driven = voltages("input_voltage", input_voltage, {(inputs,): "one input"}, inputs)
    per_line: dict[tuple[int, ...], str] = {(): "for all", (outputs,): "per sensed line"}
    bias = voltages("bias_voltage", bias_voltage, per_line, outputs)
    single = driven.ndim == 1 and bias.ndim < 2
    driven = np.atleast_2d(driven)
    batch = len(driven)
    if bias.ndim == 2:
        if batch > 1 and len(bias) > 1 and batch != len(bias):
            raise ShapeError(
                f"bias_voltage is a batch of {len(bias)}, input_voltage one of {batch}; "
                "they must agree"
            )
        batch = max(batch, len(bias))
    word = np.broadcast_to(driven, (batch, inputs))
    bit = np.broadcast_to(bias, (batch, outputs))
    if array.transposed:
        word, bit = bit, word
    return Terminals(
        np.where(array.floating_word_lines, 0.0, word),
        np.where(array.floating_bit_lines, 0.0, bit),
        single,
    )


def end_voltages(array: Array, terminals: Terminals) -> Ends:
    """Terminal voltages at the (left, right, top, bottom) ends, 0 at ends that are not
    connected."""
    return (
        _where_connected(array.word_segments[:, 0], terminals.word),
        _where_connected(array.word_segments[:, -1], terminals.word),
        _where_connected(array.bit_segments[0], terminals.bit),
        _where_connected(array.bit_segments[-1], terminals.bit),
    )


def _where_connected(segment: Floats, voltage: Floats) -> Floats:
    return np.where(np.isfinite(segment), voltage, 0.0)


def span_of(array: Array, word: Floats, bit: Floats) -> float:
    """V between the highest and the lowest terminal, ground included: no cell can see more.

    word, bit : (m,) and (n,) V of the terminals

    Raises
    ------
    OutOfRangeError : more than the curve of a cell or an access device allows
    """
    span: float = max(word.max(), bit.max(), 0.0) - min(word.min(), bit.min(), 0.0)
    for part in (array.cell, array.access):
        if part is not None and span > part.maximum_voltage:
            raise OutOfRangeError(
                f"terminals are {span:.3g} V apart; allowed for {part!r}: up to "
                f"{part.maximum_voltage:.3g} V"
            )
    return span
