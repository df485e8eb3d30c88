"""A matrix on tiles whose codes are scaled by what dummy columns say, anew in every read.

Wires, drivers and sense nodes lose a share of a bit line's current that depends on the inputs.  The
dummy column of a tile loses it too, and what it should give is known from the codes of the inputs:
the target of its cells times the sum of the voltages.  The ratio scales all codes of the tile.  Where
the currents of a pair are subtracted, so are the lines of two twin tiles, and the currents of their
dummy columns are added before one converter.

Voltages of a read have one sign, so that the sum of the voltages is 0 where all are.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np

from xbarsim.arrays.events import Events
from xbarsim.arrays.in_situ.code_counts import CodeBins, CodeCounter
from xbarsim.arrays.in_situ.converters import CodeRange, ConverterErrors, errors_of_lines
from xbarsim.arrays.in_situ.drives import Drive, keys_of_phases
from xbarsim.arrays.in_situ.layout import Layout, subtracts_currents
from xbarsim.arrays.in_situ.matrix import ConvertedArray
from xbarsim.arrays.in_situ.programmed import ProgrammedMatrix
from xbarsim.arrays.in_situ.self_correction import DummyColumns
from xbarsim.base.array_types import Booleans, Floats, Integers, Singles
from xbarsim.config.arrays import Mapping
from xbarsim.devices.streams import DUMMY
from xbarsim.kernels.arrays.converters import convert_accumulate
from xbarsim.kernels.arrays.row_products import multiply_rows
from xbarsim.kernels.devices.random import add_normal

# What random numbers of a read are for, beside those of `matrix` and `drives`.
DUMMY_CONVERSION = 3
DUMMY_READ = 4


@dataclass(frozen=True)
class DummyLines:
    """Dummy columns of a row block, added up where one converter reads them.

    transfer : (groups, rows) A/V;  variance : the same of read noise
    wanted : A/V of the sum of the voltages
    group : (conversions * outputs,), whose codes each of them scales
    """

    transfer: Singles
    variance: Singles
    wanted: float
    group: Integers

    @classmethod
    def of(cls, columns: DummyColumns, layout: Layout, mapping: Mapping) -> DummyLines:
        together = 1
        kinds = 1
        conversions = layout.planes
        if subtracts_currents(mapping):
            conversions = layout.planes // 2
        if layout.placement == "twin":
            kinds = conversions
            together = layout.planes // conversions

        def added(values: Singles) -> Singles:
            by_kind = values.reshape(layout.column_blocks, kinds, together, -1).sum(axis=2)
            return np.ascontiguousarray(by_kind.reshape(layout.column_blocks * kinds, -1))

        block = np.arange(layout.outputs) // layout.outputs_per_tile
        kind = np.arange(conversions) % kinds
        group = block * kinds + kind[:, None]
        return cls(
            transfer=added(columns.transfer),
            variance=added(columns.variance),
            wanted=together * columns.target,
            group=group.ravel(),
        )

    @property
    def groups(self) -> int:
        return len(self.transfer)

    def scales(self, current: Singles, volts: Singles) -> Singles:
        """(b, conversions * outputs) of currents (b, groups) A of the dummies for voltages (b, rows);
        1 where none is left.
        """
        wanted = np.float32(self.wanted) * volts.sum(axis=1, keepdims=True)
        scale = np.ones_like(current)
        np.divide(wanted, current, out=scale, where=current > 0)
        found: Singles = scale[:, self.group]
        return found


def dummy_lines(programmed: ProgrammedMatrix) -> tuple[DummyLines, ...]:
    """Of every row block of a matrix that has dummy columns."""
    mapping = programmed.settings.mapping
    columns = programmed.dummies or ()
    return tuple(DummyLines.of(each, programmed.layout, mapping) for each in columns)


@dataclass(frozen=True)
class DummyReads:
    """The converters of the dummy columns of a row block.

    lsb : (groups,) A;  codes : (lowest, highest)
    errors : None of ideal ones
    """

    lsb: Singles
    codes: tuple[int, int]
    errors: ConverterErrors | None

    @classmethod
    def of(
        cls, programmed: ProgrammedMatrix, block: int, largest: Singles, codes: tuple[int, int]
    ) -> DummyReads:
        """largest : (groups,) A of the highest code"""
        lsb = (np.where(largest > 0, largest, np.float32(1)) / codes[1]).astype(np.float32)
        seed = np.random.SeedSequence(programmed.periphery.seed, spawn_key=(DUMMY,))
        streams = dataclasses.replace(programmed.periphery, seed=int(seed.generate_state(1)[0]))
        first = block * programmed.layout.tiles_per_row_block
        errors = errors_of_lines(programmed.settings, CodeRange(*codes), streams.beyond(first), lsb)
        return cls(lsb, codes, errors)

    def converted(
        self, current: Singles, names: Integers, seed: int, index: int, block: int
    ) -> Singles:
        """Currents (b * phases, groups) A as their codes say;  names (b, k) of the rows."""
        phases = len(current) // len(names)
        inverse = (np.float32(1) / self.lsb).ravel()
        if self.errors is not None:
            keys = keys_of_phases(index, names, seed, block, phases, DUMMY_CONVERSION).reshape(-1)
            self.errors.disturb(current, slice(0, len(inverse)), inverse, keys)
        lowest, highest = self.codes
        codes: Singles = np.clip(np.rint(current * inverse), lowest, highest)
        return codes * self.lsb


@dataclass(frozen=True)
class DummyArray(ConvertedArray):
    """A matrix with dummy columns; see `ConvertedArray`.

    reads : converters of the dummies of every row block, None where currents are not rounded; then
        `lsb` is 1 A everywhere, and a code is a current
    """

    reads: tuple[DummyReads, ...] | None = None

    @property
    def code_bins(self) -> CodeBins | None:
        """None where currents are not rounded."""
        return None if self.reads is None else CodeBins(*self.codes)

    @property
    def events_per_row(self) -> Events:
        """Every dummy is converted, and every code multiplied."""
        phases = len(self.coder.phase_weight)
        lines = dummy_lines(self.programmed)
        dummies = phases * sum(each.groups for each in lines)
        codes = phases * sum(each.group.size for each in lines)
        added = Events(adc_conversions=dummies, multiplications=codes)
        return super().events_per_row + added

    def _convert(
        self,
        drive: Drive,
        rows: Integers,
        seed: int,
        output: Singles,
        counter: CodeCounter,
        wanted: Booleans | None,
    ) -> Integers:
        b, phases, m = drive.volts.shape
        scales = self._scales(drive.block, drive.volts.reshape(-1, m), rows, seed)
        value = self._code_value[drive.block]
        inverse_lsb = self._inverse_lsb[drive.block]
        lowest, highest = map(np.float32, self.codes)
        saturations = np.zeros(b, np.int64)
        nothing = np.zeros_like(output)
        for read in self._read(drive, rows, seed, wanted):
            codes = read.current.reshape(b, phases, -1)
            saturations += read.beyond.reshape(b, phases).sum(axis=1)
            if self.reads is not None:
                saturations += convert_accumulate(
                    codes,
                    first=read.columns.start,
                    inverse_lsb=inverse_lsb[read.columns],
                    weight=np.zeros(codes.shape[2], np.float32),
                    phase_weight=self.coder.phase_weight,
                    lowest=lowest,
                    highest=highest,
                    out=nothing,
                )
                counter.add(codes)
                codes = np.clip(codes, lowest, highest)
            scaled = codes * scales[:, read.columns].reshape(codes.shape)
            scaled *= value[read.columns]
            self._add(scaled, read.columns.start, output)
        return saturations

    def _scales(self, block: int, volts: Singles, rows: Integers, seed: int) -> Singles:
        """(b * phases, conversions * outputs) of the codes, for voltages (b * phases, m)."""
        lines = self._dummies[block]
        phases = len(self.coder.phase_weight)
        current = multiply_rows(volts, lines.transfer)
        index = self.programmed.index
        if lines.variance.any():
            keys = keys_of_phases(index, rows, seed, block, phases, DUMMY_READ).reshape(-1)
            add_normal(current, multiply_rows(volts**2, lines.variance), keys)
        if self.reads is not None:
            current = self.reads[block].converted(current, rows, seed, index, block)
        return lines.scales(current, volts)

    @property
    def _dummies(self) -> tuple[DummyLines, ...]:
        return dummy_lines(self.programmed)

    def _add(self, values: Singles, first: int, output: Singles) -> None:
        """Add values (b, phases, k) of columns from `first` on to outputs (b, n), phase by phase."""
        n = output.shape[1]
        start = 0
        while start < values.shape[2]:
            place = (first + start) % n
            run = min(values.shape[2] - start, n - place)
            for phase, weight in enumerate(self.coder.phase_weight):
                output[:, place : place + run] += values[:, phase, start : start + run] * weight
            start += run


def sample_products(programmed: ProgrammedMatrix, volts: Singles, phase_weight: Singles) -> Floats:
    """(s, outputs) products of sample voltages (s, phases, inputs) with exact converters, as dummy
    columns scale them.
    """
    samples, phases, _ = volts.shape
    conversions, outputs = programmed.value.shape
    total = np.zeros((samples, outputs))
    for block, lines in enumerate(dummy_lines(programmed)):
        of_block = volts[:, :, programmed.layout.rows(block)].reshape(samples * phases, -1)
        current = of_block @ programmed.transfer[block].T
        current *= lines.scales(of_block @ lines.transfer.T, of_block)
        by_conversion = current.reshape(samples, phases, conversions, outputs)
        total += np.einsum("spco,p,co->so", by_conversion, phase_weight, programmed.value)
    return total
