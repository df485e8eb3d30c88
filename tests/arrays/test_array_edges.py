"""Arrays at the edges of their blocks, samples and options."""

import dataclasses

import numpy as np
import pytest
from array_cases import IDEAL, WIRES, build, names, program, program_row_block, study

from xbarsim.arrays.in_situ import matrix
from xbarsim.arrays.in_situ.correction import second_moment
from xbarsim.arrays.in_situ.input_coder import InputCoder, only_sign
from xbarsim.arrays.in_situ.layout import Layout
from xbarsim.arrays.in_situ.matrix import IdealArray
from xbarsim.arrays.in_situ.ranges import with_ranges
from xbarsim.arrays.in_situ.tiles import attenuation
from xbarsim.base.errors import OutOfRangeError, ShapeError
from xbarsim.config.arrays import Dac
from xbarsim.config.study import validate
from xbarsim.devices.presets import load_device
from xbarsim.kernels.devices.random import add_normal, row_keys

FROM_ZERO = """
description = "test"
read = { voltage_v = 0.2, source = "t" }
conductance = { minimum_us = 0.0, maximum_us = 40.0, valid_range_us = [0.0, 50.0], source = "t" }
read_noise = { relative_sigma = 0.05, source = "t" }
"""
CONVERTERS = IDEAL | {"converters": True}


@pytest.fixture()
def from_zero(tmp_path):
    """Name of a device whose low state conducts nothing, so that it has no noise either."""
    (tmp_path / "zero.toml").write_text(FROM_ZERO)
    return str(tmp_path / "zero.toml")


@pytest.mark.parametrize("converters", [False, True])
def test_a_row_block_of_zeros_beside_a_noisy_one_is_silent(from_zero, converters):
    """Inputs 16 to 31 meet weights of 0: what they alone drive is 0, however often it is read."""
    effects = IDEAL | {"read_noise": True, "converters": converters}
    mapping = {"word_lines": 16, "bit_lines": 12, "clip": "maximum"}
    chosen = study(device={"name": from_zero}, mapping=mapping, effects=effects)
    weight = np.random.default_rng(0).standard_normal((21, 37))
    weight[:, 16:32] = 0
    x = np.random.default_rng(1).standard_normal((300, 37)).astype(np.float32)
    device = load_device(from_zero)
    array = with_ranges(program("layer.0.query", weight, np.ones(37), chosen, device), x)
    silent = np.zeros((300, 37), np.float32)
    silent[:, 16:32] = 1.0
    assert (array.multiply(silent, names(300), 1).output == 0).all()
    noise = array.multiply(np.repeat(x[:1], 4000, axis=0), names(4000), 1).output.std(axis=0)
    share = abs(weight) / abs(weight).max(axis=1, keepdims=True)
    expected = 0.05 * np.sqrt((share * abs(weight).max(axis=1, keepdims=True)) ** 2 @ x[0] ** 2)
    np.testing.assert_allclose(noise, expected, rtol=0.2 if converters else 0.06)


def test_cells_without_conductance_pass_nothing(from_zero):
    transfer, conductance = np.full((1, 2, 2), 3e-6), np.full((1, 2, 2), 4e-6)
    conductance[0, 1, 0] = 0.0
    for _ in range(3):
        filled = np.full((1, 2, 2), 7.0)  # what memory that is used again holds
        del filled
        passed = attenuation(transfer, conductance)[0]
        np.testing.assert_array_equal(passed, [[[0.75, 0.75], [0.0, 0.75]]])
    chosen = validate({"effects": {"wires": False, "programming": False}}, "test")
    target = np.array([[[20e-6, 0.0]]])
    layout = Layout(1, 2, 1, 1, 2, "twin")
    row = program_row_block(target, layout, load_device(from_zero), chosen)
    np.testing.assert_allclose(row.variance[0, :, 0], [1e-12, 0.0], rtol=1e-9)


@pytest.mark.parametrize("spoilt", [np.nan, np.inf])
def test_one_value_that_is_not_finite_is_refused(spoilt):
    chosen = study()
    programmed = build(chosen)[2].programmed
    weight, x = np.ones((2, 3)), np.ones((4, 37), np.float32)
    weight[1, 2] = x[3, 36] = spoilt
    with pytest.raises(OutOfRangeError, match="NaN or infinity"):
        program("layer.0.query", weight, np.ones(3), chosen, load_device("ideal"))
    with pytest.raises(OutOfRangeError, match="NaN or infinity"):
        with_ranges(programmed, x)
    with pytest.raises(ShapeError, match=r"must be \(samples, 37\)"):
        with_ranges(programmed, np.zeros((0, 37), np.float32))
    assert np.isfinite(with_ranges(programmed, np.ones((1, 37), np.float32)).gain).all()


@pytest.mark.parametrize(
    ("dac", "mapping", "codes"),
    [
        ({}, {}, (-127, 127)),
        ({}, {"subtraction": "digital"}, (-127, 127)),
        ({"polarity": "two_phase"}, {"subtraction": "digital"}, (0, 255)),
        ({"polarity": "two_phase"}, {}, (-127, 127)),
        ({"encoding": "bit_serial"}, {"subtraction": "digital"}, (0, 255)),
        ({"encoding": "bit_serial"}, {"encoding": "slices", "sign": "offset"}, (0, 255)),
        ({}, {"encoding": "slices", "sign": "offset"}, (-127, 127)),
    ],
)
def test_codes_are_signed_where_currents_of_both_signs_occur(dac, mapping, codes):
    chosen = study(effects=CONVERTERS, dac=dac, mapping=mapping, adc={"bits": 8})
    assert build(chosen)[2].codes == codes


def test_an_ideal_converter_beside_a_real_one():
    """Only the inputs are rounded: the product of the held inputs with the matrix, to float32."""
    chosen = study(effects=CONVERTERS, adc={"bits": "ideal"}, mapping={"clip": "maximum"})
    weight, x, array = build(chosen)
    assert isinstance(array, IdealArray)
    product = array.multiply(x, names(len(x)), 1)
    expected = array.coder.hold(x)[0] @ weight.T
    np.testing.assert_allclose(product.output, expected, atol=1e-5 * abs(expected).max())
    assert not product.adc_saturations.any()


def test_mean_products_of_two_samples():
    x = np.array([[1.0, 2.0], [3.0, -4.0]])
    np.testing.assert_array_equal(second_moment(x, True), [[5.0, -5.0], [-5.0, 10.0]])
    np.testing.assert_array_equal(second_moment(x, False), [5.0, 10.0])


@pytest.mark.parametrize("sign", ["pair", "offset"])
def test_units_of_weights_and_inputs_do_not_change_gains(sign):
    mapping = {"encoding": "slices", "sign": sign, "word_lines": 16, "bit_lines": 12}
    chosen = study(mapping=mapping, effects=IDEAL | {"wires": True}, wires=WIRES)
    weight, x, array = build(chosen)
    x = x + np.float32(0.5)
    small = np.float32(1e-4)
    moment = (x.astype(float) ** 2).mean(axis=0)
    found = []
    for unit in (np.float32(1), small):
        device = load_device("ideal")
        programmed = program("layer.0.query", weight * unit, moment, chosen, device)
        found.append(with_ranges(programmed, x * unit))
    np.testing.assert_allclose(found[1].gain, found[0].gain, rtol=1e-3)
    whole, scaled = found[0].folded, found[1].folded / small
    np.testing.assert_allclose(scaled, whole, rtol=0, atol=1e-3 * abs(whole).max())
    assert abs(found[0].gain - 1).max() > 1e-3


def test_ranges_of_a_tile_are_those_of_its_own_slices():
    """Twin tiles hold a slice each: the widest of the bit lines of a slice, not of all slices."""
    mapping = {"word_lines": 16, "bit_lines": 12, "encoding": "slices"}
    tables = {"mapping": mapping, "effects": CONVERTERS}
    own = build(study(adc={"range": "maximum"}, **tables))[2]
    shared = build(study(adc={"range": "maximum", "per": "tile"}, **tables))[2]
    for mine, common in zip(own.lsb, shared.lsb, strict=True):
        assert mine.shape == (4, 21)
        for conversion in range(4):
            row = mine[conversion]
            expected = [max(row[:12])] * 12 + [max(row[12:])] * 9
            np.testing.assert_array_equal(common[conversion], expected)
    assert len(np.unique(shared.lsb[0][:, 0])) == 4


def test_the_unit_of_three_bit_digits():
    """A level of a cell (13 µS) at the lowest digit, a seventh of the read voltage."""
    dac = {"encoding": "bit_serial", "digit_bits": 3, "bits": 7}
    mapping = {"encoding": "slices", "bits_per_cell": 2}
    array = build(study(effects=CONVERTERS, adc={"range": "unit"}, dac=dac, mapping=mapping))[2]
    np.testing.assert_allclose(array.lsb[0], 13e-6 * 0.2 / 7, rtol=1e-6)


def test_energy_adds_the_row_blocks():
    """Without wires: square of each voltage, times the conductances of its word line, 100 ns."""
    mapping = {"word_lines": 16, "bit_lines": 21, "clip": "maximum", "scale": "matrix"}
    dac = {"range": "maximum", "read_time_ns": 100.0}
    weight, x, array = build(study(mapping=mapping, effects=IDEAL, dac=dac))
    volts = 0.2 * x.astype(float) / abs(x).max()
    siemens = (2 * 1e-6 + abs(weight.astype(float)) / abs(weight).max() * 39e-6).sum(axis=0)
    expected = volts**2 @ siemens * 100e-9
    found = array.multiply(x, names(len(x)), 1).array_energy
    np.testing.assert_allclose(found, expected, rtol=1e-4)


@pytest.mark.parametrize(
    ("encoding", "samples", "left"), [("amplitude", 300, 44), ("bit_serial", 40, 64)]
)
def test_pieces_of_currents_fill_512_kib(monkeypatch, encoding, samples, left):
    """So they stay in cache; the last rows and columns are what is left."""
    shapes = []

    def recorded(flat, transfer):
        shapes.append((len(flat), len(transfer)))
        return multiply(flat, transfer)

    multiply = matrix.multiply_rows
    monkeypatch.setattr(matrix, "multiply_rows", recorded)
    _, x, array = build(
        study(effects=CONVERTERS, dac={"encoding": encoding, "bits": 8}),
        inputs=8,
        outputs=600,
        samples=samples,
    )
    array.multiply(x, names(samples), 1)
    assert shapes == [(256, 512), (256, 88), (left, 512), (left, 88)]
    assert 256 * 512 * np.float32().nbytes == 512 * 1024


def test_saturations_of_one_bit_are_those_of_all_pieces_of_columns(monkeypatch):
    _, x, array = build(study(effects=CONVERTERS, adc={"bits": 1}))
    whole = array.multiply(x, names(len(x)), 1).adc_saturations
    monkeypatch.setattr(matrix, "CURRENT_COLUMNS", 5)
    pieces = array.multiply(x, names(len(x)), 1).adc_saturations
    assert whole.sum() > 100
    assert abs(pieces - whole).sum() <= 2  # rounding at the very edge


def test_saturations_add_the_row_blocks():
    """Every conversion of 3 row blocks, rounded and compared with the largest code by hand."""
    mapping = {"word_lines": 16, "bit_lines": 12}
    adc = {"range": "quantile", "quantile": 0.9, "bits": 6}
    _, x, array = build(study(effects=CONVERTERS, mapping=mapping, adc=adc))
    volts = 0.2 * array.coder.hold(x)[0].astype(float) / array.coder.full_scale
    beyond = np.zeros(len(x), int)
    for block, lsb in enumerate(array.lsb):
        current = volts[:, 16 * block : 16 * block + 16] @ array.programmed.transfer[block].T
        beyond += (abs(np.rint(current / lsb.ravel())) > 31).sum(axis=1)
    found = array.multiply(x, names(len(x)), 1).adc_saturations
    assert beyond.sum() > 300
    assert abs(found - beyond).sum() <= 2  # rounding at the very edge


def test_one_unsigned_bit_keeps_its_zero():
    """Codes 0 and 1 of bit lines that no input drives are 0."""
    chosen = study(
        effects=CONVERTERS,
        adc={"bits": 1},
        dac={"encoding": "bit_serial"},
        mapping={"subtraction": "digital"},
    )
    array = build(chosen)[2]
    assert array.codes == (0, 1)
    zero = np.zeros((2, 37), np.float32)
    assert (array.multiply(zero, names(2), 1).output == 0).all()


def test_noise_of_an_ideal_converter_is_named_by_matrix_and_token(from_zero):
    """One deviate for each output: matrix 0, row block 0, phase 0, sentence, position."""
    chosen = study(device={"name": from_zero}, effects=IDEAL | {"read_noise": True})
    quiet = study(device={"name": from_zero}, effects=IDEAL)
    _, x, array = build(chosen)
    exact = build(quiet)[2].multiply(x, names(len(x)), 9).output
    found = array.multiply(x, names(len(x)), 9).output - exact
    tokens = np.column_stack([np.zeros((len(x), 3), int), names(len(x))])
    deviates = np.zeros(found.shape, np.float32)
    add_normal(deviates, np.ones(found.shape, np.float32), row_keys(np.uint64(9), tokens))
    sigma = np.sqrt(x.astype(float) ** 2 @ array.folded_variance.T)
    np.testing.assert_allclose(found, sigma * deviates, rtol=0, atol=1e-4 * abs(found).max())


@pytest.mark.parametrize(("samples", "seen"), [(512, True), (513, False), (600, False)])
def test_ranges_look_at_512_samples(samples, seen):
    """Every second row is ten times as large: seen by 512 samples, skipped beyond."""
    rng = np.random.default_rng(0)
    x = rng.uniform(0.5, 1, (samples, 6)).astype(np.float32)
    x[1::2] *= 10
    coder = InputCoder.covering(x, np.ones(6), Dac(bits=8), 0.2, ideal=False)
    assert (coder.full_scale > 5) == seen
    chosen = study(effects=CONVERTERS, dac={"range": "maximum"}, adc={"range": "maximum"})
    programmed = build(chosen, inputs=6, outputs=3)[2].programmed
    array = with_ranges(programmed, x)
    rows = x if seen else x[::2]
    volts = 0.2 * array.coder.hold(rows)[0] / array.coder.full_scale
    largest = abs(volts @ programmed.transfer[0].T).max(axis=0)
    np.testing.assert_allclose(array.lsb[0][0], largest / 127, rtol=1e-4)


def test_input_ranges_of_a_few_samples_of_many_inputs():
    """Fewer samples than inputs, a quantile, no weights behind the inputs, and small units."""
    x = np.zeros((2, 64), np.float32)
    x[0] = np.linspace(0.01, 1, 64)
    full = InputCoder.covering(x, np.ones(64), Dac(bits=8), 0.2, ideal=False).full_scale
    assert 0.5 < full <= 1
    ramp = np.linspace(-1, 1, 101, dtype=np.float32)[:, None]
    dac = Dac(range="quantile", quantile=0.9)
    most = InputCoder.covering(ramp, np.ones(1), dac, 0.2, ideal=False).full_scale
    assert most == pytest.approx(0.9, rel=1e-6)
    one = Dac(bits=1)
    assert InputCoder.covering(ramp, np.zeros(1), one, 0.2, ideal=False).full_scale == 1
    mean = InputCoder.covering(ramp * np.float32(1e-3), np.ones(1), one, 0.2, ideal=False)
    assert mean.full_scale == pytest.approx(1e-3 * abs(ramp).mean(), rel=1e-5)
    assert mean.lsb == mean.full_scale


def test_ideal_inputs_are_amplitudes_and_one_bit_counts_beyond_twice_the_level():
    serial = Dac(encoding="bit_serial")
    coder = InputCoder.covering(np.ones((2, 3), np.float32), np.ones(3), serial, 0.2, ideal=True)
    assert coder.encoding == "amplitude"
    assert not coder.hold(np.full((2, 3), 9.0, np.float32))[1].any()
    beyond = only_sign(np.array([[2.0, -2.0, 2.5, -3.0]], np.float32), np.float32(1))[1]
    np.testing.assert_array_equal(beyond, [2])


def test_records_of_arrays_are_immutable():
    """Any number of threads may multiply at once."""
    _, x, array = build(study())
    programmed = array.programmed
    chosen = validate({"effects": {"wires": False, "programming": False}}, "test")
    target, layout = np.full((1, 2, 2), 30e-6), Layout(2, 2, 1, 4, 3, "twin")
    row = program_row_block(target, layout, load_device("ideal"), chosen)
    product = array.multiply(x, names(len(x)), 1)
    for record in (
        array,
        array.coder,
        programmed,
        programmed.encoded,
        programmed.layout,
        row,
        product,
    ):
        name = dataclasses.fields(record)[0].name
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(record, name, None)


@pytest.mark.parametrize(("placement", "ranges"), [("neighbour", 1), ("twin", 3)])
def test_planes_that_share_a_tile_share_its_range(placement, ranges):
    """Three digits: on neighbouring bit lines one range per tile, on twin tiles one per digit."""
    mapping = {
        "word_lines": 64,
        "bit_lines": 24,
        "encoding": "slices",
        "weight_bits": 7,
        "bits_per_cell": 2,
        "placement": placement,
    }
    chosen = study(mapping=mapping, adc={"per": "tile"}, effects=IDEAL | {"converters": True})
    _, _, array = build(chosen)
    per = array.programmed.layout.outputs_per_tile
    assert len(array.lsb) == 1 and array.lsb[0].shape == (3, 21)
    for start in range(0, 21, per):
        tile = array.lsb[0][:, start : start + per]
        assert len(np.unique(tile)) == ranges
