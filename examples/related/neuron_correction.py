"""Correction of parasitic resistance in inference (Nguyen, An, Min, Micromachines 12, 791, 2021).

A perceptron 784-100-10 with binary weights on MNIST (or on SET, a directory of images of 28 x 28) lies
on crossbars of binary cells, a column for +1 and one for -1.  Source, line and neuron resistance are
solved exactly.  Correction: every row raised so that the mean voltage behind its driver is restored,
and a dummy column whose ratio corrects all columns of its array.  Assumed: 10 and .1 uS, .1 V, arrays
of 128 rows, drivers of 500 ohm, neurons of 50 ohm.

    python neuron_correction.py [SET [TRAINING_IMAGES]]
"""

import sys

import numpy as np

from xbarsim.circuit.dummy_lines import CorrectedCrossbar, Parasitics
from xbarsim.models.image_checkpoint import network_of
from xbarsim.tasks.image_files import load_image_task
from xbarsim.training.fit import Schedule, train

ON = 10e-6  # S
OFF = 0.1e-6  # S
VOLTAGE = 0.1  # V
ROWS = 128
SOURCE_OHM = 500.0
NEURON_OHM = 50.0
WAYS = ("raw", "rows", "both")
task = load_image_task(sys.argv[1] if len(sys.argv) > 1 else "mnist").split()
training = task.training().limited(int(sys.argv[2]) if len(sys.argv) > 2 else 20_000)
tested = task.held_out().limited(2000)
CONTENT = {
    "model_type": "image-network",
    "image": [28, 28, 1],
    "weights": "binary",
    "steps": [
        {"kind": "dense", "name": "hidden", "outputs": 100},
        {"kind": "relu"},
        {"kind": "dense", "name": "last", "outputs": len(task.classes)},
    ],
}
trained = train(CONTENT, np.array(training.pixels()), training.targets, Schedule(epochs=4))
network = network_of(CONTENT, trained.tensors)
inputs = np.array(tested.pixels()) / 255


class Layer:
    """Binary weights (outputs, inputs) on arrays of ROWS rows."""

    def __init__(self, weight, bias, wire_ohm: float, typical) -> None:
        self.scale = np.abs(weight).max(axis=1)
        self.bias = bias
        signs = np.concatenate([weight > 0, weight < 0])
        cells = np.where(signs.T, ON, OFF)
        parasitics = Parasitics(SOURCE_OHM, wire_ohm, NEURON_OHM)
        self.arrays = []
        for start in range(0, len(cells), ROWS):
            rows = slice(start, start + ROWS)
            array = CorrectedCrossbar(cells[rows], parasitics, VOLTAGE * typical[rows])
            self.arrays.append((rows, array))

    def outputs(self, x, way: str):
        """(b, outputs), of inputs from 0 to `full`."""
        full = max(x.max(), 1e-9)
        currents = 0.0
        for rows, array in self.arrays:
            currents = currents + getattr(array.currents(VOLTAGE * x[:, rows] / full), way)
        plus, minus = np.split(currents, 2, axis=1)
        return (plus - minus) * full / (VOLTAGE * (ON - OFF)) * self.scale + self.bias

    def source_error(self, x, raised: bool) -> float:
        """Mean relative error of the voltage behind the drivers of rows that are driven."""
        rows, array = self.arrays[len(self.arrays) // 2]
        volts = VOLTAGE * x[:, rows]
        found = array.source_voltage(volts * array.row_gain if raised else volts)
        driven = volts > 0.05 * VOLTAGE
        return float(np.mean(np.abs(found[driven] / volts[driven] - 1)))


hidden_weight, hidden_bias = network.matrix("layer.0.dense")
last_weight, last_bias = network.matrix("layer.1.dense")
hidden = np.maximum(inputs @ hidden_weight.T + hidden_bias, 0)
exact = hidden @ last_weight.T + last_bias
print(f"ideal: {np.mean(exact.argmax(1) == tested.targets):.4f}")
for ohm in (0.5, 1.0, 2.0, 4.0):
    first = Layer(hidden_weight, hidden_bias, ohm, inputs.mean(axis=0))
    second = Layer(last_weight, last_bias, ohm, hidden.mean(axis=0) / hidden.max())
    errors = [first.source_error(inputs, raised) for raised in (False, True)]
    print(f"{ohm:g} ohm, error of source voltages: {errors[0]:.4f}, rows raised {errors[1]:.4f}")
    for way in WAYS:
        values = first.outputs(inputs, way)
        wanted = inputs @ hidden_weight.T + hidden_bias
        error = np.sqrt(np.mean((values - wanted) ** 2) / np.mean(wanted**2))
        found = second.outputs(np.maximum(values, 0), way)
        right = np.mean(found.argmax(1) == tested.targets)
        print(f"{ohm:g} ohm, {way}: error of outputs {error:.4f}, accuracy {right:.4f}")
