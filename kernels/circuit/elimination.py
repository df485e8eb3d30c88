"""Eliminating the nodes of a network of conductances, panel by panel."""

import numpy as np

from xbarsim.kernels._jit import jit
from xbarsim.kernels.circuit.products import accumulate

PANEL = 8  # nodes that are eliminated one by one


@jit(fastmath={"contract", "reassoc"})
def _eliminate_panel(y, kept, low, high):
    """Eliminate nodes low to high - 1, the last first; their rows know of each other only."""
    nothing = y.dtype.type(0)
    for k in range(high - 1, low - 1, -1):
        row = y[k, : kept + k]
        for i in range(k + 1, high):
            factor = y[i, kept + k]
            other = y[i]
            for j in range(row.size):
                row[j] += factor * other[j]
        total = nothing
        for j in range(row.size):
            total += row[j]
        scale = nothing  # of a node that sees nothing
        if total != 0:
            scale = 1 / np.sqrt(total)
        for j in range(row.size):
            row[j] *= scale


@jit
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
    low = len(y)
    panels = 0
    while low > 0:
        high = low
        low = max(0, high - PANEL)
        _eliminate_panel(y, kept, low, high)
        panels += 1
        if low > 0:
            behind = PANEL * (panels & -panels)
            before = max(0, low - behind)
            accumulate(
                y[before:low, : kept + low],
                y[low : low + behind, kept + before : kept + low],
                y[low : low + behind, : kept + low],
            )
