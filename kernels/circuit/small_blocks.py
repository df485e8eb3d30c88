"""Blocks of 8 x 8 cells, many side by side."""

import numpy as np

from xbarsim.kernels._jit import jit

SMALL = 8  # cells along the side of a block that is eliminated in a lane
LANES = 64  # blocks that are eliminated side by side
HUGE, HUGE_SINGLE = 1e30, 1e18  # S, stands for no resistance, in float64 and float32
LEAST, LEAST_SINGLE = (
    1e-300,
    1e-36,
)  # S, whose inverse is still a number: a node that sees less sees nothing


def _plan(right, top):
    """How to eliminate the inner nodes of a block of SMALL x SMALL cells, as indices of the
    conductances it has then.

    right, top : whether the block has ports there, 1 or 0; at an open edge these nodes are inner
        ones

    Returns
    -------
    cells : (3, SMALL, SMALL) places of the conductances of word-line segment, device and bit-line
        segment of each cell
    start, spokes, rims : node e has the conductances spokes[start[e] : start[e + 1]]; eliminating
        it adds to rims, one for each pair of spokes, in order
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
        """Of the joins of halves of halves, vertical after horizontal, the one that makes this an
        inner node.
        """
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
    return (
        cells,
        np.array(start),
        np.array(spokes),
        np.array(rims),
        np.array(ports),
        len(places) + 1,
    )


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
def small_blocks(g, r_word, r_bit, row, column, blocks, plan, work, result):
    """Conductances between the ports (left, right, top, bottom) of small blocks, below the
    diagonal.

    row, column : of the cell where all blocks begin.  Cells beyond the tile, above it and on its
        right, are open, and
    their wires have no resistance.
    blocks : (upper, lower, left, behind) those of one plan
    work : scratch for as many numbers as the plan has places and there are blocks
    result : (block rows, block columns, at least p * p), the p x p conductances of each block one
        after the other
    """
    cells, start, spokes, rims, ports, places = plan
    upper, lower, left, behind = blocks
    wide = behind - left
    lanes = (lower - upper) * wide
    huge = g.dtype.type(HUGE if g.itemsize == 8 else HUGE_SINGLE)
    work = work[: places * lanes].reshape((places, lanes))
    work[:] = 0
    for i in range(SMALL):
        for j in range(SMALL):
            q = column + left * SMALL + j
            inside = max(0, min(wide, (g.shape[1] - q + SMALL - 1) // SMALL))
            for k in range(0, lanes, wide):  # a row of blocks
                word, device, bit = (
                    work[cells[0, i, j], k:],
                    work[cells[1, i, j], k:],
                    work[cells[2, i, j], k:],
                )
                p, count = row + (upper + k // wide) * SMALL + i, 0
                if p >= 0:
                    count = inside
                    own, r_left, r_below = g[p, q::SMALL], r_word[p, q::SMALL], r_bit[p, q::SMALL]
                    for x in range(count):  # abs: -0.0 ohm
                        word[x], bit[x] = (
                            min(1 / abs(r_left[x]), huge),
                            min(1 / abs(r_below[x]), huge),
                        )
                        device[x] = min(own[x], huge)
                word[count:wide] = huge
                bit[count:wide] = huge
    _follow(work, start, spokes, rims)
    size = len(ports)
    for k in range(lanes):
        block, values = result[upper + k // wide, left + k % wide], work[:, k]
        for p in range(size):
            target, own_places = block[p * size : p * size + p], ports[p]
            for q in range(p):
                target[q] = values[own_places[q]]
