"""How the cells of a weight matrix lie on tiles.

See `mapping` for planes, row blocks and placements.
"""

from dataclasses import dataclass

import numpy as np

from xbarsim.base.errors import ConfigError, ShapeError


def slices(mapping):
    """Digits of one weight: one with `amplitude`, else as many as its magnitude (or unsigned value)
    has.
    """
    if mapping.encoding == "amplitude":
        return 1
    bits = mapping.weight_bits - (mapping.sign == "pair")
    return -(-bits // mapping.bits_per_cell)


@dataclass(frozen=True)
class Layout:
    """How the cells of one matrix lie on tiles."""

    inputs: int
    outputs: int
    planes: int
    word_lines: int
    bit_lines: int
    placement: str

    def __post_init__(self):
        if min(self.inputs, self.outputs) < 1:
            raise ShapeError(
                f"a matrix needs at least one input and one output, got {self.inputs} x {self.outputs}"
            )
        if self.placement == "neighbour" and self.planes > self.bit_lines:
            raise ConfigError(
                f"{self.planes} cells per weight do not fit on mapping.bit_lines = {self.bit_lines}; use "
                'more bit lines, more bits per cell, or placement = "twin"'
            )

    @property
    def row_blocks(self):
        return -(-self.inputs // self.word_lines)

    @property
    def outputs_per_tile(self):
        return self.bit_lines if self.placement == "twin" else self.bit_lines // self.planes

    @property
    def column_blocks(self):
        return -(-self.outputs // self.outputs_per_tile)

    @property
    def tiles_per_row_block(self):
        return self.column_blocks * (self.planes if self.placement == "twin" else 1)

    @property
    def tiles(self):
        return self.row_blocks * self.tiles_per_row_block

    def rows(self, block):
        """Slice of the inputs of a row block."""
        return slice(block * self.word_lines, min((block + 1) * self.word_lines, self.inputs))

    def to_tiles(self, planes, unused):
        """(planes, rows, outputs) of one row block -> (tiles, word_lines, bit_lines), padded with
        `unused`.
        """
        width = self.column_blocks * self.outputs_per_tile
        padded = np.full((self.planes, self.word_lines, width), unused, dtype=planes.dtype)
        padded[:, : planes.shape[1], : self.outputs] = planes
        blocks = padded.reshape(
            self.planes, self.word_lines, self.column_blocks, self.outputs_per_tile
        )
        if self.placement == "twin":
            return np.ascontiguousarray(blocks.transpose(2, 0, 1, 3)).reshape(
                -1, self.word_lines, self.bit_lines
            )
        tiles = np.full(
            (self.column_blocks, self.word_lines, self.bit_lines), unused, dtype=planes.dtype
        )
        tiles[:, :, : self.outputs_per_tile * self.planes] = blocks.transpose(2, 1, 3, 0).reshape(
            self.column_blocks, self.word_lines, -1
        )
        return tiles

    def from_tiles(self, tiles, rows):
        """(tiles, bit_lines, word_lines) of a row block -> (planes, outputs, rows): `to_tiles` of
        transfer matrices.
        """
        per = self.outputs_per_tile
        if self.placement == "twin":
            blocks = tiles.reshape(self.column_blocks, self.planes, per, self.word_lines).transpose(
                1, 0, 2, 3
            )
        else:
            blocks = tiles[:, : per * self.planes].reshape(
                self.column_blocks, per, self.planes, self.word_lines
            )
            blocks = blocks.transpose(2, 0, 1, 3)
        return blocks.reshape(self.planes, -1, self.word_lines)[:, : self.outputs, :rows]


def layout_of(inputs, outputs, mapping):
    """Layout of a matrix of this shape under the study's mapping."""
    planes = slices(mapping) * (2 if mapping.sign == "pair" else 1)
    return Layout(inputs, outputs, planes, mapping.word_lines, mapping.bit_lines, mapping.placement)
