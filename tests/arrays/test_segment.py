"""A segment of the dense crossbar: against the whole circuit, cell by cell, and against ladders written out."""

import numpy as np
import pytest

from xbarsim import Crossbar
from xbarsim.arrays.memory import segment, surroundings
from xbarsim.circuit import cells
from xbarsim.config.synergy import Memory
from xbarsim.config.wires import Wires
from xbarsim.devices.presets import load_device

IDEAL = load_device("ideal")
WIRES = Wires(
    word_line_resistance_ohm=3.0,
    bit_line_resistance_ohm=5.0,
    source_resistance_ohm=70.0,
    sense_resistance_ohm=90.0,
)


def stored(rows, columns, seed=0):
    return np.where(np.random.default_rng(seed).random((rows, columns)) < 0.5, 40e-6, 1e-6)


def whole(g, bias, access, voltage=0.3, drive="left", idle=()):
    """Currents of a read of row 0 in a crossbar of all cells, written out line by line."""
    m, n = g.shape
    word = {"grounded": 0.0, "floating": 0.0, "half": voltage / 2, "third": voltage / 3}[bias]
    bit = {"half": voltage / 2, "third": 2 * voltage / 3}.get(bias, 0.0)
    v, b = np.full(m, word), np.zeros(n)
    v[0], b[list(idle)] = voltage, bit
    cell = None
    if access == "selector":
        cell, g = cells.Sinh(0.05), g * (voltage / 0.05 / np.sinh(voltage / 0.05))
    xb = Crossbar(
        g,
        3.0,
        5.0,
        70.0,
        90.0,
        drive=drive,
        cell=cell,
        floating_word_lines=range(1, m) if bias == "floating" else (),
        floating_bit_lines=idle if bit == 0 else (),
    )
    return xb.solve(v, b).output_current


@pytest.mark.parametrize("access", ["none", "selector"])
@pytest.mark.parametrize("bias", ["grounded", "floating", "half", "third"])
@pytest.mark.parametrize("every", [1, 4])
def test_an_unlumped_segment_is_the_whole_crossbar(access, bias, every):
    g = stored(12, 24)
    memory = Memory(
        rows=12,
        columns=24,
        access=access,
        bias=bias,
        lumped_rows=1,
        sensed_every=every,
        drive="both",
    )
    read = segment.circuit(memory, WIRES, 0.3, g[0], g[1:])
    idle = [j for j in range(24) if j % every]
    sensed = np.arange(24) % every == 0
    np.testing.assert_allclose(
        read.crossbar.solve(read.inputs, read.bias).output_current[sensed],
        whole(g, bias, access, drive="both", idle=idle)[sensed],
        rtol=1e-8,
    )


@pytest.mark.parametrize("bias", ["grounded", "floating", "half"])
def test_lumped_rows_are_close_to_all_rows(bias):
    """Joining 8 of 64 rows changes a bit line's current, that of unselected cells included, by less than 1 %."""
    g = stored(65, 48)
    memory = Memory(rows=65, columns=48, access="none", bias=bias, lumped_rows=8)
    lumped = g[1:].reshape(8, 8, 48).sum(axis=1)
    read = segment.circuit(memory, WIRES, 0.3, g[0], lumped)
    exact = whole(g, bias, "none")
    assert (
        abs(read.crossbar.solve(read.inputs, read.bias).output_current - exact).max()
        < 0.01 * exact.max()
    )
    assert segment.group_sizes(memory).tolist() == [8] * 8
    assert segment.group_sizes(Memory(rows=20, lumped_rows=8)).tolist() == [8, 8, 3]


def test_a_transistor_segment_is_one_ladder():
    """Against a fixed point over the word line of resistors: cell, channel and the whole bit line in series."""
    memory = Memory(
        rows=100, columns=30, transistor_overdrive_v=5.0, transistor_resistance_ohm=3000.0
    )
    g = stored(1, 30)[0]
    wires = Wires(
        word_line_resistance_ohm=20.0,
        bit_line_resistance_ohm=50.0,
        source_resistance_ohm=400.0,
        sense_resistance_ohm=700.0,
    )
    read = segment.circuit(memory, wires, 0.2, g)
    branch = 1 / (
        1 / g + 3000.0 + 100 * 50.0 + 700.0
    )  # a channel far below its overdrive is a resistor
    voltage = np.full(30, 0.2)
    for _ in range(200):
        current = branch * voltage
        behind = np.cumsum(current[::-1])[::-1]  # what each segment of the word line carries
        voltage = 0.2 - 400.0 * behind[0] - np.cumsum(20.0 * behind)
    found = read.crossbar.solve(read.inputs, read.bias).output_current
    np.testing.assert_allclose(
        found, branch * voltage, rtol=0.005
    )  # the channel bends by V / 2 Vo of its share
    assert abs(found / (0.2 * branch) - 1).max() > 0.05  # and the wires matter here


@pytest.mark.parametrize(
    ("source", "sense", "near", "far"), [(0.0, 0.0, 6.99, 4.17), (2000.0, 500.0, 0.90, 0.54)]
)
def test_source_and_sense_resistance_reach_the_read(source, sense, near, far):
    """256 columns of 1024 rows at 32 nm, data at the nominal levels: a stored 1 at both ends, by the ladder of resistors."""
    memory, wires = (
        Memory(columns=256),
        Wires(source_resistance_ohm=source, sense_resistance_ohm=sense),
    )
    level, current, position = segment.read_currents(memory, wires, IDEAL, 1, 3)
    for data, found in zip(level, current, strict=True):
        branch = 1 / (1 / np.where(data == 1, 40e-6, 1e-6) + 2000.0 + 1024 * 1.06 + sense)
        nodes = np.zeros((256, 256))
        for k in range(256):
            nodes[k, k] += branch[k] + 1 / (1.06 + (source if k == 0 else 0.0))
            if k < 255:
                nodes[k, k] += 1 / 1.06
                nodes[k, k + 1] = nodes[k + 1, k] = -1 / 1.06
        into = np.zeros(256)
        into[0] = 0.2 / (1.06 + source)
        np.testing.assert_allclose(
            found, branch * np.linalg.solve(nodes, into), rtol=0.02
        )  # the channel bends a little
        ones = np.flatnonzero(data == 1)
        assert found[ones[0]] * 1e6 == pytest.approx(near, rel=0.08)
        assert found[ones[-1]] * 1e6 == pytest.approx(far, rel=0.12)  # by the data


@pytest.mark.parametrize("drive", ["left", "both"])
@pytest.mark.parametrize(
    ("access", "tolerance"), [("transistor", 1e-4), ("none", 0.01), ("selector", 0.01)]
)
def test_what_a_cell_sees_predicts_its_current_for_any_conductance(access, tolerance, drive):
    """A source for every cell, from one solution; the circuit is solved again with another cell in its place."""
    memory = Memory(rows=32, columns=60, access=access, lumped_rows=8, sensed_every=2, drive=drive)
    wires = Wires(
        word_line_resistance_ohm=10.0,
        bit_line_resistance_ohm=5.0,
        source_resistance_ohm=1000.0,
        sense_resistance_ohm=300.0,
    )
    rng = np.random.default_rng(0)
    g, others = stored(1, 60)[0], None
    if access != "transistor":
        others = 8 * np.where(rng.random((4, 60)) < 0.5, 40e-6, 1e-6)
    read = segment.circuit(memory, wires, 0.2, g, others)
    solution = read.crossbar.solve(read.inputs, read.bias)
    found = surroundings.source_of(read.crossbar, solution)
    source = [values[None] for values in vars(found).values()]
    seen = surroundings.Surroundings(np.ones(1), *source, None, None)
    for column in (0, 20, 58):
        for conductance in (1e-6, 8e-6, 60e-6):
            other = g.copy()
            other[column] = conductance
            changed = segment.circuit(memory, wires, 0.2, other, others)
            current = changed.crossbar.solve(read.inputs, read.bias).output_current[column]
            with np.errstate(
                divide="ignore", invalid="ignore"
            ):  # floating bit lines carry no current
                critical = seen.critical(memory, 0.2, current)[0, column]
            assert abs(critical - conductance) < tolerance * 60e-6


def test_critical_conductances_have_ends():
    """No cell carries a threshold that the source cannot, any carries one that leaks in anyhow."""
    memory = Memory()
    seen = surroundings.Surroundings(
        np.ones(1), *(np.array([[value]]) for value in (0.2, 3000.0, 1.0, 1e-6)), None, None
    )
    assert seen.critical(memory, 0.2, 0.9e-6)[0, 0] == -np.inf
    assert seen.critical(memory, 0.2, 90e-6)[0, 0] == np.inf
    assert seen.critical(memory, 0.2, 1e-3)[0, 0] == np.inf  # beyond what the channel can carry


def test_weights_undo_the_tilts_of_the_data():
    """Mean of what the row conducts and share of ones over weighted segments are those of plain data."""
    memory = Memory(columns=48, rows=8)
    found = surroundings.surroundings(memory, WIRES, IDEAL, seed=3, first=0, reads=700)
    share = found.weight / found.weight.sum()
    assert found.weight.mean() == pytest.approx(1, abs=0.15)
    assert found.level.mean() > 0.55  # most tilts are towards ones
    assert share @ (found.level == 1).mean(axis=1) == pytest.approx(0.5, abs=0.02)
    plain = segment.read_currents(memory, WIRES, IDEAL, 4, 200)[1]
    assert share @ found.current.mean(axis=1) == pytest.approx(plain.mean(), rel=0.03)
