"""Wires far above the cells, and other arrays where node voltages alone no longer tell the
currents.
"""

import numpy as np
import pytest
from reference import dense_solve
from scipy.optimize import brentq

from xbarsim import Crossbar
from xbarsim.base.errors import ConvergenceError
from xbarsim.circuit.cells import Sinh
from xbarsim.kernels.circuit import direct

RATIOS = [1e2, 1e4, 1e6, 1e8, 1e10]


def array(ratio, m=64, n=64, seed=0, **options):
    """Cells of 50 to 100 µS and wires of ratio / 100 µS per segment."""
    rng = np.random.default_rng(seed)
    xb = Crossbar(rng.uniform(0.5e-4, 1e-4, (m, n)), ratio * 1e4, ratio * 1e4, **options)
    return xb, rng.uniform(0, 1, m)


@pytest.mark.parametrize("ratio", RATIOS)
def test_outputs_are_as_exact_as_the_transfer_matrix(ratio):
    xb, v = array(ratio)
    expected = xb.transfer_matrix() @ v
    s = xb.solve(v)
    np.testing.assert_allclose(s.output_current, expected, rtol=0, atol=1e-11 * expected.max())
    if ratio > 1e3:
        np.testing.assert_allclose(
            s.output_current, expected, rtol=1e-12, atol=0
        )  # of each, however small
    assert s.residual <= 1e-12
    np.testing.assert_allclose(s.input_current.sum(), s.output_current.sum(), rtol=1e-10)


@pytest.mark.parametrize("ratio", RATIOS)
@pytest.mark.parametrize("shape", [(7, 12), (12, 7)])
def test_currents_obey_kirchhoff_and_energy(ratio, shape):
    """Of inputs of both signs, in both orders of elimination; wire currents are differences of
    node voltages.
    """
    xb, v = array(ratio, *shape, seed=3, drive="both", sense="both", floating_bit_lines=[2])
    s = xb.solve(v - 0.5, 0.02)
    np.testing.assert_allclose(s.cell_power + s.wire_power, s.power, rtol=1e-10)
    np.testing.assert_allclose(s.cell_current, xb.conductance * s.cell_voltage, rtol=1e-12, atol=0)
    r, largest = xb.word_segments[:, 1:-1], abs(s.cell_current).max()
    along = -np.diff(s.word_line_voltage, axis=1) / r
    np.testing.assert_allclose(along, s.word_line_current[:, 1:-1], rtol=0, atol=1e-11 * largest)
    np.testing.assert_allclose(
        s.bit_line_current[1:] - s.bit_line_current[:-1],
        s.cell_current,
        rtol=0,
        atol=1e-11 * largest,
    )


def test_sensitivity_is_the_change_of_the_transfer_matrix():
    """Star-mesh elimination subtracts nothing: its differences are good to 1e-6 where the change
    is large.
    """
    xb, v = array(1e6, 8, 8)
    slope = xb.sensitivity(v)
    i, j = np.unravel_index(abs(slope).max(axis=0).argmax(), xb.shape)
    outputs = []
    for factor in (2.0, 1.0):
        g = xb.conductance.copy()
        g[i, j] *= factor
        outputs.append(Crossbar(g, 1e10, 1e10).transfer_matrix() @ v)
    # The current through a cell moves as g / (1 + g R): between g and 2 g by exactly slope * g *
    # (1 + a) / (1 + 2 a).
    k = abs(slope[:, i, j]).argmax()
    change = outputs[0][k] - outputs[1][k]
    assert change == pytest.approx(slope[k, i, j] * xb.conductance[i, j] / 2, rel=1e-4, abs=0)


def test_high_source_and_sense_resistances():
    """Currents of 1e-9 of what the cells could carry."""
    rng = np.random.default_rng(5)
    g = rng.uniform(0.5e-3, 1e-3, (8, 6))
    xb = Crossbar(g, 1.0, 1.0, 1e9, 1e9)
    s = xb.solve(np.linspace(0.1, 1, 8))
    np.testing.assert_allclose(
        s.output_current, xb.transfer_matrix() @ np.linspace(0.1, 1, 8), rtol=1e-12, atol=0
    )
    assert s.residual <= 1e-12


def test_terminals_at_one_voltage_carry_nothing():
    xb = Crossbar(np.random.default_rng(6).uniform(0.5e-3, 1e-3, (20, 30)), 2.0, 2.0)
    s = xb.solve(np.full(20, 0.7), 0.7)
    assert abs(s.output_current).max() < 1e-16 and s.residual <= 1e-12


@pytest.mark.parametrize(
    "floating",
    [
        {"floating_word_lines": [0], "floating_bit_lines": [0]},
        {"floating_word_lines": [0]},
        {"floating_bit_lines": [0]},
    ],
)
def test_a_short_between_floating_lines(floating):
    """Alone on its lines, it joins two lines that see nothing; beside other cells it carries their
    current.
    """
    alone = Crossbar([[np.inf]], 1.0, 1.0, **floating).solve([0.1])
    assert alone.output_current.tolist() == [0.0] and alone.residual <= 1e-12
    g = np.array([[np.inf, 1e-4], [2e-4, 3e-4]])
    s = Crossbar(g, 5.0, 7.0, **floating).solve([0.1, 0.2])
    near = Crossbar(np.where(np.isinf(g), 1e9, g), 5.0, 7.0, **floating).solve([0.1, 0.2])
    np.testing.assert_allclose(s.output_current, near.output_current, rtol=1e-8, atol=1e-18)


@pytest.mark.parametrize("ratio", [1.0, 1e4, 1e8])
def test_shorts_and_ideal_segments_where_wires_are_high(ratio):
    rng = np.random.default_rng(7)
    g = rng.uniform(0.5e-4, 1e-4, (6, 5))
    g[1, 2] = g[4, 0] = np.inf
    word = np.full((6, 5), ratio * 1e4)
    word[2, 3] = word[3, 0] = 0.0
    xb, v = Crossbar(g, word, ratio * 1e4), rng.uniform(0, 1, 6)
    expected = xb.transfer_matrix() @ v
    np.testing.assert_allclose(
        xb.solve(v).output_current, expected, rtol=1e-9, atol=1e-11 * expected.max()
    )


def test_elimination_agrees_with_dense_nodal_analysis():
    rng = np.random.default_rng(8)
    g = 10 ** rng.uniform(-6, -3, (5, 7))
    r_word, r_bit = rng.uniform(1, 50, (5, 7)), rng.uniform(1, 50, (5, 7))
    v = rng.uniform(-1, 1, 5)
    w, u, _ = dense_solve(g, r_word, r_bit, v)
    xb = Crossbar(g, r_word, r_bit)
    nothing = np.zeros(g.shape)
    solve = direct.solver(direct.Wiring(g, xb.word_segments, xb.bit_segments, nothing, nothing))
    found = solve((v[None], np.zeros((1, 5)), np.zeros((1, 7)), np.zeros((1, 7))), None)
    np.testing.assert_allclose(found[0][0], w, rtol=0, atol=1e-12)
    np.testing.assert_allclose(found[1][0], u, rtol=0, atol=1e-12)


def test_what_is_too_large_to_eliminate_says_how_far_it_came(monkeypatch):
    """Conjugate gradients alone, refined, come as far as elimination does; stopped short, they say
    so.
    """
    monkeypatch.setattr(direct, "LARGEST_BYTES", 0)
    xb, v = array(1e8)
    expected = xb.transfer_matrix() @ v
    np.testing.assert_allclose(
        xb.solve(v).output_current, expected, rtol=0, atol=1e-10 * expected.max()
    )
    monkeypatch.setattr(direct, "REFINEMENTS", 1)
    with pytest.raises(ConvergenceError, match="largest cell current") as caught:
        xb.solve(v)
    assert caught.value.residual > 1e-12 and caught.value.iterate.output_current.shape == (64,)


@pytest.mark.parametrize("ratio", [1e2, 1e6, 1e10])
def test_nonlinear_cells_under_high_wires(ratio):
    """A circuit of one: V = v0 asinh(I / g v0) + 2 r I."""
    g, scale, r = 1e-4, 0.05, ratio * 1e4
    s = Crossbar([[g]], r, r, cell=Sinh(scale)).solve([1.0])
    exact = brentq(
        lambda i: scale * np.arcsinh(i / (g * scale)) + 2 * r * i - 1, 0, 1, xtol=1e-30, rtol=1e-15
    )
    assert s.output_current[0] == pytest.approx(exact, rel=1e-11, abs=0)
    grid = Crossbar(np.full((12, 12), g), r, r, cell=Sinh(scale)).solve(np.linspace(0.1, 1, 12))
    linear = Crossbar(grid.cell_current / grid.cell_voltage, r, r)
    expected = linear.transfer_matrix() @ np.linspace(0.1, 1, 12)
    np.testing.assert_allclose(grid.output_current, expected, rtol=0, atol=1e-9 * expected.max())
