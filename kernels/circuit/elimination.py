"""Eliminating the nodes of a network of conductances, panel by panel."""

import numpy as np
from numba import config
from numba.core import types
from numba.np.linalg import ensure_blas

from xbarsim.kernels._jit import jit

PANEL = 8  # nodes that are eliminated one by one

ensure_blas()
# The matrix product that Numba itself calls, which can add to its result: c = alpha a b + beta c by
# columns.
_gemm = types.ExternalFunction(
    "numba_xxgemm",
    types.intc(
        types.char,
        types.char,
        types.char,
        types.intp,
        types.intp,
        types.intp,
        types.voidptr,
        types.voidptr,
        types.intp,
        types.voidptr,
        types.intp,
        types.voidptr,
        types.voidptr,
        types.intp,
    ),
)


@jit
def accumulate(c, a, b):
    """c += a' b;  c : (m, n), a : (k, m), b : (k, n), the numbers of a row next to each other."""
    one, size = np.ones(1, c.dtype), c.itemsize
    _gemm(
        ord("d") if size == 8 else ord("s"),
        ord("n"),
        ord("t"),
        c.shape[1],
        c.shape[0],
        a.shape[0],
        one.ctypes,
        b.ctypes,
        b.strides[0] // size,
        a.ctypes,
        a.strides[0] // size,
        one.ctypes,
        c.ctypes,
        c.strides[0] // size,
    )


if config.DISABLE_JIT:  # the interpreter cannot call it

    def accumulate(c, a, b):
        c += a.T @ b


@jit(fastmath={"contract", "reassoc"})
def eliminate_nodes(y, kept):
    """Eliminate the nodes of y : (s, kept + s), conductances of s nodes to those that stay and to
    each other.

    The last comes first; column kept + j of row k is read for j < k only.  Leaves every conductance
    over the root of the sum of those of its row: with them, conductances among the nodes that stay
    grow by y' y.

    A panel updates the panel before it, two panels the two before them, four the four before: after
    panel number 4, say, whose lowest bit is 4, rows of panels 1 to 4 are added to those of 5 to 8
    in one product.  So most work is in large ones.
    """
    low, panels = len(y), 0
    while low > 0:
        high, low = low, max(0, low - PANEL)
        for k in range(high - 1, low - 1, -1):
            row = y[k, : kept + k]
            for i in range(k + 1, high):
                factor, other = y[i, kept + k], y[i]
                for j in range(row.size):
                    row[j] += factor * other[j]
            total = y.dtype.type(0)
            for j in range(row.size):
                total += row[j]
            scale = 1 / np.sqrt(total) if total != 0 else y.dtype.type(0)  # 0: sees nothing
            for j in range(row.size):
                row[j] *= scale
        panels += 1
        behind = PANEL * (panels & -panels)
        if low > 0:
            before = max(0, low - behind)
            accumulate(
                y[before:low, : kept + low],
                y[low : low + behind, kept + before : kept + low],
                y[low : low + behind, : kept + low],
            )
