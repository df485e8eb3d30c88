"""Derivatives of the outputs by every conductance, and the noise that follows from them."""

import numpy as np
from numpy.typing import ArrayLike

from xbarsim.base.array_types import Floats
from xbarsim.base.errors import ShapeError
from xbarsim.circuit.arguments import not_negative, voltages
from xbarsim.circuit.array import Array


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
