"""The product of inputs with a matrix on tiles, from digital inputs to digital outputs.

Inputs are rounded to codes (DAC), applied to the word lines in one or several voltage phases,
multiplied by the tiles' exact transfer matrices (a GEMM), disturbed by read noise, converted per
bit line (ADC), weighted and added over phases, slices and row blocks (digital).  With an ideal ADC
all that is linear and one matrix: `IdealArray`.  With codes it is not: `ConvertedArray`.
`ranges.with_ranges` makes either.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np

from xbarsim.arrays.digital_scale import DigitalScale
from xbarsim.arrays.events import Events
from xbarsim.arrays.in_situ.code_counts import CodeBins, CodeCounter, CodeCounts
from xbarsim.arrays.in_situ.converters import ConverterErrors
from xbarsim.arrays.in_situ.drives import (
    Drive,
    NamedRows,
    ReadNoise,
    drive_energy,
    drives,
    keys_of_phases,
    noise_keys,
)
from xbarsim.arrays.in_situ.input_coder import InputCoder, only_sign
from xbarsim.arrays.in_situ.programmed import ProgrammedMatrix
from xbarsim.base.array_types import (
    AnyArray,
    AnyFloats,
    Booleans,
    Floats,
    Integers,
    Singles,
)
from xbarsim.kernels.arrays.converters import add_known, convert_accumulate
from xbarsim.kernels.arrays.row_products import multiply_rows
from xbarsim.kernels.devices.random import add_normal

CURRENT_COLUMNS = 512  # of a block of currents, see `drives.CURRENT_ROWS`
CONVERSION = 1  # what noise of converters is for: the last name of its random numbers


@dataclass(frozen=True)
class Product:
    """Result of `Array.multiply` for b input rows.

    output : (b, outputs)
    dac_saturations, adc_saturations : (b,), inputs and conversions held at the end of their range;
        of a statistical product expected ones
    array_energy : (b,) joule, delivered by the word-line drivers into cells and wires
    code_counts : of all rows together; None without codes
    """

    output: Singles
    dac_saturations: Integers
    adc_saturations: AnyArray
    array_energy: AnyFloats
    code_counts: CodeCounts | None = None


class Array(Protocol):
    """A matrix on tiles with its converters; immutable, so any number of threads may multiply."""

    @property
    def programmed(self) -> ProgrammedMatrix:
        """The matrix on its tiles."""
        ...

    @property
    def coder(self) -> InputCoder:
        """What makes voltages of inputs."""
        ...

    @property
    def scale(self) -> DigitalScale:
        """What is done to inputs before they are coded."""
        ...

    @property
    def gain(self) -> Floats:
        """(outputs,), digital gain of the products."""
        ...

    @property
    def code_bins(self) -> CodeBins | None:
        """Bins of the histogram of its codes; None without codes."""
        ...

    @property
    def errors(self) -> tuple[ConverterErrors, ...] | None:
        """Converters of currents of every row block; None if all are ideal."""
        ...

    @property
    def events_per_row(self) -> Events:
        """What one input row costs."""
        ...

    def multiply(
        self, x: Singles, rows: Integers, seed: int, wanted: Booleans | None = None
    ) -> Product:
        """Product of inputs x (b, inputs) with the matrix.

        rows : (b, 2), names of the rows (sentence, token position): with `seed` they alone
            determine read noise
        wanted : (b, outputs), outputs that are converted, all if None; the others are 0
        """
        ...


@dataclass(frozen=True)
class IdealArray:
    """A matrix whose currents are not rounded: the whole chain is one matrix.

    gain : (outputs,), digital gain, included in `folded`
    folded : (outputs, inputs), the matrix
    folded_variance : (outputs, inputs), of the read noise per square of an input, None without
    folded_currents : (outputs, inputs), the part of the matrix that voltages meet, None where these
        are what the inputs say
    any_batch : whether a row's result has the same bits in any batch, at the cost of rows that are
        filled up
    """

    programmed: ProgrammedMatrix
    coder: InputCoder
    scale: DigitalScale
    gain: Floats
    folded: Singles
    folded_variance: Singles | None
    folded_currents: Singles | None = None
    any_batch: bool = False

    @property
    def code_bins(self) -> None:
        """It has no codes."""
        return None

    @property
    def errors(self) -> None:
        """It has no converters."""
        return None

    @property
    def events_per_row(self) -> Events:
        """What one input row costs."""
        return _events_per_row(self.programmed, self.coder, self.scale)

    def multiply(
        self, x: Singles, rows: Integers, seed: int, wanted: Booleans | None = None
    ) -> Product:
        """Product of inputs x (b, inputs) with the matrix, see `Array.multiply`."""
        scaled = self.scale.scaled(x)
        held, dac_saturations = self.coder.hold(scaled.values)
        energy = np.zeros(len(held))
        beside = np.zeros_like(held)  # what voltages say beside the inputs
        for drive in drives(self.programmed, self.coder, held, NamedRows(rows, seed)):
            energy[drive.rows] += drive_energy(self.programmed, self.coder, drive)
            if self.folded_currents is not None:
                lines = self.programmed.layout.rows(drive.block)
                driven = self.coder.inputs_of(drive.volts)
                beside[drive.rows, lines] = driven - held[drive.rows, lines]
        multiplied = self.scale.restored(held, scaled.scales)
        output = self._product(multiplied, self.folded)
        if self.folded_currents is not None:
            added = self.scale.restored(beside, scaled.scales)
            output += self._product(added, self.folded_currents)
        if self.folded_variance is not None:
            keys = noise_keys(self.programmed.index, rows, seed, block=0, phase=0)
            add_normal(output, self._variance(multiplied, self.folded_variance), keys)
        if self.programmed.processes is not None:
            output += self._remembered(multiplied, rows)
        return Product(
            output=_only(output, wanted),
            dac_saturations=dac_saturations,
            adc_saturations=np.zeros(len(x), np.int64),
            array_energy=energy,
        )

    def _variance(self, x: Singles, folded: Singles) -> Singles:
        """(b, outputs) of the read noise of inputs x (b, in)."""
        programmed = self.programmed
        if programmed.line_noise is None:
            return self._product(x**2, folded)
        total = np.zeros((len(x), len(folded)), np.float32)
        squares = ((programmed.value * self.gain) ** 2).astype(np.float32)
        every = slice(0, squares.size)
        for block in range(programmed.layout.row_blocks):
            of_block = np.ascontiguousarray(x[:, programmed.layout.rows(block)])
            variance = programmed.noise_variance(block, of_block, every)
            total += (variance.reshape(-1, *squares.shape) * squares).sum(axis=1)
        return total

    def _remembered(self, x: Singles, rows: Integers) -> Singles:
        """(b, outputs) of the noise that cells remember, of inputs x (b, in)."""
        programmed = self.programmed
        total = np.zeros((len(x), programmed.layout.outputs), np.float32)
        value = (programmed.value * self.gain).astype(np.float32)
        every = slice(0, value.size)
        for block in range(programmed.layout.row_blocks):
            of_block = np.ascontiguousarray(x[:, programmed.layout.rows(block)])
            noise = np.zeros((len(x), value.size), np.float32)
            programmed.add_remembered_noise(block, noise, of_block, rows, every)
            total += (noise.reshape(-1, *value.shape) * value).sum(axis=1)
        return total

    def _product(self, x: Singles, matrix: Singles) -> Singles:
        """x (b, in) times matrix (out, in), transposed."""
        if self.any_batch:
            found: Singles = multiply_rows(x, matrix)
            return found
        return x @ matrix.T


@dataclass(frozen=True)
class ReadCurrents:
    """Currents (rows * phases, k) A of some columns of a row block, before they are converted.

    beyond : (rows * phases,), those of one bit that lie beyond their range
    """

    columns: slice
    current: Singles
    beyond: Integers


@dataclass(frozen=True)
class ConvertedArray:
    """A matrix whose currents are converted to codes.

    codes : (lowest, highest) ADC code
    gain : (outputs,), digital gain
    lsb : one matrix per row block, (conversions, outputs) ampere per code
    input_sum_weight : (outputs,), digital weight of the sum of the inputs
    errors : converters of every row block, None if all are ideal
    rescaling : digital scales of every row block, (conversions, outputs), None without
    constant : (parts, outputs), added to every output of a part of `scale`: removes what offset
        binary added to the inputs
    """

    programmed: ProgrammedMatrix
    coder: InputCoder
    scale: DigitalScale
    codes: tuple[int, int]
    gain: Floats
    lsb: tuple[Singles, ...]
    input_sum_weight: Singles
    constant: Singles
    errors: tuple[ConverterErrors, ...] | None = None
    rescaling: tuple[Floats, ...] | None = None

    @property
    def code_bins(self) -> CodeBins | None:
        """Bins of the histogram of its codes."""
        return CodeBins(*self.codes)

    @property
    def events_per_row(self) -> Events:
        """What one input row costs."""
        return _events_per_row(self.programmed, self.coder, self.scale)

    def multiply(
        self, x: Singles, rows: Integers, seed: int, wanted: Booleans | None = None
    ) -> Product:
        """Product of inputs x (b, inputs) with the matrix, see `Array.multiply`."""
        scaled = self.scale.scaled(x)
        held, dac_saturations = self.coder.hold(scaled.values)
        energy = np.zeros(len(held))
        saturations = np.zeros(len(held), np.int64)
        output = np.zeros((len(held), self.programmed.layout.outputs), np.float32)
        counter = CodeCounter(self.code_bins)
        for drive in drives(self.programmed, self.coder, held, NamedRows(rows, seed)):
            part = drive.rows
            energy[part] += drive_energy(self.programmed, self.coder, drive)
            of_drive = output[part]
            if scaled.scales is not None:
                of_drive = np.zeros_like(of_drive)
            saturations[part] += self._convert(
                drive,
                rows[part],
                seed,
                of_drive,
                counter,
                wanted=None if wanted is None else wanted[part],
            )
            if scaled.scales is not None:
                group = self.scale.part_of(self.programmed.layout.rows(drive.block).start)
                output[part] += of_drive * scaled.scales[part, group, None]
        return Product(
            output=_only(self._with_sums(output, held, scaled.scales), wanted),
            dac_saturations=dac_saturations,
            adc_saturations=saturations,
            array_energy=energy,
            code_counts=counter.counts(),
        )

    @cached_property
    def _inverse_lsb(self) -> list[Singles]:
        """Codes per ampere of every row block, (conversions * outputs,)."""
        return [(np.float32(1) / lsb).ravel() for lsb in self.lsb]

    @cached_property
    def _code_value(self) -> list[Singles]:
        """Value of a code of every row block, (conversions * outputs,)."""
        value = self.programmed.value * self.gain
        if self.rescaling is not None:
            scaled = zip(self.rescaling, self.lsb, strict=True)
            return [(value * scale * lsb).astype(np.float32).ravel() for scale, lsb in scaled]
        return [(value * lsb).astype(np.float32).ravel() for lsb in self.lsb]

    def _with_sums(self, output: Singles, held: Singles, scales: Singles | None) -> Singles:
        """Outputs with what is known digitally from the sums of the inputs: it carries the unsigned
        offset and the cells' low state.

        output : (b, outputs), which is lost
        held : (b, inputs), coded inputs
        scales : (b, groups)
        """
        for number, part in enumerate(self.scale.parts):
            of_part = held[:, part]
            # What offset binary adds to the sum of the inputs.
            shift = np.float32(self.coder.shift * of_part.shape[1])
            sums = of_part.sum(axis=1, keepdims=True) + shift
            if scales is None:
                add_known(output, sums[:, 0], self.input_sum_weight, self.constant[number])
                return output
            known: Singles = sums * self.input_sum_weight
            output = output + (known + self.constant[number]) * scales[:, number, None]
        return output

    def _convert(
        self,
        drive: Drive,
        rows: Integers,
        seed: int,
        output: Singles,
        counter: CodeCounter,
        wanted: Booleans | None,
    ) -> Integers:
        """Convert the currents of one row block and add them to `output`; saturations (b,)."""
        b, phases, _ = drive.volts.shape
        inverse_lsb = self._inverse_lsb[drive.block]
        value = self._code_value[drive.block]
        lowest, highest = map(np.float32, self.codes)
        saturations = np.zeros(b, np.int64)
        for read in self._read(drive, rows, seed, wanted):
            codes = read.current.reshape(b, phases, -1)
            saturations += read.beyond.reshape(b, phases).sum(axis=1)
            saturations += convert_accumulate(
                codes,
                first=read.columns.start,
                inverse_lsb=inverse_lsb[read.columns],
                weight=value[read.columns],
                phase_weight=self.coder.phase_weight,
                lowest=lowest,
                highest=highest,
                out=output,
            )
            counter.add(codes)
        return saturations

    def _read(
        self, drive: Drive, rows: Integers, seed: int, wanted: Booleans | None
    ) -> Iterator[ReadCurrents]:
        """The currents of one row block as ideal converters see them, some columns at a time."""
        phases, m = drive.volts.shape[1:]
        conversions = len(self.programmed.value)
        volts = drive.volts.reshape(-1, m)
        transfer = self.programmed.transfer[drive.block]
        inverse_lsb = self._inverse_lsb[drive.block]
        one_bit = self.programmed.settings.adc.bits == 1 and self.codes[0] < 0
        noise = ReadNoise.of(self.programmed, drive, rows, seed)
        errors = None
        if self.errors is not None:
            errors = self.errors[drive.block]
            conversion_keys = keys_of_phases(
                self.programmed.index, rows, seed, drive.block, phases, CONVERSION
            ).reshape(-1)
        for first in range(0, len(transfer), CURRENT_COLUMNS):
            columns = slice(first, first + CURRENT_COLUMNS)
            current = multiply_rows(volts, transfer[columns])
            if noise is not None:
                noise.add_to(current, columns)
            if errors is not None:
                errors.disturb(current, columns, inverse_lsb[columns], conversion_keys)
            if wanted is not None:  # a line that is not converted saturates nothing
                of_lines = np.tile(wanted, (1, conversions))[:, columns]
                current *= np.repeat(of_lines, phases, axis=0)
            beyond = np.zeros(len(volts), np.int64)
            if one_bit:
                current, beyond = only_sign(current, np.float32(1) / inverse_lsb[columns])
            yield ReadCurrents(columns, current, beyond)


def without_targets(array: Array) -> Array:
    """An array that multiplies the same and holds no weights and targets any more, see
    `ProgrammedMatrix.without_targets`.
    """
    if isinstance(array, IdealArray | ConvertedArray):
        return dataclasses.replace(array, programmed=array.programmed.without_targets())
    return array


def _only(output: Singles, wanted: Booleans | None) -> Singles:
    """0 where an output is not wanted."""
    if wanted is None:
        return output
    return np.where(wanted, output, np.float32(0))


def _events_per_row(programmed: ProgrammedMatrix, coder: InputCoder, scale: DigitalScale) -> Events:
    layout = programmed.layout
    phases = len(coder.phase_weight)
    conversions = phases * layout.row_blocks * programmed.value.size
    reads = Events(
        tile_reads=phases * layout.tiles,
        adc_conversions=conversions,
        dac_drives=phases * layout.tiles_per_row_block * layout.inputs,
        shift_adds=conversions,
    )
    return reads + scale.events(layout.outputs)
