"""Joining blocks of cells up to one segment.

A block of cells is a square matrix of conductances in S between its ports, which come in the order
left, right, top, bottom; what it holds above the diagonal means nothing.
"""

from typing import NamedTuple

import numpy as np

from xbarsim.kernels._jit import jit
from xbarsim.kernels.circuit.elimination import eliminate_nodes
from xbarsim.kernels.circuit.products import accumulate, copy_squares, copy_turned_squares
from xbarsim.kernels.circuit.small_blocks import small_blocks

STRIPE = 16  # rows of a result that are made at once
PIECES = 6  # that the ports of two blocks which stay fall into


class Edges(NamedTuple):
    """What lies at the edges of a block of blocks, each 1 or 0."""

    right: int  # ports there
    top: int
    sensed: int  # whether the ports below are sensed: at 0 V


class Size(NamedTuple):
    """Cells of a block, and ports at its right and top; there are `height` at the left and `width`
    below.
    """

    height: int
    width: int
    right: int  # height or 0
    top: int  # width or 0


@jit
def _ports(size):
    """Number of all ports."""
    return size.height + size.right + size.top + size.width


@jit
def _pieces(first, second, vertical):
    """Which ports of two blocks stay when they are joined, and where they go.

    first, second : `Size`.  Horizontally the first is the left block, joined at its right;
        vertically it is the lower block, joined at its top.

    Returns
    -------
    pieces : (6, 4) of the ports that stay, each (block 0 or 1, place in its block, length, place in
        the result)
    joined1, joined2 : places of the first port joined in both
    joined, kept : number of ports joined, of those that stay
    """
    top1 = first.height + first.right  # where the ports at the top begin
    top2 = second.height + second.right
    bottom1 = top1 + first.top
    bottom2 = top2 + second.top
    if vertical:  # the upper block comes first among left and right ports
        sides = (
            (1, 0, second.height),
            (0, 0, first.height),
            (1, second.height, second.right),
            (0, first.height, first.right),
            (1, top2, second.top),
            (0, bottom1, first.width),
        )
        joined1 = top1
        joined2 = bottom2
        joined = first.width
    else:
        sides = (
            (0, 0, first.height),
            (1, second.height, second.right),
            (0, top1, first.top),
            (1, top2, second.top),
            (0, bottom1, first.width),
            (1, bottom2, second.width),
        )
        joined1 = first.height
        joined2 = 0
        joined = first.height
    pieces = np.empty((PIECES, 4), np.int64)
    kept = 0
    for p in range(PIECES):
        block, place, length = sides[p]
        pieces[p, 0] = block
        pieces[p, 1] = place
        pieces[p, 2] = length
        pieces[p, 3] = kept
        kept += length
    return pieces, joined1, joined2, joined, kept


@jit
def _gather_joined(own, at, joined, start, length, target):
    """Conductances of the joined ports, from `at` on, to a piece of a block, into `target` (joined,
    length).
    """
    if start < at:
        copy_squares(target, own[at : at + joined, start : start + length])
    else:
        copy_turned_squares(target, own[start : start + length, at : at + joined])


@jit
def _gather_kept(own, shift, low, high, pieces, p, result):
    """Rows low to high - 1 of conductances among the ports that stay, those of piece p, up to the
    end of the piece; there are none between blocks.

    own : the block of the piece; shift : of its rows in the result
    """
    for q in range(p + 1):
        block, start, count, place = pieces[q]
        target = result[low:high, place : place + count]
        if block == pieces[p, 0]:
            copy_squares(target, own[low - shift : high - shift, start : start + count])
        else:
            target[:] = 0


@jit
def _odd_tiles(width):
    """Numbers from row to row, an odd number of cache lines or pairs of them: rows that follow each other do not compete for
    the same places of the cache.
    """
    return ((width + STRIPE - 1) // STRIPE | 1) * STRIPE


@jit
def _join(first, size1, second, size2, vertical, sensed, work, result):
    """Join two blocks of a `Size` each into `result`; work : scratch.

    sensed : the number of bottom ports that are at 0 V: conductances among these may be anything
    """
    pieces, joined1, joined2, joined, kept = _pieces(size1, size2, vertical)
    stride = _odd_tiles(kept + joined)
    y = work[: joined * stride].reshape((joined, stride))
    for block, start, length, place in pieces:
        target = y[:, place : place + length]
        if block:
            _gather_joined(second, joined2, joined, start, length, target)
        else:
            _gather_joined(first, joined1, joined, start, length, target)
    for k in range(joined):
        own = y[k, kept : kept + k]
        one = first[joined1 + k, joined1 : joined1 + k]
        other = second[joined2 + k, joined2 : joined2 + k]
        for i in range(k):
            own[i] = one[i] + other[i]
    eliminate_nodes(y, kept)
    for p in range(PIECES):
        block, start, length, place = pieces[p]
        own = first
        if block:
            own = second
        end = place + length
        for low in range(place, end, STRIPE):
            high = min(low + STRIPE, end)
            _gather_kept(own, place - start, low, high, pieces, p, result)
            columns = min(high, kept - sensed)
            accumulate(result[low:high, :columns], y[:, low:high], y[:, :columns])


@jit
def _halved(lengths):
    """Lengths after every second one is joined to the one before."""
    joined = lengths[::2].copy()
    for i in range(lengths.size // 2):
        joined[i] += lengths[2 * i + 1]
    return joined


@jit
def _matrix(blocks, i, j, size):
    """Conductances of a block, (ports, ports)."""
    count = _ports(size)
    return blocks[i, j, : count * count].reshape((count, count))


@jit
def _join_pairs(blocks, heights, widths, edges, work, room):
    """Join every second block to its neighbour, in the direction in which there are more.

    blocks : (block rows, block columns, numbers of the largest) S; heights, widths : cells of each
        block row and column; room : where the result goes
    """
    vertical = heights.size > widths.size
    high = heights
    wide = widths
    if vertical:
        high = _halved(heights)
    else:
        wide = _halved(widths)
    most = 4 * (high[0] + wide[0]) ** 2
    merged = room[: high.size * wide.size * most].reshape((high.size, wide.size, most))
    for i in range(high.size):
        sensed = 0
        if i == high.size - 1:
            sensed = edges.sensed
        top = 1
        if i == 0:
            top = edges.top
        for j in range(wide.size):
            right = 1
            if j == wide.size - 1:
                right = edges.right
            size = Size(high[i], wide[j], high[i] * right, wide[j] * top)
            result = _matrix(merged, i, j, size)
            if vertical:  # the lower block, then the upper one
                i1 = 2 * i + 1
                i2 = 2 * i
                j1 = j
                j2 = j
            else:  # the left block, then the right one
                i1 = i
                i2 = i
                j1 = 2 * j
                j2 = 2 * j + 1
            if i1 == heights.size or j2 == widths.size:  # nothing to join with
                result[:] = _matrix(blocks, i2, j1, size)
                continue
            height1 = heights[i1]
            height2 = heights[i2]
            width1 = widths[j1]
            width2 = widths[j2]
            if vertical:
                size1 = Size(height1, width1, height1 * right, width1)
                size2 = Size(height2, width2, height2 * right, width2 * top)
            else:
                size1 = Size(height1, width1, height1, width1 * top)
                size2 = Size(height2, width2, height2 * right, width2 * top)
            _join(
                _matrix(blocks, i1, j1, size1),
                size1,
                _matrix(blocks, i2, j2, size2),
                size2,
                vertical,
                sensed * wide[j],
                work,
                result,
            )
    return merged, high, wide


@jit
def _close(block, size, ends, nothing, work, room):
    """Join a block of a `Size` to open ends of its lines, in place: its ports there become inner
    nodes.

    ends : `Size` of the ends, with ports at the left or below only;  nothing : their conductances

    Returns
    -------
    closed : `Size` of the block without these ports
    """
    closed = Size(size.height, size.width, size.right - ends.height, size.top - ends.width)
    before = _ports(size)
    after = _ports(closed)
    own = block[: before * before].reshape((before, before))
    result = room[: after * after].reshape((after, after))
    _join(own, size, nothing, ends, ends.height == 0, ends.right, work, result)
    block[: after * after] = room[: after * after]
    return closed


@jit
def _close_edges(blocks, side, edges, work, room):
    """Close blocks of side x side cells at the right and at the top of the tile, unless it has ports
    there.
    """
    nothing = room[: side * side].reshape((side, side))
    nothing[:] = 0
    rest = room[side * side :]
    none = side - side  # 0, of one type with side
    whole = Size(side, side, side, side)
    beside = Size(side, none, none, none)
    above = Size(none, side, none, none)
    last = blocks.shape[1] - 1
    for i in range(blocks.shape[0]):
        for j in range(blocks.shape[1]):
            size = whole
            if j == last and not edges.right:
                size = _close(blocks[i, j], size, beside, nothing, work, rest)
            if i == 0 and not edges.top:
                size = _close(blocks[i, j], size, above, nothing, work, rest)


@jit
def merge(tile, place, edges, plan, work, room, spare):
    """Conductances of the block of cells at a place of a tile: of small blocks, neighbours are joined
    until one is left.

    tile : `Tile`; place : `Place`; edges : `Edges`; plan : `Plan` of the small blocks
    work, room, spare : scratch; the result lies in one of the last two
    """
    side = plan.cells.shape[1]
    rows = place.height // side
    columns = place.width // side
    numbers = (4 * side) ** 2  # of a block
    small = room[: room.size // numbers * numbers].reshape((-1, numbers))
    small_blocks(tile, place, plan, work, small)
    blocks = room[: rows * columns * numbers].reshape((rows, columns, numbers))
    _close_edges(blocks, side, edges, work, spare)
    heights = np.full(rows, side)
    widths = np.full(columns, side)
    while heights.size > 1 or widths.size > 1:
        blocks, heights, widths = _join_pairs(blocks, heights, widths, edges, work, spare)
        room, spare = spare, room
    height = heights[0]
    width = widths[0]
    return _matrix(blocks, 0, 0, Size(height, width, height * edges.right, width * edges.top))
