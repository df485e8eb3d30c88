"""A model on dense arrays and a pool of computation crossbars."""

import math
from dataclasses import dataclass

from xbarsim.base.units import NANO
from xbarsim.chips.files.synergy import SynergyFile
from xbarsim.chips.lowering import Lowering
from xbarsim.chips.plans import Actions, CachePlace, Cost, Phase, Plan, Workload, scaled, shared
from xbarsim.chips.schedule import Stage
from xbarsim.models.graph import Kind, Link, Role, Step

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


def storage_of(chip: SynergyFile, bits: int) -> Storage:
    """Storage of so many bits on a chip, or on as many chips as they need."""
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
        self.tokens = workload.tokens * workload.batch
        self.place = self._cache_place()
        self.storage = storage_of(chip, self._stored_bits())
        crossbars = computation.crossbars * self.storage.chips
        self.adcs = crossbars * computation.bit_lines / computation.bit_lines_per_adc
        self.copies = {
            "dense": self.storage.arrays,
            "crossbar": crossbars,
            "chip": self.storage.chips,
        }
        self.costs: dict[tuple[Kind, int, int, int, int], Cost] = {}
        if self.storage.absent:
            self.note(
                f"{100 * self.storage.absent:.0f} % of the weights do not fit and come from "
                "off-chip DRAM"
            )

    def plan(self) -> Plan:
        chip = self.chip
        stages = self._stages()
        if self.storage.chips > 1:
            stages.append(self._crossings(stages[-1]))
        weights = self.workload.weights
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
            cache=self.cache(self.place, chip.computation.activation_bits),
        )

    def _stages(self) -> list[Stage]:
        stages = []
        kept = self.place in (CachePlace.OFF_CHIP, CachePlace.CELLS)
        for step in self.workload.steps:
            after = step.after
            if kept and step.kind is Kind.PRODUCT:
                stages.append(self._cached(step))
                after = (*after, Link(stages[-1].name))
            elif step.role is Role.LOGITS:  # of the last token of a sequence
                after = tuple(Link(name, waits=True) for name, _ in after)
            stages.append(self._stage(step, after))
        return stages

    def _stage(self, step: Step, after: tuple[Link, ...]) -> Stage:
        on_host = self.chip.operations.place(step.kind) == "host"
        size = step.kind, step.inputs, step.outputs, step.copies, step.second
        if size not in self.costs:  # all layers have the same
            self.costs[size] = self.over_tokens(step, self._cost)
        return self.stage(
            step,
            self.costs[size],
            resource="link" if on_host else POOL,
            tokens=self._tokens_of(step),
            after=after,
        )

    def _cost(self, step: Step) -> Cost:
        """On the host or on the pool."""
        if self.chip.operations.place(step.kind) == "host":
            return self.host(step, self.chip.computation.activation_bits)
        if step.kind is Kind.MATRIX:
            return self.linear(step)
        if step.kind is Kind.PRODUCT:
            return self.product(step)
        return self.nonlinear(step)

    def _tokens_of(self, step: Step) -> int:
        """Tokens of all sequences that go through a step."""
        return self.workload.tokens_of(step) * self.workload.batch

    def _cache_place(self) -> CachePlace:
        """Where keys and values are kept."""
        if self.chip.operations.attention == "host":
            return CachePlace.HOST
        bits = self.chip.computation.activation_bits
        if not self.beyond_the_buffer(
            bits, {"chip": 1, "crossbar": self.chip.computation.crossbars}
        ):
            return CachePlace.BUFFER
        if self.chip.dense.holds_cache:
            return CachePlace.CELLS
        return CachePlace.OFF_CHIP

    def _stored_bits(self) -> int:
        """Of the weights, and of keys and values where they lie in dense arrays."""
        bits = self.workload.weights * self.chip.dense.weight_bits
        if self.place is CachePlace.CELLS:
            bits += round(8 * self.workload.cache_size(self.chip.computation.activation_bits))
        return bits

    def _cached(self, step: Step) -> Stage:
        """Keys or values of a product from where they are kept, and those of new tokens to it."""
        bits = self.chip.computation.activation_bits
        if self.place is CachePlace.OFF_CHIP:
            return self.off_chip(step, bits, self.tokens, self.storage.chips)
        return self._in_dense_arrays(step)

    def _in_dense_arrays(self, step: Step) -> Stage:
        """Keys or values read from dense arrays, those of new tokens written to them, all cells of
        a token at once.
        """
        dense = self.chip.dense
        written = step.second * self.chip.computation.activation_bits
        read = written
        if self.workload.phase is Phase.DECODE:
            read *= self.workload.sequence
        pace = self.chip.by_role["cell-write"].component.pace
        reading = read * self.chip.delay("dense-read") / (dense.read_bits * self.storage.arrays)
        time = reading + dense.write_pulses * pace
        events = {
            "dense-read": float(read),
            "sense-amplifier": read / dense.bits_per_cell * (2**dense.bits_per_cell - 1),
            "cell-write": written / dense.bits_per_cell * dense.write_pulses,
        }
        return Stage(
            name=f"{step.name}.cache",
            layer=step.layer,
            tokens=self.tokens,
            service=time,
            fill=time,
            resource="dense arrays",
            after=(),
            events=scaled(events, self.tokens),
            step=f"{step.role}.cache",
        )

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
        self, conversions: float, *, driven: float, switched: float, buffer: float, tokens: int
    ) -> Cost:
        """Cost of work on the pool for so many tokens, as a Cost of one token.

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
            events=shared(events, tokens),
            service=time / tokens,
            fill=max(time / tokens, latency),
        )

    def linear(self, step: Step) -> Cost:
        """A matrix: its weights are read, and drive the word lines."""
        computation = self.chip.computation
        cells = computation.cells_per_digit
        tokens = self._tokens_of(step)
        passes = math.ceil(tokens / computation.tokens_together)
        driven = passes * step.inputs * step.outputs * self.chip.dense.weight_bits * cells
        cost = self.computed(
            self.dot_products(tokens * step.outputs, step.inputs),
            driven=driven,
            switched=tokens * step.inputs * computation.digits * cells,
            buffer=tokens * step.values * computation.activation_bits,
            tokens=tokens,
        )
        return self._with_reads(step, cost, tokens)

    def _with_reads(self, step: Step, cost: Cost, tokens: int) -> Cost:
        """The cost, and that of reading the weights for so many tokens."""
        dense = self.chip.dense
        passes = math.ceil(tokens / dense.reuse_tokens)
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
            events=cost.events | shared(events, tokens),
            service=max(cost.service, reading / tokens),
            fill=cost.fill + delay,
        )

    def product(self, step: Step) -> Cost:
        """Activations times activations: one operand sets switches, the bits of the other drive the
        word lines.
        """
        computation = self.chip.computation
        cells = computation.cells_per_digit
        shape = self.workload.shape
        together = self.workload.tokens * shape.query_heads_per_key  # share keys or values
        passes = math.ceil(together / computation.tokens_together)
        driven = (
            passes
            * self.workload.batch
            * shape.cached_heads
            * step.inputs
            * step.outputs
            * self.chip.dense.weight_bits
            * cells
        )
        return self.computed(
            self.dot_products(self.tokens * step.values_out, step.inputs),
            driven=driven,
            switched=self.tokens * step.values_in * computation.digits * cells,
            buffer=self.tokens * self.buffered_values(step) * computation.activation_bits,
            tokens=self.tokens,
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
            tokens=self.tokens,
        )
        units = self.chip.part_count(part) * self.copies[part.level]
        time = step.values_out * component.pace / units
        return Cost(
            events=cost.events | {"function-unit": step.values_out},
            service=max(cost.service, time),
            fill=cost.fill + component.pace,
        )
