"""How the cells of a weight matrix lie on tiles.

See `encoding` for planes, row blocks and placements.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from xbarsim.base.array_types import AnyArray, Floats
from xbarsim.base.errors import ConfigError, ShapeError
from xbarsim.config.arrays import Mapping


def slices(mapping: Mapping) -> int:
    """Digits of one weight: with `slices` as many as its magnitude (or unsigned value) has, else
    one.
    """
    if mapping.encoding != "slices":
        return 1
    bits = mapping.weight_bits - (mapping.sign == "pair")
    return -(-bits // mapping.bits_per_cell)


def subtracts_currents(mapping: Mapping) -> bool:
    """Whether the currents of a differential pair are subtracted before the converter."""
    return mapping.sign == "pair" and mapping.subtraction == "analog"


class TilePlace(NamedTuple):
    """Where a tile lies; plane : None where all planes lie on one tile."""

    row_block: int
    column_block: int
    plane: int | None


@dataclass(frozen=True)
class Layout:
    """How the cells of one matrix lie on tiles.

    Raises
    ------
    ShapeError : a matrix without inputs or outputs
    ConfigError : the cells of one weight do not fit on the bit lines of a tile
    """

    inputs: int
    outputs: int
    planes: int
    word_lines: int
    bit_lines: int
    placement: str

    def __post_init__(self) -> None:
        if min(self.inputs, self.outputs) < 1:
            raise ShapeError(
                "a matrix needs at least one input and one output, got "
                f"{self.inputs} x {self.outputs}"
            )
        if self.placement == "neighbour" and self.planes > self.bit_lines:
            raise ConfigError(
                f"{self.planes} cells per weight do not fit on mapping.bit_lines = "
                f"{self.bit_lines}; use more bit lines, more bits per cell, or "
                'placement = "twin"'
            )

    @property
    def row_blocks(self) -> int:
        """Tiles one below the other."""
        return -(-self.inputs // self.word_lines)

    @property
    def outputs_per_tile(self) -> int:
        """Outputs that have cells on one tile."""
        if self.placement == "twin":
            return self.bit_lines
        return self.bit_lines // self.planes

    @property
    def column_blocks(self) -> int:
        """Tiles, or groups of twin tiles, side by side."""
        return -(-self.outputs // self.outputs_per_tile)

    @property
    def tiles_per_row_block(self) -> int:
        """Tiles that one input drives."""
        if self.placement == "twin":
            return self.column_blocks * self.planes
        return self.column_blocks

    @property
    def tiles(self) -> int:
        """Tiles of the matrix."""
        return self.row_blocks * self.tiles_per_row_block

    def place_of(self, tile: int) -> TilePlace:
        """Where a tile of the matrix lies, by its number."""
        row_block, in_row = divmod(tile, self.tiles_per_row_block)
        if self.placement == "twin":
            column_block, plane = divmod(in_row, self.planes)
            return TilePlace(row_block, column_block, plane)
        return TilePlace(row_block, in_row, None)

    def rows(self, block: int) -> slice:
        """Slice of the inputs of a row block."""
        start = block * self.word_lines
        return slice(start, min(start + self.word_lines, self.inputs))

    def to_tiles(self, planes: AnyArray, unused: float) -> AnyArray:
        """(planes, rows, outputs) of one row block -> (tiles, word_lines, bit_lines), padded with
        `unused`.
        """
        per_tile = self.outputs_per_tile
        width = self.column_blocks * per_tile
        padded = np.full((self.planes, self.word_lines, width), unused, dtype=planes.dtype)
        padded[:, : planes.shape[1], : self.outputs] = planes
        blocks = padded.reshape(self.planes, self.word_lines, self.column_blocks, per_tile)
        if self.placement == "twin":
            of_planes = np.ascontiguousarray(blocks.transpose(2, 0, 1, 3))
            return of_planes.reshape(-1, self.word_lines, self.bit_lines)
        shape = (self.column_blocks, self.word_lines, self.bit_lines)
        tiles = np.full(shape, unused, dtype=planes.dtype)
        side_by_side = blocks.transpose(2, 1, 3, 0)
        tiles[:, :, : per_tile * self.planes] = side_by_side.reshape(*shape[:2], -1)
        return tiles

    def from_tiles(self, tiles: Floats, rows: int) -> Floats:
        """(tiles, bit_lines, word_lines) of a row block -> (planes, outputs, rows): `to_tiles` of
        transfer matrices.
        """
        per_tile = self.outputs_per_tile
        if self.placement == "twin":
            shape = (self.column_blocks, self.planes, per_tile, self.word_lines)
            blocks = tiles.reshape(shape).transpose(1, 0, 2, 3)
        else:
            shape = (self.column_blocks, per_tile, self.planes, self.word_lines)
            used = tiles[:, : per_tile * self.planes]
            blocks = used.reshape(shape).transpose(2, 0, 1, 3)
        of_outputs = blocks.reshape(self.planes, -1, self.word_lines)
        return of_outputs[:, : self.outputs, :rows]


def cells_per_crosspoint(mapping: Mapping) -> int:
    """Cells where two lines of a tile cross."""
    return mapping.bits_per_cell if mapping.crosspoint == "weighted" else 1


def lines_per_input(mapping: Mapping) -> int:
    """Word lines that an input drives."""
    return 1 if mapping.array == "single" else 2


def layout_of(inputs: int, outputs: int, mapping: Mapping) -> Layout:
    """Layout of a matrix of this shape under a mapping; errors as of `Layout`."""
    return layout_of_lines(inputs * lines_per_input(mapping), outputs, mapping)


def layout_of_lines(lines: int, outputs: int, mapping: Mapping) -> Layout:
    """The same of a matrix whose inputs are those of single word lines."""
    signs = 2 if mapping.sign == "pair" else 1
    return Layout(
        inputs=lines,
        outputs=outputs,
        planes=slices(mapping) * signs,
        word_lines=mapping.word_lines,
        bit_lines=mapping.bit_lines,
        placement=mapping.placement,
    )
