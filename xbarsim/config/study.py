"""A study: the validated configuration of a run.

A study is a TOML file.  Every key has a default, so an empty file is the chip of the defaults below; unknown keys are
refused.  Keys whose unit is not dimensionless carry it in their name (`_ohm`, `_ns`).  `[[case]]` tables are variants
of the study: each overrides keys of the base and is run on the same sentences; `[[layer]]` tables override keys for the
matrices whose name matches a pattern.
"""
import fnmatch
import functools
from typing import Annotated, Any, Literal

import tomli_w
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from xbarsim.base.errors import ConfigError
from xbarsim.base.toml_files import Presets, describe, packaged

STUDIES = Presets("study", "studies")


def _frozen(value):
    return tuple(_frozen(entry) for entry in value) if isinstance(value, list) else value


def _whole(value):
    """Refuse what Python counts as equal to a whole number: 1.0 and true."""
    if type(value) is not int:
        raise ValueError("input should be a valid integer")
    return value


Bits = Annotated[int, Field(ge=1, le=16)] | Literal["ideal"]
Quantile = Annotated[float, Field(gt=0.5, le=1.0)]


class Table(BaseModel):
    """A table of a TOML file: no unknown key, no value of another type, no infinity or NaN.

    `true` is no number, and `"8"` neither.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _arrays(cls, content):
        """Arrays of TOML are the tuples of a frozen table."""
        if not isinstance(content, dict):
            return content
        return {key: _frozen(value) for key, value in content.items()}


class Model(Table):
    name: str = Field("all-MiniLM-L6-v2", description="name of a known model, or a checkpoint directory")
    max_length: int = Field(128, ge=2, le=512, description="tokens per sentence; longer sentences are truncated")


class Task(Table):
    name: str = Field("vader-movie", description="name of a known task, or a TSV, CSV or JSONL file")
    head: Literal["auto", "cosine", "classifier", "probe"] = "auto"
    pooling: Literal["auto", "mean", "cls", "pooler"] = "auto"
    metric: str = Field("auto", description="spearman, pearson, accuracy, f1, matthews; auto: spearman or accuracy")
    limit: int | None = Field(None, ge=2, description="examples evaluated, evenly spread over the test split; all if absent")
    probe_examples: int = Field(2000, ge=2, description="training examples behind a logistic head")
    calibration_examples: int = Field(64, ge=1, description="examples that set converter ranges and are not scored")
    calibration: str | None = Field(
        None, description="another task whose sentences set them; of the same task if absent"
    )


class Device(Table):
    name: str = Field("rram-wan2022", description="name of `xbarsim devices`, or a device file")
    time_s: float | None = Field(None, gt=0, description="time after programming; the device's earliest if absent")
    temperature_k: float | None = Field(None, gt=0, description="the reference temperature of the device if absent")
    write: int = Field(0, ge=0, description="writes before this one: another number is another write of the same cells")
    reads: int = Field(0, ge=0, description="reads of every cell since the write, for read disturb")
    outside_range: Literal["error", "warn"] = Field("error", description="where the device states no valid values")


class Mapping(Table):
    word_lines: int = Field(128, ge=1, le=4096, description="driven rows of a tile")
    bit_lines: int = Field(128, ge=1, le=4096, description="sensed columns of a tile")
    encoding: Literal["amplitude", "slices"] = Field(
        "amplitude", description="one analog level per weight, or weight_bits cut into slices of bits_per_cell")
    sign: Literal["pair", "offset"] = Field(
        "pair", description="differential pair of cells, or unsigned weights with a digital offset (slices only)")
    subtraction: Literal["analog", "digital"] = Field(
        "analog", description="a pair's currents, or an unsigned weight's and a reference's low state, are subtracted "
        "before the ADC, or digitally after it")
    placement: Literal["twin", "neighbour"] = Field(
        "twin", description="the cells of one weight on twin tiles, or on neighbouring bit lines of one tile")
    weight_bits: int = Field(8, ge=2, le=16, description="weight precision of `slices`, sign included")
    bits_per_cell: int = Field(2, ge=1, le=8, description="bits of one slice")
    unused: Literal["low", "open"] = Field("low", description="state of the cells that no weight uses")
    clip: Literal["mse", "quantile", "maximum"] = Field(
        "mse", description="full-scale weight: least expected square error with programming, a quantile, largest")
    clip_quantile: Quantile = Field(0.999, description="quantile of |weight| of `clip = quantile`")
    scale: Literal["matrix", "column"] = Field("column", description="one full-scale weight per matrix or per output")
    gain: Literal["none", "matrix", "column"] = Field("column", description="digital gain from the transfer matrices; of an "
                                             "unsigned weight also the weight of the inputs' sum")


class Wires(Table):
    node: str = Field("32nm", description="a node of data/wires.toml")
    pitch: Literal["2F", "4F"] = Field("2F", description="cell width along the wires")
    word_line_resistance_ohm: float | None = Field(None, ge=0, description="per segment; overrides the node")
    bit_line_resistance_ohm: float | None = Field(None, ge=0, description="per segment; overrides the node")
    source_resistance_ohm: float = Field(0.0, ge=0, description="driver, in series with the first segment")
    sense_resistance_ohm: float = Field(0.0, ge=0, description="sense node, in series with the last segment")

    def resistances(self):
        """(word line, bit line) resistance of one segment in ohm."""
        nodes = wire_nodes()
        if self.node not in nodes:
            raise ConfigError(f"wires.node = {self.node!r} is not known; known nodes: {', '.join(nodes)}")
        per_segment = nodes[self.node][f"{self.pitch}_ohm"]
        return tuple(per_segment if given is None else given
                     for given in (self.word_line_resistance_ohm, self.bit_line_resistance_ohm))


class Dac(Table):
    bits: Bits = Field(8, description="input precision, sign included; one bit is the sign alone")
    encoding: Literal["amplitude", "bit_serial", "pulse_width"] = "amplitude"
    digit_bits: int = Field(1, ge=1, le=8, description="bits that one bit-serial phase applies")
    polarity: Literal["signed", "two_phase"] = Field(
        "signed", description="signed voltages (bit_serial: two's complement, or offset binary of digits), or the positive "
        "magnitudes first and the negative ones after them")
    range: Literal["mse", "maximum", "quantile"] = Field(
        "mse", description="full scale from calibration data: least square error of the product, largest, quantile")
    quantile: Quantile = 0.9999
    read_time_ns: float = Field(100.0, gt=0, description="time that one phase drives the tile (ISAAC: 100 ns)")


class Adc(Table):
    bits: Bits = 8
    per: Literal["bit_line", "tile"] = Field("bit_line", description="one full scale per bit line or per tile")
    range: Literal["maximum", "quantile", "mse", "unit"] = Field(
        "mse", description="full scale from calibration data, or one LSB per unit of current (slices, bit_serial)")
    quantile: Quantile = 0.9999


class Products(Table):
    """What multiplies: `in_situ` arrays hold one operand as conductances, `computation` crossbars count."""

    weights: Literal["in_situ", "computation"] = Field("in_situ", description="products with weight matrices")
    attention: Literal["digital", "in_situ", "computation"] = Field(
        "digital", description="query · key and scores · value; in_situ writes keys and values for every sentence")


class Computation(Table):
    """The computation crossbar: fixed resistors behind switches, a few word lines per conversion."""

    mode: Literal["statistical", "direct"] = Field(
        "statistical", description="moments of a conversion summed exactly, or every conversion through the physics")
    ir_drop: Literal["typical", "solved"] = Field(
        "typical", description="statistical mode: wires solved for random switches, or for those of every tile and plane")
    word_lines: int = Field(128, ge=1, le=4096)
    bit_lines: int = Field(128, ge=1, le=4096)
    rows_per_conversion: int = Field(3, ge=1, le=4096, description="word lines driven at once; statistical mode: up to 8")
    adc_bits: int = Field(2, ge=1, le=12, description="levels 0 ... 2^bits - 1, one per conducting cell; more clip")
    digit_bits: int = Field(1, ge=1, le=4, description="bits of one digit of the operand that sets the switches")
    digit_cells: Literal["equal", "weighted"] = Field(
        "equal", description="a digit on 2^digit_bits - 1 equal cells, or on digit_bits cells of 1, 2, 4 ... units")
    sign: Literal["twos_complement", "offset", "magnitude"] = Field(
        "twos_complement", description="two's complement, 128 added, or positive and negative magnitudes apart")
    crossbars: int = Field(4, ge=1, le=1024, description="different crossbars simulated; tiles take them in turn")
    resistance_ohm: float = Field(100e3, gt=0, description="one unit of a closed cell")
    read_voltage_v: float = Field(0.2, gt=0, le=5)
    resistor_spread: float = Field(0.02, ge=0, le=1, description="standard deviation of ln(resistance)")
    stuck_closed_rate: float = Field(0.0, ge=0, le=1)
    stuck_open_rate: float = Field(0.0, ge=0, le=1)
    telegraph_amplitude: float = Field(0.05, ge=0, le=1, description="between both states, over their mean")

    @model_validator(mode="after")
    def _fits(self):
        cells = 2**self.digit_bits - 1 if self.digit_cells == "equal" else self.digit_bits
        if self.rows_per_conversion % cells or self.rows_per_conversion > self.word_lines:
            raise ValueError(f"rows_per_conversion is {self.rows_per_conversion}; allowed: multiples of the {cells} cells "
                             f"of a digit up to word_lines = {self.word_lines}")
        if self.mode == "statistical" and self.rows_per_conversion > 8:
            raise ValueError(f"rows_per_conversion is {self.rows_per_conversion}; the statistical mode follows all sets of "
                             'up to 8 conducting lines: use at most 8, or mode = "direct"')
        if self.digit_bits > 1 and self.sign == "twos_complement":
            raise ValueError(f'digit_bits is {self.digit_bits}, but the sign bit of sign = "twos_complement" is a digit of '
                             'its own: use sign = "offset" or "magnitude"')
        if self.stuck_closed_rate + self.stuck_open_rate > 1:
            raise ValueError("stuck_closed_rate + stuck_open_rate must not exceed 1")
        return self


class Effects(Table):
    """What is simulated.  `programming` and `read_noise` also switch the effects below them that are not given."""

    wires: bool = True
    converters: bool = True
    programming: bool = Field(True, description="error of the write")
    levels: bool | None = Field(None, description="the device's levels; as `programming` if absent, like those that follow")
    spread: bool | None = Field(None, description="device to device, cycle to cycle")
    relaxation: bool | None = None
    drift: bool | None = None
    read_disturb: bool | None = None
    temperature: bool | None = None
    stuck: bool | None = Field(None, description="stuck cells and lines")
    read_noise: bool = Field(True, description="white read noise")
    flicker: bool | None = Field(None, description="1/f noise; as `read_noise` if absent")
    telegraph: bool | None = Field(None, description="as `read_noise` if absent")
    telegraph_multiplier: float = Field(1.0, ge=0, le=100, description="multiplies the amplitude of telegraph noise")


def _power_of_two(value):
    if value & (value - 1):
        raise ValueError("allowed are powers of two")
    return value


Entries = Annotated[int, Field(ge=1, le=65536), AfterValidator(_power_of_two)]


class Pieces(Table):
    """A nonlinear function of the function unit, see xbarsim.functions."""

    unit: Literal["float", "table", "polynomial"] = Field(
        "float", description="float32 reference; a table of `entries` values; `entries` pieces of a polynomial")
    range: float = Field(1.0, gt=0, le=16, description="full scale over the largest value seen in calibration")
    entries: Entries = Field(64, description="values of the table, or pieces of the polynomial; a power of two")
    degree: int = Field(2, ge=1, le=4, description="of the polynomial")


class Softmax(Pieces):
    input_bits: int = Field(10, ge=2, le=20, description="scores, sign included")
    entry_bits: int = Field(16, ge=2, le=20, description="table entries or coefficients, and the exponentials")
    accumulator_bits: int | None = Field(
        None, ge=2, le=32, description="sum of the exponentials; as many as the model's positions need if absent")
    seed_entries: Entries = Field(64, description="table behind the reciprocal of the sum")
    seed_bits: int = Field(8, ge=2, le=22, description="its entries; at most reciprocal_bits")
    newton_steps: int = Field(1, ge=0, le=4, description="improvements of the reciprocal")
    reciprocal_bits: int = Field(16, ge=2, le=22, description="fractional bits of the reciprocal")
    output_bits: int = Field(8, ge=1, le=20, description="probabilities, unsigned; the largest code is 1")


class LayerNorm(Table):
    """Layer normalisation: exact integer sums, the reciprocal root by a table and Newton steps."""

    unit: Literal["float", "table"] = Field("float", description="float32 reference, or integers with a table")
    range: float = Field(1.0, gt=0, le=16, description="full scale over the largest value seen in calibration")
    input_bits: int = Field(16, ge=2, le=20, description="sign included")
    seed_entries: Entries = Field(32, description="table behind the reciprocal root, per unit of a mantissa in [1, 4)")
    seed_bits: int = Field(8, ge=2, le=28, description="its entries; at most reciprocal_bits")
    newton_steps: int = Field(1, ge=0, le=4, description="improvements of the reciprocal root")
    reciprocal_bits: int = Field(16, ge=2, le=28, description="fractional bits of the root and the normalised values")
    scale_bits: int = Field(12, ge=2, le=20, description="scale of each element, sign included")
    output_bits: int = Field(16, ge=2, le=20, description="sign included")


class Gelu(Pieces):
    input_bits: int = Field(10, ge=2, le=20, description="sign included")
    entry_bits: int = Field(12, ge=2, le=32, description="table entries or coefficients, sign included")
    output_bits: int = Field(8, ge=2, le=20, description="sign included")


class Functions(Table):
    softmax: Softmax = Softmax()
    layer_norm: LayerNorm = LayerNorm()
    gelu: Gelu = Gelu()


class Memory(Table):
    """The dense crossbar that stores the weights, see xbarsim.dense."""

    errors: Literal["none", "stated", "segment"] = Field(
        "none", description="reads without errors; with cell_error_rate; with the errors of a segment's exact solution")
    cell_error_rate: float = Field(0.0, ge=0, le=1, description="`stated`: cells read as a neighbouring level")
    bits_per_cell: Annotated[Literal[1, 2, 4], BeforeValidator(_whole)] = 1
    rows: int = Field(1024, ge=1, le=65536, description="word lines of a segment; the one farthest from the sensing is read")
    columns: int = Field(256, ge=1, le=65536, description="bit lines of a segment: cells on one driven word line")
    sensed_every: int = Field(1, ge=1, le=65536, description="one in so many bit lines is sensed in a read")
    drive: Literal["left", "both"] = Field("left", description="driven ends of the selected word line")
    access: Literal["transistor", "selector", "none"] = Field(
        "transistor", description="in series with every cell; unselected transistors are open")
    bias: Literal["grounded", "floating", "half", "third"] = Field(
        "grounded", description="unselected lines without transistors, see xbarsim.dense")
    read_voltage_v: float | None = Field(None, gt=0, le=5, description="the device's own if absent")
    transistor_resistance_ohm: float = Field(2000.0, gt=0, description="of an open channel at 0 V (assumed)")
    transistor_overdrive_v: float = Field(0.7, gt=0, le=5, description="gate above threshold (assumed)")
    selector_voltage_v: float = Field(0.05, gt=0, le=5, description="v0 of a cell current ~ sinh(V / v0) (assumed)")
    sense_noise_ua: float = Field(0.0, ge=0, le=1000, description="standard deviation of a sense amplifier")
    threshold_ua: float | None = Field(None, gt=0, description="bits_per_cell = 1: fixed threshold; optimal if absent")
    lumped_rows: int = Field(16, ge=1, le=65536, description="unselected word lines that the solution joins into one")


class Run(Table):
    batch_examples: int = Field(16, ge=1, description="examples that travel together; part of the result's definition")
    chips: int = Field(1, ge=1, le=1000, description="simulated chips per case, each with seeds of its own")


class LayerOverride(Table):
    match: str = Field(description="pattern of names of matrices and products, such as `layer.0.*`")
    mapping: dict[str, Any] = {}
    dac: dict[str, Any] = {}
    adc: dict[str, Any] = {}
    wires: dict[str, Any] = {}
    effects: dict[str, Any] = {}
    functions: dict[str, Any] = {}
    memory: dict[str, Any] = {}
    products: dict[str, Any] = {}
    computation: dict[str, Any] = {}


class Study(Table):
    name: str = "study"
    seed: int = Field(20261123, ge=0)
    model: Model = Model()
    task: Task = Task()
    device: Device = Device()
    mapping: Mapping = Mapping()
    wires: Wires = Wires()
    dac: Dac = Dac()
    adc: Adc = Adc()
    products: Products = Products()
    computation: Computation = Computation()
    effects: Effects = Effects()
    functions: Functions = Functions()
    memory: Memory = Memory()
    run: Run = Run()
    chip: str | None = Field(None, description="chip, or chip file, whose energy, area and latency the report joins")
    layer: tuple[LayerOverride, ...] = ()
    case: tuple[dict[str, Any], ...] = ({"name": "chip"},)

    def to_toml(self):
        """The whole study, defaults included, as TOML."""
        return tomli_w.dumps(self.model_dump(mode="json", exclude_none=True))

    def cases(self):
        """[(name, study)]: the variants to run, each a complete study without cases.

        A case `like` one before it starts from that one's keys.
        """
        base = self.model_dump(exclude={"case"}, exclude_unset=True)
        result, overrides = [], {}
        for number, override in enumerate(self.case):
            override = dict(override)
            name = override.pop("name", f"case {number + 1}")
            if not isinstance(name, str) or not name.strip() or "/" in name or name.startswith("."):
                raise ConfigError(f"case name {name!r} must be a string without '/', not empty, not starting with '.'")
            like = override.pop("like", None)
            if like is not None:
                if like not in list(overrides):
                    raise ConfigError(f"case {name!r} is like {like!r}; allowed: the name of a [[case]] before it")
                override = merge(overrides[like], override)
            overrides[name] = override
            fixed = override.keys() & {"model", "task", "run", "case"}
            if fixed == {"run"} and isinstance(override["run"], dict):
                fixed = {f"run.{key}" for key in override["run"].keys() - {"chips"}}
            if fixed:
                raise ConfigError(f"case {name!r} overrides {', '.join(sorted(fixed))}, but all cases of a study share "
                                  "model, task and batches; write a second study instead")
            result.append((name, validate(merge(base, override), f"case {name!r}")))
        names = [name for name, _ in result]
        if len(set(names)) < len(names):
            raise ConfigError(f"two cases have the same name: {names}; give each [[case]] its own")
        return result

    def check_layers(self):
        """Refuse a `[[layer]]` table with a wrong key or value, whether or not it matches a matrix."""
        content = self.model_dump(exclude={"layer", "case"}, exclude_unset=True)
        for entry in self.layer:
            override = entry.model_dump(exclude={"match"}, exclude_unset=True)
            try:
                Study.model_validate(merge(content, override))
            except ValidationError as error:
                raise ConfigError(f"[[layer]] {entry.match!r}: {describe(error)}") from None

    def for_layer(self, matrix):
        """The study as it applies to one matrix: `[[layer]]` tables that match are merged in, in their order."""
        matching = [entry for entry in self.layer if fnmatch.fnmatch(matrix, entry.match)]
        if not matching:
            return self
        content = self.model_dump(exclude={"layer", "case"}, exclude_unset=True)
        for entry in matching:
            content = merge(content, entry.model_dump(exclude={"match"}, exclude_unset=True))
        return validate(content, f"[[layer]] tables for {matrix!r}")


@functools.cache
def wire_nodes():
    """Table of data/wires.toml: node -> resistance of one segment at each pitch."""
    return packaged("wires.toml")["nodes"]


def merge(base, override):
    """`override` laid over `base`, table by table."""
    result = dict(base)
    for key, value in override.items():
        nested = isinstance(value, dict) and isinstance(result.get(key), dict)
        result[key] = merge(result[key], value) if nested else value
    return result


def validate(content, where):
    """Study of a dictionary; `where` names its origin in the error."""
    try:
        study = Study.model_validate(content)
    except ValidationError as error:
        raise ConfigError(f"{where}: " + describe(error)) from None
    study.wires.resistances()
    if study.mapping.sign == "offset" and study.mapping.encoding != "slices":
        raise ConfigError(f'{where}: mapping.sign = "offset" needs mapping.encoding = "slices"')
    if study.dac.encoding == "bit_serial" and study.dac.bits == "ideal":
        raise ConfigError(f'{where}: dac.encoding = "bit_serial" needs a number of dac.bits, not "ideal"')
    if study.dac.encoding == "bit_serial" and study.dac.bits == 1:
        raise ConfigError(f'{where}: dac.bits = 1 is a sign without a digit for dac.encoding = "bit_serial"; allowed: 2 or '
                          "more bits, or another encoding")
    if study.adc.range == "unit" and (study.mapping.encoding != "slices" or study.dac.encoding != "bit_serial"):
        raise ConfigError(f'{where}: adc.range = "unit" counts unit currents, which only encoding = "slices" with '
                          'dac.encoding = "bit_serial" has')
    for name in ("softmax", "layer_norm"):
        function = getattr(study.functions, name)
        if function.seed_bits > function.reciprocal_bits:
            raise ConfigError(f"{where}: functions.{name}.seed_bits = {function.seed_bits} is more than reciprocal_bits = "
                              f"{function.reciprocal_bits}; allowed: at most as many")
    accumulator_bits = study.functions.softmax.accumulator_bits
    if accumulator_bits is not None and study.functions.softmax.entry_bits > accumulator_bits:
        raise ConfigError(f"{where}: functions.softmax.accumulator_bits = {accumulator_bits} do not "
                          f"hold one exponential of entry_bits = {study.functions.softmax.entry_bits}; allowed: at least as "
                          "many")
    return study


def study_names():
    """Names of the studies that come with xbarsim."""
    return STUDIES.names()


def study_text(name_or_path):
    """The TOML text of an embedded study or of a file."""
    return STUDIES.text(name_or_path)


def load_study(name_or_path="default", overrides=None):
    """Study of a TOML file or of an embedded name, with a nested dictionary of overrides laid over it.

    Raises
    ------
    ConfigError : no such file or name, not TOML, unknown key, value out of range
    """
    content = STUDIES.content(name_or_path)
    study = validate(merge(content, overrides or {}), str(name_or_path))
    for _, case in study.cases():
        case.check_layers()
    return study
