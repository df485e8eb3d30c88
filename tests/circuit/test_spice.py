"""Netlists that ngspice runs as they are, against our own solution."""

import re
import shutil
import subprocess

import numpy as np
import pytest
from cell_cases import CASES
from scipy.optimize import brentq

from xbarsim import Crossbar
from xbarsim.base.errors import ConfigError, ShapeError
from xbarsim.circuit.cells import Polynomial, Selector, Sinh, Table, Transistor

needs_ngspice = pytest.mark.skipif(
    shutil.which("ngspice") is None, reason="ngspice is not installed"
)


def run(xb, v, bias, directory):
    """Terminal currents {name: ampere into the circuit} by ngspice."""
    path = xb.to_spice(directory / "array.cir", v, bias)
    done = subprocess.run(
        ["ngspice", "-b", path.name], cwd=directory, capture_output=True, text=True, check=False
    )
    found = re.findall(r"i\(v(word|bit)(\d+)\) = (\S+)", done.stdout)
    assert found, done.stdout + done.stderr
    return {(kind, int(line)): -float(value) for kind, line, value in found}


@needs_ngspice
@pytest.mark.parametrize("case", [None, *CASES])
def test_ngspice_runs_the_netlist(case, tmp_path):
    rng = np.random.default_rng(3)
    g = rng.uniform(1e-5, 1e-3, (5, 4))
    g[2, 1] = 0
    word = rng.uniform(1, 50, (5, 5))
    word[3, 2] = 0  # an ideal segment
    xb = Crossbar(
        g, word, 30.0, 10.0, 5.0, drive="both", floating_bit_lines=[2], **CASES.get(case, {})
    )
    v, bias = rng.uniform(-0.5, 0.5, 5), 0.05
    currents, solution = run(xb, v, bias, tmp_path), xb.solve(v, bias)
    scale = abs(solution.cell_current).max()
    for line in range(5):
        assert currents["word", line] == pytest.approx(
            solution.input_current[line], abs=1e-9 * scale
        )
    for line in (0, 1, 3):
        assert -currents["bit", line] == pytest.approx(
            solution.output_current[line], abs=1e-9 * scale
        )
    assert ("bit", 2) not in currents


@needs_ngspice
def test_a_short(tmp_path):
    xb = Crossbar([[np.inf, 1e-4]], 7.0, 11.0)
    currents = run(xb, [1.0], 0.0, tmp_path)
    assert -currents["bit", 0] == pytest.approx(xb.solve([1.0]).output_current[0], rel=1e-9, abs=0)


def test_one_input_per_netlist(tmp_path):
    with pytest.raises(ShapeError, match="one input vector, got a batch of 2"):
        Crossbar(np.ones((2, 2))).to_spice(tmp_path / "x.cir", np.ones((2, 2)))


def agree(xb, v, bias, directory, tolerance):
    """Terminal currents by ngspice are those of `solve`, to a share of the largest cell current."""
    currents, solution = run(xb, v, bias, directory), xb.solve(v, bias)
    scale = abs(solution.cell_current).max()
    words = [currents["word", line] for line in range(xb.shape[0])]
    bits = [-currents["bit", line] for line in range(xb.shape[1])]
    np.testing.assert_allclose(words, solution.input_current, rtol=0, atol=tolerance * scale)
    np.testing.assert_allclose(bits, solution.output_current, rtol=0, atol=tolerance * scale)


def half_selected(m, n, volts):
    """One word line at V, one bit line at 0 V, all others at V / 2."""
    v, bias = np.full(m, volts / 2), np.full(n, volts / 2)
    v[m // 3], bias[n // 3] = volts, 0.0
    return v, bias


@needs_ngspice
@pytest.mark.parametrize("window", [(1e-6, 1e-4), (1e-5, 1e-3)])
@pytest.mark.parametrize("volts", [0.5, 1.0, 2.0, 3.0])
def test_selectors_at_half_select_have_an_operating_point(volts, window, tmp_path):
    """Tolerances below the rounding of node voltages let ngspice go round in circles."""
    g = np.random.default_rng(1).uniform(*window, (12, 10))
    xb = Crossbar(g, 5.0, 5.0, 20.0, 20.0, access=Selector(1e-7, 0.1))
    agree(xb, *half_selected(12, 10, volts), tmp_path, 1e-9)


@needs_ngspice
@pytest.mark.parametrize("seed", range(8))
def test_any_cell_with_any_access_device(seed, tmp_path):
    rng = np.random.default_rng(seed)
    access = [
        None,
        Selector(10 ** rng.uniform(-7, -5), rng.uniform(0.05, 0.2)),
        Transistor(2e3, 0.8, 0.05),
    ][seed % 3]
    cell = [
        Sinh(rng.uniform(0.1, 0.5)),
        Polynomial((0.2, 1.5), 3.0),
        Polynomial((0.0, -0.03), 3.0),
        Table((-3.0, -0.5, 0.0, 0.3, 3.0), (-5.0, -0.6, 0.0, 0.3, 4.0)),
    ][seed % 4]
    g = 10 ** rng.uniform(-6, -3, (9, 7))
    xb = Crossbar(
        g, 10 ** rng.uniform(0, 2), 10 ** rng.uniform(0, 2), 20.0, 20.0, cell=cell, access=access
    )
    agree(xb, *half_selected(9, 7, rng.uniform(0.5, 2.9)), tmp_path, 1e-8)


@needs_ngspice
def test_a_polynomial_has_no_roots_beyond_its_range(tmp_path):
    """V - 0.3 V³ falls beyond 1.05 V: behind 2 kohm it has three roots, the one in range is found
    from any start.
    """
    g, r, cell = 1e-4, 2e3, Polynomial((0.0, -0.3), 1.0)
    xb = Crossbar([[g]], r / 2, r / 2, cell=cell)
    exact = brentq(lambda v: v + r * g * (v - 0.3 * v**3) - 1, 0, 1)
    expected = g * (exact - 0.3 * exact**3)
    for start in (-20.0, -8.8, 0.0, 8.8, 20.0):
        path = xb.to_spice(tmp_path / "one.cir", [1.0])
        text = path.read_text().replace(
            ".control", f".nodeset v(w0_0)={start} v(u0_0)={-start}\n.control"
        )
        path.write_text(text)
        done = subprocess.run(
            ["ngspice", "-b", path.name], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        found = -float(re.search(r"i\(vword0\) = (\S+)", done.stdout)[1])
        assert found == pytest.approx(expected, rel=1e-9, abs=0)


@pytest.mark.parametrize(
    "cell", [Sinh(0.1), Polynomial((0.0, -0.3), 1.0), Polynomial((0.2, 1.5), 2.0)]
)
def test_expressions_rise_everywhere_and_are_the_curve_within(cell):
    """Evaluated as Python: along the tangent beyond the range, no matter how far."""
    names = {"sinh": np.sinh, "cosh": np.cosh, "min": np.minimum, "max": np.maximum}
    expression = cell.spice(1e-4, "x", 0.9)
    far = np.linspace(-30, 30, 4001)
    current = np.array([eval(expression, names | {"x": x}) for x in far])
    assert (np.diff(current) > 0).all()
    inside = abs(far) <= 0.9
    x = far[inside]
    if isinstance(cell, Sinh):
        exact = 1e-4 * 0.1 * np.sinh(x / 0.1)
    else:
        exact = 1e-4 * np.polynomial.polynomial.polyval(x, (0.0, 1.0, *cell.coefficients))
    np.testing.assert_allclose(current[inside], exact, rtol=1e-12, atol=1e-20)


def test_dialects(tmp_path):
    """The same elements; what differs is stated, as is that two of them were not run."""
    xb = Crossbar(
        [[1e-4, 0.0]],
        [[0.0, 2.0]],
        3.0,
        cell=Table((-1.0, 0.0, 2.0), (-1.0, 0.0, 3.0)),
        access=Selector(1e-5, 0.1),
    )
    texts = {
        name: xb.to_spice(tmp_path / f"{name}.cir", [0.5], 0.0, name).read_text().splitlines()
        for name in ("ngspice", "ltspice", "xyce")
    }
    resistors = {name: [line for line in text if line[0] in "RV"] for name, text in texts.items()}
    assert (
        resistors["ngspice"] == resistors["ltspice"] == resistors["xyce"]
        and len(resistors["xyce"]) > 5
    )
    assert "Bg0_0 w0_0 x0_0 i=0.0001*pwl(v(w0_0,x0_0),-1.0," in "\n".join(texts["ngspice"])
    assert "Bg0_0 w0_0 x0_0 I=0.0001*table(v(w0_0,x0_0),-1.0," in "\n".join(texts["ltspice"])
    xyce = next(line for line in texts["xyce"] if line.startswith("Bg0_0"))
    assert xyce.startswith("Bg0_0 w0_0 x0_0 I={0.0001*table(") and xyce.endswith(")}")
    for name in ("ltspice", "xyce"):
        assert (
            "not run" in texts[name][1]
            and ".control" not in texts[name]
            and texts[name][-1] == ".end"
        )
    assert ".meas op i_vword0 param I(vword0)" in texts["ltspice"] and ".op" in texts["ltspice"]
    assert ".dc Vword0 list 0.5" in texts["xyce"]
    assert ".print dc format=csv precision=15 I(vword0) I(vbit0) I(vbit1)" in texts["xyce"]
    with pytest.raises(
        ConfigError, match="dialect is 'pspice'; allowed: 'ngspice', 'ltspice', 'xyce'"
    ):
        xb.to_spice(tmp_path / "x.cir", [0.5], 0.0, "pspice")


@needs_ngspice
def test_nothing_connected_still_runs(tmp_path):
    xb = Crossbar([[1e-4]], 1.0, 1.0, floating_bit_lines=[0])
    assert run(xb, [0.3], 0.0, tmp_path)["word", 0] == pytest.approx(0.0, abs=1e-15)
