"""Raised rows and dummy columns of a study, against dense circuits and closed forms."""

import numpy as np
import pytest
from reference import dense_solve, dense_transfer

from xbarsim import AnalogMatrix
from xbarsim.base.errors import ConfigError
from xbarsim.config.study import validate
from xbarsim.devices.presets import load_device

RNG = np.random.default_rng(1)
WEIGHT = RNG.standard_t(4, (6, 10))
X = RNG.standard_normal((40, 10)) * np.geomspace(0.2, 2, 40)[:, None]
QUIET = {"programming": False, "read_noise": False, "converters": False}
WIRES = {
    "word_line_resistance_ohm": 120.0,
    "bit_line_resistance_ohm": 80.0,
    "source_resistance_ohm": 900.0,
    "sense_resistance_ohm": 400.0,
}
TWO_PHASE = {"polarity": "two_phase"}
WHOLE = {"word_lines": 10, "bit_lines": 6, "gain": "none"}
NOISY = """
description = "spread and read noise"
[read]
voltage_v = 0.2
source = "t"
[conductance]
minimum_us = 1.0
maximum_us = 40.0
valid_range_us = [0.0, 40.0]
source = "t"
[spread]
device_to_device_relative_sigma = 0.2
source = "t"
[read_noise]
relative_sigma = 0.05
source = "t"
"""


def matrix(correction, mapping=WHOLE, dac=TWO_PHASE, effects=QUIET, wires=WIRES, x=X, **tables):
    study = {
        "device": {"name": "ideal"},
        "mapping": mapping,
        "wires": wires,
        "dac": dac,
        "effects": effects,
        "correction": correction,
    }
    return AnalogMatrix(WEIGHT, study | tables, samples=x, seed=3)


def segments(shape):
    """(word, bit) ohm of the segments of a tile of WIRES."""
    word = np.full(shape, WIRES["word_line_resistance_ohm"])
    bit = np.full(shape, WIRES["bit_line_resistance_ohm"])
    word[:, 0] += WIRES["source_resistance_ohm"]
    bit[-1] += WIRES["sense_resistance_ohm"]
    return word, bit


def drawn_by(cells):
    """(m, m) A/V: currents of the drivers, of the dense circuit, one of them at 1 V at a time."""
    word, bit = segments(cells.shape)
    found = []
    for volts in np.eye(len(cells)):
        nodes = dense_solve(cells, word, bit, volts)[0]
        found.append((volts - nodes[:, 0]) / word[:, 0])
    return np.array(found).T


@pytest.mark.parametrize("place", ["end", "middle"])
@pytest.mark.parametrize("dummy_us", [None, 7.0])
def test_dummy_columns_against_the_dense_circuit(place, dummy_us):
    correction = {"columns": "dummy", "dummy_place": place}
    if dummy_us is not None:
        correction["dummy_us"] = dummy_us
    found = matrix(correction)
    tiles = found.conductances[0, 0]  # the positive and the negative cells
    target = tiles.mean() if dummy_us is None else dummy_us * 1e-6
    at = 6 if place == "end" else 3
    currents = []
    dummies = []
    for tile in tiles:
        cells = np.insert(tile, at, target, axis=1)
        transfer = dense_transfer(cells, *segments(cells.shape))
        dummies.append(transfer[at])
        currents.append(np.delete(transfer, at, axis=0))
    difference = currents[0] - currents[1]
    value = found.array.programmed.value[0]
    expected = np.zeros((len(X), 6))
    for sign in (1, -1):
        phase = np.maximum(sign * X, 0)
        scale = 2 * target * phase.sum(axis=1) / (phase @ (dummies[0] + dummies[1]))
        expected += sign * (phase @ difference.T) * scale[:, None] * value
    np.testing.assert_allclose(found.multiply(X).output, expected, rtol=1e-4, atol=1e-4)
    exact = np.linalg.norm(X @ WEIGHT.T)
    left = np.linalg.norm(found.multiply(X).output - X @ WEIGHT.T) / exact
    lost = np.linalg.norm(matrix({}).multiply(X).output - X @ WEIGHT.T) / exact
    assert left < 0.5 * lost


def test_raised_rows_against_the_dense_circuit():
    found = matrix({"rows": "raised"}, dac={})
    typical = np.sqrt((X**2).mean(axis=0))
    value = found.array.programmed.value[0]
    of_signs = []
    power = np.zeros((10, 10))
    for tile in found.conductances[0, 0]:
        drawn = drawn_by(tile)
        gain = typical / (typical - WIRES["source_resistance_ohm"] * (drawn @ typical))
        assert (gain > 1).all()
        of_signs.append(dense_transfer(tile, *segments(tile.shape)) * gain)
        power += gain[:, None] * drawn * gain
    expected = X @ ((of_signs[0] - of_signs[1]) * value[:, None]).T
    np.testing.assert_allclose(found.multiply(X).output, expected, rtol=1e-4, atol=1e-4)
    full_scale = found.array.coder.full_scale / found.array.coder.read_voltage
    volts = X / full_scale
    joules = np.einsum("bi,ij,bj->b", volts, power, volts) * 100e-9
    np.testing.assert_allclose(found.multiply(X).energy, joules, rtol=1e-4)


def test_rows_and_columns_together():
    both = matrix({"rows": "raised", "columns": "dummy"})
    errors = {
        name: np.linalg.norm(one.multiply(X).output - X @ WEIGHT.T)
        for name, one in (
            ("none", matrix({})),
            ("rows", matrix({"rows": "raised"})),
            ("both", both),
        )
    }
    assert errors["both"] < errors["rows"] < errors["none"]


@pytest.mark.parametrize("placement", ["twin", "neighbour"])
@pytest.mark.parametrize("encoding", ["amplitude", "slices"])
@pytest.mark.parametrize("subtraction", ["analog", "digital"])
def test_without_losses_nothing_is_changed(placement, encoding, subtraction):
    mapping = {
        "word_lines": 4,
        "bit_lines": 10,
        "placement": placement,
        "encoding": encoding,
        "subtraction": subtraction,
    }
    for effects in (QUIET, QUIET | {"converters": True}):
        found = matrix({"columns": "dummy"}, mapping, effects=effects | {"wires": False})
        plain = matrix({}, mapping, effects=effects | {"wires": False})
        wanted = plain.multiply(X).output
        limit = 0.02 if effects["converters"] else 1e-5
        assert np.abs(found.multiply(X).output - wanted).max() < limit * np.abs(wanted).max()


def test_equal_losses_of_neurons_are_made_up_for_exactly():
    """Cells all alike behind sense nodes alone: one gain is all that is needed (closed form)."""
    ones = np.ones((6, 10))
    wires = dict.fromkeys(WIRES, 0.0) | {"sense_resistance_ohm": 5e3}
    study = {
        "device": {"name": "ideal"},
        "mapping": WHOLE | {"clip": "maximum"},
        "wires": wires,
        "dac": TWO_PHASE,
        "effects": QUIET,
    }
    x = np.abs(X)
    high = float(load_device("ideal").conductance_max)
    found = AnalogMatrix(
        ones,
        study | {"correction": {"columns": "dummy", "dummy_us": high * 1e6}},
        samples=x,
        seed=1,
    )
    low = float(found.conductances[0, 0, 1, 0, 0])
    arrives = 1 / (1 + 5e3 * 10 * high)  # of the positive lines, and of the dummies
    of_negative = 1 / (1 + 5e3 * 10 * low)
    sums = x.sum(axis=1, keepdims=True) * np.ones(6)
    plain = AnalogMatrix(ones, study, samples=x, seed=1).multiply(x).output
    lost = (high * arrives - low * of_negative) / (high - low) * sums
    np.testing.assert_allclose(plain, lost, rtol=1e-4)
    expected = (high - low * of_negative / arrives) / (high - low) * sums
    np.testing.assert_allclose(found.multiply(x).output, expected, rtol=1e-4)


def test_gains_are_fitted_to_what_dummies_leave():
    fitted = matrix({"columns": "dummy"}, WHOLE | {"gain": "column"}).multiply(X).output
    plain = matrix({"columns": "dummy"}).multiply(X).output
    exact = X @ WEIGHT.T
    best = (exact * plain).sum(axis=0) / (plain**2).sum(axis=0)
    np.testing.assert_allclose(fitted, plain * best, rtol=2e-3, atol=2e-3)


def test_dummies_are_cells_and_reads_with_errors_of_their_own(tmp_path):
    path = tmp_path / "noisy.toml"
    path.write_text(NOISY)
    tables = {"device": {"name": str(path)}}
    effects = {"wires": True, "converters": False, "programming": True, "read_noise": False}
    small = WHOLE | {"word_lines": 4}
    first = matrix({"columns": "dummy"}, small, effects=effects, **tables)
    columns = first.array.programmed.dummies
    ideal = matrix({"columns": "dummy"}, small, effects=effects | {"programming": False}, **tables)
    assert len(columns) == 3
    for drawn, exact in zip(columns, ideal.array.programmed.dummies, strict=True):
        spread = drawn.transfer / exact.transfer
        assert 0.05 < spread.std() < 0.4
    np.testing.assert_array_equal(  # cells of the matrix are those of a chip without dummies
        first.conductances, matrix({}, small, effects=effects, **tables).conductances
    )
    noisy = matrix({"columns": "dummy"}, WHOLE, effects=effects | {"read_noise": True}, **tables)
    (own,) = noisy.array.programmed.dummies
    # 5 % of every cell, which arrives as its signal does
    np.testing.assert_allclose(own.variance, (0.05 * own.transfer) ** 2, rtol=1e-4)
    lines = noisy.array._dummies[0]
    one = np.abs(X[-1:])
    volts = one * noisy.array.coder.read_voltage / noisy.array.coder.full_scale
    rows = np.column_stack([np.arange(4000), np.zeros(4000, int)])
    reads = noisy.array._scales(0, np.repeat(volts.astype(np.float32), 8000, axis=0), rows, 3)[:, 0]
    mean = (volts @ lines.transfer.T)[0, 0]
    sigma = np.sqrt((volts**2 @ lines.variance.T)[0, 0])
    currents = lines.wanted * volts.sum() / reads
    assert currents.mean() == pytest.approx(mean, rel=2e-3)
    assert currents.std() == pytest.approx(sigma, rel=0.05)


def test_dummies_are_read_through_the_converter_of_the_study():
    """Two bits of a converter leave steps in the scales, and its offset shifts them."""
    effects = QUIET | {"converters": True}
    found = matrix({"columns": "dummy"}, effects=effects, adc={"bits": 3})
    reads = found.array.reads[0]
    assert reads.codes == (0, 3)
    rows = np.column_stack([np.arange(40), np.zeros(40, int)])
    volts = np.ones((80, 10), np.float32) * np.linspace(0.01, 0.2, 80, dtype=np.float32)[:, None]
    scales = found.array._scales(0, volts, rows, 3)[:, 0]
    lines = found.array._dummies[0]
    current = volts @ lines.transfer[0]
    codes = np.clip(np.rint(current / reads.lsb[0]), 0, 3)
    wanted = lines.wanted * volts.sum(axis=1)
    expected = np.where(codes > 0, wanted / np.where(codes > 0, codes * reads.lsb[0], 1), 1.0)
    np.testing.assert_allclose(scales, expected, rtol=1e-5)
    uneven = matrix({"columns": "dummy"}, effects=effects, adc={"bits": 8, "gain_error": 0.2})
    plain = matrix({"columns": "dummy"}, effects=effects, adc={"bits": 8})
    few = volts[:16] * np.float32(0.3)
    of_gain = uneven.array._scales(0, few, rows[:8], 3)[:, 0]
    ratio = of_gain / plain.array._scales(0, few, rows[:8], 3)[:, 0]
    assert np.abs(ratio[8:] / ratio[8:].mean() - 1).max() < 0.1 < np.abs(ratio[8:].mean() - 1)
    silent = found.multiply(np.zeros((1, 10))).output
    np.testing.assert_array_equal(silent, 0.0)


def test_what_dummies_take_is_counted():
    small = {"word_lines": 4, "bit_lines": 4}
    plain = matrix({}, small).array.events_per_row
    dummies = matrix({"columns": "dummy"}, small).array.events_per_row
    # 2 phases, 3 row blocks, 2 column blocks: the lines of a pair share a conversion
    assert dummies.adc_conversions - plain.adc_conversions == 2 * 3 * 2
    assert dummies.multiplications - plain.multiplications == 2 * 3 * 6
    digital = matrix({"columns": "dummy"}, small | {"subtraction": "digital"}).array.events_per_row
    assert digital.adc_conversions == 2 * 3 * (2 * 6 + 2 * 2)
    raised = matrix({"rows": "raised"}, small).array.events_per_row
    assert raised == plain


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ({"dac": {"polarity": "signed"}}, "voltages of both signs may cancel"),
        ({"dac": {"encoding": "bit_serial", "digit_bits": 2}}, "of both signs"),
        ({"mapping": {"encoding": "slices", "sign": "offset"}}, 'sign = "pair"'),
        ({"mapping": {"compensation": "wires"}}, "remove one of them"),
        ({"read_noise": {"wires": "adjoint"}}, "neither raised rows nor dummy columns"),
    ],
)
def test_what_does_not_go_together_is_refused(tables, message):
    content = {"correction": {"columns": "dummy"}, "dac": TWO_PHASE, "mapping": {}}
    with pytest.raises(ConfigError, match=message):
        validate(content | tables, "study")
