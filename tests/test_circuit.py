"""Crossbar: published outputs, dense nodal analysis of arbitrary arrangements, conservation laws, error messages."""
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xbarsim import Crossbar
from xbarsim.errors import ConfigError, ConvergenceError, OutOfRangeError, ShapeError


def dense_currents(xb, word_voltage, bit_voltage):
    """Terminal currents (from word lines (m,), into bit lines (n,)) of any arrangement, by stamping every resistor.

    Needs positive resistances and finite conductances; an infinite segment is no connection.
    """
    m, n = xb.shape
    word, bit = np.arange(m * n).reshape(m, n), m * n + np.arange(m * n).reshape(m, n)
    y, rhs, terminals = np.zeros((2 * m * n, 2 * m * n)), np.zeros(2 * m * n), []

    def resistor(a, b, conductance):
        y[a, a] += conductance
        y[b, b] += conductance
        y[a, b] -= conductance
        y[b, a] -= conductance

    def terminal(kind, line, node, resistance, voltage):
        if np.isfinite(resistance):
            y[node, node] += 1 / resistance
            rhs[node] += voltage / resistance
            terminals.append((kind, line, node, resistance, voltage))

    for i in range(m):
        terminal("word", i, word[i, 0], xb.word_segments[i, 0], word_voltage[i])
        terminal("word", i, word[i, -1], xb.word_segments[i, -1], word_voltage[i])
        for j in range(n):
            resistor(word[i, j], bit[i, j], xb.conductance[i, j])
            if j:
                resistor(word[i, j - 1], word[i, j], 1 / xb.word_segments[i, j])
            if i:
                resistor(bit[i - 1, j], bit[i, j], 1 / xb.bit_segments[i, j])
    for j in range(n):
        terminal("bit", j, bit[0, j], xb.bit_segments[0, j], bit_voltage[j])
        terminal("bit", j, bit[-1, j], xb.bit_segments[-1, j], bit_voltage[j])
    x = np.linalg.solve(y, rhs)
    current = {"word": np.zeros(m), "bit": np.zeros(n)}
    for kind, line, node, resistance, voltage in terminals:
        into = (voltage - x[node]) / resistance
        current[kind][line] += into if kind == "word" else -into
    return current["word"], current["bit"]


def random_conductance(rng, m, n):
    return 10 ** rng.uniform(-6, -3, (m, n))


def test_published_outputs_of_a_four_by_five_array():
    """The standard small example of badcrossbar: 10 ... 200 ohm, word line 1 ohm, bit line 2 ohm, 0 ... 4 V."""
    xb = Crossbar(1 / np.arange(10.0, 201.0, 10.0).reshape(5, 4), 1.0, 2.0)
    current = xb.solve(np.arange(5.0)).output_current
    expected = [0.060570196651101, 0.059327610716748, 0.056348738829253, 0.053352354575102]
    np.testing.assert_allclose(current, expected, rtol=1e-12)
    np.testing.assert_allclose(xb.transfer_matrix() @ np.arange(5.0), expected, rtol=1e-12)


FROZEN = json.loads(Path(__file__).with_name("ngspice_cases.json").read_text())


def _name(case):
    return "{word_lines}x{bit_lines}-{word_line_ohm}-{bit_line_ohm}".format(**case)


@pytest.mark.parametrize("case", FROZEN, ids=_name)
def test_outputs_frozen_from_ngspice(case):
    """Resistances 10, 20, ... ohm row by row, word lines at 0, 1, 2, ... V (a single one at 1 V)."""
    m, n = case["word_lines"], case["bit_lines"]
    xb = Crossbar(1 / (10.0 * np.arange(1, m * n + 1).reshape(m, n)), case["word_line_ohm"], case["bit_line_ohm"])
    v = np.arange(float(m)) if m > 1 else np.ones(1)
    np.testing.assert_allclose(xb.solve(v).output_current, case["output_a"], rtol=1e-10)
    np.testing.assert_allclose(xb.transfer_matrix() @ v, case["output_a"], rtol=1e-10)


@pytest.mark.parametrize("drive", ["left", "right", "both"])
@pytest.mark.parametrize("sense", ["bottom", "top", "both"])
@pytest.mark.parametrize("transposed", [False, True])
def test_every_arrangement_is_that_of_dense_nodal_analysis(drive, sense, transposed):
    rng = np.random.default_rng(1)
    m, n = 7, 5
    xb = Crossbar(random_conductance(rng, m, n), rng.uniform(0.5, 20, (m, n + 1)), rng.uniform(0.5, 20, (m + 1, n)),
                  rng.uniform(1, 50, m), rng.uniform(1, 50, n), drive=drive, sense=sense, floating_word_lines=[2],
                  floating_bit_lines=[4], transposed=transposed)
    v, bias = rng.uniform(-1, 1, n if transposed else m), rng.uniform(-0.1, 0.1, m if transposed else n)
    word, bit = (bias, v) if transposed else (v, bias)
    drawn, sensed = dense_currents(xb, word, bit)
    expected = -drawn if transposed else sensed
    solution = xb.solve(v, bias)
    np.testing.assert_allclose(solution.output_current, expected, rtol=0, atol=1e-11 * abs(expected).max())
    grounded = xb.solve(v).output_current
    np.testing.assert_allclose(xb.transfer_matrix() @ v, grounded, rtol=0, atol=1e-11 * abs(grounded).max())
    np.testing.assert_allclose(v @ xb.power_matrix() @ v, xb.solve(v).power, rtol=1e-9)


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 2**32 - 1))
def test_laws_of_linear_networks(m, n, seed):
    rng = np.random.default_rng(seed)
    g = random_conductance(rng, m, n) * (rng.random((m, n)) > 0.2)
    word, bit = rng.uniform(0, 30, (m, n)), rng.uniform(0, 30, (m, n))
    xb = Crossbar(g, word, bit, 5.0, 3.0)
    a, b = rng.uniform(-1, 1, (2, m))
    one, two, both = xb.solve(np.stack([a, b, 2 * a - 3 * b])).output_current
    scale = abs(g).max()
    np.testing.assert_allclose(2 * one - 3 * two, both, rtol=0, atol=1e-10 * scale)                   # superposition
    solution = xb.solve(a)
    np.testing.assert_allclose(solution.cell_power + solution.wire_power, solution.power, rtol=1e-8,
                               atol=1e-18)                                                           # energy
    np.testing.assert_allclose(solution.input_current.sum(), solution.output_current.sum(), rtol=0,
                               atol=1e-10 * scale)                                                   # charge
    swapped = Crossbar(g, word, bit, 5.0, 3.0, transposed=True).transfer_matrix()
    np.testing.assert_allclose(swapped, xb.transfer_matrix().T, rtol=0, atol=1e-12 * scale)          # reciprocity
    more = Crossbar(g, word + 1.0, bit, 5.0, 3.0).power_matrix()
    v = np.ones(m)
    assert v @ more @ v <= v @ xb.power_matrix() @ v + 1e-12 * scale                                 # monotonicity


def test_kirchhoff_holds_at_every_node():
    rng = np.random.default_rng(2)
    xb = Crossbar(random_conductance(rng, 20, 30), 2.0, 3.0, 10.0)
    s = xb.solve(rng.uniform(0, 0.2, 20))
    word, bit = s.word_line_current, s.bit_line_current
    np.testing.assert_allclose(word[:, :-1] - word[:, 1:], s.cell_current, atol=1e-15)
    np.testing.assert_allclose(bit[1:] - bit[:-1], s.cell_current, atol=1e-15)
    np.testing.assert_allclose(s.word_line_voltage[:, :-1] - s.word_line_voltage[:, 1:], 2.0 * word[:, 1:-1],
                               rtol=1e-6, atol=1e-12)                                                # Ohm in the wires
    np.testing.assert_allclose(s.cell_current, xb.conductance * s.cell_voltage, rtol=1e-12, atol=1e-18)
    assert s.residual < 1e-12 and s.iterations < 12


def test_ideal_wires_open_and_shorted_cells():
    g = np.array([[1e-4, 0.0], [2e-4, 3e-4]])
    np.testing.assert_allclose(Crossbar(g, 0.0, 0.0).solve([1.0, 2.0]).output_current, [5e-4, 6e-4], rtol=1e-14)
    shorted = Crossbar([[np.inf]], 7.0, 11.0)
    np.testing.assert_allclose(shorted.solve([1.0]).output_current, 1 / 18, rtol=1e-12)
    np.testing.assert_allclose(shorted.transfer_matrix(), [[1 / 18]], rtol=1e-14)
    assert Crossbar(np.zeros((3, 2))).solve(np.ones(3)).output_current.tolist() == [0, 0]


def test_shapes_of_one_input_and_of_a_batch():
    xb = Crossbar(np.full((3, 2), 1e-4))
    one, batch = xb.solve(np.ones(3)), xb.solve(np.ones((4, 3)))
    assert one.output_current.shape == (2,) and one.word_line_voltage.shape == (3, 2)
    assert batch.output_current.shape == (4, 2) and batch.bit_line_voltage.shape == (4, 3, 2)
    np.testing.assert_array_equal(batch.output_current[1], one.output_current)


@pytest.mark.parametrize(("kind", "message", "arguments"), [
    (ShapeError, r"conductance has shape \(3,\)", {"conductance": np.ones(3)}),
    (OutOfRangeError, r"conductance is nan S at \(0, 1\)", {"conductance": [[1.0, np.nan]]}),
    (OutOfRangeError, r"conductance is -1 S", {"conductance": [[-1.0]]}),
    (OutOfRangeError, r"conductance is inf S at \(0, 0\)", {"conductance": [[np.inf]], "word_line_resistance": 0.0,
                                                           "bit_line_resistance": 0.0}),
    (OutOfRangeError, "word_line_resistance is -2 ohm", {"word_line_resistance": -2.0}),
    (OutOfRangeError, "source_resistance is inf ohm.*floating", {"source_resistance": np.inf}),
    (ShapeError, r"bit_line_resistance has shape \(5,\)", {"bit_line_resistance": np.ones(5)}),
    (ConfigError, "drive is 'up'; allowed: 'left', 'right', 'both'", {"drive": "up"}),
    (OutOfRangeError, "floating_bit_lines names line 9; allowed: 0 to 1", {"floating_bit_lines": [9]}),
])
def test_bad_arrays_are_named_with_the_remedy(kind, message, arguments):
    with pytest.raises(kind, match=message):
        Crossbar(**({"conductance": np.full((2, 2), 1e-4)} | arguments))


def test_bad_inputs_are_named():
    xb = Crossbar(np.full((2, 3), 1e-4))
    with pytest.raises(ShapeError, match=r"input_voltage has shape \(3,\); allowed: \(2,\) one input, \(b, 2\) a batch"):
        xb.solve(np.ones(3))
    with pytest.raises(OutOfRangeError, match="input_voltage is nan V"):
        xb.solve([0.1, np.nan])


def test_a_missed_tolerance_carries_the_last_iterate():
    rng = np.random.default_rng(3)
    xb = Crossbar(random_conductance(rng, 30, 30), 5.0, 5.0)
    with pytest.raises(ConvergenceError) as caught:
        xb.solve(np.ones(30), tolerance=1e-30)
    assert caught.value.residual < 1e-10 and caught.value.iterate.output_current.shape == (30,)
