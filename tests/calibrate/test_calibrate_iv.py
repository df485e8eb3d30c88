"""Sweeps: signs, offsets, polarities and cells; intervals that hold; device files that agree with
the data."""

import numpy as np
import pytest
from interval_coverage import FULL, assert_intervals_hold, repetitions
from numpy.testing import assert_allclose
from scipy import linalg, stats

from xbarsim import calibrate
from xbarsim.base.errors import OutOfRangeError, ShapeError
from xbarsim.calibrate.statistics import spread_interval, sum_of_errors
from xbarsim.devices.presets import load_device

DOWN = np.linspace(1, 0, 30)
THERE_AND_BACK = np.concatenate((np.linspace(0, 1, 21), np.linspace(0.95, 0, 20)))
NOISES = {
    "constant": lambda current, rng: 0.02 * current.max() * rng.standard_normal(len(current)),
    "uniform": lambda current, rng: 0.03 * current.max() * rng.uniform(-1, 1, len(current)),
    "proportional": lambda current, rng: 0.05 * current * rng.standard_normal(len(current)),
    "square root": lambda current, rng: (
        0.03 * np.sqrt(current.max() * current) * rng.standard_normal(len(current))
    ),
}


def sinh(voltage, conductance=30e-6, v0=0.25):
    return conductance * v0 * np.sinh(voltage / v0)


def written(tmp_path, rows, name="iv.csv"):
    path = tmp_path / name
    path.write_text("\n".join(rows))
    return path


def generator(seed):
    return np.random.default_rng(70_000 + seed)


# ---------------------------------------------------------------- intervals


@repetitions
@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("count", [1, 2, 4, 8])
def test_branches_that_share_their_curve(count, noise, repetitions):
    if repetitions < 200 and (count, noise) not in ((1, "proportional"), (4, "constant")):
        pytest.skip("in the long run")

    def fit(rng):
        currents = [sinh(DOWN) for _ in range(count)]
        noisy = [current + NOISES[noise](current, rng) for current in currents]
        return calibrate.fit_iv([DOWN] * count, noisy)

    truth = {"conductance": 30e-6, "voltage_scale": 0.25}
    assert_intervals_hold(fit, truth, repetitions, generator)


def test_weights_that_were_fitted_cost_degrees_of_freedom():
    """At the ends of V0's interval the sum of squares, by scipy, is that of the F distribution."""
    current = sinh(DOWN)
    fit = calibrate.fit_iv(DOWN, current + NOISES["proportional"](current, generator(1)))
    assert any("the noise grows with the current" in note for note in fit.notes)
    measured = fit.curves["current against voltage"].data["data 1"][1]
    fitted = sinh(DOWN, fit.conductance.value, fit.voltage_scale.value)
    weights = 1 / np.hypot(1, 300 * fitted / fitted.max())  # the steepest of those tried

    def squares(v0):
        column = weights * sinh(DOWN, 1.0, v0)
        return linalg.lstsq(column[:, None], weights * measured)[1]

    freedom = len(DOWN) - 2 - 2  # conductance and V0; ratio and power of the noise
    expected = 1 + stats.f.ppf(0.9, 1, freedom) / freedom
    ends = [fit.voltage_scale.low, fit.voltage_scale.high]
    found = [squares(v0) / squares(fit.voltage_scale.value) for v0 in ends]
    assert_allclose(found, expected, rtol=2e-3)


@pytest.mark.long
def test_one_branch_with_noise_that_grows_is_held_by_many():
    """1,200 repetitions: a share of .90 is known to .009."""
    held = np.zeros(2)
    for child in np.random.SeedSequence(20_261_125).spawn(1200):
        rng = np.random.default_rng(child)
        current = sinh(DOWN)
        fit = calibrate.fit_iv(DOWN, current + NOISES["proportional"](current, rng))
        held += [
            fit.conductance.low <= 30e-6 <= fit.conductance.high,
            fit.voltage_scale.low <= 0.25 <= fit.voltage_scale.high,
        ]
    assert (abs(held / 1200 - 0.9) < 0.027).all(), held / 1200


@repetitions
@pytest.mark.parametrize("noise", ["constant", "proportional"])
def test_branches_of_different_conductance(noise, repetitions):
    """The mean over sweeps is that of the cell, of which these six are a sample."""

    def fit(rng):
        conductances = rng.normal(30e-6, 2e-6, 6)
        currents = [sinh(DOWN, g) for g in conductances]
        noisy = [current + NOISES[noise](current, rng) for current in currents]
        return calibrate.fit_iv([DOWN] * 6, noisy)

    truth = {"conductance": 30e-6, "voltage_scale": 0.25}
    assert_intervals_hold(fit, truth, repetitions, generator)


@repetitions
@pytest.mark.parametrize("noise", ["constant", "proportional"])
def test_offsets_are_held(noise, repetitions):
    def fit(rng):
        current = sinh(DOWN, v0=0.6)
        return calibrate.fit_iv(DOWN, current + 0.2 * NOISES[noise](current, rng) - 3e-6)

    truth = {"conductance": 30e-6, "voltage_scale": 0.6, "current_offset": -3e-6}
    assert_intervals_hold(fit, truth, repetitions, generator)


@repetitions
@pytest.mark.parametrize("noise", ["constant", "proportional"])
def test_polynomials_are_held(noise, repetitions):
    def fit(rng):
        current = 30e-6 * (DOWN + 2 * DOWN**3)
        noisy = [current + NOISES[noise](current, rng) for _ in range(4)]
        return calibrate.fit_iv([DOWN] * 4, noisy).choose("polynomial of degree 3")

    truth = {"conductance": 30e-6, "coefficient_3": 2.0}
    assert_intervals_hold(fit, truth, repetitions, generator)


@pytest.mark.long
@pytest.mark.parametrize(
    "draw, mean, sigma",
    [
        (lambda rng: rng.normal(30e-6, 6e-6, 24), 30e-6, 6e-6),
        (lambda rng: 30e-6 * rng.lognormal(0, 0.25, 24), 30e-6 * np.exp(0.25**2 / 2), None),
        (lambda rng: rng.uniform(20e-6, 40e-6, 24), 30e-6, 20e-6 / np.sqrt(12)),
    ],
    ids=["normal", "log-normal", "uniform"],
)
def test_statistics_over_cells_are_held(draw, mean, sigma):
    def fit(rng):
        scales = rng.normal(0.4, 0.03, 24)
        curves = [sinh(DOWN, g, v0) for g, v0 in zip(draw(rng), scales, strict=True)]
        currents = [curve + 2e-7 * rng.standard_normal(30) for curve in curves]
        return calibrate.fit_iv([DOWN] * 24, currents, np.arange(24))

    if sigma is None:
        square = np.expm1(0.25**2) * np.exp(0.25**2)
        sigma = 30e-6 * np.sqrt(square)
    truth = {"conductance_mean": mean, "conductance_sigma": sigma, "voltage_scale_mean": 0.4}
    assert_intervals_hold(fit, truth, FULL, generator)


@pytest.mark.parametrize(
    "draw, sigma",
    [
        (lambda rng: rng.normal(0, 1, 24), 1),
        (lambda rng: rng.uniform(-1, 1, 24), 1 / np.sqrt(3)),
        (lambda rng: rng.logistic(0, 1, 24), np.pi / np.sqrt(3)),
    ],
    ids=["normal", "uniform", "logistic"],
)
def test_spreads_that_are_not_normal_are_held(draw, sigma):
    held = 0
    for seed in range(FULL):
        parameter = spread_interval("sigma", "1", draw(generator(seed)))
        held += parameter.low <= sigma <= parameter.high
    assert 0.85 <= held / FULL <= 0.95


def test_the_sum_of_two_errors_against_its_limits():
    """One error alone is Student's; two that are exactly known add their squares."""
    assert_allclose(sum_of_errors(2.0, 5, 0.0, 9), 2 * stats.t.ppf(0.95, 5), rtol=1e-2)
    both = sum_of_errors(3.0, 1e6, 4.0, 1e6)
    assert_allclose(both, 5 * stats.norm.ppf(0.95), rtol=1e-2)


def test_the_spread_of_many_normal_values_is_that_of_chi_square():
    values = np.random.default_rng(0).standard_normal(4000)
    parameter = spread_interval("sigma", "1", values)
    exact = values.std(ddof=1) * np.sqrt(3999 / stats.chi2.ppf([0.95, 0.05], 3999))
    assert_allclose([parameter.low, parameter.high], exact, rtol=2e-3)


# ---------------------------------------------------------------- signs and offsets


def test_a_magnitude_gets_the_sign_of_its_voltage(tmp_path):
    """4 µS out and 20 µS back at negative voltages, stored without a sign."""
    slopes = np.where(np.arange(41) <= 20, 4e-6, 20e-6)
    current = slopes * THERE_AND_BACK
    rows = [f"{-v:.2f},{i:.4e}" for v, i in zip(THERE_AND_BACK, current, strict=True)]
    fit = calibrate.calibrate_files("iv", [written(tmp_path, ["V (V),absI (A)", *rows])])
    assert_allclose(fit.conductance.value, 20e-6, rtol=1e-6)
    assert any("taken from the voltage" in note for note in fit.notes)
    for voltage, measured in (
        (np.concatenate((THERE_AND_BACK, -THERE_AND_BACK)), np.concatenate((current, current))),
        (np.concatenate((THERE_AND_BACK, -THERE_AND_BACK)), np.concatenate((-current, current))),
        (THERE_AND_BACK, -current),
    ):
        fit = calibrate.fit_iv(voltage, measured)
        assert_allclose(fit.conductance.value, 20e-6, rtol=1e-6)
        assert any("current" in note and "voltage" in note for note in fit.notes)
    with pytest.raises(OutOfRangeError, match="below 0 A at either polarity.*sign is lost"):
        calibrate.fit_iv(
            np.concatenate((THERE_AND_BACK, -THERE_AND_BACK)), np.concatenate((-current, -current))
        )


def test_an_offset_of_the_instrument(tmp_path):
    voltage = 0.01 * np.arange(36)
    rows = [f"{v:.2f},{16e-6 * v - 1.6e-6:.5e}" for v in voltage]
    fit = calibrate.calibrate_files("iv", [written(tmp_path, ["V (V),I (A)", *rows])])
    assert_allclose(fit.conductance.value, 16e-6, rtol=1e-6)
    assert_allclose(fit.current_offset.value, -1.6e-6, rtol=1e-6)
    assert "-1.6 µA" in fit.render()
    straight = fit.choose("straight line")
    assert_allclose(straight.conductance.value, 16e-6, rtol=1e-6)
    assert_allclose(straight.current_offset.value, -1.6e-6, rtol=1e-6)
    none = calibrate.fit_iv(DOWN, sinh(DOWN) + np.random.default_rng(0).normal(0, 1e-6, 30))
    assert not none.current_offset.identified and "0 A was taken" in none.current_offset.reason


def test_a_larger_offset_turns_no_sign_and_no_set_into_a_reset():
    """Below the offset the current flows against the voltage, but rises with it."""
    rise, back = 2e-6 * THERE_AND_BACK[:21] - 9e-6, 8e-6 * THERE_AND_BACK[21:] - 9e-6
    fit = calibrate.fit_iv(THERE_AND_BACK, np.concatenate((rise, back)))
    assert "the return of the set" in fit.notes[1]
    assert_allclose(fit.conductance.value, 8e-6, rtol=1e-6)


def test_no_conductance_below_zero():
    """Noise around 0 A has no sign to turn: an upper end, not a value."""
    for seed in range(20):
        rng = np.random.default_rng(seed)
        fit = calibrate.fit_iv(DOWN, rng.normal(0, 1e-9, 30))
        for result in (fit, *fit.alternatives):
            conductance = result.parameters[0]
            if conductance.identified:
                assert conductance.low >= 0 < conductance.value
            else:
                assert "a conductance is above 0 S" in conductance.reason


# ---------------------------------------------------------------- polarities, sweeps, cells


def test_polarities_are_fitted_by_what_their_own_sweeps_leave():
    """Set to 80 µS at positive, reset to 20 µS at negative voltages."""
    states = np.concatenate((np.full(21, 20e-6), np.full(41, 80e-6), np.full(20, 20e-6)))
    voltage = np.concatenate((THERE_AND_BACK, -THERE_AND_BACK))
    scale = np.where(voltage > 0, 0.5, 0.8)
    fit = calibrate.fit_iv(voltage, states * scale * np.sinh(voltage / scale))
    assert_allclose(
        [fit.conductance_positive.value, fit.voltage_scale_positive.value], [80e-6, 0.5], rtol=1e-5
    )
    assert_allclose(
        [fit.conductance_negative.value, fit.voltage_scale_negative.value], [20e-6, 0.8], rtol=1e-5
    )
    assert fit.conductance.value == fit.conductance_negative.value
    assert "positive voltages by themselves: the return of the set" in fit.notes


def test_many_cells_are_many_fits(tmp_path):
    voltage = 0.01 * np.arange(36)
    rows = [f"{c},{v:.2f},{g * v:.5e}" for c, g in (("1", 1e-5), ("2", 5e-5)) for v in voltage]
    path = written(tmp_path, ["cell,V (V),I (A)", *rows])
    fit = calibrate.calibrate_files("iv", [path])
    each = [part.conductance.value for part in fit.parts.values()]
    assert_allclose(each, [10e-6, 50e-6], rtol=1e-6)
    assert list(fit.parts) == ["1", "2"]
    assert_allclose(fit.conductance_mean.value, 30e-6, rtol=1e-6)
    assert fit.conductance_mean.low == 0
    assert "2 cells; a spread needs 8" in fit.conductance_sigma.reason
    text = fit.render()
    assert "1  conductance 10 µS" in text and "2  conductance 50 µS" in text
    alternating = written(
        tmp_path, [rows[0], *np.array(rows).reshape(2, 36).T.ravel()][1:], "b.csv"
    )
    columns = {"cell": "1", "voltage": "2:V", "current": "3:A"}
    mixed = calibrate.calibrate_files("iv", [alternating], columns)
    assert [part.conductance.value for part in mixed.parts.values()] == each
    with pytest.raises(OutOfRangeError, match="cell b: no branch of 8 or more"):
        calibrate.fit_iv([DOWN, DOWN[:3]], [sinh(DOWN), sinh(DOWN[:3])], ["a", "b"])
    with pytest.raises(ShapeError, match="cell has 1 labels for 2 recordings"):
        calibrate.fit_iv([DOWN, DOWN], [sinh(DOWN), sinh(DOWN)], ["a"])


def test_sweeps_by_a_column_are_branches_of_one_cell(tmp_path):
    """Sweeps from 0 V up, each of which goes on where the last one ended in the file."""
    up = DOWN[::-1]
    lines = [
        f"{k},{v:.4f},{i:.5e}" for k in (1, 2, 3) for v, i in zip(up, k * sinh(up), strict=True)
    ]
    fit = calibrate.calibrate_files("iv", [written(tmp_path, ["cycle,V (V),I (A)", *lines])])
    assert "3 branches: 3 read rise" in fit.notes[0]
    assert_allclose(fit.conductance.value, 60e-6, rtol=1e-3)


# ---------------------------------------------------------------- device files


FORMS = {
    "sinh": lambda v: 0.4 * np.sinh(v / 0.4),
    "cubic": lambda v: v + 0.8 * v**3,
    "sinh beside an ohmic path": lambda v: 0.5 * v + 0.5 * 0.3 * np.sinh(v / 0.3),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("cells", [1, 12])
def test_a_device_from_the_file_carries_the_measured_current(form, cells, tmp_path):
    """A cell of the written device at the fitted conductance carries the data, also where the law
    is none of the fit's own."""
    rng = np.random.default_rng(3)
    curve = FORMS[form](DOWN)
    noise = 2e-3 * 20e-6 * curve.max()
    conductance = 20e-6 * (1 + 0.1 * rng.standard_normal(cells))
    currents = [g * curve + noise * rng.standard_normal(30) for g in conductance]
    fit = calibrate.fit_iv([DOWN] * cells, currents, np.arange(cells))
    fit = fit.better() or fit
    path = tmp_path / "device.toml"
    path.write_text(calibrate.device_toml(fit, "ideal", "a test"), encoding="utf-8")
    law = load_device(path).cell()
    fitted = [fit.conductance.value] if cells == 1 else conductance
    for g, current in zip(fitted, currents, strict=True):
        residual = current_of(law, g, DOWN) - current
        assert np.sqrt(np.mean(residual**2)) < (2 if cells == 1 else 6) * noise


def current_of(law, conductance, voltage):
    """A of one cell, written anew: no kernel."""
    if hasattr(law, "voltage_scale"):
        return conductance * law.voltage_scale * np.sinh(voltage / law.voltage_scale)
    powers = np.arange(2, 2 + len(law.coefficients))
    return conductance * (voltage + voltage[:, None] ** powers @ np.array(law.coefficients))
