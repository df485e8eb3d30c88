"""Exact transfer matrix of an ohmic tile, by merging blocks of cells at their ports.

Circuit of cell (i, j): word-line segment `r_word[i, j]` to the left of its word-line node, device `g[i, j]` between the
word-line and the bit-line node, bit-line segment `r_bit[i, j]` below the bit-line node.

A rectangular block of cells has four kinds of ports, kept in the order (left, bottom, right, top).  Left and bottom
ports are given a voltage and answer with the current that enters; right and top ports are given the current that leaves
and answer with the voltage.  In these variables the matrix W of a block is symmetric (reciprocity), its voltage-driven
part positive and its current-driven part negative semidefinite, and r = 0 (ideal wire) and g = 0 (open device) are
ordinary values.  Only the lower triangle of W is stored.

Joining a right (or top) port y of one block with a left (or bottom) port x of another eliminates two variables,

    [[W_yy, W_yx - 1], [W_xy - 1, W_xx]],

whose determinant is -(c a + (1 - W_xy)²) with c = -W_yy >= 0, a = W_xx >= 0: no pivoting is needed.  There are three
ways to do it, by size: wire by wire for LANES blocks side by side (up to SMALL cells a side), wire by wire within one
block (up to LEAF), and with matrix products (above),

    V = (I + A C)^-1 A E,   Z = (I + A C)^-1 F,   W_11 += Eᵀ V,   W_12 = Eᵀ Z,   W_22 -= Fᵀ C Z,

where C = -W_1[y, y], A = W_2[x, x], E = W_1[y, kept], F = W_2[x, kept].  Cost O(n³) for an n x n tile.
"""
import numpy as np

from xbarsim.kernels._jit import jit

LANES = 32               # blocks that are joined side by side, one per SIMD lane, as long as they are small
SMALL = 4                # cells along the side of such a block
LEAF = 64                # cells along the side of a block that is joined wire by wire
PANEL = 8                # variables (half as many wires) that are eliminated in one pass over the rest of a block
STRIPE = 128             # rows of a symmetric product that are computed at once, up to the diagonal


@jit
def _places(h1, w1, right1, top1, h2, w2, right2, top2, vertical):
    """Where the ports of two blocks go when they are joined: (to_first, to_second, pairs, kept).

    A block of h x w cells lists its ports as (left h, bottom w, right h or 0, top w or 0).  Horizontally `first` is the
    left block, joined at its right; vertically `first` is the lower block, joined at its top.  Places from `kept` on
    are the joined pairs (y, x).
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


# ---------------------------------------------------------------- many small blocks, one per lane

@jit(fastmath={"contract"})
def _join_lanes(first, second, vertical, side, work, left):
    """Join blocks of side x side (vertical: side x 2 side) cells with all their ports, lane by lane; the result, of
    `kept` ports, is left in work[:kept, :kept].  first, second : (N, N, lanes);  left : (2, ports, lanes) scratch."""
    w = 2 * side if vertical else side
    to_first, to_second, pairs, kept = _places(side, w, side, w, side, w, side, w, vertical)
    lanes = first.shape[2]
    for p in range(kept + 2 * pairs):
        for q in range(p + 1):
            for k in range(lanes):
                work[p, q, k] = 0
    for block in range(2):
        source, to = (second, to_second) if block else (first, to_first)
        for p in range(to.size):
            for q in range(p + 1):
                entry, value = work[max(to[p], to[q]), min(to[p], to[q])], source[p, q]
                for k in range(lanes):
                    entry[k] = value[k]
    for pair in range(pairs - 1, -1, -1):
        y, x = kept + 2 * pair, kept + 2 * pair + 1
        own_y, own_x, coupling = work[y, y], work[x, x], work[x, y]
        for i in range(y):
            with_y, with_x, from_y, from_x = work[y, i], work[x, i], left[0, i], left[1, i]
            for k in range(lanes):
                c = coupling[k] - 1
                scale = 1 / (own_y[k] * own_x[k] - c * c)
                from_y[k] = (own_x[k] * with_y[k] - c * with_x[k]) * scale
                from_x[k] = (own_y[k] * with_x[k] - c * with_y[k]) * scale
        for i in range(y):
            from_y, from_x = left[0, i], left[1, i]
            for j in range(i + 1):
                entry, with_y, with_x = work[i, j], work[y, j], work[x, j]
                for k in range(lanes):
                    entry[k] -= from_y[k] * with_y[k] + from_x[k] * with_x[k]
    return kept


@jit
def _small_blocks(g, r_word, r_bit, row, rows, column, columns):
    """The blocks of SMALL x SMALL cells of an area: (block rows, block columns, 4 SMALL, 4 SMALL), lower triangles.

    Cells beyond the area are open, with ideal wires.
    """
    block_rows, block_columns = (rows + SMALL - 1) // SMALL, (columns + SMALL - 1) // SMALL
    result = np.empty((block_rows, block_columns, 4 * SMALL, 4 * SMALL), g.dtype)
    work = np.empty((8 * SMALL, 8 * SMALL, LANES), g.dtype)
    left = np.empty((2, 8 * SMALL, LANES), g.dtype)
    for start in range(0, block_rows * block_columns, LANES):
        blocks = np.zeros((SMALL, SMALL, 4, 4, LANES), g.dtype)
        for k in range(min(LANES, block_rows * block_columns - start)):
            first_row, first_column = (start + k) // block_columns * SMALL, (start + k) % block_columns * SMALL
            for i in range(SMALL):
                for j in range(SMALL):
                    h = word = bit = g.dtype.type(0)
                    if first_row + i < rows and first_column + j < columns:
                        p, q = row + first_row + i, column + first_column + j
                        word, bit = r_word[p, q], r_bit[p, q]
                        if g[p, q] == np.inf:
                            h = 1 / (word + bit)
                        else:
                            h = g[p, q] / (1 + g[p, q] * (word + bit))
                    cell = blocks[i, j, :, :, k]
                    cell[0, 0] = cell[1, 1] = h                       # left, bottom
                    cell[1, 0] = -h
                    cell[2, 0], cell[2, 1] = 1 - word * h, word * h   # right
                    cell[2, 2] = -word * (1 - word * h)
                    cell[3, 0], cell[3, 1] = bit * h, 1 - bit * h     # top
                    cell[3, 2] = -word * bit * h
                    cell[3, 3] = -bit * (1 - bit * h)
        side = 1
        while side < SMALL:
            for vertical in (False, True):
                high, wide = blocks.shape[0], blocks.shape[1]
                ports = 8 * side if vertical else 6 * side
                if vertical:
                    high //= 2
                else:
                    wide //= 2
                merged = np.empty((high, wide, ports, ports, LANES), g.dtype)
                for i in range(high):
                    for j in range(wide):
                        if vertical:
                            _join_lanes(blocks[2 * i + 1, j], blocks[2 * i, j], vertical, side, work, left)
                        else:
                            _join_lanes(blocks[i, 2 * j], blocks[i, 2 * j + 1], vertical, side, work, left)
                        for p in range(ports):
                            for q in range(p + 1):
                                for k in range(LANES):
                                    merged[i, j, p, q, k] = work[p, q, k]
                blocks = merged
            side *= 2
        for k in range(min(LANES, block_rows * block_columns - start)):
            place = result[(start + k) // block_columns, (start + k) % block_columns]
            for p in range(4 * SMALL):
                for q in range(p + 1):
                    place[p, q] = blocks[0, 0, p, q, k]
    return result


# ---------------------------------------------------------------- blocks up to LEAF, wire by wire

@jit(fastmath={"contract"})
def _eliminate(work, kept, pairs, left):
    """Eliminate the pairs behind the first `kept` rows of a lower triangle.  left : (PANEL, ports) scratch."""
    top = kept + 2 * pairs
    while top > kept:
        low = max(kept, top - PANEL)
        for y in range(top - 2, low - 1, -2):
            with_y, with_x, from_y, from_x = work[y], work[y + 1], left[y - low], left[y - low + 1]
            coupling = with_x[y] - 1
            scale = 1 / (with_y[y] * with_x[y + 1] - coupling * coupling)
            own_x, cross, own_y = with_x[y + 1] * scale, coupling * scale, with_y[y] * scale
            for i in range(y):
                from_y[i] = own_x * with_y[i] - cross * with_x[i]
                from_x[i] = own_y * with_x[i] - cross * with_y[i]
            for i in range(low, y):
                entry, a, b = work[i], from_y[i], from_x[i]
                for j in range(i + 1):
                    entry[j] -= a * with_y[j] + b * with_x[j]
        if top - low == PANEL:
            y0, y1, y2, y3 = work[low], work[low + 1], work[low + 2], work[low + 3]
            y4, y5, y6, y7 = work[low + 4], work[low + 5], work[low + 6], work[low + 7]
            for i in range(low):
                entry = work[i]
                a, b, c, d, e, f, g, h = (left[0, i], left[1, i], left[2, i], left[3, i],
                                          left[4, i], left[5, i], left[6, i], left[7, i])
                for j in range(i + 1):
                    entry[j] -= (a * y0[j] + b * y1[j] + c * y2[j] + d * y3[j]
                                 + e * y4[j] + f * y5[j] + g * y6[j] + h * y7[j])
        else:
            for i in range(low):
                entry = work[i]
                for q in range(top - low):
                    a, y = left[q, i], work[low + q]
                    for j in range(i + 1):
                        entry[j] -= a * y[j]
        top = low


@jit
def _place(source, to, work):
    for p in range(to.size):
        for q in range(p + 1):
            work[max(to[p], to[q]), min(to[p], to[q])] = source[p, q]


@jit
def _leaf(g, r_word, r_bit, row, rows, column, columns, right, top):
    """W of at most LEAF x LEAF cells, without the ports at the right and the top edge unless `right`, `top` are 1."""
    blocks = _small_blocks(g, r_word, r_bit, row, rows, column, columns)
    # Beyond an uneven edge a block has fewer cells, or fewer ports: drop what belongs to no cell, and open ends.
    heights, widths = np.full(blocks.shape[0], SMALL), np.full(blocks.shape[1], SMALL)
    heights[-1], widths[-1] = rows - SMALL * (blocks.shape[0] - 1), columns - SMALL * (blocks.shape[1] - 1)
    rights, tops = np.ones(blocks.shape[1], np.int64), np.ones(blocks.shape[0], np.int64)
    rights[-1], tops[0] = right, top
    size = 2 * (rows + columns) + 2 * max(rows, columns)
    work, left = np.empty((size, size), g.dtype), np.empty((PANEL, size), g.dtype)
    ports = np.empty(4 * SMALL, np.int64)
    for i in range(heights.size):
        for j in range(widths.size):
            if heights[i] < SMALL or widths[j] < SMALL or rights[j] == 0 or tops[i] == 0:
                count = 0
                for kind, length in enumerate((heights[i], widths[j], heights[i] * rights[j], widths[j] * tops[i])):
                    for k in range(length):
                        ports[count] = kind * SMALL + k
                        count += 1
                for p in range(count):
                    for q in range(p + 1):
                        blocks[i, j, p, q] = blocks[i, j, ports[p], ports[q]]
    while heights.size > 1 or widths.size > 1:
        for vertical in (False, True):
            lines = heights if vertical else widths
            joined = lines[::2].copy()
            joined[:lines.size // 2] += lines[1::2]
            high, wide = (joined, widths) if vertical else (heights, joined)
            new_rights, new_tops = (rights, tops[::2].copy()) if vertical else (rights[1::2].copy(), tops)
            if not vertical and lines.size % 2:
                new_rights = np.append(new_rights, rights[-1:])
            ports_at_most = 2 * (high.max() + wide.max())
            merged = np.empty((high.size, wide.size, ports_at_most, ports_at_most), g.dtype)
            for i in range(high.size):
                for j in range(wide.size):
                    if vertical:
                        i1, j1, i2, j2 = 2 * i + 1, j, 2 * i, j
                    else:
                        i1, j1, i2, j2 = i, 2 * j, i, 2 * j + 1
                    if i1 >= heights.size or j2 >= widths.size:                   # nothing to join with
                        i1 = min(i1, i2)
                        count = (heights[i1] * (1 + rights[j1]) + widths[j1] * (1 + tops[i1]))
                        for p in range(count):
                            for q in range(p + 1):
                                merged[i, j, p, q] = blocks[i1, j1, p, q]
                        continue
                    to_first, to_second, pairs, kept = _places(
                        heights[i1], widths[j1], heights[i1] * rights[j1], widths[j1] * tops[i1],
                        heights[i2], widths[j2], heights[i2] * rights[j2], widths[j2] * tops[i2], vertical)
                    for p in range(kept + 2 * pairs):
                        for q in range(p + 1):
                            work[p, q] = 0
                    _place(blocks[i1, j1], to_first, work)
                    _place(blocks[i2, j2], to_second, work)
                    _eliminate(work, kept, pairs, left)
                    for p in range(kept):
                        for q in range(p + 1):
                            merged[i, j, p, q] = work[p, q]
            blocks, heights, widths, rights, tops = merged, high, wide, new_rights, new_tops
    return blocks[0, 0]


# ---------------------------------------------------------------- larger blocks, by matrix products

@jit
def _split(to, kept, last, pairs):
    """Ports of a block that stay, those of places last[0] <= place < last[1] behind the others, those joined, in the
    order of the pairs, and how many the others are."""
    stay, joined = np.empty(to.size - pairs, np.int64), np.empty(pairs, np.int64)
    count = 0
    for behind in (False, True):
        for p in range(to.size):
            if to[p] < kept and (last[0] <= to[p] < last[1]) == behind:
                stay[count] = p
                count += 1
    others = 0
    for p in range(to.size):
        if to[p] >= kept:
            joined[(to[p] - kept) // 2] = p
        elif not last[0] <= to[p] < last[1]:
            others += 1
    return stay, joined, others


@jit
def _gather(w, rows, columns):
    result = np.empty((rows.size, columns.size), w.dtype)
    for i in range(rows.size):
        for j in range(columns.size):
            p, q = rows[i], columns[j]
            result[i, j] = w[max(p, q), min(p, q)]
    return result


@jit
def _add_symmetric(result, w, stay, to, left, right, others, sign):
    """result = w + sign left rightᵀ between the ports `stay` of w, up to the diagonal; columns from `others` on are
    left out.  left, right : (ports, pairs)."""
    for start in range(0, stay.size, STRIPE):
        stop = min(start + STRIPE, stay.size)
        columns = min(stop, others)
        product = np.dot(left[start:stop], right[:columns].T)
        for i in range(start, stop):
            p = stay[i]
            for j in range(min(i + 1, columns)):
                q = stay[j]
                result[max(to[p], to[q]), min(to[p], to[q])] = w[max(p, q), min(p, q)] + sign * product[i - start, j]


@jit
def _join(first, to_first, second, to_second, pairs, kept, sensed):
    """Join two blocks.  Entries between places sensed[0] <= place < sensed[1] (of bottom ports that stay at 0 V) are
    not wanted and left undefined."""
    stay1, joined1, others1 = _split(to_first, kept, sensed, pairs)
    stay2, joined2, others2 = _split(to_second, kept, sensed, pairs)
    a = _gather(second, joined2, joined2)
    c = -_gather(first, joined1, joined1)
    e, f = _gather(first, stay1, joined1), _gather(second, stay2, joined2)
    system = np.dot(a, c)
    for i in range(pairs):
        system[i, i] += 1
    inverse = np.linalg.inv(system)
    v, z = np.dot(e[:others1], np.dot(inverse, a).T), np.dot(f, inverse.T)
    result = np.empty((kept, kept), first.dtype)
    _add_symmetric(result, first, stay1, to_first, e, v, others1, 1)
    _add_symmetric(result, second, stay2, to_second, np.dot(f, c), z, others2, -1)
    cross = np.dot(z, e.T)
    for i in range(stay2.size):
        p = to_second[stay2[i]]
        for j in range(stay1.size):
            q = to_first[stay1[j]]
            result[max(p, q), min(p, q)] = cross[i, j]
    return result


def _block(g, r_word, r_bit, row, rows, column, columns):
    """W of the cells [row : row + rows, column : column + columns]; ports at the open right and top edges are dropped.

    Runs in the interpreter: a tile of 128 x 128 makes seven calls of the compiled parts; no recursion is compiled.
    """
    right = 0 if column + columns == g.shape[1] else 1
    top = 0 if row == 0 else 1
    if rows <= LEAF and columns <= LEAF:
        return _leaf(g, r_word, r_bit, row, rows, column, columns, right, top)
    if rows > columns:
        half = LEAF * ((rows + LEAF - 1) // LEAF // 2)
        first = _block(g, r_word, r_bit, row + half, rows - half, column, columns)
        second = _block(g, r_word, r_bit, row, half, column, columns)
        places = _places(rows - half, columns, (rows - half) * right, columns,
                         half, columns, half * right, columns * top, True)
    else:
        half = LEAF * ((columns + LEAF - 1) // LEAF // 2)
        first = _block(g, r_word, r_bit, row, rows, column, half)
        second = _block(g, r_word, r_bit, row, rows, column + half, columns - half)
        places = _places(rows, half, rows, half * top,
                         rows, columns - half, rows * right, (columns - half) * top, False)
    to_first, to_second, pairs, kept = places
    sensed = (rows, rows + columns) if row + rows == g.shape[0] else (0, 0)
    return _join(first, to_first, second, to_second, pairs, kept, sensed)


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
    power = np.tril(w[:m, :m])
    return -w[m:m + n, :m], power + np.tril(power, -1).T
