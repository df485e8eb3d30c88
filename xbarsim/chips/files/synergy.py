"""Tables of a chip file of kind synergy: dense arrays as memory, a pool of computation crossbars.

Digits of activations set the switches of a crossbar, bits of weights drive its word lines.
"""

from collections.abc import Iterator
from typing import ClassVar, Literal

from pydantic import Field

from xbarsim.base.units import MICROSIEMENS, NANO
from xbarsim.chips.components import cell_read_energy
from xbarsim.chips.files.chip import Circuits, missing
from xbarsim.chips.files.parts import Positive
from xbarsim.config.tables import Table
from xbarsim.models.graph import Kind

Place = Literal["computation", "host"]


class Dense(Table):
    """The memory: arrays of `word_lines` x `bit_lines` cells."""

    word_lines: int = Field(1024, ge=1)
    bit_lines: int = Field(65536, ge=1)
    bits_per_cell: int = Field(ge=1, le=8)
    weight_bits: int = Field(8, ge=1, le=16)
    arrays: Positive | Literal["fit"] = "fit"
    read_bits: int = Field(ge=1, description="bits that one array delivers per read")
    area_efficiency: float = Field(
        gt=0, le=1, description="cells over the whole array: decoders, drivers, segments"
    )
    reuse_tokens: int = Field(ge=1, description="tokens that share one read of a weight")
    write_pulses: float = Field(10.0, ge=1)
    holds_cache: bool = Field(
        False,
        description="keys and values of a decoder that the buffer cannot hold are written to dense "
        "arrays, not taken off the chip",
    )

    @property
    def bits(self) -> int:
        """That one array holds."""
        return self.word_lines * self.bit_lines * self.bits_per_cell


class Products(Table):
    """8-bit products on the computation crossbars per element of a nonlinear step."""

    softmax: float = Field(ge=0)
    layer_norm: float = Field(ge=0)
    gelu: float = Field(ge=0)

    def of(self, kind: Kind) -> float:
        """Of one element of a nonlinear step."""
        products = {
            Kind.SOFTMAX: self.softmax,
            Kind.NORM: self.layer_norm,
            Kind.ACTIVATION: self.gelu,
        }
        return products[kind]


class Computation(Table):
    """The pool of computation crossbars."""

    crossbars: int = Field(ge=1)
    word_lines: int = Field(128, ge=1)
    bit_lines: int = Field(128, ge=1)
    bit_lines_per_adc: int = Field(128, ge=1)
    activation_bits: int = Field(8, ge=1, le=16)
    digit_bits: int = Field(1, ge=1, le=8, description="bits of one digit of an activation")
    cells_per_digit: int = Field(1, ge=1, description="memristors, and rows, of one digit")
    rows_per_conversion: int = Field(ge=1)
    adc_bits: int = Field(2, ge=1, le=16)
    settle_ns: float = Field(ge=0, description="time that a conversion waits for the lines")
    bit_lines_conducting: int = Field(
        ge=1, description="bit lines that draw current during a conversion"
    )
    conductance_us: float = Field(gt=0)
    voltage_v: float = Field(0.2, gt=0, le=5)
    activity: float = Field(0.5, gt=0, le=1, description="share of ones in either operand")
    products: Products

    @property
    def digits(self) -> int:
        """Of an activation."""
        return self.activation_bits // self.digit_bits

    @property
    def tokens_together(self) -> int:
        """Tokens that share the word lines of a crossbar."""
        return max(1, self.bit_lines // self.digits)


class SynergySteps(Table):
    attention: Place
    softmax: Place
    layer_norm: Place
    gelu: Place

    def place(self, kind: Kind) -> Place:
        """Where steps of a kind run."""
        places: dict[Kind, Place] = {
            Kind.MATRIX: "computation",
            Kind.PRODUCT: self.attention,
            Kind.SOFTMAX: self.softmax,
            Kind.NORM: self.layer_norm,
            Kind.ACTIVATION: self.gelu,
        }
        return places[kind]

    @property
    def has_functions(self) -> bool:
        """Whether a nonlinear step runs on the chip."""
        return "computation" in (self.softmax, self.layer_norm, self.gelu)


class SynergyFile(Circuits):
    LEVELS: ClassVar[tuple[str, ...]] = ("dense", "crossbar", "chip")

    kind: Literal["synergy"]
    dense: Dense
    computation: Computation
    operations: SynergySteps

    @property
    def derived_counts(self) -> dict[str, float]:
        dense = self.dense
        computation = self.computation
        cells_read = dense.read_bits / dense.bits_per_cell
        return {
            "adc": computation.bit_lines / computation.bit_lines_per_adc,
            "dac": computation.word_lines,
            "cell": computation.word_lines * computation.bit_lines,
            "sample-hold": computation.bit_lines,
            "dense-cell": dense.word_lines * dense.bit_lines / dense.area_efficiency,
            "sense-amplifier": cells_read * (2**dense.bits_per_cell - 1),
        }

    @property
    def conversion_time(self) -> float:
        """s of one conversion."""
        return max(self.computation.settle_ns * NANO, self.delay("adc"))

    def prices(self) -> dict[str, float]:
        prices = {"cache-memory": self.cache_component.energy}
        for part, component in self.parts:
            prices[part.role] = component.energy
        prices["cell"] = self.conversion_energy()
        return prices

    @property
    def read_energy_source(self) -> str:
        return f"mean conductance of {self.computation.conductance_us:g} µS"

    def conversion_energy(self) -> float:
        """J of the cells that conduct during one conversion."""
        computation = self.computation
        conducting = (
            computation.rows_per_conversion
            * computation.bit_lines_conducting
            * computation.activity**2
        )
        return conducting * cell_read_energy(
            computation.conductance_us * MICROSIEMENS, computation.voltage_v, self.conversion_time
        )

    def contradictions(self) -> Iterator[str]:
        dense = self.dense
        yield from self._contradictions_of_computation()
        yield from self._other_bits("dense-cell", dense.bits_per_cell, "but dense.bits_per_cell")
        if dense.read_bits > dense.bit_lines * dense.bits_per_cell:
            yield (
                f"dense.read_bits = {dense.read_bits} exceeds the "
                f"{dense.bit_lines * dense.bits_per_cell} bits of a word line"
            )
        yield from missing(
            self.by_role,
            {
                "dense-cell": True,
                "dense-read": True,
                "sense-amplifier": True,
                "adc": True,
                "dac": True,
                "cell": True,
                "shift-add": True,
                "encoder": True,
                "buffer": True,
                "link": True,
                "cell-write": True,
                "function-unit": self.operations.has_functions,
                "dram": self.over_capacity == "reload",
            },
        )

    def _contradictions_of_computation(self) -> Iterator[str]:
        computation = self.computation
        if computation.bit_lines % computation.bit_lines_per_adc:
            yield (
                f"computation.bit_lines_per_adc = {computation.bit_lines_per_adc} does not divide "
                f"computation.bit_lines = {computation.bit_lines}"
            )
        if (
            computation.rows_per_conversion > computation.word_lines
            or computation.bit_lines_conducting > computation.bit_lines
            or computation.cells_per_digit > computation.word_lines
        ):
            yield (
                "computation.rows_per_conversion, cells_per_digit and bit_lines_conducting cannot "
                f"exceed the {computation.word_lines} word lines and {computation.bit_lines} bit "
                "lines"
            )
        if (
            computation.activation_bits % computation.digit_bits
            or -(-computation.activation_bits // computation.digit_bits) > computation.bit_lines
        ):
            yield (
                f"computation.digit_bits = {computation.digit_bits} must divide activation_bits = "
                f"{computation.activation_bits}"
            )
        yield from self._other_bits("adc", computation.adc_bits, "computation.adc_bits")
        if "dac" in self.by_role and self.by_role["dac"].component.bits != 1:
            yield (
                f"part dac is {self.by_role['dac'].component.name}: word lines of a computation "
                "crossbar are driven by single bits"
            )

    def _other_bits(self, role: str, bits: int, key: str) -> Iterator[str]:
        if role not in self.by_role:
            return
        component = self.by_role[role].component
        if component.bits != bits:
            yield f"part {role} is {component.name} of {component.bits} bits, {key} = {bits}"
