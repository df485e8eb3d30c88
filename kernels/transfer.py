"""Exact transfer matrix of an ohmic tile, by merging blocks of cells at their ports.

Circuit of cell (i, j): word-line segment `r_word[i, j]` to the left of its word-line node, device `g[i, j]` between the
word-line and the bit-line node, bit-line segment `r_bit[i, j]` below the bit-line node.

A rectangular block of cells has four kinds of ports, kept in the order (left, bottom, right, top).  Left and bottom
ports are given a voltage and answer with the current that enters; right and top ports are given the current that leaves
and answer with the voltage.  In these variables the matrix W of a block is symmetric (reciprocity), its voltage-driven
part positive and its current-driven part negative semidefinite, and r = 0 (ideal wire) and g = 0 (open device) are
ordinary values.

Joining a right (or top) port y of one block with a left (or bottom) port x of another eliminates two variables,

    [[W_yy, W_yx - 1], [W_xy - 1, W_xx]],

whose determinant is -(c a + (1 - W_xy)²) with c = -W_yy >= 0, a = W_xx >= 0: no pivoting is needed.  Blocks of up to
BASE cells are joined wire by wire, LANES sibling blocks side by side; larger ones with matrix products,

    S = (I + C A)^-1,   W_11 += Eᵀ A S E,   W_12 = (S E)ᵀ F,   W_22 -= Fᵀ S C F,

where C = -W_1[y, y], A = W_2[x, x], E = W_1[y, kept], F = W_2[x, kept].  Cost O(n³) for an n x n tile.
"""
import numpy as np

from xbarsim.kernels._jit import jit

BASE = 16                # cells along the side of a block that is joined wire by wire
LANES = 4                # such blocks side by side: the quadrants of a 2 BASE x 2 BASE leaf


@jit
def _join_lanes(first, to_first, second, to_second, pairs, kept, work):
    """Join `pairs` wires of LANES pairs of blocks.

    first, second : (N, N, LANES), lower triangles; to_first, to_second : where each port goes in `work`.
    The first `kept` places of `work` are the ports of the result; then follow the pairs (y, x), y even.
    Leaves the result in the lower triangle of work[:kept, :kept].
    """
    size = kept + 2 * pairs
    work[:size, :size] = 0
    for source, to in ((first, to_first), (second, to_second)):
        for p in range(to.size):
            for q in range(p + 1):
                i, j = max(to[p], to[q]), min(to[p], to[q])
                for k in range(LANES):
                    work[i, j, k] = source[p, q, k]
    left_y, left_x = np.empty(LANES, work.dtype), np.empty(LANES, work.dtype)
    for pair in range(pairs - 1, -1, -1):
        y, x = kept + 2 * pair, kept + 2 * pair + 1
        for i in range(y):
            for k in range(LANES):
                coupling = work[x, y, k] - 1
                determinant = work[y, y, k] * work[x, x, k] - coupling * coupling
                left_y[k] = (work[x, x, k] * work[y, i, k] - coupling * work[x, i, k]) / determinant
                left_x[k] = (work[y, y, k] * work[x, i, k] - coupling * work[y, i, k]) / determinant
            for j in range(i + 1):
                for k in range(LANES):
                    work[i, j, k] -= left_y[k] * work[y, j, k] + left_x[k] * work[x, j, k]


@jit
def _places(h1, w1, right1, top1, h2, w2, right2, top2, vertical):
    """Where the ports of two blocks go when they are joined: (to_first, to_second, pairs, kept).

    A block of h x w cells lists its ports as (left h, bottom w, right h or 0, top w or 0).  Horizontally `first` is the
    left block, joined at its right; vertically `first` is the lower block, joined at its top.  Places from `kept` on
    are the joined pairs.
    """
    to_first, to_second = np.empty(h1 + w1 + right1 + top1, np.int64), np.empty(h2 + w2 + right2 + top2, np.int64)
    if vertical:
        right, left = h1 + h2 + w1, h2                    # the upper block comes first among left and right ports
        kept = right + right1 + right2 + top2
        for i in range(h2):
            to_second[i] = i
        for i in range(h1):
            to_first[i] = left + i
        for i in range(right2):
            to_second[h2 + w2 + i] = right + i
        for i in range(right1):
            to_first[h1 + w1 + i] = right + right2 + i
        for j in range(w1):
            to_first[h1 + j] = h1 + h2 + j
            to_first[h1 + w1 + right1 + j], to_second[h2 + j] = kept + 2 * j, kept + 2 * j + 1
        for j in range(top2):
            to_second[h2 + w2 + right2 + j] = right + right1 + right2 + j
        return to_first, to_second, w1, kept
    top = h1 + w1 + w2 + right2
    kept = top + top1 + top2
    for i in range(h1):
        to_first[i] = i
        to_first[h1 + w1 + i], to_second[i] = kept + 2 * i, kept + 2 * i + 1
    for j in range(w1):
        to_first[h1 + j] = h1 + j
    for j in range(w2):
        to_second[h2 + j] = h1 + w1 + j
    for i in range(right2):
        to_second[h2 + w2 + i] = h1 + w1 + w2 + i
    for j in range(top1):
        to_first[h1 + w1 + right1 + j] = top + j
    for j in range(top2):
        to_second[h2 + w2 + right2 + j] = top + top1 + j
    return to_first, to_second, h1, kept


@jit
def _base_blocks(g, r_word, r_bit, row, column):
    """The quadrants of the 2 BASE x 2 BASE cells from (row, column) on: (4 BASE, 4 BASE, LANES), lower triangles.

    Cells beyond the array are open with ideal wires.
    """
    m, n = g.shape
    blocks = np.zeros((BASE, BASE, 4, 4, LANES), g.dtype)
    for i in range(BASE):
        for j in range(BASE):
            for k in range(LANES):
                p, q = row + i + BASE * (k // 2), column + j + BASE * (k % 2)
                cell = blocks[i, j, :, :, k]
                h = word = bit = g.dtype.type(0)
                if p < m and q < n:
                    word, bit = r_word[p, q], r_bit[p, q]
                    if g[p, q] == np.inf:
                        h = 1 / (word + bit)
                    else:
                        h = g[p, q] / (1 + g[p, q] * (word + bit))
                cell[0, 0] = cell[1, 1] = h                       # left, bottom
                cell[1, 0] = -h
                cell[2, 0], cell[2, 1] = 1 - word * h, word * h   # right
                cell[2, 2] = -word * (1 - word * h)
                cell[3, 0], cell[3, 1] = bit * h, 1 - bit * h     # top
                cell[3, 2] = -word * bit * h
                cell[3, 3] = -bit * (1 - bit * h)
    work = np.empty((8 * BASE, 8 * BASE, LANES), g.dtype)
    side = 1
    while side < BASE:
        for vertical in (False, True):
            w = 2 * side if vertical else side
            to_first, to_second, pairs, kept = _places(side, w, side, w, side, w, side, w, vertical)
            rows, columns = blocks.shape[0], blocks.shape[1]
            if vertical:
                rows //= 2
            else:
                columns //= 2
            merged = np.empty((rows, columns, kept, kept, LANES), g.dtype)
            for i in range(rows):
                for j in range(columns):
                    if vertical:
                        _join_lanes(blocks[2 * i + 1, j], to_first, blocks[2 * i, j], to_second, pairs, kept, work)
                    else:
                        _join_lanes(blocks[i, 2 * j], to_first, blocks[i, 2 * j + 1], to_second, pairs, kept, work)
                    for p in range(kept):
                        merged[i, j, p, :p + 1] = work[p, :p + 1]
            blocks = merged
        side *= 2
    return blocks[0, 0]


@jit
def _product(a, b):
    return np.dot(a, b)


@jit
def _join(first, to_first, second, to_second, pairs, kept):
    """Join two blocks by matrix products: (N1, N1) and (N2, N2) full symmetric matrices -> (kept, kept)."""
    n1, n2 = to_first.size - pairs, to_second.size - pairs
    kept_first, kept_second = np.empty(n1, np.int64), np.empty(n2, np.int64)
    joined_first, joined_second = np.empty(pairs, np.int64), np.empty(pairs, np.int64)
    p = 0
    for i in range(to_first.size):
        if to_first[i] < kept:
            kept_first[p] = i
            p += 1
        else:
            joined_first[(to_first[i] - kept) // 2] = i
    p = 0
    for i in range(to_second.size):
        if to_second[i] < kept:
            kept_second[p] = i
            p += 1
        else:
            joined_second[(to_second[i] - kept) // 2] = i
    minus_c, a = np.empty((pairs, pairs), first.dtype), np.empty((pairs, pairs), first.dtype)
    e, f = np.empty((pairs, n1), first.dtype), np.empty((pairs, n2), first.dtype)
    for i in range(pairs):
        for j in range(pairs):
            minus_c[i, j] = first[joined_first[i], joined_first[j]]
            a[i, j] = second[joined_second[i], joined_second[j]]
        for j in range(n1):
            e[i, j] = first[joined_first[i], kept_first[j]]
        for j in range(n2):
            f[i, j] = second[joined_second[i], kept_second[j]]
    matrix = -_product(minus_c, a)
    for i in range(pairs):
        matrix[i, i] += 1
    right = np.empty((pairs, n1 + n2), first.dtype)
    right[:, :n1] = e
    right[:, n1:] = _product(minus_c, f)                  # -C F
    solved = np.linalg.solve(matrix, right)
    u, v = solved[:, :n1].copy(), solved[:, n1:].copy()
    own_first = _product(e.T.copy(), _product(a, u))
    own_second = _product(f.T.copy(), v)
    cross = _product(u.T.copy(), f)
    result = np.empty((kept, kept), first.dtype)
    for i in range(n1):
        p = kept_first[i]
        for j in range(n1):
            result[to_first[p], to_first[kept_first[j]]] = first[p, kept_first[j]] + own_first[i, j]
        for j in range(n2):
            q = to_second[kept_second[j]]
            result[to_first[p], q] = cross[i, j]
            result[q, to_first[p]] = cross[i, j]
    for i in range(n2):
        p = kept_second[i]
        for j in range(n2):
            result[to_second[p], to_second[kept_second[j]]] = second[p, kept_second[j]] + own_second[i, j]
    return result


@jit
def _quadrant(lanes, k, h, w, right, top):
    """Block of lane k, cropped to h x w cells and to the ports in use, as a full symmetric matrix."""
    ports = np.empty(h + w + right + top, np.int64)
    for i in range(h):
        ports[i] = i
    for j in range(w):
        ports[h + j] = BASE + j
    for i in range(right):
        ports[h + w + i] = 2 * BASE + i
    for j in range(top):
        ports[h + w + right + j] = 3 * BASE + j
    block = np.empty((ports.size, ports.size), lanes.dtype)
    for i in range(ports.size):
        for j in range(i + 1):
            block[i, j] = block[j, i] = lanes[max(ports[i], ports[j]), min(ports[i], ports[j]), k]
    return block


def _block(g, r_word, r_bit, row, rows, column, columns):
    """W of the cells [row : row + rows, column : column + columns]; ports at the open right and top edges are dropped.

    Runs in the interpreter: a tile of 128 x 128 makes some 80 calls of the compiled parts, no recursion is compiled.
    """
    m, n = g.shape
    leaf = 2 * BASE
    right = 0 if column + columns == n else 1
    top = 0 if row == 0 else 1
    if rows <= leaf and columns <= leaf:
        lanes = _base_blocks(g, r_word, r_bit, row, column)
        h, w = min(rows, BASE), min(columns, BASE)
        h2, w2 = rows - h, columns - w
        middle = 1 if w2 > 0 else right
        upper = _quadrant(lanes, 0, h, w, h * middle, w * top)
        if w2 > 0:
            other = _quadrant(lanes, 1, h, w2, h * right, w2 * top)
            to_first, to_second, pairs, kept = _places(h, w, h, w * top, h, w2, h * right, w2 * top, False)
            upper = _join(upper, to_first, other, to_second, pairs, kept)
        if h2 == 0:
            return upper
        lower = _quadrant(lanes, 2, h2, w, h2 * middle, w)
        if w2 > 0:
            other = _quadrant(lanes, 3, h2, w2, h2 * right, w2)
            to_first, to_second, pairs, kept = _places(h2, w, h2, w, h2, w2, h2 * right, w2, False)
            lower = _join(lower, to_first, other, to_second, pairs, kept)
        to_first, to_second, pairs, kept = _places(h2, columns, h2 * right, columns,
                                                   h, columns, h * right, columns * top, True)
        return _join(lower, to_first, upper, to_second, pairs, kept)
    if rows > columns:
        half = leaf * ((rows + leaf - 1) // leaf // 2)
        lower = _block(g, r_word, r_bit, row + half, rows - half, column, columns)
        upper = _block(g, r_word, r_bit, row, half, column, columns)
        to_first, to_second, pairs, kept = _places(rows - half, columns, (rows - half) * right, columns,
                                                   half, columns, half * right, columns * top, True)
        return _join(lower, to_first, upper, to_second, pairs, kept)
    half = leaf * ((columns + leaf - 1) // leaf // 2)
    first = _block(g, r_word, r_bit, row, rows, column, half)
    second = _block(g, r_word, r_bit, row, rows, column + half, columns - half)
    to_first, to_second, pairs, kept = _places(rows, half, rows, half * top,
                                               rows, columns - half, rows * right, (columns - half) * top, False)
    return _join(first, to_first, second, to_second, pairs, kept)


def transfer_matrix(g, r_word, r_bit):
    """Transfer and power matrix of a tile driven at the left, sensed at the bottom at 0 V, open at right and top.

    The compiled parts release the GIL: call it from several threads for several tiles, with BLAS on one thread.

    Parameters
    ----------
    g : (m, n) float64 or float32, S; np.inf (a short) where the cell's two segments are not both 0
    r_word : (m, n) ohm, the segment left of each word-line node; the first includes the source resistance
    r_bit : (m, n) ohm, the segment below each bit-line node; the last includes the sense resistance

    Returns
    -------
    transfer : (n, m) S, current into the sense nodes per word-line volt
    power : (m, m) S, current into the word lines per word-line volt: v @ power @ v watts are drawn from the drivers
    """
    g = np.ascontiguousarray(g)
    m, n = g.shape
    w = _block(g, np.ascontiguousarray(r_word, g.dtype), np.ascontiguousarray(r_bit, g.dtype), 0, m, 0, n)
    return -w[m:, :m], w[:m, :m]
