"""Conductances that pass on wanted currents through wires, and what a scale of them costs."""

import numpy as np

from xbarsim.kernels._jit import jit


@jit
def balanced(wanted, passed, against, low):
    """The smaller conductances (g, h) with passed g - against h = wanted and neither below low."""
    first = (wanted + against * low) / passed
    if first >= low:
        return first, low
    return low, (passed * low - wanted) / against


@jit
def scale_errors(wanted, passed, moment, variance, low, high, pair, scales):
    """Expected square errors of cells that are to pass on scale * wanted, over scale².

    wanted : (n, m) S per scale, outputs by inputs
    passed : (2, n, m), the share of a cell's current that arrives: of the positive and of the
        negative cell of a pair; without pair that of the cell, and of a reference at the low state
    moment : (m,) of the inputs
    variance : (k,) S² of a programmed cell, from low to high in equal steps
    scales : (c, n)

    Returns (c, n): sum_i moment_i ((arrives_ij / scale - wanted_ij)² + variance that arrives /
    scale²), with what does not fit into low ... high held there.  O(c n m).
    """
    outputs, inputs = wanted.shape
    error = np.zeros(scales.shape)
    per_step = (variance.size - 1) / (high - low)
    last = variance.size - 2
    for c in range(len(scales)):
        for j in range(outputs):
            scale = scales[c, j]
            total = 0.0
            for i in range(inputs):
                own = passed[0, j, i]
                other = passed[1, j, i]
                g, h = balanced(scale * wanted[j, i], own, other, low)
                g = min(g, high)
                h = min(h, high)
                if not pair:
                    h = low
                missing = (own * g - other * h) / scale - wanted[j, i]
                place = (g - low) * per_step
                before = min(np.int64(place), last)
                step = variance[before + 1] - variance[before]
                scatter = own * own * (variance[before] + (place - before) * step)
                if pair:
                    place = (h - low) * per_step
                    before = min(np.int64(place), last)
                    step = variance[before + 1] - variance[before]
                    scatter += other * other * (variance[before] + (place - before) * step)
                total += moment[i] * (missing * missing + scatter / (scale * scale))
            error[c, j] = total
    return error
