"""A model on dense arrays and a pool of computation crossbars."""

import math

from xbarsim.base.units import NANO
from xbarsim.chips.plans import OPERATION_KEY, Cost, Lowering, Plan, moved, rate
from xbarsim.chips.schedule import Stage
from xbarsim.models.graph import Kind


class SynergyLowering(Lowering):
    """All steps share one pool of computation crossbars, so they run one after the other over the
    whole batch; weights are read from the dense arrays while the pool computes.  The pool is taken
    to be evenly loaded.
    """

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
            self.chips = (
                1 if chip.over_capacity == "reload" else -(-self.needed // chip.dense.arrays)
            )
            self.arrays = chip.dense.arrays * self.chips
        self.absent = max(
            0.0, 1 - self.arrays * per_array / bits
        )  # share of the weights that is off chip
        self.fullness = min(1.0, bits / (self.arrays * per_array))
        self.adcs = c.crossbars * self.chips * c.bit_lines / c.bit_lines_per_adc
        self.conversion = max(c.settle_ns * NANO, chip.by_role["adc"][1].delay)
        if self.absent:
            self.notes.append(
                f"{100 * self.absent:.0f} % of the weights do not fit and come from off-chip DRAM"
            )

    def groups(self, inputs):
        """Conversions that the rows of a dot product of `inputs` take, for one digit of either
        operand.
        """
        c = self.chip.computation
        per_block = c.word_lines // c.cells_per_digit
        full, rest = divmod(inputs, per_block)
        return full * -(-per_block * c.cells_per_digit // c.rows_per_conversion) + -(
            -rest * c.cells_per_digit // c.rows_per_conversion
        )

    def dot_products(self, number, inputs):
        """Conversions of `number` dot products of `inputs`."""
        return number * self.digits * self.chip.dense.weight_bits * self.groups(inputs)

    def computed(self, conversions, driven, switched, **bits):
        """Cost of work on the pool for all tokens of a job, as a Cost of one token.

        conversions : count; driven : bits put on word lines; switched : switches set
        """
        c, tokens = self.chip.computation, self.tokens
        time = conversions * self.conversion / self.adcs
        events = {
            "adc": conversions,
            "shift-add": conversions,
            "cell": conversions,
            "dac": driven,
            "encoder": driven + switched,
        }
        if "sample-hold" in self.chip.by_role:
            events["sample-hold"] = conversions
        events |= moved(self.chip, **bits)
        latency = c.settle_ns * NANO + self.chip.by_role["adc"][1].delay
        return Cost(
            {role: n / tokens for role, n in events.items()},
            time / tokens,
            max(time / tokens, latency),
        )

    def linear(self, op):
        c, d, tokens = self.chip.computation, self.chip.dense, self.tokens
        together = max(
            1, c.bit_lines // self.digits
        )  # tokens that share the word lines of a crossbar
        driven = (
            math.ceil(tokens / together)
            * op.inputs
            * op.outputs
            * d.weight_bits
            * c.cells_per_digit
        )
        switched = tokens * op.inputs * self.digits * c.cells_per_digit
        cost = self.computed(
            self.dot_products(tokens * op.outputs, op.inputs),
            driven,
            switched,
            buffer=tokens * op.values * c.activation_bits,
        )
        passes = math.ceil(tokens / d.reuse_tokens)
        bits = op.inputs * op.outputs * d.weight_bits * passes
        here, away = bits * (1 - self.absent), bits * self.absent
        sense = here / d.bits_per_cell * (2**d.bits_per_cell - 1)
        read_delay = self.chip.by_role["dense-read"][1].delay
        reading = here * read_delay / (d.read_bits * self.arrays) + (
            away / rate(self.chip, "dram") if away else 0.0
        )
        events = {"dense-read": here / tokens, "sense-amplifier": sense / tokens}
        if away:
            events["dram"] = away / tokens
        return Cost(
            cost.events | events,
            max(cost.service, reading / tokens),
            cost.fill + (read_delay or 0.0),
        )

    def product(self, op):
        """Activations times activations: one operand sets switches, the bits of the other drive the
        word lines.
        """
        c, tokens = self.chip.computation, self.tokens
        together = max(1, c.bit_lines // self.digits)
        driven = (
            math.ceil(self.sequence / together)
            * self.batch
            * op.copies
            * op.inputs
            * op.outputs
            * self.chip.dense.weight_bits
            * c.cells_per_digit
        )
        return self.computed(
            self.dot_products(tokens * op.values_out, op.inputs),
            driven,
            tokens * op.values_in * self.digits * c.cells_per_digit,
            buffer=tokens * op.values * c.activation_bits,
        )

    def nonlinear(self, op):
        """Products on the pool and one look-up of a function unit per element."""
        c = self.chip.computation
        elements = self.tokens * op.values_out
        products = elements * getattr(c.products, OPERATION_KEY[op.kind])
        part, component = self.chip.by_role["function-unit"]
        cost = self.computed(
            self.dot_products(products, 1),
            products * self.chip.dense.weight_bits * c.cells_per_digit,
            products * self.digits * c.cells_per_digit,
            buffer=self.tokens * op.values * c.activation_bits,
        )
        time = op.values_out * (component.delay or 0.0) / (part.count * self.copies[part.level])
        return Cost(
            cost.events | {"function-unit": op.values_out},
            max(cost.service, time),
            cost.fill + (component.delay or 0.0),
        )

    def cost(self, op, place):
        """Cost of a step on the host or on the pool."""
        if place == "host":
            return self.host(op, self.chip.computation.activation_bits)
        on_pool = {Kind.MATRIX: self.linear, Kind.PRODUCT: self.product}
        return on_pool.get(op.kind, self.nonlinear)(op)

    def plan(self):
        chip, steps = self.chip, self.chip.operations
        self.copies = {
            "dense": self.arrays,
            "crossbar": chip.computation.crossbars * self.chips,
            "chip": self.chips,
        }
        stages, costs = [], {}
        for op in self.operations:
            place = (
                "computation" if op.kind is Kind.MATRIX else getattr(steps, OPERATION_KEY[op.kind])
            )
            size = op.kind, op.inputs, op.outputs, op.copies
            if size not in costs:  # all layers have the same
                costs[size] = self.cost(op, place)
            resource = "link" if place == "host" else "computation crossbars"
            stages.append(self.stage(op, costs[size], resource, self.tokens))
        if self.chips > 1:
            self.notes.append(
                "activations cross between chips once per boundary; their energy is that of the link"
            )
            bits = (
                (self.chips - 1)
                * self.shape.hidden
                * chip.computation.activation_bits
                * self.tokens
            )
            time, crossing = bits / rate(chip, "link"), moved(chip, link=bits)
            stages.append(
                Stage(
                    "crossings",
                    self.shape.layers - 1,
                    1,
                    time,
                    time,
                    "link",
                    ((stages[-1].name, True),),
                    crossing,
                )
            )
        cells = (
            self.shape.matrix_weights
            * chip.dense.weight_bits
            / chip.dense.bits_per_cell
            * (1 - self.absent)
        )
        return Plan(
            self.copies,
            self.chips,
            self.fullness,
            1,
            1,
            self.ports(stages, chip.computation.activation_bits, self.tokens),
            cells * chip.dense.write_pulses,
            tuple(self.notes),
        )
