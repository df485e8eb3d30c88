"""A whole matrix on several tiles against Kirchhoff's equations of all their nodes (examples/verdict)."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from tests.tiny_decoders import make_tiny_decoder
from xbarsim.models.architectures import load_network

SCRIPT = Path(__file__).parents[2] / "examples" / "verdict" / "nodal_layer.py"


@pytest.fixture(scope="module")
def nodal_layer():
    specification = importlib.util.spec_from_file_location("nodal_layer", SCRIPT)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.mark.parametrize(("resistance", "loss"), [(5.0, (0.002, 0.01)), (500.0, (0.2, 0.5))])
def test_products_are_those_of_all_nodes(nodal_layer, resistance, loss):
    generator = np.random.default_rng(3)
    weight = generator.standard_t(5, (20, 40))  # two by three tiles of 16 x 16, not filled
    inputs = generator.standard_normal((4, 40))
    of_wires, between_ways = nodal_layer.compare(weight, inputs, 16, resistance)
    assert loss[0] < of_wires < loss[1]
    assert between_ways < 3e-7  # products are float32


def test_node_equations_are_ohms_law_of_one_cell(nodal_layer):
    current = nodal_layer.tile_currents(np.array([[1e-4]]), 1000.0, np.array([[0.2]]))
    np.testing.assert_allclose(current, 0.2 / (1e4 + 2 * 1000.0), rtol=1e-12)


def test_a_layer_by_all_nodes_is_that_of_transfer_matrices(nodal_layer, tmp_path):
    make_tiny_decoder(tmp_path / "decoder", "llama")
    model = load_network(tmp_path / "decoder").model
    tokens = np.array([[3, 1, 4, 1, 5, 9]])
    rows = nodal_layer.compare_layer(model, tokens, 1, 16, 100.0)
    assert {name for name, _, _ in rows} == {
        "layer.1.query",
        "layer.1.key",
        "layer.1.value",
        "layer.1.attention_output",
        "layer.1.gate",
        "layer.1.intermediate",
        "layer.1.output",
        "states",
    }
    for _, of_wires, between_ways in rows:
        assert 0.005 < of_wires < 0.9
        assert between_ways < 1e-6
