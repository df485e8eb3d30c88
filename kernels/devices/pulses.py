"""A cell under pulses, followed through noisy reads: the likelihood of a law of the steps.

Between two reads the cell moves by `variability.pulse_step`, the law that write-and-verify runs,
with noise relative to the step; every read adds noise of its own.  An extended Kalman filter, one
state.
"""

import numpy as np

from xbarsim.kernels._jit import jit
from xbarsim.kernels.devices.variability import pulse_step


@jit
def _change(x, way, low, high, step, nonlinearity, falling):
    """Mean change (S) by a pulse in the direction `way` (+1 up, -1 down), 0 without a pulse."""
    if way > 0:
        return pulse_step(x, low, high, step[0], nonlinearity[0], falling[0])
    if way < 0:
        return -pulse_step(-x, -high, -low, step[1], nonlinearity[1], falling[1])
    return 0.0


@jit
def follow(
    reads,
    way,
    low,
    high,
    step,
    nonlinearity,
    falling,
    step_share,
    unit,
    innovation,
    variance,
    smooth,
    smooth_variance,
):
    """Follow trains of pulses, one after the other.

    reads : (n,) S;  way : (n,) int8, direction of the pulse before each read, 0 at the first read
        of a train
    low, high, step, nonlinearity, falling : of `variability.pulse_step`, the last three (up, down)
    step_share : 0 to 1;  unit : S.  The noise has the variance step_share (change / unit)² per
        pulse and 1 - step_share
    per read, both in units of one common variance
    Results (n,): innovation S and its variance, 0 and 1 at the first read of a train; smooth S and
    smooth_variance, the state in the light of all reads of its train
    """
    n = reads.size
    read_variance = max(1.0 - step_share, 1e-9)
    slope = np.zeros(n)
    predicted_variance = np.zeros(n)
    predicted = np.zeros(n)
    for k in range(n):
        if way[k] == 0:
            smooth[k] = reads[k]
            smooth_variance[k] = read_variance
            innovation[k] = 0.0
            variance[k] = 1.0
            continue
        x = smooth[k - 1]
        p = smooth_variance[k - 1]
        change = _change(x, way[k], low, high, step, nonlinearity, falling)
        nearby = 1e-6 * (high - low)
        change_nearby = _change(x + nearby, way[k], low, high, step, nonlinearity, falling)
        slope[k] = 1 + (change_nearby - change) / nearby
        predicted[k] = x + change
        predicted_variance[k] = slope[k] ** 2 * p + step_share * (change / unit) ** 2
        variance[k] = predicted_variance[k] + read_variance
        innovation[k] = reads[k] - predicted[k]
        gain = predicted_variance[k] / variance[k]
        smooth[k] = predicted[k] + gain * innovation[k]
        smooth_variance[k] = (1 - gain) * predicted_variance[k]
    for k in range(n - 1, 0, -1):  # Rauch, Tung and Striebel
        if way[k] != 0 and predicted_variance[k] > 0:
            back = smooth_variance[k - 1] * slope[k] / predicted_variance[k]
            smooth[k - 1] += back * (smooth[k] - predicted[k])
            smooth_variance[k - 1] += back**2 * (smooth_variance[k] - predicted_variance[k])
