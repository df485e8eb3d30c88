"""Inputs and outputs in an order of their own; binary cells in parallel at a crosspoint."""

import itertools

import numpy as np
import pytest
from reference import dense_transfer

from xbarsim import AnalogMatrix, load_device
from xbarsim.arrays.in_situ.crosspoints import shares_of
from xbarsim.arrays.in_situ.defect_map import defects_of_outputs
from xbarsim.arrays.in_situ.layout import layout_of
from xbarsim.arrays.in_situ.line_order import LineOrder
from xbarsim.base.errors import ConfigError
from xbarsim.config.arrays import Mapping
from xbarsim.devices.streams import Streams

RNG = np.random.default_rng(0)
WEIGHT = RNG.standard_t(3, (6, 10))
X = RNG.standard_normal((40, 10))
QUIET = {"programming": False, "read_noise": False, "converters": False}
SMALL = {"word_lines": 4, "bit_lines": 4}
DEFECTIVE = """
description = "stuck bit lines"
[read]
voltage_v = 0.2
source = "t"
[conductance]
minimum_us = 1.0
maximum_us = 40.0
valid_range_us = [0.0, 40.0]
source = "t"
[stuck]
off_rate = 0.02
bit_line_off_rate = 0.25
source = "t"
"""


def matrix(mapping, wires=0.0, device="ideal", effects=QUIET, **keys):
    study = {
        "device": {"name": str(device)},
        "mapping": SMALL | mapping,
        "wires": {"word_line_resistance_ohm": wires, "bit_line_resistance_ohm": wires},
        "effects": effects,
    }
    return AnalogMatrix(WEIGHT, study, samples=X, seed=3, **keys)


@pytest.mark.parametrize("order", [{"row_order": "magnitude"}, {"column_order": "magnitude"}])
@pytest.mark.parametrize("placement", ["twin", "neighbour"])
def test_an_order_changes_nothing_where_lines_are_alike(order, placement):
    plain = matrix({"placement": placement}).multiply(X).output
    found = matrix({"placement": placement} | order).multiply(X).output
    np.testing.assert_allclose(found, plain, rtol=1e-4, atol=1e-5)


def test_large_weights_lie_next_to_the_sense_amplifiers_and_the_drivers():
    order = LineOrder.of(
        WEIGHT,
        np.ones(10),
        Mapping(**SMALL, row_order="magnitude", column_order="magnitude"),
        load_device("ideal"),
        Streams(0, 0),
    )
    of_inputs = (WEIGHT**2).sum(axis=0)
    largest = set(np.argsort(-of_inputs)[:2])
    assert {order.inputs[3], order.inputs[7]} == largest  # the last rows of the two whole blocks
    of_outputs = (WEIGHT**2).sum(axis=1)
    assert {order.outputs[0], order.outputs[4]} == set(np.argsort(-of_outputs)[:2])
    assert sorted(order.inputs) == list(range(10))
    assert sorted(order.outputs) == list(range(6))


def test_products_against_the_dense_circuit_of_rows_in_that_order():
    ohm = 300.0
    mapping = {"row_order": "magnitude", "gain": "none", "word_lines": 10, "bit_lines": 6}
    found = matrix(mapping, wires=ohm)
    order = np.argsort((WEIGHT**2).sum(axis=0))  # ascending towards the sense amplifiers
    wires = np.full((10, 6), ohm)
    plus, minus = (dense_transfer(tile, wires, wires) for tile in found.conductances[0, 0])
    transfer = found.array.programmed.value[0][:, None] * (plus - minus)
    expected = X[:, order] @ transfer.T
    np.testing.assert_allclose(found.multiply(X).output, expected, rtol=1e-4, atol=1e-4)


def test_less_is_lost_in_wires_with_large_weights_near():
    exact = X @ WEIGHT.T

    def error(mapping):
        output = matrix(mapping | {"gain": "none", "word_lines": 10, "bit_lines": 6}, wires=400.0)
        return np.linalg.norm(output.multiply(X).output - exact)

    plain = error({})
    assert error({"row_order": "magnitude"}) < 0.95 * plain
    assert error({"row_order": "magnitude", "column_order": "magnitude"}) < 0.93 * plain


def test_small_outputs_lie_on_the_bit_lines_with_defects(tmp_path):
    path = tmp_path / "defects.toml"
    path.write_text(DEFECTIVE)
    device = load_device(path)
    mapping = Mapping(word_lines=4, bit_lines=4, column_order="defects")
    layout = layout_of(10, 6, mapping)
    order = LineOrder.of(WEIGHT, np.ones(10), mapping, device, Streams(3, 0))
    defects = defects_of_outputs(layout, mapping, device, Streams(3, 0))
    assert defects.max() > defects.min()
    size = (WEIGHT**2).sum(axis=1)[order.outputs]
    best = np.argsort(defects, kind="stable")
    assert (np.diff(size[best]) <= 0).all()


def test_the_defects_are_those_that_the_write_finds(tmp_path):
    path = tmp_path / "defects.toml"
    path.write_text(DEFECTIVE)
    device = load_device(path)
    effects = QUIET | {"programming": True}
    ones = {"clip": "maximum", "scale": "matrix", "bit_lines": 8}
    tiles = matrix(ones, device=path, effects=effects).conductances  # (3, 1, 2, 4, 8)
    wanted = matrix(ones, device=path, effects=QUIET).conductances
    mapping = Mapping(word_lines=4, bit_lines=8)
    layout = layout_of(10, 6, mapping)
    differs = tiles != wanted
    moved = differs[:, 0, :, :, :6].sum(axis=(0, 1, 2))
    defects = defects_of_outputs(layout, mapping, device, Streams(3, 0))
    assert (defects >= moved - 2 * 2).all()  # two rows of the last block are not used
    assert np.corrcoef(defects, moved)[0, 1] > 0.8


def test_outputs_that_matter_are_spared_on_average(tmp_path):
    path = tmp_path / "defects.toml"
    path.write_text(DEFECTIVE)
    weight = RNG.standard_normal((12, 10)) * np.geomspace(0.1, 3, 12)[:, None]
    x = RNG.standard_normal((60, 10))
    errors = []
    for seed in range(12):
        of_seed = []
        for way in ("none", "defects"):
            mapping = SMALL | {"bit_lines": 16, "column_order": way}
            study = {"device": {"name": str(path)}, "mapping": mapping, "effects": {"wires": False}}
            output = AnalogMatrix(weight, study, samples=x, seed=seed).multiply(x).output
            of_seed.append(np.linalg.norm(output - x @ weight.T))
        errors.append(of_seed)
    plain, ordered = np.mean(errors, axis=0)
    assert ordered < 0.7 * plain


@pytest.mark.parametrize("placement", ["twin", "neighbour"])
@pytest.mark.parametrize(
    "encoding",
    [
        {"clip": "maximum"},
        {"encoding": "slices", "weight_bits": 5, "clip": "maximum"},
        {"encoding": "slices", "weight_bits": 5, "clip": "maximum", "crosspoint": "weighted"},
        {"encoding": "binary", "sign": "offset"},
    ],
    ids=["amplitude", "slices", "weighted", "binary"],
)
def test_outputs_are_assigned_as_the_best_of_all_orders(tmp_path, placement, encoding):
    """Against every order, each written and multiplied: one input at a time, as they are
    independent."""
    path = tmp_path / "defects.toml"
    path.write_text(DEFECTIVE.replace("bit_line_off_rate = 0.25", "on_rate = 0.06"))
    weight = RNG.standard_normal((4, 7)) * np.array([[0.2], [1.0], [3.0], [0.5]])
    one_by_one = np.diag(np.geomspace(0.1, 5.0, 7))
    lines = {"word_lines": 4, "bit_lines": 8, "placement": placement, "gain": "none"}

    def error(order, **keys):
        study = {
            "device": {"name": str(path)},
            "mapping": lines | encoding | keys,
            "effects": {"wires": False, "converters": False, "read_noise": False},
        }
        of_order = AnalogMatrix(weight[order], study, samples=one_by_one, seed=5)
        exact = AnalogMatrix(
            weight[order],
            study | {"effects": study["effects"] | {"programming": False}},
            samples=one_by_one,
            seed=5,
        )
        difference = of_order.multiply(one_by_one).output - exact.multiply(one_by_one).output
        return float((difference**2).sum())

    of_all = [error(list(order)) for order in itertools.permutations(range(4))]
    assert max(of_all) > 1.5 * min(of_all)
    found = error([0, 1, 2, 3], column_order="assigned")
    assert found == pytest.approx(min(of_all), rel=1e-4, abs=1e-6 * max(of_all))


def test_crosspoints_of_exact_cells_hold_the_digits_of_one_cell():
    slices = {"encoding": "slices", "weight_bits": 7, "bits_per_cell": 3}
    plain = matrix(slices).multiply(X).output
    found = matrix(slices | {"crosspoint": "weighted"}).multiply(X).output
    np.testing.assert_allclose(found, plain, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(shares_of(3), [1 / 7, 2 / 7, 4 / 7], rtol=1e-15, atol=0)


def test_errors_of_cells_in_parallel_add_as_their_squares(tmp_path):
    """Of 3 cells with relative errors of s each: sqrt(1 + 4 + 16) / 7 of s where all are on."""
    path = tmp_path / "spread.toml"
    path.write_text(
        DEFECTIVE.replace(
            "[stuck]\noff_rate = 0.02\nbit_line_off_rate = 0.25",
            "[spread]\ndevice_to_device_relative_sigma = 0.05",
        )
    )
    effects = {"programming": True, "read_noise": False, "converters": False}
    study = {
        "device": {"name": str(path)},
        "mapping": {
            "encoding": "slices",
            "weight_bits": 4,
            "bits_per_cell": 3,
            "crosspoint": "weighted",
            "clip": "maximum",
        },
        "wires": {"word_line_resistance_ohm": 0.0, "bit_line_resistance_ohm": 0.0},
        "effects": effects,
    }
    ones = np.ones((100, 100))
    tiles = AnalogMatrix(ones, study, samples=ones, seed=1).conductances
    cells = tiles[0, 0, 0, :100, :100] / 40e-6
    assert cells.std() == pytest.approx(0.05 * np.sqrt(21) / 7, rel=0.03)


def test_what_does_not_go_together_is_refused():
    with pytest.raises(ConfigError, match="holds digits"):
        matrix({"crosspoint": "weighted"})
    with pytest.raises(ConfigError, match="on or off"):
        matrix({"crosspoint": "weighted", "encoding": "slices", "compensation": "wires"})
    with pytest.raises(ConfigError, match="follows the stuck cells"):
        matrix({"column_order": "defects", "conductances": "somewhere"})
    with pytest.raises(ConfigError, match="one line an input"):
        signs = {"encoding": "binary", "sign": "offset", "array": "twin"}
        matrix(signs | {"column_order": "assigned"})
