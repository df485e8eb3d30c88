"""Tables of a study about in-situ arrays: device, mapping, converters, effects."""

from typing import Literal, get_args

from pydantic import Field

from xbarsim.config.tables import Bits, CodeTable, Quantile, Table


class Device(Table):
    name: str = Field("rram-wan2022", description="name of `xbarsim devices`, or a device file")
    time_s: float | None = Field(
        None, gt=0, description="time after programming; the device's earliest if absent"
    )
    temperature_k: float | None = Field(
        None, gt=0, description="the reference temperature of the device if absent"
    )
    write: int = Field(
        0,
        ge=0,
        description="writes before this one: another number is another write of the same cells",
    )
    reads: int = Field(0, ge=0, description="reads of every cell since the write, for read disturb")
    minimum_us: float | None = Field(
        None, ge=0, description="low end of the window that weights use; the device's if absent"
    )
    maximum_us: float | None = Field(
        None, gt=0, description="high end of the window that weights use; the device's if absent"
    )
    outside_range: Literal["error", "warn"] = Field(
        "error", description="where the device states no valid values"
    )


class Mapping(Table):
    word_lines: int = Field(128, ge=1, le=4096, description="driven rows of a tile")
    bit_lines: int = Field(128, ge=1, le=4096, description="sensed columns of a tile")
    encoding: Literal["amplitude", "slices", "binary", "ternary"] = Field(
        "amplitude",
        description="one analog level per weight, weight_bits cut into slices of bits_per_cell, or a sign (binary), "
        "or a sign or 0 (ternary), times one scale",
    )
    sign: Literal["pair", "offset"] = Field(
        "pair",
        description="differential pair of cells, or unsigned weights with a digital offset (slices and binary)",
    )
    array: Literal["single", "complementary", "twin"] = Field(
        "single",
        description="word lines of an input: one, or a second one with the complement of the input, whose cells are "
        "the complements (complementary) or the same and whose currents are subtracted (twin); binary with offset",
    )
    subtraction: Literal["analog", "digital"] = Field(
        "analog",
        description="a pair's currents, or an unsigned weight's and a reference's low state, are subtracted "
        "before the ADC, or digitally after it",
    )
    placement: Literal["twin", "neighbour"] = Field(
        "twin",
        description="the cells of one weight on twin tiles, or on neighbouring bit lines of one tile",
    )
    weight_bits: int = Field(
        8, ge=2, le=16, description="weight precision of `slices`, sign included"
    )
    bits_per_cell: int = Field(2, ge=1, le=8, description="bits of one slice")
    unused: Literal["low", "open"] = Field(
        "low", description="state of the cells that no weight uses"
    )
    clip: Literal["mse", "quantile", "maximum"] = Field(
        "mse",
        description="full-scale weight: least expected square error with programming, a quantile, largest",
    )
    clip_quantile: Quantile = Field(0.999, description="quantile of |weight| of `clip = quantile`")
    scale: Literal["matrix", "column"] = Field(
        "column", description="one full-scale weight per matrix or per output"
    )
    gain: Literal["none", "matrix", "column"] = Field(
        "column",
        description="digital gain from the transfer matrices; of an "
        "unsigned weight also the weight of the inputs' sum",
    )
    scale_shift: float = Field(
        0.0,
        ge=0,
        le=1,
        description="exponent of the scale that is shifted from inputs into weights: input k is divided, and its "
        "weights multiplied, by max|x|^a / max|w|^(1 - a); 0: none",
    )
    compensation: Literal["none", "wires", "measured"] = Field(
        "none",
        description="targets of weights as they are, such that the weights arrive through the wires, or these and, "
        "read back, some cells written again",
    )
    compensation_solves: int = Field(
        2, ge=1, le=20, description="solves of every tile before it is written, with `compensation`"
    )
    compensation_rounds: int = Field(
        2, ge=1, le=20, description="of reading back and writing again, with `measured`"
    )
    compensation_reads: int = Field(
        16, ge=1, le=100_000, description="of every cell in a round, averaged, with `measured`"
    )
    crosspoint: Literal["cell", "weighted"] = Field(
        "cell",
        description="what holds a slice: one cell of several levels, or bits_per_cell binary cells in parallel whose "
        "conductances are as 1 : 2 : 4 : ... (slices only)",
    )
    row_order: Literal["none", "magnitude"] = Field(
        "none",
        description="of inputs on word lines: their own, or those of large weights next to the sense amplifiers",
    )
    column_order: Literal["none", "magnitude", "defects", "assigned"] = Field(
        "none",
        description="of outputs on bit lines: their own, those of large weights next to the drivers, these on those "
        "with fewest stuck cells, or each where the stuck cells change its products least, all in all",
    )
    conductances: str | None = Field(
        None,
        min_length=1,
        description="directory of conductances that were exported or measured, in the place of a write",
    )


class Dac(Table):
    bits: Bits = Field(8, description="input precision, sign included; one bit is the sign alone")
    encoding: Literal["amplitude", "bit_serial", "pulse_width"] = Field(
        "amplitude",
        description="an input as one voltage, its digits one after the other, or a time",
    )
    digit_bits: int = Field(1, ge=1, le=8, description="bits that one bit-serial phase applies")
    polarity: Literal["signed", "two_phase"] = Field(
        "signed",
        description="signed voltages (bit_serial: two's complement, or offset binary of digits), or the positive "
        "magnitudes first and the negative ones after them",
    )
    range: Literal["mse", "maximum", "quantile"] = Field(
        "mse",
        description="full scale from calibration data: least square error of the product, largest, quantile",
    )
    quantile: Quantile = Field(0.9999, description="of `range = quantile`")
    scaling: Literal["static", "token", "block"] = Field(
        "static",
        description="what the full scale follows: nothing, the inputs of every token, or of every row block of a token",
    )
    scaling_quantile: Quantile = Field(
        1.0, description="of the magnitudes of a token or a row block, its scale; 1: the largest"
    )
    scaling_blocks: int = Field(
        1, ge=1, le=4096, description='row blocks that share a scale with scaling = "block"'
    )
    read_time_ns: float = Field(
        100.0, gt=0, description="time that one phase drives the tile (ISAAC: 100 ns)"
    )
    full_scale_v: float | None = Field(
        None,
        gt=0,
        le=5,
        description="voltage of the largest code; the read voltage of the device if absent",
    )
    input_full_scale: float | None = Field(
        None,
        gt=0,
        description="input that the largest code stands for, in the unit of the inputs (of their scale, with "
        "`scaling`); from calibration data, see `range`, if absent",
    )
    noise_mv: float = Field(
        0.0,
        ge=0,
        le=1000,
        description="standard deviation of the mean voltage of a driven word line, anew in every read",
    )
    inl_lsb: CodeTable | None = Field(
        None, description="deviation of the voltage of every code, a list or a .csv or .npy file"
    )


class Adc(Table):
    bits: Bits = Field(8, description="output precision, sign included")
    per: Literal["bit_line", "tile"] = Field(
        "bit_line", description="one full scale per bit line or per tile"
    )
    range: Literal["maximum", "quantile", "mse", "unit"] = Field(
        "mse",
        description="full scale from calibration data, or one LSB per unit of current (slices, bit_serial)",
    )
    quantile: Quantile = Field(0.9999, description="of `range = quantile`")
    full_scale_ua: float | None = Field(
        None,
        gt=0,
        description="current of the highest code; from calibration data, see `range`, if absent",
    )
    noise_ua: float = Field(
        0.0, ge=0, description="standard deviation of the noise of a conversion"
    )
    noise_lsb: float = Field(0.0, ge=0, le=1024, description="the same in LSB")
    offset_lsb: float = Field(
        0.0, ge=0, le=1024, description="standard deviation of the offsets of converters"
    )
    gain_error: float = Field(
        0.0, ge=0, le=0.5, description="relative standard deviation of the gains of converters"
    )
    inl_lsb: CodeTable | None = Field(
        None,
        description="shift of the level where every code begins, the same of all converters, a list "
        "or a .csv or .npy file",
    )
    steps: Literal["ideal", "thermometer", "sar"] = Field(
        "ideal",
        description="what makes the steps: nothing that varies, 2^bits - 1 equal elements, or one "
        "capacitor per bit",
    )
    element_spread: float = Field(
        0.0, ge=0, le=0.5, description="relative standard deviation of a unit element of `steps`"
    )
    shared_by: int = Field(
        1,
        ge=1,
        le=4096,
        description="bit lines, or pairs that are subtracted, that one converter serves in turn",
    )


# What `effects.without` may name: the switches, the two kinds of converters apart, and what is not
# ideal about their steps.
Switch = Literal[
    "wires",
    "dac",
    "adc",
    "programming",
    "levels",
    "spread",
    "relaxation",
    "drift",
    "read_disturb",
    "temperature",
    "stuck",
    "read_noise",
    "flicker",
    "telegraph",
    "converter_errors",
]
SWITCHES: tuple[Switch, ...] = get_args(Switch)


class Effects(Table):
    """What is simulated.  `programming` and `read_noise` also switch the effects below them that
    are not given.
    """

    wires: bool = Field(True, description="resistance of wires, drivers and sense nodes")
    converters: bool = Field(True, description="steps and ends of DAC and ADC")
    programming: bool = Field(True, description="error of the write")
    levels: bool | None = Field(
        None, description="the device's levels; as `programming` if absent, like those that follow"
    )
    spread: bool | None = Field(None, description="device to device, cycle to cycle")
    relaxation: bool | None = Field(None, description="spread that grows after the write")
    drift: bool | None = Field(None, description="conductance that falls with time")
    read_disturb: bool | None = Field(None, description="change by reads")
    temperature: bool | None = Field(None, description="conductance away from the reference")
    stuck: bool | None = Field(None, description="stuck cells and lines")
    read_noise: bool = Field(True, description="white read noise")
    flicker: bool | None = Field(None, description="1/f noise; as `read_noise` if absent")
    telegraph: bool | None = Field(None, description="as `read_noise` if absent")
    telegraph_multiplier: float = Field(
        1.0, ge=0, le=100, description="multiplies the amplitude of telegraph noise"
    )
    without: tuple[Switch, ...] = Field(
        (), description="left out whatever the other keys say, each by itself"
    )

    @property
    def with_wires(self) -> bool:
        return self.wires and "wires" not in self.without

    @property
    def with_converter_errors(self) -> bool:
        """Whether converters may be anything but ideal steps."""
        return "converter_errors" not in self.without

    @property
    def with_dac(self) -> bool:
        """Whether inputs are converted."""
        return self.converters and "dac" not in self.without

    @property
    def with_adc(self) -> bool:
        """Whether currents are converted."""
        return self.converters and "adc" not in self.without
