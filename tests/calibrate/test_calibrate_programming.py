"""Programming errors: means and spreads that follow the target, tails, bands; cells drawn from the
files that fits write."""

from pathlib import Path

import numpy as np
import pytest
from coverage_study import assert_agree, assert_covers, assert_pooled, drawn, of_model
from numpy.testing import assert_allclose
from scipy import stats

from xbarsim import calibrate
from xbarsim.base.errors import OutOfRangeError
from xbarsim.calibrate.result import FitResult
from xbarsim.devices.presets import load_device

DATA = Path(__file__).parents[3] / "shared" / "data" / "devices"
measured = pytest.mark.skipif(not DATA.is_dir(), reason=f"no measured data in {DATA}")
LEVELS = np.repeat(np.linspace(15e-6, 50e-6, 8), 40)
MORE = np.tile(LEVELS, 3)
SCALED = MORE / MORE.max()


def too_low(rng, spread=0.5e-6):
    """(target, achieved) of the case: 0.8 of the target, 10 levels of 100 writes."""
    target = np.repeat(np.arange(10, 101, 10) * 1e-6, 100)
    return target, 0.8 * target + spread * rng.standard_normal(target.size)


def test_a_mean_error_proportional_to_the_target(tmp_path):
    """-0.2 of the target and 0.5 µS at every level, in the file and in what the device makes of
    it."""
    target, achieved = too_low(np.random.default_rng(0))
    fit = calibrate.fit_programming(target, achieved)
    device = load_device(calibrate.write_device(fit, tmp_path / "low.toml", "ideal", ["x.csv"]))
    levels = np.unique(target)
    assert_allclose(device.write_bias(levels), -0.2 * levels, rtol=0, atol=0.1e-6)
    assert_allclose(device.write_sigma(levels), 0.5e-6, rtol=0.1)
    assert_allclose(fit.bias.value, -11e-6, rtol=0.01)
    assert_allclose(fit.sigma.value, 0.5e-6, rtol=0.05)
    assert [level.writes for level in fit.levels] == [100] * 10
    for level in fit.levels:
        here = achieved[target == level.target] - level.target
        assert_allclose(
            [level.mean_error, level.sigma], [np.mean(here), np.std(here, ddof=1)], rtol=1e-9
        )
    assert not fit.warnings
    simulated = drawn(fit, target, tmp_path / "again.toml")
    for level in levels:
        assert_agree(achieved[target == level], simulated[target == level])


def test_levels_are_printed():
    fit = calibrate.fit_programming(*too_low(np.random.default_rng(0)))
    line = next(line for line in fit.render().splitlines() if line.split()[:2] == ["100", "100"])
    level = fit.levels[-1]
    assert line.split()[2:4] == [f"{level.mean_error * 1e6:.4g}", f"{level.sigma * 1e6:.4g}"]


@pytest.mark.parametrize("model", ["student", "bounded", "gaussian"])
def test_a_mean_that_depends_on_the_target_for_every_form(model, tmp_path):
    rng = np.random.default_rng(3)
    noise = {
        "student": rng.standard_t(4, MORE.size),
        "bounded": rng.uniform(-2, 2, MORE.size),
        "gaussian": rng.standard_normal(MORE.size),
    }[model] * 0.5e-6
    achieved = MORE * 0.9 + 1e-6 + noise
    fit = calibrate.fit_programming(MORE, achieved)
    assert fit.device["programming"]["model"] in (model, "mixture" if model == "student" else model)
    assert_agree(achieved - MORE, drawn(fit, MORE, tmp_path / "x.toml") - MORE)
    device = load_device(tmp_path / "x.toml")
    assert_allclose(
        device.write_bias(np.array([15e-6, 50e-6])), [-0.5e-6, -4e-6], rtol=0, atol=0.15e-6
    )


FORMS = {
    "normal": (lambda rng, n: rng.normal(0.3e-6, 1e-6, n), "gaussian"),
    "student": (lambda rng, n: 0.3e-6 + 1e-6 * rng.standard_t(3, n), "student"),
    "mixture": (
        lambda rng, n: 1e-6 * rng.standard_normal(n) * np.where(rng.random(n) < 0.1, 5, 1),
        "mixture",
    ),
    "uniform off centre": (lambda rng, n: rng.uniform(-1e-6, 4e-6, n), "bounded"),
    "uniform": (lambda rng, n: rng.uniform(-2e-6, 2e-6, n), "bounded"),
    "triangular": (lambda rng, n: rng.triangular(-3e-6, 0, 3e-6, n), "gaussian"),
    "logistic": (lambda rng, n: rng.logistic(0.3e-6, 1e-6, n), None),
    "every level": (
        lambda rng, n: np.where(MORE == MORE[0], 4e-6, 0.5e-6) * rng.standard_normal(n),
        "gaussian",
    ),
    "sine": (
        lambda rng, n: 2e-6 * np.sin(MORE / 5e-6) + 0.4e-6 * rng.standard_normal(n),
        "gaussian",
    ),
}


@pytest.mark.parametrize("name", FORMS)
def test_cells_drawn_from_the_file_are_those_of_the_data(name, tmp_path):
    draw, model = FORMS[name]
    error = draw(np.random.default_rng(1), MORE.size)
    fit = calibrate.fit_programming(MORE, MORE + error)
    assert model is None or fit.device["programming"]["model"] == model
    assert not fit.warnings
    assert_agree(error, drawn(fit, MORE, tmp_path / "x.toml") - MORE)
    for level in np.unique(MORE):
        here = MORE == level
        assert_agree(error[here], (drawn(fit, MORE, tmp_path / "y.toml") - MORE)[here])


@pytest.mark.parametrize(
    "start", ["Gaussian", "heavy-tailed, Student", "heavy-tailed, mixture", "bounded"]
)
def test_every_model_that_can_be_chosen_is_written_as_it_was_fitted(start, tmp_path):
    """Mean and standard deviation of the file are those of the fit, whichever form the user asks
    for."""
    draw = FORMS["mixture"][0] if "mixture" in start else FORMS["student"][0]
    error = draw(np.random.default_rng(2), MORE.size)
    fit = of_model(calibrate.fit_programming(MORE, MORE + error), start)
    cells = drawn(fit, np.full(20000, 40e-6), tmp_path / "x.toml") - 40e-6
    assert_allclose(
        np.median(cells), fit.bias.value if hasattr(fit, "bias") else 0, rtol=0, atol=0.15e-6
    )
    heavy = "Student" in start
    assert_allclose(cells.std(), fit.sigma.value, rtol=0.25 if heavy else 0.03)


def test_the_location_of_skewed_heavy_tails_is_not_the_mean(tmp_path):
    """The mean of such errors lies in their tail; the file gets where most of them are."""
    rng = np.random.default_rng(4)
    tail = np.where(rng.random(MORE.size) < 0.08, rng.exponential(20e-6, MORE.size), 0)
    error = 1e-6 * rng.standard_t(3, MORE.size) + tail
    fit = of_model(calibrate.fit_programming(MORE, MORE + error), "heavy-tailed, Student")
    assert error.mean() > 1.2e-6 and abs(fit.bias.value) < 0.35e-6


def test_a_form_that_does_not_fit_is_said_loudly():
    rng = np.random.default_rng(0)
    error = np.where(rng.random(MORE.size) < 0.5, -3e-6, 3e-6) + 0.2e-6 * rng.standard_normal(
        MORE.size
    )
    fit = calibrate.fit_programming(MORE, MORE + error)
    assert fit.goodness["kolmogorov_smirnov_p"] < 1e-10
    assert (
        "contradicts the data" in fit.warnings[0]
        and "WARNING  the fitted distribution" in fit.render()
    )
    assert fit.to_json()["warnings"]
    one = np.where(MORE == MORE[0], 3e-6 * np.sign(error), 0.5e-6 * rng.standard_normal(MORE.size))
    worst = calibrate.fit_programming(MORE, MORE + one)
    assert any("writes to 15 µS" in warning for warning in worst.warnings)
    assert not FitResult("x", "y", (), 1, {}, 0.0).warnings


def test_degrees_are_checked():
    with pytest.raises(OutOfRangeError, match="bias_degree is 5; allowed: 0 to 3"):
        calibrate.fit_programming(LEVELS, LEVELS + 1e-7 * np.arange(320), bias_degree=5)
    fit = calibrate.fit_programming(*too_low(np.random.default_rng(0)), bias_degree=0)
    assert fit.sigma.value > 5e-6 and fit.warnings


def test_tails_without_a_standard_deviation_give_no_file():
    error = 1e-7 * np.random.default_rng(1).standard_cauchy(LEVELS.size)
    fit = of_model(calibrate.fit_programming(LEVELS, LEVELS + error), "heavy-tailed, Student")
    assert not fit.degrees_of_freedom.identified and not fit.sigma.identified and not fit.device


def test_gaussian_tails_are_no_student():
    fit = calibrate.fit_programming(
        LEVELS, LEVELS + np.random.default_rng(3).normal(0, 1e-6, LEVELS.size)
    )
    student = of_model(fit, "heavy-tailed, Student")
    assert not student.degrees_of_freedom.identified and not student.device


@pytest.mark.parametrize(
    "draw, model",
    [
        (lambda rng, n: rng.normal(0, 1e-6, n), "Gaussian, sigma a polynomial of degree 0"),
        (lambda rng, n: rng.uniform(-2e-6, 2e-6, n), "bounded, uniform within the half width"),
        (
            lambda rng, n: rng.uniform(-1e-6, 4e-6, n),
            "bounded, uniform within the half width of a constant error",
        ),
        (lambda rng, n: 1e-6 * rng.standard_t(3, n), "heavy-tailed"),
    ],
)
def test_distributions_are_told_apart(draw, model):
    found = []
    for seed in range(4):
        error = draw(np.random.default_rng(seed), LEVELS.size)
        found.append(calibrate.fit_programming(LEVELS, LEVELS + error).model)
    assert sum(name.startswith(model) for name in found) >= 3, found


@measured
def test_measured_levels():
    fit = calibrate.calibrate_files("programming", [DATA / "readc_1t1r" / "levels_3c.csv"])
    assert fit.model.startswith("bounded")
    assert_allclose(fit.goodness["measured_sigma_us"], 2.74, rtol=3e-3)
    assert_allclose(fit.half_width.value, 5e-6, rtol=0.012)


def test_the_interval_of_a_half_width_is_exact():
    """The largest of n uniform errors falls short of w / reach with probability 10 %; of a
    midrange, of two order statistics."""
    error = np.random.default_rng(0).uniform(-5e-6, 5e-6, LEVELS.size)
    about_target = of_model(calibrate.fit_programming(LEVELS, LEVELS + error), "bounded").half_width
    assert_allclose((about_target.value / about_target.high) ** LEVELS.size, 0.1)
    centred = of_model(
        calibrate.fit_programming(LEVELS, LEVELS + error + 3e-6), "bounded"
    ).half_width
    share, n = centred.value / centred.high, LEVELS.size
    assert_allclose(n * share ** (n - 1) - (n - 1) * share**n, 0.1, rtol=1e-6)


def constant(draw, start, truth, target=LEVELS):
    def make(rng):
        fit = calibrate.fit_programming(
            target, target + draw(rng, target.size), degree=0, bias_degree=0
        )
        return of_model(fit, start), truth

    return make


def lines(standardised):
    truth = {"bias_0": 1e-6, "bias_1": -3e-6, "sigma_0": 0.4e-6, "sigma_1": 2e-6}

    def make(rng):
        error = 1e-6 - 3e-6 * SCALED + (0.4e-6 + 2e-6 * SCALED) * standardised(rng, MORE.size)
        return of_model(
            calibrate.fit_programming(MORE, MORE + error, degree=1, bias_degree=1), "Gaussian"
        ), truth

    return make


def band_about_a_line(rng):
    line = 1e-6 - 3e-6 * SCALED
    error = line + rng.uniform(-2e-6, 2e-6, MORE.size)
    fit = calibrate.fit_programming(MORE, MORE + error, degree=0, bias_degree=1)
    truth = {"bias": line.mean(), "half_width": 2e-6, "sigma": 2e-6 / ROOT3}
    return of_model(fit, "bounded, uniform within the half width of an error linear"), truth


ROOT3 = np.sqrt(3)
COVERED = {
    "normal": constant(FORMS["normal"][0], "Gaussian", {"bias": 0.3e-6, "sigma": 1e-6}),
    "triangular": constant(
        FORMS["triangular"][0], "Gaussian", {"bias": 0, "sigma": 3e-6 / np.sqrt(6)}
    ),
    "student 4": constant(
        lambda rng, n: 1e-6 * rng.standard_t(4, n),
        "heavy-tailed, Student",
        {"bias": 0, "sigma": np.sqrt(2) * 1e-6, "degrees_of_freedom": 4},
    ),
    "logistic": constant(
        FORMS["logistic"][0],
        "heavy-tailed, Student",
        {"bias": 0.3e-6, "sigma": np.pi / ROOT3 * 1e-6},
    ),
    "mixture": constant(
        lambda rng, n: 1e-6 * rng.standard_normal(n) * np.where(rng.random(n) < 0.1, 4, 1),
        "heavy-tailed, mixture",
        {"bias": 0, "sigma": np.sqrt(2.5) * 1e-6, "tail_fraction": 0.1, "tail_factor": 4},
        MORE,
    ),
    "uniform": constant(
        FORMS["uniform off centre"][0],
        "bounded",
        {"bias": 1.5e-6, "half_width": 2.5e-6, "sigma": 2.5e-6 / ROOT3},
    ),
    "uniform about a line": band_about_a_line,
    "lines, normal": lines(lambda rng, n: rng.standard_normal(n)),
    "lines, logistic": lines(lambda rng, n: rng.logistic(size=n) * ROOT3 / np.pi),
}


@pytest.mark.long
@pytest.mark.parametrize("name", COVERED)
def test_intervals_hold_the_truth(name):
    assert_covers(COVERED[name])


def test_intervals_of_few_repetitions_hold_the_truth():
    assert_pooled(COVERED, 8, least=180)


def test_ks_of_the_helper_sees_a_shift():
    sample = stats.norm.rvs(size=500, random_state=1)
    with pytest.raises(AssertionError):
        assert_agree(sample, sample + 0.5)
