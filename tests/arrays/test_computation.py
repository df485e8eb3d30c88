"""The computation crossbar: against counting bit by bit, dense nodal analysis, and the two modes against each other."""

import itertools
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from reference import counted_product, dense_transfer
from scipy.special import ndtr

from xbarsim.arrays.counting import statistical
from xbarsim.arrays.counting.crossbars import Crossbars
from xbarsim.arrays.counting.moments import normal_quantiles
from xbarsim.arrays.settings import CountingSettings
from xbarsim.base.errors import ConfigError, OutOfRangeError, ShapeError
from xbarsim.config.study import validate
from xbarsim.kernels.arrays.counting import add_noise, conversion_moments, moebius

IDEAL = {"wires": False, "programming": False, "converters": True, "read_noise": False}
CODINGS = [
    {},
    {"sign": "offset"},
    {"sign": "magnitude"},
    {"sign": "offset", "digit_bits": 2},
    {"sign": "magnitude", "digit_bits": 2, "rows_per_conversion": 6, "adc_bits": 3},
    {"sign": "magnitude", "digit_bits": 3, "digit_cells": "weighted", "adc_bits": 3},
]


def crossbars(effects=IDEAL, seed=5, wires=None, **computation):
    small = {"word_lines": 16, "bit_lines": 12, "crossbars": 3}
    tables = {"computation": small | computation, "effects": effects, "wires": wires or {}}
    return Crossbars(CountingSettings.of(validate(tables, "test")), seed)


def operands(tokens=4, depth=37, outputs=21, seed=0, scale=45):
    rng = np.random.default_rng(seed)
    shapes = (tokens, depth), (depth, outputs)
    codes = [np.clip(np.rint(scale * rng.standard_normal(shape)), -127, 127) for shape in shapes]
    codes[0][0, :3], codes[1][:3, 0] = (127, -127, 0), (-127, -127, 127)
    return codes


def product(chip, a, b, first=0, key=0):
    return chip.multiply(a, chip.prepare(b, first), np.arange(len(a)) + key)


@pytest.mark.parametrize("mode", ["direct", "statistical"])
@pytest.mark.parametrize("coding", CODINGS, ids=str)
def test_without_clipping_the_product_is_exact(coding, mode):
    a, b = operands()
    counted = product(crossbars(mode=mode, **coding), a, b)
    np.testing.assert_array_equal(counted.output, a @ b)
    assert not counted.saturations.any()


@pytest.mark.parametrize("mode", ["direct", "statistical"])
@pytest.mark.parametrize(
    "coding",
    [
        {"rows_per_conversion": 5},
        {"rows_per_conversion": 3, "adc_bits": 1},
        {"sign": "offset", "digit_bits": 2, "rows_per_conversion": 6},
        {"sign": "magnitude", "rows_per_conversion": 8, "adc_bits": 1},
        {"sign": "magnitude", "digit_bits": 2, "digit_cells": "weighted", "rows_per_conversion": 4},
    ],
    ids=str,
)
def test_clipping_is_that_of_counting_bit_by_bit(coding, mode):
    a, b = operands(tokens=2, outputs=3)
    chip = crossbars(mode=mode, **coding)
    settings = chip.physics.computation
    expected, saturated = counted_product(
        a,
        b,
        settings.rows_per_conversion,
        2**settings.adc_bits - 1,
        settings.sign,
        settings.digit_bits,
        settings.digit_cells == "weighted",
        16 // chip.physics.cells,
    )
    counted = product(chip, a, b)
    np.testing.assert_allclose(
        counted.output, expected, rtol=0, atol=2e-3
    )  # float32 sums up to 1e5
    np.testing.assert_allclose(counted.saturations.sum(), saturated, rtol=1e-5)
    assert abs(expected - a @ b).max() > 10 and saturated > 10


@pytest.mark.parametrize("mode", ["direct", "statistical"])
@pytest.mark.parametrize("coding", [{}, {"sign": "magnitude", "digit_bits": 2}], ids=str)
def test_stuck_cells_overrule_their_switches(coding, mode):
    a, b = operands(tokens=2, outputs=15)
    chip = crossbars(
        IDEAL | {"stuck": True}, mode=mode, stuck_closed_rate=0.05, stuck_open_rate=0.1, **coding
    )
    per_tile = 16 // chip.physics.cells
    lines = per_tile * chip.physics.cells

    def conducts(line, output, closed):
        x = (
            2 + line // lines * 2 + output // 12
        ) % 3  # tile number from 2 on, 2 column blocks, 3 crossbars
        place = x, line % lines, output % 12
        return (closed or chip.physics.stuck_closed[place]) and not chip.physics.stuck_open[place]

    expected, _ = counted_product(
        a,
        b,
        3,
        3,
        chip.physics.computation.sign,
        chip.physics.computation.digit_bits,
        False,
        per_tile,
        conducts,
    )
    np.testing.assert_allclose(product(chip, a, b, first=2).output, expected, rtol=0, atol=2e-3)
    assert abs(expected - a @ b).max() > 100


def test_wires_of_every_conversion_are_those_of_dense_nodal_analysis():
    """Spread, word-line and bit-line, source and sense resistance; two row blocks; codes of every conversion by hand."""
    effects = IDEAL | {"wires": True, "spread": True}
    wires = {
        "word_line_resistance_ohm": 4000.0,
        "bit_line_resistance_ohm": 2500.0,
        "source_resistance_ohm": 1e4,
        "sense_resistance_ohm": 6000.0,
    }
    chip = crossbars(
        effects,
        wires=wires,
        word_lines=6,
        bit_lines=5,
        crossbars=2,
        mode="direct",
        resistor_spread=0.1,
    )
    a, b = operands(tokens=3, depth=11, outputs=4)
    r_word, r_bit = np.full((6, 5), 4000.0), np.full((6, 5), 2500.0)
    r_word[:, 0] += 1e4
    r_bit[-1] += 6000.0
    expected = np.zeros((3, 4))
    for q in range(8):
        for block in range(2):
            rows = slice(6 * block, min(6 * block + 6, 11))
            switches = np.zeros((6, 5))
            switches[: rows.stop - rows.start, :4] = b[rows].astype(int) >> q & 1
            transfer = (
                dense_transfer(switches * chip.physics.relative[block] * 1e-5, r_word, r_bit) / 1e-5
            )
            for p in range(8):
                bits = np.zeros((3, 6))
                bits[:, : rows.stop - rows.start] = a[:, rows].astype(int) >> p & 1
                for group in (slice(0, 3), slice(3, 6)):
                    current = bits[:, group] @ transfer[:, group].T
                    code = np.clip(np.floor(current + 0.5), 0, 3)[:, :4]
                    expected += code * 2 ** (p + q) * (-1 if p == 7 else 1) * (-1 if q == 7 else 1)
    np.testing.assert_array_equal(product(chip, a, b).output, expected)
    assert abs(expected - a @ b).max() > 100


def test_a_fluctuating_cell_acts_as_its_share_of_the_current():
    """The direct mode adds each cell's fluctuation times its own transfer: against the nodal matrix stamped again."""
    rng = np.random.default_rng(1)
    g = np.where(rng.random((12, 10)) < 0.5, 1e-5, 0.0)
    r = np.full(g.shape, 20.0)
    nominal = dense_transfer(g, r, r)
    swing = np.where(rng.random(12) < 0.5, 1.05, 0.95)
    moved = g.copy()
    moved[:, 4] *= swing
    exact = dense_transfer(moved, r, r)[4]
    np.testing.assert_allclose(nominal[4] * swing, exact, atol=2e-3 * nominal[4].max())
    assert abs(nominal[4] - exact).max() > 0.04 * nominal[4].max()


def test_moments_of_a_conversion_by_enumeration():
    """Three cells of unequal current with telegraph noise of ± 45 %, top code 2: all 8 states by hand."""
    current, swing, top = np.array([[1.1, 0.9, 1.3]]), 0.45, 2
    moments = conversion_moments(current, np.zeros((1, 3)), swing, top)[:, 0]
    for s in range(8):
        members = [current[0, i] for i in range(3) if s >> i & 1]
        totals = [
            sum(m * f for m, f in zip(members, state, strict=True))
            for state in itertools.product((1 - swing, 1 + swing), repeat=len(members))
        ]
        codes = np.clip(np.floor(np.array(totals) + 0.5), 0, top)
        np.testing.assert_allclose(
            moments[:, s],
            [codes.mean(), codes.var(), np.mean(np.array(totals) >= top + 0.5)],
            atol=1e-12,
        )
    transform = moments.copy()
    moebius(transform)
    for s in range(8):  # the sum over all subsets gives the function back
        np.testing.assert_allclose(
            sum(transform[:, u] for u in range(8) if u & s == u), moments[:, s], atol=1e-12
        )


def test_gaussian_part_of_the_moments():
    draws = 0.9 * 2 + 0.3 * np.sqrt(2) * np.random.default_rng(2).standard_normal(400_000)
    codes = np.clip(np.floor(draws + 0.5), 0, 3)
    moments = conversion_moments(np.array([[0.9, 0.9]]), np.array([[0.3, 0.3]]), 0.0, 3)[:, 0, 3]
    np.testing.assert_allclose(
        moments, [codes.mean(), codes.var(), (draws >= 3.5).mean()], rtol=0.01, atol=3e-4
    )


NOISY = [
    ({"read_noise": True, "spread": True, "telegraph_multiplier": 18.0}, {}),
    (
        {"read_noise": True, "spread": True, "telegraph_multiplier": 8.0},
        {"sign": "magnitude", "rows_per_conversion": 5},
    ),
    (
        {"read_noise": True, "programming": True, "telegraph_multiplier": 9.0},
        {"sign": "offset", "digit_bits": 2, "resistor_spread": 0.1, "stuck_open_rate": 0.02},
    ),
    ({"read_noise": True, "converters": False, "telegraph_multiplier": 5.0}, {}),
    (
        {"wires": True, "read_noise": True, "spread": True, "telegraph_multiplier": 7.0},
        {"resistance_ohm": 1000.0, "ir_drop": "solved"},
    ),
]


@pytest.mark.parametrize(("effects", "computation"), NOISY, ids=str)
def test_statistical_moments_are_those_of_the_direct_mode(effects, computation):
    """Mean of every output within its sampling error, variance of all within theirs: the same chip, other noise."""
    a, b = operands(tokens=3, depth=40, outputs=24)
    repeats = 600
    many = np.repeat(a, repeats, axis=0)
    runs = {
        mode: product(
            crossbars(IDEAL | effects, mode=mode, **computation), many, b, key=7
        ).output.reshape(3, repeats, -1)
        for mode in ("direct", "statistical")
    }
    mean = {mode: run.mean(axis=1) for mode, run in runs.items()}
    variance = {mode: run.var(axis=1, ddof=1) for mode, run in runs.items()}
    noisy = variance["statistical"] > 0  # few rows at once may be without any noise
    np.testing.assert_allclose(
        mean["direct"][~noisy], mean["statistical"][~noisy], rtol=0, atol=1e-2
    )
    z = (mean["direct"] - mean["statistical"])[noisy] / np.sqrt(
        (variance["direct"] + variance["statistical"])[noisy] / repeats
    )
    assert abs(z).max() < 4.5 and 0.7 < z.std() < 1.3  # up to 72 means
    kurtosis = ((runs["direct"] - mean["direct"][:, None]) ** 4).mean() / variance[
        "direct"
    ].mean() ** 2
    ratio = variance["direct"].sum() / variance["statistical"].sum()
    assert abs(ratio - 1) < 5 * np.sqrt((kurtosis + 1) / (72 * repeats))
    assert noisy.sum() > 40


def test_statistical_mode_follows_the_wires():
    """IR drop that costs codes: same size of error and same errors of the outputs as the exact solution of every tile."""
    effects = IDEAL | {"wires": True, "read_noise": True, "telegraph_multiplier": 6.0}
    common = {"word_lines": 64, "bit_lines": 64, "resistance_ohm": 20e3, "crossbars": 1}
    a, b = operands(tokens=24, depth=128, outputs=64)
    error = {
        mode: product(crossbars(effects, mode=mode, **common), a, b).output - a @ b
        for mode in ("direct", "statistical")
    }
    rms = {mode: np.sqrt((e**2).mean()) for mode, e in error.items()}
    assert rms["direct"] > 1000
    assert rms["statistical"] == pytest.approx(rms["direct"], rel=0.15)


@pytest.mark.parametrize(
    "coding",
    [{}, {"sign": "offset", "digit_bits": 2}, {"sign": "magnitude", "stuck_open_rate": 0.05}],
    ids=str,
)
def test_solved_wires_give_the_codes_of_the_direct_mode(coding):
    """IR drop that costs many codes, nothing random: the same integers; one matrix, and two of unequal depth at once."""
    effects = IDEAL | {"wires": True, "programming": True}
    common = {"resistance_ohm": 600.0, "resistor_spread": 0.05} | coding
    a, b = operands(tokens=3, depth=37, outputs=21)
    chips = [
        crossbars(effects, **common, **mode) for mode in ({"mode": "direct"}, {"ir_drop": "solved"})
    ]
    direct, solved = (product(chip, a, b, first=1) for chip in chips)
    assert np.sqrt(((direct.output - a @ b) ** 2).mean()) > 500
    np.testing.assert_allclose(
        solved.output, direct.output, rtol=0, atol=0.05
    )  # float32 sums up to 1e5
    np.testing.assert_allclose(solved.saturations, direct.saturations, rtol=1e-5, atol=1e-3)
    rng = np.random.default_rng(6)
    a, b = rng.integers(-127, 128, (2, 3, 9)), rng.integers(-127, 128, (2, 9, 14))
    a[1, :, 5:] = b[1, 5:] = 0
    direct, solved = (
        chip.multiply(a, chip.prepare(b, np.array([2, 0]), depths=[9, 5]), np.zeros((2, 3), int))
        for chip in chips
    )
    np.testing.assert_allclose(solved.output, direct.output, rtol=0, atol=0.05)
    assert abs(direct.output - a @ b).max() > 100


STRONG = {"resistance_ohm": 600.0}


@pytest.mark.parametrize(
    ("effects", "settings", "told"),
    [
        ({}, STRONG, True),
        ({"read_noise": True, "telegraph_multiplier": 12.0}, STRONG, False),
        ({}, {}, False),
        ({}, STRONG | {"ir_drop": "solved"}, False),
        ({}, STRONG | {"mode": "direct"}, False),
    ],
    ids=str,
)
def test_ir_drop_beyond_the_typical_statistics_is_told(effects, settings, told):
    """Where other switches decide conversions, unless noise decides far more, or the wires are solved."""
    a, b = operands(tokens=1, depth=12, outputs=9)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        product(crossbars(IDEAL | {"wires": True} | effects, **settings), a, b)
    assert [str(one.message)[:7] for one in caught] == ["IR drop"] * told


def test_telegraph_noise_below_half_a_level_changes_nothing():
    """5 % (± 2.5 %) on 3 cells: five times is ± 0.375 levels and harmless, seven times is not; one row bears eighteen."""
    a, b = operands()

    def error(multiplier, rows):
        effects = IDEAL | {"telegraph": True, "telegraph_multiplier": multiplier}
        chip = crossbars(effects, rows_per_conversion=rows, mode="direct")
        return abs(product(chip, a, b).output - a @ b).max()

    assert error(5.0, 3) == error(18.0, 1) == 0
    assert error(7.0, 3) > 0 and error(21.0, 1) > 0


def test_results_belong_to_chip_and_row_names():
    a, b = operands()
    effects = IDEAL | {"read_noise": True, "spread": True, "telegraph_multiplier": 10.0}
    for mode in ("direct", "statistical"):
        chip = crossbars(effects, mode=mode)
        whole, again = (
            product(chip, a, b).output,
            product(crossbars(effects, mode=mode), a, b).output,
        )
        np.testing.assert_array_equal(whole, again)
        np.testing.assert_allclose(
            product(chip, a[1:2], b, key=1).output, whole[1:2], rtol=0, atol=1e-2
        )
        assert (product(chip, a, b, key=50).output != whole).any()
        assert (product(crossbars(effects, seed=6, mode=mode), a, b).output != whole).any()


def test_events_are_those_of_the_direct_loops():
    for coding in CODINGS:
        chip = crossbars(**coding)
        cells, rows = chip.physics.cells, chip.physics.computation.rows_per_conversion
        per_tile = 16 // cells
        groups = sum(
            -(-min(per_tile, 37 - start) // (rows // cells)) for start in range(0, 37, per_tile)
        )
        channels, bits = (2, 7) if chip.physics.computation.sign == "magnitude" else (1, 8)
        pairs = channels * bits * channels * -(-bits // chip.physics.computation.digit_bits)
        assert chip.events(37, 21).by_name() == {
            "tile_reads": pairs * groups * 2,
            "adc_conversions": pairs * groups * 21,
            "shift_adds": pairs * groups * 21,
            "dac_drives": pairs * 37 * cells * 2,
            "comparisons": 0,
            "multiplications": 0,
        }
        assert chip.tiles(37, 21) == 2 * -(-37 // per_tile)


def test_bad_operands_and_settings_are_refused():
    chip = crossbars()
    a, b = operands()
    with pytest.raises(ShapeError, match="must be a matrix"):
        chip.prepare(b[0])
    with pytest.raises(OutOfRangeError, match="no integers in ±127"):
        chip.prepare(b + 0.5)
    with pytest.raises(OutOfRangeError, match="no integers in ±127"):
        product(chip, np.where(a == 127, np.nan, a), b)
    with pytest.raises(ShapeError, match="both must be equal"):
        product(chip, a[:, 1:], b)
    for bad, message in (
        ({"rows_per_conversion": 9}, "up to 8 conducting lines"),
        ({"digit_bits": 2}, "sign bit"),
        ({"digit_bits": 2, "sign": "offset", "rows_per_conversion": 4}, "multiples of the 3 cells"),
        ({"rows_per_conversion": 129, "mode": "direct"}, "up to word_lines = 128"),
        ({"stuck_closed_rate": 0.6, "stuck_open_rate": 0.6}, "must not exceed 1"),
    ):
        with pytest.raises(ConfigError, match=message):
            validate({"computation": bad}, "test")


@pytest.mark.parametrize("mode", ["direct", "statistical"])
@pytest.mark.parametrize(
    "coding", [{"sign": "offset", "rows_per_conversion": 5}, {"sign": "magnitude"}], ids=str
)
def test_many_products_at_once_are_those_of_each_alone(coding, mode):
    """Three matrices, one less deep than the others, each on a crossbar of its own."""
    effects = IDEAL | {"read_noise": True, "programming": True, "telegraph_multiplier": 9.0}
    chip = crossbars(effects, mode=mode, stuck_open_rate=0.05, **coding)
    rng = np.random.default_rng(3)
    a, b = (
        np.rint(np.clip(40 * rng.standard_normal(shape), -127, 127))
        for shape in ((3, 4, 9), (3, 9, 6))
    )
    a[1, :, 7:], b[1, 7:] = 0, 0
    first, keys = np.array([2, 0, 1]), np.arange(12).reshape(3, 4)
    together = chip.multiply(a, chip.prepare(b, first, depths=[9, 7, 9]), keys)
    for z, depth in enumerate((9, 7, 9)):
        alone = chip.multiply(a[z, :, :depth], chip.prepare(b[z, :depth], first[z]), keys[z])
        np.testing.assert_allclose(together.output[z], alone.output, rtol=0, atol=0.05)
        np.testing.assert_allclose(together.saturations[z], alone.saturations, rtol=0, atol=1e-3)
        np.testing.assert_allclose(together.conducting[z], alone.conducting, rtol=1e-6)
    assert abs(together.output - a @ b).max() > 10


@pytest.mark.parametrize("sign", ["twos_complement", "offset", "magnitude"])
def test_products_beyond_the_integers_of_float32_are_exact(sign):
    """Offset codes up to 255 at a depth of 600 add up to more than 2^24; alone and several at once."""
    rng = np.random.default_rng(4)
    a, b = rng.integers(100, 128, (2, 3, 600)), rng.integers(100, 128, (2, 600, 4))
    chip = crossbars(sign=sign)
    for several in (slice(0, 1), slice(0, 2)):
        counted = chip.multiply(
            a[several], chip.prepare(b[several]), np.arange(3 * len(a[several]))
        )
        np.testing.assert_array_equal(counted.output, (a @ b)[several])


@pytest.mark.parametrize("z", [1, 3])
def test_blocks_of_the_statistical_mode_join_to_the_whole(z, monkeypatch):
    effects = IDEAL | {"read_noise": True, "programming": True, "telegraph_multiplier": 18.0}
    rng = np.random.default_rng(5)
    a, b = rng.integers(-127, 128, (z, 7, 20)), rng.integers(-127, 128, (z, 20, 9))

    def run():
        return crossbars(effects).multiply(a, crossbars(effects).prepare(b), np.arange(7 * z))

    whole, sizes = run(), set()
    for size in (1, 2000, 5000):
        monkeypatch.setattr(statistical, "BLOCK_BYTES", size)
        blocks = statistical.blocks_of(z, 7, 4 * 7 * 7)
        sizes.add(tuple(len(rows) for _, rows in blocks))
        part = run()
        np.testing.assert_allclose(
            part.output, whole.output, rtol=1e-5, atol=0.5
        )  # float32 sums of other shapes
        np.testing.assert_allclose(part.saturations, whole.saturations, rtol=1e-4)
    assert len(sizes) > 1


def test_noise_of_the_statistical_mode_is_normal():
    output = np.zeros((200, 1001), np.float32)
    add_noise(
        output,
        np.full(output.shape, 4.0, np.float32),
        np.arange(200, dtype=np.uint64),
        normal_quantiles(),
    )
    z = np.sort(output.ravel() / 2)
    distance = abs(ndtr(z) - (np.arange(z.size) + 0.5) / z.size).max()
    assert distance < 1.63 / z.size**0.5  # Kolmogorov and Smirnov, 1 %
    assert z.var() == pytest.approx(1, abs=5 * (2 / z.size) ** 0.5)
    lines = np.corrcoef(output[:, :8].T)  # numbers of one draw of 64 bits, and the next
    assert abs(lines - np.eye(8)).max() < 5 / 200**0.5


def test_a_kept_operand_is_solved_once_at_its_first_product(monkeypatch):
    """However many threads need it at the same time; one that is not kept, at every product."""
    solved = []
    real = statistical.solved_side

    def counted(*arguments):
        solved.append(arguments)
        return real(*arguments)

    monkeypatch.setattr(statistical, "solved_side", counted)
    chip = crossbars(IDEAL | {"wires": True}, ir_drop="solved")
    a, b = operands()
    for keep, times in ((True, 1), (False, 4)):
        solved.clear()
        operand = chip.prepare(b, keep=keep)
        assert not solved and operand.kept is None
        with ThreadPoolExecutor(4) as pool:
            outputs = list(
                pool.map(lambda _: chip.multiply(a, operand, np.arange(4)).output, range(4))  # noqa: B023
            )
        assert len(solved) == times
        for output in outputs:
            np.testing.assert_array_equal(output, outputs[0])
