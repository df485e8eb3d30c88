"""Derivatives of the outputs by every conductance and every wire, and the noise that follows from
them.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from xbarsim.base.array_files import numbers
from xbarsim.base.array_types import Floats
from xbarsim.base.errors import ShapeError
from xbarsim.circuit.arguments import not_negative, voltages
from xbarsim.circuit.array import Array
from xbarsim.circuit.terminals import terminal_voltages

BATCH = 32  # inputs whose voltages are held at once


@dataclass(frozen=True)
class Gradient:
    """Derivatives of a scalar F of the outputs of a crossbar, F in any unit.

    conductance : (m, n) F/S
    word_line_resistance : (m, n + 1) F/ohm, of every segment from the left terminal to the right
        one; the first and the last include source resistances, ends that are not connected are 0
    bit_line_resistance : (m + 1, n) F/ohm, from the top terminal to the bottom one, with sense
        resistances
    input_voltage : F/V, of the shape of the inputs
    """

    conductance: Floats
    word_line_resistance: Floats
    bit_line_resistance: Floats
    input_voltage: Floats


def gradient(
    array: Array,
    input_voltage: ArrayLike,
    output_gradient: ArrayLike,
    bias_voltage: ArrayLike = 0.0,
) -> Gradient:
    """See `Crossbar.gradient`."""
    inputs, outputs = array.terminals
    terminals = terminal_voltages(array, input_voltage, bias_voltage)
    driven, biases = terminals.word, terminals.bit
    if array.transposed:
        driven, biases = biases, driven
    shape = driven.shape[:1] + (outputs,)
    if terminals.single:
        shape = shape[1:]
    weights = numbers("output_gradient", output_gradient)
    if weights.shape != shape:
        raise ShapeError(
            f"output_gradient has shape {weights.shape}; allowed: {shape}, that of the outputs"
        )
    weights = np.atleast_2d(weights)
    m, n = array.shape
    conductance = np.zeros((m, n))
    word = np.zeros((m, n + 1))
    bit = np.zeros((m + 1, n))
    by_input = np.zeros_like(driven)
    for start in range(0, len(driven), BATCH):
        some = slice(start, start + BATCH)
        forward = array.solve(driven[some], biases[some])
        adjoint = array.solve(np.zeros_like(driven[some]), weights[some])
        conductance -= (forward.cell_voltage * adjoint.cell_voltage).sum(axis=0)
        word += (forward.word_line_current * adjoint.word_line_current).sum(axis=0)
        bit += (forward.bit_line_current * adjoint.bit_line_current).sum(axis=0)
        by_input[some] = -adjoint.input_current
    return Gradient(
        conductance=conductance,
        word_line_resistance=word,
        bit_line_resistance=bit,
        input_voltage=by_input[0] if terminals.single else by_input,
    )


def sensitivity(
    array: Array,
    input_voltage: ArrayLike,
    output_weight: ArrayLike | None = None,
    bias_voltage: ArrayLike = 0.0,
) -> Floats:
    """See `Crossbar.sensitivity`."""
    forward = array.solve(input_voltage, bias_voltage)
    if forward.residual.ndim:
        batch = len(forward.residual)
        raise ShapeError(f"sensitivities are those of one input vector, got a batch of {batch}")
    inputs, outputs = array.terminals
    if output_weight is None:
        weight = np.eye(outputs)
    else:
        allowed: dict[tuple[int, ...], str] = {(outputs,): "one weight per output"}
        weight = voltages("output_weight", output_weight, allowed, outputs)
    adjoint = array.solve(np.zeros(inputs), np.atleast_2d(weight))
    result: Floats = -forward.cell_voltage * adjoint.cell_voltage
    if weight.ndim == 1:
        result = result[0]
    return result


def output_noise(
    array: Array,
    input_voltage: ArrayLike,
    conductance_sigma: ArrayLike,
    bias_voltage: ArrayLike = 0.0,
) -> Floats:
    """See `Crossbar.output_noise`."""
    shapes = {(): "for all", array.shape: "per cell"}
    sigma = not_negative("conductance_sigma", conductance_sigma, "S", shapes)
    slopes = sensitivity(array, input_voltage, None, bias_voltage) * sigma
    largest = abs(slopes).max(axis=(1, 2), keepdims=True)
    share = np.divide(slopes, largest, out=np.zeros_like(slopes), where=largest > 0)
    noise: Floats = largest[:, 0, 0] * np.sqrt((share**2).sum(axis=(1, 2)))
    return noise
