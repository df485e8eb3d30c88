"""Chip descriptions: validated TOML files of three kinds of architecture (data/chips/*.toml, or a path).

`in-situ` chips hold every weight in the array that multiplies with it; `synergy` chips store weights in dense arrays and
multiply in a pool of computation crossbars; `processor` chips are GPUs and TPUs with measured latencies.  Parts name a
component of the library (or of the file's own `[component]` table); quantities that nobody published are values with an
entry in `[[assumed]]` that gives the range to sweep.
"""
import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, ValidationError

from xbarsim.base.errors import ConfigError
from xbarsim.base.toml_files import Presets, describe, parse
from xbarsim.base.units import MICROSIEMENS, NANO
from xbarsim.chips.components import (
    KEYS,
    cell_read_energy,
    library,
    library_entries,
    parse_component,
)
from xbarsim.config.arrays import Adc, Dac, Mapping
from xbarsim.config.study import merge
from xbarsim.config.tables import Table

CHIPS = Presets("chip", "chips")
Positive = Annotated[int, Field(ge=1)]

# role -> kinds of component that may play it
ROLES = {
    "adc": ("adc",), "dac": ("dac",), "sample-hold": ("sample-hold",), "array": ("array",), "cell": ("cell",),
    "shift-add": ("shift-and-add", "adder"), "input-register": ("register", "sram"), "output-register": ("register", "sram"),
    "tile-shift-add": ("shift-and-add", "adder"), "tile-register": ("register", "sram"), "buffer": ("edram", "sram"),
    "bus": ("bus",), "router": ("router",), "link": ("link",), "dram": ("dram",), "mac": ("mac", "multiplier"),
    "softmax": ("softmax", "function-unit"), "layer-norm": ("layer-norm", "function-unit"),
    "gelu": ("gelu", "activation", "function-unit"), "activation": ("activation",), "pool": ("pool",),
    "control": ("control",), "cell-write": ("cell-write",), "dense-cell": ("cell",), "dense-read": ("dense-read",),
    "sense-amplifier": ("sense-amplifier",), "function-unit": ("function-unit", "activation"),
    "encoder": ("encoder", "register"),
}
TIMED = ("adc", "dense-read")              # roles that set the pace, so that their component must state one
LEVELS = {"in-situ": ("unit", "tile", "chip"), "synergy": ("dense", "crossbar", "chip"), "processor": ()}


class Part(Table):
    """`count` components in every unit, tile, dense array, crossbar or chip.  The count of adc, dac, sample-hold, array and
    cell (dense-cell and sense-amplifier in dense arrays) follows from the organisation and is not given."""

    role: Literal[tuple(ROLES)]
    level: Literal["unit", "tile", "dense", "crossbar", "chip"]
    component: str
    count: float | None = Field(None, gt=0, allow_inf_nan=False)


class Assumed(Table):
    """A key of this file without a published value, and what to sweep it over."""

    key: str = Field(description="dotted path in this file")
    range: tuple[float, float] | None = None
    values: tuple[Any, ...] = Field((), description="in place of a range: the choices")
    why: str = Field(min_length=1)

    @property
    def ends(self):
        return self.range or (self.values[0], self.values[-1])


class Chip(Table):
    description: str
    source: str = Field(min_length=1)
    node_nm: float = Field(gt=0)
    assumed: tuple[Assumed, ...] = ()

    @property
    def node(self):
        return self.node_nm * NANO


class Circuits(Chip):
    """What in-situ and synergy chips share."""

    idle_fraction: float = Field(0.0, ge=0, le=1, description="share of the peak power that flows all the time")
    over_capacity: Literal["chips", "reload"] = Field(
        "chips", description="a model that does not fit: more chips, or weights brought from off-chip DRAM in every pass")
    part: tuple[Part, ...] = Field(min_length=1)
    component: dict[str, dict[str, Any]] = Field({}, description="own components; `base` names one to start from")

    @functools.cached_property
    def parts(self):
        """[(Part, Component at the chip's node)]"""
        return [(part, resolve(part.component, self.component).at(self.node)) for part in self.part]

    @functools.cached_property
    def by_role(self):
        """{role: (Part, Component)}; a role may be played by one part only."""
        return {part.role: (part, component) for part, component in self.parts}


class Organisation(Table):
    tiles: Positive | Literal["fit"] = Field("fit", description="of one chip; fit: as many as the model needs")
    units_per_tile: int = Field(ge=1)
    arrays_per_unit: int = Field(ge=1)
    bit_lines_per_adc: int = Field(ge=1)
    replicate: Positive | Literal["fill"] = Field(1, description="copies of the model for throughput; fill: what is free")
    pipelined: bool = True
    pipeline_cycles: int = Field(0, ge=0, description="read cycles that a token spends outside the arrays of a matrix")
    hops: float = Field(1.0, ge=0, description="routers that a value passes between two matrices")


class Cell(Table):
    read_energy: Literal["component", "mean"] = Field(
        "mean", description="of a part `array`, or G V² t of the mean conductance of a part `cell`; a trace overrides both")
    mean_conductance_us: float | None = Field(None, gt=0)
    voltage_v: float = Field(0.2, gt=0, le=5)
    activity: float = Field(0.5, gt=0, le=1, description="mean square of the driven voltage over the read voltage's square")
    write_pulses: float = Field(10.0, ge=1, description="programming pulses per cell, verification included")


class Steps(Table):
    """Where the steps without stationary weights run."""

    attention: Literal["digital", "written", "host"]
    softmax: Literal["digital", "host"]
    layer_norm: Literal["digital", "host"]
    gelu: Literal["digital", "host"]


class InSitu(Circuits):
    kind: Literal["in-situ"]
    organisation: Organisation
    mapping: Mapping
    dac: Dac
    adc: Adc
    cell: Cell
    operations: Steps

    @property
    def planes(self):
        """Cells per weight."""
        m = self.mapping
        digits = 1 if m.encoding == "amplitude" else -(-(m.weight_bits - (m.sign == "pair")) // m.bits_per_cell)
        return digits * (2 if m.sign == "pair" else 1)

    @property
    def conversions_per_output(self):
        """ADC results per output, phase and row block."""
        m = self.mapping
        return self.planes // 2 if m.sign == "pair" and m.subtraction == "analog" else self.planes

    @property
    def phases(self):
        """Voltage phases of one input, as `converters.InputCoder` applies them."""
        signs = 1 if self.dac.polarity == "signed" else 2
        if self.dac.encoding == "bit_serial":
            return signs * -(-(self.dac.bits - (signs == 2)) // self.dac.digit_bits)
        return signs

    def part_count(self, part):
        org, m = self.organisation, self.mapping
        derived = {"adc": org.arrays_per_unit * m.bit_lines / org.bit_lines_per_adc,
                   "dac": org.arrays_per_unit * m.word_lines, "sample-hold": org.arrays_per_unit * m.bit_lines,
                   "array": org.arrays_per_unit, "cell": org.arrays_per_unit * m.word_lines * m.bit_lines}
        return derived.get(part.role, part.count)

    def contradictions(self):
        org, m, roles = self.organisation, self.mapping, self.by_role
        lines = org.arrays_per_unit * m.bit_lines
        if lines % org.bit_lines_per_adc:
            yield f"organisation.bit_lines_per_adc = {org.bit_lines_per_adc} does not divide the {lines} bit lines of a unit"
        if "ideal" in (self.dac.bits, self.adc.bits):
            yield "dac.bits and adc.bits must be numbers: an ideal converter has no price"
        if m.sign == "offset" and m.encoding != "slices":
            yield 'mapping.sign = "offset" needs mapping.encoding = "slices"'
        driven = self.dac.digit_bits if self.dac.encoding == "bit_serial" else self.dac.bits
        if self.dac.encoding == "pulse_width":
            driven = 1
        for role, bits, key in (("adc", self.adc.bits, "adc.bits"), ("dac", driven, "the bits that a phase drives")):
            if role in roles and roles[role][1].bits != bits:
                yield (f"part {role} is {roles[role][1].name} of {roles[role][1].bits} bits, but {key} are {bits}")
        needed = "array" if self.cell.read_energy == "component" else "cell"
        if needed not in roles:
            yield f'cell.read_energy = "{self.cell.read_energy}" needs a part with role {needed}'
        if needed == "cell" and self.cell.mean_conductance_us is None:
            yield 'cell.read_energy = "mean" needs cell.mean_conductance_us'
        yield from missing(roles, {
            "mac": self.operations.attention == "digital", "softmax": self.operations.softmax == "digital",
            "layer-norm": self.operations.layer_norm == "digital", "gelu": self.operations.gelu == "digital",
            "cell-write": True, "dram": self.over_capacity == "reload",
            "adc": True, "dac": True, "shift-add": True, "link": True})


class Dense(Table):
    """The memory: arrays of `word_lines` x `bit_lines` cells."""

    word_lines: int = Field(1024, ge=1)
    bit_lines: int = Field(65536, ge=1)
    bits_per_cell: int = Field(ge=1, le=8)
    weight_bits: int = Field(8, ge=1, le=16)
    arrays: Positive | Literal["fit"] = "fit"
    read_bits: int = Field(ge=1, description="bits that one array delivers per read")
    area_efficiency: float = Field(gt=0, le=1, description="cells over the whole array: decoders, drivers, segments")
    reuse_tokens: int = Field(ge=1, description="tokens that share one read of a weight")
    write_pulses: float = Field(10.0, ge=1)


class Products(Table):
    """8-bit products on the computation crossbars per element of a nonlinear step."""

    softmax: float = Field(ge=0)
    layer_norm: float = Field(ge=0)
    gelu: float = Field(ge=0)


class Computation(Table):
    """The pool of computation crossbars.  Digits of activations set the switches, bits of weights drive the word lines."""

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
    bit_lines_conducting: int = Field(ge=1, description="bit lines that draw current during a conversion")
    conductance_us: float = Field(gt=0)
    voltage_v: float = Field(0.2, gt=0, le=5)
    activity: float = Field(0.5, gt=0, le=1, description="share of ones in either operand")
    products: Products


class SynergySteps(Table):
    attention: Literal["computation", "host"]
    softmax: Literal["computation", "host"]
    layer_norm: Literal["computation", "host"]
    gelu: Literal["computation", "host"]


class Synergy(Circuits):
    kind: Literal["synergy"]
    dense: Dense
    computation: Computation
    operations: SynergySteps

    def part_count(self, part):
        d, c = self.dense, self.computation
        cells_read = d.read_bits / d.bits_per_cell
        derived = {"adc": c.bit_lines / c.bit_lines_per_adc, "dac": c.word_lines, "cell": c.word_lines * c.bit_lines,
                   "sample-hold": c.bit_lines, "dense-cell": d.word_lines * d.bit_lines / d.area_efficiency,
                   "sense-amplifier": cells_read * (2**d.bits_per_cell - 1)}
        return derived.get(part.role, part.count)

    def contradictions(self):
        d, c, roles = self.dense, self.computation, self.by_role
        if c.bit_lines % c.bit_lines_per_adc:
            yield (f"computation.bit_lines_per_adc = {c.bit_lines_per_adc} does not divide computation.bit_lines = "
                   f"{c.bit_lines}")
        if c.rows_per_conversion > c.word_lines or c.bit_lines_conducting > c.bit_lines or c.cells_per_digit > c.word_lines:
            yield ("computation.rows_per_conversion, cells_per_digit and bit_lines_conducting cannot exceed the "
                   f"{c.word_lines} word lines and {c.bit_lines} bit lines")
        if c.activation_bits % c.digit_bits or -(-c.activation_bits // c.digit_bits) > c.bit_lines:
            yield f"computation.digit_bits = {c.digit_bits} must divide activation_bits = {c.activation_bits}"
        if "adc" in roles and roles["adc"][1].bits != c.adc_bits:
            yield f"part adc is {roles['adc'][1].name} of {roles['adc'][1].bits} bits, computation.adc_bits = {c.adc_bits}"
        if "dac" in roles and roles["dac"][1].bits != 1:
            yield f"part dac is {roles['dac'][1].name}: word lines of a computation crossbar are driven by single bits"
        if "dense-cell" in roles and roles["dense-cell"][1].bits != d.bits_per_cell:
            yield (f"part dense-cell is {roles['dense-cell'][1].name} of {roles['dense-cell'][1].bits} bits, but "
                   f"dense.bits_per_cell = {d.bits_per_cell}")
        if d.read_bits > d.bit_lines * d.bits_per_cell:
            yield f"dense.read_bits = {d.read_bits} exceeds the {d.bit_lines * d.bits_per_cell} bits of a word line"
        on_chip = [step for step in (self.operations.softmax, self.operations.layer_norm, self.operations.gelu)
                   if step == "computation"]
        yield from missing(roles, {
            "dense-cell": True, "dense-read": True, "sense-amplifier": True, "adc": True, "dac": True, "cell": True,
            "shift-add": True, "encoder": True, "buffer": True, "link": True, "cell-write": True,
            "function-unit": bool(on_chip), "dram": self.over_capacity == "reload"})


class Measured(Table):
    model: str
    sequence: int = Field(ge=1)
    batch: int = Field(ge=1)
    precision: str
    latency_ms: float = Field(gt=0, allow_inf_nan=False)


class Processor(Chip):
    kind: Literal["processor"]
    area_mm2: float = Field(gt=0)
    power_w: float = Field(gt=0)
    power_fraction: float = Field(1.0, gt=0, le=1.5, description="drawn power over power_w while it computes")
    precision: str
    peak_tops: dict[str, Annotated[float, Field(gt=0, allow_inf_nan=False)]] = Field(
        description="precision -> 1e12 operations per second (a MAC is two)")
    memory_gib: float = Field(gt=0)
    measured: tuple[Measured, ...] = ()
    utilisation_of: str | None = Field(None, description="processor whose share of the peak is assumed here")
    utilisation_ratio: float = Field(1.0, gt=0)

    @property
    def by_role(self):
        return {}

    parts = property(lambda self: [])

    def contradictions(self):
        if self.precision not in self.peak_tops:
            yield f"precision = {self.precision!r} has no peak_tops; known: {', '.join(self.peak_tops)}"
        if bool(self.measured) == bool(self.utilisation_of):
            yield "give either [[measured]] latencies or utilisation_of, the processor to estimate from"
        if self.measured and not any(point.precision == self.precision for point in self.measured):
            yield f"no [[measured]] latency has precision = {self.precision!r}"


def missing(roles, needed):
    for role, wanted in needed.items():
        if wanted and role not in roles:
            yield f"a [[part]] with role {role!r} is needed and absent"


AnyChip = Annotated[InSitu | Synergy | Processor, Field(discriminator="kind")]
_ADAPTER = TypeAdapter(AnyChip)


def resolve(name, own):
    """Component of the library or of a chip's own `[component]` table ({name: table}, `base` names what it changes).

    A changed quantity is no longer assumed unless the table says so.
    """
    if name not in own:
        try:
            return library()[name]
        except KeyError:
            raise ConfigError(f"no component {name!r} in the library or in [component]; the library holds "
                              f"{', '.join(sorted(library()))}") from None
    change = dict(own[name])
    base = change.pop("base", None)
    entry = {}
    if base is not None:
        if not isinstance(base, str) or base not in library_entries():
            raise ConfigError(f"component {name}: base = {base!r} is not in the library")
        entry = dict(library_entries()[base])
    for given, other in (("energy_pj", "power_mw"), ("area_um2", "area_f2"), ("delay_ns", "rate_mhz")):
        for key, rival in ((given, other), (other, given)):
            if key in change:
                entry.pop(rival, None)
                entry.pop(f"{given}_range", None)
                entry["assumed"] = [q for q in entry.get("assumed", ()) if KEYS[q] != given]
    return parse_component(name, entry | change, "[component]")


def chip_names():
    """Names of the chips that come with xbarsim."""
    return CHIPS.names()


def chip_text(name_or_path):
    """The TOML text of a chip."""
    return CHIPS.text(name_or_path)


@dataclass(frozen=True)
class Description:
    """A chip as loaded: its name, its content as plain tables, and the validated file."""

    name: str
    content: dict
    chip: Chip

    def changed(self, *edits):
        """The description with values put at dotted paths; edits : (path tuple, value)."""
        content = self.content
        for path, value in edits:
            nested = value
            for key in reversed(path):
                nested = {key: nested}
            content = merge(content, nested)
        return describe_chip(self.name, content)


def load_chip(name_or_path: str | Path) -> Description:
    """Description of a chip by name or file.

    Parameters
    ----------
    name_or_path : one of those that `xbarsim chip list` shows, or a file of the form of
        docs/chips.md

    Returns
    -------
    Description : its name and its validated file

    Raises
    ------
    ConfigError : no such chip, not TOML, unknown or contradictory keys, a missing part, a value out of range
    """
    return parse_chip(name_or_path, chip_text(name_or_path))


def parse_chip(name_or_path, text):
    """Description of the text of a chip file; `name_or_path` names it.  Raises what `load_chip`
    raises."""
    content = parse(text, f"chip file {name_or_path}")
    found = describe_chip(CHIPS.label(name_or_path), content)
    for entry in found.chip.assumed:
        _check_assumed(found, entry)
    return found


def describe_chip(name, content):
    """Description of plain tables; see `load_chip` for what it raises."""
    try:
        chip = _ADAPTER.validate_python(content)
        problems = list(chip.contradictions())
        for part, component in chip.parts:
            derived = chip.part_count(part)
            if part.count is not None and part.count != derived:
                problems.append(f"part {part.role}: count = {part.count:g} contradicts the {derived:g} of the organisation; "
                                "leave it out")
            if derived is None:
                problems.append(f"part {part.role} needs a count")
            if part.level not in LEVELS[chip.kind]:
                problems.append(f"part {part.role}: level {part.level!r} is not one of {', '.join(LEVELS[chip.kind])}")
            if component.kind not in ROLES[part.role]:
                problems.append(f"part {part.role}: {part.component} is of kind {component.kind}, not "
                                f"{' or '.join(ROLES[part.role])}")
            if part.role in TIMED and component.delay is None:
                problems.append(f"part {part.role}: {part.component} states no delay_ns or rate_mhz, which this role needs")
            if component.action in ("access", "flit") and component.bits is None:
                problems.append(f"part {part.role}: {part.component} states no bits, the width of one {component.action}")
        roles = [part.role for part, _ in chip.parts]
        problems += [f"role {role!r} is given to two parts" for role in dict.fromkeys(roles) if roles.count(role) > 1]
    except ValidationError as error:
        raise ConfigError(f"chip {name}: {describe(error)}") from None
    except ConfigError as error:
        raise ConfigError(f"chip {name}: {error}") from None
    if problems:
        raise ConfigError(f"chip {name}: " + "; ".join(problems))
    return Description(name, content, chip)


def stated_value(found, entry):
    """What the file states at the key of an Assumed."""
    value = found.chip
    for key in entry.key.split("."):
        if key not in type(value).model_fields if isinstance(value, Table) else True:
            raise ConfigError(f"chip {found.name}: assumed key {entry.key!r} is not a key of the file")
        value = getattr(value, key)
    return value


def _check_assumed(found, entry):
    where, value = f"chip {found.name}: assumed key {entry.key!r}", stated_value(found, entry)
    if (entry.range is None) == (not entry.values):
        raise ConfigError(f"{where} needs either a range or values")
    if entry.range and (isinstance(value, bool) or not isinstance(value, int | float)):
        raise ConfigError(f"{where} has a range, but its value is no number; give its choices as values")
    inside = value in entry.values if entry.values else entry.range[0] <= value <= entry.range[1]
    if not inside:
        raise ConfigError(f"{where}: the value {value} is not in {list(entry.range or entry.values)}")


def mean_read_energy(chip):
    """Joule of one read of a whole array of an in-situ chip from the mean conductance of its cells."""
    cells = chip.mapping.word_lines * chip.mapping.bit_lines
    return cells * chip.cell.activity * cell_read_energy(chip.cell.mean_conductance_us * MICROSIEMENS, chip.cell.voltage_v,
                                                         chip.dac.read_time_ns * NANO)
