"""Full scales and gains of a mapping whose device writes with a mean error, and their edges."""

import numpy as np
import pytest

from xbarsim.arrays.in_situ.encoding import encode, hold
from xbarsim.arrays.in_situ.full_scale import (
    CLIP_QUANTILES,
    choose_clip,
    programming_variance,
    reached,
)
from xbarsim.arrays.in_situ.layout import Layout, slices
from xbarsim.base.errors import ShapeError
from xbarsim.config.arrays import Mapping

LOW, WINDOW = 1e-6, 39e-6
ENCODINGS = [("amplitude", "pair"), ("slices", "pair"), ("slices", "offset")]


class Device:
    """1 to 40 µS; mean errors with slope and bend; scatter that grows with the target."""

    conductance_min, conductance_max = LOW, LOW + WINDOW

    def __init__(self, slope=0.0, bend=0.0, sigma=0.0):
        self.slope, self.bend, self.sigma = slope, bend, sigma

    def programming_sigma(self, target):
        return self.sigma * (target / 40e-6) ** 1.5

    def programming_bias(self, target):
        return self.slope * target + self.bend * (target / 40e-6) ** 2


@pytest.fixture()
def weight():
    return np.random.default_rng(3).standard_normal((40, 5)) * [1.0, 0.5, 0.2, 2.0, 1.0]


def written(weight, clip, mapping, device):
    """Weight by weight and cell by cell: what the cells hold after the mean error of each."""

    def cell(share):
        target = LOW + share * WINDOW
        return target + device.programming_bias(target)

    def amplitude(w, full):
        return (cell(max(w, 0) / full) - cell(max(-w, 0) / full)) / WINDOW * full

    def digits(code):
        return sum(4**s * (cell((code >> 2 * s & 3) / 3) - LOW) for s in range(4)) / (WINDOW / 3)

    result = np.zeros(weight.shape)
    for i, row in enumerate(weight):
        for j, w in enumerate(row):
            full = clip[j]
            held = min(max(w, -full), full)
            code = round(held * 127 / full)
            if mapping.encoding == "amplitude":
                result[i, j] = amplitude(held, full)
            elif mapping.sign == "pair":
                result[i, j] = (digits(max(code, 0)) - digits(max(-code, 0))) * full / 127
            else:
                result[i, j] = (digits(code + 128) - 128) * full / 127
    return result


@pytest.mark.parametrize(("encoding", "sign"), ENCODINGS)
@pytest.mark.parametrize("gain", ["column", "matrix", "none"])
def test_the_gain_of_bent_errors_is_that_of_a_general_least_squares_solver(
    weight, gain, encoding, sign
):
    """One gain for each output or for all; single cells have a constant beside it, pairs none."""
    mapping = Mapping(encoding=encoding, sign=sign, gain=gain)
    device = Device(slope=-0.1, bend=-8e-6)
    moment = np.random.default_rng(4).uniform(0, 2, 40)
    moment[7] = 0.0
    clip = np.abs(weight).max(axis=0) * 0.8
    cells = written(weight, clip, mapping, device)
    wanted = hold(weight, clip, mapping)
    found, factor = reached(weight, clip, moment, mapping, device)
    if gain == "none":
        np.testing.assert_array_equal(factor, 1)
        np.testing.assert_allclose(found, cells, rtol=0, atol=1e-12)
        return
    root = np.sqrt(moment)
    columns = []
    for j in range(5):
        block = np.zeros((40, 10))
        block[:, j if gain == "column" else 0] = root * cells[:, j]
        if sign == "offset":
            block[:, 5 + j] = root
        columns.append(block)
    right = (root[:, None] * wanted).T.ravel()
    solved = np.linalg.lstsq(np.vstack(columns), right, rcond=None)[0]
    expected = solved[:5] if gain == "column" else np.full(5, solved[0])
    np.testing.assert_allclose(factor, expected, rtol=1e-9)
    np.testing.assert_allclose(found, factor * cells + solved[5:], rtol=0, atol=1e-9)
    assert len(set(factor)) == (5 if gain == "column" else 1)


def test_without_inputs_and_without_weights_the_gain_is_one(weight):
    """Neither is divided by: no moment of single cells, and an output of zeros."""
    single = Mapping(encoding="slices", sign="offset")
    clip = np.abs(weight).max(axis=0)
    device = Device(bend=-8e-6)
    found, factor = reached(weight, clip, np.zeros(40), single, device)
    assert (factor == 1).all() and np.isfinite(found).all()
    weight[:, 2] = 0.0
    found, factor = reached(weight, clip, np.ones(40), Mapping(), device)
    assert factor[2] == 1 and (found[:, 2] == 0).all() and (factor[[0, 1, 3, 4]] > 1).all()


def scattered_error(weights, clip, moment, device):
    """Expected square error of one output of the `amplitude` encoding, by hand."""
    held = np.clip(weights, -clip, clip)
    high = device.programming_sigma(LOW + np.abs(held) / clip * WINDOW)
    low = device.programming_sigma(np.full(len(weights), LOW))
    return moment @ ((held - weights) ** 2 + (clip / WINDOW) ** 2 * (high**2 + low**2))


@pytest.mark.parametrize(("encoding", "sign"), ENCODINGS)
def test_scatter_that_grows_with_the_target_is_widened_by_the_gain(encoding, sign):
    """0.8 of every conductance is undone by 1.25: the choice is that of 1.25 times the scatter."""
    weight = np.random.default_rng(1).standard_t(3, size=(150, 30)) * 0.05
    mapping = Mapping(scale="column", clip="mse", encoding=encoding, sign=sign)
    moment = np.random.default_rng(2).uniform(0, 2, 150)
    sigma = 3e-6 if encoding == "amplitude" else 0.5e-6
    device = Device(sigma=sigma)
    biased = choose_clip(weight, moment, mapping, Device(slope=-0.2, sigma=0.8 * sigma))
    plain = choose_clip(weight, moment, mapping, device)
    assert len(np.unique(np.round(plain / np.abs(weight).max(axis=0), 6))) > 3
    if encoding == "slices":
        np.testing.assert_array_equal(biased, plain)
        return
    for j in range(30):  # the two interpolate σ² between steps differently
        best = scattered_error(weight[:, j], plain[j], moment, device)
        found = scattered_error(weight[:, j], biased[j], moment, device)
        assert found == pytest.approx(best, rel=2e-3)


def test_without_a_mean_error_every_output_has_a_gain_of_one(weight):
    clip = np.abs(weight).max(axis=0) / 2
    found, factor = reached(weight, clip, np.ones(40), Mapping(), Device())
    np.testing.assert_array_equal(factor, np.ones(5))
    np.testing.assert_array_equal(found, np.clip(weight, -clip, clip))


def test_candidates_are_four_a_decade_of_what_is_clipped_and_the_maximum():
    clipped = 1 - CLIP_QUANTILES
    np.testing.assert_allclose(clipped[:-1], 10.0 ** np.arange(-1, -4.01, -0.25), rtol=1e-9)
    assert clipped[-1] == 0


def test_variance_is_tabulated_at_1024_steps_of_either_sign():
    """By hand: σ²(target) of both cells of a pair, in weights of a full scale of one."""
    device = Device(sigma=2e-6)
    share = np.abs(np.arange(-1024, 1025)) / 1024
    held = (LOW + share * WINDOW) / 40e-6
    expected = (2e-6 / WINDOW) ** 2 * (held**3 + (LOW / 40e-6) ** 3)
    found = programming_variance(Mapping(), device)
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert programming_variance(Mapping(encoding="slices"), device).shape == (255,)


@pytest.mark.parametrize("scale", ["matrix", "column"])
def test_a_quantile_is_that_of_the_study(scale):
    """Weights of 0, 1 ... 100 in any order and of any sign; another column of a tenth."""
    column = np.arange(101.0) * np.where(np.arange(101) % 3, 1, -1)
    weight = np.random.default_rng(0).permutation(np.column_stack([column, column / 10]))
    mapping = Mapping(clip="quantile", clip_quantile=0.75, scale=scale)
    found = choose_clip(weight, np.ones(101), mapping, Device())
    magnitudes = sorted(abs(weight.ravel()))
    below = magnitudes[150] + 0.75 * (magnitudes[151] - magnitudes[150])
    expected = [75, 7.5] if scale == "column" else [below, below]
    np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize("clip", ["maximum", "quantile", "mse"])
def test_a_column_of_zeros_has_a_full_scale_of_one(clip):
    weight = np.zeros((50, 2))
    weight[:, 1] = np.linspace(-0.4, 0.4, 50)
    found = choose_clip(weight, np.ones(50), Mapping(clip=clip, scale="column"), Device())
    assert found[0] == 1 and 0 < found[1] <= 0.4


def test_a_weight_at_full_scale_is_not_clipped():
    weight = np.array([[1.0, -2.0], [-1.0, 2.5], [0.5, 3.0]])
    encoded = encode(weight, np.array([1.0, 2.5]), Mapping(), Device())
    assert encoded.clipped == 1


@pytest.mark.parametrize(
    ("sign", "bits_per_cell", "digits"), [("pair", 1, 7), ("offset", 1, 8), ("pair", 7, 1)]
)
def test_a_pair_spares_the_digit_of_the_sign(sign, bits_per_cell, digits):
    mapping = Mapping(encoding="slices", sign=sign, bits_per_cell=bits_per_cell, weight_bits=8)
    assert slices(mapping) == digits


@pytest.mark.parametrize(("inputs", "outputs"), [(0, 3), (3, 0)])
def test_a_matrix_without_inputs_or_outputs_is_refused(inputs, outputs):
    with pytest.raises(ShapeError, match="at least one input and one output"):
        Layout(inputs, outputs, 2, 8, 6, "twin")


@pytest.mark.parametrize("placement", ["twin", "neighbour"])
def test_cells_may_fill_the_bit_lines_and_keep_their_type(placement):
    layout = Layout(3, 2, 6, 8, 6, placement)
    planes = np.arange(36, dtype=np.float32).reshape(6, 3, 2)
    tiles = layout.to_tiles(planes, 0.0)
    assert tiles.dtype == np.float32 and tiles.sum() == planes.sum()
