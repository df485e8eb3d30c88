"""Networks of one shape side by side: of every conductance a row of numbers, one a lane."""

from llvmlite import ir
from numba import config, types
from numba.core import cgutils
from numba.extending import intrinsic

from xbarsim.kernels._jit import jit
from xbarsim.kernels.circuit.generated import matrix_of

LANES = 16  # in one vector, which is a few registers


def _place(builder, places, index):
    """What lies in an array of short integers."""
    return builder.sext(builder.load(builder.gep(places, [index])), index.type)


@intrinsic
def _add_products(_, work, rims, spokes, share):
    """See `add_products`."""

    def generate(context, builder, signature, arguments):
        kinds = signature.args
        rows, _ = matrix_of(context, builder, kinds[0], arguments[0])
        targets = context.make_array(kinds[1])(context, builder, arguments[1]).data
        sources = context.make_array(kinds[2])(context, builder, arguments[2])
        factors, lanes = matrix_of(context, builder, kinds[3], arguments[3])
        count = cgutils.unpack_tuple(builder, sources.shape)[0]
        number = context.get_data_type(kinds[0].dtype)
        vector = ir.VectorType(number, LANES)
        zero = ir.Constant(lanes.type, 0)
        width = ir.Constant(lanes.type, LANES)
        fused = ("contract",)
        with cgutils.for_range(builder, builder.sdiv(lanes, width)) as vectors:
            lane = builder.mul(vectors.index, width)
            factor = builder.load(factors.at(builder, zero, lane, vector), align=rows.item_bytes)
            with cgutils.for_range(builder, count) as loop:
                source = _place(builder, sources.data, loop.index)
                other = builder.load(rows.at(builder, source, lane, vector), align=rows.item_bytes)
                target = _place(builder, targets, loop.index)
                place = rows.at(builder, target, lane, vector)
                before = builder.load(place, align=rows.item_bytes)
                product = builder.fmul(factor, other, flags=fused)
                total = builder.fadd(before, product, flags=fused)
                builder.store(total, place, align=rows.item_bytes)
        return context.get_dummy_value()

    return types.void(work, rims, spokes, share), generate


@jit
def add_products(work, rims, spokes, share):
    """work[rims[q]] += share * work[spokes[q]] for all q.

    work : (places, lanes), whole vectors; rims, spokes : (q,) int16 places; share : (lanes,)
    """
    _add_products(work, rims, spokes, share)


if config.DISABLE_JIT:  # the interpreter cannot call vectors

    def add_products(work, rims, spokes, share):
        work[rims] += share * work[spokes]
