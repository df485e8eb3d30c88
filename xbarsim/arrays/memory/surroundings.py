"""What surrounds each cell that a read of the dense memory reads."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from xbarsim.arrays.memory.segment import (
    STORED,
    circuit,
    group_sizes,
    levels_of,
    read_segment,
    read_voltage,
    sensed_columns,
    shares_of_levels,
)
from xbarsim.base.array_types import Floats, Integers
from xbarsim.circuit import cells
from xbarsim.circuit.crossbar import Crossbar
from xbarsim.circuit.solution import Solution
from xbarsim.config.synergy import Memory
from xbarsim.config.wires import Wires
from xbarsim.devices.model import DeviceModel

STRETCHES = 32  # of a word line
PLACES = 4  # cells of each that a read stands for
# Standard deviations by which data lower the lowest voltage.
TILTS = (-2.0, 0.0, 2.0, 4.0, 6.0, 8.0, 10.0)
BISECTIONS = 60


@dataclass(frozen=True)
class Surroundings:
    """What cells of the selected row see of drawn segments: a source for each, and what else
    reaches its bit line.

    weight : (reads,), of each segment in a mean
    voltage, resistance : (reads, places) V, ohm, of the source
    arriving, leak : (reads, places) share of the cell's current that is sensed, and A that is
        sensed beside it
    level, current : (reads, places) what was stored, and A that was sensed
    """

    weight: Floats
    voltage: Floats
    resistance: Floats
    arriving: Floats
    leak: Floats
    level: Integers
    current: Floats

    def part(self, reads: int, every: int) -> Surroundings:
        """Those of the first segments, at one in `every` places."""
        return Surroundings(
            weight=self.weight[:reads],
            voltage=self.voltage[:reads, ::every],
            resistance=self.resistance[:reads, ::every],
            arriving=self.arriving[:reads, ::every],
            leak=self.leak[:reads, ::every],
            level=self.level[:reads, ::every],
            current=self.current[:reads, ::every],
        )

    def joined(self, other: Surroundings) -> Surroundings:
        """These segments and then those of another."""
        return Surroundings(
            weight=np.concatenate([self.weight, other.weight]),
            voltage=np.concatenate([self.voltage, other.voltage]),
            resistance=np.concatenate([self.resistance, other.resistance]),
            arriving=np.concatenate([self.arriving, other.arriving]),
            leak=np.concatenate([self.leak, other.leak]),
            level=np.concatenate([self.level, other.level]),
            current=np.concatenate([self.current, other.current]),
        )

    def critical(self, memory: Memory, voltage: float, threshold: float | Floats) -> Floats:
        """(reads, places) S of a cell whose bit line carries `threshold` (A): infinite where none
        does, negative where all do.

        voltage : V of the read, at which a selector's cell has its conductance
        """
        current = (threshold - self.leak) / self.arriving
        across = self.voltage - self.resistance * current
        if memory.access == "transistor":
            overdrive = memory.transistor_overdrive_v
            # Of the square below, if not saturated.
            left = 1 - 2 * memory.transistor_resistance_ohm * current / overdrive
            channel = overdrive * (1 - np.sqrt(np.maximum(left, 0.0)))
            across = np.where(left > 0, across - channel, -1.0)
        reached = across > 0
        drop = np.where(reached, across, 1.0)
        if memory.access == "selector":
            v0 = memory.selector_voltage_v
            drop = voltage / np.sinh(voltage / v0) * np.sinh(drop / v0)
        return np.where(current <= 0, -np.inf, np.where(reached, current / drop, np.inf))

    def current_of(self, memory: Memory, voltage: float, conductance: float) -> Floats:
        """(reads, places) A that are sensed of a cell of `conductance` (S): `critical` turned
        round, by bisection.
        """
        low = self.leak
        high = self.leak + self.arriving * self.voltage / np.maximum(self.resistance, 1.0)
        for _ in range(BISECTIONS):
            middle = (low + high) / 2
            more = self.critical(memory, voltage, middle) < conductance
            low = np.where(more, middle, low)
            high = np.where(more, high, middle)
        return (low + high) / 2


@dataclass(frozen=True)
class Sources:
    """What every cell of the first row sees, each (columns,), see `Surroundings`."""

    voltage: Floats
    resistance: Floats
    arriving: Floats
    leak: Floats


@dataclass(frozen=True)
class Branches:
    """What hangs at the nodes of the first word line, each (columns,).

    load : S of cell and bit line
    below : ohm of the bit line alone
    arriving : share of a cell's current that is sensed
    """

    load: Floats
    below: Floats
    arriving: Floats


def surroundings(
    memory: Memory,
    wires: Wires,
    device: DeviceModel,
    *,
    seed: int,
    first: int,
    reads: int,
    ones: float = 0.5,
) -> Surroundings:
    """Surroundings of the cells at `places_of`, in the segments number `first` to `first` +
    `reads`; ones : see `segment.read_currents`.
    """
    share = shares_of_levels(memory, ones)
    g_level = levels_of(device, memory.bits_per_cell)
    mean = float(share @ g_level)
    direction = data_direction(memory, wires, device, mean)
    spread = np.sqrt((direction @ direction) * (share @ g_level**2 - mean**2))
    tilt = np.multiply.outer(np.array(TILTS) / spread, direction)  # (tilts, columns), per siemens
    tilted = share * np.exp(tilt[..., None] * g_level)
    growth = tilted.sum(axis=-1)
    log_growth = np.log(growth).sum(axis=1)
    parts = []
    for number in range(first, first + reads):
        chosen = number % len(TILTS)
        row_share = tilted[chosen] / growth[chosen][:, None]
        read = read_segment(
            memory,
            wires,
            device,
            seed=seed,
            number=number,
            share=share,
            row_share=row_share,
        )
        likelihood = tilt @ g_level[read.level] - log_growth  # log of tilted over plain data
        weight = np.exp(-np.logaddexp.reduce(likelihood)) * len(TILTS)
        places = places_of(memory, seed, number)
        sources = source_of(read.crossbar, read.solution)
        part = Surroundings(
            weight=np.array([weight]),
            voltage=sources.voltage[places][None],
            resistance=sources.resistance[places][None],
            arriving=sources.arriving[places][None],
            leak=sources.leak[places][None],
            level=read.level[places][None],
            current=read.solution.output_current[places][None],
        )
        parts.append(part)
    return _all_of(parts)


def _all_of(parts: list[Surroundings]) -> Surroundings:
    """Surroundings one after the other."""
    return Surroundings(
        weight=np.concatenate([part.weight for part in parts]),
        voltage=np.concatenate([part.voltage for part in parts]),
        resistance=np.concatenate([part.resistance for part in parts]),
        arriving=np.concatenate([part.arriving for part in parts]),
        leak=np.concatenate([part.leak for part in parts]),
        level=np.concatenate([part.level for part in parts]),
        current=np.concatenate([part.current for part in parts]),
    )


def data_direction(memory: Memory, wires: Wires, device: DeviceModel, conductance: float) -> Floats:
    """(columns,) how much a siemens more in each cell of the row lowers the lowest voltage of a
    cell, in any unit.

    conductance : S of all cells
    """
    others = None
    if memory.access != "transistor":
        others = np.multiply.outer(group_sizes(memory), np.full(memory.columns, conductance))
    row = np.full(memory.columns, conductance)
    read = circuit(memory, wires, read_voltage(memory, device), row, others)
    solution = read.solve()
    load = _branches(read.crossbar, solution).load
    sensed = sensed_columns(memory)
    worst = sensed[np.argmin(source_of(read.crossbar, solution).voltage[sensed])]
    between = 1 / np.maximum(read.crossbar.word_segments[0], 1e-6)
    own = np.diag(load + between[:-1] + between[1:])
    nodes = own - np.diag(between[1:-1], 1) - np.diag(between[1:-1], -1)
    reaching = np.linalg.solve(nodes, np.eye(memory.columns)[worst])
    relative_load = (load / load.max()) ** 2
    lowered: Floats = reaching / reaching.max() * relative_load * solution.word_line_voltage[0]
    return lowered


def places_of(memory: Memory, seed: int, number: int) -> Integers:
    """(stretches * PLACES,) numbers of sensed columns, drawn from as many equal parts of the word
    line; number : of the read.
    """
    sensed = sensed_columns(memory)
    count = PLACES * min(STRETCHES, len(sensed))
    key = (STORED, number, PLACES)
    generator = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))
    place = (np.arange(count) + generator.random(count)) * len(sensed) / count
    places: Integers = sensed[place.astype(int)]
    return places


def source_of(crossbar: Crossbar, solution: Solution) -> Sources:
    """Sources of the cells of the first row.

    Other cells count with their slopes: exact where unselected rows do not conduct, and to first
    order in the wires of the unselected rows where they do.
    """
    across = solution.word_line_voltage[0] - solution.bit_line_voltage[0]
    branches = _branches(crossbar, solution)
    along = _along(crossbar.word_segments[:1], branches.load[None])[0]
    resistance = along + branches.below
    current = solution.cell_current[0]
    with np.errstate(invalid="ignore"):  # bit lines that float have no source
        voltage = across + resistance * current
    return Sources(
        voltage=voltage,
        resistance=resistance,
        arriving=branches.arriving,
        leak=solution.output_current - branches.arriving * current,
    )


def _branches(crossbar: Crossbar, solution: Solution) -> Branches:
    """Branches at the nodes of the first word line."""
    slope = crossbar.conductance
    if not crossbar.ohmic:
        limit = abs(solution.terminal_voltage).max()
        evaluate = cells.evaluator(crossbar.cell, crossbar.access, slope, limit)
        slope = evaluate(solution.cell_voltage)[1]
    with np.errstate(divide="ignore"):
        other = 1 / (1 / slope + _along(crossbar.word_segments, slope))
    below = crossbar.bit_segments[-1]
    arriving = np.isfinite(crossbar.bit_segments[-1]).astype(float)
    for row in range(len(slope) - 1, 0, -1):  # from the sensing towards the first row
        with np.errstate(divide="ignore"):
            down = np.where(below > 0, 1 / below, np.inf)
        total = down + other[row]
        arriving = arriving * np.where(np.isinf(down), 1.0, down / total)
        below = crossbar.bit_segments[row] + 1 / total
    with np.errstate(divide="ignore"):
        load = 1 / (1 / slope[0] + below)
    return Branches(load, below, arriving)


def _along(segments: Floats, load: Floats) -> Floats:
    """(lines, columns) ohm: from each node of lines towards all their terminals, without its own
    load.

    segments : (lines, columns + 1) ohm, infinite at open ends;  load : (lines, columns) S
    """
    left = _from_first(segments[:, :-1], load)
    right = _from_first(segments[:, :0:-1], load[:, ::-1])[:, ::-1]
    with np.errstate(divide="ignore"):
        both: Floats = 1 / (1 / left + 1 / right)
    return both


def _from_first(segments: Floats, load: Floats) -> Floats:
    """(lines, columns) ohm: from each node towards the first terminal, past the loads of the nodes
    before.
    """
    seen = np.empty(load.shape)
    resistance = np.zeros(len(load))
    with np.errstate(divide="ignore"):
        for column in range(load.shape[1]):
            resistance = resistance + segments[:, column]
            seen[:, column] = resistance
            resistance = 1 / (load[:, column] + 1 / resistance)
    return seen
