"""Netlists that ngspice runs as they are, against our own solution."""
import re
import shutil
import subprocess

import numpy as np
import pytest
from test_cells import CASES

from xbarsim import Crossbar
from xbarsim.errors import ShapeError

needs_ngspice = pytest.mark.skipif(shutil.which("ngspice") is None, reason="ngspice is not installed")


def run(xb, v, bias, directory):
    """Terminal currents {name: ampere into the circuit} by ngspice."""
    path = xb.to_spice(directory / "array.cir", v, bias)
    done = subprocess.run(["ngspice", "-b", path.name], cwd=directory, capture_output=True, text=True, check=False)
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
    word[3, 2] = 0                                               # an ideal segment
    xb = Crossbar(g, word, 30.0, 10.0, 5.0, drive="both", floating_bit_lines=[2], **CASES.get(case, {}))
    v, bias = rng.uniform(-0.5, 0.5, 5), 0.05
    currents, solution = run(xb, v, bias, tmp_path), xb.solve(v, bias)
    scale = abs(solution.cell_current).max()
    for line in range(5):
        assert currents["word", line] == pytest.approx(solution.input_current[line], abs=1e-9 * scale)
    for line in (0, 1, 3):
        assert -currents["bit", line] == pytest.approx(solution.output_current[line], abs=1e-9 * scale)
    assert ("bit", 2) not in currents


@needs_ngspice
def test_a_short(tmp_path):
    xb = Crossbar([[np.inf, 1e-4]], 7.0, 11.0)
    currents = run(xb, [1.0], 0.0, tmp_path)
    assert -currents["bit", 0] == pytest.approx(xb.solve([1.0]).output_current[0], rel=1e-9, abs=0)


def test_one_input_per_netlist(tmp_path):
    with pytest.raises(ShapeError, match="one input vector, got a batch of 2"):
        Crossbar(np.ones((2, 2))).to_spice(tmp_path / "x.cir", np.ones((2, 2)))
