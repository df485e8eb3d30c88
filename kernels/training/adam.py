"""One step of Adam (Kingma & Ba, 2015)."""

import numpy as np

from xbarsim.kernels._jit import jit


@jit
def adam_step(
    values, gradient, first, second, rate, keep_first, keep_second, least, bias_first, bias_second
):
    """The values (n,) float32 after a step along their gradient.

    first, second : (n,) moments so far, changed in place
    rate : float64, of this step
    keep_first, keep_second : share of the moments that is kept;  least : added to the second one's root
    bias_first, bias_second : what the moments are divided by
    All but the last product and difference is in float32.
    """
    found = np.empty_like(values)
    old_first = np.float32(keep_first)
    old_second = np.float32(keep_second)
    new_first = np.float32(1.0 - keep_first)
    new_second = np.float32(1.0 - keep_second)
    for i in range(len(values)):
        slope = gradient[i]
        first[i] = old_first * first[i] + new_first * slope
        second[i] = old_second * second[i] + new_second * (slope * slope)
        mean = first[i] / np.float32(bias_first)
        root = np.sqrt(second[i] / np.float32(bias_second)) + np.float32(least)
        found[i] = np.float32(values[i] - rate * mean / root)
    return found
