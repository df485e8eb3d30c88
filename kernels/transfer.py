"""Exact transfer matrix of an ohmic tile, by joining blocks of cells and eliminating the nodes between them.

Circuit of cell (i, j): word-line segment `r_word[i, j]` to the left of its word-line node, device `g[i, j]` between the
word-line and the bit-line node, bit-line segment `r_bit[i, j]` below the bit-line node.

A block of cells is, seen from its edges, a network of conductances between the nodes there: the left ends of its word
lines, their last nodes, the first nodes of its bit lines and their lower ends.  Blocks that share nodes are joined by
adding their conductances, and then the shared nodes are eliminated.  To eliminate node k (star-mesh transformation),

    g_ij += g_ik g_kj / sum_l g_kl        for all its neighbours i, j.

Nothing is ever subtracted: every conductance between two ports is exact to a few roundings of its own size, and a wire
without resistance or a shorted cell may just be given the conductance HUGE, beyond all others.  Eliminating s nodes
that q others see is the Cholesky factorization of s rows of length q + s, whose pivots are sums and not differences,
and a symmetric update of rank s.  Where four square blocks become one of n x n cells this takes 15.5 n³ multiply-adds, less
at the edges: up to 17 products of n x n matrices for a whole tile.

Blocks of SMALL x SMALL cells are eliminated by a plan made once, many of them side by side; joined in one compiled call
up to SEGMENT x SEGMENT cells; and from there on as dictionaries of conductances between segments of ports.
"""
import threading

import numpy as np
from numba import config
from numba.core import types
from numba.np.linalg import ensure_blas

from xbarsim.kernels._jit import jit

SMALL = 8                # cells along the side of a block that is eliminated in a lane
PANEL = 8                # nodes that are eliminated one by one
STRIPE = 16              # rows of a symmetric update that are multiplied at once
LANES = 64               # blocks that are eliminated side by side
SEGMENT = 64             # ports that are kept together; cells along the side of a block built in one compiled call
SINGLE = 128             # cells along the side of a tile that is one such block
HUGE, HUGE_SINGLE = 1e30, 1e18       # S, stands for no resistance, in float64 and float32
LEAST, LEAST_SINGLE = 1e-300, 1e-36  # S, whose inverse is still a number: a node that sees less sees nothing

ensure_blas()
# The matrix product that Numba itself calls, which can add to its result: c = alpha a b + beta c by columns.
_gemm = types.ExternalFunction("numba_xxgemm", types.intc(
    types.char, types.char, types.char, types.intp, types.intp, types.intp, types.voidptr, types.voidptr, types.intp,
    types.voidptr, types.intp, types.voidptr, types.voidptr, types.intp))


@jit
def _accumulate(c, a, b):
    """c += a' b;  c : (m, n), a : (k, m), b : (k, n), the numbers of a row next to each other."""
    one, size = np.ones(1, c.dtype), c.itemsize
    _gemm(ord("d") if size == 8 else ord("s"), ord("n"), ord("t"), c.shape[1], c.shape[0], a.shape[0], one.ctypes,
          b.ctypes, b.strides[0] // size, a.ctypes, a.strides[0] // size, one.ctypes, c.ctypes, c.strides[0] // size)


if config.DISABLE_JIT:                                    # the interpreter cannot call it
    def _accumulate(c, a, b):
        c += a.T @ b


@jit(fastmath={"contract", "reassoc"})
def _eliminate(y, kept):
    """Eliminate the nodes of y : (s, kept + s), conductances of s nodes to those that stay and to each other.

    The last comes first; column kept + j of row k is read for j < k only.  Leaves every conductance over the root of
    the sum of those of its row: with them, conductances among the nodes that stay grow by y' y.

    A panel updates the panel before it, two panels the two before them, four the four before: after panel number 4, say,
    whose lowest bit is 4, rows of panels 1 to 4 are added to those of 5 to 8 in one product.  So most work is in large ones.
    """
    low, panels = len(y), 0
    while low > 0:
        high, low = low, max(0, low - PANEL)
        for k in range(high - 1, low - 1, -1):
            row = y[k, :kept + k]
            for i in range(k + 1, high):
                factor, other = y[i, kept + k], y[i]
                for j in range(row.size):
                    row[j] += factor * other[j]
            total = y.dtype.type(0)
            for j in range(row.size):
                total += row[j]
            scale = 1 / np.sqrt(total) if total != 0 else y.dtype.type(0)              # 0: sees nothing
            for j in range(row.size):
                row[j] *= scale
        panels += 1
        behind = PANEL * (panels & -panels)
        if low > 0:
            before = max(0, low - behind)
            _accumulate(y[before:low, :kept + low], y[low:low + behind, kept + before:kept + low],
                        y[low:low + behind, :kept + low])


# ---------------------------------------------------------------- small blocks, one per lane

def _plan(right, top):
    """How to eliminate the inner nodes of a block of SMALL x SMALL cells, as indices of the conductances it has then.

    right, top : whether the block has ports there, 1 or 0; at an open edge these nodes are inner ones

    Returns
    -------
    cells : (3, SMALL, SMALL) places of the conductances of word-line segment, device and bit-line segment of each cell
    start, spokes, rims : node e has the conductances spokes[start[e] : start[e + 1]]; eliminating it adds to rims, one
        for each pair of spokes, in order
    ports : (p, p) places of the conductances between the ports, below the diagonal
    count : number of places; the last is of pairs without any
    """
    left, bottom = [[("left", i) for i in range(SMALL)], [("bottom", j) for j in range(SMALL)]]
    word = [[("word", i, j) for j in range(SMALL)] for i in range(SMALL)]
    bit = [[("bit", i, j) for j in range(SMALL)] for i in range(SMALL)]
    outer = left + [line[-1] for line in word] * right + bit[0] * top + bottom
    places, neighbours = {}, {}

    def place(a, b):
        neighbours.setdefault(a, set()).add(b)
        neighbours.setdefault(b, set()).add(a)
        return places.setdefault(frozenset((a, b)), len(places))

    def level(node):
        """Of the joins of halves of halves, vertical after horizontal, the one that makes this an inner node."""
        kind, i, j = node
        first, second = (j, j + 1) if kind == "word" else (i - 1, i)
        edge = second == SMALL or first < 0
        return 0 if edge else (first ^ second).bit_length(), kind == "bit", node

    cells = np.empty((3, SMALL, SMALL), np.int64)
    for i in range(SMALL):
        for j in range(SMALL):
            cells[0, i, j] = place(word[i][j - 1] if j else left[i], word[i][j])
            cells[1, i, j] = place(word[i][j], bit[i][j])
            cells[2, i, j] = place(bit[i][j], bit[i + 1][j] if i < SMALL - 1 else bottom[j])
    start, spokes, rims = [0], [], []
    for node in sorted(set(neighbours) - set(outer), key=level):
        around = sorted(neighbours.pop(node))
        for k, other in enumerate(around):
            neighbours[other].remove(node)
            spokes.append(places[frozenset((node, other))])
            rims.extend(place(other, before) for before in around[:k])
        start.append(len(spokes))
    ports = [[places.get(frozenset((a, b)), len(places)) for b in outer] for a in outer]
    return cells, np.array(start), np.array(spokes), np.array(rims), np.array(ports), len(places) + 1


PLANS = {(right, top): _plan(right, top) for right in (0, 1) for top in (0, 1)}


@jit(fastmath={"contract"})
def _follow(work, start, spokes, rims):
    """Eliminate nodes by a plan.  work : (places, lanes) S"""
    lanes, r = work.shape[1], 0
    least = work.dtype.type(LEAST if work.itemsize == 8 else LEAST_SINGLE)
    total, share = np.empty(lanes, work.dtype), np.empty(lanes, work.dtype)
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
                rim, other = work[rims[r]], work[spokes[q]]
                for k in range(lanes):
                    rim[k] += share[k] * other[k]
                r += 1


@jit
def _small_blocks(g, r_word, r_bit, row, column, blocks, plan, work, result):
    """Conductances between the ports (left, right, top, bottom) of small blocks, below the diagonal.

    row, column : of the cell where all blocks begin.  Cells beyond the tile, above it and on its right, are open, and
    their wires have no resistance.
    blocks : (upper, lower, left, behind) those of one plan
    work : scratch for as many numbers as the plan has places and there are blocks
    result : (block rows, block columns, at least p * p), the p x p conductances of each block one after the other
    """
    cells, start, spokes, rims, ports, places = plan
    upper, lower, left, behind = blocks
    wide = behind - left
    lanes = (lower - upper) * wide
    huge = g.dtype.type(HUGE if g.itemsize == 8 else HUGE_SINGLE)
    work = work[:places * lanes].reshape((places, lanes))
    work[:] = 0
    for i in range(SMALL):
        for j in range(SMALL):
            q = column + left * SMALL + j
            inside = max(0, min(wide, (g.shape[1] - q + SMALL - 1) // SMALL))
            for k in range(0, lanes, wide):               # a row of blocks
                word, device, bit = work[cells[0, i, j], k:], work[cells[1, i, j], k:], work[cells[2, i, j], k:]
                p, count = row + (upper + k // wide) * SMALL + i, 0
                if p >= 0:
                    count = inside
                    own, r_left, r_below = g[p, q::SMALL], r_word[p, q::SMALL], r_bit[p, q::SMALL]
                    for x in range(count):                # abs: -0.0 ohm
                        word[x], bit[x] = min(1 / abs(r_left[x]), huge), min(1 / abs(r_below[x]), huge)
                        device[x] = min(own[x], huge)
                word[count:wide] = huge
                bit[count:wide] = huge
    _follow(work, start, spokes, rims)
    size = len(ports)
    for k in range(lanes):
        block, values = result[upper + k // wide, left + k % wide], work[:, k]
        for p in range(size):
            target, own_places = block[p * size:p * size + p], ports[p]
            for q in range(p):
                target[q] = values[own_places[q]]


# ---------------------------------------------------------------- blocks up to a segment, by matrix products

@jit
def _pieces(h1, w1, right1, top1, h2, w2, right2, top2, vertical):
    """Which ports of two blocks stay when they are joined, and where they go.

    A block of h x w cells has ports (left h, right h or 0, top w or 0, bottom w).  Horizontally `first` is the left
    block, joined at its right; vertically `first` is the lower block, joined at its top.

    Returns
    -------
    pieces : (6, 4) of the ports that stay, each (block 0 or 1, place in its block, length, place in the result)
    joined1, joined2 : places of the first port joined in both;  joined, kept : number of ports joined, of those that stay
    """
    pieces = np.empty((6, 4), np.int64)
    if vertical:                                          # the upper block comes first among left and right ports
        sides = ((1, 0, h2), (0, 0, h1), (1, h2, right2), (0, h1, right1), (1, h2 + right2, top2),
                 (0, h1 + right1 + top1, w1))
    else:
        sides = ((0, 0, h1), (1, h2, right2), (0, h1 + right1, top1), (1, h2 + right2, top2),
                 (0, h1 + right1 + top1, w1), (1, h2 + right2 + top2, w2))
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
    """Join two blocks of a size (height, width, right ports, top ports) into `result`; work : scratch.

    sensed : the number of bottom ports that are at 0 V: conductances among these may be anything
    """
    pieces, joined1, joined2, joined, kept = _pieces(*sizes1, *sizes2, vertical)
    y = work[:joined * (kept + joined)].reshape((joined, kept + joined))
    for block, start, length, place in pieces:
        w, at = (second, joined2) if block else (first, joined1)
        if start < at:
            for k in range(joined):
                _copy(w[at + k, start:start + length], y[k, place:place + length])
        else:
            for i in range(length):
                _copy(w[start + i, at:at + joined], y[:, place + i])
    for k in range(joined):
        _copy(first[joined1 + k, joined1:joined1 + k], y[k, kept:kept + k])
        add, to = second[joined2 + k, joined2:joined2 + k], y[k, kept:kept + k]
        for i in range(k):
            to[i] += add[i]
    _eliminate(y, kept)
    for p in range(6):
        block, start, length, place = pieces[p]
        w = second if block else first
        for i in range(length):
            row, own = result[place + i], w[start + i]
            for q in range(p + 1):
                block2, start2, length2, place2 = pieces[q]
                if block == block2:
                    _copy(own[start2:start2 + length2], row[place2:place2 + length2])
                else:
                    row[place2:place2 + length2] = 0
    stripe = max(STRIPE, kept // 8)                       # rows that are multiplied at once, up to the diagonal
    for low in range(0, kept, stripe):
        high = min(low + stripe, kept)
        columns = min(high, kept - sensed)
        _accumulate(result[low:high, :columns], y[:, low:high], y[:, :columns])


@jit
def _merge(blocks, right, top, sensed, work, room, spare):
    """Join neighbours until one block is left.

    right, top, sensed : whether it has ports there, and sensed ones below, 1 or 0
    blocks : (block rows, block columns, (4 SMALL)²) of SMALL x SMALL cells each, at the beginning of `room`
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
        merged = spare[:high.size * wide.size * most].reshape((high.size, wide.size, most))
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
                result = merged[i, j, :count * count].reshape((count, count))
                if i1 == heights.size or j2 == widths.size:                                   # nothing to join with
                    result[:] = blocks[i2, j1, :count * count].reshape((count, count))
                    continue
                h1, w1, h2, w2 = heights[i1], widths[j1], heights[i2], widths[j2]
                count1, count2 = h1 * (1 + right1) + w1 * (1 + top1), h2 * (1 + right2) + w2 * (1 + top2)
                _join(blocks[i1, j1, :count1 ** 2].reshape((count1, count1)), (h1, w1, h1 * right1, w1 * top1),
                      blocks[i2, j2, :count2 ** 2].reshape((count2, count2)), (h2, w2, h2 * right2, w2 * top2),
                      vertical, sensed * wide[j] if i == high.size - 1 else 0, work, result)
        blocks, heights, widths, room, spare = merged, high, wide, spare, room
    count = heights[0] * (1 + right) + widths[0] * (1 + top)
    return blocks[0, 0, :count * count].reshape((count, count))


# ---------------------------------------------------------------- larger blocks, segment by segment

_threads = threading.local()


def _scratch(dtype, side):
    """Memory of this thread for a `_leaf` of at most side x side cells.

    For a plan of all lanes, or the rows of a join; and twice for all blocks of a level: at most 8 of side / 2 x side cells
    with (2 (side / 2 + side))² conductances each.
    """
    key = f"{dtype.name} {side}"
    if not hasattr(_threads, key):
        work = max(LANES * max(plan[-1] for plan in PLANS.values()), 5 * side ** 2)
        setattr(_threads, key, [np.zeros(count, dtype) for count in (work, *2 * [18 * side ** 2])])
    return getattr(_threads, key)


def _leaf(g, r_word, r_bit, row, rows, column, columns, right, top, sensed, side):
    """Conductances between the ports (left, right, top, bottom) of a block of at most side x side cells.

    right, top, sensed : whether it has ports there, and sensed ones below, 1 or 0.  What the result holds above the
    diagonal and among sensed ports means nothing.
    """
    high, wide = rows // SMALL, columns // SMALL
    work, room, spare = _scratch(g.dtype, side)
    small = room[:high * wide * (4 * SMALL) ** 2].reshape(high, wide, (4 * SMALL) ** 2)
    for first, last, has_top in ((0, high, 1),) if top else ((0, 1, 0), (1, high, 1)):
        for left, behind, has_right in ((0, wide, 1),) if right else ((0, wide - 1, 1), (wide - 1, wide, 0)):
            step = LANES // max(1, behind - left)
            for upper in range(first, last, step) if left < behind else ():
                blocks = upper, min(upper + step, last), left, behind
                _small_blocks(g, r_word, r_bit, row, column, blocks, PLANS[has_right, has_top], work, small)
    return _merge(small, right, top, sensed, work, room, spare)


class _Tile:
    """Networks of the blocks of a tile: {(a, b): conductances between the nodes of a and of b}, names a >= b.

    A segment of nodes is named ("word", i, j): of the word lines of row segment i, left of column segment j; or
    ("bit", i, j): of the bit lines of column segment j, above row segment i.  The first and the last are terminals.
    Conductances among those that are sensed are left out: these are all at 0 V.  Those between the left and the bottom
    are parts of `transfer` from the beginning.
    """

    def __init__(self, g, r_word, r_bit, right, top):
        self.arrays, self.right, self.top = (g, r_word, r_bit), right, top
        m, n = g.shape
        self.above = -m % SMALL                           # rows that are added to make blocks; and columns at the right
        self.side = SINGLE if max(m, n) <= SINGLE else SEGMENT
        self.rows = [slice(a, min(a + self.side, m + self.above)) for a in range(0, m, self.side)]
        self.columns = [slice(a, min(a + self.side, n + -n % SMALL)) for a in range(0, n, self.side)]
        edges = [(i, j) for i in range(len(self.rows) + 1) for j in range(len(self.columns) + 1)]
        self.extent = {("word", i, j): self.rows[i] for i, j in edges if i < len(self.rows)} | {
            ("bit", i, j): self.columns[j] for i, j in edges if j < len(self.columns)}     # among all lines of the kind
        self.driven = {name for name in self.extent if name[0] == "word" and name[2] in (0, len(self.columns))}
        self.sensed = {name for name in self.extent if name[0] == "bit" and name[1] in (0, len(self.rows))}
        m, n = self.rows[-1].stop, self.columns[-1].stop
        self.transfer = np.zeros((m, n), g.dtype)         # transposed
        # rows of a segment: of at most 2 m + 2 n nodes that stay and max(m, n) joined; at last the power matrix
        self.scratch = np.empty(max(m * m, 5 * SEGMENT * max(m, n)), g.dtype)

    def empty(self, a, b):
        """Place for the conductances of a pair of segments, all 0."""
        if a[0] == "word" and a[2] == 0 and b[:2] == ("bit", len(self.rows)):     # this saves memory; see `solve`
            return self.transfer[self.extent[a], self.extent[b]]
        return np.zeros([self.extent[name].stop - self.extent[name].start for name in (a, b)], self.transfer.dtype)

    def network(self, row, rows, column, columns):
        """That of some row and column segments: (first, number)."""
        if rows == 1 and columns == 1:
            return self.leaf(row, column)
        if rows >= columns:
            half = rows // 2
            lower, upper = self.network(row + half, rows - half, column, columns), self.network(row, half, column, columns)
            return self.join(lower, upper)
        half = columns // 2
        return self.join(self.network(row, rows, column, half), self.network(row, rows, column + half, columns - half))

    def leaf(self, row, column):
        """That of one row and one column segment."""
        y, x = self.rows[row], self.columns[column]
        names = [("word", row, column), ("word", row, column + 1), ("bit", row, column), ("bit", row + 1, column)]
        right, top = int(column + 1 < len(self.columns) or self.right), int(row > 0 or self.top)
        w = _leaf(*self.arrays, y.start - self.above, y.stop - y.start, x.start, x.stop - x.start, right, top,
                  int(row + 1 == len(self.rows)), self.side)
        if not top:
            del names[2]
        if not right:
            del names[1]
        ports, end, network = [], 0, {}
        for name in names:
            start, end = end, end + self.extent[name].stop - self.extent[name].start
            ports.append(slice(start, end))
        for i, a in enumerate(names):
            for j, b in enumerate(names[:i + 1]):
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
        rows = []                                         # of the nodes joined, segment by segment: they fill the holes
        while joined:
            name = joined.pop()
            parts = {other: network.pop((name, other)) if name > other else network.pop((other, name)).T
                     for other in kept + joined}
            own, width = network.pop((name, name)), sum(part.shape[1] for part in parts.values())
            y = self.scratch[:len(own) * (width + len(own))].reshape(len(own), width + len(own))
            np.concatenate([*parts.values(), own], axis=1, out=y)
            _eliminate(y, width)
            end = 0
            for other, part in parts.items():
                start, end = end, end + part.shape[1]
                parts[other] = y[:, start:end].copy()
            for i, a in enumerate(joined):
                for b in kept + joined[:i + 1]:
                    pair = (a, b) if a > b else (b, a)
                    _accumulate(network[pair], parts[pair[0]], parts[pair[1]])
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
                        _accumulate(target, part, parts[b])
            for parts in rows:
                del parts[a]
            kept.pop()
        return network

    def solve(self):
        """Transfer (transposed) and power matrix."""
        network = self.network(0, len(self.rows), 0, len(self.columns))
        m = len(self.transfer)
        power = self.scratch[:m * m].reshape(m, m)
        power[:] = 0
        for (a, b), w in network.items():
            if a in self.driven and b in self.driven:     # all but those between the ends of one line
                if a == b:
                    w = np.tril(w, -1)
                power[self.extent[a], self.extent[b]] -= w
                power[self.extent[b], self.extent[a]] -= w.T
            elif w.base is not self.transfer:             # it is not there already
                self.transfer[self.extent[a], self.extent[b]] += w
        np.fill_diagonal(power, 0)
        np.fill_diagonal(power, self.transfer.sum(axis=1) - power.sum(axis=1))
        return self.transfer, power if power.size == self.scratch.size else power.copy()


def transfer_matrix(g, r_word, r_bit, r_right=None, r_top=None):
    """Transfer and power matrix of a tile: word lines driven at their ends, bit lines sensed at 0 V at theirs.

    The compiled parts release the GIL: call it from several threads for several tiles, with BLAS on one thread.

    Parameters
    ----------
    g : (m, n) float64 or float32, S; np.inf is a short
    r_word : (m, n) ohm, the segment left of each word-line node; the first includes the source resistance
    r_bit : (m, n) ohm, the segment below each bit-line node; the last includes the sense resistance
    r_right : (m,) ohm, from the last word-line nodes to drivers at the right, of the same voltage; None: all are open
    r_top : (n,) ohm, from the first bit-line nodes to sense amplifiers at the top; None: all are open
        np.inf at an end of a line leaves it unconnected.

    Returns
    -------
    transfer : (n, m) S, current into the sense nodes of a bit line per word-line volt
    power : (m, m) S, current into the word lines per word-line volt: v @ power @ v watts are drawn from the drivers
    """
    right, top, dtype = r_right is not None, r_top is not None, np.float32 if g.dtype == np.float32 else np.float64
    m, n = g.shape
    if top:                                               # a row and a column without cells carry the further segments
        g, r_word, r_bit = np.vstack([np.zeros(n), g]), np.vstack([np.ones(n), r_word]), np.vstack([r_top, r_bit])
    if right:
        none, one = np.zeros(len(g)), np.ones(len(g))
        end = np.append(one[:int(top)], r_right)
        g, r_word, r_bit = np.column_stack([g, none]), np.column_stack([r_word, end]), np.column_stack([r_bit, one])
    arrays = [np.ascontiguousarray(array, dtype) for array in (g, r_word, r_bit)]
    transfer, power = _Tile(*arrays, right, top).solve()
    return transfer[-m:, :n].T, power[-m:, -m:]
