"""Derivatives of the outputs by every conductance, and the noise that follows from them."""

import numpy as np

from xbarsim.base.errors import ShapeError
from xbarsim.circuit.arguments import not_negative, voltages


def sensitivity(crossbar, input_voltage, output_weight=None, bias_voltage=0.0):
    """See `Crossbar.sensitivity`."""
    forward = crossbar.solve(input_voltage, bias_voltage)
    if forward.residual.ndim:
        batch = len(forward.residual)
        raise ShapeError(f"sensitivities are those of one input vector, got a batch of {batch}")
    inputs, outputs = crossbar.terminals
    if output_weight is None:
        weight = np.eye(outputs)
    else:
        allowed = {(outputs,): "one weight per output"}
        weight = voltages("output_weight", output_weight, allowed, outputs)
    adjoint = crossbar.solve(np.zeros(inputs), np.atleast_2d(weight))
    result = -forward.cell_voltage * adjoint.cell_voltage
    return result[0] if weight.ndim == 1 else result


def output_noise(crossbar, input_voltage, conductance_sigma, bias_voltage=0.0):
    """See `Crossbar.output_noise`."""
    shapes = {(): "for all", crossbar.shape: "per cell"}
    sigma = not_negative("conductance_sigma", conductance_sigma, "S", shapes)
    slopes = sensitivity(crossbar, input_voltage, None, bias_voltage) * sigma
    largest = abs(slopes).max(axis=(1, 2), keepdims=True)
    share = np.divide(slopes, largest, out=np.zeros_like(slopes), where=largest > 0)
    return largest[:, 0, 0] * np.sqrt((share**2).sum(axis=(1, 2)))
