"""A weight matrix on crossbar tiles: from digital inputs to digital outputs.

`program_matrix` maps, programs and solves the wires; `calibrate` sets converter ranges and the
digital gain from sample inputs; `Array.multiply` is the product.  Its chain: inputs are rounded to
codes (DAC), applied to the word lines in one or several voltage phases, multiplied by the tiles'
exact transfer matrices (a GEMM), disturbed by read noise, converted per bit line (ADC), weighted
and added over phases, slices and row blocks (digital).
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from xbarsim.arrays.converters import InputCoder, adc_full_scale, code_range, only_sign
from xbarsim.arrays.layout import Layout
from xbarsim.arrays.mapping import Encoded
from xbarsim.arrays.plan import plan_matrix
from xbarsim.base.errors import OutOfRangeError, ShapeError
from xbarsim.devices.programmed import Counts
from xbarsim.kernels.arrays.converters import convert_accumulate
from xbarsim.kernels.arrays.row_products import multiply_rows
from xbarsim.kernels.devices.random import add_normal, row_keys

CALIBRATION_ROWS = 512  # sample inputs behind the ADC ranges
# Currents held at once by a thread, from GEMM to ADC: 512 KiB of float32 that stay in cache.  Every
# GEMM has this number of rows, filled up with zeros, because BLAS rounds differently for other
# shapes: a token's result is that of any batch.
CURRENT_ROWS, CURRENT_COLUMNS = 256, 512


@dataclass(frozen=True)
class ProgrammedMatrix:
    """A matrix on programmed tiles, before its converters are calibrated.

    A *conversion* is what one ADC result stands for: a slice, whose pair of currents is subtracted
    before the ADC, or a
    single plane.  weight : (outputs, inputs) float64, as given;  value : (conversions, outputs)
        weight per siemens
    transfer, variance, power : one array per row block, (conversions * outputs, rows) A/V, the same
        in A²/V² or None
    without read noise, (rows, rows) W/V²
    input_sum : (outputs,), weight to add digitally for every unit of the sum of the inputs.
    """

    name: str
    index: int
    study: object
    weight: np.ndarray
    encoded: Encoded
    layout: Layout
    value: np.ndarray
    transfer: tuple
    variance: tuple | None
    power: tuple
    input_sum: np.ndarray
    read_voltage: float
    attenuation_mean: np.ndarray
    attenuation_std: np.ndarray
    counts: Counts

    def fold(self, blocks, value):
        """(outputs, inputs): the conversions of every row block summed with their digital weights."""
        conversions, outputs = value.shape
        return np.concatenate(
            [
                np.einsum("co,coi->oi", value, block.reshape(conversions, outputs, -1))
                for block in blocks
            ],
            axis=1,
        )

    @property
    def achieved(self):
        """(outputs, inputs) float64: the weights that the programmed tiles, wires included, stand
        for.
        """
        return self.fold(self.transfer, self.value) + self.input_sum[:, None]

    @property
    def intended(self):
        """(outputs, inputs) float64: the clipped and rounded weights that were to be programmed."""
        return self.encoded.decode(self.encoded.target).T


def program_matrix(name, index, weight, moment, study, device):
    """Map a weight (out, in) onto tiles, program them and solve their wires.

    Parameters
    ----------
    name, index : str, int; the index names the random streams
    moment : (in,), mean square of each input: what the choice of the full-scale weight weighs
        errors with
    study : the whole study; its `[[layer]]` overrides for `name` are applied here
    device : DeviceModel

    Raises
    ------
    ShapeError, OutOfRangeError : not a finite matrix
    """
    plan = plan_matrix(name, index, weight, moment, study, device)
    return solve_matrix(plan, map(plan.program, range(plan.layout.row_blocks)))


def solve_matrix(plan, cells):
    """ProgrammedMatrix of a MatrixPlan and the Programmed cells of its row blocks, one after the
    other: their wires solved, their planes joined to conversions.
    """
    mapping, encoded = plan.study.mapping, plan.encoded
    slices, signs, _, outputs = encoded.target.shape
    in_analog = mapping.sign == "pair" and mapping.subtraction == "analog"
    # The low state of unsigned weights is a reference's: subtracted before the converter, or
    # digitally with the input sum.
    reference = (
        plan.device.conductance_min
        if mapping.sign == "offset" and mapping.subtraction == "analog"
        else 0.0
    )
    rows = [plan.solve(block, of_block) for block, of_block in enumerate(cells)]

    def conversions(planes, join):
        planes = planes.reshape(slices, signs, outputs, -1)
        joined = join(planes[:, 0], planes[:, 1]) if in_analog else planes
        return joined.reshape(-1, joined.shape[-1]).astype(np.float32)

    noisy = any(row.variance is not None for row in rows)
    variance = tuple(conversions(row.variance_or_zero, np.add) for row in rows) if noisy else None
    return ProgrammedMatrix(
        plan.name,
        plan.index,
        plan.study,
        plan.weight,
        encoded,
        plan.layout,
        value=encoded.value[:, 0] if in_analog else encoded.value.reshape(-1, outputs),
        transfer=tuple(conversions(row.transfer - reference, np.subtract) for row in rows),
        variance=variance,
        power=tuple(row.power.astype(np.float32) for row in rows),
        input_sum=encoded.offset + reference * encoded.value.sum(axis=(0, 1)),
        read_voltage=plan.device.read_voltage,
        attenuation_mean=np.concatenate([row.attenuation_mean for row in rows]),
        attenuation_std=np.concatenate([row.attenuation_std for row in rows]),
        counts=sum((row.counts for row in rows), Counts()),
    )


def calibrate(programmed, x, cross_terms=True):
    """The Array of a programmed matrix: input range, ADC ranges and digital gain from sample inputs
    x (s, in).

    cross_terms : whether the gain is least squares on these very inputs, or on independent ones of
        their mean squares: where x is what will be multiplied, its products are not known
        beforehand

    Raises
    ------
    ShapeError, OutOfRangeError : samples of another width, none, or not finite
    """
    study, layout = programmed.study, programmed.layout
    if x.ndim != 2 or x.shape[1] != layout.inputs or len(x) == 0:
        raise ShapeError(
            f"calibration inputs of {programmed.name} must be (samples, {layout.inputs}), got {x.shape}"
        )
    if not np.isfinite(x).all():
        raise OutOfRangeError(f"calibration inputs of {programmed.name} contain NaN or infinity")
    achieved, intended = programmed.achieved, programmed.intended
    coder = InputCoder.calibrate(
        x,
        (intended**2).sum(axis=0),
        study.dac,
        programmed.read_voltage,
        ideal=not study.effects.converters,
    )
    gain, lacking = digital_correction(
        programmed.weight, achieved, second_moment(x, cross_terms), study.mapping
    )
    corrected = achieved * gain[:, None] + lacking[:, None]
    ones = (intended if study.mapping.gain == "none" else corrected).sum(
        axis=1
    )  # what offset binary adds, per unit
    ideal_adc = not study.effects.converters or study.adc.bits == "ideal"
    conversions, outputs = programmed.value.shape
    analog = study.mapping.sign == "pair" and study.mapping.subtraction == "analog"
    codes = None if ideal_adc else code_range(study.adc.bits, analog or coder.signed_voltages)
    lsb = ()
    if not ideal_adc:
        held, _ = coder.hold(x[:: -(-len(x) // CALIBRATION_ROWS)].astype(np.float32))
        volts = coder.phases(held)
        lsb = tuple(
            adc_lsb(programmed, coder, codes, block, volts[:, :, layout.rows(k)])
            for k, block in enumerate(programmed.transfer)
        )
    folded_variance = None
    if ideal_adc and programmed.variance is not None:
        folded_variance = (
            programmed.fold(programmed.variance, programmed.value**2) * gain[:, None] ** 2
        )
    return Array(
        programmed,
        coder,
        codes,
        gain,
        lsb,
        folded=corrected.astype(np.float32) if ideal_adc else None,
        folded_variance=None if folded_variance is None else folded_variance.astype(np.float32),
        input_sum_weight=(programmed.input_sum * gain + lacking).astype(np.float32),
        constant=((0 if ideal_adc else -coder.shift) * ones).astype(np.float32),
    )


def second_moment(x, cross_terms):
    """Mean products of the inputs x (s, in): (in, in) of every two, or (in,) of each with itself."""
    if cross_terms:
        x = np.asarray(x, np.float32)
        return (x.T @ x).astype(np.float64) / len(x)
    return (x.astype(np.float64) ** 2).mean(axis=0)


def digital_correction(weight, achieved, moment, mapping):
    """Gains and weights of the sum of the inputs, each (outputs,), that bring the products nearest
    to the right ones.

    Least squares of E[(y - y')²] with y = x W of the given weights (outputs, in) and y' = x A of
    the achieved ones, over inputs of second moment `moment`, see `second_moment`.  The sum serves
    unsigned weights: their common offset reaches a converter attenuated by the wires, and what is
    missing is the same for all inputs.  With `mapping.gain` "none" neither is corrected.  O(outputs
    in²) with cross terms.
    """
    outputs = len(weight)
    if mapping.gain == "none":
        return np.ones(outputs), np.zeros(outputs)
    ones = np.ones((1, achieved.shape[1]))
    reached, of_ones = products_with(moment, achieved), products_with(moment, ones)[0]
    cross, own = (weight * reached).sum(axis=1), (achieved * reached).sum(axis=1)
    total, right, found = of_ones.sum(), weight @ of_ones, achieved @ of_ones
    fits_sum = mapping.sign == "offset" and total > 0
    alone = own
    if fits_sum:  # what the sum of the inputs explains is taken out
        cross, own = cross - right * found / total, own - found**2 / total
    if mapping.gain == "matrix":
        cross, own, alone = (np.full(outputs, values.sum()) for values in (cross, own, alone))
    usable = own > 1e-6 * alone  # beyond rounding of float32
    gain = np.where(usable, cross / np.where(usable, own, 1.0), 1.0)
    lacking = (right - gain * found) / total if fits_sum else np.zeros(outputs)
    return gain, lacking


def products_with(moment, weight):
    """E[(x w) x] (outputs, in) of weights (outputs, in); O(outputs in²) where `moment` holds cross
    terms.
    """
    if moment.ndim == 1:
        return weight * moment
    return weight.astype(np.float32) @ moment.astype(np.float32)


def adc_lsb(programmed, coder, codes, transfer, volts):
    """(conversions, outputs) ampere per code of one row block, from sample voltages (s, p, rows)."""
    conversions, outputs = programmed.value.shape
    adc = programmed.study.adc
    if adc.range == "unit":
        unit = programmed.encoded.step * programmed.read_voltage / (2**coder.digit_bits - 1)
        return np.full((conversions, outputs), unit, np.float32)
    scale = adc_full_scale(volts.reshape(-1, volts.shape[-1]) @ transfer.T, adc, *codes).reshape(
        conversions, outputs
    )
    if adc.per == "tile":
        per = programmed.layout.outputs_per_tile
        shared = programmed.layout.placement == "neighbour"  # all planes lie on one tile
        for start in range(0, outputs, per):
            of_tile = scale[:, start : start + per]
            of_tile[:] = of_tile.max(axis=(0, 1) if shared else 1, keepdims=True)
    return scale / np.float32(codes[1])


@dataclass(frozen=True)
class Product:
    """Result of `Array.multiply` for b input rows.

    output : (b, out) float32
    dac_saturations, adc_saturations : (b,) int64, inputs and conversions held at the end of their
        range
    array_energy : (b,) float64 joule, delivered by the word-line drivers into cells and wires
    """

    output: np.ndarray
    dac_saturations: np.ndarray
    adc_saturations: np.ndarray
    array_energy: np.ndarray


@dataclass(frozen=True)
class Array:
    """A calibrated matrix; immutable, so any number of threads may multiply at once.

    coder : InputCoder;  codes : (lowest, highest) ADC code, None for an ideal ADC
    gain : (outputs,);  lsb : per row block (conversions, outputs) A per code
    folded, folded_variance : (outputs, inputs), the whole linear chain where the ADC is ideal
    input_sum_weight : (outputs,), digital weight of the sum of the inputs
    constant : (outputs,), added to every output: removes what offset binary added to the inputs
    """

    programmed: ProgrammedMatrix
    coder: InputCoder
    codes: tuple | None
    gain: np.ndarray
    lsb: tuple
    folded: np.ndarray | None
    folded_variance: np.ndarray | None
    input_sum_weight: np.ndarray
    constant: np.ndarray

    @property
    def events_per_row(self):
        """What one input row costs: dict of counts (tile reads, ADC conversions, DAC drives,
        shift-and-adds).
        """
        layout, phases = self.programmed.layout, len(self.coder.phase_weight)
        conversions = phases * layout.row_blocks * self.programmed.value.size
        return {
            "tile_reads": phases * layout.tiles,
            "adc_conversions": conversions,
            "shift_adds": conversions,
            "dac_drives": phases * layout.tiles_per_row_block * layout.inputs,
        }

    def multiply(self, x, rows, seed):
        """Product of inputs x (b, in) float32 with the matrix.

        rows : (b, 2) int64, names of the rows (sentence, token position): with `seed` they alone
            determine read noise
        """
        b, step = len(x), max(1, CURRENT_ROWS // len(self.coder.phase_weight))
        padding = ((0, -b % step), (0, 0))
        held, dac_saturations = self.coder.hold(x)
        padded, padded_rows = np.pad(held, padding), np.pad(rows, padding)
        energy, saturations = np.zeros(len(padded)), np.zeros(len(padded), np.int64)
        output = np.zeros((len(padded), self.programmed.layout.outputs), np.float32)
        for start in range(0, len(padded), step):
            part = slice(start, start + step)
            volts = self.coder.phases(padded[part])
            for block in range(self.programmed.layout.row_blocks):
                driven = np.ascontiguousarray(volts[:, :, self.programmed.layout.rows(block)])
                energy[part] += self.coder.drive_energy(
                    driven,
                    self.programmed.power[block],
                    self.programmed.study.dac.read_time_ns * 1e-9,
                )
                if self.codes is not None:
                    saturations[part] += self._convert(
                        block, driven, padded_rows[part], seed, output[part]
                    )
        if self.codes is None:
            output = held @ self.folded.T
            if self.folded_variance is not None:
                add_normal(output, held**2 @ self.folded_variance.T, self._keys(rows, seed, 0, 0))
        else:
            # The sum of the inputs is known digitally; it carries the unsigned offset and the
            # cells' low state.
            output = (
                output[:b]
                + (held.sum(axis=1, keepdims=True) + self._shift_sum) * self.input_sum_weight
            )
        return Product(output + self.constant, dac_saturations, saturations[:b], energy[:b])

    @cached_property
    def _code_scales(self):
        """Per row block: codes per ampere and the value of a code, each (conversions * outputs,)
        float32.
        """
        return [
            (
                (1 / lsb).ravel(),
                (self.programmed.value * self.gain * lsb).astype(np.float32).ravel(),
            )
            for lsb in self.lsb
        ]

    @property
    def _shift_sum(self):
        return np.float32(self.coder.shift * self.programmed.layout.inputs)

    def _keys(self, rows, seed, block, phase):
        names = np.column_stack(
            [
                np.full(len(rows), self.programmed.index),
                np.full(len(rows), block),
                np.full(len(rows), phase),
                rows,
            ]
        )
        return row_keys(np.uint64(seed), names.astype(np.int64))

    def _convert(self, block, driven, rows, seed, output):
        """Drive one row block with voltages (b, p, m), convert, add to `output`; returns
        saturations (b,).
        """
        b, phases, m = driven.shape
        flat, phase_weight = driven.reshape(-1, m), self.coder.phase_weight
        lowest, highest = map(np.float32, self.codes)
        transfer, inverse_lsb, weight = self.programmed.transfer[block], *self._code_scales[block]
        noisy, one_bit = (
            self.programmed.variance is not None,
            self.programmed.study.adc.bits == 1 and lowest < 0,
        )
        if noisy:
            squared = flat**2
            keys = np.stack(
                [self._keys(rows, seed, block, p) for p in range(phases)], axis=1
            ).reshape(-1)
        saturations = np.zeros(b, np.int64)
        for first in range(0, len(transfer), CURRENT_COLUMNS):
            columns = slice(first, first + CURRENT_COLUMNS)
            current = multiply_rows(flat, transfer[columns])
            if noisy:
                variance = multiply_rows(squared, self.programmed.variance[block][columns])
                add_normal(current, variance, keys, first)
            if one_bit:
                current, beyond = only_sign(current, 1 / inverse_lsb[columns])
                saturations += beyond.reshape(b, phases).sum(axis=1)
            saturations += convert_accumulate(
                current.reshape(b, phases, -1),
                first,
                inverse_lsb[columns],
                weight[columns],
                phase_weight,
                lowest,
                highest,
                output,
            )
        return saturations
