"""Stuck cells that their targets hide, missing cells, lists of devices, and devices of a fit.

Maps are drawn from forms that the fit does not assume: stuck values that scatter, healthy errors
with heavy tails, targets all over the window.
"""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import stats

from xbarsim import calibrate
from xbarsim.base.errors import ConfigError, OutOfRangeError
from xbarsim.calibrate.faults import fit_faults
from xbarsim.calibrate.healthy_cells import Map, healthy_cells
from xbarsim.calibrate.statistics import proportion, weighted_proportion
from xbarsim.calibrate.yields import Devices, Status, fit_yield
from xbarsim.devices.presets import load_device
from xbarsim.report.plots import fits

ON_RATE, OFF_RATE = 0.004, 0.012
LEVELS = np.array([1e-6, 14e-6, 27e-6, 40e-6])


def stick(rng, conductance, on, off):
    """The map with cells stuck at the values (same shape) `on` and `off`."""
    draw = rng.random(conductance.shape)
    stuck_on = draw < ON_RATE
    stuck_off = (draw >= ON_RATE) & (draw < ON_RATE + OFF_RATE)
    return np.where(stuck_on, on, np.where(stuck_off, off, conductance))


def ends_of_the_window(rng):
    """Four levels; cells stuck at exactly the first and the last of them."""
    target = rng.choice(LEVELS, (128, 128))
    healthy = target + rng.normal(0, 1.5e-6, target.shape)
    return stick(rng, healthy, np.full(target.shape, 40e-6), np.full(target.shape, 1e-6)), target


def scattered(rng):
    """Healthy errors with exponential tails; stuck values that scatter, some of them hidden."""
    target = rng.choice(LEVELS, (128, 128))
    healthy = target + rng.laplace(0, 0.9e-6, target.shape)
    on = rng.normal(40e-6, 3e-6, target.shape)
    return stick(rng, healthy, on, 2e-6 * rng.exponential(1, target.shape)), target


def analog(rng):
    """A different target in every cell, and writes that fall short by a fifth."""
    target = rng.uniform(1e-6, 40e-6, (128, 128))
    healthy = 0.8 * target + rng.normal(0, 0.8e-6, target.shape)
    on = rng.normal(36e-6, 1e-6, target.shape)
    return stick(rng, healthy, on, 1e-6 * rng.random(target.shape)), target


FORMS = [ends_of_the_window, scattered, analog]


def rates_and_hits(form, repetitions):
    """(repetitions, 2) fitted rates, and whether their intervals hold the truth."""
    rates, hits = [], []
    for seed in range(repetitions):
        fit = fit_faults(*form(np.random.default_rng(seed)))
        rates.append([fit.on_rate.value, fit.off_rate.value])
        hits.append(
            [
                fit.on_rate.low <= ON_RATE <= fit.on_rate.high,
                fit.off_rate.low <= OFF_RATE <= fit.off_rate.high,
            ]
        )
    return np.array(rates), np.array(hits)


def assert_unbiased(rates):
    error = rates.mean(axis=0) - [ON_RATE, OFF_RATE]
    assert (abs(error) < 3.5 * rates.std(axis=0) / np.sqrt(len(rates))).all(), rates.mean(axis=0)


@pytest.mark.parametrize("form", FORMS)
def test_hidden_cells_do_not_count(form):
    rates, hits = rates_and_hits(form, 25)
    assert_unbiased(rates)
    assert (hits.sum(axis=0) >= stats.binom.ppf(0.001, 25, 0.9)).all(), hits.mean(axis=0)


@pytest.mark.long
@pytest.mark.parametrize("form", FORMS)
def test_rates_of_hidden_cells_cover(form):
    rates, hits = rates_and_hits(form, 200)
    assert_unbiased(rates)
    assert ((0.85 <= hits.mean(axis=0)) & (hits.mean(axis=0) <= 0.95)).all(), hits.mean(axis=0)


def line_hits(shape, rate, repetitions):
    """Share of maps whose intervals hold the rates of stuck lines, and the isolated rates."""
    hits = []
    for seed in range(repetitions):
        rng = np.random.default_rng(seed)
        target = rng.choice(LEVELS, shape)
        g = stick(rng, target + rng.normal(0, 0.5e-6, shape), 40e-6, 1e-6)
        g[rng.random(shape[0]) < rate] = 1e-6
        g[:, rng.random(shape[1]) < rate] = 40e-6
        fit = fit_faults(g, target)
        pairs = (
            (fit.word_line_off_rate, rate),
            (fit.bit_line_on_rate, rate),
            (fit.on_rate, ON_RATE),
            (fit.off_rate, OFF_RATE),
        )
        hits.append([parameter.low <= truth <= parameter.high for parameter, truth in pairs])
    return np.mean(hits, axis=0)


def test_stuck_lines_of_a_map_with_several_targets():
    assert (line_hits((96, 80), 0.06, 20) >= 0.7).all()


@pytest.mark.long
def test_rates_of_lines_cover():
    """Exact intervals of a few lines are never below nominal, and above it where few are stuck."""
    shares = line_hits((96, 80), 0.06, 200)
    assert (shares[:2] >= 0.88).all(), shares
    assert ((0.85 <= shares[2:]) & (shares[2:] <= 0.96)).all(), shares


def test_a_stuck_line_is_found_where_half_of_it_is_hidden():
    rng = np.random.default_rng(4)
    target = rng.choice([1e-6, 40e-6], (64, 64), p=[0.4, 0.6])
    g = target + rng.normal(0, 0.5e-6, target.shape)
    g[9] = 40e-6
    fit = fit_faults(g, target)
    assert_allclose(fit.word_line_on_rate.value, 1 / 64)
    assert fit.on_rate.value == fit.off_rate.value == 0
    assert "word line 9 stuck on" in fit.notes[1]


def test_exposure_against_brute_force():
    rng = np.random.default_rng(1)
    target = rng.uniform(1e-6, 40e-6, (12, 12))
    g = target + rng.normal(0, 1e-6, target.shape)
    g[2, 3] = np.nan
    healthy = healthy_cells(Map(g, target, np.isfinite(g)))
    values, cells = rng.uniform(0, 50e-6, 9), rng.random(g.shape) < 0.7
    expected = [
        sum(
            1
            for i in range(12)
            for j in range(12)
            if cells[i, j]
            and np.isfinite(g[i, j])
            and not healthy.low[i, j] <= value <= healthy.high[i, j]
        )
        for value in values
    ]
    assert healthy.exposure(values, cells).tolist() == expected


def test_cells_that_were_not_measured_are_missing():
    rng = np.random.default_rng(2)
    g, target = ends_of_the_window(rng)
    holes = rng.random(g.shape) < 0.3
    full, part = fit_faults(g, target), fit_faults(np.where(holes, np.nan, g), target)
    assert_allclose(
        [part.on_rate.value, part.off_rate.value],
        [full.on_rate.value, full.off_rate.value],
        rtol=0.35,
    )
    assert (
        part.points == (~holes).sum() and f"{holes.sum():,} of them not measured" in part.notes[0]
    )
    assert part.off_rate.high - part.off_rate.low > full.off_rate.high - full.off_rate.low
    one_target = np.random.default_rng(3).normal(20e-6, 0.5e-6, (40, 40))
    one_target[0, :10], one_target[5] = 1e-6, np.nan
    fit = fit_faults(one_target)
    assert_allclose(fit.off_rate.value, 10 / (39 * 40))
    assert fit.word_line_on_rate.high < 0.06 and fit.points == 39 * 40  # of 39 lines
    with pytest.raises(OutOfRangeError, match="inf S at word line 3, bit line 4"):
        one_target[3, 4] = np.inf
        fit_faults(one_target)
    with pytest.raises(OutOfRangeError, match="55 measured"):
        fit_faults(np.where(np.arange(64).reshape(8, 8) > 0, one_target[:8, :8].clip(0, 1), np.nan))


def test_weighted_proportions_against_their_definition():
    same, equal = proportion("p", 7, 300), weighted_proportion("p", np.full(7, 300), 300)
    assert_allclose(
        [equal.value, equal.low, equal.high], [same.value, same.low, same.high], rtol=1e-12
    )
    none = weighted_proportion("p", [], 50)
    assert none.value == 0 and none.high == proportion("p", 0, 50).high


def test_weighted_proportions_cover():
    """Events that 1,000 trials show and events that 300 do, at a true rate of .02 + .01."""
    rng, hits = np.random.default_rng(0), []
    for _ in range(2000):
        totals = np.repeat([1000, 300], [rng.binomial(1000, 0.02), rng.binomial(300, 0.01)])
        p = weighted_proportion("p", totals, 1000)
        hits.append(p.low <= 0.03 <= p.high)
    assert 0.88 <= np.mean(hits) <= 0.97  # conservative by design


def test_a_device_drawn_from_the_file_agrees_with_the_data(tmp_path):
    """A map of the written device has the same far cells at every level as the one fitted."""
    rng = np.random.default_rng(7)
    target = rng.choice([4e-6, 14e-6, 27e-6, 40e-6], (256, 256))
    healthy = target + rng.normal(0, 0.8e-6, target.shape)
    data = stick(rng, healthy, 40e-6, 4e-6)
    base = tmp_path / "base.toml"
    base.write_text(
        'description = "errors of 0.8 uS"\n[read]\nvoltage_v = 0.2\nsource = "x"\n'
        '[conductance]\nminimum_us = 1.0\nmaximum_us = 45.0\nvalid_range_us = [1.0, 45.0]\nsource = "x"\n'
        '[programming]\nmodel = "gaussian"\nscale_us = 40.0\nsource = "x"\n'
        "[[programming.sigma]]\npolynomial_us = [0.8]\n",
        encoding="utf-8",
    )
    np.save(tmp_path / "map.npy", data)
    np.save(tmp_path / "target.npy", target)
    files = [tmp_path / "map.npy", tmp_path / "target.npy"]
    fit = calibrate.calibrate_files("faults", files)
    out = calibrate.write_device(fit, tmp_path / "worn.toml", base, files)
    drawn = load_device(out).program(target, 11).conductance
    for level in np.unique(target):
        here = target == level
        for far in (lambda g, aim=level: g > aim + 6e-6, lambda g, aim=level: g < aim - 2.8e-6):
            counts = np.array([[far(g[here]).sum(), here.sum()] for g in (data, drawn)])
            if counts[:, 0].any():
                assert (
                    stats.fisher_exact(np.c_[counts[:, 0], counts[:, 1] - counts[:, 0]])[1] > 1e-3
                ), (level, counts)
        assert stats.ks_2samp(data[here], drawn[here]).pvalue > 1e-3
    values = load_device(out).file.stuck
    assert_allclose([values.on_us, values.off_us], [40, 4], rtol=1e-6)


# ---------------------------------------------------------------- lists of devices


def write(path, text):
    path.write_text(text, encoding="utf-8")
    return path


def test_a_list_with_a_status(tmp_path):
    rows = ["ok"] * 90 + ["stuck on"] * 3 + ["open"] * 6 + ["", "not tested"] + ["Works"]
    path = write(
        tmp_path / "devices.csv",
        "device,status\n" + "".join(f"d{k},{row}\n" for k, row in enumerate(rows)),
    )
    fit = calibrate.calibrate_files("faults", [path])
    assert_allclose(
        [fit.stuck_rate.value, fit.on_rate.value, fit.off_rate.value],
        [0.09, 0.03, 0.06],
        rtol=1e-12,
    )
    exact = stats.binomtest(9, 100).proportion_ci(0.9, "exact")
    assert_allclose([fit.stuck_rate.low, fit.stuck_rate.high], exact, rtol=1e-9)
    assert fit.device == {"stuck": {"on_rate": 0.03, "off_rate": 0.06}}
    assert fit.notes == (
        "100 devices, 91 of which work",
        "2 devices were not tested and do not count",
    )
    out = calibrate.write_device(fit, tmp_path / "out.toml", "ideal", [path])
    assert load_device(out).file.stuck.off_rate == 0.06
    assert fits.draw(fit, tmp_path / "fit.png").stat().st_size > 5000


@pytest.mark.parametrize(
    "header, words",
    [
        ("works", ("1", "0")),
        ("Works?", ("yes", "no")),
        ("stuck", ("false", "true")),
        ("failed", ("0", "1")),
    ],
)
def test_a_list_that_does_not_say_which_way(tmp_path, header, words):
    path = write(
        tmp_path / "y.csv",
        f"cell;{header}\n" + "".join(f"{k};{words[k % 10 == 0]}\n" for k in range(50)),
    )
    fit = calibrate.calibrate_files("faults", [path])
    assert_allclose(fit.stuck_rate.value, 0.1)
    assert "does not say of 5 stuck devices" in fit.on_rate.reason and not fit.device


def test_a_yield_table_of_mixed_sizes(tmp_path):
    path = write(
        tmp_path / "yield.tsv",
        "size\ttested\tworking\n50 nm\t400\t380\n100 nm\t200\t198\n50 nm\t100\t95\n",
    )
    fit = calibrate.calibrate_files("faults", [path])
    assert_allclose(fit.stuck_rate.value, 27 / 700)
    rates = {p.name: p.value for p in fit.parameters}
    assert_allclose(
        [rates["stuck_rate of 50 nm"], rates["stuck_rate of 100 nm"]], [25 / 500, 2 / 200]
    )
    assert_allclose(
        fit.goodness["one_rate_for_all_sizes_p"],
        stats.chi2_contingency([[25, 475], [2, 198]], correction=False)[1],
    )
    failed = write(tmp_path / "failed.csv", "area,devices,failed\n1,10,1\n4,1000,500\n")
    uneven = calibrate.calibrate_files("faults", [failed])
    assert_allclose(uneven.stuck_rate.value, 501 / 1010)
    assert any(
        "do not have one rate" in note
        for note in fit_yield(
            [
                Devices(Status.STUCK, 90, "a"),
                Devices(Status.WORKS, 10, "a"),
                Devices(Status.WORKS, 100, "b"),
            ]
        ).notes
    )


def test_what_a_list_cannot_say(tmp_path):
    cases = [
        ("a,b\n1,2\n", "no column says whether a device works"),
        ("status\nmaybe\n", "line 2: 'maybe' in the column of status"),
        ("status\n1\n", "numbers need a column named for what they answer"),
        ("status,works\nok,1\n", "status and works says"),
        ("tested,works\n5,6\n", "line 2: 6 of 5 tested devices"),
        ("tested,works\n5,yes\n", "'yes' is not a number of devices"),
        ("count,status\n1.5,ok\n", "1.5 devices"),
    ]
    for text, message in cases:
        with pytest.raises(ConfigError, match=message):
            calibrate.calibrate_files("faults", [write(tmp_path / "x.csv", text)])
    with pytest.raises(OutOfRangeError, match="no device of the list was tested"):
        fit_yield([Devices(Status.UNTESTED, 5, "")])


@pytest.mark.parametrize(
    "draw",
    [
        lambda rng: (rng.random(300) < 0.05).sum(),  # independent devices
        lambda rng: stats.norm.sf(rng.standard_normal(300)).__lt__(0.05).sum(),
    ],
)  # devices beyond a threshold
def test_intervals_of_lists_cover(draw):
    rng, hits = np.random.default_rng(5), []
    for _ in range(200):
        stuck = int(draw(rng))
        fit = fit_yield([Devices(Status.ON, stuck, ""), Devices(Status.WORKS, 300 - stuck, "")])
        hits.append(fit.on_rate.low <= 0.05 <= fit.on_rate.high)
    assert 0.85 <= np.mean(hits) <= 0.97
