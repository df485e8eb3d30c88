"""Converter ranges and digital correction of a programmed matrix, from sample inputs."""

import numpy as np

from xbarsim.arrays.digital_scale import DigitalScale
from xbarsim.arrays.in_situ.converters import errors_of_row_blocks
from xbarsim.arrays.in_situ.correction import (
    Correction,
    ProductSums,
    digital_correction,
    second_moment,
)
from xbarsim.arrays.in_situ.dummy_array import (
    DummyArray,
    DummyLines,
    DummyReads,
    dummy_lines,
    sample_products,
)
from xbarsim.arrays.in_situ.input_coder import RANGE_FRACTIONS, InputCoder
from xbarsim.arrays.in_situ.layout import subtracts_currents
from xbarsim.arrays.in_situ.matrix import Array, ConvertedArray, IdealArray
from xbarsim.arrays.in_situ.programmed import ProgrammedMatrix, fold
from xbarsim.base.array_types import Floats, Singles
from xbarsim.base.errors import OutOfRangeError, ShapeError
from xbarsim.base.units import MICRO
from xbarsim.config.arrays import Adc
from xbarsim.kernels.arrays.converters import range_errors

ADC_SAMPLES = 512  # sample inputs behind the ADC ranges


def with_ranges(
    programmed: ProgrammedMatrix,
    samples: Singles,
    cross_terms: bool = True,
    any_batch: bool = False,
) -> Array:
    """A programmed matrix with input range, ADC ranges and digital gain from sample inputs.

    Parameters
    ----------
    samples : (s, inputs)
    cross_terms : whether the gain is least squares on these very inputs, or on independent ones of
        their mean squares: where the samples are what will be multiplied, their products are not
        known beforehand
    any_batch : whether a row must have the same bits in any batch with ideal converters too

    Raises
    ------
    ShapeError, OutOfRangeError : samples of another width, none, or not finite
    """
    _check_samples(programmed, samples)
    settings = programmed.settings
    achieved = programmed.achieved_weight
    intended = programmed.intended_weight
    layout = programmed.layout
    scale = DigitalScale.of(settings.dac, layout.inputs, layout.word_lines, programmed.shift)
    scaled = scale.scaled(samples)
    coder = InputCoder.covering(
        scaled.values,
        (intended**2).sum(axis=0),
        settings.dac,
        programmed.read_voltage,
        ideal=not settings.effects.with_dac,
        even=not settings.effects.with_converter_errors,
    )
    if programmed.dummies is not None:
        return _with_dummies(programmed, coder, scale, scaled.values)
    multiplied = scale.restored(scaled.values, scaled.scales)
    correction = _correction(programmed, achieved, multiplied, cross_terms)
    bits = settings.adc.bits
    if not settings.effects.with_adc or bits == "ideal":
        return IdealArray(
            programmed=programmed,
            coder=coder,
            scale=scale,
            gain=correction.gain,
            folded=correction.of(achieved).astype(np.float32),
            folded_variance=_folded_variance(programmed, correction),
            folded_currents=folded_currents(programmed, coder, correction.gain),
            any_batch=any_batch,
        )
    analog = subtracts_currents(settings.mapping)
    codes = code_range(bits, signed=analog or coder.signed_voltages)
    of_ones = np.zeros((len(scale.parts), layout.outputs))
    if coder.shift:  # offset binary adds it to the outputs for every unit that inputs gain
        seen = intended
        if settings.mapping.gain != "none":
            seen = correction.of(achieved)
        of_ones = np.stack([seen[:, part].sum(axis=1) for part in scale.parts])
    lsb = _lsb_of_row_blocks(programmed, coder, codes, scaled.values)
    return ConvertedArray(
        programmed=programmed,
        coder=coder,
        scale=scale,
        codes=codes,
        gain=correction.gain,
        lsb=lsb,
        errors=errors_of_row_blocks(programmed, codes, lsb),
        input_sum_weight=(programmed.input_sum * correction.gain + correction.sum_weight).astype(
            np.float32
        ),
        constant=(-coder.shift * of_ones).astype(np.float32),
    )


def _with_dummies(
    programmed: ProgrammedMatrix, coder: InputCoder, scale: DigitalScale, samples: Singles
) -> Array:
    """The same of a matrix with dummy columns, from sample inputs (s, inputs) on their own scales."""
    settings = programmed.settings
    some = _some(samples)
    held, _ = coder.hold(some)
    volts = coder.phases(held)
    gain = Correction.none(programmed.layout.outputs).gain
    if settings.mapping.gain != "none":
        found = sample_products(programmed, volts, coder.phase_weight)
        wanted = some @ np.asarray(programmed.weight, np.float64).T
        sums = ProductSums.of_products(wanted, found)
        gain = digital_correction(sums, settings.mapping).gain
    codes = (0, 0)
    lsb = tuple(np.ones(programmed.value.shape, np.float32) for _ in programmed.transfer)
    reads = None
    errors = None
    bits = settings.adc.bits
    if settings.effects.with_adc and bits != "ideal":
        codes = code_range(bits, signed=subtracts_currents(settings.mapping))
        lsb = _lsb_of_row_blocks(programmed, coder, codes, samples)
        errors = errors_of_row_blocks(programmed, codes, lsb)
        reads = tuple(
            _dummy_reads(programmed, block, lines, volts, codes)
            for block, lines in enumerate(dummy_lines(programmed))
        )
    outputs = programmed.layout.outputs
    return DummyArray(
        programmed=programmed,
        coder=coder,
        scale=scale,
        codes=codes,
        gain=gain,
        lsb=lsb,
        errors=errors,
        input_sum_weight=(programmed.input_sum * gain).astype(np.float32),
        constant=np.zeros((len(scale.parts), outputs), np.float32),
        reads=reads,
    )


def _dummy_reads(
    programmed: ProgrammedMatrix,
    block: int,
    lines: DummyLines,
    volts: Singles,
    codes: tuple[int, int],
) -> DummyReads:
    """Converters whose highest code is the largest current of sample voltages (s, phases, inputs)."""
    of_block = volts[:, :, programmed.layout.rows(block)]
    current = of_block.reshape(-1, of_block.shape[2]) @ lines.transfer.T
    return DummyReads.of(programmed, block, current.max(axis=0), (0, codes[1]))


def _correction(
    programmed: ProgrammedMatrix, achieved: Floats, x: Singles, cross_terms: bool
) -> Correction:
    """Of products of inputs x (s, in) with what was achieved (outputs, in), see `with_ranges`."""
    mapping = programmed.settings.mapping
    if mapping.gain == "none":
        return Correction.none(len(achieved))
    wires = programmed.settings.solved_wires
    single = wires is not None and wires.precision == "single"
    with_sum = mapping.sign == "offset"
    samples, inputs = x.shape
    if single and cross_terms and inputs > samples:
        sums = ProductSums.of_samples(programmed.weight, achieved, x, with_sum)
    else:
        moment = second_moment(x, cross_terms)
        sums = ProductSums.of_moment(programmed.weight, achieved, moment, with_sum)
    return digital_correction(sums, mapping)


def _check_samples(programmed: ProgrammedMatrix, samples: Singles) -> None:
    inputs = programmed.layout.inputs
    if samples.ndim != 2 or samples.shape[1] != inputs or len(samples) == 0:
        raise ShapeError(
            f"sample inputs of {programmed.name} must be (samples, {inputs}), got {samples.shape}"
        )
    if not np.isfinite(samples).all():
        raise OutOfRangeError(f"sample inputs of {programmed.name} contain NaN or infinity")


def folded_currents(
    programmed: ProgrammedMatrix, coder: InputCoder, gain: Floats
) -> Singles | None:
    """(outputs, inputs) that voltages are multiplied with, without what is known digitally from the
    inputs; None where voltages are what the inputs say.
    """
    if coder.is_even:
        return None
    return (fold(programmed.transfer, programmed.value) * gain[:, None]).astype(np.float32)


def _folded_variance(programmed: ProgrammedMatrix, correction: Correction) -> Singles | None:
    """(outputs, inputs), of the read noise of an output per square of an input."""
    if programmed.variance is None:
        return None
    folded = fold(programmed.variance, programmed.value**2)
    return (folded * correction.gain[:, None] ** 2).astype(np.float32)


def _some(samples: Singles) -> Singles:
    """Of the sample inputs, those that are multiplied to find currents."""
    return samples[:: -(-len(samples) // ADC_SAMPLES)].astype(np.float32)


def _lsb_of_row_blocks(
    programmed: ProgrammedMatrix,
    coder: InputCoder,
    codes: tuple[int, int],
    samples: Singles,
) -> tuple[Singles, ...]:
    """(conversions, outputs) ampere per code of every row block."""
    held, _ = coder.hold(_some(samples))
    volts = coder.phases(held)
    return tuple(
        _adc_lsb(programmed, coder, codes, transfer, volts[:, :, programmed.layout.rows(block)])
        for block, transfer in enumerate(programmed.transfer)
    )


def _adc_lsb(
    programmed: ProgrammedMatrix,
    coder: InputCoder,
    codes: tuple[int, int],
    transfer: Singles,
    volts: Singles,
) -> Singles:
    """(conversions, outputs) ampere per code of one row block, from sample voltages (s, p, rows)."""
    conversions, outputs = programmed.value.shape
    adc = programmed.settings.adc
    if adc.range == "unit":
        unit = programmed.encoded.step * programmed.read_voltage / (2**coder.digit_bits - 1)
        return np.full((conversions, outputs), unit, np.float32)
    if adc.full_scale_ua is not None:
        stated = adc.full_scale_ua * MICRO / codes[1]
        return np.full((conversions, outputs), stated, np.float32)
    current = volts.reshape(-1, volts.shape[-1]) @ transfer.T
    lowest, highest = codes
    scale = adc_full_scale(current, adc, lowest, highest).reshape(conversions, outputs)
    if adc.per == "tile":
        _share_within_tiles(scale, programmed)
    return scale / np.float32(highest)


def _share_within_tiles(scale: Singles, programmed: ProgrammedMatrix) -> None:
    """Give all conversions of a tile the largest full scale (conversions, outputs), in place."""
    per_tile = programmed.layout.outputs_per_tile
    axis: int | tuple[int, int] = 1
    if programmed.layout.placement == "neighbour":  # all planes lie on one tile
        axis = (0, 1)
    for start in range(0, scale.shape[1], per_tile):
        of_tile = scale[:, start : start + per_tile]
        of_tile[:] = of_tile.max(axis=axis, keepdims=True)


def code_range(bits: int, signed: bool) -> tuple[int, int]:
    """(lowest, highest) ADC code; signed codes are symmetric, those of one signed bit are -1 and 1
    without 0.
    """
    if not signed:
        return 0, 2**bits - 1
    highest = max(2 ** (bits - 1) - 1, 1)
    return -highest, highest


def adc_full_scale(current: Singles, adc: Adc, lowest: int, highest: int) -> Singles:
    """(lines,) ampere of the largest code, from sample currents (s, lines), by the criterion of
    `adc.range`.
    """
    magnitude = np.abs(current)
    largest = magnitude.max(axis=0)
    if adc.range == "quantile":
        scale = np.quantile(magnitude, adc.quantile, axis=0).astype(np.float32)
    elif adc.range == "mse" and adc.bits == 1 and lowest < 0:
        scale = magnitude.mean(axis=0)  # of two codes -1 and 1, the nearest on average
    elif adc.range == "mse":
        error = range_errors(
            current, largest, np.float32(lowest), np.float32(highest), RANGE_FRACTIONS
        )
        scale = largest * RANGE_FRACTIONS[error.argmin(axis=0)]
    else:
        scale = largest
    scale = np.where(scale > 0, scale, largest)
    # A line without current keeps code 0 in any range.
    return np.where(scale > 0, scale, np.float32(1))
