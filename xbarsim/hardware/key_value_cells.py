"""Cells that hold the keys or the values of a sequence, written as its tokens come.

A key takes one bit line of every plane of a tile, with the head's width on the word lines; a value
takes one word line, with the head's width on the bit lines.  Tiles hold blocks of positions of a
fixed size, so that a block is the same tile however much of it is written; cells that are not
written yet are at the low end of the window.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from xbarsim.arrays.in_situ.encoding import Encoded, encode
from xbarsim.arrays.in_situ.layout import Layout, layout_of
from xbarsim.arrays.in_situ.programmed import MatrixPlan, ProgrammedMatrix, solve_matrix
from xbarsim.arrays.settings import InSituSettings
from xbarsim.base.array_types import AnyFloats, Floats
from xbarsim.config.arrays import Mapping
from xbarsim.devices.model import DeviceModel
from xbarsim.devices.programmed import Counts, Programmed
from xbarsim.devices.streams import Streams
from xbarsim.models.graph import Role, Step


@dataclass(frozen=True)
class KeyValueCells:
    """What the cells of one product of causal attention have in common.

    step : scores hold keys, contexts values
    settings : with a mapping of tiles that are no larger than head and sequence need
    full_scale : largest weight that a cell can state
    """

    step: Step
    settings: InSituSettings
    device: DeviceModel
    full_scale: float

    @classmethod
    def of(
        cls,
        step: Step,
        settings: InSituSettings,
        device: DeviceModel,
        longest: int,
        full_scale: float,
    ) -> KeyValueCells:
        """longest : tokens of the longest sequence"""
        mapping = _of_blocks(step, settings.mapping, longest)
        return cls(step, replace(settings, mapping=mapping), device, full_scale)

    @property
    def holds_keys(self) -> bool:
        return self.step.role is Role.ATTENTION_SCORES

    @property
    def width(self) -> int:
        """Values of a head."""
        return self.step.inputs if self.holds_keys else self.step.outputs

    @cached_property
    def block(self) -> int:
        """Positions of a block."""
        mapping = self.settings.mapping
        if self.holds_keys:
            return layout_of(self.width, mapping.bit_lines, mapping).outputs_per_tile
        return mapping.word_lines

    @cached_property
    def layout(self) -> Layout:
        """Of a block."""
        if self.holds_keys:
            return layout_of(self.width, self.block, self.settings.mapping)
        return layout_of(self.block, self.width, self.settings.mapping)

    @property
    def cells_per_token(self) -> int:
        """Cells that are written for one key or value of one head."""
        return self.layout.planes * self.width

    def write(self, values: AnyFloats, first: int, seed: int) -> Programmed:
        """Cells (n, ., .) of keys or values (n, width) at positions from `first` on.

        seed : names, with the position, the random numbers of a position's cells: lines of a tile
            that are stuck as a whole are drawn anew for every position
        """
        by_input = np.asarray(values, np.float64)
        if self.holds_keys:
            by_input = by_input.T
        target = self._encode(by_input).target
        planes = target.reshape(self.layout.planes, *target.shape[2:])
        return self.device.program(self._by_position(planes), Streams(seed, 0, first))

    def matrix(
        self, cells: Programmed, number: int, seed: int, periphery: Streams | None = None
    ) -> ProgrammedMatrix:
        """A block's tiles with their wires solved.

        cells : of its written positions;  number : of the block, names its random numbers
        periphery : random streams of what stands beside the tiles, if not those of `seed`
        """
        plan = MatrixPlan(
            name=self.step.name,
            index=number,
            seed=seed,
            settings=self.settings,
            device=self.device,
            weight=self._nothing,
            encoded=self._empty,
            layout=self.layout,
            periphery=periphery,
        )
        blocks = range(self.layout.row_blocks)
        return solve_matrix(plan, [self._on_tiles(cells, block) for block in blocks])

    def _encode(self, by_input: Floats) -> Encoded:
        clip = np.full(by_input.shape[1], self.full_scale)
        return encode(by_input, clip, self.settings.mapping, self.device)

    @cached_property
    def _nothing(self) -> Floats:
        return np.zeros((self.layout.outputs, self.layout.inputs))

    @cached_property
    def _empty(self) -> Encoded:
        """How weights of a block are read back; its targets are those of no weights."""
        return self._encode(self._nothing.T)

    def _by_position(self, planes: Floats) -> Floats:
        """(planes, inputs, outputs) -> (positions, ., .), and back by `_by_plane`."""
        if self.holds_keys:
            return planes.transpose(2, 1, 0)
        return planes.transpose(1, 0, 2)

    def _by_plane(self, of_positions: Floats) -> Floats:
        if self.holds_keys:
            return of_positions.transpose(2, 1, 0)
        return of_positions.transpose(1, 0, 2)

    def _on_tiles(self, cells: Programmed, block: int) -> Programmed:
        """Cells (tiles, word lines, bit lines) of a row block."""
        low = self.device.conductance_min
        beside = low
        if self.settings.mapping.unused == "open":
            beside = 0.0
        return Programmed(
            conductance=self._laid(cells.conductance, block, beside),
            target=self._laid(cells.target, block, low),
            achieved=self._laid(cells.achieved, block, low),
            counts=Counts(),
        )

    def _laid(self, of_positions: Floats, block: int, unused: float) -> Floats:
        layout = self.layout
        low = self.device.conductance_min
        planes = np.full((layout.planes, layout.inputs, layout.outputs), low)
        written = self._by_plane(of_positions)
        if self.holds_keys:
            planes[:, :, : written.shape[2]] = written
        else:
            planes[:, : written.shape[1]] = written
        tiles: Floats = layout.to_tiles(planes[:, layout.rows(block)], unused)
        return tiles


def _of_blocks(step: Step, mapping: Mapping, longest: int) -> Mapping:
    """The mapping on tiles that are no larger than a head and the longest sequence need."""
    cells = 1
    if mapping.placement == "neighbour":
        cells = layout_of(1, 1, mapping).planes
    if step.role is Role.ATTENTION_SCORES:
        word_lines, bit_lines = step.inputs, longest * cells
    else:
        word_lines, bit_lines = longest, step.outputs * cells
    return mapping.model_copy(
        update={
            "word_lines": min(mapping.word_lines, word_lines),
            "bit_lines": min(mapping.bit_lines, bit_lines),
        }
    )


def joined(first: Programmed | None, second: Programmed) -> Programmed:
    """Cells of consecutive positions."""
    if first is None:
        return second
    return Programmed(
        conductance=np.concatenate([first.conductance, second.conductance]),
        target=np.concatenate([first.target, second.target]),
        achieved=np.concatenate([first.achieved, second.achieved]),
        counts=first.counts + second.counts,
    )


def part_of(cells: Programmed, positions: slice) -> Programmed:
    """Cells of some positions."""
    return Programmed(
        cells.conductance[positions], cells.target[positions], cells.achieved[positions]
    )
