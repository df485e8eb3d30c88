"""Exact transfer matrix of an ohmic tile, by merging blocks of cells at their ports.

Circuit of cell (i, j): word-line segment `r_word[i, j]` to the left of its word-line node, device `g[i, j]` between the
word-line and the bit-line node, bit-line segment `r_bit[i, j]` below the bit-line node.

A rectangular block of cells has four kinds of ports, kept in the order (left, right, top, bottom).  Left and bottom
ports are given a voltage and answer with the current that enters; right and top ports are given the current that leaves
and answer with the voltage.  In these variables the matrix W of a block is symmetric (reciprocity), its voltage-driven
part positive and its current-driven part negative semidefinite, and r = 0 (ideal wire) and g = 0 (open device) are
ordinary values.  Only the lower triangle of W is stored.

Joining the right (or top) ports y of one block with the left (or bottom) ports x of another eliminates both.  With
C = -W_1[y, y], A = W_2[x, x], E = W_1[kept, y], F = W_2[kept, x] and M = (I + A C)^-1,

    W_11 += E V',   W_21 = Z E',   W_22 -= F C Z',     where V = E M A (M A is symmetric) and Z = F M'.

No pivoting is needed: C is the resistance matrix of the first block seen from y, A the conductance matrix of the second
seen from x, and the leading minors of I + A C, up to those of C, are determinants of diagonally dominant matrices.
Blocks up to SMALL cells a side are joined LANES at a time, side by side; all up to WIRES joined wires wire by wire, which
eliminates the two variables [[W_yy, W_yx - 1], [W_xy - 1, W_xx]] of a wire at a time; larger ones with these products.
Cost O(n³) for an n x n tile, as much as some 30 products of n x n matrices, a third of them in the last two joins.
"""
import numpy as np

from xbarsim.kernels._jit import jit

LANES = 32               # blocks that are joined side by side, one per SIMD lane, as long as they are small
SMALL = 4                # cells along the side of such a block
WIRES = 16               # wires that are joined one by one, without matrix products
PANEL = 8                # variables (half as many wires) that are eliminated in one pass over the rest of a block
LEAF = 64                # cells along the side of a block that is built in one compiled call
DIRECT = 16              # order of a matrix that is inverted row by row


@jit
def _set(piece, start, length, place):
    piece[0], piece[1], piece[2] = start, length, place


@jit
def _pieces(h1, w1, right1, top1, h2, w2, right2, top2, vertical):
    """Which ports of two blocks stay when they are joined, and where they go.

    A block of h x w cells has ports (left h, right h or 0, top w or 0, bottom w).  Horizontally `first` is the left
    block, joined at its right; vertically `first` is the lower block, joined at its top.

    Returns
    -------
    pieces : (2 blocks, 3 sides that stay, 3), each (place in its block, length, place in the result)
    joined1, joined2 : places of the first port joined; pairs, kept : ports joined, ports of the result
    """
    pieces = np.empty((2, 3, 3), np.int64)
    left, right = (h1 + h2, right1 + right2) if vertical else (h1, right2)
    top, bottom = (top2, w1) if vertical else (top1 + top2, w1 + w2)
    behind_left, behind_right, behind_top = left, left + right, left + right + top
    top_of_1, bottom_of_1 = h1 + right1, h1 + right1 + top1
    top_of_2, bottom_of_2 = h2 + right2, h2 + right2 + top2
    if vertical:                                          # the upper block comes first among left and right ports
        _set(pieces[0, 0], 0, h1, h2)
        _set(pieces[0, 1], h1, right1, behind_left + right2)
        _set(pieces[0, 2], bottom_of_1, w1, behind_top)
        _set(pieces[1, 0], 0, h2, 0)
        _set(pieces[1, 1], h2, right2, behind_left)
        _set(pieces[1, 2], top_of_2, top2, behind_right)
        return pieces, top_of_1, bottom_of_2, w1, behind_top + bottom
    _set(pieces[0, 0], 0, h1, 0)
    _set(pieces[0, 1], top_of_1, top1, behind_right)
    _set(pieces[0, 2], bottom_of_1, w1, behind_top)
    _set(pieces[1, 0], h2, right2, behind_left)
    _set(pieces[1, 1], top_of_2, top2, behind_right + top1)
    _set(pieces[1, 2], bottom_of_2, w2, behind_top + w1)
    return pieces, h1, 0, h1, behind_top + bottom


@jit
def _places(ports, pieces, joined, pairs, kept, second):
    """Where each port of a block goes when wires are eliminated: behind the `kept` ones lie the pairs (y, x)."""
    to = np.empty(ports, np.int64)
    for start, length, place in pieces:
        for i in range(length):
            to[start + i] = place + i
    for i in range(pairs):
        to[joined + i] = kept + 2 * i + second
    return to


# ---------------------------------------------------------------- many small blocks, one per lane

@jit(fastmath={"contract"})
def _join_lanes(first, second, vertical, side, work, left):
    """Join blocks of side x side (vertical: side x 2 side) cells with all their ports, lane by lane; the result, of
    `kept` ports, is left in work[:kept, :kept].  first, second : (N, N, lanes);  left : (2, ports, lanes) scratch."""
    w = 2 * side if vertical else side
    pieces, joined1, joined2, pairs, kept = _pieces(side, w, side, w, side, w, side, w, vertical)
    to_first = _places(len(first), pieces[0], joined1, pairs, kept, 0)
    to_second = _places(len(second), pieces[1], joined2, pairs, kept, 1)
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
                    cell[0, 0] = cell[3, 3] = h                       # left, bottom
                    cell[3, 0] = -h
                    cell[1, 0], cell[3, 1] = 1 - word * h, word * h   # right
                    cell[1, 1] = -word * (1 - word * h)
                    cell[2, 0], cell[3, 2] = bit * h, 1 - bit * h     # top
                    cell[2, 1] = -word * bit * h
                    cell[2, 2] = -bit * (1 - bit * h)
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


# ---------------------------------------------------------------- blocks of a few wires, wire by wire

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
def _join_wires(first, second, pieces, joined1, joined2, pairs, kept, result):
    """Join two blocks into `result` wire by wire."""
    size = kept + 2 * pairs
    work, left = np.empty((size, size), first.dtype), np.empty((PANEL, size), first.dtype)
    for p in range(size):
        for q in range(p + 1):
            work[p, q] = 0
    _place(first, _places(len(first), pieces[0], joined1, pairs, kept, 0), work)
    _place(second, _places(len(second), pieces[1], joined2, pairs, kept, 1), work)
    _eliminate(work, kept, pairs, left)
    for p in range(kept):
        for q in range(p + 1):
            result[p, q] = work[p, q]


# ---------------------------------------------------------------- larger blocks, by matrix products

@jit
def _rows(w, pieces, joined, pairs):
    """The rows of W of the ports that stay, at the ports that are joined: (ports that stay, pairs)."""
    result = np.empty((pieces[0, 1] + pieces[1, 1] + pieces[2, 1], pairs), w.dtype)
    p = 0
    for start, length, _ in pieces:
        if start > joined:
            for i in range(length):
                row = w[start + i]
                for q in range(pairs):
                    result[p + i, q] = row[joined + q]
        else:
            for q in range(pairs):
                row = w[joined + q]
                for i in range(length):
                    result[p + i, q] = row[start + i]
        p += length
    return result


@jit
def _symmetric(w, joined, pairs, sign):
    """sign W at the ports that are joined, both triangles."""
    result = np.empty((pairs, pairs), w.dtype)
    for i in range(pairs):
        for j in range(i + 1):
            result[i, j] = result[j, i] = sign * w[joined + i, joined + j]
    return result


@jit
def _part(s, row, rows, column, columns):
    result = np.empty((rows, columns), s.dtype)
    for i in range(rows):
        for j in range(columns):
            result[i, j] = s[row + i, column + j]
    return result


@jit
def _add(result, row, column, sign, a):
    """Add sign a to the part of `result` that begins at (row, column)."""
    for i in range(a.shape[0]):
        for j in range(a.shape[1]):
            result[row + i, column + j] += sign * a[i, j]


@jit(fastmath={"contract"})
def _invert(s):
    """Replace a matrix by its inverse: from that of one half, and of what remains of the other when one is eliminated."""
    size = s.shape[0]
    if size <= DIRECT:
        for p in range(size):
            pivot = 1 / s[p, p]
            s[p, p] = 1
            for q in range(size):
                s[p, q] *= pivot
            for i in range(size):
                if i != p:
                    factor = s[i, p]
                    s[i, p] = 0
                    for q in range(size):
                        s[i, q] -= factor * s[p, q]
        return
    half = size // 2
    rest = size - half
    a, b = _part(s, 0, half, 0, half), _part(s, 0, half, half, rest)
    c, d = _part(s, half, rest, 0, half), _part(s, half, rest, half, rest)
    _invert(a)
    c_a = np.dot(c, a)
    _add(d, 0, 0, -1, np.dot(c_a, b))
    _invert(d)
    a_b_d, d_c_a = np.dot(np.dot(a, b), d), np.dot(d, c_a)
    _add(a, 0, 0, 1, np.dot(a_b_d, c_a))
    s.fill(0)
    _add(s, 0, 0, 1, a)
    _add(s, 0, half, -1, a_b_d)
    _add(s, half, 0, -1, d_c_a)
    _add(s, half, half, 1, d)


@jit
def _add_symmetric(w, pieces, left, right, others, sign, result):
    """W + sign left right' between the ports that stay, up to the diagonal; columns from `others` on are left out.

    left : (ports, pairs), right : (others, pairs)
    """
    stripe = max(16, left.shape[0] // 8)                                    # rows that are multiplied at once
    p = 0
    for start, length, to in pieces:
        for low in range(0, length, stripe):
            high = min(low + stripe, length)
            product = np.dot(left[p + low:p + high], right[:min(p + high, others)].T)
            q = 0
            for start2, length2, to2 in pieces:
                width = min(length2, product.shape[1] - q)
                for i in range(low, high):
                    own, add, entry = w[start + i], product[i - low], result[to + i]
                    for j in range(width):
                        entry[to2 + j] = own[start2 + j] + sign * add[q + j]
                q += length2
        p += length


@jit
def _join(first, sizes1, second, sizes2, vertical, sensed, result):
    """Join two blocks of a size (height, width, right ports, top ports) into `result`.

    If `sensed`, the bottom ports (the last ones) are at 0 V, and what lies between two of them is neither read nor
    written: the columns of these ports may be absent.
    """
    pieces, joined1, joined2, pairs, kept = _pieces(*sizes1, *sizes2, vertical)
    if pairs <= WIRES and not sensed:
        _join_wires(first, second, pieces, joined1, joined2, pairs, kept, result)
        return
    e, f = _rows(first, pieces[0], joined1, pairs), _rows(second, pieces[1], joined2, pairs)
    others1, others2 = len(e), len(f)                     # without the bottom ports at 0 V
    if sensed:
        others1 -= sizes1[1]
        if not vertical:
            others2 -= sizes2[1]
    a, c = _symmetric(second, joined2, pairs, 1), _symmetric(first, joined1, pairs, -1)
    m = np.dot(a, c)
    for i in range(pairs):
        m[i, i] += 1
    _invert(m)
    v = np.dot(e[:others1], np.dot(m, a))
    _add_symmetric(first, pieces[0], e, v, others1, 1, result)
    z = np.dot(f, m.T)
    _add_symmetric(second, pieces[1], np.dot(f, c), z[:others2], others2, -1, result)
    p = 0
    for _, length, to in pieces[1]:
        q = 0
        cross = np.dot(z[p:p + length], e[:others1 if p >= others2 else len(e)].T)
        for _, length2, to2 in pieces[0]:
            width = min(length2, cross.shape[1] - q)
            if to > to2:
                for i in range(length):
                    for j in range(width):
                        result[to + i, to2 + j] = cross[i, q + j]
            else:
                for j in range(width):
                    for i in range(length):
                        result[to2 + j, to + i] = cross[i, q + j]
            q += length2
        p += length


@jit
def _leaf(g, r_word, r_bit, row, rows, column, columns, right, top):
    """W of at most LEAF x LEAF cells, without the ports at the right and the top edge unless `right`, `top` are 1."""
    small = _small_blocks(g, r_word, r_bit, row, rows, column, columns)
    # Beyond an uneven edge a block has fewer cells, or fewer ports: drop what belongs to no cell, and open ends.
    heights, widths = np.full(small.shape[0], SMALL), np.full(small.shape[1], SMALL)
    heights[-1], widths[-1] = rows - SMALL * (small.shape[0] - 1), columns - SMALL * (small.shape[1] - 1)
    rights, tops = np.ones(small.shape[1], np.int64), np.ones(small.shape[0], np.int64)
    rights[-1], tops[0] = right, top
    ports = np.empty(4 * SMALL, np.int64)
    blocks = small.reshape((heights.size, widths.size, 16 * SMALL * SMALL))
    for i in range(heights.size):
        for j in range(widths.size):
            count = 0
            for kind, length in enumerate((heights[i], heights[i] * rights[j], widths[j] * tops[i], widths[j])):
                for k in range(length):
                    ports[count] = kind * SMALL + k
                    count += 1
            if count < 4 * SMALL:
                fewer = blocks[i, j, :count * count].reshape((count, count))
                for p in range(count):
                    for q in range(p + 1):
                        fewer[p, q] = small[i, j, ports[p], ports[q]]
    while heights.size > 1 or widths.size > 1:
        for vertical in (False, True):
            lines = heights if vertical else widths
            joined = lines[::2].copy()
            for i in range(lines.size // 2):
                joined[i] += lines[2 * i + 1]
            high, wide = (joined, widths) if vertical else (heights, joined)
            new_rights, new_tops = (rights, tops[::2].copy()) if vertical else (rights[1::2].copy(), tops)
            if not vertical and lines.size % 2:
                new_rights = np.append(new_rights, rights[-1:])
            merged = np.empty((high.size, wide.size, 4 * (high.max() + wide.max()) ** 2), g.dtype)
            for i in range(high.size):
                for j in range(wide.size):
                    if vertical:
                        i1, j1, i2, j2 = 2 * i + 1, j, 2 * i, j
                    else:
                        i1, j1, i2, j2 = i, 2 * j, i, 2 * j + 1
                    if i1 >= heights.size or j2 >= widths.size:                   # nothing to join with
                        i1 = min(i1, i2)
                        count = (heights[i1] * (1 + rights[j1]) + widths[j1] * (1 + tops[i1])) ** 2
                        for p in range(count):
                            merged[i, j, p] = blocks[i1, j1, p]
                        continue
                    h1, h2, w1, w2 = heights[i1], heights[i2], widths[j1], widths[j2]
                    right1, right2, top1, top2 = h1 * rights[j1], h2 * rights[j2], w1 * tops[i1], w2 * tops[i2]
                    ports1, ports2 = h1 + right1 + top1 + w1, h2 + right2 + top2 + w2
                    kept = ports1 + ports2 - 2 * (w1 if vertical else h1)
                    _join(blocks[i1, j1, :ports1 ** 2].reshape((ports1, ports1)), (h1, w1, right1, top1),
                          blocks[i2, j2, :ports2 ** 2].reshape((ports2, ports2)), (h2, w2, right2, top2),
                          vertical, False, merged[i, j, :kept ** 2].reshape((kept, kept)))
            blocks, heights, widths, rights, tops = merged, high, wide, new_rights, new_tops
    count = rows * (1 + right) + columns * (1 + top)
    return blocks[0, 0, :count ** 2].reshape((count, count))


def _block(g, r_word, r_bit, row, rows, column, columns):
    """W of the cells [row : row + rows, column : column + columns]; ports at the open right and top edges are dropped.

    Runs in the interpreter: a tile of 128 x 128 makes seven calls of the compiled parts.
    """
    right = 0 if column + columns == g.shape[1] else 1
    top = 0 if row == 0 else 1
    if rows <= LEAF and columns <= LEAF:
        return _leaf(g, r_word, r_bit, row, rows, column, columns, right, top)
    vertical = rows > columns
    if vertical:
        half = LEAF * ((rows + LEAF - 1) // LEAF // 2)
        first = _block(g, r_word, r_bit, row + half, rows - half, column, columns)
        second = _block(g, r_word, r_bit, row, half, column, columns)
        sizes1 = rows - half, columns, (rows - half) * right, columns
        sizes2 = half, columns, half * right, columns * top
    else:
        half = LEAF * ((columns + LEAF - 1) // LEAF // 2)
        first = _block(g, r_word, r_bit, row, rows, column, half)
        second = _block(g, r_word, r_bit, row, rows, column + half, columns - half)
        sizes1 = rows, half, rows, half * top
        sizes2 = rows, columns - half, rows * right, (columns - half) * top
    ports = rows * (1 + right) + columns * (1 + top)
    sensed = row + rows == g.shape[0]
    result = np.empty((ports, ports - columns if sensed else ports), g.dtype)
    _join(first, sizes1, second, sizes2, vertical, sensed, result)
    return result


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
