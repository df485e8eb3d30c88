"""Full scales that follow the inputs and scale that is shifted into weights, against NumPy."""

import numpy as np
import pytest
from array_cases import IDEAL, build, names, program, study

from xbarsim.arrays.digital_scale import DigitalScale, ScaleShift
from xbarsim.arrays.events import Events
from xbarsim.arrays.in_situ.ranges import with_ranges
from xbarsim.base.errors import ConfigError
from xbarsim.config.arrays import Dac
from xbarsim.config.study import validate
from xbarsim.devices.presets import load_device

INPUTS, OUTPUTS = 37, 21
TILES = {"word_lines": 16, "bit_lines": 12, "clip": "maximum", "gain": "none"}
CONVERTERS = IDEAL | {"converters": True}
# parts of the 37 inputs that share a scale, on tiles of 16 word lines
PARTS = {
    "token": ({"scaling": "token"}, [0, 37]),
    "block": ({"scaling": "block"}, [0, 16, 32, 37]),
    "two blocks": ({"scaling": "block", "scaling_blocks": 2}, [0, 32, 37]),
}
ENCODINGS = {
    "amplitude": ({}, {}),
    "two phases": ({"polarity": "two_phase"}, {}),
    "pulse width": ({"encoding": "pulse_width"}, {}),
    "bit serial": ({"encoding": "bit_serial"}, {}),
    "offset binary": ({"encoding": "bit_serial", "digit_bits": 2}, {}),
    "unsigned weights": (
        {"encoding": "bit_serial", "digit_bits": 2},
        {"encoding": "slices", "sign": "offset", "weight_bits": 16, "bits_per_cell": 8},
    ),
}


def outliers(seed, rows):
    """Inputs whose rows, and whose blocks within a row, are of very different size."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((rows, INPUTS))
    x[:, 16:32] *= 40.0
    return (x * 10.0 ** rng.uniform(-3, 3, (rows, 1))).astype(np.float32)


def array_of(x, weight, dac=None, mapping=None, effects=CONVERTERS, adc=None):
    chosen = study(
        mapping=TILES | (mapping or {}),
        dac={"range": "maximum"} | (dac or {}),
        adc=adc or {},
        effects=effects,
    )
    moment = (x.astype(float) ** 2).mean(axis=0)
    programmed = program("layer.0.query", weight, moment, chosen, load_device("ideal"))
    return with_ranges(programmed, x)


@pytest.fixture
def weight():
    return np.random.default_rng(5).standard_normal((OUTPUTS, INPUTS)).astype(np.float32)


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("parts", PARTS)
def test_products_are_those_of_inputs_rounded_on_their_own_scales(weight, parts, encoding):
    """4-bit inputs behind fine ADCs: Σ over the parts of s q(x / s) W."""
    own, edges = PARTS[parts]
    dac, mapping = ENCODINGS[encoding]
    x = outliers(1, 40)
    array = array_of(x, weight, own | dac | {"bits": 4}, mapping, adc={"bits": 16})
    expected = np.zeros((40, OUTPUTS))
    for start, stop in zip(edges, edges[1:], strict=False):
        part = x[:, start:stop].astype(float)
        step = np.abs(part).max(axis=1, keepdims=True) / 7
        expected += np.rint(part / step) * step @ weight[:, start:stop].T
    found = array.multiply(x, names(40), 0)
    scale = np.abs(expected).max(axis=1, keepdims=True)
    np.testing.assert_allclose(found.output / scale, expected / scale, rtol=0, atol=2e-3)
    assert not found.dac_saturations.any()
    # rounded on one scale for all, small rows are lost
    static = array_of(x, weight, dac | {"bits": 4}, mapping, adc={"bits": 16})
    lost = static.multiply(x, names(40), 0).output / scale - expected / scale
    assert np.abs(lost).max() > 0.2


@pytest.mark.parametrize("parts", PARTS)
def test_codes_of_converters_are_rescaled_before_they_are_added(weight, parts):
    """Every conversion by hand: rint(current / LSB), times its value, times the scale."""
    own, edges = PARTS[parts]
    x = outliers(2, 30)
    array = array_of(x, weight, own, adc={"bits": 6})
    expected = np.zeros((30, OUTPUTS))
    volt = array.programmed.read_voltage
    for block, start in enumerate((0, 16, 32)):
        rows = slice(start, min(start + 16, INPUTS))
        first = max(edge for edge in edges[:-1] if edge <= start)
        part = x[:, first : next(edge for edge in edges if edge > start)].astype(float)
        scale = np.abs(part).max(axis=1, keepdims=True)
        codes = np.rint(x[:, rows] / scale * 127) / 127
        # siemens per weight: the window over the full-scale weight of every output
        per_weight = 1 / np.abs(array.programmed.value[0])
        current = volt * codes @ (weight[:, rows] * per_weight[:, None]).T
        lsb = array.lsb[block][0]
        held = np.clip(np.rint(current / lsb), -31, 31) * lsb
        expected += held / per_weight / volt * scale
    found = array.multiply(x, names(30), 0).output
    one_code = array.lsb[0][0].max() / per_weight.min() / volt * np.abs(x).max(axis=1)
    wrong = np.abs(found - expected) > 1e-4 * np.abs(expected).max(axis=1, keepdims=True)
    assert wrong.mean() < 0.01  # a current at the edge of two codes may fall either way
    assert (np.abs(found - expected) <= 1.01 * one_code[:, None]).all()


@pytest.mark.parametrize("shift", [0.0, 0.5])
@pytest.mark.parametrize("parts", [*PARTS, None])
def test_ideal_converters_leave_the_product_as_it_is(weight, parts, shift):
    own = PARTS[parts][0] if parts else {}
    x = outliers(3, 50)
    array = array_of(x, weight, own, {"scale_shift": shift}, effects=IDEAL)
    plain = array_of(x, weight, effects=IDEAL).multiply(x, names(50), 0).output
    found = array.multiply(x, names(50), 0).output
    scale = np.abs(plain).max(axis=1, keepdims=True)
    np.testing.assert_allclose(found / scale, plain / scale, rtol=0, atol=1e-6)


@pytest.mark.parametrize("effects", [CONVERTERS | {"read_noise": True}, IDEAL])
@pytest.mark.parametrize("parts", PARTS)
def test_a_row_has_the_same_bits_in_any_batch(weight, parts, effects):
    own, _ = PARTS[parts]
    x = outliers(4, 300)
    chosen = study(
        device={"name": "rram-wan2022"},
        mapping=TILES | {"scale_shift": 0.5},
        dac=own | {"scaling_quantile": 0.9},
        effects=effects,
    )
    moment = (x.astype(float) ** 2).mean(axis=0)
    device = load_device("rram-wan2022")
    shift = ScaleShift.of(weight, x, 0.5)
    programmed = program("layer.0.query", weight, moment, chosen, device, shift=shift)
    array = with_ranges(programmed, x, any_batch=True)
    together = array.multiply(x, names(300), 3)
    for rows in (slice(0, 1), slice(7, 290), slice(299, 300)):
        alone = array.multiply(x[rows], names(300)[rows], 3)
        np.testing.assert_array_equal(alone.output, together.output[rows])
        np.testing.assert_array_equal(alone.array_energy, together.array_energy[rows])
        np.testing.assert_array_equal(alone.dac_saturations, together.dac_saturations[rows])


@pytest.mark.parametrize("parts", PARTS)
def test_ranges_are_set_in_the_scaled_domain(weight, parts):
    """Samples whose rows are multiplied by powers of two have the same ranges, bit by bit."""
    own, _ = PARTS[parts]
    x = outliers(6, 80)
    factors = 2.0 ** np.random.default_rng(7).integers(-6, 6, (80, 1))
    dac = own | {"range": "mse"}
    first = array_of(x, weight, dac)
    second = array_of((x * factors).astype(np.float32), weight, dac)
    assert first.coder == second.coder and first.coder.full_scale <= 1
    for one, other in zip(first.lsb, second.lsb, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_quantile_is_an_order_statistic_and_what_lies_above_saturates(weight):
    x = outliers(8, 60)
    array = array_of(x, weight, {"scaling": "token", "scaling_quantile": 0.9})
    ordered = np.sort(np.abs(x), axis=1)
    scale = ordered[:, -1 - 3]  # of 37 inputs 3.7 lie above the quantile .9: 3 do
    np.testing.assert_array_equal(array.scale.scaled(x).scales[:, 0], scale)
    # the coder covers the largest sample of the scaled domain
    largest = (ordered[:, -1] / scale).max()
    np.testing.assert_allclose(array.coder.full_scale, largest, rtol=1e-6)


def test_rows_of_zeros_stay_zeros(weight):
    x = outliers(9, 20)
    x[3] = 0
    x[4, :16] = 0
    for own, _ in PARTS.values():
        found = array_of(x, weight, own).multiply(x, names(20), 0).output
        assert np.isfinite(found).all() and not found[3].any() and found[4].any()
    sparse = np.zeros((1, INPUTS), np.float32)
    sparse[0, 5] = -8.0
    scale = DigitalScale.of(Dac(scaling="token", scaling_quantile=0.9), INPUTS, 16)
    assert scale.scaled(sparse).scales == 8.0  # the quantile is 0


def test_what_is_counted(weight):
    x = outliers(10, 20)
    plain = array_of(x, weight).events_per_row
    assert (plain.comparisons, plain.multiplications) == (0, 0)
    expected = {
        "token": Events(comparisons=37, multiplications=37 + 21),
        "block": Events(comparisons=37, multiplications=37 + 3 * 21),
        "two blocks": Events(comparisons=37, multiplications=37 + 2 * 21),
    }
    for parts, counted in expected.items():
        assert array_of(x, weight, PARTS[parts][0]).events_per_row == plain + counted
    quantile = {"scaling": "token", "scaling_quantile": 0.9}
    assert array_of(x, weight, quantile).events_per_row.comparisons == 4 * 37
    shift = ScaleShift.of(weight, x, 0.5)
    assert DigitalScale(37, shift, ()).events(21) == Events(multiplications=37)


@pytest.mark.parametrize("exponent", [0.3, 0.5, 1.0])
def test_the_shift_of_scale(weight, exponent):
    x = outliers(11, 30)
    x[:, 4] = 0
    given = weight.copy()
    given[:, 9] = 0
    shift = ScaleShift.of(given, x, exponent)
    for k in range(INPUTS):
        largest_input = max(abs(float(value)) for value in x[:, k])
        largest_weight = max(abs(float(value)) for value in given[:, k])
        expected = 1.0
        if k not in (4, 9):
            expected = largest_input**exponent / largest_weight ** (1 - exponent)
        np.testing.assert_allclose(shift.divisor[k], expected, rtol=1e-6)
    assert (shift.unshifted, shift.exponent) == (2, exponent)
    assert ScaleShift.of(given, x, 0.0) is None


def test_shifted_weights_are_programmed_and_inputs_divided(weight):
    x = outliers(12, 40)
    chosen = study(mapping=TILES, dac={"range": "maximum", "bits": 4}, effects=CONVERTERS)
    moment = (x.astype(float) ** 2).mean(axis=0)
    shift = ScaleShift.of(weight, x, 0.5)
    device = load_device("ideal")
    programmed = program("layer.0.query", weight, moment, chosen, device, shift=shift)
    np.testing.assert_allclose(
        programmed.achieved_weight, weight * shift.divisor, rtol=1e-4, atol=1e-5
    )
    array = with_ranges(programmed, x)
    divided = x / shift.divisor
    step = np.abs(divided).max() / 7
    np.testing.assert_allclose(array.coder.lsb, step, rtol=1e-6)
    held = np.rint(divided / step) * step
    expected = held @ (weight * shift.divisor).T
    found = array.multiply(x, names(40), 0).output
    np.testing.assert_allclose(found, expected, rtol=0, atol=0.03 * np.abs(expected).max())


def test_without_scales_nothing_changes():
    _, x, array = build(study(effects=CONVERTERS))
    assert array.scale == DigitalScale(37, None, ())
    assert array.scale.scaled(x).values is x


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ({"dac": {"scaling": "row"}}, "static.*token.*block"),
        ({"dac": {"scaling_quantile": 0.4}}, "greater than 0.5"),
        ({"dac": {"scaling_blocks": 0}}, "greater than or equal to 1"),
        ({"mapping": {"scale_shift": 1.5}}, "less than or equal to 1"),
        ({"mapping": {"scale_shift": -0.1}}, "greater than or equal to 0"),
    ],
)
def test_bad_settings_are_refused_with_their_range(tables, message):
    with pytest.raises(ConfigError, match=message):
        validate(tables, "study")
