"""Tables of a study about computation crossbars and the dense memory."""

from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from xbarsim.config.tables import Table, whole


class Products(Table):
    """What multiplies: `in_situ` arrays hold one operand as conductances, `computation` crossbars
    count.
    """

    weights: Literal["in_situ", "computation"] = Field(
        "in_situ", description="products with weight matrices"
    )
    attention: Literal["digital", "in_situ", "computation"] = Field(
        "digital",
        description="query · key and scores · value; in_situ writes keys and values for every sentence",
    )
    output_matrix: Literal["digital", "hardware"] | None = Field(
        None,
        description="the matrix of a decoder's logits: digital (float32) if absent, or where `weights` says",
    )

    def lies_on(self, is_output: bool) -> Literal["in_situ", "computation", "digital"]:
        """What multiplies with a weight matrix;  is_output : that of the logits"""
        if is_output and self.output_matrix != "hardware":
            return "digital"
        return self.weights


class Computation(Table):
    """The computation crossbar: fixed resistors behind switches, a few word lines per conversion."""

    mode: Literal["statistical", "direct"] = Field(
        "statistical",
        description="moments of a conversion summed exactly, or every conversion through the physics",
    )
    ir_drop: Literal["typical", "solved"] = Field(
        "typical",
        description="statistical mode: wires solved for random switches, or for those of every tile and plane",
    )
    word_lines: int = Field(128, ge=1, le=4096, description="driven rows of a crossbar")
    bit_lines: int = Field(128, ge=1, le=4096, description="sensed columns of a crossbar")
    rows_per_conversion: int = Field(
        3, ge=1, le=4096, description="word lines driven at once; statistical mode: up to 8"
    )
    adc_bits: int = Field(
        2, ge=1, le=12, description="levels 0 ... 2^bits - 1, one per conducting cell; more clip"
    )
    digit_bits: int = Field(
        1, ge=1, le=4, description="bits of one digit of the operand that sets the switches"
    )
    digit_cells: Literal["equal", "weighted"] = Field(
        "equal",
        description="a digit on 2^digit_bits - 1 equal cells, or on digit_bits cells of 1, 2, 4 ... units",
    )
    sign: Literal["twos_complement", "offset", "magnitude"] = Field(
        "twos_complement",
        description="two's complement, 128 added, or positive and negative magnitudes apart",
    )
    crossbars: int = Field(
        4, ge=1, le=1024, description="different crossbars simulated; tiles take them in turn"
    )
    resistance_ohm: float = Field(100e3, gt=0, description="one unit of a closed cell")
    read_voltage_v: float = Field(0.2, gt=0, le=5, description="of a driven word line")
    resistor_spread: float = Field(
        0.02, ge=0, le=1, description="standard deviation of ln(resistance)"
    )
    stuck_closed_rate: float = Field(
        0.0, ge=0, le=1, description="share of switches that are always closed"
    )
    stuck_open_rate: float = Field(
        0.0, ge=0, le=1, description="share of switches that are always open"
    )
    telegraph_amplitude: float = Field(
        0.05, ge=0, le=1, description="between both states, over their mean"
    )

    @model_validator(mode="after")
    def _fits(self) -> Self:
        cells = self.digit_bits
        if self.digit_cells == "equal":
            cells = 2**self.digit_bits - 1
        if self.rows_per_conversion % cells or self.rows_per_conversion > self.word_lines:
            raise ValueError(
                f"rows_per_conversion is {self.rows_per_conversion}; allowed: multiples of the "
                f"{cells} cells of a digit up to word_lines = {self.word_lines}"
            )
        if self.mode == "statistical" and self.rows_per_conversion > 8:
            raise ValueError(
                f"rows_per_conversion is {self.rows_per_conversion}; the statistical mode follows "
                'all sets of up to 8 conducting lines: use at most 8, or mode = "direct"'
            )
        if self.digit_bits > 1 and self.sign == "twos_complement":
            raise ValueError(
                f"digit_bits is {self.digit_bits}, but the sign bit of "
                'sign = "twos_complement" is a digit of its own: use sign = "offset" or "magnitude"'
            )
        if self.stuck_closed_rate + self.stuck_open_rate > 1:
            raise ValueError("stuck_closed_rate + stuck_open_rate must not exceed 1")
        return self


class Memory(Table):
    """The dense crossbar that stores the weights, see xbarsim.arrays.memory.segment."""

    errors: Literal["none", "stated", "segment"] = Field(
        "none",
        description="reads without errors; with cell_error_rate; with the errors of a segment's exact solution",
    )
    cell_error_rate: float = Field(
        0.0, ge=0, le=1, description="`stated`: cells read as a neighbouring level"
    )
    bits_per_cell: Annotated[Literal[1, 2, 4], BeforeValidator(whole)] = Field(
        1, description="bits that a cell stores"
    )
    rows: int = Field(
        1024,
        ge=1,
        le=65536,
        description="word lines of a segment; the one farthest from the sensing is read",
    )
    columns: int = Field(
        256, ge=1, le=65536, description="bit lines of a segment: cells on one driven word line"
    )
    sensed_every: int = Field(
        1, ge=1, le=65536, description="one in so many bit lines is sensed in a read"
    )
    drive: Literal["left", "both"] = Field(
        "left", description="driven ends of the selected word line"
    )
    access: Literal["transistor", "selector", "none"] = Field(
        "transistor", description="in series with every cell; unselected transistors are open"
    )
    bias: Literal["grounded", "floating", "half", "third"] = Field(
        "grounded",
        description="unselected lines without transistors, see xbarsim.arrays.memory.segment",
    )
    read_voltage_v: float | None = Field(None, gt=0, le=5, description="the device's own if absent")
    transistor_resistance_ohm: float = Field(
        2000.0, gt=0, description="of an open channel at 0 V (assumed)"
    )
    transistor_overdrive_v: float = Field(
        0.7, gt=0, le=5, description="gate above threshold (assumed)"
    )
    selector_voltage_v: float = Field(
        0.05, gt=0, le=5, description="v0 of a cell current ~ sinh(V / v0) (assumed)"
    )
    sense_noise_ua: float = Field(
        0.0, ge=0, le=1000, description="standard deviation of a sense amplifier"
    )
    threshold_ua: float | None = Field(
        None, gt=0, description="bits_per_cell = 1: fixed threshold; optimal if absent"
    )
    lumped_rows: int = Field(
        16, ge=1, le=65536, description="unselected word lines that the solution joins into one"
    )
