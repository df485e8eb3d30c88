"""Weights to conductances and tiles, and back."""

import numpy as np
import pytest

from xbarsim.arrays.in_situ.correction import mean_squares
from xbarsim.arrays.in_situ.encoding import encode, hold
from xbarsim.arrays.in_situ.full_scale import CLIP_QUANTILES, choose_clip, reached
from xbarsim.arrays.in_situ.layout import layout_of
from xbarsim.base.errors import ConfigError
from xbarsim.config.arrays import Mapping

ENCODINGS = [("amplitude", "pair"), ("slices", "pair"), ("slices", "offset")]


class Window:
    """A device as the mapping sees it: a window, and a constant programming error."""

    conductance_min, conductance_max = 1e-6, 40e-6

    def __init__(self, sigma=0.0):
        self.sigma = sigma

    def programming_sigma(self, target):
        return np.full(target.shape, self.sigma)

    def programming_bias(self, target):
        return np.zeros(target.shape)


@pytest.fixture()
def weight():
    return np.random.default_rng(1).standard_t(4, size=(150, 37)) * 0.05


@pytest.mark.parametrize(("encoding", "sign"), ENCODINGS)
@pytest.mark.parametrize("scale", ["matrix", "column"])
def test_decoding_the_targets_gives_the_held_weights(weight, encoding, sign, scale):
    mapping = Mapping(
        encoding=encoding, sign=sign, scale=scale, clip="quantile", clip_quantile=0.99
    )
    clip = choose_clip(weight, np.ones(150), mapping, Window())
    encoded = encode(weight, clip, mapping, Window())
    np.testing.assert_allclose(
        encoded.decode(encoded.target), hold(weight, clip, mapping), rtol=0, atol=1e-14
    )
    assert encoded.target.min() >= Window.conductance_min * (1 - 1e-12)
    assert encoded.target.max() <= Window.conductance_max * (1 + 1e-12)
    assert encoded.clipped == np.count_nonzero(np.abs(weight) > clip) > 0


def test_sliced_weights_are_the_rounded_integers(weight):
    """An oracle in plain integers: 8-bit codes, base-4 digits, one pair of cells per digit."""
    mapping = Mapping(encoding="slices", clip="maximum", scale="matrix", bits_per_cell=2)
    encoded = encode(
        weight, choose_clip(weight, np.ones(150), mapping, Window()), mapping, Window()
    )
    lsb = np.abs(weight).max() / 127
    for i, j in [(0, 0), (3, 9), (149, 36), (77, 20)]:
        code = round(weight[i, j] / lsb)
        for s in range(4):
            digit = abs(code) // 4**s % 4
            level = 1e-6 + digit * 13e-6
            positive, negative = encoded.target[s, :, i, j]
            assert (positive if code > 0 else negative) == pytest.approx(level, rel=1e-12, abs=0)
            assert (negative if code > 0 else positive) == pytest.approx(1e-6, rel=1e-12, abs=0)


class Sloping(Window):
    """Programming error that grows with the target: no average over rows stands for it."""

    def programming_sigma(self, target):
        return self.sigma * (target / 40e-6) ** 1.5


def expected_error(weight, j, clip, moment, device, mapping):
    """Of one output, weight by weight and cell by cell: clipping and rounding, and programming."""
    total, window = 0.0, device.conductance_max - device.conductance_min
    for w, m in zip(weight[:, j], moment, strict=True):
        held = min(max(w, -clip), clip)
        if mapping.encoding == "amplitude":
            parts = [(clip / window, abs(held) / clip), (clip / window, 0.0)]
        else:
            code = round(held * 127 / clip)
            held = code * clip / 127
            stored = abs(code) if mapping.sign == "pair" else code + 128
            digits = [stored >> 2 * s & 3 for s in range(4)]
            parts = [(4**s * clip / 127 * 3 / window, digit / 3) for s, digit in enumerate(digits)]
            if mapping.sign == "pair":
                parts += [(value, 0.0) for value, _ in parts]
        total += m * (held - w) ** 2
        for value, share in parts:
            total += (
                m
                * (
                    value
                    * device.programming_sigma(np.array(device.conductance_min + share * window))
                )
                ** 2
            )
    return total


@pytest.mark.parametrize(("encoding", "sign"), ENCODINGS)
@pytest.mark.parametrize("scale", ["column", "matrix"])
def test_mse_clip_is_the_best_candidate_by_brute_force(encoding, sign, scale):
    """With one dominant input, whose weight stands in a row of its own, and errors that depend on the target."""
    rng = np.random.default_rng(5)
    weight = 0.05 * rng.standard_t(4, size=(150, 6))
    weight[97] = [0.001, 0.02, 0.3, 0.05, 0.6, 0.1]
    moment = rng.uniform(0, 2, 150)
    moment[97] = 2000.0
    device = Sloping(2e-6 if encoding == "amplitude" else 0.2e-6)
    mapping = Mapping(scale=scale, encoding=encoding, sign=sign)
    chosen = choose_clip(weight, moment, mapping, device)
    if scale == "matrix":
        candidates = np.quantile(np.abs(weight), CLIP_QUANTILES)
        error = [
            sum(expected_error(weight, j, clip, moment, device, mapping) for j in range(6))
            for clip in candidates
        ]
        assert len(set(chosen)) == 1 and error[int(np.argmin(abs(candidates - chosen[0])))] <= min(
            error
        ) * (1 + 1e-4)
        return
    places = set()
    for j in range(6):
        candidates = np.quantile(np.abs(weight[:, j]), CLIP_QUANTILES)
        error = [expected_error(weight, j, clip, moment, device, mapping) for clip in candidates]
        place = int(np.argmin(abs(candidates - chosen[j])))
        assert chosen[j] == pytest.approx(candidates[place], rel=1e-12, abs=0)
        assert error[place] <= min(error) * (1 + 1e-4)
        places.add(place)
    assert len(places) > 1


def test_without_programming_error_nothing_is_clipped_away(weight):
    mapping = Mapping(scale="column")
    np.testing.assert_array_equal(
        choose_clip(weight, np.ones(150), mapping, Window()), np.abs(weight).max(axis=0)
    )


class Biased(Window):
    """Mean errors in S at a target: slope and constant, and a bend."""

    def __init__(self, slope=0.0, bend=0.0, sigma=0.0):
        super().__init__(sigma)
        self.slope, self.bend = slope, bend

    def programming_bias(self, target):
        return self.slope * target + self.bend * (target / 40e-6) ** 2


@pytest.mark.parametrize(
    ("gain", "encoding", "sign"), [("column", *e) for e in ENCODINGS] + [("matrix", *ENCODINGS[0])]
)
def test_a_mean_error_proportional_to_the_target_is_undone_by_the_gain(
    weight, gain, encoding, sign
):
    """What 0.8 of every conductance loses, a gain of 1 / 0.8 gives back: the choice is that of 1.25
    times the scatter."""
    mapping = Mapping(scale="matrix", clip="mse", gain=gain, encoding=encoding, sign=sign)
    moment = np.random.default_rng(2).uniform(0, 2, 150)
    biased = choose_clip(weight, moment, mapping, Biased(slope=-0.2, sigma=0.8e-6))
    np.testing.assert_array_equal(biased, choose_clip(weight, moment, mapping, Window(1e-6)))
    held, factor = reached(weight, biased, moment, mapping, Biased(slope=-0.2))
    np.testing.assert_allclose(factor, 1.25, rtol=1e-9)
    np.testing.assert_allclose(held, hold(weight, biased, mapping), rtol=0, atol=1e-12)


def test_a_bent_mean_error_is_weighed_by_brute_force(weight):
    mapping, device = (
        Mapping(scale="matrix", clip="mse", gain="none"),
        Biased(bend=-8e-6, sigma=0.5e-6),
    )
    moment = np.random.default_rng(2).uniform(0, 2, 150)

    def error(clip):
        scale = clip / 39e-6
        total = 0.0
        for i, row in enumerate(weight):
            for w in row:
                wanted = abs(np.clip(w, -clip, clip)) / clip
                high, low = 1e-6 + 39e-6 * wanted, 1e-6
                mean = scale * (high - low - 8e-6 * ((high / 40e-6) ** 2 - (low / 40e-6) ** 2))
                total += moment[i] * (np.sign(w) * mean - w) ** 2
        return total + moment.sum() * 37 * 2 * (scale * 0.5e-6) ** 2

    candidates = np.quantile(np.abs(weight), CLIP_QUANTILES)
    chosen = choose_clip(weight, moment, mapping, device)[0]
    assert chosen == pytest.approx(min(candidates, key=error), rel=1e-12, abs=0)
    assert chosen != choose_clip(weight, moment, mapping, Window(0.5e-6))[0]


def test_an_important_input_keeps_its_outlier_weight(weight):
    weight[7] *= 20
    moment = np.ones(150)
    mapping, device = Mapping(scale="matrix"), Window(1e-6)
    plain = choose_clip(weight, moment, mapping, device)[0]
    moment[7] = 1e4
    assert choose_clip(weight, moment, mapping, device)[0] > 2 * plain


@pytest.mark.parametrize("clip", ["quantile", "mse"])
def test_a_sparse_column_keeps_its_largest_weight(clip):
    """A quantile that is 0 is no full scale."""
    weight = np.zeros((100, 2))
    weight[3], weight[:, 1] = [0.7, 0.2], np.linspace(0.01, 0.4, 100)
    mapping = Mapping(clip=clip, clip_quantile=0.9)
    found = choose_clip(weight, np.ones(100), mapping, Window())
    assert found[0] == 0.7 and np.isfinite(found).all() and (found > 0).all()


@pytest.mark.parametrize("scale", ["matrix", "column"])
def test_zero_columns_have_a_scale(scale):
    weight = np.zeros((5, 3))
    weight[:, 1] = 0.5
    encoded = encode(
        weight,
        choose_clip(weight, np.ones(5), Mapping(scale=scale), Window(1e-6)),
        Mapping(),
        Window(),
    )
    np.testing.assert_allclose(encoded.decode(encoded.target), weight, atol=1e-15)


@pytest.mark.parametrize(("encoding", "sign"), ENCODINGS)
@pytest.mark.parametrize("placement", ["twin", "neighbour"])
@pytest.mark.parametrize(("inputs", "outputs"), [(1, 1), (16, 16), (40, 37), (17, 5)])
def test_tiles_hold_every_cell_once(encoding, sign, placement, inputs, outputs):
    mapping = Mapping(
        encoding=encoding, sign=sign, placement=placement, word_lines=16, bit_lines=12
    )
    layout = layout_of(inputs, outputs, mapping)
    cells = np.arange(1.0, layout.planes * inputs * outputs + 1).reshape(
        layout.planes, inputs, outputs
    )
    seen = []
    for block in range(layout.row_blocks):
        planes = cells[:, layout.rows(block)]
        tiles = layout.to_tiles(planes, 0.0)
        assert tiles.shape == (layout.tiles_per_row_block, 16, 12)
        seen.append(tiles[tiles > 0])
        back = layout.from_tiles(tiles.transpose(0, 2, 1), planes.shape[1])
        np.testing.assert_array_equal(back, planes.transpose(0, 2, 1))
    np.testing.assert_array_equal(np.sort(np.concatenate(seen)), cells.ravel())


def test_more_cells_than_bit_lines_is_refused():
    with pytest.raises(ConfigError, match="bit_lines"):
        layout_of(4, 4, Mapping(encoding="slices", placement="neighbour", bit_lines=4))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("scale", ["matrix", "column"])
@pytest.mark.parametrize("quantile", [0.62, 0.9, 0.973, 1.0])
def test_a_quantile_of_the_clip_is_that_of_numpy_to_the_last_bit(dtype, scale, quantile):
    """Of more outputs than are sorted at once."""
    weight = np.random.default_rng(3).standard_t(4, size=(47, 130)).astype(dtype)
    mapping = Mapping(clip="quantile", clip_quantile=quantile, scale=scale)
    axis = 0 if scale == "column" else None
    wanted = np.quantile(np.abs(weight).astype(float), quantile, axis=axis)
    found = choose_clip(weight, np.ones(47), mapping, Window())
    np.testing.assert_array_equal(found, np.broadcast_to(wanted, 130))


def test_single_precision_weights_are_mapped_as_the_same_weights_in_double_precision():
    weight = np.random.default_rng(4).standard_t(4, size=(150, 70)).astype(np.float32)
    moment = np.random.default_rng(5).uniform(0, 2, 150)
    for encoding, sign in ENCODINGS:
        mapping = Mapping(encoding=encoding, sign=sign)
        of_single = choose_clip(weight, moment, mapping, Window(1e-6))
        of_double = choose_clip(weight.astype(float), moment, mapping, Window(1e-6))
        np.testing.assert_array_equal(of_single, of_double)
        single = encode(weight, of_single, mapping, Window())
        double = encode(weight.astype(float), of_double, mapping, Window())
        np.testing.assert_array_equal(single.target, double.target)
        assert single.clipped == double.clipped > 0


def test_mean_squares_are_added_up_input_by_input():
    x = np.random.default_rng(6).standard_normal((9, 5)).astype(np.float32)
    wanted = [sum(float(value) ** 2 for value in column) / 9 for column in x.T]
    np.testing.assert_array_equal(mean_squares(x), wanted)
