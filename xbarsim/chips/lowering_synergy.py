"""A model on dense arrays and a pool of computation crossbars."""

import math
from dataclasses import dataclass

from xbarsim.base.units import NANO
from xbarsim.chips.files.synergy import SynergyFile
from xbarsim.chips.lowering import Lowering
from xbarsim.chips.plans import Actions, Cost, Plan, Workload, shared
from xbarsim.chips.schedule import Stage
from xbarsim.models.graph import Kind, Link, Step

POOL = "computation crossbars"  # the resource of all steps on the chip


@dataclass(frozen=True)
class Storage:
    """Dense arrays that hold the weights of a model.

    absent : share of the weights that is off chip;  fullness : share of the cells that hold weights
    """

    arrays: int
    chips: int
    absent: float
    fullness: float


def storage_of(chip: SynergyFile, weights: int) -> Storage:
    """Storage of so many weights on a chip, or on as many chips as they need."""
    bits = weights * chip.dense.weight_bits
    needed = -(-bits // chip.dense.bits)
    chips = 1
    arrays = needed
    if chip.dense.arrays != "fit":
        if chip.over_capacity == "chips":
            chips = -(-needed // chip.dense.arrays)
        arrays = chip.dense.arrays * chips
    return Storage(
        arrays=arrays,
        chips=chips,
        absent=max(0.0, 1 - arrays * chip.dense.bits / bits),
        fullness=min(1.0, bits / (arrays * chip.dense.bits)),
    )


class SynergyLowering(Lowering[SynergyFile]):
    """All steps share one pool of computation crossbars, so they run one after the other over the
    whole batch; weights are read from the dense arrays while the pool computes.  The pool is taken
    to be evenly loaded.
    """

    def __init__(self, chip: SynergyFile, workload: Workload) -> None:
        super().__init__(chip, workload)
        computation = chip.computation
        self.tokens = workload.sequence * workload.batch
        self.storage = storage_of(chip, workload.shape.matrix_weights)
        crossbars = computation.crossbars * self.storage.chips
        self.adcs = crossbars * computation.bit_lines / computation.bit_lines_per_adc
        self.copies = {
            "dense": self.storage.arrays,
            "crossbar": crossbars,
            "chip": self.storage.chips,
        }
        self.costs: dict[tuple[Kind, int, int, int], Cost] = {}
        if self.storage.absent:
            self.note(
                f"{100 * self.storage.absent:.0f} % of the weights do not fit and come from "
                "off-chip DRAM"
            )

    def plan(self) -> Plan:
        chip = self.chip
        stages = [self._stage(step) for step in self.workload.steps]
        if self.storage.chips > 1:
            stages.append(self._crossings(stages[-1]))
        weights = self.workload.shape.matrix_weights
        cells = (
            weights * chip.dense.weight_bits / chip.dense.bits_per_cell * (1 - self.storage.absent)
        )
        return Plan(
            copies=self.copies,
            chips=self.storage.chips,
            utilisation=self.storage.fullness,
            replication=1,
            jobs=1,
            stages=self.ports(stages, chip.computation.activation_bits, self.tokens),
            programming_pulses=cells * chip.dense.write_pulses,
            notes=tuple(self.notes),
        )

    def _stage(self, step: Step) -> Stage:
        on_host = self.chip.operations.place(step.kind) == "host"
        size = step.kind, step.inputs, step.outputs, step.copies
        if size not in self.costs:  # all layers have the same
            if on_host:
                self.costs[size] = self.host(step, self.chip.computation.activation_bits)
            else:
                self.costs[size] = self._on_pool(step)
        resource = "link" if on_host else POOL
        return self.stage(step, self.costs[size], resource=resource, tokens=self.tokens)

    def _on_pool(self, step: Step) -> Cost:
        if step.kind is Kind.MATRIX:
            return self.linear(step)
        if step.kind is Kind.PRODUCT:
            return self.product(step)
        return self.nonlinear(step)

    def _crossings(self, last: Stage) -> Stage:
        """Activations from one chip to the next."""
        self.note(
            "activations cross between chips once per boundary; their energy is that of the link"
        )
        values = (self.storage.chips - 1) * self.workload.shape.hidden
        bits = values * self.chip.computation.activation_bits * self.tokens
        return self.crossing("crossings", bits, 1, after=(Link(last.name, waits=True),))

    def groups(self, inputs: int) -> int:
        """Conversions that the rows of a dot product of `inputs` take, for one digit of either
        operand.
        """
        computation = self.chip.computation
        cells = computation.cells_per_digit
        rows = computation.rows_per_conversion
        per_block = computation.word_lines // cells
        full, rest = divmod(inputs, per_block)
        return full * -(-per_block * cells // rows) + -(-rest * cells // rows)

    def dot_products(self, number: float, inputs: int) -> float:
        """Conversions of `number` dot products of `inputs`."""
        digits = self.chip.computation.digits
        return number * digits * self.chip.dense.weight_bits * self.groups(inputs)

    def computed(
        self, conversions: float, *, driven: float, switched: float, buffer: float
    ) -> Cost:
        """Cost of work on the pool for all tokens of a job, as a Cost of one token.

        conversions : count; driven : bits put on word lines; switched : switches set; buffer : bits
            that pass the buffer
        """
        time = conversions * self.chip.conversion_time / self.adcs
        events: Actions = {
            "adc": conversions,
            "shift-add": conversions,
            "cell": conversions,
            "dac": driven,
            "encoder": driven + switched,
        }
        if "sample-hold" in self.chip.by_role:
            events["sample-hold"] = conversions
        events |= self.chip.moved(buffer=buffer)
        latency = self.chip.computation.settle_ns * NANO + self.chip.delay("adc")
        return Cost(
            events=shared(events, self.tokens),
            service=time / self.tokens,
            fill=max(time / self.tokens, latency),
        )

    def linear(self, step: Step) -> Cost:
        """A matrix: its weights are read, and drive the word lines."""
        computation = self.chip.computation
        cells = computation.cells_per_digit
        tokens = self.tokens
        passes = math.ceil(tokens / computation.tokens_together)
        driven = passes * step.inputs * step.outputs * self.chip.dense.weight_bits * cells
        cost = self.computed(
            self.dot_products(tokens * step.outputs, step.inputs),
            driven=driven,
            switched=tokens * step.inputs * computation.digits * cells,
            buffer=tokens * step.values * computation.activation_bits,
        )
        return self._with_reads(step, cost)

    def _with_reads(self, step: Step, cost: Cost) -> Cost:
        """The cost, and that of reading the weights for all tokens of a job."""
        dense = self.chip.dense
        passes = math.ceil(self.tokens / dense.reuse_tokens)
        bits = step.inputs * step.outputs * dense.weight_bits * passes
        here = bits * (1 - self.storage.absent)
        away = bits * self.storage.absent
        comparisons = here / dense.bits_per_cell * (2**dense.bits_per_cell - 1)
        delay = self.chip.delay("dense-read")
        reading = here * delay / (dense.read_bits * self.storage.arrays)
        events: Actions = {"dense-read": here, "sense-amplifier": comparisons}
        if away:
            reading += away / self.chip.rate("dram")
            events["dram"] = away
        return Cost(
            events=cost.events | shared(events, self.tokens),
            service=max(cost.service, reading / self.tokens),
            fill=cost.fill + delay,
        )

    def product(self, step: Step) -> Cost:
        """Activations times activations: one operand sets switches, the bits of the other drive the
        word lines.
        """
        computation = self.chip.computation
        cells = computation.cells_per_digit
        passes = math.ceil(self.workload.sequence / computation.tokens_together)
        driven = (
            passes
            * self.workload.batch
            * step.copies
            * step.inputs
            * step.outputs
            * self.chip.dense.weight_bits
            * cells
        )
        return self.computed(
            self.dot_products(self.tokens * step.values_out, step.inputs),
            driven=driven,
            switched=self.tokens * step.values_in * computation.digits * cells,
            buffer=self.tokens * step.values * computation.activation_bits,
        )

    def nonlinear(self, step: Step) -> Cost:
        """Products on the pool and one look-up of a function unit per element."""
        computation = self.chip.computation
        cells = computation.cells_per_digit
        elements = self.tokens * step.values_out
        products = elements * computation.products.of(step.kind)
        part, component = self.chip.by_role["function-unit"]
        cost = self.computed(
            self.dot_products(products, 1),
            driven=products * self.chip.dense.weight_bits * cells,
            switched=products * computation.digits * cells,
            buffer=self.tokens * step.values * computation.activation_bits,
        )
        units = self.chip.part_count(part) * self.copies[part.level]
        time = step.values_out * component.pace / units
        return Cost(
            events=cost.events | {"function-unit": step.values_out},
            service=max(cost.service, time),
            fill=cost.fill + component.pace,
        )
