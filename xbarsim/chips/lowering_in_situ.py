"""A model on an in-situ chip."""

import math

from xbarsim.arrays.in_situ.layout import layout_of
from xbarsim.base.errors import ConfigError
from xbarsim.base.units import NANO
from xbarsim.chips.plans import (
    ACTIVATION_ROLE,
    OPERATION_KEY,
    RESULT_BITS,
    Cost,
    Lowering,
    Plan,
    moved,
    rate,
)
from xbarsim.chips.schedule import Stage
from xbarsim.models.graph import Kind, Role


def unit_product(chip):
    """(Cost, (inputs, outputs)) of one vector through the largest matrix that fits in one unit of
    an in-situ chip, or None where the cells of a weight on twin arrays do not."""
    org = chip.organisation
    weights = (
        org.arrays_per_unit // chip.planes
        if chip.mapping.placement == "twin"
        else org.arrays_per_unit
    )
    inputs, outputs = (
        chip.mapping.word_lines,
        weights * layout_of(1, 1, chip.mapping).outputs_per_tile,
    )
    return (linear_cost(chip, inputs, outputs), (inputs, outputs)) if outputs else None


def linear_cost(chip, inputs, outputs, replication=1):
    """Cost of one vector through a matrix (inputs, outputs) of an in-situ chip, in its arrays and
    its tiles' digital part.

    A read cycle lasts as long as the cells are driven or as the converters need for the bit lines
    they share; a token occupies the arrays for its phases, and no shorter than the buffers and
    buses of the tiles need to move it.
    """
    org, roles = chip.organisation, chip.by_role
    layout = layout_of(inputs, outputs, chip.mapping)
    conversions = chip.phases * layout.row_blocks * chip.conversions_per_output * outputs
    drives = chip.phases * layout.tiles_per_row_block * inputs
    per_tile = org.arrays_per_unit * org.units_per_tile
    tiles, spread = -(-layout.tiles // per_tile), -(-layout.tiles_per_row_block // per_tile)
    bits_in, bits_out = inputs * chip.dac.bits * spread, outputs * chip.dac.bits
    results = outputs * layout.row_blocks
    counts = {
        "adc": conversions,
        "sample-hold": conversions,
        "shift-add": conversions,
        "output-register": conversions,
        "dac": drives,
        "input-register": drives
        * (chip.dac.digit_bits if chip.dac.encoding == "bit_serial" else 1),
        "array": chip.phases * layout.tiles,
        "cell": chip.phases * layout.tiles,
        "tile-shift-add": results,
        "tile-register": results,
    }
    bits = {
        "buffer": 2 * bits_in + bits_out,
        "bus": bits_in + results * RESULT_BITS,
        "router": bits_in * org.hops,
    }
    events = {role: count for role, count in counts.items() if role in roles} | moved(chip, **bits)
    cycle = max(
        chip.dac.read_time_ns * NANO,
        org.bit_lines_per_adc * chip.conversions_per_output / chip.planes * roles["adc"][1].delay,
    )
    fill = (chip.phases + org.pipeline_cycles) * cycle
    moving = [
        bits[role] / (rate(chip, role) * tiles) for role in ("buffer", "bus") if role in roles
    ]
    service = max([chip.phases * cycle if org.pipelined else fill, *moving]) / replication
    return Cost(events, service, fill, layout.tiles)


class InSituLowering(Lowering):
    def __init__(self, chip, shape, sequence, batch):
        super().__init__(chip, shape, sequence, batch)
        self.costs = {}

    def linear_cost(self, inputs, outputs, replication=1):
        """`linear_cost`, each size once: all layers have the same."""
        key = inputs, outputs, replication
        if key not in self.costs:
            self.costs[key] = linear_cost(self.chip, *key)
        return self.costs[key]

    def plan(self):
        chip, org = self.chip, self.chip.organisation
        written = chip.operations.attention == "written"
        units, dynamic = {}, 0
        for op in self.operations:
            if op.kind is Kind.MATRIX or (op.kind is Kind.PRODUCT and written):
                arrays = op.copies * self.linear_cost(op.inputs, op.outputs).arrays
                units[op.name] = -(-arrays // org.arrays_per_unit)
                dynamic += units[op.name] if op.kind is Kind.PRODUCT else 0
        needed = sum(units.values())
        reload = False
        if org.tiles == "fit":
            replication = 1 if org.replicate == "fill" else org.replicate
            tiles, chips = -(-needed * replication // org.units_per_tile), 1
        else:
            capacity = org.tiles * org.units_per_tile
            reload = chip.over_capacity == "reload" and needed > capacity
            chips = 1 if reload else -(-needed // capacity)
            fitting = max(1, capacity * chips // needed)
            replication = fitting if org.replicate == "fill" else org.replicate
            tiles = org.tiles * chips
            if replication > fitting:
                raise ConfigError(
                    f"organisation.replicate = {org.replicate}, but {chips} chips have room for {fitting} "
                    'copies of the model; use "fill" or fewer'
                )
        weights = self.shape.matrix_weights
        cells = chip.mapping.word_lines * chip.mapping.bit_lines * org.arrays_per_unit
        stages = self._stages(units, replication, tiles, chips, reload)
        if dynamic:
            self.notes.append("keys and values are written into arrays for every sequence")
        if reload:
            self.notes.append(
                f"the model needs {needed / (tiles * org.units_per_tile):.2f} times the chip: its weights "
                "come from off-chip DRAM and are programmed in every pass over a batch"
            )
        return Plan(
            {"unit": tiles * org.units_per_tile, "tile": tiles, "chip": chips},
            chips,
            weights * chip.planes / ((needed - dynamic) * cells),
            replication,
            1 if reload else self.batch,
            stages,
            weights * chip.planes * chip.cell.write_pulses * replication,
            tuple(self.notes),
        )

    def _stages(self, units, replication, tiles, chips, reload):
        chip, steps = self.chip, self.chip.operations
        bits, layers = chip.dac.bits, self.shape.layers
        tokens = self.sequence * (self.batch if reload else 1)
        capacity = sum(units.values()) / chips
        placed, stages = 0, []
        for op in self.operations:
            after = op.after
            if op.kind is Kind.MATRIX:
                cost = self.linear_cost(op.inputs, op.outputs, replication)
                resource = op.name
                before, placed = placed, placed + units[op.name]
                crossings = math.ceil(placed / capacity - 1e-9) - max(
                    1, math.ceil(before / capacity - 1e-9)
                )
                if crossings:
                    crossing = crossings * op.inputs * bits
                    time = crossing / rate(chip, "link")
                    cost = Cost(
                        cost.events | moved(chip, link=crossing),
                        max(cost.service, time),
                        cost.fill + time,
                    )
                if reload and op.role is Role.QUERY:
                    stages.append(self._reload(op, stages))
                if reload:
                    after = (*after, (f"layer.{op.layer}.reload", True))
            elif op.kind is Kind.PRODUCT and steps.attention == "written":
                single = self.linear_cost(op.inputs, op.outputs)
                cost = Cost(
                    {role: n * op.copies for role, n in single.events.items()},
                    single.service,
                    single.fill,
                )
                resource = op.name
                written = self._write(op, tokens / self.sequence)
                stages.append(written)
                after = (*op.after[:-1], (written.name, True))
            elif getattr(steps, OPERATION_KEY[op.kind]) == "host":
                cost, resource = self.host(op, bits), "link"
            else:
                role = "mac" if op.kind is Kind.PRODUCT else ACTIVATION_ROLE[op.kind]
                work = op.macs if op.kind is Kind.PRODUCT else op.values_out
                part, component = chip.by_role[role]
                share = {"unit": tiles * chip.organisation.units_per_tile, "tile": tiles}.get(
                    part.level
                )
                workers = part.count * (chips if share is None else max(1.0, share / layers))
                time = work * (component.delay or 0.0) / workers
                cost = Cost(
                    {role: work} | moved(chip, buffer=op.values * bits),
                    time,
                    max(time, component.delay or 0.0),
                )
                resource = role if share is None else f"layer.{op.layer}.{role}"
            stages.append(self.stage(op, cost, resource, tokens, after))
        return self.ports(stages, bits, tokens)

    def _write(self, op, sequences):
        """Keys or values of the sequences of a job into arrays: one after the other, row by row,
        all arrays of a matrix at once.  They reach the tile as the inputs of a matrix do: over
        routers and bus, through its buffer.
        """
        chip = self.chip
        source = op.after[-1].name
        _, component = chip.by_role["cell-write"]
        values = sequences * op.copies * op.inputs * op.outputs
        bits = values * chip.dac.bits
        pulses = values * chip.planes * chip.cell.write_pulses
        events = {"cell-write": pulses}
        events |= moved(chip, buffer=2 * bits, bus=bits, router=bits * chip.organisation.hops)
        rows = min(op.inputs, chip.mapping.word_lines)
        time = sequences * rows * chip.cell.write_pulses * (component.delay or 0.0)
        return Stage(
            f"{op.name}.write", op.layer, 1, time, time, op.name, ((source, True),), events
        )

    def _reload(self, op, stages):
        """One layer's weights from off-chip DRAM into the arrays, row by row, after the layer
        before is done.
        """
        chip, shape = self.chip, self.shape
        weights = shape.matrix_weights / shape.layers
        bits = weights * chip.mapping.weight_bits
        _, component = chip.by_role["cell-write"]
        time = max(
            chip.mapping.word_lines * chip.cell.write_pulses * (component.delay or 0.0),
            bits / rate(chip, "dram"),
        )
        return Stage(
            f"layer.{op.layer}.reload",
            op.layer,
            1,
            time,
            time,
            "reload",
            ((stages[-1].name, True),) if stages else (),
            {"cell-write": weights * chip.planes * chip.cell.write_pulses, "dram": bits},
        )
