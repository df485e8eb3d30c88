"""A segment of the dense crossbar: the circuit of a read, and its currents.

One word line of a segment is selected, a comparator at the end of each sensed bit line (virtual
ground) tells the levels apart.  `read_currents` solves the segment exactly (`Crossbar`) for random
data and programmed cells:

transistor      the channels of unselected rows are open: what is left is the selected word line,
                its cells in series with conducting transistors, and one bit line each.  Bit lines
                that are not sensed float.
selector, none  every cell conducts.  Unselected word lines hold random data at the nominal levels;
                `lumped_rows` neighbours are joined into one (conductances added, wires in
                parallel): within 1 % of a bit line's current, so take lumped_rows = 1 where
                half-selected cells outweigh the selected one.  A selector makes the cell current
                grow as sinh(V / v0), scaled so that a cell has its conductance at the read voltage.

bias        unselected word lines   bit lines not sensed
grounded    0 V                     floating
floating    floating                floating
half        V / 2                   V / 2
third       V / 3                   2 V / 3
"""

from dataclasses import dataclass

import numpy as np

from xbarsim.base.array_types import Floats, Integers
from xbarsim.circuit import cells
from xbarsim.circuit.crossbar import Crossbar
from xbarsim.circuit.solution import Solution
from xbarsim.config.synergy import Memory
from xbarsim.config.wires import Wires
from xbarsim.devices.model import DeviceModel
from xbarsim.devices.streams import Streams

# Purposes of random streams, beyond those of devices/streams.py.
STORED = 1000
READ = 1001
TOLERANCE = 1e-9  # of the solution of a segment


@dataclass(frozen=True)
class Bias:
    """Voltages beside the selected lines, over the read voltage."""

    word_lines: float
    bit_lines: float


BIASES = {
    "grounded": Bias(0.0, 0.0),
    "floating": Bias(0.0, 0.0),
    "half": Bias(1 / 2, 1 / 2),
    "third": Bias(1 / 3, 2 / 3),
}


@dataclass(frozen=True)
class Circuit:
    """One read of a segment; columns in their order, the selected row first.

    inputs : V of the word lines;  bias : V of the bit lines
    """

    crossbar: Crossbar
    inputs: Floats
    bias: Floats

    def solve(self) -> Solution:
        """The solved segment."""
        return self.crossbar.solve(self.inputs, self.bias, tolerance=TOLERANCE)


@dataclass(frozen=True)
class Read:
    """A read of a freshly written segment; level : (columns,) of the selected row."""

    level: Integers
    crossbar: Crossbar
    solution: Solution


def levels_of(device: DeviceModel, bits_per_cell: int) -> Floats:
    """(2**bits_per_cell,) S, evenly spaced over the window."""
    return np.linspace(device.conductance_min, device.conductance_max, 2**bits_per_cell)


def read_voltage(memory: Memory, device: DeviceModel) -> float:
    """Volt on the selected word line."""
    if memory.read_voltage_v is None:
        return float(device.read_voltage)
    return memory.read_voltage_v


def group_sizes(memory: Memory) -> Floats:
    """Rows that are joined into each lumped word line."""
    full, rest = divmod(memory.rows - 1, memory.lumped_rows)
    return np.array([memory.lumped_rows] * full + [rest] * (rest > 0), dtype=float)


def sensed_columns(memory: Memory) -> Integers:
    """Numbers of the bit lines that a read senses."""
    return np.arange(0, memory.columns, memory.sensed_every)


def circuit(
    memory: Memory,
    wires: Wires,
    voltage: float,
    selected: Floats,
    unselected: Floats | None = None,
) -> Circuit:
    """Circuit of one read.

    wires : source and sense resistance included
    selected : (columns,) S of the cells that are read, in the row farthest from the sensing
    unselected : (groups, columns) S of the other rows, the nearest to the selected one first, see
        `group_sizes`; None where transistors keep them open
    """
    columns = len(selected)
    r_word, r_bit = wires.resistances()
    idle = np.arange(columns) % memory.sensed_every != 0
    if unselected is None:
        g = selected[None]
        lines = np.ones(1)
        distance = np.array([float(memory.rows)])
    else:
        g = np.vstack([selected, unselected])
        lines = np.concatenate([[1.0], group_sizes(memory)])
        middle = np.cumsum(lines) - (lines - 1) / 2 - 1  # row numbers from the far end
        distance = memory.rows - middle
    below = r_bit * -np.diff(np.append(distance, 0.0))  # to the next line, the last to the sensing
    bias = BIASES[memory.bias]
    inputs = np.full(len(g), bias.word_lines * voltage)
    inputs[0] = voltage
    idle_lines_float = unselected is None or bias.bit_lines == 0
    cell = None
    access = None
    if memory.access == "selector":
        v0 = memory.selector_voltage_v
        cell = cells.Sinh(v0)
        g = g * (voltage / v0 / np.sinh(voltage / v0))
    elif memory.access == "transistor":
        access = cells.Transistor(memory.transistor_resistance_ohm, memory.transistor_overdrive_v)
    crossbar = Crossbar(
        g,
        word_line_resistance=r_word / lines,
        bit_line_resistance=np.repeat(below[:, None], columns, axis=1),
        source_resistance=wires.source_resistance_ohm / lines,
        sense_resistance=wires.sense_resistance_ohm,
        drive=memory.drive,
        cell=cell,
        access=access,
        floating_bit_lines=idle if idle_lines_float else (),
        floating_word_lines=range(1, len(g)) if memory.bias == "floating" else (),
    )
    return Circuit(crossbar, inputs, np.where(idle, bias.bit_lines * voltage, 0.0))


def shares_of_levels(memory: Memory, ones: float) -> Floats:
    """(levels,) probabilities of stored levels: `ones` of the highest, the others alike."""
    count = 2**memory.bits_per_cell
    share = np.full(count, (1 - ones) / (count - 1))
    share[-1] = ones
    return share


def read_currents(
    memory: Memory,
    wires: Wires,
    device: DeviceModel,
    seed: int,
    reads: int,
    ones: float = 0.5,
) -> tuple[Integers, Floats, Integers]:
    """Currents of `reads` reads of freshly written segments.

    ones : share of the cells that store the highest level; the other levels are equally likely
        among the rest

    Returns
    -------
    level : (reads, sensed);  current : (reads, sensed) A;  position : (sensed,) column numbers
    """
    share = shares_of_levels(memory, ones)
    of_columns = np.tile(share, (memory.columns, 1))
    sensed = sensed_columns(memory)
    level = []
    current = []
    for number in range(reads):
        read = read_segment(
            memory,
            wires,
            device,
            seed=seed,
            number=number,
            share=share,
            row_share=of_columns,
        )
        level.append(read.level[sensed])
        current.append(read.solution.output_current[sensed])
    return np.array(level), np.array(current), sensed


def read_segment(
    memory: Memory,
    wires: Wires,
    device: DeviceModel,
    *,
    seed: int,
    number: int,
    share: Floats,
    row_share: Floats,
) -> Read:
    """One read of a freshly written segment, whose number names the random streams.

    share : (levels,) probabilities of levels of the unselected rows
    row_share : (columns, levels), of the selected one
    """
    g_level = levels_of(device, memory.bits_per_cell)
    without_levels = device.without("levels")
    generator = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(STORED, number)))
    draw = generator.random((memory.columns, 1))
    level = (draw >= np.cumsum(row_share, axis=1)[:, :-1]).sum(axis=1)
    written = without_levels.program(g_level[level][None], Streams(seed, STORED, number))
    sigma = without_levels.read_noise_sigma(written, Streams(seed, READ, number))[0]
    noise = sigma * generator.standard_normal(memory.columns)
    g = np.maximum(written.conductance[0] + noise, 0)
    others = None
    if memory.access != "transistor":
        drawn = [
            generator.multinomial(int(size), share, memory.columns) @ g_level
            for size in group_sizes(memory)
        ]
        others = np.array(drawn).reshape(-1, memory.columns)
    voltage = read_voltage(memory, without_levels)
    read = circuit(memory, wires, voltage, g, others)
    return Read(level, read.crossbar, read.solve())
