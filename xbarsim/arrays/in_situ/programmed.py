"""A matrix on programmed tiles, before its converters are set.

`plan_matrix` maps a matrix onto tiles, `MatrixPlan.program` writes the cells of a row block,
`solve_matrix` solves the wires and joins planes to conversions; `program_matrix` is all three.
"""

import dataclasses
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from xbarsim.arrays.digital_scale import ScaleShift
from xbarsim.arrays.in_situ.compensated import Compensated
from xbarsim.arrays.in_situ.compensation import compensate
from xbarsim.arrays.in_situ.crosspoints import program_crosspoints
from xbarsim.arrays.in_situ.encoding import Encoded, encode
from xbarsim.arrays.in_situ.full_scale import choose_clip
from xbarsim.arrays.in_situ.layout import Layout, layout_of_lines, subtracts_currents
from xbarsim.arrays.in_situ.line_noise import LineNoise, RowBlockNoise
from xbarsim.arrays.in_situ.processes import CellNoise, LineProcesses, TokenTimes
from xbarsim.arrays.in_situ.rewriting import RowBlock
from xbarsim.arrays.in_situ.self_correction import BesideTiles, DummyColumns
from xbarsim.arrays.in_situ.tiles import (
    LineCurrents,
    TileRow,
    conductance_edges,
    program_cells,
    solve_row_block,
)
from xbarsim.arrays.settings import InSituSettings
from xbarsim.base.array_types import AnyFloats, Floats, Integers, Singles
from xbarsim.base.errors import OutOfRangeError, ShapeError
from xbarsim.devices.model import DeviceModel
from xbarsim.devices.programmed import Counts, Programmed
from xbarsim.devices.streams import DUMMY, Streams
from xbarsim.kernels.arrays.row_products import multiply_rows


@dataclass(frozen=True)
class MatrixPlan:
    """A matrix mapped onto tiles that are not programmed yet.

    index, seed : name the random streams
    periphery : name those of what stands beside the tiles, if not these
    device : with the effects and under the conditions of the study
    weight : (outputs, inputs), as given, times the divisors of `shift`
    shift : of scale from inputs into weights, None without
    cells : of a row block, where they were measured and are not written; cells_sha256 : of them
    typical : (inputs,), root mean squares that rows are raised for, None where they are not
    """

    name: str
    index: int
    seed: int
    settings: InSituSettings
    device: DeviceModel
    weight: AnyFloats
    encoded: Encoded
    layout: Layout
    shift: ScaleShift | None = None
    periphery: Streams | None = None
    cells: Callable[[int], Programmed] | None = None
    cells_sha256: str = ""
    typical: Floats | None = None

    @property
    def reference(self) -> float:
        """Siemens of a reference cell that is subtracted before the converter: the low state of
        unsigned weights, unless it is subtracted digitally with the sum of the inputs.
        """
        mapping = self.settings.mapping
        if mapping.sign == "offset" and mapping.subtraction == "analog":
            return float(self.device.conductance_min)
        return 0.0

    def streams(self, block: int) -> Streams:
        """Random streams of the tiles of a row block."""
        return Streams(self.seed, self.index, block * self.layout.tiles_per_row_block)

    def program(self, block: int) -> Programmed:
        """Programmed cells (tiles, word_lines, bit_lines) of a row block."""
        if self.cells is not None:
            return self.cells(block)
        layout = self.layout
        target = self.encoded.target[:, :, layout.rows(block)]
        planes = target.reshape(layout.planes, -1, layout.outputs)
        streams = self.streams(block)
        write = program_cells
        if self.settings.mapping.crosspoint == "weighted":
            write = program_crosspoints
        cells = write(planes, layout, self.device, self.settings, streams)
        if self.settings.mapping.compensation != "measured":
            return cells
        wanted = RowBlock.of(
            block,
            encoded=self.encoded,
            layout=layout,
            device=self.device,
            settings=self.settings,
            streams=streams,
        )
        return wanted.written_again(cells, planes)

    def solve(self, block: int, cells: Programmed) -> TileRow:
        """TileRow of a row block of Programmed cells: its wires solved."""
        rows = self.layout.rows(block)
        return solve_row_block(
            cells,
            self.layout,
            self.device,
            self.settings,
            self.streams(block),
            rows=rows.stop - rows.start,
            beside=self._beside(block),
        )

    def _beside(self, block: int) -> BesideTiles | None:
        """What makes up for losses beside the tiles of a row block, None without."""
        if not self.settings.correction.corrects_losses:
            return None
        typical = None if self.typical is None else self.typical[self.layout.rows(block)]
        return BesideTiles.of(
            self.settings,
            self.layout,
            self.device,
            typical=typical,
            mean_target=float(self.encoded.target.mean()),
            streams=Streams(self._dummy_seed, self.index, self.streams(block).first_tile),
        )

    @property
    def _dummy_seed(self) -> int:
        """Of the cells of dummy columns: not those of the matrix."""
        key = np.random.SeedSequence(self.seed, spawn_key=(self.index, DUMMY))
        return int(key.generate_state(1)[0])


@dataclass(frozen=True)
class ProgrammedMatrix:
    """A matrix on programmed tiles, before its converters are set.

    A *conversion* is what one ADC result stands for: a slice, whose pair of currents is subtracted
    before the ADC, or a single plane.

    weight : (outputs, inputs), as given, times the divisors of `shift`
    value : (conversions, outputs), weight per siemens
    transfer : one matrix per row block, (conversions * outputs, rows) A/V
    variance : the same in A²/V², None without read noise
    line_noise : of every row block what the adjoint adds to it, or None; None without adjoint
    processes : of every row block what cells remember from token to token, or None
    power : one matrix per row block, (rows, rows) W/V²
    input_sum : (outputs,), weight to add digitally for every unit of the sum of the inputs
    attenuation_mean, attenuation_std : (tiles,), see `tiles.attenuation`
    worst_tile : of the tile with the smallest mean, see `tiles.attenuation_map`
    counts : what happened in the write
    periphery : random streams of what stands beside the tiles, converters among it
    lines : currents of all bit lines of every row block, None where they are not asked for
    dummies : of every row block, None without
    conductance_edges : (bins + 1,) S, of a histogram of the programmed cells that hold the matrix
    conductance_counts : (bins + 2,), the histogram, with what is below and above all edges
    shift : of scale from inputs into weights, None without
    compensated : what compensation made of it, None without
    """

    name: str
    index: int
    settings: InSituSettings
    weight: AnyFloats
    encoded: Encoded
    layout: Layout
    value: Floats
    transfer: tuple[Singles, ...]
    variance: tuple[Singles, ...] | None
    line_noise: tuple[LineNoise | None, ...] | None
    processes: tuple[LineProcesses | None, ...] | None
    power: tuple[Singles, ...]
    input_sum: Floats
    read_voltage: float
    periphery: Streams
    attenuation_mean: Floats
    attenuation_std: Floats
    worst_tile: Singles
    counts: Counts
    conductance_edges: Floats
    conductance_counts: Integers
    shift: ScaleShift | None = None
    compensated: Compensated | None = None
    lines: tuple[LineCurrents, ...] | None = None
    dummies: tuple[DummyColumns, ...] | None = None

    @classmethod
    def of_plan(cls, plan: MatrixPlan, **solved: Any) -> Self:
        """The matrix of a plan, with the fields from `transfer` to `conductance_counts` that its
        solved tiles give.
        """
        encoded = plan.encoded
        value = encoded.value.reshape(-1, plan.layout.outputs)
        if subtracts_currents(plan.settings.mapping):
            value = encoded.value[:, 0]
        matrix = cls(
            name=plan.name,
            index=plan.index,
            settings=plan.settings,
            weight=plan.weight,
            encoded=encoded,
            layout=plan.layout,
            value=value,
            input_sum=encoded.offset + plan.reference * encoded.value.sum(axis=(0, 1)),
            read_voltage=plan.settings.read_voltage(plan.device),
            periphery=plan.periphery or plan.streams(0),
            shift=plan.shift,
            **solved,
        )
        if plan.settings.mapping.compensation == "none" or plan.cells is not None:
            return matrix
        high = float(plan.device.conductance_max)
        compensated = Compensated.of(encoded, matrix.achieved_weight, high)
        return dataclasses.replace(matrix, compensated=compensated)

    def without_targets(self) -> "ProgrammedMatrix":
        """The same without weights and targets, which the write and the ranges need and products do
        not: two thirds of its memory.
        """
        slices, signs, inputs, outputs = self.encoded.target.shape
        nothing = np.zeros((slices, signs, 0, outputs))
        return dataclasses.replace(
            self,
            weight=np.zeros((0, inputs)),
            encoded=dataclasses.replace(self.encoded, target=nothing, aim=None),
        )

    def noise_variance(self, block: int, volts: Singles, columns: slice) -> Singles:
        """(b, columns) A² of read noise in some of the conversions of a row block, which has some.

        volts : (b, rows) of its word lines
        """
        if self.variance is None:
            raise ValueError(f"{self.name} has no read noise")
        square = self.variance[block][columns]
        noise = None if self.line_noise is None else self.line_noise[block]
        if noise is None:
            found: Singles = multiply_rows(volts**2, square)
            return found
        return noise.variance(volts, square, columns)

    def add_remembered_noise(
        self, block: int, current: Singles, volts: Singles, rows: Integers, columns: slice
    ) -> None:
        """Add what the cells of a row block remember to currents (b, n) of some of the conversions,
        in place.

        volts : (b, rows) of its word lines;  rows : (b, 2), names of the tokens
        """
        processes = None if self.processes is None else self.processes[block]
        if processes is not None:
            processes.add_to(current, volts, rows, columns)

    @property
    def noise_error(self) -> Floats | None:
        """(tiles,), see `TileNoise.error`; None where the adjoint is not asked."""
        if self.line_noise is None:
            return None
        silent = np.zeros(self.layout.tiles_per_row_block)
        return np.concatenate(
            [silent if noise is None else noise.error for noise in self.line_noise]
        )

    @property
    def achieved_weight(self) -> Floats:
        """(outputs, inputs): what the programmed tiles, wires included, stand for."""
        return fold(self.transfer, self.value) + self.input_sum[:, None]

    @property
    def intended_weight(self) -> Floats:
        """(outputs, inputs): the clipped and rounded weights that were to be programmed."""
        return self.encoded.intended.T


def fold(blocks: tuple[Singles, ...], value: Floats) -> Floats:
    """(outputs, inputs): the conversions of every row block, (conversions * outputs, rows), summed
    with their digital weights (conversions, outputs).
    """
    conversions, outputs = value.shape
    folded = [
        np.einsum("co,coi->oi", value, block.reshape(conversions, outputs, -1)) for block in blocks
    ]
    return np.concatenate(folded, axis=1)


def program_matrix(
    name: str,
    index: int,
    weight: AnyFloats,
    moment: Floats,
    settings: InSituSettings,
    device: DeviceModel,
    seed: int,
    shift: ScaleShift | None = None,
    periphery: Streams | None = None,
) -> ProgrammedMatrix:
    """Map a weight (outputs, inputs) onto tiles, program them and solve their wires.

    Parameters
    ----------
    name : what messages call the matrix
    index : names, with the seed, the random streams
    moment : (inputs,), mean square of each input: what the choice of the full-scale weight weighs
        errors with
    settings : those of this matrix
    device : with the effects and under the conditions of the study, see `DeviceModel.in_study`
    shift : of scale from inputs into weights
    periphery : random streams of what stands beside the tiles, if not those of `seed` and `index`

    Raises
    ------
    ShapeError, OutOfRangeError : not a finite matrix
    """
    plan = plan_matrix(name, index, weight, moment, settings, device, seed, shift)
    return program(dataclasses.replace(plan, periphery=periphery))


def plan_matrix(
    name: str,
    index: int,
    weight: AnyFloats,
    moment: Floats,
    settings: InSituSettings,
    device: DeviceModel,
    seed: int,
    shift: ScaleShift | None = None,
) -> MatrixPlan:
    """Map a weight onto tiles; arguments and errors as of `program_matrix`.  Inputs are those of word
    lines, see `input_lines`.
    """
    if weight.ndim != 2:
        raise ShapeError(f"weights of {name} must be a matrix (out, in), got shape {weight.shape}")
    if not np.isfinite(weight).all():
        raise OutOfRangeError(
            f"weights of {name} contain NaN or infinity; the checkpoint is damaged"
        )
    mapping = settings.mapping
    by_input = weight.T
    if shift is not None:
        divisor = shift.divisor.astype(np.float64)
        by_input = by_input * divisor[:, None]
        moment = moment / divisor**2
    inputs, outputs = by_input.shape
    clip = choose_clip(by_input, moment, mapping, device)
    layout = layout_of_lines(inputs, outputs, mapping)
    encoded = encode(by_input, clip, mapping, device)
    return MatrixPlan(
        name=name,
        index=index,
        seed=seed,
        settings=settings,
        device=device,
        weight=by_input.T,
        encoded=compensate(encoded, layout, moment, settings, device),
        layout=layout,
        shift=shift,
        typical=np.sqrt(moment) if settings.correction.rows == "raised" else None,
    )


def program(plan: MatrixPlan) -> ProgrammedMatrix:
    """The programmed matrix of a plan: its cells written, their wires solved."""
    return solve_matrix(plan, map(plan.program, range(plan.layout.row_blocks)))


def solve_matrix(plan: MatrixPlan, cells: Iterable[Programmed]) -> ProgrammedMatrix:
    """ProgrammedMatrix of a MatrixPlan and the Programmed cells of its row blocks, one after the
    other: their wires solved, their planes joined to conversions.
    """
    return joined_matrix(plan, (plan.solve(block, each) for block, each in enumerate(cells)))


def joined_matrix(plan: MatrixPlan, solved: Iterable[TileRow]) -> ProgrammedMatrix:
    """ProgrammedMatrix of a MatrixPlan and its solved row blocks, one after the other."""
    rows = [_converted(plan, row, block) for block, row in enumerate(solved)]
    variance = None
    if any(row.variance is not None for row in rows):
        variance = tuple(row.variance_or_zero for row in rows)
    line_noise = None
    if any(row.line_noise is not None for row in rows):
        line_noise = tuple(row.line_noise for row in rows)
    processes = None
    if any(row.processes is not None for row in rows):
        processes = tuple(row.processes for row in rows)
    return ProgrammedMatrix.of_plan(
        plan,
        transfer=tuple(row.transfer for row in rows),
        variance=variance,
        line_noise=line_noise,
        processes=processes,
        power=tuple(row.power for row in rows),
        attenuation_mean=np.concatenate([row.attenuation_mean for row in rows]),
        attenuation_std=np.concatenate([row.attenuation_std for row in rows]),
        worst_tile=min(rows, key=lambda row: float(row.attenuation_mean.min())).worst_tile,
        counts=sum((row.counts for row in rows), Counts()),
        conductance_edges=conductance_edges(plan.device),
        conductance_counts=np.sum([row.conductances for row in rows], axis=0),
        lines=_lines(rows),
        dummies=_dummies(rows),
    )


def _lines(rows: Iterable[TileRow]) -> tuple[LineCurrents, ...] | None:
    """Of every row block, None where they are not asked for."""
    found = tuple(row.lines for row in rows if row.lines is not None)
    return found or None


def _dummies(rows: Iterable[TileRow]) -> tuple[DummyColumns, ...] | None:
    """Of every row block, None without."""
    found = tuple(row.dummies for row in rows if row.dummies is not None)
    return found or None


def _converted(plan: MatrixPlan, row: TileRow, block: int) -> TileRow:
    """A row block with its planes joined to conversions, (conversions * outputs, rows) float32."""
    transfer = row.transfer
    if plan.reference:
        transfer = transfer - plan.reference
    variance = None
    if row.variance is not None:
        variance = conversions_of(plan, row.variance, np.add)
    lines = None
    if plan.settings.correction.reads_lines:
        lines = LineCurrents(row.transfer.sum(axis=2), row.variance_or_zero.sum(axis=2))
    return dataclasses.replace(
        row,
        transfer=conversions_of(plan, transfer, np.subtract),
        variance=variance,
        noise=None,
        line_noise=_line_noise(plan, row.noise),
        cell_noise=None,
        processes=_processes(plan, row.cell_noise, block),
        power=row.power.astype(np.float32),
        lines=lines,
    )


def _line_noise(plan: MatrixPlan, noise: RowBlockNoise | None) -> LineNoise | None:
    if noise is None:
        return None
    joined = subtracts_currents(plan.settings.mapping)
    return LineNoise.of(noise, slices=len(plan.encoded.target), joined=joined)


def _processes(plan: MatrixPlan, noise: CellNoise | None, block: int) -> LineProcesses | None:
    if noise is None:
        return None
    return LineProcesses.of(
        noise,
        times=TokenTimes(plan.settings.read_noise.sequence_tokens),
        joined=subtracts_currents(plan.settings.mapping),
        name=(plan.seed, plan.index, block),
    )


def conversions_of(plan: MatrixPlan, planes: AnyFloats, join: np.ufunc) -> Singles:
    """(conversions * outputs, rows) of (planes, outputs, rows) of a row block.

    join : what becomes of the positive and the negative cell of pairs whose currents are subtracted
    """
    rows = planes.shape[-1]
    if not subtracts_currents(plan.settings.mapping):
        return planes.reshape(-1, rows).astype(np.float32)
    slices, signs, _, outputs = plan.encoded.target.shape
    by_sign = planes.reshape(slices, signs, outputs, rows)
    joined = np.empty((slices, outputs, rows), np.float32)
    join(by_sign[:, 0], by_sign[:, 1], out=joined, casting="same_kind")
    return joined.reshape(-1, rows)
