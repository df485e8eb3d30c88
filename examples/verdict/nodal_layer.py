"""One weight matrix of a language model through its wires twice: by xbarsim's transfer matrices, and by Kirchhoff's
equations of every node of every tile, put together here and solved by SciPy.

    python examples/verdict/nodal_layer.py smollm2-135m-instruct layer.0.query 256 5.0

prints the loss of the wires and how far the two ways are apart.  The second shares no code with the first but the
conductances.  A tile of 256 x 256 cells has 131,072 nodes and takes some seconds.
"""

import sys

import numpy as np
import scipy.sparse
import scipy.sparse.linalg

import xbarsim
from xbarsim.base import fetch
from xbarsim.models.architectures import load_network


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


def compare(weight, inputs, size, resistance):
    """Loss of the wires by transfer matrices, and the distance of the two ways, both relative."""
    study = {
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
    matrix = xbarsim.AnalogMatrix(weight, study, samples=inputs, seed=1)
    simulated = matrix.multiply(inputs).output
    nodal = nodal_product(matrix, weight, inputs, resistance)
    exact = inputs @ weight.T
    return relative(simulated - exact, exact), relative(simulated - nodal, nodal)


def main(model="smollm2-135m-instruct", step="layer.0.query", size="256", resistance="5.0"):
    """Weights of a model, normally distributed inputs."""
    network = load_network(fetch.locate(model, "model"))
    weight, _ = network.model.matrix(step)
    inputs = np.random.default_rng(0).standard_normal((16, weight.shape[1]))
    loss, distance = compare(np.asarray(weight, float), inputs, int(size), float(resistance))
    print(f"wires, {step} of {model}, {size} x {size}, {resistance} ohm: loss {loss:.4f}")
    print(f"transfer matrices against all nodes: {distance:.1e}")


if __name__ == "__main__":
    main(*sys.argv[1:])
