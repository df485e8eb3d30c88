"""Arrays: derivatives by finite differences, recovery and coverage on synthetic currents, what
stays open is named.
"""

import numpy as np
import pytest
from scipy import stats

from xbarsim import Crossbar
from xbarsim.base.array_files import write_arrays
from xbarsim.base.errors import ConfigError, OutOfRangeError, ShapeError
from xbarsim.calibrate import calibrate_files, conditional, fit_array
from xbarsim.calibrate.array_posterior import RESISTANCES, Measured, Posterior
from xbarsim.report.plots import fits

WIRES = {
    "word_line_resistance": 8.0,
    "bit_line_resistance": 5.0,
    "source_resistance": 40.0,
    "sense_resistance": 25.0,
}


def measured(rng, m=6, n=5, k=None, spread=0.05, noise=2e-9, wires=WIRES):
    """(nominal, conductance, voltage, current, input current) with noise on the currents."""
    nominal = rng.uniform(2e-5, 2e-4, (m, n))
    g = nominal * np.exp(spread * rng.standard_normal((m, n)))
    v = rng.uniform(0, 0.2, (k or 3 * m, m))
    solution = Crossbar(g, **wires).solve(v)
    return (
        nominal,
        g,
        v,
        *(
            i + noise * rng.standard_normal(i.shape)
            for i in (solution.output_current, solution.input_current)
        ),
    )


def test_normal_equations_are_those_of_a_jacobian_by_finite_differences():
    rng = np.random.default_rng(0)
    nominal, _, v, out, drawn = measured(rng, 4, 3, 7, noise=1e-6)
    problem = Posterior(Measured(v, out, drawn), nominal, {}, current_sigma=1e-6, nominal_sigma=0.1)
    theta = problem.centre + 0.1 * rng.standard_normal(len(problem.centre))
    theta[-4:] = np.log([30.0, 20.0, 100.0, 50.0])

    def residual(theta):
        return (
            np.concatenate([r.ravel() for r in problem.residuals(problem.crossbar(theta))]) / 1e-6
        )

    h = 1e-4
    jacobian = np.array(
        [(residual(theta + h * e) - residual(theta - h * e)) / (2 * h) for e in np.eye(len(theta))]
    )
    linear = problem.linearise(theta)
    matrix = linear.matrix
    descent = linear.pull(problem.residuals(problem.crossbar(theta)))
    np.testing.assert_allclose(matrix, jacobian @ jacobian.T, rtol=0, atol=1e-6 * abs(matrix).max())
    np.testing.assert_allclose(matrix[-4:, -4:], (jacobian @ jacobian.T)[-4:, -4:], rtol=1e-5)
    np.testing.assert_allclose(
        descent, -jacobian @ residual(theta), rtol=1e-5, atol=1e-6 * abs(descent).max()
    )


def test_intervals_cover():
    """Resistances and cells from output currents and nominal conductances of known spread."""
    wires = {
        "word_line_resistance": 120.0,
        "bit_line_resistance": 80.0,
        "source_resistance": 0.0,
        "sense_resistance": 0.0,
    }
    known = {
        "source_resistance": 0.0,
        "sense_resistance": 0.0,
        "nominal_sigma": 0.02,
        "current_sigma": 2e-8,
    }
    rng, hits, cells = np.random.default_rng(1), [], []
    for _ in range(200):
        nominal, g, v, out, _ = measured(rng, 5, 5, 8, 0.02, 2e-8, wires)
        fit = fit_array(v, out, nominal, **known)
        hits.append(
            [
                (p := getattr(fit, name)).identified and p.low <= wires[name] <= p.high
                for name in RESISTANCES[:2]
            ]
        )
        cells.append((fit.conductance_low <= g) & (g <= fit.conductance_high))
    assert all(0.85 <= share <= 0.95 for share in np.mean(hits, axis=0)), np.mean(hits, axis=0)
    assert 0.85 <= np.mean(cells) <= 0.95, np.mean(cells)


def test_input_currents_take_the_place_of_nominal_conductances():
    rng = np.random.default_rng(2)
    _, g, v, out, drawn = measured(rng, 8, 7, 24, noise=1e-11)
    fit = fit_array(v, out, input_current=drawn)
    for name, truth in WIRES.items():
        parameter = getattr(fit, name)
        assert parameter.identified, parameter.reason
        assert parameter.low**2 / parameter.value < truth < parameter.high**2 / parameter.value
    np.testing.assert_allclose(fit.conductance, g, rtol=0.02)
    assert 0.7 < fit.goodness["chi_square_per_freedom"] < 1.3
    assert fit.conductance_identified.all()


def test_a_transfer_matrix_alone_cannot_tell_wires_from_cells():
    rng = np.random.default_rng(3)
    _, g, _, _, _ = measured(rng, 6, 5)
    transfer = Crossbar(g, **WIRES).transfer_matrix().T + 1e-9 * rng.standard_normal(g.shape)
    fit = fit_array(np.eye(6), transfer, current_sigma=1e-9)
    assert not fit.word_line_resistance.identified
    assert "cells can take up its effect" in fit.word_line_resistance.reason
    assert any("as many entries" in note for note in fit.notes)
    held = fit_array(np.eye(6), transfer, current_sigma=1e-9, **WIRES)
    np.testing.assert_allclose(held.conductance, g, rtol=1e-3)
    assert held.parameters == () and held.conductance_identified.all()


def test_fewer_inputs_than_word_lines():
    rng = np.random.default_rng(4)
    nominal, _, v, out, _ = measured(rng, 6, 5, 4)
    free = fit_array(v, out, current_sigma=2e-9, **WIRES)
    assert any(
        "2 combinations of the conductances of every bit line" in note for note in free.notes
    )
    assert not free.conductance_identified.all()
    tied = fit_array(v, out, nominal, current_sigma=2e-9, nominal_sigma=0.05, **WIRES)
    widths = [(fit.conductance_high - fit.conductance_low).max() for fit in (tied, free)]
    assert widths[0] < widths[1]


def test_source_and_first_segment_of_one_column_are_one_resistance():
    rng = np.random.default_rng(5)
    nominal, _, v, out, _ = measured(
        rng,
        12,
        1,
        40,
        spread=0.01,
        noise=1e-10,
        wires={"word_line_resistance": 300.0, "bit_line_resistance": 5.0},
    )
    fit = fit_array(v, out, nominal, nominal_sigma=0.01, sense_resistance=0.0)
    assert (
        "flat direction" in fit.source_resistance.reason
        or "flat direction" in fit.word_line_resistance.reason
    )
    reason = fit.word_line_resistance.reason + fit.source_resistance.reason
    assert "source_resistance" in reason and "word_line_resistance" in reason


def test_wires_below_the_noise():
    rng = np.random.default_rng(6)
    nominal, _, v, out, _ = measured(rng, 6, 5, noise=2e-5, wires=dict.fromkeys(RESISTANCES, 0.01))
    fit = fit_array(v, out, nominal)
    assert all("below the noise" in getattr(fit, name).reason for name in RESISTANCES)


def test_spread_around_nominal_conductances_is_estimated():
    rng = np.random.default_rng(7)
    nominal, g, v, out, _ = measured(rng, 16, 16, 40)
    fit = fit_array(v, out, nominal)
    assert fit.nominal_spread.low < 0.05 < fit.nominal_spread.high
    assert fit.goodness["noise_A"] == pytest.approx(2e-9, rel=0.15, abs=0)
    for name in RESISTANCES[:2]:
        parameter = getattr(fit, name)
        assert (
            parameter.low**2 / parameter.value < WIRES[name] < parameter.high**2 / parameter.value
        )


def test_from_files(tmp_path):
    nominal, _, v, out, drawn = measured(np.random.default_rng(8), 6, 5)
    write_arrays(tmp_path / "all.h5", {"v": (v, "V"), "i": (out, "A")})
    np.save(tmp_path / "g.npy", nominal)
    np.savetxt(tmp_path / "in.csv", drawn, delimiter=",")
    fit = calibrate_files(
        "array",
        [f"{tmp_path}/all.h5:v", f"{tmp_path}/all.h5:i", tmp_path / "g.npy", tmp_path / "in.csv"],
    )
    same = fit_array(v, out, nominal, drawn)
    np.testing.assert_allclose(fit.conductance, same.conductance, rtol=1e-9)
    assert "current in A, 18 x 5" in fit.inputs[1]
    assert len(fit.to_json()["conductance"]) == 6
    assert fits.draw(fit, tmp_path / "fit.png").stat().st_size > 10_000
    with pytest.raises(ConfigError, match="got 1 files"):
        calibrate_files("array", [tmp_path / "g.npy"])


def test_what_is_refused():
    nominal, _, v, out, _ = measured(np.random.default_rng(9), 4, 3, 4)
    with pytest.raises(OutOfRangeError, match="give current_sigma"):
        fit_array(v, out)
    with pytest.raises(ShapeError, match="nominal has shape"):
        fit_array(v, out, nominal.T, current_sigma=1e-9)
    with pytest.raises(OutOfRangeError, match="above 0 S"):
        fit_array(v, out, 0 * nominal, current_sigma=1e-9)
    with pytest.raises(OutOfRangeError, match="check the signs"):
        fit_array(np.eye(4), -abs(nominal), current_sigma=1e-9)
    with pytest.raises(OutOfRangeError, match="finite"):
        fit_array(v, out * np.nan, current_sigma=1e-9)
    with pytest.raises(ShapeError, match="a matrix"):
        fit_array(v[0], out, current_sigma=1e-9)


# ---------------------------------------------------------------- what is clear of zero by chance


@pytest.mark.parametrize("truth", [0.01, 0.3, 1.0, 2.0, 3.0, 4.0, 5.0, 8.0])
def test_intervals_of_what_stands_clear_hold_the_truth(truth):
    """Of estimates that pass 90 % have an interval with the truth, however few pass."""
    tail = stats.norm.cdf(truth - 3.0)
    drawn = stats.norm.isf(np.random.default_rng(0).uniform(0, tail, 20_000)) + truth  # above 3
    assert conditional.stands_clear(drawn, 1.0).all()
    low, high = conditional.interval(7.0 * drawn, 7.0)
    assert 0.89 < ((low <= 7.0 * truth) & (7.0 * truth <= high)).mean() < 0.91
    assert (low <= 7.0 * drawn).all() and (low >= 0).all()


def test_far_from_zero_the_interval_is_the_usual_one():
    low, high = conditional.interval(np.array([5.0e-6]), np.array([1e-7]))
    expected = 5.0e-6 + stats.norm.ppf([0.05, 0.95]) * 1e-7
    np.testing.assert_allclose([low[0], high[0]], expected, rtol=1e-9)


def resistances(seed, disturb, inputs):
    """The fit of 10 x 7 cells with 6 and 9 ohm per segment and errors as `disturb` draws them."""
    rng = np.random.default_rng(seed)
    wires = {"word_line_resistance": 6.0, "bit_line_resistance": 9.0}
    nominal = rng.uniform(2e-5, 2e-4, (10, 7))
    g = nominal * np.exp(0.05 * disturb(rng, nominal.shape))
    v = rng.uniform(0, 0.2, (inputs, 10))
    out = Crossbar(g, **wires).solve(v).output_current
    out = out + 2e-8 * disturb(rng, out.shape)
    return g, fit_array(v, out, nominal, source_resistance=0.0, sense_resistance=0.0), wires


def flat(rng, shape):
    """Uniform with a standard deviation of 1: nothing that the fit assumes."""
    return rng.uniform(-1, 1, shape) * np.sqrt(3)


def study(disturb, repetitions, inputs):
    """Hits of identified resistances, of bounds of the others, of cells and of their spread."""
    hits = {"identified": [], "bounded": [], "cells": [], "spread": []}
    for seed in range(repetitions):
        g, fit, wires = resistances(seed, disturb, inputs)
        for name, truth in wires.items():
            parameter = getattr(fit, name)
            if parameter.identified:
                hits["identified"].append(parameter.low <= truth <= parameter.high)
            else:
                hits["bounded"].append(truth < parameter.high)
        inside = (fit.conductance_low <= g) & (g <= fit.conductance_high)
        hits["cells"].append(inside[fit.conductance_identified].mean())
        hits["spread"].append(fit.nominal_spread.low <= 0.05 <= fit.nominal_spread.high)
    return hits


def test_resistances_near_the_noise():
    hits = study(np.random.Generator.standard_normal, 15, 30)
    assert len(hits["identified"]) > 8
    assert np.mean(hits["identified"]) > 0.75 and np.mean(hits["bounded"]) > 0.85
    assert np.mean(hits["spread"]) > 0.75


def test_cells_that_stand_clear_of_the_noise():
    """Without nominal values: conductances over two decades, the small ones within the noise."""
    rng, identified, bounded = np.random.default_rng(11), [], []
    for _ in range(60):
        g = np.exp(rng.uniform(np.log(1e-6), np.log(1e-4), (8, 6)))
        v = rng.uniform(0, 0.2, (24, 8))
        out = Crossbar(g, **WIRES).solve(v).output_current
        out = out + 1e-6 * flat(rng, out.shape)
        fit = fit_array(v, out, current_sigma=1e-6, **WIRES)
        known = fit.conductance_identified
        inside = (fit.conductance_low <= g) & (g <= fit.conductance_high)
        identified += inside[known].tolist()
        bounded += inside[~known].tolist()
    assert len(identified) > 500 and 0.86 < np.mean(identified) < 0.94
    assert len(bounded) > 500 and np.mean(bounded) > 0.9


@pytest.mark.long
@pytest.mark.parametrize("disturb", [np.random.Generator.standard_normal, flat])
def test_intervals_near_the_noise_cover(disturb):
    hits = study(disturb, 400, 30)
    assert len(hits["identified"]) > 200
    assert 0.85 <= np.mean(hits["identified"]) <= 0.95
    assert np.mean(hits["bounded"]) >= 0.9  # bounds at 95 %
    assert 0.85 <= np.mean(hits["cells"]) <= 0.95
    assert 0.85 <= np.mean(hits["spread"]) <= 0.95


@pytest.mark.long
def test_few_resistances_that_stand_clear_by_chance():
    """12 input vectors tell little: few resistances have a value, and these hold the truth."""
    identified = study(np.random.Generator.standard_normal, 2000, 12)["identified"]
    assert len(identified) >= 20
    assert np.mean(identified) >= 0.8
