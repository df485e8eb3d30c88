"""Fits of device parameters: truth within the stated intervals, published figures of measured data,
what is not identified.

Coverage: 200 seeded repetitions each; a 90 % interval must hold the truth in 85 to 95 % of them.
"""

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose

from xbarsim import calibrate
from xbarsim.base.errors import ConfigError, OutOfRangeError, ShapeError
from xbarsim.calibrate.iv import branches
from xbarsim.calibrate.statistics import Separable, proportion
from xbarsim.devices.presets import load_device
from xbarsim.report.plots import fits

DATA = Path(__file__).parents[3] / "shared" / "data" / "devices"
measured = pytest.mark.skipif(not DATA.is_dir(), reason=f"no measured data in {DATA}")


def coverage(fit, truth, repetitions=200):
    """{name: share of repetitions whose interval holds the truth}; every parameter must be
    identified in each.
    """
    inside = dict.fromkeys(truth, 0)
    for seed in range(repetitions):
        result = fit(np.random.default_rng(seed))
        for name, value in truth.items():
            parameter = getattr(result, name)
            assert parameter.identified, f"seed {seed}: {name}: {parameter.reason}"
            inside[name] += parameter.low <= value <= parameter.high
    return {name: count / repetitions for name, count in inside.items()}


def of_model(result, part):
    """The result or that of its alternatives whose model's name contains `part`."""
    return next(fit for fit in (result, *result.alternatives) if part in fit.model)


def assert_covers(fit, truth):
    shares = coverage(fit, truth)
    assert all(0.85 <= share <= 0.95 for share in shares.values()), shares


# ---------------------------------------------------------------- iv

V = np.concatenate((np.linspace(0, 1, 30), np.linspace(1, 0, 30)))


def sinh(v, g=30e-6, v0=0.6):
    return g * v0 * np.sinh(v / v0)


def test_iv_covers():
    assert_covers(
        lambda rng: calibrate.fit_iv(V[30:], sinh(V[30:]) + rng.normal(0, 0.5e-6, 30)),
        {"conductance": 30e-6, "voltage_scale": 0.6},
    )


def test_profile_of_a_linear_problem_is_the_t_interval():
    """With nothing nonlinear to vary, the profile of a coefficient must be Student's interval of
    linear regression.
    """
    from scipy import stats

    x = np.linspace(0, 1, 20)
    y = 3 + 2 * x + np.random.default_rng(0).normal(0, 0.1, 20)
    profile = Separable(lambda s: np.stack([np.ones(20), x], axis=1), y, 1 + 1e-9 * np.arange(3))
    fit = stats.linregress(x, y)
    value, low, high = profile.combination(lambda s: np.array([0.0, 1.0]))
    rss = ((y - fit.intercept - fit.slope * x) ** 2).sum()
    half = stats.t.ppf(0.95, 17) * np.sqrt(
        rss / 17 / ((x - 0.5) ** 2).sum()
    )  # 17: two coefficients and s
    assert_allclose([value, low, high], [fit.slope, fit.slope - half, fit.slope + half], rtol=1e-9)
    assert profile.low is profile.high is None


def test_iv_of_several_sweeps_covers_the_mean():
    def fit(rng):
        g = rng.normal(30e-6, 1e-6, 6)
        return calibrate.fit_iv(
            [V[30:]] * 6, [sinh(V[30:], gk) + rng.normal(0, 0.3e-6, 30) for gk in g]
        )

    assert_covers(fit, {"conductance": 30e-6, "voltage_scale": 0.6})


def test_iv_recognises_compliance_and_branches():
    low, high = sinh(V[:30], 20e-6), 300e-6 * V
    switched = np.concatenate((np.where(V[:30] < 0.8, low, 200e-6), np.minimum(high[30:], 200e-6)))
    reset = np.concatenate((-300e-6 * V[:25], -sinh(V[25:])))
    found = branches(np.concatenate((V, -V)), np.concatenate((switched, reset)))
    assert [(b.kind, b.returns) for b in found] == [
        ("set", False),
        ("set", True),
        ("reset", False),
        ("reset", True),
    ]
    assert found[0].compliance == found[1].compliance == 200e-6 and found[3].compliance is None
    assert abs(found[1].current).max() < 200e-6
    fit = calibrate.fit_iv(np.concatenate((V, -V)), np.concatenate((switched, reset)))
    assert_allclose([fit.conductance.value, fit.voltage_scale.value], [30e-6, 0.6], rtol=1e-4)


def test_iv_of_an_ohmic_cell_has_no_voltage_scale():
    rng = np.random.default_rng(1)
    fit = calibrate.fit_iv(V[30:], 1e-4 * V[30:] + rng.normal(0, 1e-6, 30))
    assert not fit.voltage_scale.identified and fit.voltage_scale.value is None
    assert "straight line is within the interval" in fit.voltage_scale.reason and not fit.device
    assert fit.better().model == "straight line"
    assert fit.conductance.low < 1e-4 < fit.conductance.high


def test_iv_prefers_the_polynomial_that_made_the_data():
    y = 1e-5 * (V[30:] + 4 * V[30:] ** 3) + np.random.default_rng(0).normal(0, 5e-8, 30)
    better = calibrate.fit_iv(V[30:], y).better()
    assert better.model == "polynomial of degree 3"
    assert better.coefficient_3.low < 4 < better.coefficient_3.high
    assert better.device["iv"]["coefficients"][0] == 0


def test_correlated_residuals_widen_the_intervals():
    rng = np.random.default_rng(2)
    noise = np.convolve(rng.normal(0, 0.5e-6, 330), np.ones(30) / np.sqrt(30), mode="valid")[:300]
    v = np.linspace(1, 0, 300)
    smooth, white = (
        calibrate.fit_iv(v, sinh(v) + n).conductance for n in (noise, rng.normal(0, 0.5e-6, 300))
    )
    assert (smooth.high - smooth.low) > 2 * (white.high - white.low)


@measured
def test_iv_of_measured_resets():
    path = DATA / "readc_1t1r" / "iv_3b.csv"
    fit = calibrate.calibrate_files(
        "iv", [path], where={"icc_uA": "200", "sweep": "reset", "v_V": "-0.8..0.8"}
    )
    assert_allclose(fit.conductance.value, 35.64e-6, rtol=2e-4)
    assert_allclose(fit.voltage_scale.value, 0.701, rtol=1e-3)
    everything = calibrate.calibrate_files("iv", [path])
    assert "8 set rise, 8 set return, 8 reset rise, 8 reset return" in everything.notes[0]
    assert "compliance at 50.01, 100, 150.1, 200.1, 250.1, 300, 350.1, 400" in everything.notes[0]


LEVELS = np.repeat(np.linspace(5e-6, 40e-6, 8), 40)


# ---------------------------------------------------------------- retention

TIMES = np.array([0.0, 0.01, 0.1, 1.0, 10.0, 1e3, 1e5])


def relaxing(rng, cells=600, slope=1.8e-12, offset=4.3e-12):
    """A random walk in log t from the write on, so that the times of a cell correlate."""
    variance = slope * np.log10(TIMES[1:]) + offset
    steps = rng.standard_normal((cells, len(TIMES) - 1)) * np.sqrt(np.diff(variance, prepend=0.0))
    mean = -0.3e-6 - 0.2e-6 * np.log10(TIMES[1:])
    g = 20e-6 + np.concatenate((np.zeros((cells, 1)), mean + steps.cumsum(axis=1)), axis=1)
    return np.tile(TIMES, cells), g.ravel(), np.repeat(np.arange(cells), len(TIMES))


def test_relaxation_covers():
    assert_covers(
        lambda rng: of_model(calibrate.fit_retention(*relaxing(rng)), "relaxation"),
        {
            "variance_slope": 1.8e-12,
            "variance_offset": 4.3e-12,
            "mean_slope": -0.2e-6,
            "mean_offset": -0.3e-6,
        },
    )


def drifting(rng, cells=60, spread=0.01, noise=0.01):
    nu = rng.normal(0.05, spread, (cells, 1))
    g = 20e-6 * TIMES[1:] ** -nu * (1 + noise * rng.standard_normal((cells, len(TIMES) - 1)))
    return np.tile(TIMES[1:], cells), g.ravel(), np.repeat(np.arange(cells), len(TIMES) - 1)


def test_drift_covers():
    def fit(rng):
        result = calibrate.fit_retention(*drifting(rng))
        assert result.model.startswith("drift")
        return result

    assert_covers(fit, {"drift_mean": 0.05, "drift_sigma": 0.01})


def test_retention_that_is_not_identified():
    rng = np.random.default_rng(0)
    no_spread = calibrate.fit_retention(*drifting(rng, spread=0.0))
    drift = of_model(no_spread, "drift")
    assert drift.drift_mean.identified and "not above what the scatter" in drift.drift_sigma.reason
    t = np.tile([0, 10.0, 20.0, 40.0], 20)
    short = calibrate.fit_retention(
        t, 2e-5 + rng.normal(0, 1e-7, t.size), np.repeat(np.arange(20), 4)
    )
    assert "span 0.6 decades; 1 is needed" in short.variance_slope.reason and not short.device
    assert not short.alternatives[0].parameters[0].identified
    assert "AIC" not in short.render()
    few = calibrate.fit_retention(*relaxing(rng, cells=3))
    assert "3 cells; a spread needs 8" in of_model(few, "relaxation").variance_slope.reason
    with pytest.raises(OutOfRangeError, match="no reading after the write"):
        calibrate.fit_retention([0.0, 0.0], [1e-6, 2e-6], ["a", "b"])
    with pytest.raises(OutOfRangeError, match="time is -1 s"):
        calibrate.fit_retention([-1.0, 0.0], [1e-6, 2e-6])


@measured
def test_relaxation_of_measured_cells():
    """Technology C; the published line is that of the cells written to at most 40 µS at the
    measured times, without the 3.4 s which fewer than half of the cells have."""
    fit = calibrate.calibrate_files(
        "retention",
        [DATA / "levy_relaxation" / "techC_relaxdata.min.tsv.gz"],
        {"cell": "1", "time": "2:s", "conductance": "4:S", "initial": "5:S"},
        {"5": "0..40e-6"},
    )
    assert fit.model.startswith("relaxation")
    assert_allclose(
        [fit.variance_slope.value, fit.variance_offset.value], [1.777e-12, 4.283e-12], rtol=3e-4
    )
    assert any("left out: 3.44 s" in note for note in fit.notes)


def trains(rng, up=2.0, down=4.0, pulses=150, noise=0.5e-6):
    share = np.arange(pulses) / (pulses - 1)
    shape = [np.log1p(np.expm1(n) * share) / n if n else share for n in (up, down)]
    return tuple(
        g + noise * rng.standard_normal(pulses)
        for g in (10e-6 + 30e-6 * shape[0], 40e-6 - 30e-6 * shape[1])
    )


# ---------------------------------------------------------------- faults


def faulty(rng, on=0.01, off=0.02, shape=(64, 48)):
    g, draw = rng.normal(20e-6, 0.5e-6, shape), rng.random(shape)
    g[draw < on], g[(draw >= on) & (draw < on + off)] = 60e-6, 1e-6
    return g


def test_faults_cover():
    shares = coverage(
        lambda rng: calibrate.fit_faults(faulty(rng)), {"on_rate": 0.01, "off_rate": 0.02}
    )
    assert all(0.88 <= share <= 0.97 for share in shares.values()), (
        shares
    )  # exact intervals of counts: never below 90 %


def test_proportions_against_their_definition():
    from scipy import stats

    p = proportion("p", 3, 50)
    assert_allclose([stats.binom.sf(2, 50, p.low), stats.binom.cdf(3, 50, p.high)], 0.05)
    zero = proportion("p", 0, 50)
    assert zero.low == zero.value == 0
    assert_allclose((1 - zero.high) ** 50, 0.1)


def test_faults_on_lines():
    g = faulty(np.random.default_rng(0))
    clean = calibrate.fit_faults(g)
    assert (
        clean.word_line_off_rate.value == clean.bit_line_on_rate.value == 0
        and clean.better() is None
    )
    g[7], g[:, [3, 9]] = 1e-6, 60e-6
    fit = calibrate.fit_faults(g)
    assert_allclose([fit.word_line_off_rate.value, fit.bit_line_on_rate.value], [1 / 64, 2 / 48])
    assert "word line 7 stuck off" in fit.notes[1] and "bit line 9 stuck on" in fit.notes[1]
    assert fit.on_rate.low < 0.01 < fit.on_rate.high and fit.off_rate.low < 0.02 < fit.off_rate.high
    assert fit.aic < fit.alternatives[0].aic - 100


def test_false_lines_are_rare():
    maps = (faulty(np.random.default_rng(seed), 0.1, 0.1) for seed in range(100))
    assert not any(calibrate.fit_faults(g).word_line_on_rate.value for g in maps)
    small = (
        faulty(np.random.default_rng(seed), 0.18, 0.0, (8, 8)) for seed in range(150)
    )  # half a line is chance here
    assert sum(bool(calibrate.fit_faults(g).word_line_on_rate.value) for g in small) <= 1


def test_faults_that_cluster_without_a_stuck_line():
    g = faulty(np.random.default_rng(0), 0.0, 0.0)
    g[5, :16] = 1e-6
    assert any("lie more unevenly on word lines" in note for note in calibrate.fit_faults(g).notes)


def test_faults_not_identified_and_with_targets():
    aim = np.random.default_rng(0).choice([5e-6, 20e-6, 80e-6], (40, 40), p=[0.18, 0.64, 0.18])
    g = aim + np.random.default_rng(1).normal(0, 1e-7, aim.shape)
    fit = calibrate.fit_faults(g)
    assert "not of one target" in fit.on_rate.reason and not fit.device
    wide = calibrate.fit_faults(np.random.default_rng(2).uniform(1e-6, 40e-6, (40, 40)))
    assert "cannot be told from a healthy one" in wide.off_rate.reason and wide.on_rate.identified
    g[0, 0] = 200e-6
    assert_allclose(calibrate.fit_faults(g, aim).on_rate.value, 1 / 1600)
    assert "no healthy spread" in calibrate.fit_faults(np.full((10, 10), 1e-5)).on_rate.reason
    with pytest.raises(OutOfRangeError, match="64 cells or more"):
        calibrate.fit_faults(np.ones((3, 3)))


# ---------------------------------------------------------------- results, files, pictures


def example(kind, tmp_path):
    """(paths, columns) of a synthetic measurement of a kind."""
    rng, path = np.random.default_rng(0), tmp_path / f"{kind}.csv"
    if kind == "faults":
        np.savetxt(path, faulty(rng), delimiter=",")
        return [path], {}
    header, columns = {
        "iv": ("V (V),I (A)", (V[30:], sinh(V[30:]) + rng.normal(0, 1e-7, 30))),
        "programming": (
            "target_uS,achieved_uS",
            (1e6 * LEVELS, 1e6 * LEVELS + rng.normal(size=320)),
        ),
        "retention": ("time_s,G_S,cell", relaxing(rng)),
        "pulses": ("up_S,down_S", trains(rng)),
    }[kind]
    np.savetxt(path, np.stack(columns, axis=1), delimiter=",", header=header, comments="")
    return [path], {}


@pytest.mark.parametrize("kind", ["iv", "programming", "retention", "pulses", "faults"])
def test_from_file_to_device(kind, tmp_path):
    paths, columns = example(kind, tmp_path)
    fit = calibrate.calibrate_files(kind, paths, columns)
    assert paths[0].name in fit.inputs[0]
    text = fit.render()
    assert all(parameter.name in text for parameter in fit.parameters)
    assert json.loads(json.dumps(fit.to_json(), allow_nan=False))["kind"] == kind
    assert fits.draw(fit, tmp_path / "fit.png").stat().st_size > 5000
    base = "ideal"
    if kind == "pulses":
        with pytest.raises(
            ConfigError, match="tolerance_us and maximum_pulses are choices of the write"
        ):
            calibrate.device_toml(fit, base, "x")
        base = tmp_path / "base.toml"
        faults = calibrate.calibrate_files("faults", *example("faults", tmp_path))
        base.write_text(
            calibrate.device_toml(faults, "ideal", "x")
            + "\n[write_verify]\nstep_up_us = 1\nstep_down_us = 1\ntolerance_us = 0.5\nmaximum_pulses = 100\n"
            'source = "x"\n'
        )
    out = calibrate.write_device(fit, tmp_path / f"{kind}-device.toml", base, paths)
    device = load_device(out).file
    for table, values in fit.device.items():
        written = getattr(device, table).model_dump()
        assert written["source"].startswith(f"xbarsim calibrate {kind}") or kind == "pulses"
        assert all(
            np.all(np.asarray(written[key]) == value)
            for key, value in values.items()
            if isinstance(value, float)
        )
    with pytest.raises(ConfigError, match="name a device that has them with --base"):
        calibrate.device_toml(fit, None, "x")


def test_a_fit_without_tables_writes_no_device(tmp_path):
    fit = calibrate.fit_iv(V[30:], 1e-4 * V[30:] + np.random.default_rng(1).normal(0, 1e-6, 30))
    with pytest.raises(
        ConfigError, match="gives no table of a device file .voltage_scale: a straight line"
    ):
        calibrate.write_device(fit, tmp_path / "x.toml", "ideal", [])
    assert "not identified: a straight line" in fit.render()
    with pytest.raises(AttributeError, match="no parameter 'slope'"):
        _ = fit.slope


def test_what_cannot_be_fitted(tmp_path):
    with pytest.raises(ConfigError, match="no kind of calibration 'vi'; kinds are iv"):
        calibrate.calibrate_files("vi", ["x.csv"])
    one = tmp_path / "one.csv"
    one.write_text("v_V,i_A\n1,1e-6\n")
    with pytest.raises(ConfigError, match=r"1 row of data \(line 2\); an I-V fit needs at least 8"):
        calibrate.calibrate_files("iv", [one])
    with pytest.raises(ShapeError, match="finite vectors"):
        calibrate.fit_iv(V, V[1:])
    with pytest.raises(ShapeError, match="voltage has 0 entries"):
        calibrate.fit_iv([], [])
    with pytest.raises(OutOfRangeError, match="targets are 0 to 0 S"):
        calibrate.fit_programming(np.zeros(20), np.ones(20))
    with pytest.raises(OutOfRangeError, match="degree is 7; allowed: 0 to 3"):
        calibrate.fit_programming(LEVELS, LEVELS + 1e-7 * np.arange(320), degree=7)
    for arguments in (
        ([], []),
        ([1.0, 2.0], [1e-6]),
        ([1.0], [1e-6], None, [1e-6, 2e-6]),
        ([1.0], [np.nan]),
    ):
        with pytest.raises(ShapeError, match="finite vectors of one length"):
            calibrate.fit_retention(*arguments)
    with pytest.raises(OutOfRangeError, match="all errors are the same"):
        calibrate.fit_programming(LEVELS, LEVELS)
    with pytest.raises(OutOfRangeError, match="all voltages are 0 V"):
        calibrate.fit_iv(np.zeros(10), np.zeros(10))
    with pytest.raises(ConfigError, match="plain matrix"):
        calibrate.calibrate_files("faults", [one], {"map": "x"})


def test_command(tmp_path):
    from typer.testing import CliRunner

    from xbarsim.cli.app import app

    paths, _ = example("iv", tmp_path)
    out, picture = tmp_path / "mine.toml", tmp_path / "fit.png"
    run = CliRunner().invoke(
        app,
        [
            "calibrate",
            "iv",
            str(paths[0]),
            "--out",
            str(out),
            "--base",
            "ideal",
            "--picture",
            str(picture),
            "--column",
            "voltage=V (V)",
            "--where",
            "V (V)=0.1..0.9",
        ],
    )
    assert run.exit_code == 0, run.output
    assert "voltage_scale" in run.output and picture.is_file()
    assert_allclose(load_device(out).file.iv.v0_v, 0.6, rtol=0.02)
    run = CliRunner().invoke(app, ["calibrate", "iv", str(paths[0]), "--json"])
    assert json.loads(run.stdout)["parameters"][0]["name"] == "conductance"
    run = CliRunner().invoke(app, ["calibrate", "iv", str(paths[0]), "--column", "voltage"])
    assert run.exit_code == 2 and "not of the form NAME=VALUE" in run.output


def test_command_prints_and_writes_the_model_that_is_named(tmp_path):
    from typer.testing import CliRunner

    from xbarsim.cli.app import app

    paths, _ = example("iv", tmp_path)
    out, command = (
        tmp_path / "mine.toml",
        ["calibrate", "iv", str(paths[0]), "--column", "voltage=V (V)"],
    )
    best = CliRunner().invoke(app, command).stdout
    run = CliRunner().invoke(
        app, [*command, "--model", "polynomial of degree 3", "--out", str(out), "--base", "ideal"]
    )
    assert run.exit_code == 0, run.output
    assert "polynomial of degree 3" in run.stdout.splitlines()[0] != best.splitlines()[0]
    assert run.stdout.splitlines()[1] == best.splitlines()[1]  # what was read
    assert "sinh" in next(line for line in run.stdout.splitlines() if "AIC" in line).lower()
    assert load_device(out).file.iv.model == "polynomial"


def test_faults_in_other_units(tmp_path):
    g = np.full((30, 30), 20e-6) * (1 + 0.02 * np.random.default_rng(3).standard_normal((30, 30)))
    g[4, 5] = 0
    expected = calibrate.fit_faults(g)
    np.save(tmp_path / "micro.npy", 1e6 * g)
    with np.errstate(divide="ignore"):
        np.save(tmp_path / "kilo.npy", 1e-3 / g)
    for name, unit in (("micro.npy", "uS"), ("kilo.npy", "kohm")):
        fit = calibrate.calibrate_files(
            "faults", [tmp_path / name], {"conductance": f":{unit}"}, {}
        )
        assert_allclose(
            [p.value for p in fit.parameters if p.value is not None],
            [p.value for p in expected.parameters if p.value is not None],
            rtol=1e-9,
        )
        assert f"in {unit}" in fit.inputs[0]
    for columns, where in (({"conductance": ":V"}, {}), ({"target": ":uS"}, {}), ({}, {"a": "1"})):
        with pytest.raises(ConfigError, match="conductance"):
            calibrate.calibrate_files("faults", [tmp_path / "micro.npy"], columns, where)


def test_an_alternative_is_chosen_by_the_start_of_its_name():
    voltage = np.linspace(0.01, 0.8, 80)
    fit = calibrate.fit_iv(voltage, 20e-6 * 0.4 * np.sinh(voltage / 0.4))
    assert fit.choose("Sinh").model == fit.model
    assert fit.choose("polynomial of degree 3").device["iv"]["model"] == "polynomial"
    for name, message in (("poly", "2 models"), ("zz", "no models"), ("", "4 models")):
        with pytest.raises(ConfigError, match=message):
            fit.choose(name)
