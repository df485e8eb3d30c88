"""Exact transfer matrix of an ohmic tile, by joining blocks of cells and eliminating the nodes
between them.

Circuit of cell (i, j): word-line segment `r_word[i, j]` to the left of its word-line node, device
`g[i, j]` between the word-line and the bit-line node, bit-line segment `r_bit[i, j]` below the
bit-line node.

A block of cells is, seen from its edges, a network of conductances between the nodes there: the
left ends of its word lines, their last nodes, the first nodes of its bit lines and their lower
ends.  Blocks that share nodes are joined by adding their conductances, and then the shared nodes
are eliminated.  To eliminate node k (star-mesh transformation),

    g_ij += g_ik g_kj / sum_l g_kl        for all its neighbours i, j.

Nothing is ever subtracted: every conductance between two ports is exact to a few roundings of its
own size, and a wire without resistance or a shorted cell may just be given the conductance HUGE,
beyond all others.  Eliminating s nodes that q others see is the Cholesky factorization of s rows of
length q + s, whose pivots are sums and not differences, and a symmetric update of rank s.  Where
four square blocks become one of n x n cells this takes 15.5 n³ multiply-adds, less at the edges: up
to 17 products of n x n matrices for a whole tile.

Blocks of SMALL x SMALL cells are eliminated by a plan made once, many of them side by side, and
joined up to SEGMENT x SEGMENT cells, all in one compiled call; and from there on as dictionaries of
conductances between segments of ports.
"""

import threading
from typing import NamedTuple

import numpy as np

from xbarsim.kernels._jit import jit
from xbarsim.kernels.circuit.elimination import eliminate_nodes
from xbarsim.kernels.circuit.joins import Edges, merge
from xbarsim.kernels.circuit.lanes import LANES
from xbarsim.kernels.circuit.plans import plan_of
from xbarsim.kernels.circuit.products import accumulate, copy_squares, copy_turned_squares
from xbarsim.kernels.circuit.small_blocks import AT_ONCE, Place, Tile

SMALL = 16  # cells along the side of a block that is eliminated in a lane
TINY = 8  # of a tile that is one such block
# Ports that are kept together; cells along the side of a block built in one compiled call.
SEGMENT = 64
SINGLE = 128  # cells along the side of a tile that is one such block
CACHE_LINE = 64  # bytes

_threads = threading.local()


class Segment(NamedTuple):
    """Name of a segment of nodes.  The first and the last of a kind are terminals."""

    kind: str  # "word" or "bit"
    row: int  # of word lines: the row segment; of bit lines: above this row segment
    column: int  # of word lines: left of this column segment; of bit lines: the column segment


@jit
def _subtract_mirrored(power, conductance):
    """Take what lies below the diagonal from both halves of a square."""
    for i in range(len(power)):
        for j in range(i):
            power[i, j] -= conductance[i, j]
            power[j, i] -= conductance[i, j]


def _scratch(dtype, small, side):
    """Memory of this thread for blocks of at most side x side cells: (work, room, spare).

    For a plan in all its lanes, or the rows of a join; and twice for all blocks of a level: at most
    8 of side / 2 x side cells with (2 (side / 2 + side))² conductances each, or as many small ones
    as there are lanes.
    """
    key = f"{dtype.name} {small} {side}"
    if not hasattr(_threads, key):
        work = _aligned(max(AT_ONCE * plan_of(small).count, 6 * side**2), dtype)
        numbers = max(18 * side**2, LANES * (4 * small) ** 2)
        setattr(_threads, key, (work, _aligned(numbers, dtype), _aligned(numbers, dtype)))
    return getattr(_threads, key)


def _aligned(count, dtype):
    """So many zeros from the beginning of a cache line on."""
    memory = np.zeros(count * dtype.itemsize + CACHE_LINE, np.uint8)
    first = -memory.ctypes.data % CACHE_LINE
    return memory[first : first + count * dtype.itemsize].view(dtype)


def _slices(count, side):
    """Slices of at most `side` lines, all but the last as long."""
    return [slice(first, min(first + side, count)) for first in range(0, count, side)]


def _length(segment):
    return segment.stop - segment.start


def _in_whole_blocks(tile, small):
    """The tile with open cells, whose wires have no resistance, above it and on its right, so that it
    falls into blocks of small x small cells.
    """
    m, n = tile.g.shape
    above = -m % small
    behind = -n % small
    if above == behind == 0:
        return tile
    return Tile(*(np.pad(array, ((above, 0), (0, behind))) for array in tile))


def _pair(a, b):
    """The name of the conductances between two segments."""
    return (a, b) if a >= b else (b, a)


class _Joined:
    """Networks of the blocks of a tile: {(a, b): conductances between the nodes of a and of b},
    names a >= b.

    Conductances among those that are sensed are left out: these are all at 0 V.  Those between the
    left and the bottom are parts of `transfer` from the beginning.
    """

    def __init__(self, tile, right, top):
        largest = max(tile.g.shape)
        self.small = TINY if largest <= TINY else SMALL
        self.side = SINGLE if largest <= SINGLE else SEGMENT
        self.tile = _in_whole_blocks(tile, self.small)
        self.right = right
        self.top = top
        m, n = self.tile.g.shape
        self.rows = _slices(m, self.side)
        self.columns = _slices(n, self.side)
        self.extent = {}  # of a segment, among all lines of the kind
        for i in range(len(self.rows)):
            for j in range(len(self.columns) + 1):
                self.extent[Segment("word", i, j)] = self.rows[i]
        for i in range(len(self.rows) + 1):
            for j in range(len(self.columns)):
                self.extent[Segment("bit", i, j)] = self.columns[j]
        dtype = tile.g.dtype
        self.transfer = np.zeros((m, n), dtype)  # transposed
        # rows of a segment: of at most 2 m + 2 n nodes that stay and max(m, n) joined; at last the
        # power matrix
        self.scratch = np.empty(max(m * m, 5 * SEGMENT * max(m, n)), dtype)

    def driven(self, name):
        """Whether a segment is one of ends of word lines."""
        return name.kind == "word" and name.column in (0, len(self.columns))

    def sensed(self, name):
        """Whether a segment is one of ends of bit lines."""
        return name.kind == "bit" and name.row in (0, len(self.rows))

    def empty(self, a, b):
        """Place for the conductances of a pair of segments, all 0."""
        from_left = a.kind == "word" and a.column == 0
        to_bottom = b.kind == "bit" and b.row == len(self.rows)
        if from_left and to_bottom:  # this saves memory; see `solve`
            return self.transfer[self.extent[a], self.extent[b]]
        shape = _length(self.extent[a]), _length(self.extent[b])
        return np.zeros(shape, self.transfer.dtype)

    def network(self, row, rows, column, columns):
        """That of some row and column segments: (first, number)."""
        if rows == 1 and columns == 1:
            return self.leaf(row, column)
        if rows >= columns:
            half = rows // 2
            lower = self.network(row + half, rows - half, column, columns)
            upper = self.network(row, half, column, columns)
            return self.join(lower, upper)
        half = columns // 2
        left = self.network(row, rows, column, half)
        right = self.network(row, rows, column + half, columns - half)
        return self.join(left, right)

    def leaf(self, row, column):
        """That of one row and one column segment."""
        edges = Edges(
            right=int(column + 1 < len(self.columns) or self.right),
            top=int(row > 0 or self.top),
            sensed=int(row + 1 == len(self.rows)),
        )
        rows = self.rows[row]
        columns = self.columns[column]
        place = Place(rows.start, columns.start, _length(rows), _length(columns))
        scratch = _scratch(self.tile.g.dtype, self.small, self.side)
        block = merge(self.tile, place, edges, plan_of(self.small), *scratch)
        names = [Segment("word", row, column)]
        if edges.right:
            names.append(Segment("word", row, column + 1))
        if edges.top:
            names.append(Segment("bit", row, column))
        names.append(Segment("bit", row + 1, column))
        ports = []
        end = 0
        network = {}
        for i, a in enumerate(names):
            start = end
            end += _length(self.extent[a])
            ports.append(slice(start, end))
            for j, b in enumerate(names[: i + 1]):
                if self.sensed(a) and self.sensed(b):
                    continue
                part = block[ports[i], ports[j]]
                pair = _pair(a, b)
                network[pair] = self.empty(*pair)
                if pair == (a, b):
                    copy_squares(network[pair], part)
                else:
                    copy_turned_squares(network[pair], part)
        return network

    def join(self, network, second):
        """The network of two, without the nodes they share."""
        mine = {name for pair in network for name in pair}
        others = {name for pair in second for name in pair}
        joined = sorted(mine & others)
        kept = sorted(mine ^ others)
        for pair in network.keys() & second.keys():
            network[pair] += second.pop(pair)
        network |= second
        rows = []  # of the nodes joined, segment by segment: they fill the holes
        while joined:
            name = joined.pop()
            rows.append(self.eliminate(network, name, joined, kept))
        while kept:
            self.add_rows(network, kept, rows)
            last = kept.pop()
            for parts in rows:
                del parts[last]
        return network

    def eliminate(self, network, name, joined, kept):
        """{segment: rows} of the eliminated nodes of a segment, which leaves the network; what they
        add to the segments `joined` is added.
        """
        parts = {}
        for other in kept + joined:
            part = network.pop(_pair(name, other))
            parts[other] = part if name > other else part.T
        own = network.pop((name, name))
        width = sum(part.shape[1] for part in parts.values())
        count = len(own)
        y = self.scratch[: count * (width + count)].reshape(count, width + count)
        np.concatenate([*parts.values(), own], axis=1, out=y)
        eliminate_nodes(y, width)
        end = 0
        for other, part in parts.items():
            start = end
            end += part.shape[1]
            parts[other] = y[:, start:end].copy()
        for i, a in enumerate(joined):
            for b in kept + joined[: i + 1]:
                first, second = _pair(a, b)
                accumulate(network[first, second], parts[first], parts[second])
        return parts

    def add_rows(self, network, kept, rows):
        """What eliminated rows add between the last of the segments `kept` and all of them."""
        a = kept[-1]
        for b in kept:
            if self.sensed(a) and self.sensed(b):
                continue
            if (a, b) not in network:
                network[a, b] = self.empty(a, b)
            for parts in rows:
                accumulate(network[a, b], parts[a], parts[b])

    def solve(self):
        """Transfer (transposed) and power matrix."""
        network = self.network(0, len(self.rows), 0, len(self.columns))
        m = len(self.transfer)
        power = self.scratch[: m * m].reshape(m, m)
        power[:] = 0
        for (a, b), conductance in network.items():
            rows = self.extent[a]
            columns = self.extent[b]
            if self.driven(a) and self.driven(b):  # all but those between the ends of one line
                if a == b:
                    _subtract_mirrored(power[rows, rows], conductance)
                else:
                    power[rows, columns] -= conductance
                    power[columns, rows] -= conductance.T
            elif conductance.base is not self.transfer:  # it is not there already
                self.transfer[rows, columns] += conductance
        np.fill_diagonal(power, 0)
        np.fill_diagonal(power, self.transfer.sum(axis=1) - power.sum(axis=1))
        if power.size == self.scratch.size:
            return self.transfer, power
        return self.transfer, power.copy()


def _with_ends_at_the_top(tile, r_top):
    """The tile with a row of open cells that carries the segments to the top."""
    n = tile.g.shape[1]
    return Tile(
        np.vstack([np.zeros(n), tile.g]),
        np.vstack([np.ones(n), tile.r_word]),
        np.vstack([r_top, tile.r_bit]),
    )


def _with_ends_at_the_right(tile, r_right):
    """The tile with a column of open cells that carries the segments (m,) ohm to the right."""
    m = len(tile.g)
    return Tile(
        np.column_stack([tile.g, np.zeros(m)]),
        np.column_stack([tile.r_word, r_right]),
        np.column_stack([tile.r_bit, np.ones(m)]),
    )


def transfer_matrix(g, r_word, r_bit, r_right=None, r_top=None):
    """Transfer and power matrix of a tile: word lines driven at their ends, bit lines sensed at 0 V
    at theirs.

    The compiled parts release the GIL: call it from several threads for several tiles, with BLAS on
    one thread.

    Parameters
    ----------
    g : (m, n) float64 or float32, S; np.inf is a short
    r_word : (m, n) ohm, the segment left of each word-line node; the first includes the source
        resistance
    r_bit : (m, n) ohm, the segment below each bit-line node; the last includes the sense resistance
    r_right : (m,) ohm, from the last word-line nodes to drivers at the right, of the same voltage;
        None: all are open
    r_top : (n,) ohm, from the first bit-line nodes to sense amplifiers at the top; None: all are
        open.  np.inf at an end of a line leaves it unconnected.

    Returns
    -------
    transfer : (n, m) S, current into the sense nodes of a bit line per word-line volt
    power : (m, m) S, current into the word lines per word-line volt: v @ power @ v watts are drawn
        from the drivers
    """
    m, n = g.shape
    dtype = np.float32 if g.dtype == np.float32 else np.float64
    tile = Tile(g, r_word, r_bit)
    if r_top is not None:
        tile = _with_ends_at_the_top(tile, r_top)
    if r_right is not None:
        added = np.ones(len(tile.g) - m)  # of the row of `_with_ends_at_the_top`
        tile = _with_ends_at_the_right(tile, np.append(added, r_right))
    tile = Tile(*(np.ascontiguousarray(array, dtype) for array in tile))
    joined = _Joined(tile, right=r_right is not None, top=r_top is not None)
    transfer, power = joined.solve()
    return transfer[-m:, :n].T, power[-m:, -m:]
