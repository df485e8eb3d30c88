"""What a full-scale weight costs: clipping, rounding and programming of every weight, for many
candidates at once.
"""

import numpy as np

from xbarsim.kernels._jit import jit


@jit
def clip_errors(weight, clip, moment, variance, rounds):
    """Expected square errors of the products y = x W, for independent inputs.

    weight : (n, m) float64, outputs by inputs;  clip : (c, n) full-scale weights;  moment : (m,) of
        the inputs
    variance : (2 k + 1,) of a programmed weight over clip², at the held weights -clip ... clip in
        steps of clip / k
    rounds : whether weights are held at these steps; otherwise at any value, whose variance is
        interpolated

    Returns (c, n): sum_i moment_i ((held_ij - w_ij)² + clip_j² variance(held_ij)).  O(c n m).
    """
    candidates, outputs = clip.shape
    steps = (variance.size - 1) // 2
    error = np.zeros((candidates, outputs))
    for c in range(candidates):
        for j in range(outputs):
            full_scale = clip[c, j]
            per_weight = steps / full_scale
            total = 0.0
            for i in range(moment.size):
                held = min(max(weight[j, i], -full_scale), full_scale)
                place = held * per_weight
                if rounds:
                    place = np.rint(place)
                    held = place / per_weight
                before = min(np.int64(place + steps), 2 * steps - 1)
                beyond = place + steps - before
                relative = variance[before] + beyond * (variance[before + 1] - variance[before])
                difference = held - weight[j, i]
                total += moment[i] * (difference * difference + full_scale * full_scale * relative)
            error[c, j] = total
    return error
