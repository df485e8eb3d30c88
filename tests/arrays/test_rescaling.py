"""Weights that are used after their ranges were fitted, against drift that is written out here."""

import numpy as np
import pytest

import xbarsim
from xbarsim.base.errors import ConfigError
from xbarsim.config.study import validate

DRIFTING = """
description = "a device that drifts"
read = {{ voltage_v = 0.2, source = "t" }}
drift = {{ reference_s = 1.0, nu_mean = {mean}, nu_sigma = {sigma}, valid_time_s = [1.0, 1e9], source = "t" }}

[conductance]
minimum_us = 1.0
maximum_us = 40.0
valid_range_us = [0.0, 40.0]
source = "t"

[read_noise]
relative_sigma = {noise}
source = "t"
"""
TILES = {"word_lines": 16, "bit_lines": 12}
IDEAL = {"converters": False, "wires": False}
SLICES = {"encoding": "slices", "weight_bits": 6, "bits_per_cell": 2}
MAPPINGS = {
    "pair": {},
    "neighbour": {"placement": "neighbour"},
    "digital": {"subtraction": "digital"},
    "slices": SLICES,
    "offset": SLICES | {"sign": "offset", "subtraction": "digital"},
}
FIT = 20.0
YEAR = 3.156e7


@pytest.fixture(scope="module")
def devices(tmp_path_factory):
    """Path of a device by (mean exponent, spread, read noise)."""
    directory = tmp_path_factory.mktemp("drift")

    def path_of(mean=0.05, sigma=0.0, noise=0.0):
        path = directory / f"{mean}-{sigma}-{noise}.toml"
        path.write_text(DRIFTING.format(mean=mean, sigma=sigma, noise=noise))
        return str(path)

    return path_of


def matrix(device, time=YEAR, mapping=None, effects=IDEAL, correction=None, seed=3, **tables):
    rng = np.random.default_rng(1)
    weight = rng.standard_normal((21, 37))
    x = rng.standard_normal((60, 37))
    study = {
        "device": {"name": device, "time_s": time},
        "mapping": TILES | (mapping or {}),
        "effects": effects,
        **tables,
    }
    if correction is not None:
        study["correction"] = {"fitted_s": FIT} | correction
    return xbarsim.AnalogMatrix(weight, study, samples=x, seed=seed), x


def output(*arguments, **tables):
    found, x = matrix(*arguments, **tables)
    return found.multiply(x).output


@pytest.mark.parametrize("converters", [False, True])
@pytest.mark.parametrize("mapping", MAPPINGS)
@pytest.mark.parametrize(
    "correction",
    [
        {"rescaling": "global"},
        {"rescaling": "column"},
        {"rescaling": "global", "reference": "column"},
        {"rescaling": "global", "reference": "column", "reference_us": 7.0},
    ],
)
def test_drift_of_one_exponent_is_undone(devices, mapping, converters, correction):
    """Every current is (t / t0)^-nu of what it was: with ideal converters nothing of the drift is
    left, with codes what their rounding leaves."""
    effects = IDEAL | {"converters": converters}
    tables = {"mapping": MAPPINGS[mapping], "effects": effects, "adc": {"bits": 14}}
    before = output(devices(), time=FIT, **tables)
    after = output(devices(), correction=correction, **tables)
    tolerance = 3e-3 if converters else 1e-5
    np.testing.assert_allclose(after, before, rtol=0, atol=tolerance * np.abs(before).max())
    left = output(devices(), correction={}, **tables)
    if mapping != "offset":
        expected = before * (YEAR / FIT) ** -0.05
        atol = tolerance * np.abs(before).max()
        np.testing.assert_allclose(left, expected, rtol=0, atol=atol)
    assert np.abs(left - before).max() > 0.1 * np.abs(before).max()


def currents(conductances, outputs, planes):
    """(row blocks, slices, outputs, word lines) S of pairs on twin tiles, positive and negative."""
    blocks, columns, _, lines, _ = conductances.shape
    by_output = conductances.transpose(0, 2, 1, 4, 3).reshape(blocks, planes, -1, lines)
    return by_output[:, :, :outputs]


@pytest.mark.parametrize("rescaling", ["none", "global", "column"])
@pytest.mark.parametrize("converters", [False, True])
def test_what_a_spread_of_exponents_leaves(devices, rescaling, converters):
    """Pairs on 3 x 2 x 2 tiles: the cells at both times, and scales and products of them here."""
    effects = IDEAL | {"converters": converters}
    tables = {"effects": effects, "adc": {"bits": 16, "range": "maximum"}, "dac": {"bits": "ideal"}}
    device = devices(sigma=0.02)
    then, x = matrix(device, time=FIT, **tables)
    now, _ = matrix(device, correction={"rescaling": rescaling}, **tables)
    value, gain = then.array.programmed.value, then.array.gain
    before = currents(then.conductances, 21, 2)  # (3, 2, 21, 16)
    after = currents(now.conductances, 21, 2)
    used = np.zeros(48, bool)
    used[:37] = True
    driven = used.reshape(3, 1, 1, 16)
    sums = [(each * driven).sum(axis=(1, 3)) for each in (before, after)]  # (3, 21)
    scale = np.ones((3, 21))
    if rescaling == "global":
        scale *= sums[0].sum() / sums[1].sum()
    elif rescaling == "column":
        scale = sums[0] / sums[1]
    weight = (after[:, 0] - after[:, 1]) * (value[0] * gain * scale)[..., None]
    inputs = np.pad(x, ((0, 0), (0, 11))).reshape(-1, 3, 16)
    expected = np.einsum("nbi,bji->nj", inputs, weight)
    exponents = np.log(before / after) / np.log(YEAR / FIT)
    assert abs(exponents.mean() - 0.05) < 0.002 and abs(exponents.std() - 0.02) < 0.002
    found = now.multiply(x).output
    atol = (2e-3 if converters else 1e-5) * np.abs(expected).max()
    np.testing.assert_allclose(found, expected, rtol=0, atol=atol)
    exact = then.multiply(x).output
    left = np.sqrt(((expected - exact) ** 2).mean() / (exact**2).mean())
    assert left > 0.05


@pytest.mark.parametrize(
    ("rescaling", "reference"), [("global", "lines"), ("column", "lines"), ("global", "column")]
)
@pytest.mark.parametrize("reads", [1, 25])
def test_reads_of_the_reference_are_as_noisy_as_the_device_says(
    devices, rescaling, reference, reads
):
    """Over chips: each scale against the ratio without noise, whose variance is that of two sums."""
    device = devices(noise=0.1)
    correction = {"rescaling": rescaling, "reference": reference, "reads": reads}
    tables = {"effects": {"wires": False}, "adc": {"bits": 8}}
    quiet = tables | {"effects": {"wires": False, "read_noise": False}}
    exact = matrix(device, correction=correction, **quiet)[0].array.rescaling
    found = np.array(
        [
            [
                scales[0, :4]
                for scales in matrix(device, correction=correction, seed=seed, **tables)[
                    0
                ].array.rescaling
            ]
            for seed in range(60)
        ]
    )
    error = found / np.array([scales[0, :4] for scales in exact]) - 1
    cells, _ = matrix(device, time=FIT, **quiet)
    conductances = currents(cells.conductances, 21, 2)
    driven = np.ones((3, 1, 1, 16))
    driven[2, ..., 5:] = 0
    squares = ((0.1 * conductances * driven) ** 2).sum(axis=(1, 3))
    sums = (conductances * driven).sum(axis=(1, 3))
    if reference == "column":
        relative = 0.1 / np.sqrt(4 * 37)  # 4 tiles side by side, 37 driven cells below each other
    elif rescaling == "global":
        relative = np.sqrt(squares.sum()) / sums.sum()
    else:
        relative = (np.sqrt(squares) / sums)[:, :4]
    expected = np.broadcast_to(relative * np.sqrt(2 / reads), (3, 4))
    ratio = (error**2).mean(axis=0) / expected**2
    assert abs(ratio.mean() - 1) < (0.25 if rescaling == "column" else 0.6)
    again = matrix(device, correction=correction, seed=7, **tables)[0].array.rescaling
    np.testing.assert_array_equal(again[0][0, :4], found[7][0])


def test_the_cost_of_a_reference_is_counted_by_hand(devices):
    from xbarsim.arrays.in_situ import rescaling

    kept = []
    original = rescaling._rescaling

    def spy(*arguments, **named):
        kept.append(original(*arguments, **named))
        return kept[-1]

    rescaling._rescaling = spy
    try:
        found, _ = matrix(devices(), correction={"rescaling": "column", "reads": 3})
        matrix(devices(), correction={"rescaling": "global", "reference": "column", "reads": 2})
    finally:
        rescaling._rescaling = original
    lines, column = kept
    assert lines.events.tile_reads == 3 * 3 * 2 * 2
    assert lines.events.adc_conversions == 3 * 3 * 2 * 21  # row blocks, planes, outputs
    assert lines.events.dac_drives == 3 * 4 * 37  # tiles side by side
    assert column.events.adc_conversions == 2 * 12 and column.events.tile_reads == 2 * 12
    cells = found.conductances.transpose(0, 3, 1, 2, 4).reshape(48, -1)[:37]
    watts = 0.2**2 * cells.sum()
    np.testing.assert_allclose(lines.array_energy, 3 * watts * 100e-9, rtol=1e-5)


def test_targets_are_those_of_the_time_of_the_fit(devices):
    """The write does not know when it is read: cells are the same ones at both times."""
    device = devices(sigma=0.02)
    later, _ = matrix(device, correction={})
    then, _ = matrix(device, time=FIT)
    assert (later.conductances < then.conductances).mean() > 0.9
    np.testing.assert_array_equal(later.array.programmed.value, then.array.programmed.value)
    np.testing.assert_array_equal(later.array.gain, then.array.gain)
    with pytest.raises(ConfigError, match="allowed: with_conductances without it"):
        later.with_conductances(later.conductances)


WRONG = [
    ({"rescaling": "global"}, {}, 'rescaling = "global" needs correction.fitted_s'),
    ({"fitted_s": 100.0}, {"time_s": 50.0}, "time_s = 50 s lies before .*fitted_s = 100 s"),
    (
        {"fitted_s": 20.0, "rescaling": "column", "reference": "column"},
        {},
        'reference = "column" says nothing about single bit lines',
    ),
    ({"fitted_s": 0.0}, {}, "correction.fitted_s.*greater than 0"),
    ({"fitted_s": 20.0, "reads": 0}, {}, "correction.reads.*greater than or equal to 1"),
]


@pytest.mark.parametrize(("correction", "device", "words"), WRONG)
def test_times_that_do_not_go_together_are_refused_in_one_line(correction, device, words):
    with pytest.raises(ConfigError, match=words) as error:
        validate({"correction": correction, "device": {"name": "pcm"} | device}, "study")
    assert "\n" not in str(error.value)


def test_a_fit_needs_a_time_of_use(devices):
    with pytest.raises(ConfigError, match="needs device.time_s"):
        xbarsim.AnalogMatrix(
            np.ones((2, 2)),
            {"device": {"name": devices()}, "correction": {"fitted_s": 20.0}},
            samples=np.ones((3, 2)),
        )
