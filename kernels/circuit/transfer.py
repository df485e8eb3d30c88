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

Blocks of SMALL x SMALL cells are eliminated by a plan made once, many of them side by side; joined
in one compiled call up to SEGMENT x SEGMENT cells; and from there on as dictionaries of
conductances between segments of ports.
"""

import threading

import numpy as np

from xbarsim.kernels.circuit.elimination import accumulate, eliminate_nodes
from xbarsim.kernels.circuit.joins import merge
from xbarsim.kernels.circuit.small_blocks import LANES, PLANS, SMALL, small_blocks

SEGMENT = (
    64  # ports that are kept together; cells along the side of a block built in one compiled call
)
SINGLE = 128  # cells along the side of a tile that is one such block


# ---------------------------------------------------------------- small blocks, one per lane


# ---------------------------------------------------------------- blocks up to a segment, by matrix products


# ---------------------------------------------------------------- larger blocks, segment by segment

_threads = threading.local()


def _scratch(dtype, side):
    """Memory of this thread for a `_leaf` of at most side x side cells.

    For a plan of all lanes, or the rows of a join; and twice for all blocks of a level: at most 8
    of side / 2 x side cells with (2 (side / 2 + side))² conductances each.
    """
    key = f"{dtype.name} {side}"
    if not hasattr(_threads, key):
        work = max(LANES * max(plan[-1] for plan in PLANS.values()), 5 * side**2)
        setattr(_threads, key, [np.zeros(count, dtype) for count in (work, *2 * [18 * side**2])])
    return getattr(_threads, key)


def _leaf(g, r_word, r_bit, row, rows, column, columns, right, top, sensed, side):
    """Conductances between the ports (left, right, top, bottom) of a block of at most side x side
    cells.

    right, top, sensed : whether it has ports there, and sensed ones below, 1 or 0.  What the result
        holds above the
    diagonal and among sensed ports means nothing.
    """
    high, wide = rows // SMALL, columns // SMALL
    work, room, spare = _scratch(g.dtype, side)
    small = room[: high * wide * (4 * SMALL) ** 2].reshape(high, wide, (4 * SMALL) ** 2)
    for first, last, has_top in ((0, high, 1),) if top else ((0, 1, 0), (1, high, 1)):
        for left, behind, has_right in (
            ((0, wide, 1),) if right else ((0, wide - 1, 1), (wide - 1, wide, 0))
        ):
            step = LANES // max(1, behind - left)
            for upper in range(first, last, step) if left < behind else ():
                blocks = upper, min(upper + step, last), left, behind
                small_blocks(
                    g, r_word, r_bit, row, column, blocks, PLANS[has_right, has_top], work, small
                )
    return merge(small, right, top, sensed, work, room, spare)


class _Tile:
    """Networks of the blocks of a tile: {(a, b): conductances between the nodes of a and of b},
    names a >= b.

    A segment of nodes is named ("word", i, j): of the word lines of row segment i, left of column
    segment j; or ("bit", i, j): of the bit lines of column segment j, above row segment i.  The
    first and the last are terminals. Conductances among those that are sensed are left out: these
    are all at 0 V.  Those between the left and the bottom are parts of `transfer` from the
    beginning.
    """

    def __init__(self, g, r_word, r_bit, right, top):
        self.arrays, self.right, self.top = (g, r_word, r_bit), right, top
        m, n = g.shape
        self.above = -m % SMALL  # rows that are added to make blocks; and columns at the right
        self.side = SINGLE if max(m, n) <= SINGLE else SEGMENT
        self.rows = [slice(a, min(a + self.side, m + self.above)) for a in range(0, m, self.side)]
        self.columns = [
            slice(a, min(a + self.side, n + -n % SMALL)) for a in range(0, n, self.side)
        ]
        edges = [(i, j) for i in range(len(self.rows) + 1) for j in range(len(self.columns) + 1)]
        self.extent = {("word", i, j): self.rows[i] for i, j in edges if i < len(self.rows)} | {
            ("bit", i, j): self.columns[j] for i, j in edges if j < len(self.columns)
        }  # among all lines of the kind
        self.driven = {
            name for name in self.extent if name[0] == "word" and name[2] in (0, len(self.columns))
        }
        self.sensed = {
            name for name in self.extent if name[0] == "bit" and name[1] in (0, len(self.rows))
        }
        m, n = self.rows[-1].stop, self.columns[-1].stop
        self.transfer = np.zeros((m, n), g.dtype)  # transposed
        # rows of a segment: of at most 2 m + 2 n nodes that stay and max(m, n) joined; at last the
        # power matrix
        self.scratch = np.empty(max(m * m, 5 * SEGMENT * max(m, n)), g.dtype)

    def empty(self, a, b):
        """Place for the conductances of a pair of segments, all 0."""
        if (
            a[0] == "word" and a[2] == 0 and b[:2] == ("bit", len(self.rows))
        ):  # this saves memory; see `solve`
            return self.transfer[self.extent[a], self.extent[b]]
        return np.zeros(
            [self.extent[name].stop - self.extent[name].start for name in (a, b)],
            self.transfer.dtype,
        )

    def network(self, row, rows, column, columns):
        """That of some row and column segments: (first, number)."""
        if rows == 1 and columns == 1:
            return self.leaf(row, column)
        if rows >= columns:
            half = rows // 2
            lower, upper = (
                self.network(row + half, rows - half, column, columns),
                self.network(row, half, column, columns),
            )
            return self.join(lower, upper)
        half = columns // 2
        return self.join(
            self.network(row, rows, column, half),
            self.network(row, rows, column + half, columns - half),
        )

    def leaf(self, row, column):
        """That of one row and one column segment."""
        y, x = self.rows[row], self.columns[column]
        names = [
            ("word", row, column),
            ("word", row, column + 1),
            ("bit", row, column),
            ("bit", row + 1, column),
        ]
        right, top = int(column + 1 < len(self.columns) or self.right), int(row > 0 or self.top)
        w = _leaf(
            *self.arrays,
            y.start - self.above,
            y.stop - y.start,
            x.start,
            x.stop - x.start,
            right,
            top,
            int(row + 1 == len(self.rows)),
            self.side,
        )
        if not top:
            del names[2]
        if not right:
            del names[1]
        ports, end, network = [], 0, {}
        for name in names:
            start, end = end, end + self.extent[name].stop - self.extent[name].start
            ports.append(slice(start, end))
        for i, a in enumerate(names):
            for j, b in enumerate(names[: i + 1]):
                part = w[ports[i], ports[j]]
                pair, part = ((a, b), part) if a >= b else ((b, a), part.T)
                if not (a in self.sensed and b in self.sensed):
                    network[pair] = self.empty(*pair)
                    network[pair][:] = part
        return network

    def join(self, network, second):
        """The network of two, without the nodes they share."""
        mine, others = ({name for pair in block for name in pair} for block in (network, second))
        joined, kept = sorted(mine & others), sorted(mine ^ others)
        for pair in network.keys() & second.keys():
            network[pair] += second.pop(pair)
        network |= second
        rows = []  # of the nodes joined, segment by segment: they fill the holes
        while joined:
            name = joined.pop()
            parts = {
                other: network.pop((name, other)) if name > other else network.pop((other, name)).T
                for other in kept + joined
            }
            own, width = network.pop((name, name)), sum(part.shape[1] for part in parts.values())
            y = self.scratch[: len(own) * (width + len(own))].reshape(len(own), width + len(own))
            np.concatenate([*parts.values(), own], axis=1, out=y)
            eliminate_nodes(y, width)
            end = 0
            for other, part in parts.items():
                start, end = end, end + part.shape[1]
                parts[other] = y[:, start:end].copy()
            for i, a in enumerate(joined):
                for b in kept + joined[: i + 1]:
                    pair = (a, b) if a > b else (b, a)
                    accumulate(network[pair], parts[pair[0]], parts[pair[1]])
            rows.append(parts)
        while kept:
            a = kept[-1]
            last = [parts[a] for parts in rows]
            for b in kept:
                if not (a in self.sensed and b in self.sensed):
                    target = network.get((a, b))
                    if target is None:
                        target = network[a, b] = self.empty(a, b)
                    for part, parts in zip(last, rows, strict=True):
                        accumulate(target, part, parts[b])
            for parts in rows:
                del parts[a]
            kept.pop()
        return network

    def solve(self):
        """Transfer (transposed) and power matrix."""
        network = self.network(0, len(self.rows), 0, len(self.columns))
        m = len(self.transfer)
        power = self.scratch[: m * m].reshape(m, m)
        power[:] = 0
        for (a, b), w in network.items():
            if a in self.driven and b in self.driven:  # all but those between the ends of one line
                if a == b:
                    w = np.tril(w, -1)
                power[self.extent[a], self.extent[b]] -= w
                power[self.extent[b], self.extent[a]] -= w.T
            elif w.base is not self.transfer:  # it is not there already
                self.transfer[self.extent[a], self.extent[b]] += w
        np.fill_diagonal(power, 0)
        np.fill_diagonal(power, self.transfer.sum(axis=1) - power.sum(axis=1))
        return self.transfer, power if power.size == self.scratch.size else power.copy()


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
        open np.inf at an end of a line leaves it unconnected.

    Returns
    -------
    transfer : (n, m) S, current into the sense nodes of a bit line per word-line volt
    power : (m, m) S, current into the word lines per word-line volt: v @ power @ v watts are drawn
        from the drivers
    """
    right, top, dtype = (
        r_right is not None,
        r_top is not None,
        np.float32 if g.dtype == np.float32 else np.float64,
    )
    m, n = g.shape
    if top:  # a row and a column without cells carry the further segments
        g, r_word, r_bit = (
            np.vstack([np.zeros(n), g]),
            np.vstack([np.ones(n), r_word]),
            np.vstack([r_top, r_bit]),
        )
    if right:
        none, one = np.zeros(len(g)), np.ones(len(g))
        end = np.append(one[: int(top)], r_right)
        g, r_word, r_bit = (
            np.column_stack([g, none]),
            np.column_stack([r_word, end]),
            np.column_stack([r_bit, one]),
        )
    arrays = [np.ascontiguousarray(array, dtype) for array in (g, r_word, r_bit)]
    transfer, power = _Tile(*arrays, right, top).solve()
    return transfer[-m:, :n].T, power[-m:, -m:]
