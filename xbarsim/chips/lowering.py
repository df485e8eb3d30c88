"""A model on a chip: how many arrays, tiles and chips it takes, what every step costs in events, and how long it takes.

Nothing is priced here; `rollup` multiplies events with the energies of components.  Every event is an action of the
component that plays its role.
"""
import math
from dataclasses import dataclass

from xbarsim.arrays.layout import layout_of
from xbarsim.base.errors import ConfigError
from xbarsim.base.units import NANO
from xbarsim.chips.schedule import Stage
from xbarsim.models.graph import operations

ACTIVATION_ROLE = {"softmax": "softmax", "layer_norm": "layer-norm", "gelu": "gelu"}
RESULT_BITS = 16                 # of a partial sum in tile registers


@dataclass(frozen=True)
class Plan:
    """A model lowered to a chip.

    copies : {level: how many of it on all chips};  utilisation : share of the allocated cells that hold weights
    replication : copies of the model;  jobs : that enter one after the other
    programming_pulses : write pulses that put the model on the chip once;  notes : what a reader must know
    """

    copies: dict
    chips: int
    utilisation: float
    replication: int
    jobs: int
    stages: tuple
    programming_pulses: float
    notes: tuple


def lower(chip, shape, sequence, batch):
    """Plan of a model on an in-situ or synergy chip for `batch` sequences of `sequence` tokens.

    Raises
    ------
    ConfigError : a weight's cells do not fit on a tile
    """
    return (_InSitu if chip.kind == "in-situ" else _Synergy)(chip, shape, sequence, batch).plan()


def unit_product(chip):
    """(Cost, (inputs, outputs)) of one vector through the largest matrix that fits in one unit of an in-situ chip, or None
    where the cells of a weight on twin arrays do not."""
    org = chip.organisation
    weights = org.arrays_per_unit // chip.planes if chip.mapping.placement == "twin" else org.arrays_per_unit
    inputs, outputs = chip.mapping.word_lines, weights * layout_of(1, 1, chip.mapping).outputs_per_tile
    return (linear_cost(chip, inputs, outputs), (inputs, outputs)) if outputs else None


@dataclass(frozen=True)
class Cost:
    """Per token: events {role: actions}, service and fill in s; arrays that hold the matrix."""

    events: dict
    service: float
    fill: float
    arrays: int = 0


def moved(chip, **bits):
    """Events {role: actions} of those memories, buses, routers and links that the chip has, for bits that they move."""
    return {role: count / _width(chip, role) for role, count in bits.items() if count and role in chip.by_role}


def rate(chip, role):
    """Bits per second of a part; infinite where it has no rate."""
    part, component = chip.by_role[role]
    return math.inf if component.delay is None else _width(chip, role) * part.count / component.delay


def _width(chip, role):
    component = chip.by_role[role][1]
    return component.bits if component.action in ("access", "flit") else 1


class _Lowering:
    """What both kinds share: the host, and the way in and out."""

    def __init__(self, chip, shape, sequence, batch):
        self.chip, self.shape, self.sequence, self.batch = chip, shape, sequence, batch
        self.operations = operations(shape, sequence)
        self.notes = []

    def host(self, op, bits):
        """A step on the host: its operands leave and its result returns over the link.

        The residual of a layer norm does not leave: it is the result of the host's norm before, or
        the model's input.
        """
        second = op.second if op.kind == "product" else 0
        crossing = (op.values_in + second + op.values_out) * bits
        time = crossing / rate(self.chip, "link")
        note = "steps on the host pay for the link, not for the host's own energy and time"
        if note not in self.notes:
            self.notes.append(note)
        return Cost(moved(self.chip, link=crossing), time, time)

    def stage(self, op, cost, resource, tokens, after=None):
        return Stage(op.name, op.layer, tokens, cost.service, max(cost.fill, cost.service), resource,
                     op.after if after is None else after, {role: n * tokens for role, n in cost.events.items()})

    def ports(self, stages, bits, tokens):
        """Stages with the input brought in before the first and the result taken out after the last."""
        time = self.shape.hidden * bits / rate(self.chip, "link")
        events = moved(self.chip, link=self.shape.hidden * bits * tokens)
        entry = Stage("input", 0, tokens, time, time, "link", (), events)
        return (entry, *stages, Stage("result", self.shape.layers - 1, tokens, time, time, "link",
                                      ((stages[-1].name, False),), events))


def linear_cost(chip, inputs, outputs, replication=1):
    """Cost of one vector through a matrix (inputs, outputs) of an in-situ chip, in its arrays and its tiles' digital part.

    A read cycle lasts as long as the cells are driven or as the converters need for the bit lines they share; a token
    occupies the arrays for its phases, and no shorter than the buffers and buses of the tiles need to move it.
    """
    org, roles = chip.organisation, chip.by_role
    layout = layout_of(inputs, outputs, chip.mapping)
    conversions = chip.phases * layout.row_blocks * chip.conversions_per_output * outputs
    drives = chip.phases * layout.tiles_per_row_block * inputs
    per_tile = org.arrays_per_unit * org.units_per_tile
    tiles, spread = -(-layout.tiles // per_tile), -(-layout.tiles_per_row_block // per_tile)
    bits_in, bits_out = inputs * chip.dac.bits * spread, outputs * chip.dac.bits
    results = outputs * layout.row_blocks
    counts = {"adc": conversions, "sample-hold": conversions, "shift-add": conversions, "output-register": conversions,
              "dac": drives, "input-register": drives * (chip.dac.digit_bits if chip.dac.encoding == "bit_serial" else 1),
              "array": chip.phases * layout.tiles, "cell": chip.phases * layout.tiles,
              "tile-shift-add": results, "tile-register": results}
    bits = {"buffer": 2 * bits_in + bits_out, "bus": bits_in + results * RESULT_BITS, "router": bits_in * org.hops}
    events = {role: count for role, count in counts.items() if role in roles} | moved(chip, **bits)
    cycle = max(chip.dac.read_time_ns * NANO,
                org.bit_lines_per_adc * chip.conversions_per_output / chip.planes * roles["adc"][1].delay)
    fill = (chip.phases + org.pipeline_cycles) * cycle
    moving = [bits[role] / (rate(chip, role) * tiles) for role in ("buffer", "bus") if role in roles]
    service = max([chip.phases * cycle if org.pipelined else fill, *moving]) / replication
    return Cost(events, service, fill, layout.tiles)


class _InSitu(_Lowering):

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
            if op.kind == "linear" or (op.kind == "product" and written):
                arrays = op.copies * self.linear_cost(op.inputs, op.outputs).arrays
                units[op.name] = -(-arrays // org.arrays_per_unit)
                dynamic += units[op.name] if op.kind == "product" else 0
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
                raise ConfigError(f"organisation.replicate = {org.replicate}, but {chips} chips have room for {fitting} "
                                  'copies of the model; use "fill" or fewer')
        weights = self.shape.matrix_weights
        cells = chip.mapping.word_lines * chip.mapping.bit_lines * org.arrays_per_unit
        stages = self._stages(units, replication, tiles, chips, reload)
        if dynamic:
            self.notes.append("keys and values are written into arrays for every sequence")
        if reload:
            self.notes.append(f"the model needs {needed / (tiles * org.units_per_tile):.2f} times the chip: its weights "
                              "come from off-chip DRAM and are programmed in every pass over a batch")
        return Plan({"unit": tiles * org.units_per_tile, "tile": tiles, "chip": chips}, chips,
                    weights * chip.planes / ((needed - dynamic) * cells), replication, 1 if reload else self.batch,
                    stages, weights * chip.planes * chip.cell.write_pulses * replication, tuple(self.notes))

    def _stages(self, units, replication, tiles, chips, reload):
        chip, steps = self.chip, self.chip.operations
        bits, layers = chip.dac.bits, self.shape.layers
        tokens = self.sequence * (self.batch if reload else 1)
        capacity = sum(units.values()) / chips
        placed, stages = 0, []
        for op in self.operations:
            after = op.after
            if op.kind == "linear":
                cost = self.linear_cost(op.inputs, op.outputs, replication)
                resource = op.name
                before, placed = placed, placed + units[op.name]
                crossings = math.ceil(placed / capacity - 1e-9) - max(1, math.ceil(before / capacity - 1e-9))
                if crossings:
                    crossing = crossings * op.inputs * bits
                    time = crossing / rate(chip, "link")
                    cost = Cost(cost.events | moved(chip, link=crossing), max(cost.service, time), cost.fill + time)
                if reload and op.name.endswith("query"):
                    stages.append(self._reload(op, stages))
                if reload:
                    after = (*after, (f"layer.{op.layer}.reload", True))
            elif op.kind == "product" and steps.attention == "written":
                single = self.linear_cost(op.inputs, op.outputs)
                cost = Cost({role: n * op.copies for role, n in single.events.items()}, single.service, single.fill)
                resource = op.name
                written = self._write(op, tokens / self.sequence)
                stages.append(written)
                after = tuple((name, waits) for name, waits in op.after if not name.endswith((".key", ".value")))
                after = (*after, (written.name, True))
            elif getattr(steps, "attention" if op.kind == "product" else op.kind) == "host":
                cost, resource = self.host(op, bits), "link"
            else:
                role = "mac" if op.kind == "product" else ACTIVATION_ROLE[op.kind]
                work = op.macs if op.kind == "product" else op.values_out
                part, component = chip.by_role[role]
                share = {"unit": tiles * chip.organisation.units_per_tile, "tile": tiles}.get(part.level)
                workers = part.count * (chips if share is None else max(1.0, share / layers))
                time = work * (component.delay or 0.0) / workers
                cost = Cost({role: work} | moved(chip, buffer=op.values * bits), time,
                            max(time, component.delay or 0.0))
                resource = role if share is None else f"layer.{op.layer}.{role}"
            stages.append(self.stage(op, cost, resource, tokens, after))
        return self.ports(stages, bits, tokens)

    def _write(self, op, sequences):
        """Keys or values of the sequences of a job into arrays: one after the other, row by row, all arrays of a matrix at
        once.  They reach the tile as the inputs of a matrix do: over routers and bus, through its
        buffer.
        """
        chip = self.chip
        source = next(name for name, _ in op.after if name.endswith((".key", ".value")))
        _, component = chip.by_role["cell-write"]
        values = sequences * op.copies * op.inputs * op.outputs
        bits = values * chip.dac.bits
        pulses = values * chip.planes * chip.cell.write_pulses
        events = {"cell-write": pulses}
        events |= moved(chip, buffer=2 * bits, bus=bits, router=bits * chip.organisation.hops)
        rows = min(op.inputs, chip.mapping.word_lines)
        time = sequences * rows * chip.cell.write_pulses * (component.delay or 0.0)
        return Stage(f"{op.name}.write", op.layer, 1, time, time, op.name, ((source, True),), events)

    def _reload(self, op, stages):
        """One layer's weights from off-chip DRAM into the arrays, row by row, after the layer before is done."""
        chip, shape = self.chip, self.shape
        weights = shape.matrix_weights / shape.layers
        bits = weights * chip.mapping.weight_bits
        _, component = chip.by_role["cell-write"]
        time = max(chip.mapping.word_lines * chip.cell.write_pulses * (component.delay or 0.0), bits / rate(chip, "dram"))
        return Stage(f"layer.{op.layer}.reload", op.layer, 1, time, time, "reload",
                     ((stages[-1].name, True),) if stages else (),
                     {"cell-write": weights * chip.planes * chip.cell.write_pulses, "dram": bits})


class _Synergy(_Lowering):
    """All steps share one pool of computation crossbars, so they run one after the other over the whole batch; weights are
    read from the dense arrays while the pool computes.  The pool is taken to be evenly loaded."""

    def __init__(self, chip, shape, sequence, batch):
        super().__init__(chip, shape, sequence, batch)
        c = chip.computation
        self.digits = c.activation_bits // c.digit_bits
        self.tokens = sequence * batch
        bits = shape.matrix_weights * chip.dense.weight_bits
        per_array = chip.dense.word_lines * chip.dense.bit_lines * chip.dense.bits_per_cell
        self.needed = -(-bits // per_array)
        if chip.dense.arrays == "fit":
            self.chips, self.arrays = 1, self.needed
        else:
            self.chips = 1 if chip.over_capacity == "reload" else -(-self.needed // chip.dense.arrays)
            self.arrays = chip.dense.arrays * self.chips
        self.absent = max(0.0, 1 - self.arrays * per_array / bits)         # share of the weights that is off chip
        self.fullness = min(1.0, bits / (self.arrays * per_array))
        self.adcs = c.crossbars * self.chips * c.bit_lines / c.bit_lines_per_adc
        self.conversion = max(c.settle_ns * NANO, chip.by_role["adc"][1].delay)
        if self.absent:
            self.notes.append(f"{100 * self.absent:.0f} % of the weights do not fit and come from off-chip DRAM")

    def groups(self, inputs):
        """Conversions that the rows of a dot product of `inputs` take, for one digit of either operand."""
        c = self.chip.computation
        per_block = c.word_lines // c.cells_per_digit
        full, rest = divmod(inputs, per_block)
        return (full * -(-per_block * c.cells_per_digit // c.rows_per_conversion)
                + -(-rest * c.cells_per_digit // c.rows_per_conversion))

    def dot_products(self, number, inputs):
        """Conversions of `number` dot products of `inputs`."""
        return number * self.digits * self.chip.dense.weight_bits * self.groups(inputs)

    def computed(self, conversions, driven, switched, **bits):
        """Cost of work on the pool for all tokens of a job, as a Cost of one token.

        conversions : count; driven : bits put on word lines; switched : switches set
        """
        c, tokens = self.chip.computation, self.tokens
        time = conversions * self.conversion / self.adcs
        events = {"adc": conversions, "shift-add": conversions, "cell": conversions, "dac": driven,
                  "encoder": driven + switched}
        if "sample-hold" in self.chip.by_role:
            events["sample-hold"] = conversions
        events |= moved(self.chip, **bits)
        latency = c.settle_ns * NANO + self.chip.by_role["adc"][1].delay
        return Cost({role: n / tokens for role, n in events.items()}, time / tokens, max(time / tokens, latency))

    def linear(self, op):
        c, d, tokens = self.chip.computation, self.chip.dense, self.tokens
        together = max(1, c.bit_lines // self.digits)                    # tokens that share the word lines of a crossbar
        driven = math.ceil(tokens / together) * op.inputs * op.outputs * d.weight_bits * c.cells_per_digit
        switched = tokens * op.inputs * self.digits * c.cells_per_digit
        cost = self.computed(self.dot_products(tokens * op.outputs, op.inputs), driven, switched,
                             buffer=tokens * op.values * c.activation_bits)
        passes = math.ceil(tokens / d.reuse_tokens)
        bits = op.inputs * op.outputs * d.weight_bits * passes
        here, away = bits * (1 - self.absent), bits * self.absent
        sense = here / d.bits_per_cell * (2**d.bits_per_cell - 1)
        read_delay = self.chip.by_role["dense-read"][1].delay
        reading = here * read_delay / (d.read_bits * self.arrays) + (away / rate(self.chip, "dram") if away else 0.0)
        events = {"dense-read": here / tokens, "sense-amplifier": sense / tokens}
        if away:
            events["dram"] = away / tokens
        return Cost(cost.events | events, max(cost.service, reading / tokens), cost.fill + (read_delay or 0.0))

    def product(self, op):
        """Activations times activations: one operand sets switches, the bits of the other drive the word lines."""
        c, tokens = self.chip.computation, self.tokens
        together = max(1, c.bit_lines // self.digits)
        driven = (math.ceil(self.sequence / together) * self.batch * op.copies * op.inputs * op.outputs
                  * self.chip.dense.weight_bits * c.cells_per_digit)
        return self.computed(self.dot_products(tokens * op.values_out, op.inputs), driven,
                             tokens * op.values_in * self.digits * c.cells_per_digit,
                             buffer=tokens * op.values * c.activation_bits)

    def nonlinear(self, op):
        """Products on the pool and one look-up of a function unit per element."""
        c = self.chip.computation
        elements = self.tokens * op.values_out
        products = elements * getattr(c.products, op.kind)
        part, component = self.chip.by_role["function-unit"]
        cost = self.computed(self.dot_products(products, 1), products * self.chip.dense.weight_bits * c.cells_per_digit,
                             products * self.digits * c.cells_per_digit,
                             buffer=self.tokens * op.values * c.activation_bits)
        time = op.values_out * (component.delay or 0.0) / (part.count * self.copies[part.level])
        return Cost(cost.events | {"function-unit": op.values_out}, max(cost.service, time),
                    cost.fill + (component.delay or 0.0))

    def cost(self, op, place):
        """Cost of a step on the host or on the pool."""
        if place == "host":
            return self.host(op, self.chip.computation.activation_bits)
        on_pool = {"linear": self.linear, "product": self.product}
        return on_pool.get(op.kind, self.nonlinear)(op)

    def plan(self):
        chip, steps = self.chip, self.chip.operations
        self.copies = {"dense": self.arrays, "crossbar": chip.computation.crossbars * self.chips, "chip": self.chips}
        stages, costs = [], {}
        for op in self.operations:
            place = "computation" if op.kind == "linear" else getattr(
                steps, "attention" if op.kind == "product" else op.kind)
            size = op.kind, op.inputs, op.outputs, op.copies
            if size not in costs:                                   # all layers have the same
                costs[size] = self.cost(op, place)
            resource = "link" if place == "host" else "computation crossbars"
            stages.append(self.stage(op, costs[size], resource, self.tokens))
        if self.chips > 1:
            self.notes.append("activations cross between chips once per boundary; their energy is that of the link")
            bits = (self.chips - 1) * self.shape.hidden * chip.computation.activation_bits * self.tokens
            time, crossing = bits / rate(chip, "link"), moved(chip, link=bits)
            stages.append(Stage("crossings", self.shape.layers - 1, 1, time, time, "link", ((stages[-1].name, True),),
                                crossing))
        cells = self.shape.matrix_weights * chip.dense.weight_bits / chip.dense.bits_per_cell * (1 - self.absent)
        return Plan(self.copies, self.chips, self.fullness, 1, 1,
                    self.ports(stages, chip.computation.activation_bits, self.tokens), cells * chip.dense.write_pulses,
                    tuple(self.notes))
