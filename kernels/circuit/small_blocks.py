"""Small blocks of cells, many side by side."""

from typing import NamedTuple

import numpy as np

from xbarsim.kernels._jit import jit
from xbarsim.kernels.circuit.lanes import LANES, add_products
from xbarsim.kernels.circuit.products import SQUARE, copy_turned_squares

AT_ONCE = 2 * LANES  # blocks that are eliminated side by side
HUGE = 1e30  # S, stands for no resistance
HUGE_SINGLE = 1e18  # in float32
LEAST = 1e-300  # S, whose inverse is still a number: a node that sees less sees nothing
LEAST_SINGLE = 1e-36  # in float32


class Tile(NamedTuple):
    """A tile of m x n cells, float64 or float32."""

    g: np.ndarray  # (m, n) S
    r_word: np.ndarray  # (m, n) ohm, the segment left of each word-line node
    r_bit: np.ndarray  # (m, n) ohm, the segment below each bit-line node


class Place(NamedTuple):
    """Cells of a tile that small blocks are made of, all of them whole."""

    row: int  # the first
    column: int
    height: int
    width: int


@jit(fastmath={"contract"})
def _follow(work, plan):
    """Eliminate nodes by a plan.  work : (places, lanes) S"""
    start = plan.start
    spokes = plan.spokes
    lanes = work.shape[1]
    least = work.dtype.type(LEAST if work.itemsize == 8 else LEAST_SINGLE)
    total = np.empty(lanes, work.dtype)
    share = np.empty(lanes, work.dtype)
    r = 0
    for e in range(start.size - 1):
        own = spokes[start[e] : start[e + 1]]
        total[:] = 0
        for p in range(own.size):
            spoke = work[own[p]]
            for k in range(lanes):
                total[k] += spoke[k]
        for k in range(lanes):
            total[k] = 0 if total[k] < least else 1 / total[k]
        for p in range(own.size):
            spoke = work[own[p]]
            for k in range(lanes):
                share[k] = spoke[k] * total[k]
            add_products(work, plan.rims[r : r + p], own[:p], share)
            r += p
        for p in range(own.size):  # their places are used again
            work[own[p]] = 0


@jit
def _conductance(r, most):
    """S of a resistance in ohm, at most `most`; abs because of -0.0 ohm."""
    return min(1 / abs(r), most)


@jit
def _lay(tile, row, column, cells, work, k):
    """Conductances of the block that begins at a cell into lane k of `work`; cells : see `Plan`."""
    huge = work.dtype.type(HUGE if work.itemsize == 8 else HUGE_SINGLE)
    side = cells.shape[1]
    for i in range(side):
        device = tile.g[row + i]
        word = tile.r_word[row + i]
        bit = tile.r_bit[row + i]
        for j in range(side):
            at = column + j
            work[cells[0, i, j], k] = _conductance(word[at], huge)
            work[cells[1, i, j], k] = min(device[at], huge)
            work[cells[2, i, j], k] = _conductance(bit[at], huge)


@jit
def _take_out(work, ports, blocks):
    """Conductances between the ports from all lanes into blocks (lanes, (ports)²)."""
    for p in range(1, ports):
        place = p * (p - 1) // 2
        for low in range(0, work.shape[1], SQUARE):
            lanes = slice(low, low + SQUARE)
            for q in range(0, p, SQUARE):
                target = blocks[lanes, p * ports + q : p * ports + q + SQUARE]
                copy_turned_squares(target, work[place + q : place + q + SQUARE, lanes])


@jit
def small_blocks(tile, place, plan, work, result):
    """Conductances between the ports (left, right, top, bottom) of small blocks; what lies above the
    diagonal means nothing.

    tile : `Tile`; place : `Place`; plan : `Plan`
    work : scratch, for as many numbers as the plan has places in AT_ONCE lanes
    result : (blocks, row by row, and as many more as make whole vectors of lanes, (4 side)²)
    """
    side = plan.cells.shape[1]
    wide = place.width // side
    blocks = place.height // side * wide
    for first in range(0, blocks, AT_ONCE):
        count = min(blocks - first, AT_ONCE)
        lanes = (count + LANES - 1) // LANES * LANES
        own = work[: plan.count * lanes].reshape((plan.count, lanes))
        own[:] = 0
        for k in range(count):
            i = (first + k) // wide
            j = (first + k) % wide
            _lay(tile, place.row + i * side, place.column + j * side, plan.cells, own, k)
        _follow(own, plan)
        _take_out(own, 4 * side, result[first : first + lanes])
