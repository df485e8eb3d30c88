"""Weight matrices on hardware: on programmed tiles, or on computation crossbars."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from xbarsim.arrays.counting.crossbars import Crossbars
from xbarsim.arrays.counting.operands import SwitchOperand
from xbarsim.arrays.events import Events
from xbarsim.arrays.in_situ.code_counts import CodeBins
from xbarsim.arrays.in_situ.matrix import Array, Product
from xbarsim.base.array_types import AnyArray, Integers, Singles
from xbarsim.config.study import Study
from xbarsim.hardware.counting import Pool, code_scale, keys_of, read_energy, to_codes
from xbarsim.hardware.steps import ConverterBits, MatrixDescription
from xbarsim.models.graph import Step
from xbarsim.models.int8 import LEVELS, codes


@dataclass(frozen=True)
class InSituMatrix:
    """A weight matrix on programmed tiles."""

    step: Step
    settings: Study
    array: Array

    @property
    def events_per_row(self) -> Events:
        return self.array.events_per_row

    def multiply(self, x: Singles, rows: Integers, seed: int) -> Product:
        """See `steps.MatrixOnHardware`."""
        return self.array.multiply(x, rows, seed)

    def description(self) -> MatrixDescription:
        programmed = self.array.programmed
        layout = programmed.layout
        counts = programmed.counts
        bits = ConverterBits.in_situ(self.settings)
        bins = self.code_bins
        worst = int(np.argmin(programmed.attenuation_mean))
        place = layout.place_of(worst)
        description = MatrixDescription(
            kind=self.step.kind,
            role=self.step.role,
            layer=self.step.layer,
            adc_bits=bits.adc,
            dac_bits=bits.dac,
            inputs=layout.inputs,
            outputs=layout.outputs,
            tiles=layout.tiles,
            cells=layout.tiles * layout.word_lines * layout.bit_lines,
            stuck_on=counts.stuck_on,
            stuck_off=counts.stuck_off,
            clipped_weights=programmed.encoded.clipped,
            bounded_cells=counts.bounded,
            rounded_cells=counts.rounded,
            unverified_cells=counts.unverified,
            write_pulses=counts.pulses,
            write_energy=counts.write_energy,
            lowest_code=None if bins is None else bins.lowest,
            codes_per_bin=None if bins is None else bins.codes_per_bin,
            worst_tile_row_block=place.row_block,
            worst_tile_column_block=place.column_block,
            worst_tile_plane=place.plane,
            worst_tile_attenuation=float(programmed.attenuation_mean[worst]),
        )
        return description.counted_once(self.step)

    @property
    def code_bins(self) -> CodeBins | None:
        return self.array.code_bins

    def tile_data(self) -> dict[str, AnyArray]:
        programmed = self.array.programmed
        return {
            "attenuation_mean": programmed.attenuation_mean,
            "attenuation_std": programmed.attenuation_std,
            "conductance_edges": programmed.conductance_edges,
            "conductance_counts": programmed.conductance_counts,
        }


@dataclass(frozen=True)
class CountedMatrix:
    """A weight matrix that the computation crossbars multiply: int8 per output, inputs int8 with a
    static range.

    index : of the matrix, names its random numbers
    input_scale, weight_scale (out,) : values of one code
    any_batch : whether a row has the same bits in any batch, see `Crossbars.multiply`
    """

    step: Step
    index: int
    settings: Study
    crossbars: Crossbars
    operand: SwitchOperand
    input_scale: float
    weight_scale: Singles
    any_batch: bool = False

    @classmethod
    def prepare(
        cls,
        step: Step,
        index: int,
        weight: Singles,
        *,
        largest_input: float,
        settings: Study,
        pool: Pool,
        read: Callable[[str, Singles], Singles] | None = None,
        any_batch: bool = False,
    ) -> CountedMatrix:
        """weight (out, in);  largest_input : full scale of the inputs;  read : as of
        `int8.int8_hook`.
        """
        scale = np.abs(weight).max(axis=1) / LEVELS
        scale[scale == 0] = 1
        stored = codes(weight, scale[:, None])
        if read is not None:
            stored = read(step.name, stored)
        stored = np.clip(stored, -LEVELS, LEVELS)
        crossbars = pool.crossbars(settings)
        first = pool.first_tile(crossbars.tiles(step.inputs, step.outputs))
        return cls(
            step=step,
            index=index,
            settings=settings,
            crossbars=crossbars,
            operand=crossbars.prepare(stored.T, first, keep=True),
            input_scale=code_scale(largest_input),
            weight_scale=scale,
            any_batch=any_batch,
        )

    def used_by(self, step: Step, index: int, largest_input: float) -> CountedMatrix:
        """The same weights for the inputs of another step."""
        scale = code_scale(largest_input)
        return dataclasses.replace(self, step=step, index=index, input_scale=scale)

    @property
    def events_per_row(self) -> Events:
        events: Events = self.crossbars.events(self.step.inputs, self.step.outputs)
        return events

    def multiply(self, x: Singles, rows: Integers, seed: int) -> Product:
        """See `steps.MatrixOnHardware`."""
        inputs = to_codes(x, self.input_scale)
        keys = keys_of(seed, self.index, rows)
        counted = self.crossbars.multiply(
            inputs.values, self.operand, keys, any_batch=self.any_batch
        )
        output = counted.output * (self.weight_scale * self.input_scale).astype(np.float32)
        joules = read_energy(self.settings.computation, self.settings.dac.read_time_ns)
        return Product(
            output=output.astype(np.float32, copy=False),
            dac_saturations=inputs.outside.sum(axis=1),
            adc_saturations=counted.saturations,
            array_energy=counted.conducting * joules,
        )

    def description(self) -> MatrixDescription:
        computation = self.settings.computation
        tiles = self.crossbars.tiles(self.step.inputs, self.step.outputs)
        stuck_on, stuck_off = self.crossbars.stuck_cells(self.operand)
        bits = ConverterBits.counting(self.settings)
        description = MatrixDescription(
            kind=self.step.kind,
            role=self.step.role,
            layer=self.step.layer,
            adc_bits=bits.adc,
            dac_bits=bits.dac,
            inputs=self.step.inputs,
            outputs=self.step.outputs,
            tiles=tiles,
            cells=tiles * computation.word_lines * computation.bit_lines,
            stuck_on=stuck_on,
            stuck_off=stuck_off,
        )
        return description.counted_once(self.step)

    @property
    def code_bins(self) -> None:
        return None

    def tile_data(self) -> dict[str, AnyArray]:
        return {}
