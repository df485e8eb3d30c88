"""Counted events become joules, square metres and seconds.

`roll_up` is a model on a chip at one batch and sequence length; `peak` is a chip working flat out,
the way architecture papers state power and area.
"""

import math
from dataclasses import dataclass, replace

from xbarsim.base.errors import ConfigError, OutOfRangeError
from xbarsim.base.units import MICROSIEMENS, MILLI, NANO, SQUARE_MILLIMETRE
from xbarsim.chips import lowering
from xbarsim.chips.assumptions import assumptions
from xbarsim.chips.chip import load_chip, mean_read_energy
from xbarsim.chips.components import cell_read_energy
from xbarsim.chips.lowering_in_situ import unit_product
from xbarsim.chips.plans import Plan
from xbarsim.chips.schedule import Stage, schedule
from xbarsim.models.shapes import load_shape, operations

NOT_RUNNING = (
    "cell-write",
    "dram",
)  # roles left out of peak power: they do not work while the arrays are read
STATIC = "static"


@dataclass(frozen=True)
class RollUp:
    """A model on a chip.  Energies, events and area-delay product are per inference (one sequence).

    energy : {(role, stage): J};  events : {(role, stage): actions}
    area : m², all chips;  latency : s until the whole batch is done;  interval : s between
        sequences in steady state
    area_by_role : {role: m²};  macs : per sequence;  programming_energy : J to put the model on the
        chips once, None where nothing is programmed
    read_energy : where the energy of array reads comes from;  notes, assumed : what a reader must
        know
    """

    chip: str
    model: str
    sequence: int
    batch: int
    energy: dict
    events: dict
    area: float
    area_by_role: dict
    latency: float
    interval: float
    macs: float
    chips: int
    copies: dict
    utilisation: float | None
    replication: int
    programming_energy: float | None
    read_energy: str
    notes: tuple
    assumed: tuple

    @property
    def joules(self):
        return math.fsum(self.energy.values())

    @property
    def energy_per_token(self):
        return self.joules / self.sequence

    @property
    def time_per_sequence(self):
        return self.latency / self.batch

    @property
    def area_delay(self):
        """m² s: area times the time of one sequence of the batch."""
        return self.area * self.time_per_sequence

    @property
    def operations_per_second(self):
        """Two per multiply-accumulate."""
        return 2 * self.macs / self.time_per_sequence

    @property
    def operations_per_joule(self):
        return 2 * self.macs / self.joules

    @property
    def power(self):
        return self.joules / self.time_per_sequence

    def by_component(self):
        """{role: J}, largest first."""
        return self._grouped(lambda key: key[0])

    def by_layer(self):
        """{layer number, or "input", "result", "static": J} in order."""
        return dict(
            sorted(
                self._grouped(lambda key: _layer(key[1])).items(),
                key=lambda item: (len(item[0]), item[0]),
            )
        )

    def by_step(self):
        """{step, such as query: J}, summed over layers, largest first."""
        return self._grouped(
            lambda key: key[1].split(".", 2)[-1] if key[1].startswith("layer.") else key[1]
        )

    def _grouped(self, name):
        found = {}
        for key, joule in self.energy.items():
            found[name(key)] = found.get(name(key), 0.0) + joule
        return dict(sorted(found.items(), key=lambda item: -item[1]))


def _layer(stage):
    return stage.split(".")[1] if stage.startswith("layer.") else stage


def roll_up(description, model, sequence, batch, *, shape=None, read_energy=None, lowered=None):
    """RollUp of a model on a chip.

    Parameters
    ----------
    description : chip.Description
    model : name of data/models.toml or checkpoint directory (only a label where `shape` is given)
    read_energy : {matrix: J per token} of a trace's circuit solve; the mean conductance or the
        component otherwise
    lowered : Lowered of a chip that differs in prices alone, to spare the time

    Raises
    ------
    ConfigError, OutOfRangeError : unknown model, less than one token or sequence, a model that the
        chip cannot hold, a figure that is no number
    """
    if sequence < 1 or batch < 1:
        raise OutOfRangeError(
            f"sequence = {sequence} tokens and batch = {batch} sequences must both be at least 1"
        )
    shape = load_shape(model) if shape is None else shape
    assumed = tuple(assumption.label for assumption in assumptions(description))
    beyond = (
        ()
        if shape.positions is None or sequence <= shape.positions
        else (
            f"{sequence} tokens are more than the {shape.positions} positions of the model: figures of its layers alone",
        )
    )
    if description.chip.kind == "processor":
        return _processor(description, model, shape, sequence, batch, assumed, beyond)
    chip = description.chip
    if lowered is None:
        lowered = lower_and_schedule(description, shape, sequence, batch)
    plan, latency = lowered.plan, lowered.latency
    share = plan.jobs / batch  # of a stage's events that one sequence pays for
    prices, source = _prices(chip)
    energy, events = {}, {}
    for stage in lowered.stages:
        for role, count in stage.events.items():
            joules = count * prices[role]
            if role in ("array", "cell") and read_energy and stage.name in read_energy:
                joules = read_energy[stage.name] * stage.tokens
            energy[role, stage.name] = joules * share
            events[role, stage.name] = count * share
    areas, static = {}, 0.0
    for part, component in chip.parts:
        count = chip.part_count(part) * plan.copies[part.level]
        areas[part.role] = areas.get(part.role, 0.0) + count * component.area
        running = 0.0 if part.role in NOT_RUNNING else component.peak_power - component.leakage
        static += count * (component.leakage + chip.idle_fraction * running)
    if static:
        energy["leakage", STATIC] = static * latency / batch
    if read_energy:
        source = "circuit solve of the trace (cells and wires)"
    result = RollUp(
        chip=description.name,
        model=str(model),
        sequence=sequence,
        batch=batch,
        energy=energy,
        events=events,
        area=math.fsum(areas.values()),
        area_by_role=areas,
        latency=latency,
        interval=lowered.interval,
        macs=_macs(shape, sequence),
        chips=plan.chips,
        copies=plan.copies,
        utilisation=plan.utilisation,
        replication=plan.replication,
        programming_energy=plan.programming_pulses * prices["cell-write"],
        read_energy=source,
        notes=(*beyond, *plan.notes),
        assumed=assumed,
    )
    return checked(result)


@dataclass(frozen=True)
class Lowered:
    """A model lowered to a chip and scheduled: all that the prices of components do not change.

    latency : s until the whole batch is done;  interval : s between sequences in steady state
    stages : of the plan, or one that stands for all of them
    """

    plan: Plan
    latency: float
    interval: float
    stages: tuple

    def merged(self):
        """The same with one stage "all" that has the events of all: enough for a figure of the
        whole.
        """
        events = {}
        for stage in self.stages:
            for role, count in stage.events.items():
                events[role] = events.get(role, 0.0) + count
        every = Stage("all", 0, 1, 0.0, 0.0, "all", (), events)
        return replace(self, stages=(every,))


def lower_and_schedule(description, shape, sequence, batch):
    """Lowered of a model on an in-situ or synergy chip."""
    plan = lowering.lower(description.chip, shape, sequence, batch)
    timing = schedule(plan.stages)
    latency = timing.of(plan.jobs)
    interval = latency / batch
    if plan.jobs > 1:
        interval = timing.interval * plan.jobs / batch
    return Lowered(plan, latency, interval, plan.stages)


def checked(result):
    """The RollUp, whose area, times and energies must be numbers.

    Raises
    ------
    OutOfRangeError : infinity or NaN; names the figure and what it is made of
    """
    named = {
        "area (m²)": result.area,
        "latency (s)": result.latency,
        "interval (s)": result.interval,
        "energy (J)": result.joules,
        "programming energy (J)": result.programming_energy or 0.0,
    }
    named |= {f"area of {role} (m²)": area for role, area in result.area_by_role.items()}
    for (role, stage), joules in result.energy.items():
        named[f"energy of {role} in {stage} (J)"] = joules
    wrong = [f"{name} = {value}" for name, value in named.items() if not math.isfinite(value)]
    if wrong:
        raise OutOfRangeError(
            f"{result.chip} on {result.model}: {', '.join(wrong[:3])} is no number; look at the "
            "components and counts behind it, which are too large or too small to multiply"
        )
    return result


def _macs(shape, sequence):
    return sequence * sum(op.macs for op in operations(shape, sequence))


def _prices(chip):
    """({role: J per event}, where the energy of array reads comes from)."""
    prices = {part.role: component.energy for part, component in chip.parts}
    if chip.kind == "synergy":
        c = chip.computation
        conducting = c.rows_per_conversion * c.bit_lines_conducting * c.activity**2
        time = max(c.settle_ns * NANO, chip.by_role["adc"][1].delay)
        prices["cell"] = conducting * cell_read_energy(
            c.conductance_us * MICROSIEMENS, c.voltage_v, time
        )
        return prices, f"mean conductance of {c.conductance_us:g} µS"
    if chip.cell.read_energy == "component":
        return prices, f"component {chip.by_role['array'][1].name}"
    prices["cell"] = mean_read_energy(chip)
    return prices, f"mean conductance of {chip.cell.mean_conductance_us:g} µS"


# ---------------------------------------------------------------- processors


def _processor(description, model, shape, sequence, batch, assumed, beyond):
    """A GPU or TPU: measured latency where there is one, otherwise the rate that it reached on the
    nearest amounts of work of the same model, or of any model if that one was not measured (log-log
    interpolation, held at the ends).
    """
    chip = description.chip
    macs = _macs(shape, sequence)
    latency, note = _processor_latency(chip, model, macs, sequence, batch)
    energy = chip.power_w * chip.power_fraction * latency / batch
    chips = max(
        1,
        math.ceil(
            shape.matrix_weights
            * (1 if chip.precision == "int8" else 2)
            / (chip.memory_gib * 2**30)
        ),
    )
    if chips > 1:
        note += f"; {chips} chips for the weights, taken to share the work without loss"
        latency /= chips
    stages = {op.name: op.macs for op in operations(shape, sequence) if op.macs}
    total = sum(stages.values())
    area = chips * chip.area_mm2 * SQUARE_MILLIMETRE
    notes = note, *beyond, f"{chip.power_fraction:g} of {chip.power_w:g} W while it computes"
    return checked(
        RollUp(
            chip=description.name,
            model=str(model),
            sequence=sequence,
            batch=batch,
            energy={("processor", name): energy * work / total for name, work in stages.items()},
            events={("processor", name): work * sequence for name, work in stages.items()},
            area=area,
            area_by_role={"processor": area},
            latency=latency,
            interval=latency / batch,
            macs=macs,
            chips=chips,
            copies={"chip": chips},
            utilisation=None,
            replication=1,
            programming_energy=None,
            read_energy="included in the power of the processor",
            notes=notes,
            assumed=assumed,
        )
    )


def _processor_latency(chip, model, macs, sequence, batch):
    if chip.measured:
        points = [p for p in chip.measured if p.precision == chip.precision]
        for p in points:
            if (p.model, p.sequence, p.batch) == (str(model), sequence, batch):
                return p.latency_ms * MILLI, f"latency measured ({chip.precision})"
        points = [p for p in points if p.model == str(model)] or points
        return macs * batch / _reached(
            points, macs * batch
        ), f"latency estimated from {len(points)} measured points"
    other = load_chip(chip.utilisation_of).chip
    if other.kind != "processor" or not other.measured:
        raise ConfigError(
            f"utilisation_of = {chip.utilisation_of!r} must be a processor with [[measured]] latencies"
        )
    ratio = (
        chip.peak_tops[chip.precision] / other.peak_tops[other.precision] * chip.utilisation_ratio
    )
    latency, _ = _processor_latency(other, model, macs, sequence, batch)
    return latency / ratio, (
        f"no published latency: {chip.utilisation_ratio:g} times the share of its peak that "
        f"{chip.utilisation_of} reaches"
    )


def _reached(points, work):
    """MACs per second at an amount of work (MACs), between the two nearest measured points."""
    curve = {}
    for p in points:
        done = _macs(load_shape(p.model), p.sequence) * p.batch
        curve[done] = max(curve.get(done, 0.0), done / (p.latency_ms * MILLI))
    amounts = sorted(curve)
    if work <= amounts[0] or work >= amounts[-1]:
        return curve[amounts[0] if work <= amounts[0] else amounts[-1]]
    high = next(k for k, amount in enumerate(amounts) if amount >= work)
    left, right = amounts[high - 1], amounts[high]
    position = math.log(work / left) / math.log(right / left)
    return curve[left] ** (1 - position) * curve[right] ** position


# ---------------------------------------------------------------- flat out


@dataclass(frozen=True)
class Level:
    """Peak power (W) and area (m²) of one unit, tile, dense array, crossbar or chip, parts of lower
    levels included.

    rows : ((role, count, W, m²), ...) of its own parts
    """

    name: str
    rows: tuple
    power: float
    area: float


@dataclass(frozen=True)
class UnitProduct:
    """One vector through the largest matrix (inputs, outputs) of a unit: s, J spent in the unit,
    ADC conversions per MAC; operations_per_second is that of all units of a chip, or of a tile
    where the model sets the size of the chip.
    """

    inputs: int
    outputs: int
    time: float
    energy: float
    conversions_per_mac: float
    operations_per_second: float

    @property
    def macs(self):
        return self.inputs * self.outputs


@dataclass(frozen=True)
class Peak:
    """A chip flat out.  `product` is None for other kinds than in-situ, and where twin arrays of a
    weight exceed a unit.

    adc_power_share, adc_area_share : of a tile (in-situ) or a crossbar (synergy)
    """

    levels: tuple
    adc_power_share: float
    adc_area_share: float
    product: UnitProduct | None

    def level(self, name):
        return next(level for level in self.levels if level.name == name)


def peak(description):
    """Peak of an in-situ or synergy chip; a chip of kind `fit` has no size of its own, so its chip
    level is absent.

    Raises
    ------
    ConfigError : a processor
    """
    chip = description.chip
    if chip.kind == "processor":
        raise ConfigError(
            f"{description.name} is a processor: its power and area are given, not rolled up"
        )
    if chip.kind == "in-situ":
        nested = [("unit", 1), ("tile", chip.organisation.units_per_tile)]
        nested += [("chip", chip.organisation.tiles)] if chip.organisation.tiles != "fit" else []
        shared = "tile"
    else:
        nested = [("crossbar", 1), ("dense", 0)]
        shared = "crossbar"
    levels, power, area, adc = [], 0.0, 0.0, [0.0, 0.0]
    for name, below in nested:
        power, area, adc = power * below, area * below, [value * below for value in adc]
        rows = []
        for part, component in chip.parts:
            if part.level == name and part.role not in NOT_RUNNING:
                count = chip.part_count(part)
                rows.append(
                    (part.role, count, count * component.peak_power, count * component.area)
                )
        power += sum(row[2] for row in rows)
        area += sum(row[3] for row in rows)
        adc = [adc[k] + sum(row[2 + k] for row in rows if row[0] == "adc") for k in (0, 1)]
        levels.append(Level(name, tuple(rows), power, area))
        if name == shared:
            shares = adc[0] / power, adc[1] / area
    return Peak(tuple(levels), *shares, _product(chip) if chip.kind == "in-situ" else None)


def _product(chip):
    found = unit_product(chip)
    if found is None:
        return None
    cost, (inputs, outputs) = found
    prices, _ = _prices(chip)
    unit = {part.role for part, _ in chip.parts if part.level == "unit"}
    units = chip.organisation.units_per_tile * (
        1 if chip.organisation.tiles == "fit" else chip.organisation.tiles
    )
    return UnitProduct(
        inputs,
        outputs,
        cost.service,
        sum(count * prices[role] for role, count in cost.events.items() if role in unit),
        cost.events["adc"] / (inputs * outputs),
        2 * inputs * outputs * units / cost.service,
    )
