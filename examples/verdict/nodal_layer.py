"""A layer of a language model through its wires twice: by xbarsim's transfer matrices, and by Kirchhoff's
equations of every node of every tile, put together here and solved by SciPy.

    python examples/verdict/nodal_layer.py smollm2-135m-instruct 0 256 5.0

prints what the wires change and how far the two ways are apart, for every matrix and for the states after the
layer.  The second shares no code with the first but the conductances, and its errors travel through the layer, too.
A tile of 256 x 256 cells has 131,072 nodes and takes some seconds; layer 0 of SmolLM2-135M has 156 of them.
"""

import sys

import numpy as np
import scipy.sparse
import scipy.sparse.linalg

import xbarsim
from xbarsim.base import fetch
from xbarsim.models.architectures import load_network
from xbarsim.models.graph import Kind

SENTENCE = (
    "The wires of a crossbar take a part of every voltage, and the far corner of a tile sees least."
)


def node_equations(conductance, resistance):
    """Conductance matrix of all nodes, word lines first, and what drives them, for one tile.

    conductance : (m, n) S; cell (i, j) lies between word-line node (i, j) and bit-line node (i, j)
    resistance : ohm of a segment; word lines are driven at j = 0, bit lines sensed at i = m - 1
    """
    rows, columns = conductance.shape
    word = np.arange(rows * columns).reshape(rows, columns)
    bit = word + rows * columns
    segment = 1 / resistance
    first, second, values = [], [], []

    def connect(one, other, value):
        first.extend([one.ravel(), other.ravel(), one.ravel(), other.ravel()])
        second.extend([one.ravel(), other.ravel(), other.ravel(), one.ravel()])
        value = np.broadcast_to(value, one.shape).ravel()
        values.extend([value, value, -value, -value])

    connect(word, bit, conductance)
    connect(word[:, :-1], word[:, 1:], segment)
    connect(bit[:-1], bit[1:], segment)
    ends = np.concatenate([word[:, 0], bit[-1]])  # to the driver, to the sense amplifier at 0 V
    first.append(ends)
    second.append(ends)
    values.append(np.full(ends.size, segment))
    places = (np.concatenate(first), np.concatenate(second))
    size = 2 * rows * columns
    matrix = scipy.sparse.csc_matrix((np.concatenate(values), places), (size, size))
    return matrix, word[:, 0], bit[-1]


def tile_currents(conductance, resistance, voltage):
    """Currents into the sense amplifiers, (b, n) A, of voltages (b, m) V on the word lines."""
    matrix, driven, sensed = node_equations(conductance, resistance)
    source = np.zeros((matrix.shape[0], len(voltage)))
    source[driven] = voltage.T / resistance
    potential = scipy.sparse.linalg.splu(matrix).solve(source)
    return potential[sensed].T / resistance


def nodal_product(matrix, weight, inputs, resistance):
    """The product of the weights with inputs (b, k) as the nodes of all tiles have it, (b, outputs)."""
    tiles = matrix.conductances  # (row blocks, column blocks, 2, word lines, bit lines)
    row_blocks, column_blocks, _, lines, width = tiles.shape
    padded = np.zeros((len(inputs), row_blocks * lines))
    padded[:, : inputs.shape[1]] = inputs
    total = np.zeros((len(inputs), column_blocks * width))
    for row in range(row_blocks):
        voltage = padded[:, row * lines : (row + 1) * lines]
        for column in range(column_blocks):
            positive, negative = (
                tile_currents(tile, resistance, voltage) for tile in tiles[row, column]
            )
            total[:, column * width : (column + 1) * width] += positive - negative
    pairs = tiles[:, :, 0] - tiles[:, :, 1]
    written = pairs.transpose(0, 2, 1, 3).reshape(row_blocks * lines, -1).T
    written = written[: weight.shape[0], : weight.shape[1]]
    siemens_per_weight = np.vdot(written, weight) / np.vdot(weight, weight)
    return total[:, : weight.shape[0]] / siemens_per_weight


def relative(difference, reference):
    """Root of the mean square of a difference over that of its reference."""
    return float(np.sqrt(np.mean(difference**2) / np.mean(reference**2)))


def wires_alone(size, resistance):
    """A study of tiles whose wires are all that is not ideal, without a digital gain."""
    return {
        "device": {"name": "ideal"},
        "mapping": {
            "word_lines": size,
            "bit_lines": size,
            "clip": "maximum",
            "scale": "matrix",
            "gain": "none",
        },
        "wires": {
            "word_line_resistance_ohm": resistance,
            "bit_line_resistance_ohm": resistance,
        },
        "effects": {"converters": False, "read_noise": False, "programming": False},
    }


def compare(weight, inputs, size, resistance):
    """Loss of the wires by transfer matrices, and the distance of the two ways, both relative."""
    study = wires_alone(size, resistance)
    matrix = xbarsim.AnalogMatrix(weight, study, samples=inputs, seed=1)
    simulated = matrix.multiply(inputs).output
    nodal = nodal_product(matrix, weight, inputs, resistance)
    exact = inputs @ weight.T
    return relative(simulated - exact, exact), relative(simulated - nodal, nodal)


class Pass:
    """The hook of a forward pass that keeps what a layer's matrices take in and give, and the states
    after the layer; its subclasses put other products in the place of float32's.
    """

    def __init__(self, layer):
        self.layer = layer
        self.inputs = {}
        self.outputs = {}
        self.states = None

    def product(self, name, x, weight):
        return x @ weight.T

    def __call__(self, step, reference, *operands, rows):
        if step.layer == self.layer and step.kind is Kind.MATRIX:
            x, weight, bias = operands
            found = (self.product(step.name, x, weight) + bias).astype(np.float32)
            self.inputs[step.name] = x
            self.outputs[step.name] = found
            return found
        if self.states is None and step.layer != self.layer and self.outputs:
            self.states = operands[0]  # the first norm after the layer reads them
        return reference(*operands)


class TransferPass(Pass):
    """The layer by xbarsim's transfer matrices; `samples` are its inputs in float32."""

    def __init__(self, layer, samples, size, resistance):
        super().__init__(layer)
        self.samples = samples
        self.study = wires_alone(size, resistance)
        self.matrices = {}

    def product(self, name, x, weight):
        samples = self.samples[name]
        matrix = xbarsim.AnalogMatrix(weight, self.study, samples=samples, seed=1)
        self.matrices[name] = matrix
        return matrix.multiply(x).output


class NodalPass(Pass):
    """The layer by the equations of all nodes of the cells of `matrices`."""

    def __init__(self, layer, matrices, resistance):
        super().__init__(layer)
        self.matrices = matrices
        self.resistance = resistance

    def product(self, name, x, weight):
        weight = np.asarray(weight, float)
        return nodal_product(self.matrices[name], weight, np.asarray(x, float), self.resistance)


def compare_layer(model, tokens, layer, size, resistance):
    """(name, loss of the wires, distance of the two ways) of every matrix of a layer and, as
    "states", of what the layer makes of the tokens (1, s).
    """
    mask = np.ones_like(tokens)
    exact = Pass(layer)
    model.forward(tokens, mask, exact)
    transfer = TransferPass(layer, exact.inputs, size, resistance)
    model.forward(tokens, mask, transfer)
    nodal = NodalPass(layer, transfer.matrices, resistance)
    model.forward(tokens, mask, nodal)

    def row(name, float32, simulated, nodes):
        return name, relative(simulated - float32, float32), relative(simulated - nodes, nodes)

    rows = [
        row(name, exact.outputs[name], transfer.outputs[name], nodal.outputs[name])
        for name in exact.outputs
    ]
    return [*rows, row("states", exact.states, transfer.states, nodal.states)]


def main(model="smollm2-135m-instruct", layer="0", size="256", resistance="5.0"):
    """The first tokens of a sentence through one layer."""
    network = load_network(fetch.locate(model, "model"))
    tokens = np.array([network.tokenizer.encode(SENTENCE).ids])
    print(f"{model}, layer {layer}, tiles of {size} x {size}, {resistance} ohm per segment")
    print(f"{'':28}wires change  transfer matrices against all nodes")
    rows = compare_layer(network.model, tokens, int(layer), int(size), float(resistance))
    for name, loss, distance in rows:
        print(f"{name:28}{loss:12.4f}  {distance:.1e}")


if __name__ == "__main__":
    main(*sys.argv[1:])
