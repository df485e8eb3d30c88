"""Tables of a study about the integer function unit."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from xbarsim.config.tables import Table


def _power_of_two(value: int) -> int:
    if value & (value - 1):
        raise ValueError("allowed are powers of two")
    return value


Entries = Annotated[int, Field(ge=1, le=65536), AfterValidator(_power_of_two)]


class Pieces(Table):
    """A nonlinear function of the function unit, see xbarsim.hardware.functions."""

    unit: Literal["float", "table", "polynomial"] = Field(
        "float",
        description="float32 reference; a table of `entries` values; `entries` pieces of a polynomial",
    )
    range: float = Field(
        1.0, gt=0, le=16, description="full scale over the largest value seen in calibration"
    )
    entries: Entries = Field(
        64, description="values of the table, or pieces of the polynomial; a power of two"
    )
    degree: int = Field(2, ge=1, le=4, description="of the polynomial")


class Softmax(Pieces):
    input_bits: int = Field(10, ge=2, le=20, description="scores, sign included")
    entry_bits: int = Field(
        16, ge=2, le=20, description="table entries or coefficients, and the exponentials"
    )
    accumulator_bits: int | None = Field(
        None,
        ge=2,
        le=32,
        description="sum of the exponentials; as many as the model's positions need if absent",
    )
    seed_entries: Entries = Field(64, description="table behind the reciprocal of the sum")
    seed_bits: int = Field(8, ge=2, le=22, description="its entries; at most reciprocal_bits")
    newton_steps: int = Field(1, ge=0, le=4, description="improvements of the reciprocal")
    reciprocal_bits: int = Field(16, ge=2, le=22, description="fractional bits of the reciprocal")
    output_bits: int = Field(
        8, ge=1, le=20, description="probabilities, unsigned; the largest code is 1"
    )


class LayerNorm(Table):
    """Layer normalisation: exact integer sums, the reciprocal root by a table and Newton steps."""

    unit: Literal["float", "table"] = Field(
        "float", description="float32 reference, or integers with a table"
    )
    range: float = Field(
        1.0, gt=0, le=16, description="full scale over the largest value seen in calibration"
    )
    input_bits: int = Field(16, ge=2, le=20, description="sign included")
    seed_entries: Entries = Field(
        32, description="table behind the reciprocal root, per unit of a mantissa in [1, 4)"
    )
    seed_bits: int = Field(8, ge=2, le=28, description="its entries; at most reciprocal_bits")
    newton_steps: int = Field(1, ge=0, le=4, description="improvements of the reciprocal root")
    reciprocal_bits: int = Field(
        16, ge=2, le=28, description="fractional bits of the root and the normalised values"
    )
    scale_bits: int = Field(12, ge=2, le=20, description="scale of each element, sign included")
    output_bits: int = Field(16, ge=2, le=20, description="sign included")


class Gelu(Pieces):
    input_bits: int = Field(10, ge=2, le=20, description="sign included")
    entry_bits: int = Field(
        12, ge=2, le=32, description="table entries or coefficients, sign included"
    )
    output_bits: int = Field(8, ge=2, le=20, description="sign included")


class Functions(Table):
    softmax: Softmax = Field(Softmax(), description="of attention scores")
    layer_norm: LayerNorm = Field(LayerNorm(), description="of layers and embeddings")
    gelu: Gelu = Field(Gelu(), description="the activation")
