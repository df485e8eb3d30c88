"""Noise of cells that remember: processes of two states, whose values at any read are determined by
their names and the time alone.

Time runs in tokens; a process steps every `ticks` of them.  At a step it is drawn anew with the
probability `redraw`, high with the probability `high`, and keeps its state otherwise.  All that is
drawn at a step is a function of (cell, process, step), so that the state at any time is found by
looking back to the last step that drew: in whatever batches and order tokens come, a cell is the
same.
"""

import numpy as np

from xbarsim.kernels._jit import jit
from xbarsim.kernels.devices.random import mix

SCALE = float(1 << 24)  # of the probability of a redraw
HIGH_SCALE = float(1 << 32)  # of the probability of the high state
_SHIFT = np.uint64(40)
_LOW_BITS = np.uint64(0xFFFFFFFF)


@jit(inline="always")
def state_at(own, tick, known, before, redraw, high):
    """Whether a process is high at a step, if it was `before` at the step `known` (below 0: not
    known).

    own : uint64, key of the process;  redraw, high : probabilities times SCALE and HIGH_SCALE
    """
    step = tick
    while step > known:
        bits = mix(own, np.uint64(step))
        if step == 0 or (bits >> _SHIFT) < redraw:
            return (bits & _LOW_BITS) < high
        step -= 1
    return before


@jit
def runs_of(tokens, ticks, step, last, steady):
    """Steps of the processes at reads, and where each run of reads at one step ends.

    tokens : (b,) int64;  ticks : (k,) int64
    Results : step, last (k, b) int64;  steady (k,) int64, reads from the first one on that are each
    one step after the other
    """
    count = tokens.size
    for k in range(ticks.size):
        for r in range(count):
            step[k, r] = tokens[r] // ticks[k]
        end = count
        for r in range(count - 1, -1, -1):
            if r + 1 < count and step[k, r] != step[k, r + 1]:
                end = r + 1
            last[k, r] = end
        reached = 1
        while reached < count and step[k, reached] == step[k, 0] + reached:
            reached += 1
        steady[k] = reached


@jit
def add_steadily(fluctuation, bits, name, first, redraw, high, low_value, rise):
    """Add a process to the reads of successive steps, `first` that of the first of them.

    fluctuation : (reads,) float32, in place;  bits : (reads,) uint64, room
    low_value, rise : float32, of the low state and to the high one
    """
    reads = bits.size
    for q in range(reads):
        bits[q] = mix(name, np.uint64(first + q))
    state = state_at(name, first, np.int64(-1), False, redraw, high)
    fluctuation[0] += low_value + rise * np.float32(state)
    for q in range(1, reads):  # free of branches, which could not be foreseen
        drawn = (bits[q] & _LOW_BITS) < high
        anew = (bits[q] >> _SHIFT) < redraw
        state = (anew & drawn) | (state & (not anew))
        fluctuation[q] += low_value + rise * np.float32(state)
    return state


@jit
def add_in_runs(fluctuation, r, step, last, known, state, name, redraw, high, low_value, rise):
    """Add a process to the reads from `r` on, whose state at the step `known` is `state`.

    step, last : (reads,), see `runs_of`
    """
    while r < fluctuation.size:
        tick = step[r]
        if tick < known:
            known = np.int64(-1)
        state = state_at(name, tick, known, state, redraw, high)
        known = tick
        value = low_value + rise * np.float32(state)
        for q in range(r, last[r]):
            fluctuation[q] += value
        r = last[r]


@jit
def add_processes(
    current,
    volts,
    step,
    last,
    steady,
    amplitude,
    group,
    redraw,
    high,
    value_high,
    value_low,
    key,
    first,
):
    """Add the noise of processes to currents, in place.

    current : (b, n) float32;  volts : (m, b) float32;  step, last, steady : of `runs_of`
    amplitude : (groups, n, m) float32 A/V, of a process of each group, 0 where a cell has none
    group : (k,) int64;  redraw, high : (k,) uint64;  value_high, value_low : (k,) float32
    key : uint64;  first : number of the first column among all
    """
    groups, n, m = amplitude.shape
    reads = current.shape[0]
    fluctuation = np.empty(reads, np.float32)
    bits = np.empty(reads, np.uint64)
    total = np.empty(reads, np.float32)
    for j in range(n):
        total[:] = 0
        for i in range(m):
            own = mix(key, np.uint64((first + j) * m + i))
            fluctuation[:] = 0
            for k in range(group.size):
                size = amplitude[group[k], j, i]
                if size == 0:
                    continue
                name = mix(own, np.uint64(k))
                low_value = size * value_low[k]
                rise = size * (value_high[k] - value_low[k])
                r = 0
                known = np.int64(-1)
                state = False
                if steady[k] > 1:
                    r = steady[k]
                    known = step[k, r - 1]
                    state = add_steadily(
                        fluctuation[:r],
                        bits[:r],
                        name,
                        step[k, 0],
                        redraw[k],
                        high[k],
                        low_value,
                        rise,
                    )
                add_in_runs(
                    fluctuation,
                    r,
                    step[k],
                    last[k],
                    known,
                    state,
                    name,
                    redraw[k],
                    high[k],
                    low_value,
                    rise,
                )
            line = volts[i]
            for q in range(reads):
                total[q] += fluctuation[q] * line[q]
        for q in range(reads):
            current[q, j] += total[q]
