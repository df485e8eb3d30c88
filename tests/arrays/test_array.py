"""Arrays: exact where everything is ideal, wires against dense nodal analysis, converters and noise as stated."""

import numpy as np
import pytest
from array_cases import IDEAL, WIRES, build, names, program, study
from reference import dense_solve, dense_transfer

from xbarsim.arrays.in_situ.ranges import with_ranges
from xbarsim.base.errors import ConfigError, OutOfRangeError, ShapeError
from xbarsim.devices.presets import load_device

ENCODINGS = [
    {},
    {"placement": "neighbour"},
    {"subtraction": "digital"},
    {"encoding": "slices", "weight_bits": 16, "bits_per_cell": 4},
    {"encoding": "slices", "weight_bits": 16, "bits_per_cell": 8, "sign": "offset"},
]


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_ideal_arrays_are_the_matrix(encoding):
    """Several row and column blocks with remainders; 16-bit slices round at 2^-15 of the full scale."""
    mapping = {"word_lines": 16, "bit_lines": 12, "clip": "maximum", "gain": "none"} | encoding
    weight, x, array = build(study(mapping=mapping, effects=IDEAL))
    tolerance = 1e-5 if encoding.get("encoding") != "slices" else 3e-4
    expected = x @ weight.T
    np.testing.assert_allclose(
        array.multiply(x, names(len(x)), 1).output, expected, atol=tolerance * abs(expected).max()
    )
    assert array.programmed.layout.row_blocks == 3


def test_wires_are_those_of_dense_nodal_analysis():
    """Every tile of the programmed matrix is solved again by stamping; pairs on twin tiles, 2 row and 2 column blocks."""
    chosen = study(
        mapping={
            "word_lines": 8,
            "bit_lines": 6,
            "clip": "maximum",
            "scale": "matrix",
            "gain": "none",
        },
        effects=IDEAL | {"wires": True},
        wires={
            "word_line_resistance_ohm": 40.0,
            "bit_line_resistance_ohm": 25.0,
            "source_resistance_ohm": 100.0,
            "sense_resistance_ohm": 60.0,
        },
    )
    weight, x, array = build(chosen, inputs=13, outputs=9)
    low, high = 1e-6, 40e-6
    full = abs(weight).max()
    effective = np.zeros((9, 13))
    for first_row in (0, 8):
        for first_column in (0, 6):
            for sign in (1, -1):
                g = np.full((8, 6), low)  # unused cells are low
                part = (
                    np.maximum(
                        sign * weight[first_column : first_column + 6, first_row : first_row + 8].T,
                        0,
                    )
                    / full
                )
                g[: part.shape[0], : part.shape[1]] += part * (high - low)
                r_word, r_bit = np.full(g.shape, 40.0), np.full(g.shape, 25.0)
                r_word[:, 0] += 100.0
                r_bit[-1] += 60.0
                transfer = dense_transfer(g, r_word, r_bit)[: part.shape[1], : part.shape[0]]
                effective[first_column : first_column + 6, first_row : first_row + 8] += (
                    sign * transfer
                )
    effective *= full / (high - low)
    expected = x @ effective.T
    np.testing.assert_allclose(
        array.multiply(x, names(len(x)), 1).output, expected, atol=2e-5 * abs(expected).max()
    )
    assert abs(effective - weight).max() > 0.01 * full  # the wires do something


def test_array_energy_is_what_cells_and_wires_dissipate():
    chosen = study(
        mapping={"word_lines": 8, "bit_lines": 8, "clip": "maximum", "scale": "matrix"},
        effects=IDEAL | {"wires": True},
        wires={"word_line_resistance_ohm": 40.0, "bit_line_resistance_ohm": 25.0},
        dac={"range": "maximum", "bits": "ideal", "read_time_ns": 50.0},
    )
    weight, x, array = build(chosen, inputs=8, outputs=8)
    volts = 0.2 * x[0] / abs(x).max()
    power = 0.0
    for sign in (1, -1):
        g = 1e-6 + np.maximum(sign * weight.T, 0) / abs(weight).max() * 39e-6
        w, u, current = dense_solve(g, np.full((8, 8), 40.0), np.full((8, 8), 25.0), volts)
        power += (volts * (volts - w[:, 0]) / 40.0).sum()
    product = array.multiply(x[:1], names(1), 1)
    np.testing.assert_allclose(product.array_energy, power * 50e-9, rtol=1e-4)


@pytest.mark.parametrize(
    ("dac", "adc"),
    [
        ({"bits": 8}, {"bits": 8}),
        ({"bits": 6, "polarity": "two_phase"}, {"bits": 9}),
        ({"bits": 8, "encoding": "bit_serial"}, {"bits": 8}),
        ({"bits": 8, "encoding": "pulse_width"}, {"bits": 8}),
    ],
)
def test_converters_cost_what_their_resolution_says(dac, adc):
    """Error power of a whole chain against uniform rounding of inputs and outputs, within a factor of four."""
    chosen = study(
        mapping={"word_lines": 64, "bit_lines": 32, "clip": "maximum", "gain": "none"},
        effects=IDEAL | {"converters": True},
        dac=dac,
        adc=adc,
    )
    weight, x, array = build(chosen, samples=500)
    exact = x @ weight.T
    error = array.multiply(x, names(len(x)), 1).output - exact
    input_step = 2 * abs(x).max() / 2 ** dac["bits"]
    output_step = 2 * abs(exact).max() / 2 ** adc["bits"]
    expected = np.sqrt(input_step**2 / 12 * (weight**2).sum(axis=1).mean() + output_step**2 / 12)
    assert expected / 4 < error.std() < 4 * expected


@pytest.mark.parametrize("dac", [{}, {"polarity": "two_phase", "digit_bits": 2}])
def test_unsigned_slices_without_their_low_state_convert_whole_units(dac):
    """A reference takes the low state (1 of 40 µS) away before the ADC, so that 8 bits count 32 rows of 2-bit cells without
    error; subtracted digitally it moves every conversion by a fraction of a unit."""
    tables = {
        "effects": IDEAL | {"converters": True},
        "adc": {"bits": 8, "range": "unit"},
        "dac": {"encoding": "bit_serial", "range": "maximum"} | dac,
    }
    mapping = {
        "word_lines": 32,
        "bit_lines": 32,
        "encoding": "slices",
        "sign": "offset",
        "clip": "maximum",
        "gain": "none",
        "bits_per_cell": 2,
    }
    weight, x, array = build(study(mapping=mapping, **tables))
    clip = np.abs(weight).max(axis=1) / 127  # one full scale per output
    exact = (
        array.coder.hold(x)[0].astype(float) @ (np.rint(weight / clip[:, None]) * clip[:, None]).T
    )
    product = array.multiply(x, names(len(x)), 1)
    np.testing.assert_allclose(product.output, exact, atol=1e-5 * abs(exact).max())
    assert not product.adc_saturations.any()
    _, _, digital = build(study(mapping=mapping | {"subtraction": "digital"}, **tables))
    assert abs(digital.multiply(x, names(len(x)), 1).output - exact).max() > 1e-2 * abs(exact).max()


def test_bit_serial_slices_are_counted_as_dense_nodal_analysis_and_digits_say():
    """One tile, solved by stamping for every bit of the magnitudes of the inputs; the currents lose the low state, become
    units of a level, and digits are added in integers."""
    chosen = study(
        mapping={
            "word_lines": 8,
            "bit_lines": 12,
            "encoding": "slices",
            "sign": "offset",
            "weight_bits": 6,
            "placement": "neighbour",
            "clip": "maximum",
            "scale": "matrix",
            "gain": "none",
        },
        effects=IDEAL | {"wires": True, "converters": True},
        adc={"range": "unit"},
        wires={"word_line_resistance_ohm": 90.0, "bit_line_resistance_ohm": 60.0},
        dac={"encoding": "bit_serial", "polarity": "two_phase", "range": "maximum", "bits": 5},
    )
    weight, x, array = build(chosen, inputs=8, outputs=4, samples=40)
    largest, full = abs(x).max(), abs(weight).max()
    code = np.rint(x / largest * 15).astype(int)
    unsigned = np.rint(weight.T / full * 31).astype(int) + 32
    digits = (
        unsigned[..., None] >> np.array([0, 2, 4]) & 3
    )  # (inputs, outputs, slices), side by side
    r_word, r_bit = np.full((8, 12), 90.0), np.full((8, 12), 60.0)
    transfer = dense_transfer(1e-6 + digits.reshape(8, 12) * 13e-6, r_word, r_bit) - 1e-6
    counted = np.zeros((len(x), 4, 3), int)
    for sign in (1, -1):
        for bit in range(4):
            driven = np.maximum(sign * code, 0) >> bit & 1
            units = np.rint(driven @ transfer.T / 13e-6).astype(int)
            counted += sign * 2**bit * np.maximum(units, 0).reshape(-1, 4, 3)
    result = counted @ np.array([1, 4, 16]) - 32 * code.sum(axis=1, keepdims=True)
    product = array.multiply(x, names(len(x)), 1)
    np.testing.assert_allclose(
        product.output, result * (largest / 15) * (full / 31), atol=1e-5 * abs(x @ weight.T).max()
    )
    assert (result != code @ (unsigned - 32)).any()  # the wires cost units


def correlated(samples, inputs, seed=0):
    """Inputs that a few directions and a few large elements dominate, none of them centred."""
    rng = np.random.default_rng(seed)
    directions = rng.standard_normal((4, inputs))
    x = (
        rng.standard_normal((samples, 4)) @ directions
        + 0.3 * rng.standard_normal((samples, inputs))
        + 0.5
    )
    x[:, 3] *= 10
    return x.astype(np.float32)


def build_with(study, weight, x):
    moment = (x.astype(float) ** 2).mean(axis=0)
    return with_ranges(
        program("layer.0.query", weight, moment, study, load_device(study.device.name)), x
    )


@pytest.mark.parametrize("sign", ["pair", "offset"])
@pytest.mark.parametrize("gain", ["column", "matrix"])
def test_the_digital_gain_is_least_squares_on_the_inputs(sign, gain):
    """Against a general solver on the products of the samples: gain of each output or of all, of unsigned weights also the
    weight of the inputs' sum of each output."""
    x, weight = correlated(300, 37), np.random.default_rng(2).standard_normal((21, 37))
    chosen = study(
        mapping={
            "word_lines": 16,
            "bit_lines": 12,
            "encoding": "slices",
            "sign": sign,
            "gain": gain,
        },
        effects=IDEAL | {"wires": True},
        wires=WIRES,
    )
    array = build_with(chosen, weight, x)
    wanted, found = x @ weight.T, x.astype(float) @ array.programmed.achieved_weight.T
    total = x.sum(axis=1, dtype=float)
    if gain == "column":
        columns = [found[:, [j]] for j in range(21)]
        rights = [wanted[:, j] for j in range(21)]
    else:
        columns, rights = [found.T.reshape(-1, 1)], [wanted.T.ravel()]
    if sign == "offset":
        sums = [total[:, None]] if gain == "column" else [np.kron(np.eye(21), total[:, None])]
        columns = [np.hstack([column, sums[0]]) for column in columns]
    best = [
        column @ np.linalg.lstsq(column, right, rcond=None)[0]
        for column, right in zip(columns, rights, strict=True)
    ]
    best = np.array(best).reshape(21, -1).T
    np.testing.assert_allclose(x @ array.folded.T, best, rtol=0, atol=2e-4 * abs(wanted).max())
    assert ((best - wanted) ** 2).mean() < 0.5 * ((found - wanted) ** 2).mean()
    if gain == "matrix":
        assert len(set(array.gain)) == 1
    else:
        assert len(set(array.gain)) == 21


def test_gains_without_cross_terms_are_those_of_independent_inputs():
    """Where the inputs are the ones to be multiplied: least squares over the weights, weighed with mean squares."""
    x, weight = correlated(50, 37), np.random.default_rng(2).standard_normal((21, 37))
    chosen = study(
        mapping={"word_lines": 16, "bit_lines": 12}, effects=IDEAL | {"wires": True}, wires=WIRES
    )
    moment = (x.astype(float) ** 2).mean(axis=0)
    programmed = program("layer.0.query", weight, moment, chosen, load_device("ideal"))
    array, root = with_ranges(programmed, x, cross_terms=False), np.sqrt(moment)
    for j in range(21):
        best = np.linalg.lstsq(
            (root * programmed.achieved_weight[j])[:, None], root * weight[j], rcond=None
        )[0][0]
        assert array.gain[j] == pytest.approx(best, rel=1e-9)
    assert abs(array.gain - with_ranges(programmed, x).gain).max() > 1e-3


def test_without_gain_nothing_is_corrected_and_zero_inputs_leave_gains_of_one():
    weight = np.random.default_rng(2).standard_normal((21, 37))
    for sign in ("pair", "offset"):
        mapping = {"word_lines": 16, "bit_lines": 12, "encoding": "slices", "sign": sign}
        plain = study(
            mapping=mapping | {"gain": "none"}, effects=IDEAL | {"wires": True}, wires=WIRES
        )
        array = build_with(plain, weight, correlated(50, 37))
        assert (array.gain == 1).all()
        np.testing.assert_allclose(array.folded, array.programmed.achieved_weight, rtol=1e-6)
        fitted = study(mapping=mapping, effects=IDEAL | {"wires": True}, wires=WIRES)
        idle = build_with(fitted, weight, np.zeros((3, 37), np.float32))
        assert (idle.gain == 1).all() and np.isfinite(idle.folded).all()


@pytest.mark.parametrize("sign", ["pair", "offset"])
def test_inputs_of_zero_give_zero_through_wires(sign):
    """Two-bit digits of offset binary put 128 codes on every word line; their result is subtracted as calibrated."""
    tables = {
        "effects": IDEAL | {"wires": True, "converters": True},
        "wires": WIRES,
        "adc": {"bits": 14, "range": "maximum"},
        "dac": {"encoding": "bit_serial", "digit_bits": 2, "range": "maximum"},
    }
    mapping = {
        "word_lines": 16,
        "bit_lines": 12,
        "encoding": "slices",
        "sign": sign,
        "clip": "maximum",
    }
    zero = np.zeros((1, 37), np.float32)
    _, x, array = build(study(mapping=mapping, **tables))
    size = array.multiply(x, names(len(x)), 1).output.std()
    assert abs(array.multiply(zero, names(1), 1).output).max() < 0.02 * size
    _, _, uncorrected = build(study(mapping=mapping | {"gain": "none"}, **tables))
    assert abs(uncorrected.multiply(zero, names(1), 1).output).max() > 0.1 * size


def test_one_bit_converters_pass_signs():
    """One row block of ideal cells: the sign of every input, the sign of every sum, levels that are mean magnitudes."""
    chosen = study(
        effects=IDEAL | {"converters": True},
        dac={"bits": 1},
        adc={"bits": 1},
        mapping={"gain": "none"},
    )
    weight, x, array = build(chosen)
    level = (abs(x).mean(axis=0) * (weight**2).sum(axis=0)).sum() / (weight**2).sum()
    total = np.where(x < 0, -level, level) @ weight.T
    expected = np.where(total < 0, -1, 1) * abs(total).mean(axis=0)
    product = array.multiply(x, names(len(x)), 1)
    np.testing.assert_allclose(product.output, expected, rtol=2e-3)
    np.testing.assert_array_equal(product.dac_saturations, (abs(x) > 2 * level).sum(axis=1))
    beyond = (abs(total) > 2 * abs(total).mean(axis=0)).sum(axis=1)
    assert abs(product.adc_saturations - beyond).sum() <= 2
    assert beyond.sum() > 100


@pytest.mark.parametrize(
    "tables",
    [
        {"dac": {"bits": 1}},
        {"adc": {"bits": 1}},
        {"dac": {"bits": 1, "polarity": "two_phase", "encoding": "pulse_width"}},
        {"adc": {"bits": 1}, "mapping": {"subtraction": "digital"}},
    ],
)
def test_one_bit_of_either_converter_keeps_a_part_of_the_signal(tables):
    weight, x, array = build(study(effects=IDEAL | {"converters": True}, **tables))
    output = array.multiply(x, names(len(x)), 1).output
    assert np.isfinite(output).all()
    assert 0.5 < np.corrcoef(output.ravel(), (x @ weight.T).ravel())[0, 1] < 0.95


def test_one_bit_leaves_no_digit_for_bit_serial_inputs():
    with pytest.raises(ConfigError, match="dac.bits = 1 is a sign without a digit"):
        study(dac={"bits": 1, "encoding": "bit_serial"})


def test_saturations_are_counted():
    chosen = study(
        effects=IDEAL | {"converters": True},
        dac={"range": "quantile", "quantile": 0.9},
        adc={"range": "quantile", "quantile": 0.9},
        mapping={"clip": "maximum"},
    )
    _, x, array = build(chosen)
    product = array.multiply(10 * x, names(len(x)), 1)
    assert product.dac_saturations.sum() > 0.7 * x.size
    assert array.multiply(x / 100, names(len(x)), 1).dac_saturations.sum() == 0
    held = array.multiply(x, names(len(x)), 1)
    assert 0.005 * held.output.size < held.adc_saturations.sum() < 0.2 * held.output.size


def test_programming_depends_on_the_seed_alone():
    chosen = study(device={"name": "rram-wan2022"}, mapping={"word_lines": 16, "bit_lines": 16})
    first, again = build(chosen)[2].programmed, build(chosen)[2].programmed
    np.testing.assert_array_equal(first.achieved_weight, again.achieved_weight)
    other = build(chosen.model_copy(update={"seed": 5}))[2].programmed
    assert (first.achieved_weight != other.achieved_weight).mean() > 0.99


def test_layer_overrides_reach_their_matrix_only():
    chosen = study(
        effects=IDEAL | {"converters": True}, layer=[{"match": "layer.0.*", "adc": {"bits": 3}}]
    )
    assert build(chosen)[2].codes[1] == 3
    assert chosen.for_layer("layer.1.query").adc.bits == 8


def test_events_of_one_row():
    chosen = study(mapping={"word_lines": 16, "bit_lines": 12})
    _, _, array = build(chosen)  # 37 x 21: 3 row blocks, 2 column blocks, pairs on twins
    assert array.events_per_row.by_name() == {
        "tile_reads": 12,
        "adc_conversions": 63,
        "shift_adds": 63,
        "dac_drives": 4 * 37,
        "comparisons": 0,
        "multiplications": 0,
    }


def test_bad_matrices_and_samples_are_refused():
    chosen, device = study(), load_device("ideal")
    with pytest.raises(ShapeError, match="must be a matrix"):
        program("layer.0.query", np.zeros(3), np.ones(3), chosen, device)
    with pytest.raises(OutOfRangeError, match="NaN or infinity"):
        program("layer.0.query", np.full((2, 3), np.nan), np.ones(3), chosen, device)
    programmed = build(chosen)[2].programmed
    with pytest.raises(ShapeError, match=r"must be \(samples, 37\)"):
        with_ranges(programmed, np.zeros((4, 36), np.float32))
    with pytest.raises(OutOfRangeError, match="NaN"):
        with_ranges(programmed, np.full((4, 37), np.nan, np.float32))


def test_unused_cells_are_low_or_open_whatever_the_window():
    """Power at 1 V on every word line is the sum of the conductances: 100 µS more for every unused cell that is low."""
    power = {}
    for unused in ("low", "open"):
        chosen = study(
            device={"name": "1t1r-hong2025"},
            mapping={"unused": unused, "clip": "maximum"},
            effects=IDEAL,
        )
        weight, _, array = build(chosen)  # 37 x 21 of 128 x 128, on twin tiles
        np.testing.assert_allclose(
            array.programmed.achieved_weight, weight, atol=1e-5 * abs(weight).max()
        )
        power[unused] = array.programmed.power[0].sum()
    assert power["low"] - power["open"] == pytest.approx(2 * 37 * (128 - 21) * 100e-6, rel=1e-4)


def test_adc_ranges_of_a_tile_are_the_widest_of_its_bit_lines():
    """37 x 21 on tiles of 16 x 12: a range for each of 3 row blocks and 2 column blocks, or for each bit line."""
    mapping = {"word_lines": 16, "bit_lines": 12, "clip": "maximum", "scale": "matrix"}
    tables = {"mapping": mapping, "effects": IDEAL | {"converters": True}}
    weight, x, own = build(study(adc={"range": "maximum"}, **tables))
    _, _, shared = build(study(adc={"range": "maximum", "per": "tile"}, **tables))
    volts = 0.2 * own.coder.hold(x)[0] / own.coder.full_scale
    for block, (first, last) in enumerate([(0, 16), (16, 32), (32, 37)]):
        current = volts[:, first:last] @ (weight[:, first:last].T / abs(weight).max() * 39e-6)
        largest = abs(current).max(axis=0)
        np.testing.assert_allclose(own.lsb[block][0], largest / 127, rtol=1e-4)
        expected = np.repeat([largest[:12].max(), largest[12:].max()], [12, 9])
        np.testing.assert_allclose(shared.lsb[block][0], expected / 127, rtol=1e-4)
