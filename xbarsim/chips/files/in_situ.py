"""Tables of a chip file of kind in-situ: every weight in the array that multiplies with it."""

from collections.abc import Iterator
from typing import ClassVar, Literal

from pydantic import Field

from xbarsim.arrays.digital_scale import DigitalScale, ScaleShift
from xbarsim.arrays.in_situ.layout import cells_per_crosspoint, lines_per_input
from xbarsim.base.errors import ConfigError
from xbarsim.base.units import MICROSIEMENS, NANO
from xbarsim.chips.components import cell_read_energy
from xbarsim.chips.files.chip import Circuits, missing
from xbarsim.chips.files.parts import Positive
from xbarsim.config.arrays import Adc, Dac, Mapping
from xbarsim.config.tables import Table
from xbarsim.models.graph import Kind

Place = Literal["digital", "host"]


class Organisation(Table):
    tiles: Positive | Literal["fit"] = Field(
        "fit", description="of one chip; fit: as many as the model needs"
    )
    units_per_tile: int = Field(ge=1)
    arrays_per_unit: int = Field(ge=1)
    bit_lines_per_adc: int = Field(ge=1)
    replicate: Positive | Literal["fill"] = Field(
        1, description="copies of the model for throughput; fill: what is free"
    )
    pipelined: bool = True
    pipeline_cycles: int = Field(
        0, ge=0, description="read cycles that a token spends outside the arrays of a matrix"
    )
    dummy_columns: bool = Field(
        False,
        description="one more bit line of every array, read with the others, whose current scales their "
        "codes: correction.columns of a study",
    )
    hops: float = Field(1.0, ge=0, description="routers that a value passes between two matrices")


class Cell(Table):
    read_energy: Literal["component", "mean"] = Field(
        "mean",
        description="of a part `array`, or G V² t of the mean conductance of a part `cell`; a "
        "trace overrides both",
    )
    mean_conductance_us: float | None = Field(None, gt=0)
    voltage_v: float = Field(0.2, gt=0, le=5)
    activity: float = Field(
        0.5,
        gt=0,
        le=1,
        description="mean square of the driven voltage over the read voltage's square",
    )
    write_pulses: float = Field(
        10.0, ge=1, description="programming pulses per cell, verification included"
    )


class Steps(Table):
    """Where the steps without stationary weights run."""

    attention: Literal["digital", "written", "host"]
    softmax: Place
    layer_norm: Place
    gelu: Place

    def place(self, kind: Kind) -> str:
        """Where steps of a kind other than a matrix run."""
        places: dict[Kind, str] = {
            Kind.PRODUCT: self.attention,
            Kind.SOFTMAX: self.softmax,
            Kind.NORM: self.layer_norm,
            Kind.ACTIVATION: self.gelu,
        }
        return places[kind]


class InSituFile(Circuits):
    LEVELS: ClassVar[tuple[str, ...]] = ("unit", "tile", "chip")

    kind: Literal["in-situ"]
    organisation: Organisation
    mapping: Mapping
    dac: Dac
    adc: Adc
    cell: Cell
    operations: Steps

    @property
    def input_bits(self) -> int:
        """Of an input, and of every value that moves; numbers are asked for (`contradictions`)."""
        if self.dac.bits == "ideal":
            raise ConfigError("dac.bits must be a number: an ideal converter has no price")
        return self.dac.bits

    @property
    def planes(self) -> int:
        """Cells per weight."""
        mapping = self.mapping
        signs = 2 if mapping.sign == "pair" else 1
        if mapping.encoding != "slices":
            return signs
        magnitude_bits = mapping.weight_bits - (mapping.sign == "pair")
        return -(-magnitude_bits // mapping.bits_per_cell) * signs

    @property
    def written_per_weight(self) -> int:
        """Cells that are written for a weight: on every word line of an input, and of a crosspoint."""
        return self.planes * lines_per_input(self.mapping) * cells_per_crosspoint(self.mapping)

    @property
    def multiplies(self) -> bool:
        """Whether something is multiplied by digital scales."""
        scales = self.dac.scaling != "static" or self.mapping.scale_shift > 0
        return scales or self.organisation.dummy_columns

    @property
    def conversions_per_output(self) -> int:
        """ADC results per output, phase and row block."""
        mapping = self.mapping
        if mapping.sign == "pair" and mapping.subtraction == "analog":
            return self.planes // 2
        return self.planes

    @property
    def phases(self) -> int:
        """Voltage phases of one input, as `converters.InputCoder` applies them."""
        signs = 1 if self.dac.polarity == "signed" else 2
        if self.dac.encoding == "bit_serial":
            return signs * -(-(self.input_bits - (signs == 2)) // self.dac.digit_bits)
        return signs

    def scale_of(self, inputs: int) -> DigitalScale:
        """What is done digitally to the inputs of a matrix of this depth."""
        shift = None
        if self.mapping.scale_shift:
            shift = ScaleShift.unknown(inputs, self.mapping.scale_shift)
        return DigitalScale.of(self.dac, inputs, self.mapping.word_lines, shift)

    @property
    def driven_bits(self) -> int | Literal["ideal"]:
        """Bits that one phase drives."""
        if self.dac.encoding == "pulse_width":
            return 1
        if self.dac.encoding == "bit_serial":
            return self.dac.digit_bits
        return self.dac.bits

    @property
    def cells_per_unit(self) -> int:
        """Crosspoints: a digit each, in one cell or in several."""
        return self.mapping.word_lines * self.mapping.bit_lines * self.organisation.arrays_per_unit

    @property
    def derived_counts(self) -> dict[str, float]:
        organisation = self.organisation
        word_lines = organisation.arrays_per_unit * self.mapping.word_lines
        bit_lines = organisation.arrays_per_unit * self.mapping.bit_lines
        dummies = organisation.arrays_per_unit if organisation.dummy_columns else 0
        cells = word_lines * self.mapping.bit_lines * cells_per_crosspoint(self.mapping)
        return {
            "adc": (bit_lines + dummies) / organisation.bit_lines_per_adc,
            "dac": word_lines,
            "sample-hold": bit_lines + dummies,
            "array": organisation.arrays_per_unit,
            "cell": cells + dummies * self.mapping.word_lines,
        }

    def prices(self) -> dict[str, float]:
        prices = {"cache-memory": self.cache_component.energy}
        for part, component in self.parts:
            prices[part.role] = component.energy
        if self.cell.read_energy == "mean":
            prices["cell"] = self.mean_read_energy()
        return prices

    @property
    def read_energy_source(self) -> str:
        if self.cell.read_energy == "component":
            return f"component {self.by_role['array'].component.name}"
        return f"mean conductance of {self.cell.mean_conductance_us:g} µS"

    def mean_read_energy(self) -> float:
        """J of one read of a whole array, from the mean conductance of its cells."""
        if self.cell.mean_conductance_us is None:
            raise ConfigError('cell.read_energy = "mean" needs cell.mean_conductance_us')
        of_one = cell_read_energy(
            self.cell.mean_conductance_us * MICROSIEMENS,
            self.cell.voltage_v,
            self.dac.read_time_ns * NANO,
        )
        cells = self.mapping.word_lines * self.mapping.bit_lines
        return cells * self.cell.activity * of_one

    def contradictions(self) -> Iterator[str]:
        organisation = self.organisation
        lines = organisation.arrays_per_unit * self.mapping.bit_lines
        if lines % organisation.bit_lines_per_adc:
            yield (
                f"organisation.bit_lines_per_adc = {organisation.bit_lines_per_adc} does not "
                f"divide the {lines} bit lines of a unit"
            )
        if "ideal" in (self.dac.bits, self.adc.bits):
            yield "dac.bits and adc.bits must be numbers: an ideal converter has no price"
        if self.mapping.sign == "offset" and self.mapping.encoding not in ("slices", "binary"):
            yield 'mapping.sign = "offset" needs mapping.encoding = "slices" or "binary"'
        yield from self._other_bits("adc", self.adc.bits, "adc.bits")
        yield from self._other_bits("dac", self.driven_bits, "the bits that a phase drives")
        needed = "array" if self.cell.read_energy == "component" else "cell"
        if needed not in self.by_role:
            yield (f'cell.read_energy = "{self.cell.read_energy}" needs a part with role {needed}')
        if needed == "cell" and self.cell.mean_conductance_us is None:
            yield 'cell.read_energy = "mean" needs cell.mean_conductance_us'
        yield from missing(
            self.by_role,
            {
                "mac": self.operations.attention == "digital",
                "softmax": self.operations.softmax == "digital",
                "layer-norm": self.operations.layer_norm == "digital",
                "gelu": self.operations.gelu == "digital",
                "cell-write": True,
                "dram": self.over_capacity == "reload",
                "adc": True,
                "dac": True,
                "shift-add": True,
                "scale-compare": self.dac.scaling != "static",
                "scale-multiply": self.multiplies,
                "link": True,
            },
        )

    def _other_bits(self, role: str, bits: int | str, key: str) -> Iterator[str]:
        if role not in self.by_role:
            return
        component = self.by_role[role].component
        if component.bits != bits:
            yield (
                f"part {role} is {component.name} of {component.bits} bits, but {key} are {bits}"
            )
