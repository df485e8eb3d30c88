"""What a full-scale weight costs: clipping, rounding and programming of every weight, for many
candidates at once; and the cells that weights become.
"""

import numpy as np

from xbarsim.kernels._jit import jit


@jit
def clip_errors(weight, clip, moment, variance, rounds):
    """Expected square errors of the products y = x W, for independent inputs.

    weight : (m, n) float64, inputs by outputs;  clip : (c, n) full-scale weights;  moment : (m,) of
        the inputs
    variance : (2 k + 1,) of a programmed weight over clip², at the held weights -clip ... clip in
        steps of clip / k
    rounds : whether weights are held at these steps; otherwise at any value, whose variance is
        interpolated

    Returns (c, n): sum_i moment_i ((held_ij - w_ij)² + clip_j² variance(held_ij)), added up in the
    order of the inputs.  O(c n m); the loops over outputs are vector instructions, so a few dozen of
    them at a time are the fastest.
    """
    candidates, outputs = clip.shape
    steps = np.float64((variance.size - 1) // 2)
    last = 2 * steps - 1
    rise = variance[1:] - variance[:-1]
    error = np.zeros((candidates, outputs))
    square = np.empty(outputs)
    per_weight = np.empty(outputs)
    before = np.empty(outputs, np.uint32)
    beyond = np.empty(outputs)
    of_clip = np.empty(outputs)
    for c in range(candidates):
        full_scale = clip[c]
        total = error[c]
        for j in range(outputs):
            per_weight[j] = steps / full_scale[j]
            square[j] = full_scale[j] * full_scale[j]
        for i in range(moment.size):
            own = weight[i]
            factor = moment[i]
            for j in range(outputs):
                held = min(max(own[j], -full_scale[j]), full_scale[j])
                place = held * per_weight[j]
                if rounds:
                    place = np.rint(place)
                    held = place / per_weight[j]
                first = min(np.trunc(place + steps), last)
                before[j] = np.uint32(np.int32(first))
                beyond[j] = place + steps - first
                difference = held - own[j]
                of_clip[j] = difference * difference
            for j in range(outputs):
                relative = variance[before[j]] + beyond[j] * rise[before[j]]
                total[j] += factor * (of_clip[j] + square[j] * relative)
    return error


@jit
def pair_targets(weight, clip, low, window, positive, negative):
    """Targets of pairs of cells, one analog level each.

    weight : (m, n) float32 or float64;  clip : (n,) full-scale weights;  low, window : S
    positive, negative : (m, n) float64 S, in place: low + window |held| / clip of the cell that a
        weight of its sign is held in, low of the other
    Returns the number of weights beyond their full scale.
    """
    inputs, outputs = weight.shape
    clipped = 0
    for i in range(inputs):
        for j in range(outputs):
            own = np.float64(weight[i, j])
            held = min(max(own, -clip[j]), clip[j])
            clipped += abs(own) > clip[j]
            share = abs(held) / clip[j]
            positive[i, j] = low + window * (share if held > 0 else 0.0)
            negative[i, j] = low + window * (share if held < 0 else 0.0)
    return clipped


@jit
def add_squares(x, total):
    """Add the squares of inputs x (s, m), float32 or float64, to `total` (m,) float64, row by row."""
    for row in x:
        for i in range(total.size):
            own = np.float64(row[i])
            total[i] += own * own
