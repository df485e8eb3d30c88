"""Crossbar: published outputs, dense nodal analysis of arbitrary arrangements, conservation laws,
error messages.
"""

import json
import shutil

import ngspice_cases
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import dense_transfer

from xbarsim import Crossbar
from xbarsim.base.errors import ConfigError, ConvergenceError, OutOfRangeError, ShapeError


def dense_currents(xb, word_voltage, bit_voltage):
    """Terminal currents (from word lines (m,), into bit lines (n,)) of any arrangement, by stamping
    every resistor.

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
    """The standard small example of badcrossbar: 10 ... 200 ohm, word line 1 ohm, bit line 2 ohm, 0
    ... 4 V.
    """
    xb = Crossbar(1 / np.arange(10.0, 201.0, 10.0).reshape(5, 4), 1.0, 2.0)
    current = xb.solve(np.arange(5.0)).output_current
    expected = [0.060570196651101, 0.059327610716748, 0.056348738829253, 0.053352354575102]
    np.testing.assert_allclose(current, expected, rtol=1e-12)
    np.testing.assert_allclose(xb.transfer_matrix() @ np.arange(5.0), expected, rtol=1e-12)


FROZEN = json.loads(ngspice_cases.PATH.read_text())


@pytest.mark.parametrize("case", FROZEN, ids=lambda case: case["name"])
def test_outputs_frozen_from_ngspice(case):
    ohm = np.array(case["cell_ohm"], dtype=float)
    with np.errstate(divide="ignore"):
        xb = Crossbar(1 / ohm, case["word_line_ohm"], case["bit_line_ohm"])
    for current in (
        xb.solve(case["input_v"]).output_current,
        xb.transfer_matrix() @ case["input_v"],
    ):
        np.testing.assert_allclose(
            current, case["output_a"], rtol=1e-11, atol=1e-16
        )  # atol: open lines


@pytest.mark.skipif(shutil.which("ngspice") is None, reason="ngspice is not installed")
def test_ngspice_still_gives_the_frozen_outputs():
    """From the frozen netlists, which are those that the script writes today."""
    assert [case["netlist"] for case in FROZEN] == [
        ngspice_cases.netlist(case) for case in ngspice_cases.cases()
    ]
    for case in FROZEN:
        np.testing.assert_allclose(
            ngspice_cases.run(case["netlist"]), case["output_a"], rtol=1e-11, atol=1e-16
        )


@pytest.mark.parametrize("drive", ["left", "right", "both"])
@pytest.mark.parametrize("sense", ["bottom", "top", "both"])
@pytest.mark.parametrize("transposed", [False, True])
def test_every_arrangement_is_that_of_dense_nodal_analysis(drive, sense, transposed):
    rng = np.random.default_rng(1)
    m, n = 7, 5
    xb = Crossbar(
        random_conductance(rng, m, n),
        rng.uniform(0.5, 20, (m, n + 1)),
        rng.uniform(0.5, 20, (m + 1, n)),
        rng.uniform(1, 50, m),
        rng.uniform(1, 50, n),
        drive=drive,
        sense=sense,
        floating_word_lines=[2],
        floating_bit_lines=[4],
        transposed=transposed,
    )
    v, bias = (
        rng.uniform(-1, 1, n if transposed else m),
        rng.uniform(-0.1, 0.1, m if transposed else n),
    )
    word, bit = (bias, v) if transposed else (v, bias)
    drawn, sensed = dense_currents(xb, word, bit)
    expected = -drawn if transposed else sensed
    solution = xb.solve(v, bias)
    np.testing.assert_allclose(
        solution.output_current, expected, rtol=0, atol=1e-11 * abs(expected).max()
    )
    grounded = xb.solve(v).output_current
    np.testing.assert_allclose(
        xb.transfer_matrix() @ v, grounded, rtol=0, atol=1e-11 * abs(grounded).max()
    )
    np.testing.assert_allclose(v @ xb.power_matrix() @ v, xb.solve(v).power, rtol=1e-9)


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (5, 17), (17, 5), (24, 24)])
def test_a_random_grid_is_that_of_dense_nodal_analysis(shape):
    rng = np.random.default_rng(shape)
    for _ in range(4):
        g, word, bit = (
            random_conductance(rng, *shape),
            rng.uniform(0.5, 20, shape),
            rng.uniform(0.5, 20, shape),
        )
        xb, expected = Crossbar(g, word, bit), dense_transfer(g, word, bit)
        for found in (
            xb.transfer_matrix(),
            xb.solve(np.eye(len(g)), tolerance=1e-14).output_current.T,
        ):
            np.testing.assert_allclose(found, expected, rtol=1e-11, atol=0)


@st.composite
def arrangements(draw):
    """(conductance, options of Crossbar, generator): any shape, ends, floating lines, ideal
    segments, open cells.
    """
    m, n = draw(st.integers(1, 12)), draw(st.integers(1, 12))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    g = random_conductance(rng, m, n) * (rng.random((m, n)) > 0.2)
    ideal = draw(st.sampled_from([0.0, 0.3]))
    word, bit = (
        rng.uniform(0.1, 30, shape) * (rng.random(shape) >= ideal)
        for shape in ((m, n + 1), (m + 1, n))
    )
    few = draw(st.booleans())
    options = {
        "word_line_resistance": word,
        "bit_line_resistance": bit,
        "source_resistance": 5.0,
        "sense_resistance": 3.0,
        "drive": draw(st.sampled_from(["left", "right", "both"])),
        "sense": draw(st.sampled_from(["bottom", "top", "both"])),
        "transposed": draw(st.booleans()),
        "floating_word_lines": rng.random(m) < 0.2 * few,
        "floating_bit_lines": rng.random(n) < 0.2 * few,
    }
    return g, options, rng


LAWS = settings(deadline=None, max_examples=40)


@LAWS
@given(arrangements())
def test_kirchhoff_and_energy_in_any_arrangement(arrangement):
    g, options, rng = arrangement
    xb = Crossbar(g, **options)
    m, n = g.shape
    inputs, outputs = (n, m) if xb.transposed else (m, n)
    v, bias = rng.uniform(-1, 1, inputs), rng.uniform(-1, 1, outputs)
    s = xb.solve(v, bias)
    word, bit = (bias, v) if xb.transposed else (v, bias)
    word, bit = np.where(xb.floating_word_lines, 0, word), np.where(xb.floating_bit_lines, 0, bit)
    w = np.column_stack([word, s.word_line_voltage, word])
    u = np.vstack([bit, s.bit_line_voltage, bit])
    along, down = s.word_line_current, s.bit_line_current
    scale = abs(g).max() + 1e-15
    np.testing.assert_allclose(
        along[:, :-1] - along[:, 1:], s.cell_current, rtol=0, atol=1e-11 * scale
    )  # KCL
    np.testing.assert_allclose(down[1:] - down[:-1], s.cell_current, rtol=0, atol=1e-11 * scale)
    np.testing.assert_allclose(
        s.cell_current,
        g * (s.word_line_voltage - s.bit_line_voltage),
        rtol=1e-12,
        atol=1e-15 * scale,  # of drops that are the rounding of node voltages near 1 V
    )
    for current, drop, r in (
        (along, -np.diff(w, axis=1), xb.word_segments),
        (down, -np.diff(u, axis=0), xb.bit_segments),
    ):
        wired = np.isfinite(r)  # Ohm
        np.testing.assert_allclose(drop[wired], r[wired] * current[wired], rtol=0, atol=1e-11)
        assert not current[~wired].any()
    np.testing.assert_allclose(s.cell_power + s.wire_power, s.power, rtol=0, atol=1e-10 * scale)


@LAWS
@given(arrangements())
def test_superposition_of_inputs_and_biases(arrangement):
    g, options, rng = arrangement
    xb = Crossbar(g, **options)
    m, n = g.shape
    inputs, outputs = (n, m) if xb.transposed else (m, n)
    (a, b), (c, d) = rng.uniform(-1, 1, (2, inputs)), rng.uniform(-1, 1, (2, outputs))
    one, two, both = (
        xb.solve(*x).output_current for x in ((a, c), (b, d), (2 * a - 3 * b, 2 * c - 3 * d))
    )
    np.testing.assert_allclose(2 * one - 3 * two, both, rtol=0, atol=1e-10 * abs(g).max())


@LAWS
@given(arrangements())
def test_reciprocity(arrangement):
    """Driver i seen at sense j is driver j seen at sense i: reading by the other lines transposes
    the matrix.
    """
    g, options, _ = arrangement
    other = Crossbar(g, **options | {"transposed": not options["transposed"]}).transfer_matrix()
    np.testing.assert_allclose(
        Crossbar(g, **options).transfer_matrix().T, other, rtol=0, atol=1e-11 * abs(g).max()
    )


@LAWS
@given(arrangements())
def test_a_transposed_array_is_the_array_turned_over(arrangement):
    """Word lines become bit lines: conductance, segments and ends mirrored, the same currents."""
    g, options, _ = arrangement
    side = {"left": "top", "right": "bottom", "top": "left", "bottom": "right", "both": "both"}
    turned = Crossbar(
        g.T,
        options["bit_line_resistance"].T,
        options["word_line_resistance"].T,
        options["sense_resistance"],
        options["source_resistance"],
        drive=side[options["sense"]],
        sense=side[options["drive"]],
        transposed=not options["transposed"],
        floating_word_lines=options["floating_bit_lines"],
        floating_bit_lines=options["floating_word_lines"],
    )
    np.testing.assert_allclose(
        turned.transfer_matrix(),
        Crossbar(g, **options).transfer_matrix(),
        rtol=0,
        atol=1e-11 * abs(g).max(),
    )


@LAWS
@given(arrangements(), st.booleans())
def test_raising_a_conductance_never_lowers_the_power(arrangement, a_wire):
    """Rayleigh: of a cell, open ones included, or of a wire; for any input."""
    g, options, rng = arrangement
    before = Crossbar(g, **options).power_matrix()
    i, j = (rng.integers(k) for k in g.shape)
    if a_wire:
        options["word_line_resistance"][i, j] *= rng.uniform(0, 1)
    else:
        g[i, j] += 10 ** rng.uniform(-6, -2)
    change = Crossbar(g, **options).power_matrix() - before
    assert np.linalg.eigvalsh((change + change.T) / 2).min() >= -1e-11 * abs(g).max()


def test_kirchhoff_holds_at_every_node():
    rng = np.random.default_rng(2)
    xb = Crossbar(random_conductance(rng, 20, 30), 2.0, 3.0, 10.0)
    s = xb.solve(rng.uniform(0, 0.2, 20))
    word, bit = s.word_line_current, s.bit_line_current
    np.testing.assert_allclose(word[:, :-1] - word[:, 1:], s.cell_current, atol=1e-15)
    np.testing.assert_allclose(bit[1:] - bit[:-1], s.cell_current, atol=1e-15)
    np.testing.assert_allclose(
        s.word_line_voltage[:, :-1] - s.word_line_voltage[:, 1:],
        2.0 * word[:, 1:-1],
        rtol=1e-6,
        atol=1e-12,
    )  # Ohm in the wires
    np.testing.assert_allclose(
        s.cell_current, xb.conductance * s.cell_voltage, rtol=1e-12, atol=1e-18
    )
    assert s.residual < 1e-12 and s.iterations < 12


def test_ideal_wires_open_and_shorted_cells():
    g = np.array([[1e-4, 0.0], [2e-4, 3e-4]])
    np.testing.assert_allclose(
        Crossbar(g, 0.0, 0.0).solve([1.0, 2.0]).output_current, [5e-4, 6e-4], rtol=1e-14
    )
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


@pytest.mark.parametrize(
    ("kind", "message", "arguments"),
    [
        (ShapeError, r"conductance has shape \(3,\)", {"conductance": np.ones(3)}),
        (OutOfRangeError, r"conductance is nan S at \(0, 1\)", {"conductance": [[1.0, np.nan]]}),
        (OutOfRangeError, r"conductance is -1 S", {"conductance": [[-1.0]]}),
        (
            OutOfRangeError,
            r"conductance is inf S at \(0, 0\)",
            {"conductance": [[np.inf]], "word_line_resistance": 0.0, "bit_line_resistance": 0.0},
        ),
        (OutOfRangeError, "word_line_resistance is -2 ohm", {"word_line_resistance": -2.0}),
        (OutOfRangeError, "source_resistance is inf ohm.*floating", {"source_resistance": np.inf}),
        (ShapeError, r"bit_line_resistance has shape \(5,\)", {"bit_line_resistance": np.ones(5)}),
        (ConfigError, "drive is 'up'; allowed: 'left', 'right', 'both'", {"drive": "up"}),
        (
            OutOfRangeError,
            "floating_bit_lines names line 9; allowed: 0 to 1",
            {"floating_bit_lines": [9]},
        ),
    ],
)
def test_bad_arrays_are_named_with_the_remedy(kind, message, arguments):
    with pytest.raises(kind, match=message):
        Crossbar(**({"conductance": np.full((2, 2), 1e-4)} | arguments))


def test_bad_inputs_are_named():
    xb = Crossbar(np.full((2, 3), 1e-4))
    with pytest.raises(
        ShapeError,
        match=r"input_voltage has shape \(3,\); allowed: \(2,\) one input, \(b, 2\) a batch",
    ):
        xb.solve(np.ones(3))
    with pytest.raises(OutOfRangeError, match="input_voltage is nan V"):
        xb.solve([0.1, np.nan])


def test_a_missed_tolerance_carries_the_last_iterate():
    rng = np.random.default_rng(3)
    xb = Crossbar(random_conductance(rng, 60, 60), 50.0, 50.0)
    with pytest.raises(ConvergenceError) as caught:
        xb.solve(np.ones(60), tolerance=1e-30)
    assert 0 < caught.value.residual < 1e-14 and caught.value.iterate.output_current.shape == (60,)
    assert caught.value.iterations > 0


@pytest.mark.parametrize("sections", [1, 2, 4])
def test_lines_in_sections_are_the_dense_circuit_of_their_drivers(sections):
    """As docs/circuit.md builds them of lines with open cells, against stamps of the sections."""
    rng = np.random.default_rng(3)
    m, n = 5, 8
    width = n // sections
    cells = rng.uniform(5e-6, 9e-5, (m, n))
    volts = rng.uniform(0.05, 0.2, m)
    wire, feed, source, sense = 7.0, 31.0, 50.0, 20.0
    apart = np.zeros((m * sections, n))
    along = np.full((m * sections, n), wire)
    down = np.zeros((m * sections, n))
    down[sections - 1 :: sections] = wire
    for s in range(sections):
        own = slice(s * width, (s + 1) * width)
        apart[s::sections, own] = cells[:, own]
        along[s::sections, : own.start] = 0.0
        along[s::sections, own.start] = feed
    star = Crossbar(apart, along, down, source_resistance=source, sense_resistance=sense)
    found = star.solve(np.repeat(volts, sections)).output_current

    word = np.arange(m * n).reshape(m, n)
    bit = word + m * n
    nodal = np.zeros((2 * m * n, 2 * m * n))
    given = np.zeros(2 * m * n)

    def join(first, second, siemens):
        nodal[first, first] += siemens
        nodal[second, second] += siemens
        nodal[first, second] -= siemens
        nodal[second, first] -= siemens

    for i in range(m):
        for j in range(n):
            join(word[i, j], bit[i, j], cells[i, j])
            if j % width:
                join(word[i, j], word[i, j - 1], 1 / wire)
            else:  # a driver of its own
                nodal[word[i, j], word[i, j]] += 1 / (feed + source)
                given[word[i, j]] += volts[i] / (feed + source)
            if i + 1 < m:
                join(bit[i, j], bit[i + 1, j], 1 / wire)
            else:
                nodal[bit[i, j], bit[i, j]] += 1 / (wire + sense)
    nodes = np.linalg.solve(nodal, given)
    np.testing.assert_allclose(found, nodes[bit[-1]] / (wire + sense), rtol=1e-9, atol=0)
