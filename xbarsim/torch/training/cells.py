"""One matrix in training: solved exactly now and then, and written anew in every step between.

A solve of the wires of all tiles takes longer than a step of training.  Between two of them the
transfer matrix follows the conductances to first order: what a cell adds reaches its bit line
attenuated as its signal was at the last solve.  Without wires it is the conductances themselves.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import uniform_filter1d

from xbarsim.arrays.in_situ.encoding import encode
from xbarsim.arrays.in_situ.matrix import Array, ConvertedArray, IdealArray, without_targets
from xbarsim.arrays.in_situ.programmed import (
    MatrixPlan,
    ProgrammedMatrix,
    conversions_of,
    joined_matrix,
    solve_matrix,
)
from xbarsim.arrays.in_situ.ranges import with_ranges
from xbarsim.arrays.in_situ.rescaling import fitted_device, rescaling_of, used_later
from xbarsim.arrays.in_situ.tiles import TileRow
from xbarsim.base.array_types import AnyFloats, Floats, Singles
from xbarsim.config.study import Study
from xbarsim.devices.programmed import Programmed
from xbarsim.devices.streams import Streams

NEIGHBOURS = 15  # cells along a bit line whose signals are attenuated about the same
DROPPED = 40  # purpose of a random stream: cells that are stuck low in a step


@dataclass(frozen=True)
class SolvedBlock:
    """A row block at the last solve.

    conductance : (planes, outputs, rows) S;  passed : the same, share of its signal that arrives
    """

    conductance: Singles
    passed: Singles


@dataclass(frozen=True)
class TrainedMatrix:
    """A matrix at its last exact solve.

    plan : of that time, without weights and targets;  array : with the ranges and gains fitted then
    blocks : of the cells that are used; None where wires have no resistance
    drop_connect : share of cells that are stuck low in a step
    """

    plan: MatrixPlan
    array: Array
    blocks: tuple[SolvedBlock | None, ...]
    drop_connect: float

    @classmethod
    def solved(
        cls,
        plan: MatrixPlan,
        samples: Singles,
        study: Study,
        *,
        drop_connect: float,
        any_batch: bool,
    ) -> TrainedMatrix:
        """Write a plan, solve its wires and fit the converters to sample inputs.

        study : as it applies to the matrix;  any_batch : see `ranges.with_ranges`
        """
        layout = plan.layout
        rows = []
        blocks = []
        for number in range(layout.row_blocks):
            cells = _dropped(plan, number, plan.program(number), drop_connect)
            row = plan.solve(number, cells)
            rows.append(row)
            blocks.append(_block(plan, number, cells, row))
        used = joined_matrix(plan, rows)
        if study.correction.fitted_s is None:
            array = with_ranges(used, samples, any_batch=any_batch)
        else:
            at_fit = fitted_device(plan.device, study)
            then = dataclasses.replace(plan, device=at_fit)
            fitted = solve_matrix(then, map(then.program, range(layout.row_blocks)))
            rescaling = rescaling_of(plan, fitted, used, at_fit)
            array = used_later(with_ranges(fitted, samples, any_batch=any_batch), used, rescaling)
        return cls(_without_targets(plan), without_targets(array), tuple(blocks), drop_connect)

    def written(self, weight: Singles, seed: int) -> Array:
        """The array with other weights (outputs, inputs), written with errors that `seed` names."""
        plan = self._plan_of(weight, seed)
        transfer = []
        for number, block in enumerate(self.blocks):
            cells = _dropped(plan, number, plan.program(number), self.drop_connect)
            planes = _planes(plan, number, cells)
            if block is None:
                transfer.append(conversions_of(plan, planes - plan.reference, np.subtract))
                continue
            change = (planes - block.conductance) * block.passed
            moved = conversions_of(plan, change, np.subtract)
            transfer.append(self.array.programmed.transfer[number] + moved)
        return _with_transfer(self.array, tuple(transfer))

    def _plan_of(self, weight: Singles, seed: int) -> MatrixPlan:
        """The plan with other weights and errors, the same full scales and inputs on the tiles."""
        plan = self.plan
        by_input: AnyFloats = weight.T
        if plan.shift is not None:
            by_input = by_input * plan.shift.divisor.astype(np.float64)[:, None]
        encoded = encode(by_input, plan.encoded.clip, plan.settings.mapping, plan.device)
        return dataclasses.replace(plan, seed=seed, weight=by_input.T, encoded=encoded)

    @property
    def sensitivity(self) -> Singles:
        """(outputs, inputs): change of the achieved matrix with each weight, of its own cells;
        (outputs, 1) without wires."""
        gain: Singles = self.array.gain.astype(np.float32)[:, None]
        passed = [block.passed.mean(axis=0) for block in self.blocks if block is not None]
        if len(passed) < len(self.blocks):
            return gain
        found: Singles = gain * np.concatenate(passed, axis=1)
        return found


def _planes(plan: MatrixPlan, block: int, cells: Programmed) -> Floats:
    """(planes, outputs, rows) S of the cells that are used."""
    rows = plan.layout.rows(block)
    by_line = cells.conductance.transpose(0, 2, 1)
    return plan.layout.from_tiles(by_line, rows.stop - rows.start)


def _without_targets(plan: MatrixPlan) -> MatrixPlan:
    """A plan that other weights are given in every step."""
    slices, signs, inputs, outputs = plan.encoded.target.shape
    encoded = dataclasses.replace(plan.encoded, target=np.zeros((slices, signs, 0, outputs)))
    return dataclasses.replace(plan, weight=np.zeros((0, inputs)), encoded=encoded)


def _block(plan: MatrixPlan, number: int, cells: Programmed, row: TileRow) -> SolvedBlock | None:
    conductance = _planes(plan, number, cells)
    if np.array_equal(conductance, row.transfer):
        return None
    passed = _passed(np.asarray(row.transfer, np.float64), conductance)
    return SolvedBlock(conductance.astype(np.float32), passed.astype(np.float32))


def _passed(transfer: Floats, conductance: Floats) -> Floats:
    """(planes, outputs, rows): share of the signal of a cell that arrives.

    It changes slowly along a bit line, and is that of a cell and its neighbours together: a cell that
    hardly conducts passes less than what leaks to its line by other ways, which its own ratio would
    take for a share of thousands.
    """
    arrives = uniform_filter1d(transfer, NEIGHBOURS, axis=2, mode="nearest")
    whole = uniform_filter1d(conductance, NEIGHBOURS, axis=2, mode="nearest")
    share = np.divide(arrives, whole, out=np.ones(whole.shape), where=whole > 0)
    found: Floats = np.clip(share, 0.0, 1.0)
    return found


def _dropped(plan: MatrixPlan, block: int, cells: Programmed, share: float) -> Programmed:
    """Cells of which a share is stuck low."""
    if share == 0:
        return cells
    streams = Streams(plan.seed, plan.index, block * plan.layout.tiles_per_row_block)
    low = plan.device.conductance_min
    conductance = cells.conductance.copy()
    for tile, generator in enumerate(streams.generators(len(conductance), DROPPED)):
        conductance[tile][generator.random(conductance[tile].shape) < share] = low
    return dataclasses.replace(cells, conductance=conductance)


def _with_transfer(array: Array, transfer: tuple[Singles, ...]) -> Array:
    """The array with other transfer matrices, the same ranges and gains."""
    programmed: ProgrammedMatrix = dataclasses.replace(array.programmed, transfer=transfer)
    if isinstance(array, ConvertedArray):
        return dataclasses.replace(array, programmed=programmed)
    if isinstance(array, IdealArray):
        return used_later(array, programmed, None)
    raise TypeError(f"{type(array).__name__} cannot be trained")


def with_full_scale(array: Array, full_scale: float) -> Array:
    """The array with another full scale of inputs; what an ADC code is worth stays."""
    coder = dataclasses.replace(array.coder, full_scale=full_scale)
    if isinstance(array, ConvertedArray):
        change = np.float32(array.coder.full_scale / full_scale)
        lsb = tuple(each * change for each in array.lsb)
        return dataclasses.replace(array, coder=coder, lsb=lsb)
    if isinstance(array, IdealArray):
        return dataclasses.replace(array, coder=coder)
    raise TypeError(f"{type(array).__name__} cannot be trained")
