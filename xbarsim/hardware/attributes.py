"""What is true of a product or a matrix on hardware, whoever says it: the hardware, a trace, a report."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class ProductAttributes:
    """Bits of converters, 0 where they are ideal; what the full scale of the inputs follows, None
    where it is static.
    """

    adc_bits: int
    dac_bits: int
    input_scaling: str | None = None


@dataclass(frozen=True, kw_only=True)
class MatrixAttributes(ProductAttributes):
    """A matrix on hardware: its size, its tiles, and what happened when they were programmed.

    write_energy : joule of the pulses, None where the device states none
    lowest_code, codes_per_bin : of the histogram of codes, None where none are counted
    worst_tile_... : the tile where least of the current arrives: its place (plane: None where all
        planes lie on one tile), and the share that does; None on computation crossbars and in
        older traces
    scale_shift, unshifted_inputs : exponent of the scale that was shifted from inputs into weights,
        and inputs that stayed as they are; None without
    converters, missing_codes : converters of currents that are not ideal, and codes that they never
        give, of all together; None of ideal ones
    compensation, compensation_scale, held_cells, weight_error : what it made of the matrix, see
        `in_situ.compensated`; None without
    rewritten_cells : that were read back and written again, None where none are measured
    rescaling_mean, rescaling_std : of the scales that follow drift, None without
    reference_... : what reading their reference once takes, and the joule that it draws from the
        word lines
    mapped_cells, map_pulses, map_energy : cells that were tested one by one for the places of outputs,
        pulses and joule of the test; None without a map of defects, map_energy also of a device that
        states no pulse of one energy
    dummy_cells, dummy_conversions, dummy_multiplications : of dummy columns, and what they add to a row
        of inputs; None without
    raised_drivers : word-line drivers with an amplifier, None without
    rows_per_image : rows of inputs of an image, None of one row per token
    shares : the matrix whose tiles it uses and that counts them, None of tiles of its own
    """

    inputs: int
    outputs: int
    tiles: int
    cells: int
    clipped_weights: int
    stuck_on: int
    stuck_off: int
    bounded_cells: int
    rounded_cells: int
    unverified_cells: int
    write_pulses: int = 0
    write_energy: float | None = None
    lowest_code: int | None = None
    codes_per_bin: int | None = None
    worst_tile_row_block: int | None = None
    worst_tile_column_block: int | None = None
    worst_tile_plane: int | None = None
    worst_tile_attenuation: float | None = None
    scale_shift: float | None = None
    unshifted_inputs: int | None = None
    converters: int | None = None
    missing_codes: int | None = None
    compensation: str | None = None
    compensation_scale: float | None = None
    held_cells: int | None = None
    weight_error: float | None = None
    rewritten_cells: int | None = None
    rescaling_mean: float | None = None
    rescaling_std: float | None = None
    reference_tile_reads: int | None = None
    reference_adc_conversions: int | None = None
    reference_dac_drives: int | None = None
    reference_array_energy: float | None = None
    mapped_cells: int | None = None
    map_pulses: int | None = None
    map_energy: float | None = None
    dummy_cells: int | None = None
    dummy_conversions: int | None = None
    dummy_multiplications: int | None = None
    raised_drivers: int | None = None
    rows_per_image: int | None = None
    shares: str | None = None
