"""When outputs settle: against eigenmodes of the stamped network, and ngspice."""

import shutil
import subprocess

import numpy as np
import pytest
from reference import eigenmodes, last_exit

from xbarsim import Crossbar
from xbarsim.base.errors import OutOfRangeError


def column(rng):
    """Two cells on one bit line with drivers of their own: (conductance, source ohm, V, lsb A)."""
    return (
        10 ** rng.uniform(-6, -4, (2, 1)),
        10 ** rng.uniform(2, 5, 2),
        rng.uniform(-0.2, 0.2, 2),
        10 ** rng.uniform(-7.5, -5.5),
    )


def settled(g, source, volts, lsb):
    """Settling time of a column, and what eigenmodes say."""
    found = Crossbar(g, 1.0, 1.0, source, 1e3).settle(volts, 1e-15, 1e-15, within=0.5, lsb=lsb)
    modes = eigenmodes(g, 1.0 + source[:, None], np.array([[1.0], [1001.0]]), volts, 1e-15, 1e-15)
    return found.settling_time[0], last_exit(modes[0], modes[1][0], 0.5 * lsb)


def test_a_deviation_that_crosses_zero_comes_back():
    """The first way into the band is at 4.36 ps."""
    found, exact = settled(
        np.full((2, 1), 4e-5), np.array([1e3, 1e5]), np.array([0.2, -0.155]), 1e-6
    )
    assert exact == pytest.approx(14.61e-12, rel=1e-3, abs=0)
    assert found == pytest.approx(exact, rel=1e-3, abs=0)


def test_random_columns_settle_as_their_eigenmodes():
    rng = np.random.default_rng(0)
    pairs = np.array([settled(*column(rng)) for _ in range(40)])
    np.testing.assert_allclose(*pairs.T, rtol=3e-3, atol=0)


@pytest.mark.long
def test_four_thousand_columns_settle_as_their_eigenmodes():
    rng = np.random.default_rng(1)
    pairs = np.array([settled(*column(rng)) for _ in range(4000)])
    np.testing.assert_allclose(*pairs.T, rtol=5e-3, atol=0)


@pytest.mark.parametrize("lsb", [1e-5, 1e-7, 1e-9])
def test_outputs_that_are_small_beside_the_inputs(lsb):
    """Currents and times of an array where outputs cancel: 1e-6 of what the inputs could drive."""
    rng = np.random.default_rng(2)
    g = 10 ** rng.uniform(-6, -4, (6, 5))
    volts = rng.uniform(-1, 1, 6)
    transfer = Crossbar(g, 30.0, 30.0).transfer_matrix()
    volts -= np.linalg.pinv(transfer) @ (transfer @ volts) * (1 - 1e-6)
    found = Crossbar(g, 30.0, 30.0).settle(volts, 2e-15, 3e-15, 1e-15, within=0.5, lsb=lsb)
    rates, amplitudes = eigenmodes(
        g, np.full(g.shape, 30.0), np.full(g.shape, 30.0), volts, 2e-15, 3e-15, 1e-15
    )
    exact = [last_exit(rates, row, 0.5 * lsb) for row in amplitudes]
    np.testing.assert_allclose(found.settling_time, exact, rtol=3e-3, atol=0)
    missing = np.exp(-np.outer(found.time, rates)) @ amplitudes.T
    error = abs(found.final_current - found.output_current - missing)
    assert (error <= 3e-3 * np.maximum(abs(missing).max(axis=1, keepdims=True), 0.5 * lsb)).all()


def test_a_slow_line_does_not_hide_behind_a_fast_one():
    """Time constants eight orders of magnitude apart."""
    found = Crossbar([[1e-4]], 1.0, 1e4).settle([1.0], 1e-21, 1e-12, within=1e-2)
    tau = 1e-12 / (1 / 10001.0 + 1 / 1e4)
    assert found.settling_time[0] == pytest.approx(tau * np.log(100), rel=1e-3, abs=0)


def test_no_final_current_is_no_scale():
    xb = Crossbar([[1e-5], [1e-5]], 1.0, 1.0, floating_bit_lines=[0])
    with pytest.raises(OutOfRangeError, match="give lsb in A"):
        xb.settle([0.2, 0.1], 1e-15, 1e-15)
    assert xb.settle([0.0, 0.0], 1e-15, 1e-15).settling_time.tolist() == [0.0]


@pytest.mark.skipif(shutil.which("ngspice") is None, reason="ngspice is not installed")
def test_ngspice_settles_at_the_same_time(tmp_path):
    lines = [
        "column",
        "V0 a 0 0.2",
        "V1 b 0 -0.155",
        "R0 a w0 1001",
        "R1 b w1 100001",
        "G0 w0 u0 w0 u0 4e-5",
        "G1 w1 u1 w1 u1 4e-5",
        "R2 u0 u1 1",
        "R3 u1 s 1001",
        "Vs s 0 0",
    ]
    lines += [f"C{node} {node} 0 1e-15 ic=0" for node in ("w0", "w1", "u0", "u1")]
    control = [
        ".options reltol=1e-6 abstol=1e-15",
        ".control",
        "set numdgt=12",
        "tran 2e-15 6e-11 0 5e-15 uic",
        "wrdata out i(vs)",
        ".endc",
        ".end",
    ]
    (tmp_path / "net.cir").write_text("\n".join(lines + control) + "\n")
    subprocess.run(["ngspice", "-b", "net.cir"], cwd=tmp_path, capture_output=True, check=False)
    time, current = np.loadtxt(tmp_path / "out").T
    exact = Crossbar([[4e-5], [4e-5]], 1.0, 1.0, [1e3, 1e5], 1e3).transfer_matrix() @ [0.2, -0.155]
    outside = np.flatnonzero(abs(current - exact) > 0.5e-6)
    found, _ = settled(np.full((2, 1), 4e-5), np.array([1e3, 1e5]), np.array([0.2, -0.155]), 1e-6)
    assert found == pytest.approx(time[outside[-1]], rel=3e-3, abs=0)
