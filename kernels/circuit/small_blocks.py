"""Blocks of 8 x 8 cells, many side by side."""

from typing import NamedTuple

import numpy as np

from xbarsim.kernels._jit import jit

SMALL = 8  # cells along the side of a block that is eliminated in a lane
LANES = 64  # blocks that are eliminated side by side
HUGE = 1e30  # S, stands for no resistance
HUGE_SINGLE = 1e18  # in float32
LEAST = 1e-300  # S, whose inverse is still a number: a node that sees less sees nothing
LEAST_SINGLE = 1e-36  # in float32


class Tile(NamedTuple):
    """A tile of m x n cells, float64 or float32."""

    g: np.ndarray  # (m, n) S
    r_word: np.ndarray  # (m, n) ohm, the segment left of each word-line node
    r_bit: np.ndarray  # (m, n) ohm, the segment below each bit-line node


class Plan(NamedTuple):
    """How to eliminate the inner nodes of a block of SMALL x SMALL cells, as indices of the
    conductances it has then.
    """

    # (3, SMALL, SMALL) places of the conductances of word-line segment, device and bit-line segment
    # of each cell
    cells: np.ndarray
    # Node e has the conductances spokes[start[e] : start[e + 1]]; eliminating it adds to rims, one
    # for each pair of spokes, in order.
    start: np.ndarray
    spokes: np.ndarray
    rims: np.ndarray
    ports: np.ndarray  # (p, p) places of the conductances between the ports, below the diagonal
    count: int  # of places; the last is of pairs without any


class Blocks(NamedTuple):
    """Which blocks of a tile are eliminated side by side."""

    row: int  # of the cell where all blocks begin; below 0 above the tile
    column: int
    upper: int  # block rows from this one
    lower: int  # to before this one
    left: int  # block columns from this one
    behind: int  # to before this one


class _Mesh:
    """Nodes and the places of the conductances between them, in the order in which they come up.

    A node is ("left", row), ("word", row, column), ("bit", row, column) or ("bottom", column).
    """

    def __init__(self):
        self.places = {}
        self.neighbours = {}

    def place(self, a, b):
        """That of the conductance between two nodes."""
        self.neighbours.setdefault(a, set()).add(b)
        self.neighbours.setdefault(b, set()).add(a)
        return self.places.setdefault(frozenset((a, b)), len(self.places))

    def known(self, a, b):
        """The place of a pair; the one behind all others if there is no conductance."""
        return self.places.get(frozenset((a, b)), len(self.places))

    def eliminate(self, node):
        """Places of the conductances of the node, and of those that it adds to."""
        around = sorted(self.neighbours.pop(node))
        spokes = []
        rims = []
        for k, other in enumerate(around):
            self.neighbours[other].remove(node)
            spokes.append(self.places[frozenset((node, other))])
            rims.extend(self.place(other, before) for before in around[:k])
        return spokes, rims


def _level(node):
    """Key of the order of inner nodes: of the joins of halves of halves, vertical after horizontal,
    the one that makes this an inner node.
    """
    kind, i, j = node
    first, second = i - 1, i
    if kind == "word":
        first, second = j, j + 1
    level = 0
    if first >= 0 and second < SMALL:
        level = (first ^ second).bit_length()
    return level, kind == "bit", node


def _lay_cells(mesh):
    """(3, SMALL, SMALL): see `Plan.cells`."""
    cells = np.empty((3, SMALL, SMALL), np.int64)
    for i in range(SMALL):
        for j in range(SMALL):
            word = ("word", i, j)
            bit = ("bit", i, j)
            before = ("word", i, j - 1) if j > 0 else ("left", i)
            below = ("bit", i + 1, j) if i < SMALL - 1 else ("bottom", j)
            cells[0, i, j] = mesh.place(before, word)
            cells[1, i, j] = mesh.place(word, bit)
            cells[2, i, j] = mesh.place(bit, below)
    return cells


def _outer_nodes(right, top):
    """Nodes that are ports, in the order left, right, top, bottom."""
    nodes = [("left", i) for i in range(SMALL)]
    if right:
        nodes += [("word", i, SMALL - 1) for i in range(SMALL)]
    if top:
        nodes += [("bit", 0, j) for j in range(SMALL)]
    return nodes + [("bottom", j) for j in range(SMALL)]


def _plan(right, top):
    """`Plan` of a block.

    right, top : whether the block has ports there, 1 or 0; at an open edge these nodes are inner
        ones
    """
    mesh = _Mesh()
    outer = _outer_nodes(right, top)
    cells = _lay_cells(mesh)
    start = [0]
    spokes = []
    rims = []
    for node in sorted(set(mesh.neighbours) - set(outer), key=_level):
        own, added = mesh.eliminate(node)
        spokes += own
        rims += added
        start.append(len(spokes))
    ports = np.empty((len(outer), len(outer)), np.int64)
    for p, a in enumerate(outer):
        for q, b in enumerate(outer):
            ports[p, q] = mesh.known(a, b)
    count = len(mesh.places) + 1
    return Plan(cells, np.array(start), np.array(spokes), np.array(rims), ports, count)


PLANS = {(right, top): _plan(right, top) for right in (0, 1) for top in (0, 1)}


@jit(fastmath={"contract"})
def _follow(work, plan):
    """Eliminate nodes by a plan.  work : (places, lanes) S"""
    start = plan.start
    spokes = plan.spokes
    rims = plan.rims
    lanes = work.shape[1]
    least = work.dtype.type(LEAST if work.itemsize == 8 else LEAST_SINGLE)
    total = np.empty(lanes, work.dtype)
    share = np.empty(lanes, work.dtype)
    r = 0
    for e in range(start.size - 1):
        total[:] = 0
        for p in range(start[e], start[e + 1]):
            spoke = work[spokes[p]]
            for k in range(lanes):
                total[k] += spoke[k]
        for k in range(lanes):
            total[k] = 0 if total[k] < least else 1 / total[k]
        for p in range(start[e], start[e + 1]):
            spoke = work[spokes[p]]
            for k in range(lanes):
                share[k] = spoke[k] * total[k]
            for q in range(start[e], p):
                rim = work[rims[r]]
                other = work[spokes[q]]
                for k in range(lanes):
                    rim[k] += share[k] * other[k]
                r += 1


@jit
def _conductance(r, most):
    """S of a resistance in ohm, at most `most`; abs because of -0.0 ohm."""
    return min(1 / abs(r), most)


@jit
def _lay(tile, blocks, plan, i, j, work):
    """Conductances of cell (i, j) of all blocks into their places of `work` (places, lanes)."""
    wide = blocks.behind - blocks.left
    huge = work.dtype.type(HUGE if work.itemsize == 8 else HUGE_SINGLE)
    q = blocks.column + blocks.left * SMALL + j
    inside = max(0, min(wide, (tile.g.shape[1] - q + SMALL - 1) // SMALL))
    for block_row in range(blocks.upper, blocks.lower):
        k = (block_row - blocks.upper) * wide
        word = work[plan.cells[0, i, j], k:]
        device = work[plan.cells[1, i, j], k:]
        bit = work[plan.cells[2, i, j], k:]
        p = blocks.row + block_row * SMALL + i
        count = 0
        if p >= 0:
            count = inside
            own = tile.g[p, q::SMALL]
            left = tile.r_word[p, q::SMALL]
            below = tile.r_bit[p, q::SMALL]
            for x in range(count):
                word[x] = _conductance(left[x], huge)
                bit[x] = _conductance(below[x], huge)
                device[x] = min(own[x], huge)
        word[count:wide] = huge
        bit[count:wide] = huge


@jit
def small_blocks(tile, blocks, plan, work, result):
    """Conductances between the ports (left, right, top, bottom) of small blocks, below the
    diagonal.

    tile : `Tile`.  Cells beyond it, above it and on its right, are open, and their wires have no
        resistance.
    blocks : `Blocks`, those of one plan
    plan : `Plan`
    work : scratch for as many numbers as the plan has places and there are blocks
    result : (block rows, block columns, at least p * p), the p x p conductances of each block one
        after the other
    """
    wide = blocks.behind - blocks.left
    lanes = (blocks.lower - blocks.upper) * wide
    work = work[: plan.count * lanes].reshape((plan.count, lanes))
    work[:] = 0
    for i in range(SMALL):
        for j in range(SMALL):
            _lay(tile, blocks, plan, i, j, work)
    _follow(work, plan)
    size = len(plan.ports)
    for k in range(lanes):
        block = result[blocks.upper + k // wide, blocks.left + k % wide]
        values = work[:, k]
        for p in range(size):
            target = block[p * size : p * size + p]
            places = plan.ports[p]
            for q in range(p):
                target[q] = values[places[q]]
