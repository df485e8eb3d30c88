"""Products of small matrices that add to their result, c += a' b, and copies of small matrices.

The result is cut into tiles that stay in vector registers while the products of all rows of a and b
are added up, one after the other: a number does not depend on how it is cut.  On rows of a few
hundred numbers this is as fast as a BLAS or faster, as nothing is copied and no call costs more
than its products.
"""

from llvmlite import binding, ir
from numba import config, types
from numba.core import cgutils
from numba.extending import intrinsic

from xbarsim.kernels._jit import jit
from xbarsim.kernels.circuit.generated import matrix_of

TILE_ROWS = 4
SQUARE = 8  # rows and columns of a piece that is copied at once
NARROW_BYTES = 32  # of a row of a tile where there is no place for a wide one
WIDE_BYTES = 64  # two vector registers
if binding.get_host_cpu_features().get("avx512f"):
    WIDE_BYTES = 128


def _repeated(builder, value, vector):
    """A vector of equal numbers."""
    index = ir.IntType(32)
    undefined = ir.Constant(vector, ir.Undefined)
    single = builder.insert_element(undefined, value, ir.Constant(index, 0))
    zeros = ir.Constant(ir.VectorType(index, vector.count), [0] * vector.count)
    return builder.shuffle_vector(single, undefined, zeros)


def _tile_product(row_bytes):
    """c += a' b of a tile: compiled function of c (TILE_ROWS, n), a (k, TILE_ROWS) and b (k, n), the
    n numbers of a row being `row_bytes`.
    """

    def generate(context, builder, signature, arguments):
        c, _ = matrix_of(context, builder, signature.args[0], arguments[0])
        a, count = matrix_of(context, builder, signature.args[1], arguments[1])
        b, _ = matrix_of(context, builder, signature.args[2], arguments[2])
        number = context.get_data_type(signature.args[0].dtype)
        width = row_bytes // c.item_bytes
        vector = ir.VectorType(number, width)
        zero = ir.Constant(vector, [0.0] * width)
        sums = [cgutils.alloca_once_value(builder, zero) for _ in range(TILE_ROWS)]
        fused = ("contract",)
        with cgutils.for_range(builder, count) as loop:
            row = builder.load(b.at(builder, loop.index, 0, vector), align=b.item_bytes)
            for i in range(TILE_ROWS):
                factor = builder.load(a.at(builder, loop.index, i, number))
                product = builder.fmul(_repeated(builder, factor, vector), row, flags=fused)
                total = builder.fadd(product, builder.load(sums[i]), flags=fused)
                builder.store(total, sums[i])
        for i in range(TILE_ROWS):
            place = c.at(builder, ir.Constant(count.type, i), 0, vector)
            before = builder.load(place, align=c.item_bytes)
            builder.store(builder.fadd(before, builder.load(sums[i])), place, align=c.item_bytes)
        return context.get_dummy_value()

    @intrinsic
    def add(_, c, a, b):
        return types.void(c, a, b), generate

    return add


def _load_square(context, builder, array_type, value):
    """Rows of an array (SQUARE, SQUARE)."""
    matrix, count = matrix_of(context, builder, array_type, value)
    vector = ir.VectorType(context.get_data_type(array_type.dtype), SQUARE)
    rows = []
    for i in range(SQUARE):
        place = matrix.at(builder, ir.Constant(count.type, i), 0, vector)
        rows.append(builder.load(place, align=matrix.item_bytes))
    return rows


def _store_square(context, builder, array_type, value, rows):
    """The inverse of `_load_square`."""
    matrix, count = matrix_of(context, builder, array_type, value)
    for i, row in enumerate(rows):
        place = matrix.at(builder, ir.Constant(count.type, i), 0, row.type)
        builder.store(row, place, align=matrix.item_bytes)


def _turned(builder, rows):
    """The columns of rows: those of the first half are shuffled into those of the second like
    cards, until all have been everywhere.
    """
    half = SQUARE // 2
    places = [place for k in range(SQUARE) for place in (k, SQUARE + k)]
    masks = [
        ir.Constant(ir.VectorType(ir.IntType(32), SQUARE), part)
        for part in (places[:SQUARE], places[SQUARE:])
    ]
    moved = 1
    while moved < SQUARE:
        rows = [
            builder.shuffle_vector(rows[i], rows[half + i], mask)
            for i in range(half)
            for mask in masks
        ]
        moved *= 2
    return rows


@intrinsic
def _copy_square(_, target, source):
    """target = source, both (SQUARE, SQUARE)"""

    def generate(context, builder, signature, arguments):
        rows = _load_square(context, builder, signature.args[1], arguments[1])
        _store_square(context, builder, signature.args[0], arguments[0], rows)
        return context.get_dummy_value()

    return types.void(target, source), generate


@intrinsic
def _copy_turned_square(_, target, source):
    """target = source', both (SQUARE, SQUARE)"""

    def generate(context, builder, signature, arguments):
        rows = _load_square(context, builder, signature.args[1], arguments[1])
        columns = _turned(builder, rows)
        _store_square(context, builder, signature.args[0], arguments[0], columns)
        return context.get_dummy_value()

    return types.void(target, source), generate


@jit
def copy_squares(target, source):
    """target = source; whole squares."""
    for i in range(0, target.shape[0], SQUARE):
        below = i + SQUARE
        for j in range(0, target.shape[1], SQUARE):
            behind = j + SQUARE
            _copy_square(target[i:below, j:behind], source[i:below, j:behind])


@jit
def copy_turned_squares(target, source):
    """target = source'; whole squares."""
    for i in range(0, target.shape[0], SQUARE):
        below = i + SQUARE
        for j in range(0, target.shape[1], SQUARE):
            behind = j + SQUARE
            _copy_turned_square(target[i:below, j:behind], source[j:behind, i:below])


_add_wide = _tile_product(WIDE_BYTES)
_add_narrow = _tile_product(NARROW_BYTES)


@jit(fastmath={"contract"})
def _add_one_by_one(c, a, b):
    """c += a' b where no tile fits."""
    for i in range(c.shape[0]):
        for j in range(c.shape[1]):
            total = c.dtype.type(0)
            for k in range(a.shape[0]):
                total += a[k, i] * b[k, j]
            c[i, j] += total


@jit
def accumulate(c, a, b):
    """c += a' b;  c : (m, n), a : (k, m), b : (k, n), the numbers of a row next to each other."""
    wide = WIDE_BYTES // c.itemsize
    narrow = NARROW_BYTES // c.itemsize
    rows = c.shape[0] // TILE_ROWS * TILE_ROWS
    columns = c.shape[1] // narrow * narrow
    left = 0
    while left < columns:
        width = narrow
        if left + wide <= columns:
            width = wide
        right = left + width
        part = b[:, left:right]
        for low in range(0, rows, TILE_ROWS):
            high = low + TILE_ROWS
            if width == wide:
                _add_wide(c[low:high, left:right], a[:, low:high], part)
            else:
                _add_narrow(c[low:high, left:right], a[:, low:high], part)
        left = right
    _add_one_by_one(c[:rows, columns:], a[:, :rows], b[:, columns:])
    _add_one_by_one(c[rows:], a[:, rows:], b)


if config.DISABLE_JIT:  # the interpreter cannot call the tiles

    def accumulate(c, a, b):
        c += a.T @ b

    def copy_squares(target, source):
        target[:] = source

    def copy_turned_squares(target, source):
        target[:] = source.T
