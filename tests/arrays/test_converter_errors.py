"""Converters that are not ideal, conversion by conversion against slow ones that are written here."""

import dataclasses

import numpy as np
import pytest
from array_cases import IDEAL, build, names, study

from xbarsim.arrays.in_situ.converters import CodeRange, sar_levels, thermometer_levels
from xbarsim.devices.presets import load_device
from xbarsim.devices.streams import CONVERTERS
from xbarsim.hardware.attention import WrittenAttention
from xbarsim.hardware.steps import Tokens
from xbarsim.models.graph import Block, Transformer, graph_of

CONVERTED = IDEAL | {"converters": True}
TILES = {"word_lines": 16, "bit_lines": 12, "clip": "maximum"}
MAPPINGS = {
    "pair": {},
    "neighbour": {"placement": "neighbour"},
    "digital": {"subtraction": "digital"},
    "slices": {"encoding": "slices", "weight_bits": 5, "bits_per_cell": 2},
    "offset": {"encoding": "slices", "weight_bits": 4, "bits_per_cell": 2, "sign": "offset"},
    "side by side": {
        "encoding": "slices",
        "weight_bits": 4,
        "bits_per_cell": 2,
        "placement": "neighbour",
        "subtraction": "digital",
    },
}
DACS = {
    "amplitude": {"bits": 5},
    "two phases": {"bits": 5, "polarity": "two_phase"},
    "serial": {"bits": 4, "encoding": "bit_serial"},
    "digits": {"bits": 5, "encoding": "bit_serial", "digit_bits": 2},
    "token": {"bits": 5, "scaling": "token"},
    "block": {"bits": 5, "scaling": "block"},
}
SIGMA = {"offset_lsb": 1.3, "gain_error": 0.05, "element_spread": 0.2}


# ---------------------------------------------------------------- slow converters


def thermometer(elements, x):
    """Elements that are on: each when the current reaches the middle of its step."""
    scale = len(elements) / sum(elements)
    thresholds = []
    level = 0.0
    for element in elements:
        thresholds.append(level + element * scale - 0.5)
        level += element * scale
    thresholds[0] = elements[0] * scale - 0.5
    return int(np.searchsorted(thresholds, x, side="right"))


def trials(capacitors, x):
    """Bit by bit from the largest capacitor; kept if the current is not below."""
    scale = (2 ** len(capacitors) - 1) / sum(capacitors)
    held = 0.0
    code = 0
    for bit in reversed(range(len(capacitors))):
        if x + 0.5 >= held + capacitors[bit] * scale:
            held += capacitors[bit] * scale
            code += 2**bit
    return code


@dataclasses.dataclass
class Slow:
    """One converter: everything it needs, drawn for it alone."""

    steps: str
    bits: int
    signed: bool
    gain: float
    offset: float
    elements: np.ndarray

    def convert(self, current, lsb):
        """(code, whether it was held)"""
        x = current / lsb * self.gain + self.offset
        unsigned = x + 2 ** (self.bits - 1) * self.signed
        top = 2**self.bits - 1
        if unsigned < -0.5:
            code = -1
        elif unsigned >= top + 0.5:
            code = top + 1
        elif self.steps == "thermometer":
            code = thermometer(self.elements, unsigned)
        else:
            code = trials(self.elements, unsigned)
        code -= 2 ** (self.bits - 1) * self.signed
        lowest = -(2 ** (self.bits - 1) - 1) if self.signed else 0
        highest = 2 ** (self.bits - 1) - 1 if self.signed else top
        held = min(max(code, lowest), highest)
        return held, held != code


def converters_of(array, block, adc, signed):
    """{(conversion, output): Slow} of a row block, tile by tile and bit line by bit line."""
    layout, mapping = array.programmed.layout, array.programmed.settings.mapping
    paired = mapping.sign == "pair" and mapping.subtraction == "analog"
    conversions = layout.planes // 2 if paired else layout.planes
    found = {}
    for column_block in range(layout.column_blocks):
        for conversion in range(conversions):
            plane = 2 * conversion if paired else conversion
            tile = block * layout.tiles_per_row_block + column_block
            if layout.placement == "twin":
                tile = (block * layout.column_blocks + column_block) * layout.planes + plane
            sequence = np.random.SeedSequence(7, spawn_key=(0, tile, CONVERTERS))
            generator = np.random.Generator(np.random.PCG64(sequence))
            count = -(-layout.bit_lines // adc.shared_by)
            gains, offsets = generator.standard_normal((2, count))
            if adc.steps == "thermometer":
                drawn = generator.standard_normal((count, 2**adc.bits - 1))
                elements = 1 + adc.element_spread * drawn
            else:
                units = 2.0 ** np.arange(adc.bits)
                drawn = generator.standard_normal((count, adc.bits))
                elements = units + adc.element_spread * np.sqrt(units) * drawn
            for place in range(layout.outputs_per_tile):
                output = column_block * layout.outputs_per_tile + place
                line = place
                if layout.placement == "neighbour":
                    line = place * conversions + conversion
                number = line // adc.shared_by
                found[conversion, output] = Slow(
                    adc.steps,
                    adc.bits,
                    signed,
                    1 + adc.gain_error * gains[number],
                    adc.offset_lsb * offsets[number],
                    elements[number],
                )
    return found


def slow_product(array, x):
    """Outputs and saturations of rows x, conversion by conversion."""
    programmed, coder = array.programmed, array.coder
    adc = programmed.settings.adc
    scaled = array.scale.scaled(x)
    held, _ = coder.hold(scaled.values)
    output = np.zeros((len(x), programmed.layout.outputs))
    saturations = np.zeros(len(x), int)
    conversions, outputs = programmed.value.shape
    signed = array.codes[0] < 0
    for block, transfer in enumerate(programmed.transfer):
        slow = converters_of(array, block, adc, signed)
        rows = programmed.layout.rows(block)
        volts = coder.phases(held)[:, :, rows].astype(float)
        current = (volts @ transfer.astype(float).T).reshape(*volts.shape[:2], conversions, outputs)
        for b, p, c, j in np.ndindex(current.shape):
            lsb = float(array.lsb[block][c, j])
            code, beyond = slow[c, j].convert(current[b, p, c, j], lsb)
            saturations[b] += beyond
            value = code * lsb * programmed.value[c, j] * array.gain[j] * coder.phase_weight[p]
            if scaled.scales is not None:
                value *= scaled.scales[b, array.scale.part_of(rows.start)]
            output[b, j] += value
    for number, part in enumerate(array.scale.parts):
        sums = (held[:, part] + coder.shift).sum(axis=1, keepdims=True)
        known = sums * array.input_sum_weight + array.constant[number]
        output += known if scaled.scales is None else known * scaled.scales[:, number, None]
    return output, saturations


CASES = [("pair", dac) for dac in DACS] + [(name, "serial") for name in MAPPINGS]
CASES += [("digital", "two phases"), ("side by side", "amplitude"), ("offset", "digits")]


@pytest.mark.parametrize("steps", ["thermometer", "sar"])
@pytest.mark.parametrize(("mapping", "dac"), CASES)
def test_every_conversion_is_that_of_a_slow_converter(mapping, dac, steps):
    adc = SIGMA | {"bits": 5, "steps": steps, "shared_by": 5, "per": "tile", "range": "quantile"}
    chosen = study(
        mapping=TILES | MAPPINGS[mapping],
        dac=DACS[dac],
        adc=adc | {"quantile": 0.97},
        effects=CONVERTED,
        seed=7,
    )
    _, x, array = build(chosen)
    rows = x[:12]
    expected, saturations = slow_product(array, rows)
    product = array.multiply(rows, names(12), 3)
    np.testing.assert_array_equal(product.adc_saturations, saturations)
    assert saturations.sum() > 0
    np.testing.assert_allclose(product.output, expected, rtol=0, atol=1e-5 * np.abs(expected).max())
    counted = product.code_counts
    total = array.events_per_row.adc_conversions * 12
    assert counted.codes.sum() + counted.beyond.sum() == total
    assert counted.beyond.sum() == saturations.sum()
    ideal = build(
        chosen.model_copy(update={"adc": chosen.adc.model_copy(update=dict.fromkeys(SIGMA, 0.0))})
    )[2]
    assert np.abs(ideal.multiply(rows, names(12), 3).output - expected).max() > 0.01


# ---------------------------------------------------------------- levels


@pytest.mark.parametrize(("lowest", "highest", "bits"), [(-15, 15, 5), (0, 31, 5), (0, 1, 1)])
@pytest.mark.parametrize("spread", [0.0, 0.1, 0.6])
def test_levels_are_where_slow_converters_change_their_code(lowest, highest, bits, spread):
    rng = np.random.default_rng(5)
    codes = CodeRange(lowest, highest)
    units = 2.0 ** np.arange(bits)
    elements = np.abs(1 + spread * rng.standard_normal((8, codes.elements)))
    capacitors = np.abs(units + spread * np.sqrt(units) * rng.standard_normal((8, bits)))
    signed = lowest < 0
    current = rng.uniform(lowest - 3, highest + 3, 400)
    for steps, drawn, levels in (
        ("thermometer", elements, thermometer_levels(elements, codes)),
        ("sar", capacitors, sar_levels(capacitors, codes)),
    ):
        for own, begin in zip(drawn, levels, strict=True):
            slow = Slow(steps, bits, signed, 1.0, 0.0, own)
            expected = [slow.convert(x, 1.0)[0] for x in current]
            found = lowest - 1 + np.searchsorted(np.sort(begin), current, side="right")
            np.testing.assert_array_equal(np.clip(found, lowest, highest), expected)
        if spread == 0:
            even = np.arange(lowest, highest + 2) - 0.5
            np.testing.assert_allclose(levels, np.tile(even, (8, 1)), rtol=0, atol=1e-12)


def test_spread_of_levels_is_that_of_a_bridge():
    """Elements between two fixed ends: variance k (N - k) / N of level k, in units of one
    element's."""
    rng = np.random.default_rng(6)
    codes = CodeRange(0, 63)
    levels = thermometer_levels(1 + 0.01 * rng.standard_normal((20_000, 63)), codes)
    k = np.arange(1, 63)
    found = (levels[:, 1:63] - (k - 0.5)).std(axis=0)
    np.testing.assert_allclose(found, 0.01 * np.sqrt(k * (63 - k) / 63), rtol=0.03)
    np.testing.assert_allclose(levels[:, 0], -0.5)
    np.testing.assert_allclose(levels[:, 63:], np.tile([62.5, 63.5], (20_000, 1)))


def test_a_large_capacitor_leaves_codes_out():
    """8.9 in the place of 8: codes below it are given up to its level, and one is never given."""
    codes = CodeRange(0, 15)
    weights = np.array([[1.0, 2, 4, 8.9]])
    levels = sar_levels(weights, codes)
    step = 15 / 15.9
    np.testing.assert_allclose(levels[0, 8], 8.9 * step - 0.5)
    assert levels[0, 8] - levels[0, 7] > 1.7  # code 7 stays until the largest is kept
    small = sar_levels(np.array([[1.0, 2, 4, 5.5]]), codes)
    np.testing.assert_allclose(small[0, 6:9], 5.5 * 15 / 12.5 - 0.5)  # 6 and 7 are never given


def test_a_table_shifts_the_level_of_every_code():
    rng = np.random.default_rng(1)
    table = rng.normal(0, 0.8, 15)
    chosen = study(
        mapping=TILES,
        dac={"bits": 5},
        adc={"bits": 4, "inl_lsb": table.tolist()},
        effects=CONVERTED,
    )
    _, x, array = build(chosen, inputs=16, outputs=9)
    even = build(
        study(mapping=TILES, dac={"bits": 5}, adc={"bits": 4}, effects=CONVERTED),
        inputs=16,
        outputs=9,
    )[2]
    np.testing.assert_array_equal(array.lsb[0], even.lsb[0])  # ranges know nothing of it
    programmed, coder = array.programmed, array.coder
    held, _ = coder.hold(x)
    current = coder.phases(held)[:, 0] @ programmed.transfer[0].T / array.lsb[0][0]
    begin = sorted(np.append(np.arange(-7, 8) - 0.5 + table, 7.5 + table[-1]))
    code = -8 + np.searchsorted(begin, current, side="right")
    product = array.multiply(x, names(len(x)), 1)
    np.testing.assert_array_equal(product.adc_saturations, (np.abs(code) > 7).sum(axis=1))
    value = array.lsb[0][0] * programmed.value[0] * array.gain * coder.phase_weight[0]
    np.testing.assert_allclose(product.output, np.clip(code, -7, 7) * value, rtol=1e-5, atol=1e-6)
    assert array.errors[0].missing_codes == 0 and array.errors[0].converters == 9


def test_one_bit_compares_with_its_offset():
    chosen = study(
        mapping=TILES,
        dac={"bits": 5},
        adc={"bits": 1, "offset_lsb": 0.7},
        effects=CONVERTED,
        seed=7,
    )
    _, x, array = build(chosen, inputs=16, outputs=9)
    held, _ = array.coder.hold(x)
    current = array.coder.phases(held)[:, 0] @ array.programmed.transfer[0].T / array.lsb[0][0]
    sequence = np.random.SeedSequence(7, spawn_key=(0, 0, CONVERTERS))
    offset = np.random.Generator(np.random.PCG64(sequence)).standard_normal((2, 12))[1, :9] * 0.7
    sign = np.where(current + offset < 0, -1, 1)
    value = array.lsb[0][0] * array.programmed.value[0] * array.gain * array.coder.phase_weight[0]
    found = array.multiply(x, names(len(x)), 1).output
    np.testing.assert_allclose(found, sign * value, rtol=1e-5)


# ---------------------------------------------------------------- noise and full scales


@pytest.mark.parametrize("dac", [{"bits": 5}, {"bits": 4, "encoding": "bit_serial"}])
@pytest.mark.parametrize("unit", ["noise_ua", "noise_lsb"])
def test_noise_of_conversions_has_its_size_and_a_name(unit, dac):
    """Against the same array without it: of every phase and row block, added with the weights of
    their codes; the same bits in any batch."""
    tables = {"mapping": TILES, "dac": dac, "effects": CONVERTED}
    full_scale = {"bits": 12, "full_scale_ua": 300.0}
    lsb_ua = 300.0 / 2047
    stated = 3.0 * (lsb_ua if unit == "noise_ua" else 1.0)
    quiet = build(study(**tables, adc=full_scale))[2]
    _, x, array = build(study(**tables, adc=full_scale | {unit: stated}))
    rows = np.tile(x[:1], (3000, 1))
    product = array.multiply(rows, names(3000), 5)
    error = product.output - quiet.multiply(rows, names(3000), 5).output
    code = 3.0 * lsb_ua * 1e-6 * array.programmed.value[0] * array.gain
    phases = np.sqrt((array.coder.phase_weight**2).sum())
    expected = np.abs(code) * phases * np.sqrt(array.programmed.layout.row_blocks)
    np.testing.assert_allclose(error.std(axis=0), expected, rtol=0.08)
    rounded = 0.5 / 3  # LSB of the quiet conversions, over the noise
    assert np.abs(error.mean(axis=0) / expected).max() < rounded + 5 / np.sqrt(3000)
    correlation = np.corrcoef(error.T) - np.eye(21)
    assert np.abs(correlation).max() < 0.1
    alone = array.multiply(rows[100:103], names(3, first=100), 5)
    np.testing.assert_array_equal(alone.output, product.output[100:103])
    assert (array.multiply(rows[:3], names(3), 6).output != product.output[:3]).any()


def test_a_stated_full_scale_is_that_of_the_highest_code():
    chosen = study(
        mapping=TILES, dac={"bits": 5}, adc={"bits": 6, "full_scale_ua": 40.0}, effects=CONVERTED
    )
    _, x, array = build(chosen)
    for lsb in array.lsb:
        np.testing.assert_allclose(lsb, 40e-6 / 31, rtol=1e-6)
    assert array.errors is None


def test_a_stated_read_voltage_scales_currents_and_energy():
    tables = {"mapping": TILES, "effects": CONVERTED}
    _, x, array = build(study(**tables))
    doubled = build(study(**tables, dac={"full_scale_v": 0.4}))[2]
    product, louder = (each.multiply(x, names(len(x)), 1) for each in (array, doubled))
    np.testing.assert_allclose(louder.array_energy, 4 * product.array_energy, rtol=1e-5)
    np.testing.assert_allclose(doubled.lsb[0], 2 * array.lsb[0], rtol=1e-5)
    np.testing.assert_allclose(louder.output, product.output, atol=0.03 * product.output.std())


# ---------------------------------------------------------------- drivers

DRIVERS = [
    ({"bits": 4}, 15),
    ({"bits": 4, "polarity": "two_phase"}, 8),
    ({"bits": 4, "encoding": "pulse_width"}, 15),
    ({"bits": 5, "encoding": "bit_serial", "digit_bits": 2}, 4),
]


def table_of_codes(codes, signed):
    table = np.random.default_rng(3).normal(0, 0.3, codes)
    table[codes // 2 if signed else 0] = 0.0
    return table


@pytest.mark.parametrize(("dac", "codes"), DRIVERS)
@pytest.mark.parametrize("bits", ["ideal", 14])
def test_uneven_drivers_put_the_voltage_of_their_table_on_the_lines(dac, codes, bits):
    """Code by code; what is known digitally of the inputs stays as it is."""
    signed = dac.get("encoding") != "bit_serial" and dac.get("polarity") != "two_phase"
    table = table_of_codes(codes, signed)
    mapping = TILES | {"encoding": "slices", "weight_bits": 6, "sign": "offset"}
    tables = {"mapping": mapping, "effects": CONVERTED, "adc": {"bits": bits, "range": "maximum"}}
    _, x, even = build(study(**tables, dac=dac))
    array = build(study(**tables, dac=dac | {"inl_lsb": table.tolist()}))[2]
    held, _ = array.coder.hold(x)
    step = 0.2 / (codes - 1 if not signed else codes // 2)
    volts = even.coder.phases(held)
    expected = np.zeros_like(volts)
    for place, volt in np.ndenumerate(volts):
        code = round(float(volt) / step)
        expected[place] = (code + table[code + (codes // 2 if signed else 0)]) * step
    np.testing.assert_allclose(array.coder.phases(held), expected, atol=1e-7)
    added = np.einsum("bpm,p->bm", expected - volts, array.coder.phase_weight)
    currents = np.concatenate(
        [
            np.einsum("co,coi->oi", even.programmed.value, block.reshape(-1, 21, block.shape[1]))
            for block in even.programmed.transfer
        ],
        axis=1,
    )
    exact = even.multiply(x, names(len(x)), 1).output + added @ (currents * even.gain[:, None]).T
    found = array.multiply(x, names(len(x)), 1).output
    tolerance = 2e-6 if bits == "ideal" else 2e-2
    np.testing.assert_allclose(found, exact, rtol=0, atol=tolerance * np.abs(exact).max())
    assert np.abs(added).max() > 0.05


@pytest.mark.parametrize("bits", ["ideal", 14])
def test_noise_of_drivers_meets_the_weights_of_driven_lines_alone(bits):
    tables = {"mapping": TILES, "effects": CONVERTED, "adc": {"bits": bits, "range": "maximum"}}
    dac = {"bits": 6, "polarity": "two_phase"}
    _, x, quiet = build(study(**tables, dac=dac), samples=300)
    _, _, array = build(study(**tables, dac=dac | {"noise_mv": 2.0}), samples=300)
    rows = np.tile(x[:1], (4000, 1))
    rows[:, ::3] = 0.0
    product = array.multiply(rows, names(4000), 5)
    error = product.output - quiet.multiply(rows, names(4000), 5).output
    held, _ = array.coder.hold(rows[:1])
    driven = (array.coder.phases(held) != 0).sum(axis=1)[0]  # phases in which a line is driven
    assert set(driven) == {0, 1}
    weight = array.programmed.achieved_weight * array.gain[:, None]
    per_volt = array.coder.phase_weight[0] * 2e-3
    expected = per_volt * np.sqrt((weight**2) @ driven)
    np.testing.assert_allclose(error.std(axis=0), expected, rtol=0.06)
    covariance = per_volt**2 * (weight * driven) @ weight.T  # one driver serves all bit lines
    scale = np.sqrt(np.outer(np.diag(covariance), np.diag(covariance)))
    np.testing.assert_allclose(np.corrcoef(error.T), covariance / scale, atol=0.08)
    alone = array.multiply(rows[100:103], names(3, first=100), 5)
    if bits != "ideal":
        np.testing.assert_array_equal(alone.output, product.output[100:103])
    nothing = array.multiply(np.zeros_like(rows[:2]), names(2), 5).output
    np.testing.assert_array_equal(nothing, 0)


def test_converter_errors_can_be_left_out():
    uneven = {"adc": SIGMA | {"steps": "sar", "noise_lsb": 2.0}, "dac": {"noise_mv": 1.0}}
    left_out = CONVERTED | {"without": ["converter_errors"]}
    _, x, array = build(study(mapping=TILES, effects=left_out, **uneven))
    plain = build(study(mapping=TILES, effects=CONVERTED))[2]
    found, expected = (each.multiply(x, names(len(x)), 1).output for each in (array, plain))
    np.testing.assert_array_equal(found, expected)


# ---------------------------------------------------------------- attention


def attention(**adc):
    chosen = study(
        mapping=TILES,
        dac={"bits": 6},
        adc={"bits": 8} | adc,
        effects=CONVERTED,
        products={"attention": "in_situ"},
    )
    scores = graph_of(
        Transformer(
            layers=1,
            hidden=24,
            heads=2,
            key_value_heads=2,
            head_width=12,
            intermediate=8,
            block=Block.POST_NORM,
            causal=False,
            embeddings_norm=True,
            activation_name="gelu",
        ),
        sequence=8,
    ).step("layer.0.attention_scores")
    device = load_device("ideal").in_study(chosen)
    return WrittenAttention(scores, index=3, settings=chosen, seed=9, device=device)


def test_a_head_has_the_same_converters_in_every_sentence():
    """Equal sentences in two batches, on cells without error: equal but for their place."""
    rng = np.random.default_rng(2)
    a = np.tile(rng.standard_normal((1, 1, 8, 12)), (2, 2, 1, 1)).astype(np.float32)
    b = np.tile(rng.standard_normal((1, 1, 12, 8)), (2, 2, 1, 1)).astype(np.float32)
    mask = np.ones((2, 8), bool)
    product = attention(offset_lsb=4.0)
    first, _ = product.multiply(a, b, Tokens(mask, 0))
    later, _ = product.multiply(a[:1], b[:1], Tokens(mask[:1], 17))
    np.testing.assert_array_equal(first[0], first[1])
    np.testing.assert_array_equal(first[:1], later)
    plain, _ = attention().multiply(a, b, Tokens(mask, 0))
    error = first[0] - plain[0]
    assert np.abs(error).max() > 0.01 and (error[0] != error[1]).any()
