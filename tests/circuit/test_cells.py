"""Nonlinear cells: curves, ngspice's solutions, a stress grid, errors."""

import shutil
import subprocess

import numpy as np
import pytest
from cell_cases import CASES
from scipy.optimize import brentq

from xbarsim import Crossbar
from xbarsim.base.errors import ConfigError, ConvergenceError, OutOfRangeError, ShapeError
from xbarsim.circuit.cells import Polynomial, Sinh, Table


def array(case, m=4, n=3, seed=0, r=50.0):
    rng = np.random.default_rng(seed)
    g = rng.uniform(1e-5, 1e-3, (m, n))
    g[1, 1] = 0
    return Crossbar(g, r, 2 * r, 20.0, 30.0, **CASES[case]), rng.uniform(-1, 1, m)


def spice_currents(xb, v, directory):
    """Sense currents by ngspice, from a netlist of behavioural sources written here."""
    m, n = xb.shape
    lines = ["crossbar", ".options reltol=1e-12 abstol=1e-20 vntol=1e-14 gmin=1e-20 itl1=1000"]
    for i in range(m):
        lines.append(f"V{i} a{i} 0 {float(v[i])!r}")
        for j in range(n):
            lines.append(
                f"Rw{i}_{j} {f'w{i}_{j - 1}' if j else f'a{i}'} w{i}_{j} {float(xb.word_segments[i, j])!r}"
            )
            below = f"u{i + 1}_{j}" if i + 1 < m else f"s{j}"
            lines.append(f"Rb{i}_{j} u{i}_{j} {below} {float(xb.bit_segments[i + 1, j])!r}")
            g = float(xb.conductance[i, j])
            if g and xb.access is None:
                lines.append(
                    f"B{i}_{j} w{i}_{j} u{i}_{j} i={xb.cell.spice(g, f'v(w{i}_{j},u{i}_{j})')}"
                )
            elif g:
                x, voltage = f"x{i}_{j}", f"v(w{i}_{j},x{i}_{j})"
                cell = f"{g!r}*{voltage}" if xb.cell is None else xb.cell.spice(g, voltage)
                lines.append(f"B{i}_{j} w{i}_{j} {x} i={cell}")
                lines.append(f"C{i}_{j}x {x} 0 0")
                lines.append(f"Ba{i}_{j} {x} u{i}_{j} i={xb.access.spice(f'v({x},u{i}_{j})')}")
    lines += [f"Vs{j} s{j} 0 0" for j in range(n)]
    lines += (
        [".control", "op", "set numdgt=15"]
        + [f"print i(vs{j})" for j in range(n)]
        + [".endc", ".end"]
    )
    (directory / "net.cir").write_text("\n".join(lines) + "\n")
    done = subprocess.run(
        ["ngspice", "-b", "net.cir"], cwd=directory, capture_output=True, text=True, check=False
    )
    found = [
        float(line.split("=")[1]) for line in done.stdout.splitlines() if line.startswith("i(vs")
    ]
    assert len(found) == n, done.stdout + done.stderr
    return np.array(found)


@pytest.mark.skipif(shutil.which("ngspice") is None, reason="ngspice is not installed")
@pytest.mark.parametrize("case", CASES)
def test_ngspice_agrees(case, tmp_path):
    xb, v = array(case)
    expected = spice_currents(xb, v, tmp_path)
    np.testing.assert_allclose(
        xb.solve(v).output_current, expected, rtol=0, atol=1e-9 * abs(expected).max()
    )


@pytest.mark.parametrize("case", CASES)
def test_kirchhoff_and_energy(case):
    xb, v = array(case, 9, 7)
    s = xb.solve(v)
    np.testing.assert_allclose(
        s.input_current.sum(),
        s.output_current.sum(),
        rtol=0,
        atol=1e-11 * abs(s.cell_current).max(),
    )
    np.testing.assert_allclose(s.cell_power + s.wire_power, s.power, rtol=1e-9)
    assert s.residual < 1e-12 and s.iterations < 15


def test_a_sinh_cell_without_wires_is_its_closed_form():
    g, v = np.array([[1e-4, 2e-4]]), 0.7
    current = Crossbar(g, 0.0, 0.0, cell=Sinh(0.3)).solve([v]).output_current
    np.testing.assert_allclose(current, g[0] * 0.3 * np.sinh(v / 0.3), rtol=1e-13)


def test_small_voltages_see_the_conductance():
    xb, v = array("sinh")
    linear = Crossbar(xb.conductance, 50.0, 100.0, 20.0, 30.0)
    np.testing.assert_allclose(
        xb.solve(1e-6 * v).output_current, linear.solve(1e-6 * v).output_current, rtol=1e-9
    )


@pytest.mark.parametrize("n", [16, 128])
@pytest.mark.parametrize("r", [0.0, 1.0, 20.0])
@pytest.mark.parametrize("case", ["sinh", "1T1R", "1S1R"])
def test_stress_grid(n, r, case):
    xb = Crossbar(np.full((n, n), 1e-3), r, r, **CASES[case])
    assert xb.solve(np.ones(n), tolerance=1e-10).residual <= 1e-10


@pytest.mark.parametrize("voltage_scale", [0.05, 0.02, 0.005])
@pytest.mark.parametrize("r", [1.0, 20.0])
def test_steep_cells_against_a_circuit_of_one(voltage_scale, r):
    """Currents at ideal wires are up to 1e80 times too large: neither a start nor a measure of the
    residual.
    """
    current = Crossbar([[1e-3]], r, r, cell=Sinh(voltage_scale)).solve([1.0]).output_current[0]
    exact = brentq(
        lambda i: voltage_scale * np.arcsinh(i / (1e-3 * voltage_scale)) + 2 * r * i - 1,
        0,
        1,
        xtol=1e-18,
    )
    assert current == pytest.approx(exact, rel=1e-11, abs=0)


def test_steep_cells_obey_kirchhoff_in_the_wires():
    g, v = (
        10 ** np.random.default_rng(0).uniform(-6, -3, (32, 32)),
        np.random.default_rng(1).uniform(-1, 1, 32),
    )
    s = Crossbar(g, 20.0, 20.0, cell=Sinh(0.05)).solve(v)
    w = np.column_stack([v, s.word_line_voltage, s.word_line_voltage[:, -1]])
    u = np.vstack([s.bit_line_voltage[0], s.bit_line_voltage, np.zeros(32)])
    scale = abs(s.cell_current).max()
    np.testing.assert_allclose(
        np.diff(w, 2, axis=1) / 20, s.cell_current, rtol=0, atol=1e-11 * scale
    )
    np.testing.assert_allclose(
        np.diff(u, 2, axis=0) / 20, -s.cell_current, rtol=0, atol=1e-11 * scale
    )


def test_damping_saves_steps():
    """An array where full steps overshoot: 14 of them, 10 damped ones."""
    rng = np.random.default_rng(0)
    xb = Crossbar(10 ** rng.uniform(-6, -3, (16, 16)), 1.0, 1.0, cell=Sinh(0.05))
    assert xb.solve(rng.uniform(-1, 1, 16)).iterations <= 11


def test_no_current_is_a_solution_too():
    s = Crossbar(
        np.full((3, 3), 1e-4), 1.0, 1.0, cell=Sinh(0.1), floating_bit_lines=[0, 1, 2]
    ).solve([0.5, 0.5, 0.5])
    assert abs(s.cell_current).max() < 1e-18


def test_too_few_steps_carry_the_last_iterate():
    xb, v = array("sinh", 20, 20)
    with pytest.raises(ConvergenceError) as caught:
        xb.solve(v, steps=1)
    assert caught.value.iterate.output_current.shape == (20,)


def test_what_is_refused():
    with pytest.raises(OutOfRangeError, match="voltage_scale is -1 V"):
        Sinh(-1)
    with pytest.raises(OutOfRangeError, match="falls at"):
        Polynomial((0.0, -5.0), 1.0)
    with pytest.raises(OutOfRangeError, match="increase"):
        Table((1.0, -1.0), (1.0, -1.0))
    with pytest.raises(ShapeError, match="two or more"):
        Table((1.0,), (1.0,))
    with pytest.raises(ConfigError, match="cell is 3"):
        Crossbar(np.ones((2, 2)), cell=3)
    with pytest.raises(OutOfRangeError, match="conductance is inf S"):
        Crossbar([[np.inf]], cell=Sinh(1.0))
    with pytest.raises(OutOfRangeError, match="terminals are 3 V apart"):
        Crossbar(np.ones((1, 1)), cell=Polynomial((0.0, 0.1), 2.0)).solve([3.0])
    with pytest.raises(ConfigError, match="no transfer matrix"):
        Crossbar(np.ones((2, 2)), cell=Sinh(1.0)).transfer_matrix()
