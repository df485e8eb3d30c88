"""Joining blocks of cells up to one segment."""

import numpy as np

from xbarsim.kernels._jit import jit
from xbarsim.kernels.circuit.elimination import accumulate, eliminate_nodes
from xbarsim.kernels.circuit.small_blocks import SMALL

STRIPE = 16  # rows of a symmetric update that are multiplied at once


@jit
def _pieces(h1, w1, right1, top1, h2, w2, right2, top2, vertical):
    """Which ports of two blocks stay when they are joined, and where they go.

    A block of h x w cells has ports (left h, right h or 0, top w or 0, bottom w).  Horizontally
    `first` is the left block, joined at its right; vertically `first` is the lower block, joined at
    its top.

    Returns
    -------
    pieces : (6, 4) of the ports that stay, each (block 0 or 1, place in its block, length, place in
        the result)
    joined1, joined2 : places of the first port joined in both;  joined, kept : number of ports
        joined, of those that stay
    """
    pieces = np.empty((6, 4), np.int64)
    if vertical:  # the upper block comes first among left and right ports
        sides = (
            (1, 0, h2),
            (0, 0, h1),
            (1, h2, right2),
            (0, h1, right1),
            (1, h2 + right2, top2),
            (0, h1 + right1 + top1, w1),
        )
    else:
        sides = (
            (0, 0, h1),
            (1, h2, right2),
            (0, h1 + right1, top1),
            (1, h2 + right2, top2),
            (0, h1 + right1 + top1, w1),
            (1, h2 + right2 + top2, w2),
        )
    kept = 0
    for p in range(6):
        pieces[p, 0], pieces[p, 1], pieces[p, 2] = sides[p]
        pieces[p, 3] = kept
        kept += pieces[p, 2]
    if vertical:
        return pieces, h1 + right1, h2 + right2 + top2, w1, kept
    return pieces, h1, 0, h1, kept


@jit
def _copy(source, target):
    for i in range(source.size):
        target[i] = source[i]


@jit
def _join(first, sizes1, second, sizes2, vertical, sensed, work, result):
    """Join two blocks of a size (height, width, right ports, top ports) into `result`; work :
    scratch.

    sensed : the number of bottom ports that are at 0 V: conductances among these may be anything
    """
    pieces, joined1, joined2, joined, kept = _pieces(*sizes1, *sizes2, vertical)
    y = work[: joined * (kept + joined)].reshape((joined, kept + joined))
    for block, start, length, place in pieces:
        w, at = (second, joined2) if block else (first, joined1)
        if start < at:
            for k in range(joined):
                _copy(w[at + k, start : start + length], y[k, place : place + length])
        else:
            for i in range(length):
                _copy(w[start + i, at : at + joined], y[:, place + i])
    for k in range(joined):
        _copy(first[joined1 + k, joined1 : joined1 + k], y[k, kept : kept + k])
        add, to = second[joined2 + k, joined2 : joined2 + k], y[k, kept : kept + k]
        for i in range(k):
            to[i] += add[i]
    eliminate_nodes(y, kept)
    for p in range(6):
        block, start, length, place = pieces[p]
        w = second if block else first
        for i in range(length):
            row, own = result[place + i], w[start + i]
            for q in range(p + 1):
                block2, start2, length2, place2 = pieces[q]
                if block == block2:
                    _copy(own[start2 : start2 + length2], row[place2 : place2 + length2])
                else:
                    row[place2 : place2 + length2] = 0
    stripe = max(STRIPE, kept // 8)  # rows that are multiplied at once, up to the diagonal
    for low in range(0, kept, stripe):
        high = min(low + stripe, kept)
        columns = min(high, kept - sensed)
        accumulate(result[low:high, :columns], y[:, low:high], y[:, :columns])


@jit
def merge(blocks, right, top, sensed, work, room, spare):
    """Join neighbours until one block is left.

    right, top, sensed : whether it has ports there, and sensed ones below, 1 or 0
    blocks : (block rows, block columns, (4 SMALL)²) of SMALL x SMALL cells each, at the beginning
        of `room`
    work, room, spare : scratch; the result lies in one of the last two
    """
    heights, widths = np.full(blocks.shape[0], SMALL), np.full(blocks.shape[1], SMALL)
    while heights.size > 1 or widths.size > 1:
        vertical = heights.size > widths.size
        lines = heights if vertical else widths
        joined = lines[::2].copy()
        for i in range(lines.size // 2):
            joined[i] += lines[2 * i + 1]
        high, wide = (joined, widths) if vertical else (heights, joined)
        most = 4 * (high[0] + wide[0]) ** 2
        merged = spare[: high.size * wide.size * most].reshape((high.size, wide.size, most))
        for i in range(high.size):
            for j in range(wide.size):
                has_right, has_top = right if j == wide.size - 1 else 1, top if i == 0 else 1
                if vertical:
                    i1, j1, i2, j2 = 2 * i + 1, j, 2 * i, j
                    right1, top1, right2, top2 = has_right, 1, has_right, has_top
                else:
                    i1, j1, i2, j2 = i, 2 * j, i, 2 * j + 1
                    right1, top1, right2, top2 = 1, has_top, has_right, has_top
                count = high[i] * (1 + has_right) + wide[j] * (1 + has_top)
                result = merged[i, j, : count * count].reshape((count, count))
                if i1 == heights.size or j2 == widths.size:  # nothing to join with
                    result[:] = blocks[i2, j1, : count * count].reshape((count, count))
                    continue
                h1, w1, h2, w2 = heights[i1], widths[j1], heights[i2], widths[j2]
                count1, count2 = (
                    h1 * (1 + right1) + w1 * (1 + top1),
                    h2 * (1 + right2) + w2 * (1 + top2),
                )
                _join(
                    blocks[i1, j1, : count1**2].reshape((count1, count1)),
                    (h1, w1, h1 * right1, w1 * top1),
                    blocks[i2, j2, : count2**2].reshape((count2, count2)),
                    (h2, w2, h2 * right2, w2 * top2),
                    vertical,
                    sensed * wide[j] if i == high.size - 1 else 0,
                    work,
                    result,
                )
        blocks, heights, widths, room, spare = merged, high, wide, spare, room
    count = heights[0] * (1 + right) + widths[0] * (1 + top)
    return blocks[0, 0, : count * count].reshape((count, count))
