"""Weight matrices on hardware: on programmed tiles, or on computation crossbars."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xbarsim.arrays.counting.crossbars import Crossbars
from xbarsim.arrays.counting.operands import Counted, SwitchOperand
from xbarsim.arrays.digital_scale import DigitalScale, ScaleShift
from xbarsim.arrays.events import Events
from xbarsim.arrays.in_situ.code_counts import CodeBins
from xbarsim.arrays.in_situ.defect_map import TESTS_OF_A_CELL, maps_defects
from xbarsim.arrays.in_situ.dummy_array import dummy_lines
from xbarsim.arrays.in_situ.layout import cells_per_crosspoint
from xbarsim.arrays.in_situ.matrix import Array, Product
from xbarsim.arrays.in_situ.rescaling import Rescaling
from xbarsim.base.array_types import AnyArray, Integers, Singles
from xbarsim.config.study import Study
from xbarsim.hardware.counting import Pool, code_scale, keys_of, read_energy, to_codes
from xbarsim.hardware.steps import ConverterBits, MatrixDescription, input_scaling
from xbarsim.models.graph import Step
from xbarsim.models.int8 import LEVELS, codes


@dataclass(frozen=True)
class InSituMatrix:
    """A weight matrix on programmed tiles.

    pulse_energy : joule of one pulse of the device, None where it states none
    """

    step: Step
    settings: Study
    array: Array
    rescaling: Rescaling | None = None
    pulse_energy: float | None = None

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
        shift = programmed.shift
        crosspoints = layout.tiles * layout.word_lines * layout.bit_lines
        description = MatrixDescription(
            kind=self.step.kind,
            role=self.step.role,
            layer=self.step.layer,
            adc_bits=bits.adc,
            dac_bits=bits.dac,
            inputs=self.step.inputs,
            outputs=layout.outputs,
            tiles=layout.tiles,
            cells=crosspoints * cells_per_crosspoint(self.settings.mapping),
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
            input_scaling=input_scaling(self.settings),
            scale_shift=None if shift is None else shift.exponent,
            unshifted_inputs=None if shift is None else shift.unshifted,
            rows_per_image=self.step.rows_per_image,
        )
        compensated = self._with_compensation(description)
        rescaled = self._with_rescaling(self._with_converters(compensated))
        beside = self._with_defect_map(self._with_self_correction(rescaled))
        return beside.counted_once(self.step)

    def _with_defect_map(self, description: MatrixDescription) -> MatrixDescription:
        """The description with what it took to know every stuck cell."""
        if not maps_defects(self.settings.mapping):
            return description
        pulses = TESTS_OF_A_CELL * description.cells
        return dataclasses.replace(
            description,
            mapped_cells=description.cells,
            map_pulses=pulses,
            map_energy=None if self.pulse_energy is None else pulses * self.pulse_energy,
        )

    def _with_self_correction(self, description: MatrixDescription) -> MatrixDescription:
        """The description with raised rows and dummy columns."""
        layout = self.array.programmed.layout
        lines = layout.tiles * layout.word_lines
        raised = None
        if self.settings.correction.rows == "raised":
            raised = lines
        if self.settings.correction.columns == "none":
            return dataclasses.replace(description, raised_drivers=raised)
        phases = len(self.array.coder.phase_weight)
        dummies = dummy_lines(self.array.programmed)
        return dataclasses.replace(
            description,
            raised_drivers=raised,
            dummy_cells=lines,
            dummy_conversions=phases * sum(each.groups for each in dummies),
            dummy_multiplications=phases * sum(each.group.size for each in dummies),
        )

    def _with_compensation(self, description: MatrixDescription) -> MatrixDescription:
        """The description with what compensation made of the matrix."""
        compensated = self.array.programmed.compensated
        if compensated is None:
            return description
        kind = self.settings.mapping.compensation
        rewritten = self.array.programmed.counts.rewritten
        return dataclasses.replace(
            description,
            compensation=kind,
            compensation_scale=compensated.scale,
            held_cells=compensated.held_cells,
            weight_error=compensated.weight_error,
            rewritten_cells=rewritten if kind == "measured" else None,
        )

    def _with_rescaling(self, description: MatrixDescription) -> MatrixDescription:
        """The description with the scales that follow drift, and the cost of their reference."""
        if self.rescaling is None:
            return description
        events = self.rescaling.events
        return dataclasses.replace(
            description,
            rescaling_mean=self.rescaling.mean,
            rescaling_std=self.rescaling.spread,
            reference_tile_reads=events.tile_reads,
            reference_adc_conversions=events.adc_conversions,
            reference_dac_drives=events.dac_drives,
            reference_array_energy=self.rescaling.array_energy,
        )

    def _with_converters(self, description: MatrixDescription) -> MatrixDescription:
        """The description with converters that are not ideal, and codes that they never give."""
        errors = self.array.errors
        if errors is None:
            return description
        return dataclasses.replace(
            description,
            converters=sum(of_block.converters for of_block in errors),
            missing_codes=sum(of_block.missing_codes for of_block in errors),
        )

    @property
    def code_bins(self) -> CodeBins | None:
        return self.array.code_bins

    def tile_data(self) -> dict[str, AnyArray]:
        programmed = self.array.programmed
        found: dict[str, AnyArray] = {
            "attenuation_mean": programmed.attenuation_mean,
            "attenuation_std": programmed.attenuation_std,
            "conductance_edges": programmed.conductance_edges,
            "conductance_counts": programmed.conductance_counts,
        }
        if programmed.settings.solved_wires is not None:
            found["worst_tile_map"] = programmed.worst_tile
        if programmed.noise_error is not None:
            found["read_noise_error"] = programmed.noise_error
        return found


@dataclass(frozen=True)
class CountedMatrix:
    """A weight matrix that the computation crossbars multiply: int8 per output, inputs int8.

    index : of the matrix, names its random numbers
    operands : of the parts of `scale`, whose products are added digitally
    scale : what is done to inputs before they are coded
    input_scale, weight_scale (out,) : values of one code
    any_batch : whether a row has the same bits in any batch, see `Crossbars.multiply`
    """

    step: Step
    index: int
    settings: Study
    crossbars: Crossbars
    operands: tuple[SwitchOperand, ...]
    scale: DigitalScale
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
        samples: Singles,
        settings: Study,
        pool: Pool,
        read: Callable[[str, Singles], Singles] | None = None,
        any_batch: bool = False,
    ) -> CountedMatrix:
        """weight (out, in);  largest_input : full scale of the inputs, if it is static and nothing
        is shifted;  samples (s, in) : inputs behind a shift of scale;  read : as of
        `int8.int8_hook`.
        """
        crossbars = pool.crossbars(settings)
        shift = ScaleShift.of(weight, samples, settings.mapping.scale_shift)
        scale = DigitalScale.of(settings.dac, step.inputs, crossbars.elements_per_tile, shift)
        if shift is not None:
            weight = weight * shift.divisor
        weight_scale = np.abs(weight).max(axis=1) / LEVELS
        weight_scale[weight_scale == 0] = 1
        stored = codes(weight, weight_scale[:, None])
        if read is not None:
            stored = read(step.name, stored)
        stored = np.clip(stored, -LEVELS, LEVELS)
        operands = []
        for part in scale.parts:
            first = pool.first_tile(crossbars.tiles(part.stop - part.start, step.outputs))
            operands.append(crossbars.prepare(stored.T[part], first, keep=True))
        return cls(
            step=step,
            index=index,
            settings=settings,
            crossbars=crossbars,
            operands=tuple(operands),
            scale=scale,
            input_scale=code_scale(_largest(scale, largest_input, samples)),
            weight_scale=weight_scale,
            any_batch=any_batch,
        )

    def used_by(
        self, step: Step, index: int, largest_input: float, samples: Singles
    ) -> CountedMatrix:
        """The same weights for the inputs of another step; see `prepare`."""
        scale = code_scale(_largest(self.scale, largest_input, samples))
        return dataclasses.replace(self, step=step, index=index, input_scale=scale)

    @property
    def events_per_row(self) -> Events:
        events = self.scale.events(self.step.outputs)
        for part in self.scale.parts:
            events = events + self.crossbars.events(part.stop - part.start, self.step.outputs)
        return events

    def multiply(self, x: Singles, rows: Integers, seed: int) -> Product:
        """See `steps.MatrixOnHardware`."""
        scaled = self.scale.scaled(x)
        inputs = to_codes(scaled.values, self.input_scale)
        counted = self._counted(inputs.values, scaled.scales, rows, seed)
        output = counted.output * (self.weight_scale * self.input_scale).astype(np.float32)
        joules = read_energy(self.settings.computation, self.settings.dac.read_time_ns)
        return Product(
            output=output.astype(np.float32, copy=False),
            dac_saturations=inputs.outside.sum(axis=1),
            adc_saturations=counted.saturations,
            array_energy=counted.conducting * joules,
        )

    def _counted(
        self, values: NDArray[np.int8], scales: Singles | None, rows: Integers, seed: int
    ) -> Counted:
        """The products of codes (b, in), of all parts, each times its scale (b, parts)."""
        outputs = []
        saturations = []
        conducting = []
        for number, part in enumerate(self.scale.parts):
            names = rows
            if number:  # the first part has the random numbers of an undivided matrix
                names = np.column_stack([rows, np.full(len(rows), number)])
            counted = self.crossbars.multiply(
                np.ascontiguousarray(values[:, part]),
                self.operands[number],
                keys_of(seed, self.index, names),
                any_batch=self.any_batch,
            )
            outputs.append(counted.output)
            if scales is not None:
                outputs[-1] = counted.output * scales[:, number, None]
            saturations.append(counted.saturations)
            conducting.append(counted.conducting)
        return Counted(
            output=functools.reduce(np.add, outputs),
            saturations=functools.reduce(np.add, saturations),
            conducting=functools.reduce(np.add, conducting),
        )

    def description(self) -> MatrixDescription:
        computation = self.settings.computation
        tiles = self.crossbars.tiles(self.step.inputs, self.step.outputs)
        stuck = [self.crossbars.stuck_cells(operand) for operand in self.operands]
        shift = self.scale.shift
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
            stuck_on=sum(on for on, _ in stuck),
            stuck_off=sum(off for _, off in stuck),
            clipped_weights=0,
            bounded_cells=0,
            rounded_cells=0,
            unverified_cells=0,
            input_scaling=input_scaling(self.settings),
            scale_shift=None if shift is None else shift.exponent,
            unshifted_inputs=None if shift is None else shift.unshifted,
            rows_per_image=self.step.rows_per_image,
        )
        return description.counted_once(self.step)

    @property
    def code_bins(self) -> None:
        return None

    def tile_data(self) -> dict[str, AnyArray]:
        return {}


def _largest(scale: DigitalScale, static: float, samples: Singles) -> float:
    """Full scale of what becomes codes: of inputs on their own scales, of divided ones, or static."""
    if scale.groups:
        return 1.0
    if scale.shift is None:
        return static
    return float(np.abs(samples / scale.shift.divisor).max())
