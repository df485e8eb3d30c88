"""A model on an in-situ chip."""

import math
from dataclasses import dataclass

from xbarsim.arrays.in_situ.layout import (
    Layout,
    cells_per_crosspoint,
    layout_of,
    lines_per_input,
)
from xbarsim.base.errors import ConfigError
from xbarsim.base.units import NANO
from xbarsim.chips.files.in_situ import InSituFile
from xbarsim.chips.lowering import Lowering
from xbarsim.chips.plans import CachePlace, Cost, Phase, Plan, Workload, scaled
from xbarsim.chips.result import UnitProduct
from xbarsim.chips.schedule import Stage
from xbarsim.models.graph import Kind, Link, Role, Step

RESULT_BITS = 16  # of a partial sum in tile registers
DIGITAL_UNITS = {
    Kind.PRODUCT: "mac",
    Kind.SOFTMAX: "softmax",
    Kind.NORM: "layer-norm",
    Kind.ACTIVATION: "gelu",
}
LINK, RELOAD = "link", "reload"  # resources that all stages share


def unit_product(chip: InSituFile) -> UnitProduct | None:
    """One vector through the largest matrix that fits in one unit, or None where the cells of a
    weight on twin arrays do not.
    """
    organisation = chip.organisation
    weights = organisation.arrays_per_unit
    if chip.mapping.placement == "twin":
        weights = organisation.arrays_per_unit // chip.planes
    inputs = chip.mapping.word_lines // lines_per_input(chip.mapping)
    outputs = weights * layout_of(1, 1, chip.mapping).outputs_per_tile
    if not outputs:
        return None
    cost = linear_cost(chip, inputs, outputs)
    prices = chip.prices()
    in_unit = {part.role for part, _ in chip.parts if part.level == "unit"}
    units = organisation.units_per_tile
    if organisation.tiles != "fit":
        units = organisation.units_per_tile * organisation.tiles
    return UnitProduct(
        inputs=inputs,
        outputs=outputs,
        time=cost.service,
        energy=sum(count * prices[role] for role, count in cost.events.items() if role in in_unit),
        conversions_per_mac=cost.events["adc"] / (inputs * outputs),
        operations_per_second=2 * inputs * outputs * units / cost.service,
    )


def _dummy_conversions(chip: InSituFile, layout: Layout) -> int:
    """Of dummy columns, for one vector: those of twin arrays whose lines are subtracted share one."""
    if not chip.organisation.dummy_columns:
        return 0
    kinds = chip.conversions_per_output if layout.placement == "twin" else 1
    return chip.phases * layout.row_blocks * layout.column_blocks * kinds


def linear_cost(chip: InSituFile, inputs: int, outputs: int, replication: int = 1) -> Cost:
    """Cost of one vector through a matrix (inputs, outputs) of an in-situ chip, in its arrays and
    its tiles' digital part.

    A read cycle lasts as long as the cells are driven or as the converters need for the bit lines
    they share; a token occupies the arrays for its phases, and no shorter than the buffers and
    buses of the tiles need to move it.
    """
    organisation = chip.organisation
    layout = layout_of(inputs, outputs, chip.mapping)
    codes = chip.phases * layout.row_blocks * chip.conversions_per_output * outputs
    dummies = _dummy_conversions(chip, layout)
    conversions = codes + dummies
    drives = chip.phases * layout.tiles_per_row_block * layout.inputs
    per_tile = organisation.arrays_per_unit * organisation.units_per_tile
    tiles = -(-layout.tiles // per_tile)
    spread = -(-layout.tiles_per_row_block // per_tile)
    bits_in = inputs * chip.input_bits * spread
    bits_out = outputs * chip.input_bits
    results = outputs * layout.row_blocks
    bits_per_drive = chip.dac.digit_bits if chip.dac.encoding == "bit_serial" else 1
    counts: dict[str, float] = {
        "adc": conversions,
        "sample-hold": conversions,
        "shift-add": codes,
        "output-register": conversions,
        "dac": drives,
        "input-register": drives * bits_per_drive,
        "array": chip.phases * layout.tiles,
        "cell": chip.phases * layout.tiles,
        "tile-shift-add": results,
        "tile-register": results,
    }
    scales = chip.scale_of(inputs).events(outputs)
    if scales.comparisons:
        counts["scale-compare"] = scales.comparisons
    multiplications = scales.multiplications
    if dummies:
        multiplications += codes
    if multiplications:
        counts["scale-multiply"] = multiplications
    bits: dict[str, float] = {
        "buffer": 2 * bits_in + bits_out,
        "bus": bits_in + results * RESULT_BITS,
        "router": bits_in * organisation.hops,
    }
    events = {role: count for role, count in counts.items() if role in chip.by_role}
    cycle = read_cycle(chip)
    fill = (chip.phases + organisation.pipeline_cycles) * cycle
    occupied = [chip.phases * cycle if organisation.pipelined else fill]
    for role in ("buffer", "bus"):
        if role in chip.by_role:
            occupied.append(bits[role] / (chip.rate(role) * tiles))
    units = -(-layout.tiles // organisation.arrays_per_unit)
    places = {"unit": units, "tile": tiles}
    for role in ("scale-compare", "scale-multiply"):
        if role in events:
            workers = places.get(chip.by_role[role].part.level, 1)
            occupied.append(events[role] / (chip.rate(role) * workers))
    return Cost(
        events=events | chip.moved(**bits),
        service=max(occupied) / replication,
        fill=fill,
        arrays=layout.tiles,
    )


def read_cycle(chip: InSituFile) -> float:
    """s that one phase takes: driving the cells, or converting the lines that share a converter."""
    lines = chip.organisation.bit_lines_per_adc
    converting = lines * chip.conversions_per_output / chip.planes * chip.delay("adc")
    return max(chip.dac.read_time_ns * NANO, converting)


@dataclass(frozen=True)
class Room:
    """Units that the matrices of a model need, those that are written while it runs included.

    by_step : {step: units};  dynamic : of those that are written
    """

    by_step: dict[str, int]
    dynamic: int

    @property
    def needed(self) -> int:
        return sum(self.by_step.values())


@dataclass(frozen=True)
class Size:
    """How much chip a model gets.

    tiles : on all chips;  replication : copies of the model
    reload : whether weights come from off-chip DRAM in every pass
    """

    tiles: int
    chips: int
    replication: int
    reload: bool


class InSituLowering(Lowering[InSituFile]):
    def __init__(self, chip: InSituFile, workload: Workload) -> None:
        super().__init__(chip, workload)
        self.costs: dict[tuple[int, int, int], Cost] = {}
        self.written = chip.operations.attention == "written"
        self.room = self._room()
        self.size = self._size()
        self.jobs = workload.batch
        self.sequences = 1  # of a job
        if self.size.reload:
            self.jobs = 1
            self.sequences = workload.batch
        self.tokens = workload.tokens * self.sequences
        self.copies = {
            "unit": self.size.tiles * chip.organisation.units_per_tile,
            "tile": self.size.tiles,
            "chip": self.size.chips,
        }
        self.place = self._cache_place()

    def linear_cost(self, inputs: int, outputs: int, replication: int = 1) -> Cost:
        """`linear_cost`, each size once: all layers have the same."""
        key = inputs, outputs, replication
        if key not in self.costs:
            self.costs[key] = linear_cost(self.chip, inputs, outputs, replication)
        return self.costs[key]

    def plan(self) -> Plan:
        chip = self.chip
        size = self.size
        weights = self.workload.weights
        stages = self._stages()
        if self.room.dynamic:
            self.note("keys and values are written into arrays for every sequence")
        if size.reload:
            share = self.room.needed / self.copies["unit"]
            self.note(
                f"the model needs {share:.2f} times the chip: its weights come from off-chip DRAM "
                "and are programmed in every pass over a batch"
            )
        held = (self.room.needed - self.room.dynamic) * chip.cells_per_unit
        return Plan(
            copies=self.copies,
            chips=size.chips,
            utilisation=weights * chip.planes * lines_per_input(chip.mapping) / held,
            replication=size.replication,
            jobs=self.jobs,
            stages=self.ports(stages, chip.input_bits, self.tokens),
            programming_pulses=weights
            * chip.written_per_weight
            * chip.cell.write_pulses
            * size.replication,
            notes=tuple(self.notes),
            cache=self.cache(self.place, chip.input_bits),
        )

    def _cache_place(self) -> CachePlace:
        """Where keys and values are kept."""
        attention = self.chip.operations.attention
        if attention == "host":
            return CachePlace.HOST
        if self.written:
            return CachePlace.CELLS
        if self.beyond_the_buffer(self.chip.input_bits, self.copies):
            return CachePlace.OFF_CHIP
        return CachePlace.BUFFER

    def _room(self) -> Room:
        by_step = {}
        dynamic = 0
        for step in self.workload.steps:
            in_arrays = step.kind is Kind.MATRIX or (step.kind is Kind.PRODUCT and self.written)
            if in_arrays:
                arrays = self._copies(step) * self.linear_cost(step.inputs, step.outputs).arrays
                by_step[step.name] = -(-arrays // self.chip.organisation.arrays_per_unit)
                if step.kind is Kind.PRODUCT:
                    dynamic += by_step[step.name]
        return Room(by_step, dynamic)

    def _copies(self, step: Step) -> int:
        """Matrices of a step: of a product one for every head of keys or values, and in decode of
        every sequence, whose caches are all there.
        """
        if step.kind is not Kind.PRODUCT:
            return step.copies
        heads = self.workload.shape.cached_heads
        if self.workload.phase is Phase.DECODE:
            return heads * self.workload.batch
        return heads

    def _size(self) -> Size:
        organisation = self.chip.organisation
        needed = self.room.needed
        if organisation.tiles == "fit":
            replication = self._replication(filled=1)
            tiles = -(-needed * replication // organisation.units_per_tile)
            return Size(tiles, chips=1, replication=replication, reload=False)
        capacity = organisation.tiles * organisation.units_per_tile
        reload = self.chip.over_capacity == "reload" and needed > capacity
        chips = 1 if reload else -(-needed // capacity)
        fitting = max(1, capacity * chips // needed)
        replication = self._replication(filled=fitting)
        if replication > fitting:
            raise ConfigError(
                f"organisation.replicate = {organisation.replicate}, but {chips} chips have room "
                f'for {fitting} copies of the model; use "fill" or fewer'
            )
        return Size(organisation.tiles * chips, chips, replication, reload)

    def _replication(self, *, filled: int) -> int:
        """Copies of the model; `filled` : how many where the chip is to be filled."""
        asked = self.chip.organisation.replicate
        return filled if asked == "fill" else asked

    def _stages(self) -> list[Stage]:
        stages: list[Stage] = []
        placed = 0
        for step in self.workload.steps:
            if step.kind is Kind.MATRIX:
                before = placed
                placed += self.room.by_step[step.name]
                stages += self._matrix(step, before, placed, stages)
            elif step.kind is Kind.PRODUCT and self.written:
                stages += self._written_product(step)
            elif self.chip.operations.place(step.kind) == "host":
                cost = self.over_tokens(step, lambda step: self.host(step, self.chip.input_bits))
                stages.append(
                    self.stage(step, cost, resource=LINK, tokens=self.tokens, after=step.after)
                )
            elif step.kind is Kind.PRODUCT and self.place is CachePlace.OFF_CHIP:
                cache = self.off_chip(step, self.chip.input_bits, self.tokens, self.size.chips)
                after = (*step.after, Link(cache.name))
                stages += [cache, self._digital(step, after)]
            else:
                stages.append(self._digital(step, step.after))
        return stages

    def _matrix(self, step: Step, before: int, placed: int, stages: list[Stage]) -> list[Stage]:
        """A matrix in its arrays, after those on units `before` of its first and `placed` of its
        last; where these lie on two chips, its inputs cross.
        """
        cost = self.linear_cost(step.inputs, step.outputs, self.size.replication)
        capacity = self.room.needed / self.size.chips
        first = max(1, math.ceil(before / capacity - 1e-9))
        crossings = math.ceil(placed / capacity - 1e-9) - first
        if crossings:
            crossing = crossings * step.inputs * self.chip.input_bits
            time = crossing / self.chip.rate("link")
            cost = Cost(
                cost.events | self.chip.moved(link=crossing),
                max(cost.service, time),
                cost.fill + time,
            )
        found = []
        after = step.after
        if self.size.reload:
            if step.role in (Role.QUERY, Role.LOGITS):
                found.append(self._reload(step, stages))
            after = (*after, Link(reload_name(step), waits=True))
        tokens = self.workload.tokens_of(step) * self.sequences
        if tokens < self.tokens:  # of the last token of a sequence
            after = tuple(Link(name, waits=True) for name, _ in after)
        found.append(self.stage(step, cost, resource=step.name, tokens=tokens, after=after))
        return found

    def _written_product(self, step: Step) -> list[Stage]:
        """A product with keys or values that were written into arrays.

        Query heads that share keys take turns on their arrays.
        """
        single = self.over_tokens(step, lambda step: self.linear_cost(step.inputs, step.outputs))
        turns = self.workload.shape.query_heads_per_key
        cost = Cost(
            events=scaled(single.events, step.copies),
            service=single.service * turns,
            fill=single.fill + (turns - 1) * single.service,
        )
        written = self._write(step)
        after = (*step.after[:-1], Link(written.name, waits=True))
        return [
            written,
            self.stage(step, cost, resource=step.name, tokens=self.tokens, after=after),
        ]

    def _digital(self, step: Step, after: tuple[Link, ...]) -> Stage:
        """A step on the digital units of tiles or chips."""
        part, _ = self.chip.by_role[DIGITAL_UNITS[step.kind]]
        resource = part.role if part.level == "chip" else f"layer.{step.layer}.{part.role}"
        cost = self.over_tokens(step, self._digital_cost)
        return self.stage(step, cost, resource=resource, tokens=self.tokens, after=after)

    def _digital_cost(self, step: Step) -> Cost:
        role = DIGITAL_UNITS[step.kind]
        work = step.macs if step.kind is Kind.PRODUCT else step.values_out
        part, component = self.chip.by_role[role]
        each = self.chip.part_count(part)
        workers = each * self.copies[part.level]
        if part.level != "chip":  # every layer has its own
            workers = each * max(1.0, self.copies[part.level] / self.workload.shape.layers)
        time = work * component.pace / workers
        bits = self.chip.input_bits
        moved = self.chip.moved(buffer=self.buffered_values(step) * bits)
        return Cost({role: work, **moved}, time, max(time, component.pace))

    def _write(self, step: Step) -> Stage:
        """Keys or values of the sequences of a job into arrays: one after the other, row by row,
        all arrays of a matrix at once.  They reach the tile as the inputs of a matrix do: over
        routers and bus, through its buffer.
        """
        chip = self.chip
        sequences = self.tokens / self.workload.tokens
        rows = min(step.inputs, chip.mapping.word_lines)
        heads = self.workload.shape.cached_heads
        values = sequences * heads * step.inputs * step.outputs
        if self.workload.phase is Phase.DECODE:  # one key, on its bit lines, or one value
            values = sequences * step.second
            if step.role is Role.ATTENTION_CONTEXT:
                rows = 1
        bits = values * chip.input_bits
        cells = chip.planes * cells_per_crosspoint(chip.mapping)
        pulses = values * cells * chip.cell.write_pulses
        moved = chip.moved(buffer=2 * bits, bus=bits, router=bits * chip.organisation.hops)
        pace = chip.by_role["cell-write"].component.pace
        time = sequences * rows * chip.cell.write_pulses * pace
        return Stage(
            name=f"{step.name}.write",
            layer=step.layer,
            tokens=1,
            service=time,
            fill=time,
            resource=step.name,
            after=(Link(step.after[-1].name, waits=True),),
            events={"cell-write": pulses, **moved},
            step=f"{step.role}.write",
        )

    def _reload(self, step: Step, stages: list[Stage]) -> Stage:
        """One layer's weights from off-chip DRAM into the arrays, row by row, after the layer
        before is done.
        """
        chip = self.chip
        shape = self.workload.shape
        weights = shape.matrix_weights / shape.layers
        if step.role is Role.LOGITS:
            weights = step.weights
        bits = weights * chip.mapping.weight_bits
        pace = chip.by_role["cell-write"].component.pace
        writing = chip.mapping.word_lines * chip.cell.write_pulses * pace
        time = max(writing, bits / chip.rate("dram"))
        pulses = weights * chip.written_per_weight * chip.cell.write_pulses
        return Stage(
            name=reload_name(step),
            layer=step.layer,
            tokens=1,
            service=time,
            fill=time,
            resource=RELOAD,
            after=(Link(stages[-1].name, waits=True),) if stages else (),
            events={"cell-write": pulses, "dram": bits},
            step=RELOAD,
        )


def reload_name(step: Step) -> str:
    """The stage that brings the weights of a step's layer."""
    return f"layer.{step.layer}.{RELOAD}"
