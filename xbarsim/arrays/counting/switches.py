"""Matrices of codes to switches on the tiles of a chip."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xbarsim.arrays.counting.coding import Coding, checked_codes
from xbarsim.arrays.counting.lines import Lines, on_lines
from xbarsim.arrays.counting.operands import SwitchOperand
from xbarsim.arrays.counting.physics import Physics
from xbarsim.base.array_types import AnyArray, Booleans, Bytes, Integers, Singles


def switch_operand(
    physics: Physics,
    codes: ArrayLike,
    *,
    first: int | Integers = 0,
    depths: ArrayLike | None = None,
    widths: ArrayLike | None = None,
    keep: bool = False,
) -> SwitchOperand:
    """SwitchOperand of integer codes; arguments and errors as of `Crossbars.prepare`."""
    codes = checked_codes("switch operand", codes)
    computation = physics.computation
    coding = physics.coding
    z, depth, outputs = codes.shape
    used = _used(z, depth, depths)
    lines = Lines.of(depth, physics.cells, computation.word_lines, computation.rows_per_conversion)
    fields = _on_word_lines(coding, codes, used, lines)
    crossbar = _crossbars(physics, lines, first, z, outputs)
    ones = coding.field_values(0)[fields].sum(axis=(0, 2))  # (z, r, groups)
    switches = coding.switch_planes * physics.cells * outputs * used.sum()
    density = float(ones.sum() / switches)
    units = np.resize(coding.units, len(lines.line))[:, None]
    effective = (codes + np.float32(coding.offset)) * used[..., None].astype(np.float32)
    if physics.any_stuck:
        fields = _with_stuck_cells(physics, fields, crossbar, lines)
        value = np.einsum("c,cz...->z...", coding.signs, coding.field_values(1)[fields])
        by_output = lines.per_element(value * units, depth)
        effective = np.ascontiguousarray(by_output.swapaxes(1, 2))
        ones = _conducting(physics, fields, crossbar, lines, widths)
    closed = lines.per_element(ones[:, None] * units, depth)
    return SwitchOperand(
        codes=effective,
        used=used.astype(np.float32),
        fields=np.ascontiguousarray(fields),
        total=codes.sum(axis=1, keepdims=True, dtype=np.float64),
        closed=closed.swapaxes(1, 2),
        lines=lines,
        crossbar=crossbar,
        density=density,
        keep=keep and z == 1,
    )


def _used(z: int, depth: int, depths: ArrayLike | None) -> Booleans:
    """(z, depth): where there is an element."""
    if depths is None:
        return np.ones((z, depth), bool)
    return np.arange(depth) < np.reshape(depths, (z, 1))


def _on_word_lines(coding: Coding, codes: NDArray[np.int8], used: Booleans, lines: Lines) -> Bytes:
    """Fields (channels, z, n, r, groups) of the cells on every place of the lines."""
    z, _, outputs = codes.shape
    cells = len(coding.units)
    fields = coding.fields(codes) * used[None, :, :, None].astype(np.uint8)
    of_cells = np.moveaxis(coding.cells(fields), 3, 2)  # (channels, z, n, depth, c)
    cell = np.arange(len(lines.element))[:, None] % cells
    cell = np.where(lines.element < 0, -1, lines.element * cells + cell)
    return on_lines(of_cells.reshape(len(fields), z, outputs, -1), cell)


def _crossbars(
    physics: Physics, lines: Lines, first: int | Integers, z: int, outputs: int
) -> Integers:
    """(z, n, groups) number of the crossbar that holds each place."""
    bit_lines = physics.computation.bit_lines
    column_block = (np.arange(outputs) // bit_lines)[:, None]
    column_blocks = -(-outputs // bit_lines)
    tile = np.reshape(first, (-1, 1, 1)) + lines.row_block * column_blocks + column_block
    crossbar = tile % physics.computation.crossbars
    return np.broadcast_to(crossbar, (z, outputs, len(lines.group)))


def _with_stuck_cells(physics: Physics, fields: Bytes, crossbar: Integers, lines: Lines) -> Bytes:
    """Fields (channels, z, n, r, groups) as the stuck cells of their crossbars make them."""
    bit_line = np.arange(fields.shape[2]) % physics.computation.bit_lines
    place = (crossbar[..., None, :], np.maximum(lines.line, 0), bit_line[:, None, None])
    closed = np.where(physics.stuck_closed[place], physics.coding.all_closed, fields)
    fields = np.where(physics.stuck_open[place], np.uint8(0), closed)
    fields[..., lines.line < 0] = 0
    return fields


def _conducting(
    physics: Physics,
    fields: Bytes,
    crossbar: Integers,
    lines: Lines,
    widths: ArrayLike | None,
) -> AnyArray:
    """Cells that conduct behind every word line when it is driven once per digit plane, (z, r,
    groups).

    fields : (channels, z, n, r, groups), stuck cells included;  widths : of `Crossbars.prepare`.  A
    tile is read as a whole: its bit lines beside the last output have no closed switches, but cells
    that are stuck closed.
    """
    bit_lines = physics.computation.bit_lines
    z, outputs = fields.shape[1:3]
    of_output = np.arange(outputs) // bit_lines  # column of tiles
    given = np.full(z, outputs) if widths is None else np.asarray(widths)
    columns = -(-given // bit_lines)
    read = of_output < columns[:, None]  # (z, n)
    closed = physics.coding.field_values(0)[fields].sum(axis=0)
    ones: Singles = (closed * read[..., None, None]).sum(axis=1)
    if outputs % bit_lines == 0:
        return ones
    beside = slice(outputs % bit_lines, None)
    never_open = physics.stuck_closed & ~physics.stuck_open
    stuck = never_open[:, :, beside].sum(axis=2)  # (crossbars, word lines)
    stuck = stuck[crossbar[:, -1, None, :], np.maximum(lines.line, 0)]  # (z, r, groups)
    stuck = np.where(lines.line < 0, 0, stuck) * read[:, -1, None, None]
    conducting: AnyArray = ones + stuck * physics.coding.switch_planes
    return conducting
