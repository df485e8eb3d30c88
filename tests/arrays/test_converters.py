"""DAC phases and ADC codes against plain integer arithmetic."""

import numpy as np
import pytest

from xbarsim.arrays.in_situ.input_coder import InputCoder
from xbarsim.arrays.in_situ.ranges import adc_full_scale, code_range
from xbarsim.config.arrays import Adc, Dac
from xbarsim.kernels.arrays.converters import add_known, convert_accumulate
from xbarsim.kernels.devices.random import add_normal, mix, normal_pair, row_keys

CODERS = [
    ("amplitude", "signed", 1),
    ("amplitude", "two_phase", 1),
    ("pulse_width", "two_phase", 1),
    ("bit_serial", "signed", 1),
    ("bit_serial", "signed", 2),
    ("bit_serial", "signed", 3),
    ("bit_serial", "two_phase", 1),
    ("bit_serial", "two_phase", 2),
    ("bit_serial", "two_phase", 3),
]


def coder_of(encoding, polarity, digit_bits, bits=8, full_scale=3.0):
    return InputCoder(encoding, polarity, digit_bits, bits, full_scale, read_voltage=0.2)


@pytest.mark.parametrize("kind", CODERS)
@pytest.mark.parametrize("bits", [2, 5, 8])
def test_phases_and_weights_restore_the_held_input(kind, bits):
    coder = coder_of(*kind, bits=bits)
    x = np.random.default_rng(0).uniform(-3, 3, (50, 9)).astype(np.float32)
    held, outside = coder.hold(x)
    assert not outside.any()
    assert np.abs(held - x).max() <= coder.lsb * 0.501
    volts = coder.phases(held)
    assert np.abs(volts).max() <= 0.2 * (1 + 1e-6)
    if not coder.signed_voltages:
        assert volts.min() >= 0
    restored = np.einsum("bpi,p->bi", volts, coder.phase_weight) - coder.shift
    np.testing.assert_allclose(restored, held, atol=3e-6)


def test_bit_serial_phases_are_the_bits_of_twos_complement():
    coder = coder_of("bit_serial", "signed", 1, bits=4, full_scale=7.0)
    volts = coder.phases(np.array([[-7.0, -1, 0, 5]], np.float32))
    bits = (volts[0] > 0.1).astype(int)  # (p, inputs), least significant first
    expected = [[code >> p & 1 for code in (-7 & 15, -1 & 15, 0, 5)] for p in range(4)]
    np.testing.assert_array_equal(bits, expected)


def test_two_phase_digits_are_those_of_the_magnitudes():
    coder = coder_of("bit_serial", "two_phase", 2, bits=6, full_scale=31.0)
    digits = np.rint(coder.phases(np.array([[-27.0, 0, 14]], np.float32))[0] * 3 / 0.2)
    np.testing.assert_array_equal(
        digits, [[0, 0, 2], [0, 0, 3], [0, 0, 0], [3, 0, 0], [2, 0, 0], [1, 0, 0]]
    )


def test_inputs_beyond_full_scale_are_held_and_counted():
    held, outside = coder_of("amplitude", "signed", 1).hold(
        np.array([[3.1, -9, 0.5], [1, 2, 3]], np.float32)
    )
    np.testing.assert_array_equal(outside, [2, 0])
    np.testing.assert_allclose(held[0, :2], [3, -3], rtol=1e-6)


def test_codes_of_inputs_are_the_nearest_ones():
    """Those of NumPy, ties to even; what is no number stays so, and is not counted."""
    coder = coder_of("amplitude", "signed", 1, bits=4, full_scale=7.0)  # of 1 per code
    x = np.array([[0.5, 1.5, -2.5, 0.2, -0.0, 7.4, -7.6, np.nan], [9, 8, 7, 6, 5, 4, 3, 2]])
    held, outside = coder.hold(x.astype(np.float32))
    np.testing.assert_array_equal(held, np.clip(np.rint(x), -7, 7))
    np.testing.assert_array_equal(outside, [1, 2])


def test_what_is_known_digitally_is_added():
    out = np.array([[1, 2, 3], [4, 5, 6]], np.float32)
    sums = np.array([10, -1], np.float32)
    weight = np.array([1, 0, 0.5], np.float32)
    constant = np.array([0, 0.25, -1], np.float32)
    add_known(out, sums, weight, constant)
    np.testing.assert_array_equal(out, [[11, 2.25, 7], [3, 5.25, 4.5]])


def test_one_bit_is_the_sign():
    coder = coder_of("amplitude", "signed", 1, bits=1)
    held, outside = coder.hold(np.array([[-0.1, 0.2, 6.1], [0.0, -5.9, 3.0]], np.float32))
    np.testing.assert_array_equal(held, [[-3, 3, 3], [3, -3, 3]])
    np.testing.assert_array_equal(outside, [1, 0])
    for encoding, polarity in (("amplitude", "signed"), ("pulse_width", "two_phase")):
        coder = coder_of(encoding, polarity, 1, bits=1)
        restored = np.einsum("bpi,p->bi", coder.phases(held), coder.phase_weight)
        np.testing.assert_allclose(restored, held, rtol=1e-6)
    assert (
        code_range(1, True) == (-1, 1)
        and code_range(1, False) == (0, 1)
        and code_range(2, True) == (-1, 1)
    )


def test_one_bit_levels_are_the_nearest_ones():
    """By brute force over levels: of an ADC for each line, of a DAC weighed with the weights behind each input."""
    rng = np.random.default_rng(8)
    x = rng.standard_normal((500, 4)).astype(np.float32) * np.array([1, 2, 5, 0.1], np.float32)
    power = np.array([1.0, 3.0, 0.2, 7.0])
    levels = np.linspace(0.01, 6, 6000)

    def best(error):
        return levels[np.argmin([error(level) for level in levels])]

    found = adc_full_scale(x, Adc(bits=1), *code_range(1, True))
    expected = [best(lambda level, j=j: ((abs(x[:, j]) - level) ** 2).sum()) for j in range(4)]
    np.testing.assert_allclose(found, expected, atol=0.002)
    coder = InputCoder.covering(x, power, Dac(bits=1), 0.2, ideal=False)
    nearest = best(lambda level: ((abs(x) - level) ** 2).sum(axis=0) @ power)
    assert coder.full_scale == pytest.approx(nearest, abs=2e-3)
    assert InputCoder.covering(0 * x, power, Dac(bits=1), 0.2, ideal=False).full_scale == 1
    unsigned = adc_full_scale(abs(x), Adc(bits=1), *code_range(1, False))  # codes 0 and 1
    for j in range(4):
        candidates = abs(x[:, j]).max() * np.geomspace(0.15, 1, 17)
        error = [
            ((abs(x[:, j]) - np.clip(np.round(abs(x[:, j]) / level), 0, 1) * level) ** 2).sum()
            for level in candidates
        ]
        assert unsigned[j] == pytest.approx(candidates[np.argmin(error)], rel=1e-5)
    assert adc_full_scale(x, Adc(bits=1, range="maximum"), -1, 1) == pytest.approx(
        abs(x).max(axis=0), rel=1e-6
    )


def test_drive_energy_is_the_quadratic_form_and_pulse_width_its_diagonal():
    rng = np.random.default_rng(3)
    power = rng.uniform(0, 1e-6, (6, 6))
    power = (power + power.T).astype(np.float32)
    held = rng.uniform(-3, 3, (4, 6)).astype(np.float32)
    amplitude, pulse = coder_of("amplitude", "signed", 1), coder_of("pulse_width", "signed", 1)
    volts = held * 0.2 / 3
    expected = [1e-7 * v @ power @ v for v in volts]
    np.testing.assert_allclose(
        amplitude.drive_energy(amplitude.phases(held), power, 1e-7), expected, rtol=1e-5
    )
    expected = [
        1e-7 * sum(0.2**2 * abs(x) / 3 * power[i, i] for i, x in enumerate(row)) for row in held
    ]
    np.testing.assert_allclose(
        pulse.drive_energy(pulse.phases(held), power, 1e-7), expected, rtol=1e-5
    )


@pytest.mark.parametrize("kind", CODERS)
def test_drive_energy_adds_the_phases(kind):
    """Phase by phase and input by input, for the time that each drives the tile."""
    coder, rng = coder_of(*kind), np.random.default_rng(7)
    power = np.diag(rng.uniform(0, 1e-6, 6)).astype(np.float32)
    volts = coder.phases(coder.hold(rng.uniform(-3, 3, (4, 6)).astype(np.float32))[0])
    expected = np.zeros(4)
    for row in range(4):
        for phase in volts[row]:
            for i, volt in enumerate(phase):
                watt_per_volt = power[i, i] * (0.2 if kind[0] == "pulse_width" else abs(volt))
                expected[row] += abs(volt) * watt_per_volt * 1e-7
    np.testing.assert_allclose(coder.drive_energy(volts, power, 1e-7), expected, rtol=1e-5)


@pytest.mark.parametrize("signed", [True, False])
def test_conversion_equals_rounding_and_adding_in_plain_loops(signed):
    rng = np.random.default_rng(4)
    b, p, c, n = 3, 2, 2, 7
    lowest, highest = code_range(5, signed)
    current = rng.normal(0, 20, (b, p, c, n)).astype(np.float32)
    inverse = rng.uniform(0.5, 1.5, (c, n)).astype(np.float32)
    weight, phase = (
        rng.normal(size=(c, n)).astype(np.float32),
        rng.normal(size=p).astype(np.float32),
    )
    out = np.zeros((b, n), np.float32)
    saturated, limits = np.zeros(b, np.int64), (np.float32(lowest), np.float32(highest))
    for part in (
        slice(0, 4),
        slice(4, 12),
        slice(12, 14),
    ):  # columns in pieces that end within a conversion
        saturated += convert_accumulate(
            np.ascontiguousarray(current.reshape(b, p, -1)[:, :, part]),
            part.start,
            inverse.ravel()[part],
            weight.ravel()[part],
            phase,
            *limits,
            out,
        )
    expected, count = np.zeros((b, n)), np.zeros(b)
    for i in range(b):
        for k in range(p):
            for m in range(c):
                for j in range(n):
                    code = round(float(current[i, k, m, j] * inverse[m, j]))
                    held = min(max(code, lowest), highest)
                    count[i] += held != code
                    expected[i, j] += held * float(weight[m, j]) * float(phase[k])
    np.testing.assert_allclose(out, expected, rtol=0, atol=1e-4)
    np.testing.assert_array_equal(saturated, count)
    assert count.sum() > 0


def test_full_scale_criteria():
    rng = np.random.default_rng(5)
    current = rng.standard_normal((2000, 3)).astype(np.float32)
    current[0] = 40.0  # an outlier that a good range ignores
    largest = adc_full_scale(current, Adc(range="maximum"), -15, 15)
    np.testing.assert_allclose(largest, 40)
    quantile = adc_full_scale(current, Adc(range="quantile", quantile=0.99), -15, 15)
    np.testing.assert_allclose(quantile, np.quantile(np.abs(current), 0.99, axis=0), rtol=1e-6)

    def error(scale):
        lsb = scale / 15
        return ((np.clip(np.round(current[:, 0] / lsb), -15, 15) * lsb - current[:, 0]) ** 2).mean()

    best = adc_full_scale(current, Adc(range="mse"), -15, 15)[0]
    assert error(best) < error(largest[0])
    candidates = 40 * np.geomspace(0.15, 1, 17)
    assert error(best) == pytest.approx(min(map(error, candidates)), rel=1e-4)


@pytest.mark.parametrize("bits", [2, 3, 5])
def test_input_range_is_the_best_candidate_by_brute_force(bits):
    rng = np.random.default_rng(9)
    x = rng.standard_t(4, (300, 6)).astype(np.float32)
    power, highest = rng.uniform(0.1, 5, 6), 2 ** (bits - 1) - 1

    def error(full_scale):
        held = np.clip(np.round(x / full_scale * highest), -highest, highest) * full_scale / highest
        return (((held - x) ** 2) @ power).sum()

    candidates = abs(x).max() * np.geomspace(0.15, 1, 17)
    found = InputCoder.covering(x, power, Dac(bits=bits), 0.2, ideal=False).full_scale
    assert found == pytest.approx(min(candidates, key=error), rel=1e-5)
    assert found < abs(x).max()


def test_lines_that_hardly_carry_current_have_a_range():
    """A quantile of 0 gives way to the largest sample, and a line without any current has some range."""
    current = np.zeros((100, 3), np.float32)
    current[0, 0], current[:, 2] = -7.0, 2.0
    for adc in (Adc(range="quantile", quantile=0.9), Adc(range="maximum"), Adc(range="mse")):
        found = adc_full_scale(current, adc, -127, 127)
        np.testing.assert_allclose(found[1:], [1, 2], rtol=1e-6)
        assert found[0] == pytest.approx(7, rel=1e-6)


def test_input_range_weighs_inputs_by_their_weights():
    """An outlier input behind large weights keeps its range; behind vanishing weights it is given up."""
    rng = np.random.default_rng(6)
    x = rng.standard_normal((400, 10)).astype(np.float32)
    x[:, 0] *= 10
    important, negligible = np.ones(10), np.ones(10)
    important[0], negligible[0] = 100.0, 1e-9
    dac = Dac(bits=4)
    wide = InputCoder.covering(x, important, dac, 0.2, ideal=False).full_scale
    narrow = InputCoder.covering(x, negligible, dac, 0.2, ideal=False).full_scale
    assert narrow < 0.5 * wide


def test_normal_pairs_are_those_of_box_and_muller():
    """In float64 from the same bits; every eighth of a turn and 4 decades of radius occur."""
    key = np.uint64(12345)
    pairs = np.array([normal_pair(key, np.uint64(k)) for k in range(20_000)], float)
    bits = np.array([int(mix(key, np.uint64(k))) for k in range(20_000)], object)
    u, turn = ((bits >> 32) + 0.5).astype(float) / 2**32, (bits & 0xFFFFFFFF).astype(float) / 2**32
    radius = np.sqrt(-2 * np.log(u))
    assert radius.min() < 0.01 and radius.max() > 4 and np.unique(turn * 8 // 1).size == 8
    expected = np.column_stack(
        [radius * np.cos(2 * np.pi * turn), radius * np.sin(2 * np.pi * turn)]
    )
    error = abs(pairs - expected).max(axis=1)
    assert error[radius > 0.03].max() < 1e-6 and error.max() < 5e-4


def test_normal_deviates_have_the_stated_law_and_depend_on_their_key_alone():
    from scipy.stats import kstest

    rows = np.column_stack([np.arange(500), np.arange(500) % 7]).astype(np.int64)
    keys = row_keys(np.uint64(11), rows)
    variance = np.full((500, 101), 4.0, np.float32)
    whole = np.zeros((500, 101), np.float32)
    add_normal(whole, variance, keys)
    assert kstest(whole.ravel() / 2, "norm").pvalue > 0.01
    assert abs(np.corrcoef(whole[:, :-1].ravel(), whole[:, 1:].ravel())[0, 1]) < 0.02
    assert abs(np.corrcoef(whole[:-1].ravel(), whole[1:].ravel())[0, 1]) < 0.02
    part = np.zeros((200, 101), np.float32)
    add_normal(part, variance[:200], row_keys(np.uint64(11), rows[300:]))
    np.testing.assert_array_equal(part, whole[300:])
    pieces = [np.zeros((500, 60), np.float32), np.zeros((500, 41), np.float32)]
    add_normal(pieces[0], variance, keys)
    add_normal(pieces[1], variance, keys, 60)
    np.testing.assert_array_equal(np.hstack(pieces), whole)
    other = row_keys(np.uint64(12), rows)
    assert not np.intersect1d(other, keys).size
