"""Processes in the cells of tiles: write and verify, cells and lines that are stuck, what a cell
reads from time to time.

Tiles are (t, m, n).  `key` (t,) uint64 names the random stream of each tile: a cell's numbers
depend on its key and its place alone (`counter.mix`), so that no order of evaluation and no number
of threads changes them.
"""

import math

import numpy as np

from xbarsim.kernels._jit import jit
from xbarsim.kernels.devices.random import mix, normal_pair

# States of a cell that is stuck; 0: it is not.
ON = 1
OFF = 2


@jit(inline="always")
def uniform(key, index):
    """Number in (0, 1) of (key, index), both uint64."""
    return (np.float64(mix(key, index) >> np.uint64(11)) + 0.5) * (1.0 / 9007199254740992.0)


@jit(inline="always")
def pulse_step(x, low, high, step, nonlinearity, falling):
    """Mean change (S) by one pulse upwards, of a cell at x (S): step at `low`, falling on the way
    to `high`.

    step exp(-nonlinearity u) max(1 - falling (x - low), 0), u = (x - low) / (high - low) held
    within 0 and 1.
    A downward pulse is the mirror image: pass -x, -high, -low.
    """
    moved = min(max((x - low) / (high - low), 0.0), 1.0)
    return step * math.exp(-nonlinearity * moved) * max(1.0 - falling * (x - low), 0.0)


@jit
def write_verify(
    target,
    low,
    high,
    bottom,
    top,
    start,
    tolerance,
    step,
    nonlinearity,
    falling,
    step_sigma,
    read_sigma,
    pulses,
    key,
    g,
    count,
    sum_g,
):
    """Pulse every cell until it reads within `tolerance` of its target.

    target : (t, m, n) S;  low, high : S, the window;  bottom, top : S, bounds that no pulse
        crosses;  start : S
    step, nonlinearity, falling : (up, down) of `pulse_step`, S, 1, 1/S;  step_sigma : relative to
        the step
    read_sigma : S;  pulses : at most
    Results: g (t, m, n) S;  count (t, m, n) int64 pulses;  sum_g (t, m, n) S, of the conductances
    that the pulses found
    Returns the number of cells that never read within the tolerance.
    """
    failed = 0
    tiles, m, n = target.shape
    for t in range(tiles):
        for i in range(m):
            for j in range(n):
                x = start
                total = 0.0
                k = 0
                done = False
                while True:
                    index = np.uint64((i * n + j) * (pulses + 1) + k)
                    read_deviate, step_deviate = normal_pair(key[t], index)
                    lacking = target[t, i, j] - (x + read_sigma * read_deviate)
                    done = abs(lacking) <= tolerance
                    if done or k == pulses:
                        break
                    total += x
                    if lacking > 0:
                        change = pulse_step(x, low, high, step[0], nonlinearity[0], falling[0])
                        x += change * (1 + step_sigma * step_deviate)
                    else:
                        change = pulse_step(-x, -high, -low, step[1], nonlinearity[1], falling[1])
                        x -= change * (1 + step_sigma * step_deviate)
                    x = min(max(x, bottom), top)
                    k += 1
                failed += not done
                g[t, i, j] = x
                count[t, i, j] = k
                sum_g[t, i, j] = total
    return failed


@jit
def stuck_cells(on_rate, off_rate, key, state):
    """Mark cells ON or OFF in `state` (t, m, n) int8: alone, with their word line, with their bit
    line.

    on_rate, off_rate : (cells, word lines, bit lines).  Where several apply, bit lines decide over
        word lines over cells.
    """
    tiles, m, n = state.shape
    for t in range(tiles):
        for i in range(m):
            line = uniform(key[t], np.uint64(i))
            for j in range(n):
                x = uniform(key[t], np.uint64(m + n + i * n + j))
                if x < on_rate[0] + off_rate[0]:
                    state[t, i, j] = ON if x < on_rate[0] else OFF
                if line < on_rate[1] + off_rate[1]:
                    state[t, i, j] = ON if line < on_rate[1] else OFF
        for j in range(n):
            line = uniform(key[t], np.uint64(m + j))
            if line < on_rate[2] + off_rate[2]:
                for i in range(m):
                    state[t, i, j] = ON if line < on_rate[2] else OFF


@jit
def telegraph_reads(dwell_high, dwell_low, interval, read_time, key, cell, state):
    """Share of each read that a two-state cell spends in its high state, `state` (reads,), exact
    for exponential dwells.

    dwell_high, dwell_low, interval, read_time : s, the reads start `interval` apart, at least
        `read_time`
    key, cell : uint64, the random stream of this cell: mix(key, cell)

    Between two reads the chain moves by its transition probability; within a read every switch is
    followed.
    """
    own = mix(key, cell)
    rate = 1 / dwell_high + 1 / dwell_low
    p_high = dwell_high / (dwell_high + dwell_low)
    memory = math.exp(-rate * (interval - read_time))
    drawn = np.uint64(1)
    high = uniform(own, np.uint64(0)) < p_high
    for k in range(state.size):
        if k > 0:
            high = uniform(own, drawn) < p_high * (1 - memory) + (memory if high else 0.0)
            drawn += np.uint64(1)
        left = read_time
        up = 0.0
        while left > 0:
            stay = -math.log(uniform(own, drawn)) * (dwell_high if high else dwell_low)
            drawn += np.uint64(1)
            if high:
                up += min(stay, left)
            if stay >= left:
                break
            left -= stay
            high = not high
        state[k] = up / read_time
