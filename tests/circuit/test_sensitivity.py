"""Sensitivities and noise by brute force; settling against a dense matrix exponential and closed
forms.
"""

import shutil
import subprocess

import numpy as np
import pytest
from reference import stamped
from scipy.linalg import expm

from xbarsim import Crossbar
from xbarsim.base.errors import ConfigError, OutOfRangeError, ShapeError
from xbarsim.circuit.cells import Sinh


def array(m=6, n=5, seed=0, **options):
    rng = np.random.default_rng(seed)
    g = rng.uniform(1e-5, 1e-3, (m, n))
    options = {
        "word_line_resistance": rng.uniform(5, 50, (m, n)),
        "bit_line_resistance": rng.uniform(5, 50, (m, n)),
    } | options
    return g, rng.uniform(-1, 1, n if options.get("transposed") else m), options


@pytest.mark.parametrize(
    "options", [{}, {"transposed": True}, {"floating_bit_lines": [1], "source_resistance": 30.0}]
)
def test_sensitivities_are_finite_differences(options):
    g, v, options = array(**options)
    xb = Crossbar(g, **options)
    every = xb.sensitivity(v)
    weight = np.arange(1.0, len(every) + 1)
    np.testing.assert_allclose(
        xb.sensitivity(v, weight),
        np.tensordot(weight, every, 1),
        rtol=1e-8,
        atol=1e-9 * abs(every).max(),
    )
    for i, j in ((0, 0), (3, 1), (5, 4)):
        h = 1e-4 * g[i, j]
        up, down = g.copy(), g.copy()
        up[i, j] += h
        down[i, j] -= h
        high, low = (Crossbar(changed, **options).solve(v).output_current for changed in (up, down))
        slope = (high - low) / (2 * h)
        np.testing.assert_allclose(every[:, i, j], slope, rtol=0, atol=1e-6 * abs(every).max())


def complex_step(function, array, relative=1e-30):
    """Derivative of a function by every entry of an array: exact to rounding, without differences."""
    slopes = np.zeros(array.shape)
    for place in np.ndindex(array.shape):
        moved = array.astype(complex)
        step = relative * array[place]
        moved[place] += 1j * step
        slopes[place] = function(moved).imag / step
    return slopes


def stamped_outputs(g, r_word, r_bit, inputs):
    """(b, n) A of inputs (b, m) V by the stamped matrix, complex or not."""
    y, word, bit = stamped(g, r_word, r_bit)
    source = np.zeros((len(y), len(inputs)), np.result_type(y, inputs))
    source[word[:, 0]] = (inputs / r_word[:, 0]).T
    return (np.linalg.solve(y, source)[bit[-1]] / r_bit[-1][:, None]).T


def test_gradients_are_those_of_the_stamped_circuit_by_complex_steps():
    """F = sum of cubes of the outputs of three inputs, by every conductance, segment and input."""
    rng = np.random.default_rng(7)
    m, n = 4, 3
    g = rng.uniform(1e-5, 1e-3, (m, n))
    r_word = rng.uniform(5, 50, (m, n))
    r_bit = rng.uniform(5, 50, (m, n))
    inputs = rng.uniform(-1, 1, (3, m))

    def scalar(g=g, r_word=r_word, r_bit=r_bit, inputs=inputs):
        return (1e9 * stamped_outputs(g, r_word, r_bit, inputs) ** 3).sum()

    xb = Crossbar(g, r_word, r_bit)
    outputs = xb.solve(inputs).output_current
    found = xb.gradient(inputs, 3e9 * outputs**2)
    pairs = [
        (found.conductance, complex_step(lambda x: scalar(g=x), g)),
        (found.word_line_resistance[:, :-1], complex_step(lambda x: scalar(r_word=x), r_word)),
        (found.bit_line_resistance[1:], complex_step(lambda x: scalar(r_bit=x), r_bit)),
        (found.input_voltage, complex_step(lambda x: scalar(inputs=x), inputs)),
    ]
    for adjoint, exact in pairs:
        np.testing.assert_allclose(adjoint, exact, rtol=1e-8, atol=1e-10 * abs(exact).max())
    assert not found.word_line_resistance[:, -1].any() and not found.bit_line_resistance[0].any()
    one = xb.gradient(inputs[0], np.ones(n))
    assert one.input_voltage.shape == (m,)
    np.testing.assert_allclose(one.input_voltage, xb.transfer_matrix().sum(axis=0), rtol=1e-9)


@pytest.mark.parametrize(
    "options",
    [
        {"transposed": True},
        {"drive": "both", "sense": "both"},
        {"floating_word_lines": [2], "drive": "right"},
    ],
)
def test_gradients_of_any_arrangement_are_finite_differences(options):
    """Of the sum of squares of a batch with biases, more inputs than are solved at once."""
    rng = np.random.default_rng(8)
    g = rng.uniform(1e-5, 1e-3, (4, 3))
    word = rng.uniform(5, 50, (4, 4))
    bit = rng.uniform(5, 50, (5, 3))
    driven, sensed = (3, 4) if options.get("transposed") else (4, 3)
    inputs = rng.uniform(-1, 1, (40, driven))
    bias = rng.uniform(-0.1, 0.1, sensed)

    def scalar(g=g, word=word, bit=bit):
        return (Crossbar(g, word, bit, **options).solve(inputs, bias).output_current ** 2).sum()

    xb = Crossbar(g, word, bit, **options)
    outputs = xb.solve(inputs, bias).output_current
    found = xb.gradient(inputs, 2 * outputs, bias)
    for name, values, slopes in (
        ("g", g, found.conductance),
        ("word", word, found.word_line_resistance),
        ("bit", bit, found.bit_line_resistance),
    ):
        for place in np.ndindex(values.shape):
            high, low = values.copy(), values.copy()
            high[place] *= 1 + 1e-4
            low[place] *= 1 - 1e-4
            change = scalar(**{name: high}) - scalar(**{name: low})
            slope = change / (2e-4 * values[place])
            assert slopes[place] == pytest.approx(slope, rel=1e-5, abs=1e-6 * abs(slopes).max())


def test_gradients_of_wrong_shape_are_refused():
    g, v, options = array()
    xb = Crossbar(g, **options)
    with pytest.raises(ShapeError, match="output_gradient"):
        xb.gradient(v, np.ones((2, 5)))
    with pytest.raises(ShapeError, match="output_gradient"):
        xb.gradient(np.ones((3, 6)), np.ones(5))
    with pytest.raises(ConfigError):
        Crossbar(g, cell=Sinh(0.3)).gradient(v, np.ones(5))


def test_output_noise_is_that_of_repeated_solutions():
    g, v, options = array()
    rng, sigma = np.random.default_rng(1), 0.01 * g
    outputs = np.array(
        [
            Crossbar(g + sigma * rng.standard_normal(g.shape), **options).solve(v).output_current
            for _ in range(3000)
        ]
    )
    np.testing.assert_allclose(
        Crossbar(g, **options).output_noise(v, sigma), outputs.std(axis=0), rtol=0.06
    )


def test_settling_is_the_matrix_exponential():
    """Dense C dx/dt = s - G x of the stamped network, with capacitance across the cells."""
    g, v, _ = array(4, 3)
    word, bit = np.full((4, 3), 40.0), np.full((4, 3), 60.0)
    c_word, c_bit, c_cell = 2e-15, 3e-15, 1e-15
    settling = Crossbar(g, word, bit).settle(v, c_word, c_bit, c_cell, within=1e-2, accuracy=1e-5)
    y, word_nodes, bit_nodes = stamped(g, word, bit)
    capacitance = np.diag(np.r_[np.full(12, c_word + c_cell), np.full(12, c_bit + c_cell)])
    for a, b in zip(word_nodes.ravel(), bit_nodes.ravel(), strict=True):
        capacitance[a, b] = capacitance[b, a] = -c_cell
    source = np.zeros(24)
    source[word_nodes[:, 0]] = v / 40.0
    final, rate = np.linalg.solve(y, source), np.linalg.solve(capacitance, y)
    sensed = bit_nodes[-1]

    def exact(time):
        return (final - expm(-rate * time) @ final)[sensed] / 60.0

    scale = abs(settling.final_current).max()
    for k in np.linspace(0, len(settling.time) - 1, 12).astype(int):
        np.testing.assert_allclose(
            settling.output_current[k], exact(settling.time[k]), atol=2e-4 * scale
        )
    for column, time in enumerate(settling.settling_time):
        assert abs(exact(time) - settling.final_current)[column] == pytest.approx(
            1e-2 * scale, rel=0.05, abs=0
        )
    moment = np.linalg.solve(y, capacitance @ final)[sensed] / 60.0
    np.testing.assert_allclose(settling.elmore_delay, moment / settling.final_current, rtol=1e-8)


def test_settling_of_one_cell_approaches_its_time_constant():
    """A large sense-side capacitance makes one pole: tau = C (1 / (1 / R_above + 1 / R_below))."""
    settling = Crossbar([[1e-4]], 1.0, 1e4).settle([1.0], 1e-21, 1e-12, within=1e-2)
    tau = 1e-12 / (1 / 10001.0 + 1 / 1e4)
    assert settling.elmore_delay[0] == pytest.approx(tau, rel=1e-6, abs=0)
    assert settling.settling_time[0] == pytest.approx(tau * np.log(100), rel=2e-3, abs=0)


def test_settling_within_a_fraction_of_an_lsb():
    g, v, options = array(4, 3)
    xb, lsb = Crossbar(g, **options), 2e-6
    settling = xb.settle(v, 1e-15, 1e-15, within=0.5, lsb=lsb)
    largest = abs(settling.final_current).max()
    share = xb.settle(v, 1e-15, 1e-15, within=0.5 * lsb / largest)
    np.testing.assert_allclose(settling.settling_time, share.settling_time, rtol=1e-12)
    assert (
        xb.settle(v, 1e-15, 1e-15, within=0.25, lsb=lsb).settling_time > settling.settling_time
    ).all()


@pytest.mark.parametrize("drive", ["left", "right", "both"])
@pytest.mark.parametrize("sense", ["bottom", "top", "both"])
def test_an_array_turned_over_settles_the_same(drive, sense):
    """Word lines become bit lines; lines that float settle too."""
    g, v, _ = array(5, 4)
    side = {"left": "top", "right": "bottom", "top": "left", "bottom": "right", "both": "both"}
    xb = Crossbar(g, 40.0, 60.0, 10.0, 20.0, drive=drive, sense=sense, floating_word_lines=[1])
    turned = Crossbar(
        g.T,
        60.0,
        40.0,
        20.0,
        10.0,
        drive=side[sense],
        sense=side[drive],
        transposed=True,
        floating_bit_lines=[1],
    )
    one, other = (
        xb.settle(v, 2e-15, 3e-15, 1e-15, within=0.01),
        turned.settle(v, 3e-15, 2e-15, 1e-15, within=0.01),
    )
    np.testing.assert_allclose(one.final_current, xb.solve(v).output_current, rtol=1e-9)
    np.testing.assert_allclose(one.elmore_delay, other.elmore_delay, rtol=1e-9)
    np.testing.assert_allclose(one.settling_time, other.settling_time, rtol=1e-3)
    assert (one.settling_time > 0).all()


def test_what_is_refused():
    xb = Crossbar(np.full((2, 2), 1e-4))
    with pytest.raises(OutOfRangeError, match="word_line_capacitance is -1 F"):
        xb.settle([1, 1], -1.0, 1e-15)
    with pytest.raises(OutOfRangeError, match="above 0 F"):
        xb.settle([1, 1], 0.0, 1e-15)
    with pytest.raises(ConfigError, match="above 0 ohm"):
        Crossbar(np.full((2, 2), 1e-4), 0.0).settle([1, 1], 1e-15, 1e-15)
    with pytest.raises(ShapeError, match="one input vector"):
        xb.sensitivity(np.ones((3, 2)))
    with pytest.raises(ConfigError, match="nonlinear"):
        Crossbar(np.full((2, 2), 1e-4), cell=Sinh(0.3)).sensitivity([1, 1])


@pytest.mark.skipif(shutil.which("ngspice") is None, reason="ngspice is not installed")
def test_ngspice_sees_the_same_transient(tmp_path):
    """`.tran` of the netlist with capacitors added, at ten times."""
    g, v, options = array(4, 3)
    xb = Crossbar(g, **options)
    settling = xb.settle(v, 2e-15, 3e-15, 1e-15, within=1e-2, accuracy=1e-6)
    end = settling.time[-1]
    lines = xb.to_spice(tmp_path / "net.cir", v).read_text().splitlines()
    cut = lines.index(".control")
    capacitors = [
        f"C{kind}{i}_{j} {kind}{i}_{j} 0 {value} ic=0"
        for i in range(4)
        for j in range(3)
        for kind, value in (("w", 2e-15), ("u", 3e-15))
    ]
    capacitors += [f"Cc{i}_{j} w{i}_{j} u{i}_{j} 1e-15 ic=0" for i in range(4) for j in range(3)]
    control = [
        ".control",
        "set numdgt=12",
        f"tran {end / 4000} {end} 0 {end / 4000} uic",
        *(f"wrdata out{j} i(vbit{j})" for j in range(3)),
        ".endc",
        ".end",
    ]
    (tmp_path / "tran.cir").write_text("\n".join(lines[:cut] + capacitors + control) + "\n")
    subprocess.run(["ngspice", "-b", "tran.cir"], cwd=tmp_path, capture_output=True, check=False)
    for j in range(3):
        time, current = np.loadtxt(tmp_path / f"out{j}").T
        at = np.linspace(0.05, 0.95, 10) * end
        ours = np.interp(at, settling.time, settling.output_current[:, j])
        np.testing.assert_allclose(
            ours, np.interp(at, time, current), atol=2e-3 * abs(settling.final_current).max()
        )
