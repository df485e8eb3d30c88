"""Arrays in code that is generated for vectors of numbers."""

from typing import NamedTuple

from llvmlite import ir
from numba.core import cgutils


class Matrix(NamedTuple):
    """An array of two axes, the numbers of a row next to each other."""

    data: ir.Value
    row_bytes: ir.Value
    item_bytes: int

    def at(self, builder, row, column, kind):
        """Pointer to what lies there as a value of `kind`; row : a value; column : a value or a
        number.
        """
        offset = builder.mul(self.row_bytes, row)
        if isinstance(column, int):
            column = ir.Constant(offset.type, column)
        item_bytes = ir.Constant(offset.type, self.item_bytes)
        offset = builder.add(offset, builder.mul(column, item_bytes))
        base = builder.bitcast(self.data, cgutils.voidptr_t)
        return builder.bitcast(builder.gep(base, [offset]), kind.as_pointer())


def matrix_of(context, builder, array_type, value):
    """`Matrix` of an argument, and its number of rows."""
    array = context.make_array(array_type)(context, builder, value)
    row_bytes = cgutils.unpack_tuple(builder, array.strides)[0]
    rows = cgutils.unpack_tuple(builder, array.shape)[0]
    return Matrix(array.data, row_bytes, array_type.dtype.bitwidth // 8), rows
