"""Binary and ternary weights; single, complementary and twin arrays of binary cells."""

import numpy as np
import pytest
from reference import dense_transfer

from xbarsim import AnalogMatrix
from xbarsim.arrays.in_situ.layout import layout_of
from xbarsim.base.errors import ConfigError
from xbarsim.config.arrays import Mapping
from xbarsim.config.study import validate

RNG = np.random.default_rng(0)
SIGNS = RNG.choice([-1.0, 1.0], (6, 10)) * RNG.uniform(0.5, 2.0, (6, 1))
POSITIVE = np.abs(RNG.standard_normal((50, 10)))
SIGNED = RNG.standard_normal((50, 10))
QUIET = {"programming": False, "read_noise": False}
SINGLE = {"encoding": "binary", "sign": "offset"}
ARRAYS = {
    "pair": {"encoding": "binary"},
    "single": SINGLE,
    "complementary": SINGLE | {"array": "complementary"},
    "twin": SINGLE | {"array": "twin"},
}
LOW, HIGH = 1e-6, 40e-6
CELLS = """
description = "two states"
[read]
voltage_v = 0.2
source = "t"
[conductance]
minimum_us = 1.0
maximum_us = 40.0
valid_range_us = [0.0, 40.0]
source = "t"
"""


@pytest.fixture(scope="module")
def device(tmp_path_factory):
    path = tmp_path_factory.mktemp("cells") / "cells.toml"
    path.write_text(CELLS)
    return str(path)


def matrix(device, mapping, samples, weight=SIGNS, ohm=0.0, exact=True, **tables):
    study = {
        "device": {"name": device},
        "mapping": {"word_lines": 8, "bit_lines": 4} | mapping,
        "wires": {"word_line_resistance_ohm": ohm, "bit_line_resistance_ohm": ohm},
        "effects": QUIET | {"converters": not exact},
    }
    return AnalogMatrix(weight, study | tables, samples=samples, seed=3)


@pytest.mark.parametrize("array", ARRAYS)
@pytest.mark.parametrize("x", [POSITIVE, SIGNED], ids=["positive", "signed"])
@pytest.mark.parametrize("polarity", ["signed", "two_phase"])
def test_exact_cells_multiply_exactly(device, array, x, polarity):
    found = matrix(device, ARRAYS[array], x, dac={"polarity": polarity})
    assert found.shape == (6, 10)
    np.testing.assert_allclose(found.multiply(x).output, x @ SIGNS.T, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("array", ARRAYS)
@pytest.mark.parametrize("encoding", ["amplitude", "bit_serial"])
def test_converters_of_many_bits_are_nearly_exact(device, array, encoding):
    dac = {"bits": 10, "range": "maximum", "encoding": encoding}
    adc = {"bits": 12, "range": "maximum"}
    for x in (POSITIVE, SIGNED):
        found = matrix(device, ARRAYS[array], x, exact=False, dac=dac, adc=adc)
        error = found.multiply(x).output - x @ SIGNS.T
        assert np.abs(error).max() < 0.1


def test_cells_hold_signs_and_their_complements(device):
    on = SIGNS.T > 0
    single = matrix(device, SINGLE, POSITIVE).conductances[:, 0, 0, :, :4]
    lines = single.reshape(-1, 4)[:10]
    np.testing.assert_allclose(lines, np.where(on[:, :4], HIGH, LOW), rtol=1e-12)
    for array, second in (("complementary", ~on), ("twin", on)):
        tiles = matrix(device, ARRAYS[array], POSITIVE).conductances[:, 0, 0, :, :4]
        both = tiles.reshape(-1, 4)[:20]
        np.testing.assert_allclose(both[::2], np.where(on[:, :4], HIGH, LOW), rtol=1e-12)
        np.testing.assert_allclose(both[1::2], np.where(second[:, :4], HIGH, LOW), rtol=1e-12)


@pytest.mark.parametrize("array", ["complementary", "twin"])
@pytest.mark.parametrize("x", [POSITIVE, SIGNED], ids=["positive", "signed"])
def test_products_behind_wires_against_the_dense_circuit(device, array, x):
    """The currents of lines at u and its complement, by stamping, and the sum that is known."""
    ohm = 300.0
    mapping = ARRAYS[array] | {"word_lines": 20, "bit_lines": 6, "gain": "none"}
    found = matrix(device, mapping, x, ohm=ohm)
    wires = np.full((20, 6), ohm)
    transfer = dense_transfer(found.conductances[0, 0, 0], wires, wires)  # (6, 20) A/V
    highest = np.abs(x).max()
    lowest = 0.0 if x.min() >= 0 else -highest
    first = x - lowest
    second = (highest - x) * (1 if array == "complementary" else -1)
    lines = np.stack([first, second], axis=2).reshape(len(x), 20)
    current = lines @ transfer.T
    scale = np.abs(SIGNS[:, 0])
    counted = (current - LOW * lines.sum(axis=1, keepdims=True)) / (HIGH - LOW)
    of_lines = scale * (counted - lines.sum(axis=1, keepdims=True) / 2)
    expected = of_lines + (lowest + highest) / 2 * SIGNS.sum(axis=1)
    np.testing.assert_allclose(found.multiply(x).output, expected, rtol=1e-4, atol=2e-4)


def test_complementary_currents_count_equal_pixels(device):
    """Binary images: exclusive-nors, cell by cell, in units of a cell that conducts."""
    pixels = RNG.integers(0, 2, (30, 10)).astype(float)
    pixels[0] = 1.0
    stored = RNG.integers(0, 2, (6, 10))
    mapping = ARRAYS["complementary"] | {"word_lines": 20, "bit_lines": 6, "gain": "none"}
    found = matrix(device, mapping, pixels, weight=2.0 * stored - 1)
    cells = found.conductances[0, 0, 0]
    lines = np.stack([pixels, 1 - pixels], axis=2).reshape(30, 20)
    equal = (pixels[:, None, :] == stored[None]).sum(axis=2)
    np.testing.assert_allclose(lines @ cells, HIGH * equal + LOW * (10 - equal), rtol=1e-12)
    # equal pixels are the product with +1 and -1, and the pixels that are off in the stored image
    matches = found.multiply(pixels).output + (stored == 0).sum(axis=1)
    np.testing.assert_allclose(matches, equal, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("scale", ["column", "matrix"])
def test_the_scale_of_binary_weights_is_least_squares(device, scale):
    weight = RNG.standard_normal((6, 10))
    held = matrix(device, {"encoding": "binary", "scale": scale}, SIGNED, weight=weight)
    intended = held.array.programmed.intended_weight
    np.testing.assert_array_equal(np.sign(intended), np.sign(weight))
    candidates = np.linspace(0.1, 2.0, 1901)
    errors = ((np.abs(weight)[None] - candidates[:, None, None]) ** 2).sum(axis=2)
    if scale == "matrix":
        errors = np.repeat(errors.sum(axis=1, keepdims=True), 6, axis=1)
    best = candidates[errors.argmin(axis=0)]
    np.testing.assert_allclose(np.abs(intended[:, 0]), best, atol=6e-4)


def test_ternary_weights_are_met_and_others_rounded_to_the_nearest(device):
    weight = RNG.choice([-1.0, 0.0, 1.0], (6, 10)) * RNG.uniform(0.5, 2.0, (6, 1))
    exact = matrix(device, {"encoding": "ternary"}, SIGNED, weight=weight)
    np.testing.assert_allclose(
        exact.multiply(SIGNED).output, SIGNED @ weight.T, rtol=1e-4, atol=1e-4
    )
    tiles = exact.conductances[:, 0]  # (row blocks, signs, word lines, bit lines)
    positive, negative = (tiles[:, sign].reshape(-1, 4)[:10] for sign in (0, 1))
    zero = weight[:4].T == 0
    np.testing.assert_array_equal(positive[zero], LOW)
    np.testing.assert_array_equal(negative[zero], LOW)
    other = RNG.standard_normal((6, 10))
    held = matrix(device, {"encoding": "ternary"}, SIGNED, weight=other)
    intended = held.array.programmed.intended_weight
    step = np.abs(intended).max(axis=1, keepdims=True)
    nearest = np.clip(np.round(other / step), -1, 1) * step
    np.testing.assert_allclose(intended, nearest, rtol=1e-9, atol=1e-12)


def test_a_pair_may_hold_a_binary_weight_of_0_and_one_cell_may_not(device):
    weight = SIGNS.copy()
    weight[0, :3] = 0.0
    pair = matrix(device, ARRAYS["pair"], SIGNED, weight=weight)
    np.testing.assert_allclose(
        pair.multiply(SIGNED).output, SIGNED @ weight.T, rtol=1e-4, atol=1e-4
    )
    with pytest.raises(ConfigError, match="3 of 60 weights are 0"):
        matrix(device, SINGLE, SIGNED, weight=weight)


def test_two_lines_of_an_input_are_counted(device):
    single = matrix(device, SINGLE, POSITIVE)
    double = matrix(device, ARRAYS["complementary"], POSITIVE)
    assert double.array.events_per_row.dac_drives == 2 * single.array.events_per_row.dac_drives
    assert layout_of(10, 6, Mapping(word_lines=8, **SINGLE)).row_blocks == 2
    assert layout_of(10, 6, Mapping(word_lines=8, **ARRAYS["twin"])).row_blocks == 3
    beyond = np.full((1, 10), 10.0)
    assert double.multiply(beyond).dac_saturations[0] == 10


def test_rows_in_an_order_of_their_own_drive_both_lines(device):
    mapping = {"row_order": "magnitude", "column_order": "magnitude"}
    for array in ("complementary", "twin"):
        found = matrix(device, ARRAYS[array] | mapping, SIGNED)
        np.testing.assert_allclose(
            found.multiply(SIGNED).output, SIGNED @ SIGNS.T, rtol=1e-4, atol=1e-4
        )


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ({"mapping": {"encoding": "ternary", "sign": "offset"}}, '"slices" or "binary"'),
        ({"mapping": {"array": "twin"}}, 'allowed with mapping.encoding = "binary"'),
        ({"mapping": {"encoding": "binary", "array": "twin"}}, 'sign = "offset"'),
        ({"mapping": {"encoding": "binary", "compensation": "wires"}}, "on or off"),
        ({"mapping": ARRAYS["twin"] | {"conductances": "x"}}, "no place in the files"),
        ({"mapping": ARRAYS["twin"] | {"scale_shift": 0.5}}, "one full scale"),
        ({"mapping": ARRAYS["twin"], "dac": {"scaling": "token"}}, "one full scale"),
        ({"mapping": ARRAYS["twin"], "dac": {"bits": 1}}, "never negative"),
        (
            {"mapping": {"array": "twin"} | SINGLE, "training": {"hardware_aware": True}},
            "one word line an input",
        ),
        ({"mapping": {"row_order": "magnitude"}, "training": {}}, "in their own order"),
    ],
)
def test_what_does_not_go_together_is_refused(tables, message):
    with pytest.raises(ConfigError, match=message):
        validate(tables, "study")
