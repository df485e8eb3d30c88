"""A segment of the dense crossbar: the circuit of a read, its currents, and what surrounds each
cell that is read.

One word line of a segment is selected, a comparator at the end of each sensed bit line (virtual
ground) tells the levels apart.  `read_currents` solves the segment exactly (`Crossbar`) for random
data and programmed cells:

transistor  the channels of unselected rows are open: what is left is the selected word line, its
cells in series with
            conducting transistors, and one bit line each.  Bit lines that are not sensed float.
selector,   every cell conducts.  Unselected word lines hold random data at the nominal levels;
`lumped_rows` neighbours
none        are joined into one (conductances added, wires in parallel): within 1 % of a bit line's
current, so take
            lumped_rows = 1 where half-selected cells outweigh the selected one.  A selector makes
            the cell current grow as sinh(V / v0), scaled so that a cell has its conductance at the
            read voltage.

bias        unselected word lines   bit lines not sensed
grounded    0 V                     floating
floating    floating                floating
half        V / 2                   V / 2
third       V / 3                   2 V / 3
"""

from dataclasses import dataclass

import numpy as np

from xbarsim.circuit import cells
from xbarsim.circuit.crossbar import Crossbar
from xbarsim.devices.streams import Streams

STRETCHES, PLACES = 32, 4  # of a word line, and cells of each that a read stands for
TILTS = (
    -2.0,
    0.0,
    2.0,
    4.0,
    6.0,
    8.0,
    10.0,
)  # standard deviations by which data lower the lowest voltage
BISECTIONS = 60
STORED, READ = 1000, 1001  # purposes of random streams, beyond those of devices/streams.py


def levels_of(device, bits_per_cell):
    """(2**bits_per_cell,) S, evenly spaced over the window."""
    return np.linspace(device.conductance_min, device.conductance_max, 2**bits_per_cell)


# ---------------------------------------------------------------- the circuit


def circuit(memory, wires, voltage, selected, unselected=None):
    """(Crossbar, word-line voltages, bit-line biases, index of the selected line) of one read;
    columns in their order.

    memory : config.Memory;  wires : config.Wires, source and sense resistance included
    selected : (columns,) S of the cells that are read, in the row farthest from the sensing
    unselected : (groups, columns) S of the other rows, the nearest to the selected one first, see
        `group_sizes`; None where transistors keep them open
    """
    columns, (r_word, r_bit) = len(selected), wires.resistances()
    idle = np.arange(columns) % memory.sensed_every != 0
    if unselected is None:
        g, lines, distance = selected[None], np.ones(1), np.array([float(memory.rows)])
    else:
        lines = np.concatenate([[1.0], group_sizes(memory)])
        middle = np.cumsum(lines) - (lines - 1) / 2 - 1  # row numbers from the far end
        g, distance = np.vstack([selected, unselected]), memory.rows - middle
    below = r_bit * -np.diff(np.append(distance, 0.0))  # to the next line, the last to the sensing
    share = {
        "grounded": (0, 0),
        "floating": (0, 0),
        "half": (1 / 2, 1 / 2),
        "third": (1 / 3, 2 / 3),
    }[memory.bias]
    inputs = np.full(len(g), share[0] * voltage)
    inputs[0] = voltage
    float_idle = unselected is None or share[1] == 0
    cell = access = None
    if memory.access == "selector":
        v0 = memory.selector_voltage_v
        cell, g = cells.Sinh(v0), g * (voltage / v0 / np.sinh(voltage / v0))
    elif memory.access == "transistor":
        access = cells.Transistor(memory.transistor_resistance_ohm, memory.transistor_overdrive_v)
    crossbar = Crossbar(
        g,
        r_word / lines,
        np.repeat(below[:, None], columns, axis=1),
        wires.source_resistance_ohm / lines,
        wires.sense_resistance_ohm,
        drive=memory.drive,
        cell=cell,
        access=access,
        floating_bit_lines=idle if float_idle else (),
        floating_word_lines=range(1, len(g)) if memory.bias == "floating" else (),
    )
    return crossbar, inputs, np.where(idle, share[1] * voltage, 0.0)


def group_sizes(memory):
    """Rows that are joined into each lumped word line."""
    full, rest = divmod(memory.rows - 1, memory.lumped_rows)
    return np.array([memory.lumped_rows] * full + [rest] * (rest > 0), dtype=float)


def read_currents(memory, wires, device, seed, reads, ones=0.5):
    """Currents of `reads` reads of freshly written segments.

    ones : share of the cells that store the highest level; the other levels are equally likely
        among the rest

    Returns
    -------
    level : (reads, sensed) int;  current : (reads, sensed) A;  position : (sensed,) column numbers
    """
    share = shares_of_levels(memory, ones)
    sensed = np.arange(memory.columns) % memory.sensed_every == 0
    level, current = [], []
    for read in range(reads):
        data, _, solution = _read(
            memory, wires, device, seed, read, share, np.tile(share, (memory.columns, 1))
        )
        level.append(data[sensed])
        current.append(solution.output_current[sensed])
    return np.array(level), np.array(current), np.flatnonzero(sensed)


def shares_of_levels(memory, ones):
    """(levels,) probabilities of stored levels: `ones` of the highest, the others alike."""
    count = 2**memory.bits_per_cell
    share = np.full(count, (1 - ones) / (count - 1))
    share[-1] = ones
    return share


def read_voltage(memory, device):
    """Volt on the selected word line."""
    return device.read_voltage if memory.read_voltage_v is None else memory.read_voltage_v


def _read(memory, wires, device, seed, read, share, row_share):
    """(levels of the selected row, Crossbar, Solution) of one read of a freshly written segment.

    share : (levels,) probabilities of levels of the unselected rows;  row_share : (columns,
        levels), of the selected one
    """
    device, g_level = device.without("levels"), levels_of(device, memory.bits_per_cell)
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(STORED, read)))
    data = (rng.random((memory.columns, 1)) >= np.cumsum(row_share, axis=1)[:, :-1]).sum(axis=1)
    written = device.program(g_level[data][None], Streams(seed, STORED, read))
    sigma = device.read_noise_sigma(written, Streams(seed, READ, read))[0]
    g = np.maximum(written.conductance[0] + sigma * rng.standard_normal(memory.columns), 0)
    others = None
    if memory.access != "transistor":
        others = np.array(
            [
                rng.multinomial(int(size), share, memory.columns) @ g_level
                for size in group_sizes(memory)
            ]
        )
        others = others.reshape(-1, memory.columns)
    crossbar, inputs, bias = circuit(memory, wires, read_voltage(memory, device), g, others)
    return data, crossbar, crossbar.solve(inputs, bias, tolerance=1e-9)


# ---------------------------------------------------------------- what surrounds the cell that is read


@dataclass(frozen=True)
class Surroundings:
    """What cells of the selected row see of drawn segments: a source for each, and what else
    reaches its bit line.

    weight : (reads,), of each segment in a mean
    voltage, resistance : (reads, places) V, ohm, of the source
    arriving, leak : the same, share of the cell's current that is sensed, and A that is sensed
        beside it
    level, current : the same, what was stored, and A that was sensed
    """

    weight: np.ndarray
    voltage: np.ndarray
    resistance: np.ndarray
    arriving: np.ndarray
    leak: np.ndarray
    level: np.ndarray
    current: np.ndarray

    def part(self, reads, every):
        """Those of the first segments, at one in `every` places."""
        fields = (getattr(self, field)[:reads] for field in self.__dataclass_fields__)
        return Surroundings(*(field if field.ndim == 1 else field[:, ::every] for field in fields))

    def joined(self, other):
        return Surroundings(
            *(
                np.concatenate([getattr(self, field), getattr(other, field)])
                for field in self.__dataclass_fields__
            )
        )

    def critical(self, memory, voltage, threshold):
        """(reads, places) S of a cell whose bit line carries `threshold` (A): infinite where none
        does, negative where all
        do.  voltage : V of the read, at which a selector's cell has its conductance."""
        current = (threshold - self.leak) / self.arriving
        across = self.voltage - self.resistance * current
        if memory.access == "transistor":
            overdrive = memory.transistor_overdrive_v
            left = (
                1 - 2 * memory.transistor_resistance_ohm * current / overdrive
            )  # of the square below, if not saturated
            channel = overdrive * (1 - np.sqrt(np.maximum(left, 0.0)))
            across = np.where(left > 0, across - channel, -1.0)
        reached = across > 0
        drop = np.where(reached, across, 1.0)
        if memory.access == "selector":
            v0 = memory.selector_voltage_v
            drop = voltage / np.sinh(voltage / v0) * np.sinh(drop / v0)
        return np.where(current <= 0, -np.inf, np.where(reached, current / drop, np.inf))

    def current_of(self, memory, voltage, conductance):
        """(reads, places) A that are sensed of a cell of `conductance` (S): `critical` turned
        round, by bisection.
        """
        low, high = (
            self.leak,
            self.leak + self.arriving * self.voltage / np.maximum(self.resistance, 1.0),
        )
        for _ in range(BISECTIONS):
            middle = (low + high) / 2
            more = self.critical(memory, voltage, middle) < conductance
            low, high = np.where(more, middle, low), np.where(more, high, middle)
        return (low + high) / 2


def surroundings(memory, wires, device, seed, first, reads, ones=0.5):
    """Surroundings of the cells at `places_of`, in the segments number `first` to `first` +
    `reads`.
    """
    share, g_level = shares_of_levels(memory, ones), levels_of(device, memory.bits_per_cell)
    direction = data_direction(memory, wires, device, share @ g_level)
    spread = np.sqrt((direction @ direction) * (share @ g_level**2 - (share @ g_level) ** 2))
    tilt = np.multiply.outer(np.array(TILTS) / spread, direction)  # (tilts, columns), per siemens
    tilted = share * np.exp(tilt[..., None] * g_level)
    growth = tilted.sum(axis=-1)
    parts = []
    for read in range(first, first + reads):
        chosen = tilted[read % len(TILTS)] / growth[read % len(TILTS)][:, None]
        data, crossbar, solution = _read(memory, wires, device, seed, read, share, chosen)
        likelihood = tilt @ g_level[data] - np.log(growth).sum(
            axis=1
        )  # log of tilted over plain data
        weight = np.exp(-np.logaddexp.reduce(likelihood)) * len(TILTS)
        places = places_of(memory, seed, read)
        parts.append(
            (
                weight,
                *(values[places] for values in source_of(crossbar, solution)),
                data[places],
                solution.output_current[places],
            )
        )
    return Surroundings(*(np.array(part) for part in zip(*parts, strict=True)))


def data_direction(memory, wires, device, conductance):
    """(columns,) how much a siemens more in each cell of the row lowers the lowest voltage of a
    cell, in any unit.
    """
    others = None
    if memory.access != "transistor":
        others = np.multiply.outer(group_sizes(memory), np.full(memory.columns, conductance))
    row = np.full(memory.columns, conductance)
    crossbar, inputs, bias = circuit(memory, wires, read_voltage(memory, device), row, others)
    solution = crossbar.solve(inputs, bias, tolerance=1e-9)
    load, sensed = (
        _branches(crossbar, solution)[0],
        np.arange(0, memory.columns, memory.sensed_every),
    )
    worst = sensed[np.argmin(source_of(crossbar, solution)[0][sensed])]
    between = 1 / np.maximum(crossbar.word_segments[0], 1e-6)
    nodes = (
        np.diag(load + between[:-1] + between[1:])
        - np.diag(between[1:-1], 1)
        - np.diag(between[1:-1], -1)
    )
    reaching = np.linalg.solve(nodes, np.eye(memory.columns)[worst])
    return reaching / reaching.max() * (load / load.max()) ** 2 * solution.word_line_voltage[0]


def places_of(memory, seed, read):
    """(stretches * PLACES,) numbers of sensed columns, drawn from as many equal parts of the word
    line.
    """
    sensed = np.arange(0, memory.columns, memory.sensed_every)
    count = PLACES * min(STRETCHES, len(sensed))
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(STORED, read, PLACES)))
    return sensed[((np.arange(count) + rng.random(count)) * len(sensed) / count).astype(int)]


def source_of(crossbar, solution):
    """(voltage, resistance, arriving, leak), each (columns,): what every cell of the first row
    sees, see `Surroundings`.

    Other cells count with their slopes: exact where unselected rows do not conduct, and to first
    order in the wires of the unselected rows where they do.
    """
    across = solution.word_line_voltage[0] - solution.bit_line_voltage[0]
    load, below, arriving = _branches(crossbar, solution)
    resistance = _along(crossbar.word_segments[:1], load[None])[0] + below
    current = solution.cell_current[0]
    with np.errstate(invalid="ignore"):  # bit lines that float have no source
        voltage = across + resistance * current
    return voltage, resistance, arriving, solution.output_current - arriving * current


def _branches(crossbar, solution):
    """What hangs at the nodes of the first word line, each (columns,).

    load : S of cell and bit line;  below : ohm of the bit line alone;  arriving : share of a cell's
        current that is sensed
    """
    slope = crossbar.conductance
    if not crossbar.ohmic:
        limit = abs(solution.terminal_voltage).max()
        slope = cells.evaluator(crossbar.cell, crossbar.access, slope, limit)(
            solution.cell_voltage
        )[1]
    with np.errstate(divide="ignore"):
        other = 1 / (1 / slope + _along(crossbar.word_segments, slope))
    below, arriving = (
        crossbar.bit_segments[-1],
        np.isfinite(crossbar.bit_segments[-1]).astype(float),
    )
    for row in range(len(slope) - 1, 0, -1):  # from the sensing towards the first row
        with np.errstate(divide="ignore"):
            down = np.where(below > 0, 1 / below, np.inf)
        total = down + other[row]
        arriving = arriving * np.where(np.isinf(down), 1.0, down / total)
        below = crossbar.bit_segments[row] + 1 / total
    with np.errstate(divide="ignore"):
        return 1 / (1 / slope[0] + below), below, arriving


def _along(segments, load):
    """(lines, columns) ohm: from each node of lines towards all their terminals, without its own
    load.

    segments : (lines, columns + 1) ohm, infinite at open ends;  load : (lines, columns) S
    """
    left = _from_first(segments[:, :-1], load)
    right = _from_first(segments[:, :0:-1], load[:, ::-1])[:, ::-1]
    with np.errstate(divide="ignore"):
        return 1 / (1 / left + 1 / right)


def _from_first(segments, load):
    """(lines, columns) ohm: from each node towards the first terminal, past the loads of the nodes
    before.
    """
    seen, resistance = np.empty(load.shape), np.zeros(len(load))
    with np.errstate(divide="ignore"):
        for column in range(load.shape[1]):
            resistance = resistance + segments[:, column]
            seen[:, column] = resistance
            resistance = 1 / (load[:, column] + 1 / resistance)
    return seen
