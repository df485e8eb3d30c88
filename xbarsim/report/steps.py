"""Steps on hardware over all examples of a case: what each is, its errors, what it is made of."""

import math
from dataclasses import dataclass
from typing import Self

from xbarsim.base.array_types import Integers
from xbarsim.chips.components import adc, dac
from xbarsim.hardware.attributes import MatrixAttributes
from xbarsim.models.graph import Kind, Role, short_name
from xbarsim.studies.error_statistics import ErrorStatistics
from xbarsim.studies.trace import TracedFunction, TracedMatrix, TracedProduct
from xbarsim.studies.trace_layout import (
    CodeHistogram,
)


@dataclass(frozen=True, kw_only=True)
class StepSummary:
    """A step on hardware over all examples of a case: what it is, and its errors.

    layer : None outside the layers
    local_snr_db, accumulated_snr_db : for the same input, and against the float32 path
    """

    name: str
    kind: Kind
    role: Role
    layer: int | None
    local_snr_db: float
    accumulated_snr_db: float

    @property
    def short_name(self) -> str:
        """The name within its layer."""
        return short_name(self.name, self.layer)


@dataclass(frozen=True, kw_only=True)
class Programming:
    """The cells of a matrix on the first chip of a case, and what writing them took.

    write_energy : joule, None where the device states none
    """

    tiles: int
    cells: int
    clipped_weights: int
    stuck_cells: int
    bounded_cells: int
    write_pulses: int
    write_energy: float | None

    @classmethod
    def of(cls, attributes: MatrixAttributes) -> Self:
        return cls(
            tiles=attributes.tiles,
            cells=attributes.cells,
            clipped_weights=attributes.clipped_weights,
            stuck_cells=attributes.stuck_on + attributes.stuck_off,
            bounded_cells=attributes.bounded_cells,
            write_pulses=attributes.write_pulses,
            write_energy=attributes.write_energy,
        )


@dataclass(frozen=True)
class Compensation:
    """What compensation made of the cells of a matrix on the first chip of a case.

    kind : "wires" or "measured"
    scale : share of the window that weights use, the headroom taken off
    held_cells : with a target at the high end of the window
    weight_error : relative rms error of the weights that arrive
    rewritten_cells : that were read back and written again, None where none are measured
    """

    kind: str
    scale: float
    held_cells: int
    weight_error: float
    rewritten_cells: int | None

    @classmethod
    def of(cls, attributes: MatrixAttributes) -> Self | None:
        """None without compensation."""
        kind = attributes.compensation
        scale = attributes.compensation_scale
        weight_error = attributes.weight_error
        if kind is None or scale is None or weight_error is None:
            return None
        return cls(
            kind=kind,
            scale=scale,
            held_cells=attributes.held_cells or 0,
            weight_error=weight_error,
            rewritten_cells=attributes.rewritten_cells,
        )


@dataclass(frozen=True)
class WorstTile:
    """The tile of a matrix, on the first chip, where the smallest share of the current arrives.

    plane : None where all planes lie on one tile
    """

    row_block: int
    column_block: int
    plane: int | None
    attenuation: float

    @classmethod
    def of(cls, attributes: MatrixAttributes) -> Self | None:
        """None in an older trace."""
        row_block = attributes.worst_tile_row_block
        column_block = attributes.worst_tile_column_block
        attenuation = attributes.worst_tile_attenuation
        if row_block is None or column_block is None or attenuation is None:
            return None
        return cls(row_block, column_block, attributes.worst_tile_plane, attenuation)


@dataclass(frozen=True)
class IrDrop:
    """Share of the current that the wires let arrive, and its spread over a tile: means over the
    tiles of a matrix (1: no IR drop).
    """

    attenuation: float
    spread: float
    worst: WorstTile | None = None


@dataclass(frozen=True)
class SaturatedCodes:
    """Share of the conversions of a matrix that were held at the lowest and at the highest code."""

    low: float
    high: float

    @classmethod
    def of(cls, histogram: CodeHistogram) -> Self:
        total = max(int(histogram.counts.sum() + histogram.beyond.sum()), 1)
        low, high = (histogram.beyond / total).tolist()
        return cls(low, high)


@dataclass(frozen=True)
class Converters:
    """Converters of the currents of a matrix on the first chip, where they are not ideal, and codes
    that they never give, of all together.
    """

    converters: int
    missing_codes: int

    @classmethod
    def of(cls, attributes: MatrixAttributes) -> Self | None:
        """None of ideal converters."""
        if attributes.converters is None or attributes.missing_codes is None:
            return None
        return cls(attributes.converters, attributes.missing_codes)


@dataclass(frozen=True, kw_only=True)
class DriftScales:
    """Scales that follow drift on the first chip, and what one reading of their reference takes.

    joules : of cells and wires, and of converters by the prices of the component library
    """

    mean: float
    std: float
    tile_reads: int
    conversions: int
    joules: float

    @classmethod
    def of(cls, attributes: MatrixAttributes) -> Self | None:
        """None without scales, and where another matrix counts the tiles."""
        if attributes.rescaling_mean is None or attributes.reference_tile_reads is None:
            return None
        conversions = attributes.reference_adc_conversions or 0
        joules = attributes.reference_array_energy or 0.0
        if attributes.adc_bits:
            joules += conversions * adc(attributes.adc_bits).energy
        if attributes.dac_bits:
            joules += (attributes.reference_dac_drives or 0) * dac(attributes.dac_bits).energy
        return cls(
            mean=attributes.rescaling_mean,
            std=attributes.rescaling_std or 0.0,
            tile_reads=attributes.reference_tile_reads,
            conversions=conversions,
            joules=joules,
        )


@dataclass(frozen=True)
class DefectMap:
    """What it took to know the stuck cells of a matrix one by one.

    energy : joule of the pulses, None where the device states none
    """

    cells: int
    pulses: int
    energy: float | None

    @classmethod
    def of(cls, attributes: MatrixAttributes) -> Self | None:
        """None without a map."""
        if attributes.mapped_cells is None:
            return None
        return cls(attributes.mapped_cells, attributes.map_pulses or 0, attributes.map_energy)


@dataclass(frozen=True)
class SelfCorrection:
    """Raised rows and dummy columns of a matrix.

    raised_drivers : with an amplifier;  dummy_cells : of dummy columns
    conversions, multiplications : that dummy columns add to a row of inputs
    joules : of these conversions, by the prices of the component library
    """

    raised_drivers: int
    dummy_cells: int
    conversions: int
    multiplications: int
    joules: float

    @classmethod
    def of(cls, attributes: MatrixAttributes) -> Self | None:
        """None without either."""
        conversions = attributes.dummy_conversions or 0
        if attributes.raised_drivers is None and not conversions:
            return None
        joules = 0.0
        if attributes.adc_bits:
            joules = conversions * adc(attributes.adc_bits).energy
        return cls(
            raised_drivers=attributes.raised_drivers or 0,
            dummy_cells=attributes.dummy_cells or 0,
            conversions=conversions,
            multiplications=attributes.dummy_multiplications or 0,
            joules=joules,
        )


@dataclass(frozen=True, kw_only=True)
class MatrixSummary(StepSummary):
    """A matrix.

    adc_saturated, dac_saturated : share of the conversions, of the inputs that left their range
    ir_drop : None on computation crossbars
    adc_conversions, adc_saturations : of all examples and chips
    saturated_codes : None where no codes are counted
    converters : None where they are ideal
    drift_scales : None where nothing follows drift
    defect_map : None without;  self_correction : None without
    rows_per_image : rows of inputs of an image in a convolution, None of one row
    read_noise_error : of its worst tile, relative, of a standard deviation of read noise behind the
        wires; None where these are not asked about noise
    array_energy_per_token : joule that the drivers of its word lines deliver into cells and wires
    """

    inputs: int
    outputs: int
    adc_saturated: float
    dac_saturated: float
    ir_drop: IrDrop | None
    programming: Programming
    array_energy_per_token: float
    adc_conversions: int = 0
    adc_saturations: float = 0.0
    saturated_codes: SaturatedCodes | None = None
    compensation: Compensation | None = None
    converters: Converters | None = None
    drift_scales: DriftScales | None = None
    read_noise_error: float | None = None
    defect_map: DefectMap | None = None
    self_correction: SelfCorrection | None = None
    rows_per_image: int | None = None


@dataclass(frozen=True, kw_only=True)
class ProductSummary(StepSummary):
    """A product of two activations.

    adc_saturated, dac_saturated : share of the conversions, inputs per example that left their
        range
    cells_set, write_energy : per example, cells written or switches set for the second operand,
        and joule of writes, None where it is not known: the device states no energy of a pulse, or
        switches are set, whose energy none states
    """

    adc_saturated: float
    dac_saturated: float
    cells_set: float
    write_energy: float | None


@dataclass(frozen=True, kw_only=True)
class FunctionSummary(StepSummary):
    """A function; saturations : codes held at their range, per example."""

    saturations: float


def matrix_summary(name: str, matrix: TracedMatrix, tokens: Integers) -> MatrixSummary:
    rows = matrix.rows
    attributes = matrix.attributes
    input_rows = tokens * (attributes.rows_per_image or 1)
    saturated = None
    if matrix.codes is not None:
        saturated = SaturatedCodes.of(matrix.codes)
    ir_drop = None
    if matrix.attenuation is not None:
        mean = float(matrix.attenuation.mean.mean())
        spread = float(matrix.attenuation.std.mean())
        ir_drop = IrDrop(mean, spread, WorstTile.of(attributes))
    noise_error = None
    if matrix.noise_error is not None:
        noise_error = float(matrix.noise_error.max())
    return MatrixSummary(
        name=name,
        kind=matrix.place.kind,
        role=matrix.place.role,
        layer=matrix.place.layer,
        local_snr_db=snr_db(rows.local, tokens),
        accumulated_snr_db=snr_db(rows.accumulated, tokens),
        inputs=attributes.inputs,
        outputs=attributes.outputs,
        adc_saturated=_share(rows.adc_saturations, rows.adc_conversions),
        dac_saturated=_share(rows.dac_saturations, input_rows * attributes.inputs),
        ir_drop=ir_drop,
        programming=Programming.of(attributes),
        compensation=Compensation.of(attributes),
        array_energy_per_token=float(rows.array_energy.sum() / tokens.sum()),
        adc_conversions=int(rows.adc_conversions.sum()),
        adc_saturations=float(rows.adc_saturations.sum()),
        saturated_codes=saturated,
        converters=Converters.of(attributes),
        drift_scales=DriftScales.of(attributes),
        defect_map=DefectMap.of(attributes),
        self_correction=SelfCorrection.of(attributes),
        rows_per_image=attributes.rows_per_image,
        read_noise_error=noise_error,
    )


def product_summary(name: str, product: TracedProduct, tokens: Integers) -> ProductSummary:
    rows = product.rows
    return ProductSummary(
        name=name,
        kind=product.place.kind,
        role=product.place.role,
        layer=product.place.layer,
        local_snr_db=snr_db(rows.local, tokens),
        accumulated_snr_db=snr_db(rows.accumulated, tokens),
        adc_saturated=_share(rows.adc_saturations, rows.adc_conversions),
        dac_saturated=float(rows.dac_saturations.mean()),
        cells_set=float(rows.cells_set.mean()),
        write_energy=float(rows.write_energy.mean()) or None,
    )


def function_summary(name: str, function: TracedFunction, tokens: Integers) -> FunctionSummary:
    rows = function.rows
    return FunctionSummary(
        name=name,
        kind=function.place.kind,
        role=function.place.role,
        layer=function.place.layer,
        local_snr_db=snr_db(rows.local, tokens),
        accumulated_snr_db=snr_db(rows.accumulated, tokens),
        saturations=float(rows.saturations.mean()),
    )


def _share(part: Integers, whole: Integers) -> float:
    return float(part.sum() / max(whole.sum(), 1))


def snr_db(errors: ErrorStatistics, tokens: Integers) -> float:
    """Signal over error power of all examples together, in dB.

    Without any error it is infinite, with an error and no signal minus infinity.
    """
    signal = float((errors.signal_rms**2 * tokens).sum())
    error = float((errors.error_rms**2 * tokens).sum())
    if error == 0:
        return math.inf
    if signal == 0:
        return -math.inf
    return 10 * math.log10(signal / error)
